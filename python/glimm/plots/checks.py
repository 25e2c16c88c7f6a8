"""Pictures of checks: residuals, statistics under the model, and influence. Safe in greyscale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .style import BLUE, GREY, ORANGE, SMALL, new_axes, plain, pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..checks.influence import Influence
    from ..checks.page import CheckPage, Verdict

Array = NDArray[np.float64]

_POINTS = 3000
"""Points of a scatter; of more rows these are drawn, evenly."""
_RANKS = 400
"""Ranks at which a band is calibrated and drawn."""
_DRAWS = 1000
_SKEWED = 6.0
"""Times the median from which a positive predictor has a logarithmic axis."""
_SHARES = (0.25, 0.5, 0.75)
_LINES = ((0, (4, 2)), "-", (0, (4, 2)))


def influence(found: Influence, *, measure: str = "displacement", ax: Any = None) -> Axes:
    """Draw how much each group of rows moves the estimates.

    Parameters
    ----------
    found : Influence
    measure : str
        ``"displacement"``, ``"cooks"``, ``"covariance_ratio"`` or ``"leverage"``.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    from ..fit import one_of

    words = {
        "displacement": "likelihood displacement", "cooks": "Cook's distance",
        "covariance_ratio": "covariance ratio", "leverage": "leverage",
    }  # fmt: skip
    one_of("measure", measure, tuple(words))
    axes = new_axes(ax, 6.4, 3.6)
    y = np.asarray(getattr(found, measure), dtype=np.float64)
    base = 1.0 if measure == "covariance_ratio" else 0.0
    x = np.arange(y.size)
    axes.vlines(x, base, y, color=BLUE, linewidth=1.2 if y.size < 200 else 0.6)
    axes.plot(x, y, "o", color=BLUE, markersize=3.5 if y.size < 200 else 1.5)
    for g in np.argsort(-np.nan_to_num(np.abs(y - base)))[: min(5, y.size)]:
        axes.annotate(str(found.labels[g]), (g, y[g]), (0, 3), textcoords="offset points",
                      ha="center", fontsize=SMALL - 0.5)  # fmt: skip
    axes.axhline(base, color=GREY, linewidth=0.8)
    axes.set_xlabel(f"{found.by}, in order")
    axes.set_ylabel(words[measure])
    title = f"Influence of {found.by} ({y.size:,}), {found.method}"
    axes.set_title(title, loc="left", fontsize=10)
    axes.margins(y=0.12)
    plain(axes, "y")
    return axes


def normal_quantiles(z: Array, *, what: str = "residual", ax: Any = None) -> Axes:
    """Draw sorted values against normal quantiles, with a simultaneous 95 % band.

    Parameters
    ----------
    z : ndarray, (n,)
        Independent and standard normal if the model holds.
    what : str
        Name of the values.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    References
    ----------
    Aldor-Noiman, S., Brown, L. D., Buja, A., Rolke, W. and Stine, R. A. (2013). The power to see:
    a new graphical test of normality. American Statistician 67, 249-260.
    """
    from scipy.special import ndtri

    axes = new_axes(ax, 4.0, 4.0)
    known = np.sort(np.clip(z[np.isfinite(z)], -8, 8))
    ranks, low, high = simultaneous_band(known.size)
    expected = ndtri((ranks - 0.375) / (known.size + 0.25))
    axes.fill_between(expected, ndtri(low), ndtri(high), color="0.88", linewidth=0)
    ends = [expected[0], expected[-1]]
    axes.plot(ends, ends, color=GREY, linewidth=0.8)
    observed = known[ranks - 1]
    out = (observed < ndtri(low)) | (observed > ndtri(high))
    axes.plot(expected[~out], observed[~out], "o", color=BLUE, markersize=2.6)
    axes.plot(expected[out], observed[out], "x", color=ORANGE, markersize=4.5, mew=1.2)
    axes.set_xlabel("expected of the normal distribution")
    axes.set_ylabel(what)
    axes.set_title(f"{known.size:,} {what}s, 95 % band of all", loc="left", fontsize=9.5)
    plain(axes)
    return axes


