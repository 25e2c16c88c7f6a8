"""Blocks of a printed result, each drawn as text, markdown, HTML or LaTeX.

A result is a sequence of blocks: `Table` (numbers), `Facts` (label and words), `Bullets`
(sentences under a heading). Values stay values until drawn, so that `Table.to_frame` is exact.
"""

from __future__ import annotations

import html
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ..data import Kind, frame_like
from .cells import Cell, Format, array, write
from .markup import caption, html_row, latex, markdown

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDTH = 88  # of text that does not go to a terminal, so that it is the same everywhere


class Block(Protocol):
    """A part of a printed result."""

    def rich(self) -> RenderableType:
        """The block for a terminal."""

    def to_markdown(self) -> str:
        """The block in markdown."""

    def to_html(self) -> str:
        """The block in HTML."""

    def to_latex(self) -> str:
        """The block in LaTeX."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a `Table`.

    Attributes
    ----------
    head : str
        What stands over the column.
    format : {"text", "integer", "number", "ratio", "p"}
        How its values are written; text is set left, all else right.
    key : str
        Name of the column in `Table.to_frame`; empty means `head`.
    """

    head: str
    format: Format = "text"
    key: str = ""

    @property
    def align(self) -> Literal["left", "right"]:
        """Side on which the column is set."""
        return "left" if self.format == "text" else "right"


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table of values.

    Attributes
    ----------
    title : str
        One line over the table.
    columns : tuple of Column
    rows : tuple of tuples
        Values, one tuple per row, one value per column; None is an empty cell.
    notes : tuple of str
        Sentences under the table.
    decimals : tuple of int
        Decimals of the "number" cells of each row; empty: every column finds its own.

    Examples
    --------
    >>> from glimm.tables import Column, Table
    >>> columns = (Column("name"), Column("sd", "number"))
    >>> print(Table("Spread", columns, (("a", 1.5), ("b", 0.25))).to_text())
    Spread
    name     sd
    ───────────
    a     1.500
    b     0.250
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    decimals: tuple[int, ...] = ()

    def cells(self) -> list[list[str]]:
        """The cells as they are written, row by row."""
        written = [
            write(column.format, [row[j] for row in self.rows], self.decimals)
            for j, column in enumerate(self.columns)
        ]
        return [list(row) for row in zip(*written, strict=True)]

    def rich(self) -> RenderableType:
        """The table as a rich renderable."""
        from rich.console import Group
        from rich.table import Table as RichTable
        from rich.text import Text

        grid = RichTable(box=_rule(), show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        for column in self.columns:
            head = Text(column.head, style="dim")
            whole = column.format != "text"
            grid.add_column(head, justify=column.align, overflow="fold", no_wrap=whole)
        for row in self.cells():
            grid.add_row(*(Text(cell) for cell in row))
        notes = [Text(note, style="dim") for note in self.notes]
        return Group(Text(self.title, style="bold"), grid, *notes)

    def to_text(self, width: int = WIDTH) -> str:
        """Plain text of at most `width` characters a line."""
        return draw([self], width=width)

    def to_markdown(self) -> str:
        """A pipe table, its title in bold above it."""
        marks = [":--" if column.align == "left" else "--:" for column in self.columns]
        lines = [[column.head for column in self.columns], *self.cells()]
        rows = [" | ".join(markdown(cell) for cell in line) for line in lines]
        body = "\n".join(f"| {row} |" for row in [rows[0], " | ".join(marks), *rows[1:]])
        notes = "".join(f"\n\n{markdown(note)}" for note in self.notes)
        return f"**{markdown(self.title)}**\n\n{body}{notes}"

    def to_html(self) -> str:
        """A `<table>` with its title as caption."""
        sides = [column.align for column in self.columns]
        head = html_row("th", [column.head for column in self.columns], sides)
        body = "\n".join(html_row("td", row, sides) for row in self.cells())
        notes = "".join(f"\n<p>{html.escape(note)}</p>" for note in self.notes)
        return (
            f"<table>\n{caption(self.title)}\n<thead>\n{head}\n</thead>\n"
            f"<tbody>\n{body}\n</tbody>\n</table>{notes}"
        )

    def to_latex(self) -> str:
        """A `table` for the booktabs package."""
        sides = "".join(column.align[0] for column in self.columns)
        lines = [[column.head for column in self.columns], *self.cells()]
        rows = [" & ".join(latex(cell) for cell in line) + r" \\" for line in lines]
        notes = [rf"\par\smallskip {latex(note)}" for note in self.notes]
        start = [r"\begin{table}", r"\centering", rf"\caption{{{latex(self.title)}}}"]
        top = [rf"\begin{{tabular}}{{{sides}}}", r"\toprule", rows[0], r"\midrule"]
        end = [r"\bottomrule", r"\end{tabular}", *notes, r"\end{table}"]
        return "\n".join([*start, *top, *rows[1:], *end])

    def to_frame(self, kind: Kind = "pandas") -> Any:
        """The exact values as a frame of the kind asked for; empty numbers are NaN."""
        columns = {
            column.key or column.head: array(column.format, [row[j] for row in self.rows])
            for j, column in enumerate(self.columns)
        }
        return frame_like(kind, columns)


@dataclass(frozen=True, slots=True)
class Facts:
    """Lines of a label and words under a heading.

    Attributes
    ----------
    title : str
    lines : tuple of (str, str)
        Label and words of each line.
    """

    title: str
    lines: tuple[tuple[str, str], ...]

    def rich(self) -> RenderableType:
        """The lines as a rich renderable with the words aligned."""
        from rich.console import Group
        from rich.table import Table as RichTable
        from rich.text import Text

        grid = RichTable.grid(padding=(0, 2, 0, 0))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for label, words in self.lines:
            grid.add_row(Text(label), Text(words))
        return Group(Text(self.title, style="bold"), grid)

    def to_markdown(self) -> str:
        """A bulleted list, its heading in bold above it."""
        items = "\n".join(f"- {markdown(label)}: {markdown(words)}" for label, words in self.lines)
        return f"**{markdown(self.title)}**\n\n{items}"

    def to_html(self) -> str:
        """A table of two columns with the heading as caption."""
        rows = "\n".join(html_row("td", line, ["left", "left"]) for line in self.lines)
        return f"<table>\n{caption(self.title)}\n<tbody>\n{rows}\n</tbody>\n</table>"

    def to_latex(self) -> str:
        """A paragraph heading and a `description`."""
        items = [rf"\item[{latex(label)}] {latex(words)}" for label, words in self.lines]
        head = rf"\paragraph{{{latex(self.title)}}}"
        return "\n".join([head, r"\begin{description}", *items, r"\end{description}"])


@dataclass(frozen=True, slots=True)
class Bullets:
    """Sentences under a heading.

    Attributes
    ----------
    title : str
    items : tuple of str
    """

    title: str
    items: tuple[str, ...]

    def rich(self) -> RenderableType:
        """The sentences as a rich renderable, with hanging indents."""
        from rich.console import Group
        from rich.table import Table as RichTable
        from rich.text import Text

        grid = RichTable.grid(padding=(0, 1, 0, 0))
        for item in self.items:
            grid.add_row(Text("-"), Text(item, overflow="fold"))
        return Group(Text(self.title, style="bold"), grid)

    def to_markdown(self) -> str:
        """A bulleted list, its heading in bold above it."""
        items = "\n".join(f"- {markdown(item)}" for item in self.items)
        return f"**{markdown(self.title)}**\n\n{items}"

    def to_html(self) -> str:
        """A heading in bold and a `<ul>`."""
        items = "\n".join(f"<li>{html.escape(item)}</li>" for item in self.items)
        return f"<p><b>{html.escape(self.title)}</b></p>\n<ul>\n{items}\n</ul>"

    def to_latex(self) -> str:
        """A paragraph heading and an `itemize`."""
        items = [rf"\item {latex(item)}" for item in self.items]
        head = rf"\paragraph{{{latex(self.title)}}}"
        return "\n".join([head, r"\begin{itemize}", *items, r"\end{itemize}"])


def draw(blocks: Iterable[Block], *, width: int = WIDTH, colour: bool = False) -> str:
    """Blocks as text with an empty line between them.

    Parameters
    ----------
    blocks : iterable of Block
    width : int
        Longest line, characters.
    colour : bool
        Whether to write terminal codes for bold and dim.

    Returns
    -------
    str
        Lines without trailing blanks; no line end after the last.
    """
    from rich.console import Console

    text = io.StringIO()
    system: Literal["standard"] | None = "standard" if colour else None
    console = Console(
        file=text, width=width, force_terminal=colour, color_system=system, highlight=False,
        legacy_windows=False,
    )  # fmt: skip
    for number, block in enumerate(blocks):
        if number:
            console.print()
        console.print(block.rich())
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def _rule() -> Any:
    """A box with nothing but a line under the head."""
    from rich.box import Box

    blank = "    \n"
    return Box(blank + blank + " ── \n" + blank * 5)
