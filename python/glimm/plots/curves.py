"""Mean responses over a covariate, for both estimands, with the data under them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..data import values_of
from ..effects.grid import check_covariate, covariates, is_factor, values_at
from ..effects.means import means
from ..errors import DataError
from .style import BLUE, GREY, ORANGE, SMALL, plain, pyplot

if TYPE_CHECKING:
    from ..fit import Fit

Array = NDArray[np.float64]
_POINTS = 61
_DISTINCT = 25
_BINS = 12
_WORDS = {
    "subject": ("typical level of {groups}", BLUE, "-"),
    "population": ("average over {groups}", ORANGE, "--"),
}


def curves(
    fit: Fit, variable: str, by: str | None = None, *, effects: tuple[str, ...] | None = None,
    grid: str = "balanced", level: float = 0.95, data: bool = True, ax: Any = None,
) -> Any:  # fmt: skip
    """Draw mean responses over a numeric covariate, with bands, over the data.

    Parameters
    ----------
    fit : Fit
    variable : str
    by : str, optional
        A covariate with a panel for each of its values.
    effects : tuple of str, optional
        ``"subject"``, ``"population"`` or both, which is the default where they differ.
    grid : str
        What the other covariates are averaged over; see `glimm.means`.
    level : float
        Of the bands.
    data : bool
        Whether to draw mean responses of the data, at each value or in bins of equal numbers;
        the more rows, the larger the point. They are averages over groups.
    ax : matplotlib Axes or sequence of them, optional
        One for each panel.

    Returns
    -------
    ndarray of matplotlib Axes, (panels,)

    Raises
    ------
    DataError
        When the variable is a factor.
    """
    check_covariate(fit, [variable, *([by] if by else [])], "curves")
    if is_factor(fit, variable):
        message = f"{variable!r} is a factor; use glimm.means(fit, {variable!r}).plot()"
        raise DataError(message, code="unknown_option")
    x = covariates(fit)[variable].values.astype(np.float64)
    panels = [None] if by is None else values_at(fit, by, {})
    axes = _axes(ax, len(panels))
    points = np.linspace(x.min(), x.max(), _POINTS).tolist()
    same = fit.model.link == "identity" or not fit.design.terms
    wanted = effects or (("subject",) if same else ("subject", "population"))
    facts: dict[str, str] = {}
    for axis, panel in zip(axes, panels, strict=True):
        fixed = {} if by is None else {by: [panel]}
        if data:
            _data(axis, fit, x, by, panel)
        for effect in wanted:
            over = variable if by is None else (by, variable)
            found = means(fit, over, at={variable: points, **fixed}, grid=grid, effect=effect,
                          level=level)  # fmt: skip
            facts = dict(found.facts)
            words, colour, dash = _WORDS[effect]
            groups = ", ".join(fit.groups) or "all"
            axis.fill_between(points, found.lower, found.upper, color=colour, alpha=0.15, lw=0)
            label = "mean" if same else words.format(groups=groups)
            axis.plot(points, found.estimate, dash, color=colour, label=label)
        axis.set_xlabel(variable)
        if by is not None:
            axis.set_title(f"{by} {panel}", fontsize=9.5)
        plain(axis, "y")
    unit = "Probability of" if fit.model.family.trials else "Expected"
    axes[0].set_ylabel(f"{unit} {fit.design.response_name}")
    _legend(axes[0].figure, axes[0], level, facts)
    return axes


def _axes(ax: Any, count: int) -> Any:
    if ax is not None:
        return np.atleast_1d(np.asarray(ax, dtype=object))
    size = (6.4 if count == 1 else min(3.4 * count, 12.0), 4.2)
    made = pyplot().subplots(1, count, figsize=size, layout="constrained", squeeze=False,
                             sharex=True, sharey=True)  # fmt: skip
    return made[1][0]


def _legend(figure: Any, ax: Any, level: float, facts: dict[str, str]) -> None:
    handles, labels = ax.get_legend_handles_labels()
    held = f"; {facts['Held']}" if "Held" in facts else ""
    over = facts.get("Averaged", "")
    over = "" if over.startswith("over nothing") else f"; averaged {over.split(', on')[0]}"
    title = f"{100 * level:g} % bands{held}{over}"
    figure.legend(handles, labels, loc="outside upper left", ncols=3, frameon=False,
                  fontsize=SMALL, title=title, title_fontsize=SMALL, alignment="left")  # fmt: skip


def _data(ax: Any, fit: Fit, x: Array, by: str | None, panel: Any) -> None:
    """Mean responses at each value of x, or in bins, by number of rows."""
    design = fit.design
    chosen = np.ones(x.size, dtype=bool)
    if by is not None:
        chosen = values_of(covariates(fit)[by]) == panel
    if not chosen.any():
        return
    freq = np.ones(x.size) if design.freq is None else design.freq
    weight = freq if design.trials is None else freq * design.trials
    y = design.y if design.trials is None else design.y / np.maximum(design.trials, 1)
    codes = _bins(x[chosen])
    w = np.bincount(codes, weights=weight[chosen])
    keep = w > 0
    middle, mean = (
        np.bincount(codes, weights=(v * weight)[chosen])[keep] / w[keep] for v in (x, y)
    )
    ax.scatter(middle, mean, s=10 + 50 * w[keep] / w.max(), color=GREY, alpha=0.6, lw=0,
               label="data: mean responses", zorder=1)  # fmt: skip


def _bins(x: Array) -> NDArray[np.int64]:
    values, codes = np.unique(x, return_inverse=True)
    if values.size <= _DISTINCT:
        return np.asarray(codes, dtype=np.int64)
    edges = np.unique(np.quantile(x, np.linspace(0, 1, _BINS + 1)[1:-1]))
    return np.searchsorted(edges, x).astype(np.int64)
