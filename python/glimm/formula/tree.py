"""Tokens -> tree. Operators are rows of one table; what is inside a function call stays Python."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import FormulaError
from .tokens import Token


@dataclass(frozen=True, slots=True)
class Operator:
    """A row of the operator table: how tightly it binds, and whether it may stand before a term."""

    symbol: str
    binds: int
    meaning: str
    prefix: bool = False
    right: bool = False


OPERATORS: dict[str, Operator] = {
    row.symbol: row
    for row in (
        Operator("~", 1, "response ~ terms"),
        Operator("|", 2, "columns | group, correlated"),
        Operator("||", 2, "columns || group, independent"),
        Operator("+", 3, "and", prefix=True),
        Operator("-", 3, "without", prefix=True),
        Operator("*", 4, "main effects and interaction"),
        Operator("/", 4, "nested within"),
        Operator("%in%", 4, "nested in"),
        Operator(":", 5, "interaction"),
        Operator("^", 6, "all interactions up to an order", right=True),
        Operator("**", 6, "all interactions up to an order", right=True),
    )
}


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the tree; it covers ``text[start:end]`` of the formula.

    `kind` is one of name, number, string, call (parts: its arguments), python (text taken as
    Python), paren (one part, then its options), option (`text` is its name, as in ``name=value``;
    one part), operator (one or two parts; `text` is the symbol).
    """

    kind: str
    text: str
    start: int
    end: int
    parts: tuple[Node, ...] = ()

    def is_operator(self, *symbols: str) -> bool:
        """Whether this is one of these operators."""
        return self.kind == "operator" and self.text in symbols


def build_tree(text: str, tokens: tuple[Token, ...]) -> Node:
    """Return the tree of a formula.

    Raises
    ------
    FormulaError
        Where an operator lacks a term, or two terms follow each other without an operator.

    Examples
    --------
    >>> from glimm.formula.tokens import tokenize
    >>> text = "y ~ log(x) + (1 | g)"
    >>> print(show(build_tree(text, tokenize(text))))
    (~ y (+ (log x) (paren (| 1 g))))
    """
    if not tokens:
        raise FormulaError("the formula is empty", text, 0, 1, "for example y ~ x + (1 | group)")
    reader = _Reader(text, tokens)
    node = reader.expression(0)
    if reader.peek() is not None:
        raise reader.unexpected()
    return node


def show(node: Node) -> str:
    """Return the tree as nested brackets, operator first."""
    if not node.parts and node.kind != "call":
        return node.text
    head = "paren" if node.kind == "paren" else node.text
    return "(" + " ".join([head, *map(show, node.parts)]) + ")"