def simultaneous_band(n: int, level: float = 0.95) -> tuple[NDArray[np.int64], Array, Array]:
    """Return ranks and the bounds of uniform order statistics there, which all hold at `level`.

    Pointwise intervals with one common level, which is found by simulation: order statistics at
    chosen ranks are sums of gamma variables.
    """
    from scipy.special import betainc, betaincinv

    ranks = np.unique(np.linspace(1, n, min(n, _RANKS)).round().astype(np.int64))
    generator = np.random.default_rng(20130101)
    gaps = np.diff(np.concatenate([[0], ranks, [n + 1]])).astype(np.float64)
    sums = np.cumsum(generator.gamma(gaps, size=(_DRAWS, gaps.size)), axis=1)
    cdf = betainc(ranks, n + 1 - ranks, sums[:, :-1] / sums[:, -1:])
    local = np.quantile(2 * np.minimum(cdf, 1 - cdf).min(axis=1), 1 - level)
    low, high = (betaincinv(ranks, n + 1 - ranks, q) for q in (local / 2, 1 - local / 2))
    return ranks, low, high


def against(
    residuals: Array, x: NDArray[Any], name: str, *, notable: bool = False, ax: Any = None
) -> Axes:
    """Draw residuals against a predictor with smooth curves of their quartiles.

    Parameters
    ----------
    residuals : ndarray, (n,)
        Uniform on 0 to 1 if the model holds.
    x : ndarray, (n,)
        Numbers; boxes are drawn for anything else.
    name : str
    notable : bool
        Whether a test found something: the curves are then drawn in colour.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    axes = new_axes(ax, 4.6, 3.4)
    good = np.isfinite(residuals)
    if not np.issubdtype(x.dtype, np.number):
        _boxes(axes, residuals[good], x[good], notable)
    else:
        _scatter(axes, residuals[good], x[good].astype(np.float64), notable)
    axes.set_ylim(-0.02, 1.02)
    axes.set_yticks([0, *_SHARES, 1])
    axes.set_xlabel(name)
    axes.set_ylabel("quantile residual")
    plain(axes)
    return axes


def _scatter(ax: Axes, u: Array, x: Array, notable: bool) -> None:
    if float(x.min(initial=1.0)) > 0 and float(x.max()) > _SKEWED * float(np.median(x)):
        ax.set_xscale("log")
    some = np.linspace(0, u.size - 1, min(u.size, _POINTS)).astype(int)
    spread = np.zeros(some.size)
    values = np.unique(x)
    if values.size <= 15 and values.size > 1:
        width = 0.3 * float(np.diff(values).min())
        spread = width * (np.random.default_rng(1).random(some.size) - 0.5)
    ax.plot(x[some] + spread, u[some], "o", color="0.6", markersize=2.2, mew=0, alpha=0.7)
    for share in _SHARES:
        ax.axhline(share, color="0.75", linewidth=0.8)
    at, curves = quantile_curves(u, x)
    colour = ORANGE if notable else "black"
    for line, curve in zip(_LINES, curves, strict=True):
        ax.plot(at, curve, color=colour, linewidth=1.6, linestyle=line)


def quantile_curves(u: Array, x: Array, points: int = 60) -> tuple[Array, Array]:
    """Return places and local quartiles of u there, (3, places), by kernel weights over ranks."""
    values = np.unique(x)
    if values.size <= 15:
        curves = np.array([np.quantile(u[x == v], _SHARES) for v in values]).T
        return values, curves
    order = np.argsort(x, kind="stable")
    u, x = u[order], x[order]
    rank = np.linspace(0, 1, u.size)
    width = max(0.15, min(0.5, 60 / u.size))
    places = np.linspace(0, 1, points)
    found = np.empty((3, points))
    for j, place in enumerate(places):
        weight = np.clip(1 - ((rank - place) / width) ** 2, 0, None)
        found[:, j] = _weighted_quantiles(u, weight)
    return np.quantile(x, places), found


def _weighted_quantiles(u: Array, weight: Array) -> Array:
    inside = weight > 0
    order = np.argsort(u[inside])
    values, mass = u[inside][order], np.cumsum(weight[inside][order])
    return np.interp(_SHARES, (mass - 0.5 * weight[inside][order]) / mass[-1], values)


def _boxes(ax: Axes, u: Array, x: NDArray[Any], notable: bool) -> None:
    levels = sorted(set(x.tolist()), key=str)
    colour = ORANGE if notable else "black"
    for share in _SHARES:
        ax.axhline(share, color="0.75", linewidth=0.8)
    ax.boxplot(
        [u[x == level] for level in levels], widths=0.5, showfliers=False,
        medianprops={"color": colour, "linewidth": 1.6}, boxprops={"color": "0.3"},
        whiskerprops={"color": "0.3"}, capprops={"color": "0.3"},
    )  # fmt: skip
    ax.set_xticks(range(1, len(levels) + 1), [str(level) for level in levels], fontsize=SMALL)


def under_model(
    simulated: Sequence[float] | Array, observed: float, name: str, *, notable: bool = False,
    ax: Any = None,
) -> Axes:  # fmt: skip
    """Draw the values of a statistic in data simulated from the model, and that of the data.

    Parameters
    ----------
    simulated : array_like, (draws,)
    observed : float
    name : str
    notable : bool
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    axes = new_axes(ax, 4.0, 2.8)
    values = np.asarray(simulated, dtype=np.float64)
    values = values[np.isfinite(values)]
    bins: Any = "auto"
    if values.size and np.array_equal(values, values.round()) and np.ptp(values) <= 60:
        bins = np.arange(values.min() - 0.5, values.max() + 1.5)
    axes.hist(values, bins=bins, color="0.75", edgecolor="white", linewidth=0.4)
    colour = ORANGE if notable else "black"
    axes.axvline(observed, color=colour, linewidth=1.8)
    right = observed > 0.5 * sum(axes.get_xlim())
    axes.annotate(f"data {observed:.3g}", (observed, 1), (-4 if right else 4, -2),
                  xycoords=("data", "axes fraction"), textcoords="offset points", va="top",
                  ha="right" if right else "left", fontsize=SMALL, color=colour)  # fmt: skip
    axes.set_xlabel(name)
    axes.set_yticks([])
    plain(axes)
    axes.spines["left"].set_visible(False)
    return axes


