"""Power curves, profiles and bootstrap distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..power import PowerCurve
from .style import BLUE, COLOURS, DASHES, GREY, MARKERS, ORANGE, SMALL, new_axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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


def profile(found: Any, *, ax: Any = None) -> Any:
    """Not there yet."""
    raise NotImplementedError(BLUE + ORANGE)


def bootstrap(found: Any, *, ax: Any = None) -> Any:
    """Not there yet."""
    raise NotImplementedError
