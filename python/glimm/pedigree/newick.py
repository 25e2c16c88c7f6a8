"""Trees written as Newick text."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from ..errors import DataError

_TOKEN = re.compile(r"\s+|'(?:[^']|'')*'|[(),:;]|\[|[^\s(),:;\[\]']+|.", re.S)
_AROUND = 30
"""Characters of the text that a message shows on either side."""


@dataclass(slots=True)
class Tree:
    """Nodes of a tree, parents first; the root is node 0.

    Attributes
    ----------
    parent : list of int
        -1 for the root.
    length : list of float
        Of the branch to the parent; NaN where the text has none.
    label : list of str
        Empty where the text has none.
    place : list of int
        Where in the text a node ends.
    """

    parent: list[int] = field(default_factory=list)
    length: list[float] = field(default_factory=list)
    label: list[str] = field(default_factory=list)
    place: list[int] = field(default_factory=list)

    def add(self, parent: int, place: int) -> int:
        """Add a node and return its number."""
        self.parent.append(parent)
        self.length.append(math.nan)
        self.label.append("")
        self.place.append(place)
        return len(self.parent) - 1


def wrong(text: str, at: int, what: str) -> DataError:
    """An error that shows the place in the text."""
    start, end = max(0, at - _AROUND), min(len(text), at + _AROUND)
    piece = "".join(" " if c.isspace() else c for c in text[start:end])
    mark = " " * (at - start) + "^"
    message = f"the tree cannot be read at character {at}: {what}\n  {piece}\n  {mark}"
    return DataError(message, code="newick")


def read_newick(text: str) -> Tree:
    """Read one tree: nested parentheses, labels (quoted or not), lengths after colons, comments.

    Raises
    ------
    DataError
        Code ``"newick"``, with the position.

    Examples
    --------
    >>> tree = read_newick("((a:1,'b c':1)x:2,d:3);")
    >>> tree.label
    ['', 'x', 'a', 'b c', 'd']
    >>> tree.parent
    [-1, 0, 1, 1, 0]
    """
    tree = Tree()
    here, before = -1, ""
    open_nodes: list[int] = []
    at, end = 0, len(text)
    while at < end:
        match = _TOKEN.match(text, at)
        assert match is not None
        token, place, at = match.group(), at, match.end()
        if token.isspace():
            continue
        if token == "[":
            at = _after_comment(text, place)
            continue
        if before == ";":
            raise wrong(text, place, "text after the tree; give one tree, with one ; at its end")
        if token == "(":
            if before not in ("", "(", ","):
                raise wrong(text, place, "a parenthesis opens where a label or , is due")
            open_nodes.append(tree.add(open_nodes[-1] if open_nodes else -1, place))
        elif token in (",", ")", ";"):
            if before in ("(", ",", ""):
                here = tree.add(open_nodes[-1] if open_nodes else -1, place)
                raise wrong(text, place, "a label is missing")
            if token != ";" and not open_nodes:
                raise wrong(text, place, f"{token} outside of all parentheses")
            if token == ")":
                here = open_nodes.pop()
                tree.place[here] = place
            if token == ";" and open_nodes:
                raise wrong(text, place, f"{len(open_nodes)} parentheses are still open")
        elif token == ":":
            if before not in (")", "label"):
                raise wrong(text, place, "a branch length without a node")
        elif before == ":":
            tree.length[here] = _length(text, place, token)
            token = "length"
        else:
            if before not in ("", "(", ",", ")"):
                raise wrong(text, place, "a label where , or ) is due; quote labels with spaces")
            if before != ")":
                here = tree.add(open_nodes[-1] if open_nodes else -1, place)
            tree.label[here] = _label(token)
            token = "label"
        before = token
    if before != ";":
        raise wrong(text, end, "the ; at the end is missing")
    return tree


def _after_comment(text: str, start: int) -> int:
    """Where a comment in brackets, which may hold others, ends."""
    depth = 0
    for at in range(start, len(text)):
        depth += {"[": 1, "]": -1}.get(text[at], 0)
        if depth == 0:
            return at + 1
    raise wrong(text, start, "a comment that is not closed")


def _label(token: str) -> str:
    return token[1:-1].replace("''", "'") if token.startswith("'") else token


def _length(text: str, place: int, token: str) -> float:
    try:
        length = float(token)
    except ValueError:
        raise wrong(text, place, f"{token!r} is no branch length") from None
    if not (math.isfinite(length) and length >= 0):
        raise wrong(text, place, f"a branch length of {token}; it must be finite and not negative")
    return length
