"""Estimates with their intervals, one below the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..confidence import normal_reach
from ..effects import Effects
from ..effects.population import RATIOS
from ..effects.words import unit_of
from ..errors import DataError, listed
from ..inference.freedom import freedom, t_quantile
from .style import BLUE, GREY, SMALL, new_axes, plain, ratio_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..fit import Fit

Array = NDArray[np.float64]
_ROW = 0.32
_NAMED = 60
"""Levels up to which a caterpillar names each."""


def effects(
    fit: Fit, *, ratio: bool = False, intercept: bool = False, level: float = 0.95,
    df: str = "auto", ax: Any = None,
) -> Axes:  # fmt: skip
    """Draw the fixed effects of the mean with their Wald intervals.

    Parameters
    ----------
    fit : Fit
    ratio : bool
        Odds or rate ratios on a logarithmic axis, for the logit, log and cloglog links.
    intercept : bool
        Whether to draw it too.
    level : float
        Of the intervals.
    df : str
        As in `Fit.summary`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
    """
    unit = unit_of(fit)
    if ratio and fit.model.link not in RATIOS:
        message = f"ratio=True is for the links {listed(tuple(RATIOS))}, not {fit.model.link!r}"
        raise DataError(message, code="unknown_option")
    law = freedom(fit, df)
    chosen = [j for j, n in enumerate(fit.names) if intercept or n != "(Intercept)"]
    if not chosen:
        raise DataError("there is no effect besides the intercept", code="unknown_option")
    b = fit.estimates.parameters[chosen]
    units = np.eye(len(fit.names))[chosen]
    reach = t_quantile(level, np.array([law.df(row) for row in units]))
    width = reach * np.sqrt(np.diag(law.covariance)[chosen])
    label = f"difference in {unit}"
    label = RATIOS[fit.model.link] if ratio else label
    back = np.exp if ratio else np.asarray
    axes = _forest([fit.names[j] for j in chosen], back(b), back(b - width), back(b + width),
                   1.0 if ratio else 0.0, ratio, ax)  # fmt: skip
    axes.set_xlabel(label)
    axes.set_title(f"Fixed effects, {100 * level:g} % Wald intervals", loc="left", fontsize=10)
    whose = "for a given level of the groups" if fit.design.terms else ""
    _caption(axes, "; ".join(filter(None, (whose, law.source))))
    return axes


def estimates(found: Effects, ax: Any = None) -> Axes:
    """Draw means, comparisons or slopes with their intervals.

    Parameters
    ----------
    found : Effects
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    facts = dict(found.facts)
    count = found.estimate.size
    columns = found.labels.items()
    names = [
        ", ".join(_label(key, values[i]) for key, values in columns) or "mean" for i in range(count)
    ]
    ratios = facts["Scale"].startswith(("ratio", "odds ratio"))
    null = None if found.kind == "means" else 1.0 if ratios else 0.0
    axes = _forest(names, found.estimate, found.lower, found.upper, null, ratios, ax)
    axes.set_xlabel(facts["Scale"][:1].upper() + facts["Scale"][1:])
    titles = {"means": "Means", "comparisons": "Comparisons", "slopes": "Slopes"}
    interval = facts["Intervals"].split(",")[0]
    interval += " simultaneous" if "simultaneous" in facts["Intervals"] else ""
    axes.set_title(f"{titles[found.kind]}, {interval} intervals", loc="left", fontsize=10)
    _caption(axes, facts["Estimand"])
    return axes


