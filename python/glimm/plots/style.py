"""What the pictures share: colours that the colour-blind tell apart, and plain axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import FitError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#777777"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, "#E69F00", "#56B4E9")
"""Okabe and Ito (2008); lines also differ in dashes and markers, for print in black."""
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
MARKERS = "osD^vP"
SMALL = 8.5


def new_axes(ax: Any, width: float, height: float) -> Axes:
    """Return the axes given, or new ones of a size in inches.

    Raises
    ------
    FitError
        When matplotlib is not installed.
    """
    if ax is not None:
        found: Axes = ax
        return found
    return pyplot().subplots(figsize=(width, height), layout="constrained")[1]  # type: ignore[no-any-return]


def pyplot() -> Any:
    """Return matplotlib.pyplot.

    Raises
    ------
    FitError
        When matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot
    except ModuleNotFoundError as error:
        message = "pictures need matplotlib: pip install 'glimm[plots]'"
        raise FitError(message, code="unknown_option") from error
    return pyplot


def plain(ax: Axes, grid: str = "") -> None:
    """Take the box away; faint lines across the axis named."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    if grid:
        ax.grid(axis=grid, color="0.9", linewidth=0.7)  # type: ignore[arg-type]
        ax.set_axisbelow(True)


def ratio_axis(ax: Axes, low: float, high: float) -> None:
    """Make the x axis logarithmic with round numbers, such as 0.2, 0.5, 1, 2, 5."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    ax.set_xscale("log")
    steps = (1.0, 2.0, 5.0) if high / low < 1000 else (1.0,)
    marks = [m * 10.0**e for e in range(-12, 13) for m in steps]
    inside = [m for m in marks if low <= m <= high]
    if len(inside) < 3:
        fine = [m * 10.0**e for e in range(-12, 13) for m in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)]
        inside = [m for m in fine if low <= m <= high]
    ax.xaxis.set_major_locator(FixedLocator(inside))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