def checks(page: CheckPage) -> Any:
    """Draw a page of checks: residuals, statistics under the model, random effects.

    Colour marks panels whose check found something (Holm over the page); without it the lines are
    black, so that a good page is all grey and black.

    Parameters
    ----------
    page : CheckPage

    Returns
    -------
    matplotlib Figure
    """
    panels = _panels(page)
    across = min(3, len(panels))
    down = -(-len(panels) // across)
    figure, axes = pyplot().subplots(
        down, across, figsize=(3.5 * across, 2.9 * down), layout="constrained", squeeze=False
    )
    for axis, panel in zip(axes.ravel(), panels, strict=False):
        panel(axis)
    for axis in axes.ravel()[len(panels) :]:
        figure.delaxes(axis)
    figure.suptitle(page.title, x=0.01, ha="left", fontsize=10)
    return figure


def _panels(page: CheckPage) -> list[Callable[[Any], Any]]:
    from ..checks.assess import predictors_of
    from ..checks.columns import values

    r, found = page.residuals, set(page.found)
    panels: list[Callable[[Any], Any]] = [
        lambda ax: normal_quantiles(r.normal, ax=ax),
        lambda ax: against(r.values, r.fitted, "fitted", notable=_any(found, "fitted"), ax=ax),
    ]
    for label, _ in predictors_of(page.fit)[:_COVARIATES]:
        panels.append(_against(r.values, values(r, label), label, _any(found, label)))
    for verdict in page.verdicts:
        draws = {} if verdict.check is None else verdict.check.details
        if verdict.topic in ("dispersion", "zeros") and np.size(draws.get("draws", ())):
            panels.append(_under(verdict))
    panels += _effects(page)
    return panels


_COVARIATES = 6
_EFFECTS = 3


def _any(found: set[str], name: str) -> bool:
    return bool(found & {f"{what}: {name}" for what in ("trend", "variance", "groups")})


def _against(u: Array, x: NDArray[Any], label: str, notable: bool) -> Callable[[Any], Any]:
    return lambda ax: against(u, x, label, notable=notable, ax=ax)


def _under(verdict: Verdict) -> Callable[[Any], Any]:
    assert verdict.check is not None
    draws, own = np.asarray(verdict.check.details["draws"]), verdict.check.details["observed"]
    notable, name = verdict.state == "found", "zeros less expected, in sd"
    if verdict.topic == "dispersion":
        draws, own, name = np.exp(draws), np.exp(own), "mean squared Pearson residual"
    return lambda ax: under_model(draws, own, name, notable=notable, ax=ax)


def _effects(page: CheckPage) -> list[Callable[[Any], Any]]:
    """Standardised posterior draws of each random effect."""
    r, fit, panels = page.residuals, page.fit, []
    if fit is None or r.effects is None:
        return []
    for term, draws in zip(fit.design.terms, r.effects.spherical, strict=True):
        for j, name in enumerate(fit.effect_names(term)):
            if j < draws.shape[1]:
                what = f"{term.label}: {name}"
                panels.append(_effect(draws[:, j], what))
    return panels[:_EFFECTS]


def _effect(draws: Array, what: str) -> Callable[[Any], Any]:
    def draw(ax: Any) -> None:
        axes = normal_quantiles(draws, what="standardised draw", ax=ax)
        axes.set_title(f"random effects, {what}", loc="left", fontsize=9.5)

    return draw
