"""Power curves, profiles and bootstrap distributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..confidence import normal_reach
from ..power import PowerCurve
from .style import BLUE, COLOURS, DASHES, GREY, MARKERS, ORANGE, SMALL, new_axes, plain, pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..inference.bootstrap import Bootstrap
    from ..inference.profile import Profile

_SLACK = 1e-3
"""A profile that ends at a level has reached it."""


def power(curve: PowerCurve, *, goal: float = 0.8, ax: Any = None) -> Axes:
    """Draw the power over the size of a study, with its exact intervals.

    Parameters
    ----------
    curve : PowerCurve
    goal : float
        A line is drawn at this power.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    axes = new_axes(ax, 6.4, 4.0)
    columns = curve.columns()
    key = next(iter(curve.sizes[0]))
    x = np.array([size[key] for size in curve.sizes], dtype=np.float64)
    names = [target.name for target in curve.points[0].targets]
    gap = 0.008 * float(np.ptp(x) or 1.0)
    axes.axhline(goal, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
    for k, name in enumerate(names):
        rows = slice(k, None, len(names))
        middle, low, high = (np.array(columns[c][rows]) for c in ("power", "lower", "upper"))
        shift = gap * (k - (len(names) - 1) / 2)
        colour = COLOURS[k % len(COLOURS)]
        axes.errorbar(x + shift, middle, [middle - low, high - middle], color=colour, capsize=2.5,
                      linestyle=DASHES[k % len(DASHES)], marker=MARKERS[k % len(MARKERS)],
                      markersize=5, linewidth=1.3, label=name)  # fmt: skip
    axes.set_ylim(0, 1.03)
    axes.set_xticks(x)
    axes.set_xlabel(key if key.startswith("rows per") else f"levels of {key}")
    one = curve.points[0]
    axes.set_ylabel(f"power at alpha = {one.alpha:g}")
    plain(axes, "y")
    title = f"{one.n:,} data sets a size, {100 * one.level:g} % Clopper-Pearson intervals"
    axes.legend(loc="lower right", frameon=False, fontsize=SMALL)
    axes.set_title(title, loc="left", fontsize=9.5)
    return axes


def profile(
    found: Profile | Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    levels: Sequence[float] = (0.5, 0.8, 0.95, 0.99),
    ax: Any = None,
) -> Any:
    """Draw profiles of the likelihood: zeta, the signed root of twice the fall, by parameter.

    A straight line is a quadratic log-likelihood, for which Wald intervals are right.

    Parameters
    ----------
    found : Profile, or mapping of str to (values, zeta)
        By the name of the parameter: values (m,) and zeta there, (m,).
    levels : sequence of float
        Confidence levels whose intervals are marked, where the curve reaches them.
    ax : matplotlib Axes or sequence of them, optional
        One for each parameter.

    Returns
    -------
    ndarray of matplotlib Axes, (parameters,)
    """
    traces = (
        found if isinstance(found, Mapping) else {c.name: (c.value, c.zeta) for c in found.curves}
    )
    axes = _panels(ax, len(traces), 2.6)
    for axis, (name, (values, zeta)) in zip(axes, traces.items(), strict=False):
        order = np.argsort(np.asarray(values))
        x, z = (np.asarray(v, dtype=np.float64)[order] for v in (values, zeta))
        axis.axhline(0, color=GREY, linewidth=0.8)
        for level in levels:
            _level(axis, x, z, level)
        axis.plot(x, z, color=BLUE, linewidth=1.4)
        axis.set_title(name, fontsize=9.5)
        top = 1.15 * max(normal_reach(max(levels)), 1.0)
        axis.set_ylim(-top, top)
        plain(axis)
    axes[0].set_ylabel("zeta")
    return axes


def _level(ax: Axes, x: NDArray[np.float64], z: NDArray[np.float64], level: float) -> None:
    """Mark the interval of a level: lines down from where the curve crosses it."""
    half = normal_reach(level)
    inside = [sign * half for sign in (-1, 1) if z[0] - _SLACK <= sign * half <= z[-1] + _SLACK]
    ends = [float(np.interp(at, z, x)) for at in inside]
    ax.vlines(ends, 0, [float(np.interp(e, x, z)) for e in ends], color=ORANGE, linewidth=1.0)
    if half in inside:
        ax.annotate(f"{100 * level:g} %", (ends[-1], half), (-3, 2), textcoords="offset points",
                    ha="right", fontsize=SMALL - 1.5, color="0.35")  # fmt: skip


def bootstrap(
    found: Bootstrap | Mapping[str, ArrayLike],
    *,
    estimates: Mapping[str, float] | None = None,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    ax: Any = None,
) -> Any:
    """Draw the distribution of bootstrap estimates, with the estimate and an interval.

    Parameters
    ----------
    found : Bootstrap, or mapping of str to array_like
        Estimates of each data set, by parameter; those that are not finite are left out.
    estimates : mapping of str to float, optional
        The estimate, a full line; a Bootstrap has its own.
    intervals : mapping of str to (float, float), optional
        Dashed lines; 95 % percentile intervals of a Bootstrap.
    ax : matplotlib Axes or sequence of them, optional
        One for each parameter.

    Returns
    -------
    ndarray of matplotlib Axes, (parameters,)
    """
    draws = found if isinstance(found, Mapping) else _draws(found)
    if not isinstance(found, Mapping):
        columns = found.intervals(0.95, "percentile")
        ends = zip(columns["lower"], columns["upper"], strict=True)
        intervals = intervals or dict(zip(found.names, ends, strict=True))
        estimates = estimates or dict(zip(found.names, found.estimates.tolist(), strict=True))
    axes = _panels(ax, len(draws), 2.4)
    for axis, (name, values) in zip(axes, draws.items(), strict=False):
        known = np.asarray(values, dtype=np.float64)
        known = known[np.isfinite(known)]
        axis.hist(known, bins="auto", color=BLUE, alpha=0.45, edgecolor="white", linewidth=0.4)
        if estimates is not None and name in estimates:
            axis.axvline(estimates[name], color=ORANGE, linewidth=1.6)
        for end in (intervals or {}).get(name, ()):
            axis.axvline(end, color=ORANGE, linewidth=1.1, linestyle=(0, (4, 3)))
        axis.set_title(name, fontsize=9.5)
        axis.set_yticks([])
        plain(axis)
        axis.spines["left"].set_visible(False)
        axis.set_xlabel(f"{known.size:,} data sets", fontsize=SMALL)
    return axes


def _draws(found: Bootstrap) -> dict[str, ArrayLike]:
    """The refits that converged, by name."""
    good = found.replicates[found.refits.good]
    return {name: good[:, j] for j, name in enumerate(found.names)}


def _panels(ax: Any, count: int, height: float) -> Any:
    """Axes in rows of at most three, those left over taken away."""
    if ax is not None:
        return np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    across = min(count, 3)
    down = -(-count // across)
    figure, axes = pyplot().subplots(
        down, across, figsize=(3.1 * across, height * down), layout="constrained", squeeze=False
    )
    for axis in axes.ravel()[count:]:
        figure.delaxes(axis)
    return axes.ravel()[:count]
