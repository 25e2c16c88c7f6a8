"""One description of a result, drawn as text, markdown, HTML, LaTeX or a frame."""

from __future__ import annotations

from .blocks import WIDTH, Block, Bullets, Column, Facts, Table, draw
from .cells import Cell, Format, decimals_for, even_decimals, format_p
from .printed import Framed, Printed

__all__ = [
    "WIDTH",
    "Block",
    "Bullets",
    "Cell",
    "Column",
    "Facts",
    "Format",
    "Framed",
    "Printed",
    "Table",
    "decimals_for",
    "draw",
    "even_decimals",
    "format_p",
]
