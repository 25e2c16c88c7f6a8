"""Formula text -> tokens, each with its place in the text; brackets are checked here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import FormulaError

_PATTERN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
  | (?P<name>[^\W\d][\w.]*|\.(?![\w.]))
  | (?P<quoted>`[^`]+`)
  | (?P<string>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")
  | (?P<operator>%in%|\|\||\*\*|//|==|!=|<=|>=|[~|+\-*/:^=<>&%,@])
  | (?P<open>[(\[{])
  | (?P<close>[)\]}])
    """,
    re.VERBOSE,
)
_CLOSES = {"(": ")", "[": "]", "{": "}"}
_UNCLOSED = {"`": "a closing backtick", "'": "a closing quote", '"': "a closing quote"}


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a formula: ``text[start:end]`` of the formula's text.

    `kind` is one of number, name, quoted (a name in backticks), string, operator, open, close.
    """

    kind: str
    text: str
    start: int
    end: int


def tokenize(text: str) -> tuple[Token, ...]:
    """Return the tokens of a formula, with brackets in balance.

    Raises
    ------
    FormulaError
        For a character that has no place in a formula, a quote without its end, or brackets that
        do not match.

    Examples
    --------
    >>> print(show(tokenize("y ~ (1 | g)")))
    name:y operator:~ open:( number:1 operator:| name:g close:)
    """
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        match = _PATTERN.match(text, position)
        if match is None or match.lastgroup is None:
            raise _unreadable(text, position)
        if match.lastgroup != "space":
            tokens.append(Token(match.lastgroup, match.group(), *match.span()))
        position = match.end()
    _check_brackets(text, tokens)
    return tuple(tokens)


def show(tokens: Iterable[Token]) -> str:
    """Return the tokens on one line, as ``kind:text``."""
    return " ".join(f"{token.kind}:{token.text}" for token in tokens)


def _unreadable(text: str, position: int) -> FormulaError:
    character = text[position]
    if character in _UNCLOSED:
        wanted = _UNCLOSED[character]
        return FormulaError(
            f"{character} opens here and never closes", text, position, len(text), wanted
        )
    end = re.compile(r"[\w.]+|.", re.DOTALL).match(text, position)
    piece = end.group() if end else character
    allowed = "names, numbers, + - * / : ^ | ~ and brackets; other column names in `backticks`"
    return FormulaError(
        f"{piece!r} has no meaning in a formula", text, position, position + len(piece), allowed
    )


def _check_brackets(text: str, tokens: list[Token]) -> None:
    opened: list[Token] = []
    for token in tokens:
        if token.kind == "open":
            opened.append(token)
        elif token.kind == "close":
            if not opened or _CLOSES[opened[-1].text] != token.text:
                message = f"{token.text!r} closes a bracket that was not opened"
                raise FormulaError(message, text, token.start, token.end, _wanted(opened))
            opened.pop()
    if opened:
        last = opened[-1]
        message = f"the bracket {last.text!r} is never closed"
        allowed = f"{_CLOSES[last.text]!r} after what it encloses"
        raise FormulaError(message, text, last.start, last.end, allowed)


def _wanted(opened: list[Token]) -> str:
    if opened:
        return f"{_CLOSES[opened[-1].text]!r}, which closes the bracket opened last"
    return "as many closing as opening brackets"