def _label(key: str, value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if key in ("contrast", "variable") else f"{key} {text}"


def _forest(
    names: Sequence[str], at: Array, low: Array, high: Array, null: float | None, ratio: bool,
    ax: Any,
) -> Axes:  # fmt: skip
    """Points with bars, the first on top."""
    axes = new_axes(ax, 6.4, 1.3 + _ROW * len(names))
    y = np.arange(len(names))
    if null is not None:
        axes.axvline(null, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.hlines(y, low, high, color=BLUE, linewidth=1.6)
    axes.plot(at, y, "o", color=BLUE, markersize=5)
    axes.set_yticks(y, names, fontsize=SMALL)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    plain(axes, "x")
    axes.spines["left"].set_visible(False)
    ends = [low.min(), high.max()] + ([] if null is None else [null])
    if ratio:
        first, last = min(ends) / 1.15, max(ends) * 1.15
        ratio_axis(axes, first, last)
        axes.set_xlim(first, last)
    return axes


def _caption(ax: Axes, text: str) -> None:
    """A line in small print over the axes, under the title."""
    if text:
        title = ax.get_title(loc="left")
        ax.set_title(f"{title}\n", loc="left", fontsize=10)
        ax.annotate(_wrapped(text, 90), (0, 1), (0, 4), xycoords="axes fraction",
                    textcoords="offset points", fontsize=SMALL - 1, color="0.35")  # fmt: skip


def _wrapped(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1].rsplit(" ", 1)[0] + " ..."


def caterpillar(fit: Fit, group: str | None = None, *, level: float = 0.95, ax: Any = None) -> Any:
    """Draw the random effects of a group in order of their size, with intervals.

    Parameters
    ----------
    fit : Fit
    group : str, optional
        Name of the group; the first by default.
    level : float
        Of the intervals: C + D V D' of `Fit.joint_covariance`, which has the uncertainty of the
        parameters as well; after the iterative engine, which has no joint covariance, given the
        parameters (`cond_sd` of `Fit.ranef`). The picture says which.
    ax : matplotlib Axes or sequence of them, optional
        One for each effect of the group.

    Returns
    -------
    ndarray of matplotlib Axes, (q,)
        One for each effect.
    """
    labels = [term.label for term in fit.design.terms]
    if not labels:
        raise DataError("the fit has no random effects", code="unknown_option")
    group = labels[0] if group is None else group
    if group not in labels:
        message = f"group={group!r}; the fit has {listed(labels)}"
        raise DataError(message, code="unknown_option")
    mine = [t for t, label in enumerate(labels) if label == group]
    columns = [(t, j, name) for t in mine
               for j, name in enumerate(fit.effect_names(fit.design.terms[t]))]  # fmt: skip
    axes = _panels(ax, len(columns), len(fit.design.terms[mine[0]].levels))
    reach, joint = normal_reach(level), fit.estimates.path != "iterative"
    for axis, (t, j, name) in zip(axes, columns, strict=True):
        modes = fit.estimates.modes[t][:, j]
        sd = _spread(fit, t, j, joint)
        _caterpillar(axis, fit.design.terms[t].levels, modes, reach * sd)
        per = "" if name == "(Intercept)" else " per unit"
        axis.set_xlabel(f"{name} ({unit_of(fit)}{per})")
    axes[0].set_title(f"Random effects of {group}\n", loc="left", fontsize=10)
    axes[0].annotate(
        f"modes, {100 * level:g} % intervals{'' if joint else ' given the parameters'}",
        (0, 1), (0, 4), xycoords="axes fraction", textcoords="offset points",
        fontsize=SMALL - 1, color="0.35",
    )  # fmt: skip
    return axes


def _spread(fit: Fit, t: int, j: int, joint: bool) -> Array:
    """Standard deviations of the j-th effects of term t, sqrt(C + D V D')."""
    variance = fit.estimates.covariances[t][:, j, j]
    if joint:
        variance = variance + fit.joint_covariance.variance(fit.joint_covariance.slopes[t][:, j])
    return np.sqrt(variance)


def _panels(ax: Any, count: int, levels: int) -> Any:
    from .style import pyplot

    if ax is not None:
        return np.atleast_1d(np.asarray(ax, dtype=object))
    height = 1.4 + (0.17 * levels if levels <= _NAMED else 4.0)
    size = (4.2 if count == 1 else 3.4 * count, max(2.6, height))
    return pyplot().subplots(1, count, figsize=size, layout="constrained", squeeze=False)[1][0]


def _caterpillar(ax: Axes, levels: Sequence[Any], modes: Array, width: Array) -> None:
    order = np.argsort(modes)
    y = np.arange(modes.size)
    ax.axvline(0, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
    ax.hlines(y, (modes - width)[order], (modes + width)[order], color=BLUE,
              linewidth=1.2 if modes.size <= _NAMED else 0.6, alpha=0.8)  # fmt: skip
    ax.plot(modes[order], y, "o", color=BLUE, markersize=3.5 if modes.size <= _NAMED else 1.5)
    if modes.size <= _NAMED:
        ax.set_yticks(y, [str(levels[i]) for i in order], fontsize=SMALL - 1)
    else:
        ax.set_yticks([])
        ax.set_ylabel(f"{modes.size:,} levels in order")
    ax.set_ylim(-0.8, modes.size - 0.2)
    ax.tick_params(axis="y", length=0)
    plain(ax, "x")
    ax.spines["left"].set_visible(False)
