"""Escapes and small pieces of markdown, HTML and LaTeX."""

from __future__ import annotations

import html
from collections.abc import Sequence

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{sign: "\\" + sign for sign in "&%$#_{}"},
}


def markdown(text: str) -> str:
    """Text with the signs that markdown would read escaped."""
    return text.strip().replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")


def latex(text: str) -> str:
    """Text with the signs that LaTeX would read escaped."""
    return "".join(_LATEX.get(sign, sign) for sign in text.strip())


def caption(title: str) -> str:
    """A table's caption, bold and left."""
    return f'<caption style="text-align:left"><b>{html.escape(title)}</b></caption>'


def html_row(tag: str, cells: Sequence[str], sides: Sequence[str]) -> str:
    """One row of cells, each set on its side."""
    inner = "".join(
        f'<{tag} style="text-align:{side}">{html.escape(cell.strip())}</{tag}>'
        for cell, side in zip(cells, sides, strict=True)
    )
    return f"<tr>{inner}</tr>"
