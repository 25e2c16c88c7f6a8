"""Where the variance of traits comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import DataError, listed
from ..genetics import Heritability
from .style import COLOURS, SMALL, new_axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SUMS = ("repeatability", "total heritability")
_ROW = 0.55


def shares(
    found: Heritability | Mapping[str, Heritability], *, scale: str = "", ax: Any = None
) -> Axes:
    """Draw the shares of the phenotypic variance, one bar for each trait and scale.

    Whiskers are the interval of the first share: that of the additive variance.

    Parameters
    ----------
    found : Heritability or mapping of str to Heritability
        Several traits by name.
    scale : str
        ``"latent"``, ``"liability"``, ``"expected"`` or ``"observed"``; all by default.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    bars = _bars({"": found} if isinstance(found, Heritability) else dict(found), scale)
    axes = new_axes(ax, 7.0, 1.1 + _ROW * len(bars))
    names = list(dict.fromkeys(name for *_, parts in bars for name, _ in parts))
    for at, (_, _, parts) in enumerate(bars):
        left = 0.0
        for name, share in parts:
            colour = "0.85" if name == "rest" else COLOURS[names.index(name) % len(COLOURS)]
            axes.barh(at, share, left=left, height=0.6, color=colour, label=name)
            left += share
    for at, (_, (lower, upper), _) in enumerate(bars):
        axes.plot([lower, upper], [at, at], color="black", linewidth=1.4, marker="|")
    axes.set_yticks(range(len(bars)), [label for label, *_ in bars], fontsize=SMALL)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of the phenotypic variance")
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    axes.legend(
        once.values(), once.keys(), ncols=4, fontsize=SMALL, frameon=False, loc="lower left",
        bbox_to_anchor=(0, 1),
    )  # fmt: skip
    plain(axes, "x")
    return axes


def _plainly(name: str) -> str:
    """The name of a component from that of its share."""
    known = {"h2": "additive", "lambda": "phylogenetic"}
    return known.get(name, name.removeprefix("share[").removesuffix("]"))


Bar = tuple[str, tuple[float, float], list[tuple[str, float]]]


def _bars(found: Mapping[str, Heritability], scale: str) -> list[Bar]:
    bars: list[Bar] = []
    for title, one in found.items():
        lines = [line for line in one.lines if line.kind == "share" and line.name not in _SUMS]
        for trait, where in dict.fromkeys((line.trait, line.scale) for line in lines):
            if scale not in ("", where):
                continue
            own = [line for line in lines if (line.trait, line.scale) == (trait, where)]
            parts = [(_plainly(line.name), line.estimate) for line in own]
            rest = 1 - sum(share for _, share in parts)
            parts += [("rest", rest)] if rest > 1e-9 else []
            label = ", ".join(filter(None, (title, trait, where)))
            bars.append((label, (own[0].lower, own[0].upper), parts))
    if not bars:
        known = listed(sorted({line.scale for one in found.values() for line in one.lines}))
        raise DataError(f"scale={scale!r}; use {known}", code="unknown_option")
    return bars
