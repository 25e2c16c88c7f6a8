"""Tree -> terms: the response, the fixed part for formulaic, offsets and random-effect terms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from ..errors import FormulaError
from .expressions import FUNCTIONS, ExpressionError, check_function, quoted, uses
from .formula import Formula, RandomTerm, Response
from .pieces import python_spans, same, union, walk, word
from .structures import RELATIONS, STRUCTURES, StructureWords
from .tokens import Token, tokenize
from .tree import Node, build_tree

_EXAMPLE = "a term such as (1 + x | group)"
_STRUCTURES = "(columns | group) for any covariance, (columns || group) for independent columns"
_MEMBERS = "columns that hold groups: (1 | mm(a, b)) or (1 | mm(a, b, weights=(v, w)))"
_TWO = 2
RESIDUAL = "residual"
_RESIDUAL = "residual(0 + trait | record), once, with one column that holds records"
_GROUPS = "column names joined by : (interaction) or / (nesting), as in (1 | school/class)"


@lru_cache(maxsize=512)
def parse_side(text: str) -> Formula:
    """Take apart a formula without a response, such as ``"~ x + (1 | group)"``.

    Parameters
    ----------
    text : str
        The right-hand side of `parse`, after ``~``.

    Returns
    -------
    Formula
        With a response of no expressions.

    Raises
    ------
    FormulaError
        When the text cannot be read, or has a left-hand side.

    Examples
    --------
    >>> from glimm.formula.formula import show
    >>> print(show(parse_side("~ x + (1 |a| group)")))
    fixed     x
    random    us: 1 by group, label a
    """
    return _Terms(text).one_sided()


@lru_cache(maxsize=512)
def parse(text: str) -> Formula:
    """Take a formula apart.

    Parameters
    ----------
    text : str
        A formula in the notation of lme4: ``"y ~ x + (1 + x | group)"``. The response is a column,
        an expression, ``cbind(successes, failures)`` or ``successes / trials``. Fixed effects are
        those of formulaic; ``offset(...)`` adds a known part to the linear predictor.

    Returns
    -------
    Formula

    Raises
    ------
    FormulaError
        When the text cannot be read; the message marks the piece.

    Examples
    --------
    >>> from glimm.formula.formula import show
    >>> print(show(parse("y ~ log(x) + offset(t) + (1 + x | school/class)")))
    response  plain: y
    fixed     log(x)
    offset    t
    random    us: 1 + x by school
    random    us: 1 + x by school:class
    """
    return _Terms(text).formula()


class _Terms:
    """One walk over the tree of a formula."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokenize(text)
        self.offsets: list[str] = []
        self.random: list[RandomTerm] = []

    def formula(self) -> Formula:
        left, right = self.sides(build_tree(self.text, self.tokens))
        return self.terms(self.response(left), right)

    def one_sided(self) -> Formula:
        tilde = self.tokens[0] if self.tokens else None
        if tilde is None or tilde.text != "~":
            message = "a formula for a part of a model begins with ~"
            allowed = "~ terms, as in ~ x + (1 | group)"
            raise FormulaError(message, self.text, 0, max(len(self.text), 1), allowed)
        return self.terms(Response("plain", (), ""), build_tree(self.text, self.tokens[1:]))

    def terms(self, response: Response, right: Node) -> Formula:
        if right.is_operator("|", "||"):
            allowed = f"({self.raw(right)})"
            raise self.term_error("a random-effect term stands in brackets", right, allowed)
        pieces = list(self.summands(right))
        fixed = " ".join(pieces).removeprefix("+ ") or "1"
        return Formula(self.text, response, fixed, tuple(self.offsets), tuple(self.random))

    def sides(self, tree: Node) -> tuple[Node, Node]:
        if not tree.is_operator("~"):
            allowed = "response ~ terms, as in y ~ x + (1 | group)"
            raise self.error("the formula has no ~", tree, allowed)
        left, right = tree.parts
        for side in tree.parts:
            for node in walk(side):
                if node.is_operator("~"):
                    raise self.error("a formula has one ~ only", node, "response ~ terms")
        return left, right

    # The left-hand side

    def response(self, node: Node) -> Response:
        raw = self.raw(node)
        if node.kind == "call" and node.text == "cbind":
            if len(node.parts) != 2:
                message = f"cbind() has {len(node.parts)} parts"
                raise self.error(message, node, "cbind(successes, failures)", "formula_response")
            return Response("cbind", tuple(map(self.expression, node.parts)), raw)
        if node.is_operator("/"):
            return Response("ratio", tuple(map(self.expression, node.parts)), raw)
        return Response("plain", (self.expression(node),), raw)

    def expression(self, node: Node) -> str:
        """A column's name, in backticks if need be, or a Python expression."""
        if node.kind == "name":
            if node.text == ".":
                raise self.error("'.' as the response", node, "a column name", "formula_response")
            return quoted(node.text)
        if node.kind == "paren":
            return self.expression(node.parts[0])
        if node.kind == "call" and node.text == "cbind":
            message = "cbind() is the whole response or none of it"
            raise self.error(message, node, "cbind(a, b) ~ ...", "formula_response")
        if node.kind in ("call", "python"):
            if node.kind == "python" and (name := self.single_name(node)):
                return quoted(name)
            self.check(node)
            return self.code(node)
        raise self.error(
            "the response is one column or one expression",
            node,
            f"y, log(y), I({self.raw(node)}), cbind(successes, failures) or successes / trials",
            "formula_response",
        )

    # The right-hand side

    def summands(self, node: Node, sign: str = "+") -> Iterator[str]:
        """Give the fixed pieces, each after its sign; keep offsets and random terms aside."""
        if node.is_operator("+", "-"):
            *first, last = node.parts
            for part in first:
                yield from self.summands(part, sign)
            flips = node.text == "-"
            yield from self.summands(last, {"+": "-", "-": "+"}[sign] if flips else sign)
        elif bar := self.bar(node):
            self.refuse_minus(node, sign)
            relation = self.relation(self.brackets(node).parts[1:])
            self.random_terms(node, bar, "us" if bar.text == "|" else "diag", relation)
        elif node.kind == "call" and self.has_bar(node):
            self.refuse_minus(node, sign)
            self.structured(node)
        elif node.kind == "paren" and any(map(self.special, walk(node))):
            yield from self.summands(node.parts[0], sign)
        elif node.kind == "call" and node.text == "offset":
            self.refuse_minus(node, sign)
            self.offset(node)
        else:
            self.fixed(node)
            yield f"{sign} {self.code(node)}"

    def special(self, node: Node) -> bool:
        if node.is_operator("|", "||"):
            return True
        return node.kind == "call" and (node.text == "offset" or self.has_bar(node))

    def refuse_minus(self, node: Node, sign: str) -> None:
        if sign == "-":
            raise self.error("this cannot be subtracted", node, "+ before it, or leave it out")

    def fixed(self, node: Node) -> None:
        for inner in walk(node):
            if inner.is_operator("|", "||"):
                message = "a random-effect term within another term"
                raise self.term_error(message, inner, f"{_EXAMPLE} added with +")
            if inner.kind == "call" and inner.text == "offset":
                raise self.error("offset() within another term", inner, "+ offset(...)")
            if inner.kind in ("call", "python"):
                self.check(inner)
        if node.kind == "string" or (node.kind == "number" and node.text not in ("0", "1")):
            allowed = "a column, 1 (intercept) or 0 (none)"
            raise self.error(f"{node.text} is not a term", node, allowed)

    def offset(self, node: Node) -> None:
        if len(node.parts) != 1:
            message = f"offset() has {len(node.parts)} parts"
            raise self.error(message, node, "offset(one expression)")
        argument = node.parts[0]
        name = self.single_name(argument)
        if name is None:
            self.check(argument)
        self.offsets.append(self.code(argument) if name is None else quoted(name))

    # Random-effect terms

    def bar(self, node: Node) -> Node | None:
        """The ``|`` of a bracketed term, if this is one."""
        inner = self.brackets(node).parts[0] if node.kind == "paren" else node
        return inner if inner.is_operator("|", "||") and node.kind == "paren" else None

    def brackets(self, node: Node) -> Node:
        """The innermost of brackets around brackets."""
        inner = node.parts[0]
        return self.brackets(inner) if inner.kind == "paren" else node

    def relation(self, options: Sequence[Node]) -> tuple[str, str] | None:
        """The known relation among the groups, from ``word=name`` behind a comma."""
        for node in options:
            if node.text not in RELATIONS or len(options) > 1:
                message = "a term takes one known relation among its groups"
                names = ", ".join(f"{word}=name" for word in RELATIONS)
                raise self.term_error(message, node, names)
            return node.text, node.parts[0].text
        return None

    def structured(self, node: Node) -> None:
        """A term with a covariance structure by name, such as ``ar1(0 + time | person)``."""
        if node.text == RESIDUAL:
            self.residuals(node)
            return
        row = STRUCTURES.get(node.text)
        if row is None:
            message = f"the covariance structure {node.text}() is not available"
            names = ", ".join(f"{name}()" for name in STRUCTURES)
            raise self.error(message, node, f"{_STRUCTURES}; or {names}", "unknown_structure")
        first, *rest = node.parts
        named = [piece for piece in rest if self.raw(piece).partition("=")[0].strip() in RELATIONS]
        rest = [piece for piece in rest if piece not in named]
        tree = build_tree(self.text, tuple(self.within(first)))
        if not tree.is_operator("|") or len(rest) > len(row.constants):
            raise self.term_error(f"{node.text}() cannot be read", node, row.example)
        relation = self.relation([self.option(piece) for piece in named])
        self.random_terms(node, tree, node.text + self.constants(node, row, rest), relation)

    def residuals(self, node: Node) -> None:
        """The covariance of the residuals of a record, ``residual(0 + trait | record)``."""
        tree = build_tree(self.text, tuple(self.within(node.parts[0])))
        plain = len(node.parts) == 1 and tree.is_operator("|") and tree.parts[1].kind == "name"
        if not plain or tree.parts[0].is_operator("|", "||"):
            raise self.term_error("residual() cannot be read", node, _RESIDUAL)
        if any(term.residual for term in self.random):
            raise self.term_error("residuals have one covariance", node, "one residual()")
        self.random_terms(node, tree, "us")
        self.random[-1] = replace(self.random[-1], residual=True)

    def option(self, piece: Node) -> Node:
        word, _, name = self.raw(piece).partition("=")
        inner = Node("name", name.strip().strip("`"), piece.start, piece.end)
        return Node("option", word.strip(), piece.start, piece.end, (inner,))

    def constants(self, node: Node, row: StructureWords, given: list[Node]) -> str:
        """What stands behind the comma, as ``(2)`` for ``d=2``."""
        found = []
        for name, piece in zip(row.constants, given, strict=False):
            halves = name == "nu"
            value = "".join(self.raw(piece).split()).removeprefix(f"{name}=")
            if halves and value not in ("0.5", "1.5", "2.5"):
                raise self.term_error("nu is 0.5, 1.5 or 2.5", piece, row.example)
            if not halves and (not value.isdecimal() or int(value) < 1):
                raise self.term_error(f"{name} is a whole number from 1 on", piece, row.example)
            found.append(value)
        return f"({','.join(found)})" if found else ""

    def places(self, columns: Node, structure: str) -> str:
        """The columns of a term whose effects belong to times: one for each that occurs."""
        names = [n.text for n in walk(columns) if n.kind == "name"]
        text = "".join(self.raw(columns).split())
        if len(names) != 1 or text not in (f"0+{names[0]}", f"{names[0]}+0"):
            message = f"{structure}() takes the one column that tells the times"
            raise self.term_error(message, columns, STRUCTURES[structure].example)
        return f"0 + C({quoted(names[0])})"

    def coordinates(self, columns: Node, structure: str) -> str:
        """The columns of a term whose effects belong to places."""
        names = [n.text for n in walk(columns) if n.kind == "name"]
        text = "".join(self.raw(columns).split())
        if not names or text.removeprefix("0+") != "+".join(names):
            message = f"{structure}() takes the columns that hold the coordinates"
            raise self.term_error(message, columns, STRUCTURES[structure].example)
        return " + ".join(["0", *map(quoted, names)])

    def random_terms(
        self, node: Node, bar: Node, structure: str, relation: tuple[str, str] | None = None
    ) -> None:
        columns, group = bar.parts
        label = None
        if columns.is_operator("|", "||"):
            independent = "||" in (bar.text, columns.text)
            columns, name = columns.parts
            if independent or name.kind != "name":
                allowed = f"{_EXAMPLE}, or (1 + x |label| group)"
                raise self.term_error("a term has one | only, or a label between two", bar, allowed)
            label = name.text
        self.fixed_columns(columns)
        kind = structure.partition("(")[0]
        words = STRUCTURES.get(kind)
        code = self.code(columns)
        if words is not None and words.timed:
            code = self.places(columns, kind)
        elif words is not None and words.placed:
            code = self.coordinates(columns, kind)
        several = group.kind == "call" and group.text == "mm"
        groups = [self.members(group)] if several else [(g, ()) for g in self.groups(group)]
        for names, weights in groups:
            text = self.raw(node)
            term = RandomTerm(code, names, structure, text, label, relation, several, weights)
            for other in self.random:
                if same(term, other):
                    message = f"the term for group {':'.join(names)!r} stands twice"
                    raise self.error(message, node, "each term once", "formula_duplicate_term")
            self.random.append(term)

    def members(self, node: Node) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The columns of ``mm(a, b, weights=(v, w))``, and those of the weights."""
        names: list[str] = []
        weights: tuple[str, ...] = ()
        for piece in node.parts:
            text = "".join(self.raw(piece).split())
            if text.startswith("weights=("):
                inner = text.removeprefix("weights=(").removesuffix(")")
                weights = tuple(name.strip("`") for name in inner.split(",") if name)
            elif (name := self.single_name(piece)) is None:
                raise self.term_error("mm() takes columns that hold groups", piece, _MEMBERS)
            else:
                names.append(name)
        if len(names) < _TWO or len(weights) not in (0, len(names)):
            raise self.term_error("mm() cannot be read", node, _MEMBERS)
        return tuple(names), weights

    def fixed_columns(self, columns: Node) -> None:
        for inner in walk(columns):
            if inner.kind == "name" and inner.text == ".":
                raise self.error("'.' in a random-effect term", inner, "the columns by name")
        if columns.kind == "number" and columns.text == "0":
            allowed = f"1, or columns: {_EXAMPLE}"
            raise self.term_error("the term has no columns", columns, allowed)
        self.fixed(columns)

    def groups(self, node: Node) -> list[tuple[str, ...]]:
        """Expand nesting: ``a/b`` is ``a`` and ``a:b``."""
        if node.kind == "paren":
            return self.groups(node.parts[0])
        if node.kind == "name" and node.text != ".":
            return [(node.text,)]
        if node.is_operator(":"):
            left, right = map(self.groups, node.parts)
            return [union(a, b) for a in left for b in right]
        if node.is_operator("/"):
            left, right = map(self.groups, node.parts)
            outer = union(*left)
            return left + [union(outer, inner) for inner in right]
        if node.is_operator("+", "*"):
            allowed = f"a term for each group, or {_GROUPS}"
            raise self.term_error("one term has one group", node, allowed)
        what = "a number" if node.kind == "number" else "not a column name"
        raise self.term_error(f"the group is {what}", node, _GROUPS)

    # Python pieces

    def check(self, node: Node) -> None:
        """Check what a call or a Python piece calls, marking the piece within the formula."""
        if node.kind == "call" and self.has_bar(node):
            self.structured(node)
        try:
            if node.kind == "call":
                check_function(node.text)
            uses(self.code(node).strip("{}") if node.kind == "python" else self.code(node))
        except ExpressionError as error:
            start, end = self.find(error.piece, node)
            piece = Node("python", error.piece, start, end)
            raise self.error(str(error), piece, error.allowed, "formula_function") from None

    def has_bar(self, node: Node) -> bool:
        """Whether a call holds a | of its own, as random-effect terms do."""
        depth = 0
        for token in self.within(node):
            depth += (token.kind == "open") - (token.kind == "close")
            if depth == 1 and token.text in ("|", "||"):
                return node.text not in FUNCTIONS or node.text in STRUCTURES
        return False

    def find(self, piece: str, node: Node) -> tuple[int, int]:
        at = self.text.find(piece, node.start, node.end) if piece else -1
        return (at, at + len(piece)) if at >= 0 else (node.start, node.end)

    def single_name(self, node: Node) -> str | None:
        tokens = [token for token in self.within(node) if token.text not in "{}"]
        if len(tokens) == 1 and tokens[0].kind in ("name", "quoted"):
            return tokens[0].text.strip("`")
        return None

    # Text

    def within(self, node: Node) -> list[Token]:
        return [token for token in self.tokens if node.start <= token.start < node.end]

    def raw(self, node: Node) -> str:
        return self.text[node.start : node.end]

    def code(self, node: Node) -> str:
        """The text for formulaic: as written, but for words of R within function calls."""
        out: list[str] = []
        at, inside = node.start, python_spans(node)
        tokens = self.within(node)
        for token, following in zip(tokens, [*tokens[1:], None], strict=True):
            gap, text = self.text[at : token.start], token.text
            if any(a <= token.start < b for a, b in inside):
                called = following is not None and following.text == "("
                gap = "" if text == "(" and out and out[-1].isidentifier() else gap
                text = text if called else word(token)
            out += [gap, text] if gap else [text]
            at = token.end
        return "".join(out)

    def term_error(self, message: str, node: Node, allowed: str) -> FormulaError:
        return self.error(message, node, allowed, "formula_random_term")

    def error(
        self, message: str, node: Node, allowed: str, code: str = "formula_syntax"
    ) -> FormulaError:
        return FormulaError(message, self.text, node.start, node.end, allowed, code=code)
