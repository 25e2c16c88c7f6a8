"""Linear hypotheses in words: "period2 = period3", "a - 2*b = 0.5"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import FormulaError, listed, nearest_first

Array = NDArray[np.float64]

_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_QUOTED = re.compile(r"`([^`]*)`|\"([^\"]*)\"|'([^']*)'")
_WORD = re.compile(r"[\w.:\[\]()]+")


@dataclass(frozen=True, slots=True)
class _Token:
    """A sign, a number or the place of a coefficient, and where it stands."""

    kind: str
    value: float
    start: int
    end: int


def read(text: str, names: Sequence[str]) -> tuple[Array, float]:
    """Read a hypothesis as a row of coefficients and the value that it states.

    Sums of coefficients, numbers and numbers times coefficients, with or without ``=``; a
    combination alone is compared with zero.

    Parameters
    ----------
    text : str
        Names that hold signs or blanks stand in backticks or quotes.
    names : sequence of str, (p,)

    Returns
    -------
    row : ndarray, (p,)
    value : float

    Raises
    ------
    FormulaError
        With the piece marked that is no coefficient, or cannot stand there.

    Examples
    --------
    >>> row, value = read("a - 2*b = 0.5", ["a", "b"])
    >>> row.tolist(), value
    ([1.0, -2.0], 0.5)
    """
    tokens = _tokens(text, names)
    row, value, side, at = np.zeros(len(names)), 0.0, 1.0, 0
    while at < len(tokens) or at == 0:
        sign, fresh = side, at == 0 or (side < 0 and tokens[at - 1].kind == "=")
        while at < len(tokens) and tokens[at].kind in "+-":
            sign, at, fresh = sign * (1.0 if tokens[at].kind == "+" else -1.0), at + 1, True
        if not fresh:
            raise _wrong(text, tokens[at], "there is no sign before this", "+, -, * or =")
        number, place, at = _product(text, tokens, at)
        if place is None:
            value -= sign * number
        else:
            row[place] += sign * number
        if at < len(tokens) and tokens[at].kind == "=":
            if side < 0:
                raise _wrong(text, tokens[at], "there is a second '='", "one '='; use a list")
            side, at = -1.0, at + 1
            if at == len(tokens):
                raise _wrong(text, tokens[-1], "nothing follows", "a number or a coefficient")
    return row, value + 0.0


def _product(text: str, tokens: list[_Token], at: int) -> tuple[float, int | None, int]:
    """Read numbers and at most one coefficient joined by ``*``."""
    number, place = 1.0, None
    while True:
        if at == len(tokens) or tokens[at].kind not in ("number", "name"):
            token = tokens[at] if at < len(tokens) else _Token("end", 0, len(text), len(text) + 1)
            raise _wrong(text, token, "something is missing", "a number or a coefficient here")
        token = tokens[at]
        if token.kind == "number":
            number *= token.value
        elif place is None:
            place = int(token.value)
        else:
            raise _wrong(text, token, "products of coefficients are not linear", "one coefficient")
        at += 1
        if at == len(tokens) or tokens[at].kind != "*":
            return number, place, at
        at += 1


def _tokens(text: str, names: Sequence[str]) -> list[_Token]:
    """Split a text into signs, numbers and coefficients, the longest name first."""
    found, at = [], 0
    longest = sorted(names, key=len, reverse=True)
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        token = _token(text, at, names, longest)
        found.append(token)
        at = token.end
    return found


def _token(text: str, at: int, names: Sequence[str], longest: list[str]) -> _Token:
    if text[at] in "+-*=":
        return _Token(text[at], 0.0, at, at + 1)
    if quoted := _QUOTED.match(text, at):
        name = next(part for part in quoted.groups() if part is not None)
        if name not in names:
            raise _unknown(text, at, quoted.end(), name, names)
        return _Token("name", names.index(name), at, quoted.end())
    for name in longest:
        if name and text.startswith(name, at) and not _continues(text, at + len(name), name):
            return _Token("name", names.index(name), at, at + len(name))
    if number := _NUMBER.match(text, at):
        return _Token("number", float(number.group()), at, number.end())
    word = _WORD.match(text, at)
    end = word.end() if word else at + 1
    raise _unknown(text, at, end, text[at:end], names)


def _continues(text: str, end: int, name: str) -> bool:
    """Whether a longer word goes on after a name."""
    inside = name[-1].isalnum() or name[-1] == "_"
    return inside and end < len(text) and (text[end].isalnum() or text[end] in "_.:[(")


def _unknown(text: str, at: int, end: int, name: str, names: Sequence[str]) -> FormulaError:
    allowed = f"{listed(nearest_first(name, names))}; odd names in backticks"
    message = f"no coefficient is called {name!r}"
    return FormulaError(message, text, at, end, allowed, code="unknown_coefficient")


def _wrong(text: str, token: _Token, message: str, allowed: str) -> FormulaError:
    return FormulaError(message, text, token.start, token.end, allowed)