class _Reader:
    """A cursor over the tokens, climbing by how tightly operators bind."""

    def __init__(self, text: str, tokens: tuple[Token, ...]) -> None:
        self.text = text
        self.tokens = tokens
        self.at = 0
        self.depth = 0

    def peek(self, ahead: int = 0) -> Token | None:
        at = self.at + ahead
        return self.tokens[at] if at < len(self.tokens) else None

    def take(self) -> Token:
        self.at += 1
        return self.tokens[self.at - 1]

    def expression(self, binds: int) -> Node:
        left = self.operand()
        while (row := self.operator()) is not None and row.binds > binds:
            symbol = self.take()
            right = self.expression(row.binds - row.right)
            left = Node("operator", symbol.text, left.start, right.end, (left, right))
        return left

    def operator(self) -> Operator | None:
        token = self.peek()
        if token is None or token.kind == "close" or (token.text == "," and self.depth):
            return None
        row = OPERATORS.get(token.text) if token.kind == "operator" else None
        if row is None:
            raise self.unexpected()
        return row

    def operand(self) -> Node:
        token = self.peek()
        if token is None or token.kind == "close":
            raise self.nothing_here(token)
        if token.kind == "operator":
            return self.prefix(token)
        if token.text == "(":
            return self.parenthesis()
        if token.text == "{":
            return self.python_block()
        following = self.peek(1)
        if token.kind in ("name", "quoted") and following and following.text == "(":
            return self.call()
        self.take()
        kind = "name" if token.kind == "quoted" else token.kind
        return Node(kind, token.text.strip("`"), token.start, token.end)

    def prefix(self, token: Token) -> Node:
        row = OPERATORS.get(token.text)
        if row is None:
            raise self.unexpected()
        if not row.prefix:
            raise self.nothing_here(token)
        self.take()
        inner = self.expression(row.binds)
        return Node("operator", token.text, token.start, inner.end, (inner,))

    def parenthesis(self) -> Node:
        opening = self.take()
        self.depth += 1
        inner = self.expression(0)
        options = []
        while inner.is_operator("|", "||") and (comma := self.peek()) and comma.text == ",":
            options.append(self.option())
        self.depth -= 1
        if (closing := self.peek()) is None or closing.text != ")":
            raise self.unexpected()
        self.take()
        return Node("paren", "", opening.start, closing.end, (inner, *options))

    def option(self) -> Node:
        """What stands behind a comma of a random-effect term: ``name=value``."""
        comma = self.take()
        name, equals, value = self.peek(), self.peek(1), self.peek(2)
        if (
            name is None or equals is None or value is None
            or (name.kind, equals.text) != ("name", "=") or value.kind not in ("name", "quoted")
        ):  # fmt: skip
            message = "what stands behind the comma cannot be read"
            allowed = "the name of a relation, as in (1 | animal, pedigree=ped)"
            at = name or comma
            raise FormulaError(
                message, self.text, at.start, at.end, allowed, code="formula_random_term"
            )
        self.at += 3
        inner = Node("name", value.text.strip("`"), value.start, value.end)
        return Node("option", name.text, name.start, value.end, (inner,))

    def python_block(self) -> Node:
        start = self.at
        end = self._closing(start)
        self.at = end + 1
        first, last = self.tokens[start], self.tokens[end]
        inside = self.text[first.end : last.start].strip()
        return Node("python", inside, first.start, last.end)

    def call(self) -> Node:
        name = self.take()
        opening = self.at
        closing = self._closing(opening)
        arguments = self._arguments(opening + 1, closing)
        self.at = closing + 1
        end = self.tokens[closing].end
        return Node("call", name.text.strip("`"), name.start, end, arguments)

    def _arguments(self, start: int, closing: int) -> tuple[Node, ...]:
        """Split at commas outside inner brackets; each argument stays as it was written."""
        nodes: list[Node] = []
        depth, first = 0, start
        for at in range(start, closing + 1):
            token = self.tokens[at]
            if at == closing or (depth == 0 and token.text == ","):
                if at > first:
                    a, b = self.tokens[first].start, self.tokens[at - 1].end
                    nodes.append(Node("python", self.text[a:b], a, b))
                first = at + 1
            depth += (token.kind == "open") - (token.kind == "close")
        return tuple(nodes)

    def _closing(self, opening: int) -> int:
        depth = 0
        for at in range(opening, len(self.tokens)):
            kind = self.tokens[at].kind
            depth += (kind == "open") - (kind == "close")
            if depth == 0:
                return at
        raise AssertionError("brackets were checked by the tokenizer")

    def nothing_here(self, token: Token | None) -> FormulaError:
        before = self.tokens[self.at - 1] if self.at else None
        marked = token or before
        assert marked is not None
        bars = ("|", "||")
        if before is not None and before.text in bars:
            message, allowed = "the group is missing after |", "a column name, as in (1 | group)"
        elif token is not None and token.text in bars:
            message, allowed = "the columns are missing before |", "1 or columns, as in (1 | group)"
        else:
            what = "at the end of the formula" if token is None else f"before {marked.text!r}"
            message = f"a term is missing {what}"
            allowed = "a column, a function of columns, 1, 0, or a term in brackets"
        return FormulaError(message, self.text, marked.start, marked.end, allowed)

    def unexpected(self) -> FormulaError:
        token = self.peek()
        assert token is not None
        if token.kind == "operator":
            message = f"{token.text!r} cannot stand here"
            allowed = f"{' '.join(OPERATORS)}; other arithmetic inside I(...), as in I(x > 1)"
            return FormulaError(message, self.text, token.start, token.end, allowed)
        before = self.tokens[self.at - 1]
        message = f"an operator is missing between {before.text!r} and {token.text!r}"
        allowed = "+ between terms; a name that holds spaces or signs stands in `backticks`"
        return FormulaError(message, self.text, before.start, token.end, allowed)
