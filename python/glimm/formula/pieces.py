"""Pieces of formulas that need no place in them: nodes below a node, words of R, groups."""

from __future__ import annotations

from collections.abc import Iterator

from .formula import RandomTerm
from .tokens import Token
from .tree import Node


def walk(node: Node) -> Iterator[Node]:
    """Give a node and all below it; a function call counts as one."""
    yield node
    if node.kind != "call":
        for part in node.parts:
            yield from walk(part)


def word(token: Token) -> str:
    """Return R's words in Python: x^2 is x**2, TRUE is True; a dotted name is a column."""
    if token.text == "^":
        return "**"
    if token.kind == "name" and token.text in ("TRUE", "FALSE"):
        return token.text.capitalize()
    if token.kind == "name" and "." in token.text and not token.text.startswith(("np.", "contr.")):
        return f"`{token.text}`"
    return token.text


def python_spans(node: Node) -> list[tuple[int, int]]:
    """Return where a node holds Python."""
    return [(n.start, n.end) for n in walk(node) if n.kind in ("call", "python")]


def union(*groups: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns of several groups, each once."""
    return tuple(dict.fromkeys(name for group in groups for name in group))


def same(a: RandomTerm, b: RandomTerm) -> bool:
    """Whether two terms are written for the same effects."""
    squeezed = "".join(a.columns.split()), "".join(b.columns.split())
    alike = set(a.group) == set(b.group) and squeezed[0] == squeezed[1]
    return alike and a.relation == b.relation
