"""Formulas: text -> tokens -> tree -> terms, and what every mistake is told."""

from __future__ import annotations

import pytest

from glimm.errors import FormulaError
from glimm.formula import Formula, formula, parse, tokens, tree
from glimm.formula.expressions import ExpressionError, single_column, uses

TOKENS = {
    "y~x": "name:y operator:~ name:x",
    "y ~ 1.5e-3 + .5": "name:y operator:~ number:1.5e-3 operator:+ number:.5",
    "`my y` ~ a.b": "quoted:`my y` operator:~ name:a.b",
    "(x||g)": "open:( name:x operator:|| name:g close:)",
    "C(f, 'a|b')": "name:C open:( name:f operator:, string:'a|b' close:)",
    "a %in% b**2^3": "name:a operator:%in% name:b operator:** number:2 operator:^ number:3",
    "größe ~ .": "name:größe operator:~ name:.",
}

TREES = {
    "y ~ a + b * c:d": "(~ y (+ a (* b (: c d))))",
    "y ~ -1 + a - b": "(~ y (- (+ (- 1) a) b))",
    "y ~ (a + b)^2": "(~ y (^ (paren (+ a b)) 2))",
    "y ~ (1 + x | g/h)": "(~ y (paren (| (+ 1 x) (/ g h))))",
    "s / n ~ bs(x, df=4)": "(~ (/ s n) (bs x df=4))",
    "y ~ a - b - c": "(~ y (- (- a b) c))",
    "y ~ {x / 2}": "(~ y x / 2)",
}

# formula -> response, fixed part, offsets, random-effect terms
TERMS = {
    "y ~ x": ("plain: y", "x", [], []),
    "y ~ (1 | g)": ("plain: y", "1", [], ["us: 1 by g"]),
    "y ~ x + (1 + x | g)": ("plain: y", "x", [], ["us: 1 + x by g"]),
    "y ~ x + (x || g)": ("plain: y", "x", [], ["diag: x by g"]),
    "y ~ (0 + x | g) + x": ("plain: y", "x", [], ["us: 0 + x by g"]),
    "y ~ 0 + x + (-1 + f | g)": ("plain: y", "0 + x", [], ["us: -1 + f by g"]),
    "y ~ x - 1 + (1 | g)": ("plain: y", "x - 1", [], ["us: 1 by g"]),
    "y ~ (1 | g) - 1": ("plain: y", "- 1", [], ["us: 1 by g"]),
    "y ~ (1 | a/b)": ("plain: y", "1", [], ["us: 1 by a", "us: 1 by a:b"]),
    "y ~ (1 | a/b/c)": ("plain: y", "1", [], ["us: 1 by a", "us: 1 by a:b", "us: 1 by a:b:c"]),
    "y ~ (1 | a/(b:c))": ("plain: y", "1", [], ["us: 1 by a", "us: 1 by a:b:c"]),
    "y ~ (1 | a:(b/c))": ("plain: y", "1", [], ["us: 1 by a:b", "us: 1 by a:b:c"]),
    "y ~ (1 | (a:b)/c)": ("plain: y", "1", [], ["us: 1 by a:b", "us: 1 by a:b:c"]),
    "y ~ (x || a/b)": ("plain: y", "1", [], ["diag: x by a", "diag: x by a:b"]),
    "y ~ (1 | a) + (1 | b)": ("plain: y", "1", [], ["us: 1 by a", "us: 1 by b"]),
    "y ~ (x + (1 | g) + z)": ("plain: y", "x + z", [], ["us: 1 by g"]),
    "y ~ ((1 | g))": ("plain: y", "1", [], ["us: 1 by g"]),
    "y ~ (1 | `my g`) + `my x`": ("plain: y", "`my x`", [], ["us: 1 by my g"]),
    "cbind(s, f) ~ x": ("cbind: s, f", "x", [], []),
    "cbind(s, n - s) ~ x": ("cbind: s, n - s", "x", [], []),
    "s / n ~ x": ("ratio: s, n", "x", [], []),
    "I(s / n) ~ x": ("plain: I(s / n)", "x", [], []),
    "log(y + 1) ~ x": ("plain: log(y + 1)", "x", [], []),
    "`my y` ~ x": ("plain: `my y`", "x", [], []),
    "y.1 ~ x.1": ("plain: `y.1`", "x.1", [], []),
    "y ~ offset(log(t)) + x": ("plain: y", "x", ["log(t)"], []),
    "y ~ x + offset(t) + offset(u) + (1 | g)": ("plain: y", "x", ["t", "u"], ["us: 1 by g"]),
    "y ~ (x + offset(t))": ("plain: y", "x", ["t"], []),
    "y ~ a*b + I(x^2) + (a + b)^2": ("plain: y", "a*b + I(x**2) + (a + b)^2", [], []),
    "y ~ log(my.x) + np.log(z)": ("plain: y", "log(`my.x`) + np.log(z)", [], []),
    "y ~ poly(x, 2, raw = TRUE)": ("plain: y", "poly(x, 2, raw = True)", [], []),
    "y ~ C (f, contr.sum) + bs(x, 5)": ("plain: y", "C(f, contr.sum) + bs(x, 5)", [], []),
    "y ~ I((x > 1) | (z < 2))": ("plain: y", "I((x > 1) | (z < 2))", [], []),
    "y ~ cs(x, 4) + {x / 2}": ("plain: y", "cs(x, 4) + {x / 2}", [], []),
    "y ~ . + (1 | g)": ("plain: y", ".", [], ["us: 1 by g"]),
}

# formula, the piece marked, words of the message, words of what is allowed, code
MISTAKES = [
    ("y x", "y x", "operator is missing between 'y' and 'x'", "backticks", "formula_syntax"),
    ("x + z", "x + z", "no ~", "response ~ terms", "formula_syntax"),
    ("", "", "empty", "y ~ x", "formula_syntax"),
    ("~ x", "~", "missing before '~'", "a column", "formula_syntax"),
    ("y ~", "~", "missing at the end", "a column", "formula_syntax"),
    ("y ~ x +", "+", "missing at the end", "a column", "formula_syntax"),
    ("y ~ a ~ b", "y ~ a", "one ~ only", "response ~ terms", "formula_syntax"),
    ("y ~ x + (1 | g", "(", "never closed", "')'", "formula_syntax"),
    ("y ~ x)", ")", "not opened", "as many", "formula_syntax"),
    ("y ~ log(x]", "]", "not opened", "')'", "formula_syntax"),
    ("y ~ x $ z", "$", "no meaning", "backticks", "formula_syntax"),
    ("y ~ 3x", "3x", "no meaning", "backticks", "formula_syntax"),
    ("y ~ 'a", "'a", "never closes", "closing quote", "formula_syntax"),
    ("y ~ `a b", "`a b", "never closes", "closing backtick", "formula_syntax"),
    ("y ~ 2", "2", "2 is not a term", "intercept", "formula_syntax"),
    ("y ~ x == 1", "==", "cannot stand here", "I(x > 1)", "formula_syntax"),
    ("y ~ x | g", "x | g", "in brackets", "(x | g)", "formula_random_term"),
    ("y ~ x + 1 | g", "x + 1 | g", "in brackets", "(x + 1 | g)", "formula_random_term"),
    ("y ~ (1 | )", ")", "group is missing", "(1 | group)", "formula_syntax"),
    ("y ~ ( | g)", "|", "columns are missing", "(1 | group)", "formula_syntax"),
    ("y ~ (1 | 1)", "1", "group is a number", "school/class", "formula_random_term"),
    ("y ~ (1 | f(g))", "f(g)", "not a column name", "school/class", "formula_random_term"),
    ("y ~ (1 | a + b)", "a + b", "one group", "term for each group", "formula_random_term"),
    ("y ~ (1 | g) * x", "1 | g", "within another term", "added with +", "formula_random_term"),
    ("y ~ x:(1 | g)", "1 | g", "within another term", "added with +", "formula_random_term"),
    ("y ~ (1 ||id| g)", "1 ||id| g", "one | only", "label", "formula_random_term"),
    ("y ~ (0 | g)", "0", "no columns", "1, or columns", "formula_random_term"),
    ("y ~ (. | g)", ".", "'.' in a random", "by name", "formula_syntax"),
    ("y ~ x - (1 | g)", "(1 | g)", "cannot be subtracted", "+ before it", "formula_syntax"),
    ("y ~ (1|g) + (1 | g)", "(1 | g)", "group 'g' stands twice", "once", "formula_duplicate_term"),
    ("y ~ (1|a:b) + (1|b:a)", "(1|b:a)", "stands twice", "once", "formula_duplicate_term"),
    ("y ~ (1|a) + (1|a/b)", "(1|a/b)", "'a' stands twice", "once", "formula_duplicate_term"),
    (
        "y ~ car(0 + t | g)",
        "car(0 + t | g)",
        "car() is not available",
        "ar1()",
        "unknown_structure",
    ),
    ("y ~ ar1(1 + t | g)", "1 + t", "the one column", "ar1(0 + week", "formula_random_term"),
    ("y ~ sqr(x)", "sqr", "not a function", "'sqrt'", "formula_function"),
    ("y ~ I(x - mean(x))", "mean", "not a function", "np.log", "formula_function"),
    ("y ~ x + np.mean(x)", "np.mean", "row by row", "center", "formula_function"),
    ("y ~ I(x - x.mean())", "x.mean", "row by row", "center", "formula_function"),
    ("y ~ lag(x)", "lag", "row by row", "center", "formula_function"),
    ("y ~ I(x ==)", "I(x ==)", "not an expression", "x > 1", "formula_function"),
    ("y ~ offset(sd(x))", "sd", "not a function", "np.log", "formula_function"),
    ("y ~ offset(a, b)", "offset(a, b)", "2 parts", "one expression", "formula_syntax"),
    ("y ~ x * offset(z)", "offset(z)", "within another", "+ offset", "formula_syntax"),
    ("y ~ x - offset(z)", "offset(z)", "subtracted", "+ before it", "formula_syntax"),
    ("cbind(a) ~ 1", "cbind(a)", "1 parts", "failures", "formula_response"),
    ("cbind(a, b) / n ~ 1", "cbind(a, b)", "whole response", "cbind(a, b) ~", "formula_response"),
    ("y1 + y2 ~ 1", "y1 + y2", "one column", "I(y1 + y2)", "formula_response"),
    (". ~ x", ".", "as the response", "a column name", "formula_response"),
]

UNSAFE = [
    "__import__('os').system('true')",
    "().__class__",
    "[c for c in x]",
    "lambda: x",
    "open('f')",
    "eval('1')",
    "np.load('f')",
    "np.add.reduce(x)",
    "x if x else y",
    "x[0]",
    "(y := x)",
    "f'{x}'",
]


@pytest.mark.parametrize(("text", "shown"), TOKENS.items())
def test_tokens(text: str, shown: str) -> None:
    made = tokens.tokenize(text)
    assert tokens.show(made) == shown
    assert all(text[token.start : token.end] == token.text for token in made)


@pytest.mark.parametrize(("text", "shown"), TREES.items())
def test_tree(text: str, shown: str) -> None:
    assert tree.show(tree.build_tree(text, tokens.tokenize(text))) == shown


@pytest.mark.parametrize(("text", "parts"), TERMS.items())
def test_terms(text: str, parts: tuple[str, str, list[str], list[str]]) -> None:
    response, fixed, offsets, random = parts
    lines = [f"response  {response}", f"fixed     {fixed}"]
    lines += [f"offset    {offset}" for offset in offsets] + [f"random    {r}" for r in random]
    made = parse(text)
    assert formula.show(made).split("\n") == lines
    assert str(made) == made.text == text


@pytest.mark.parametrize(("text", "piece", "message", "allowed", "code"), MISTAKES)
def test_mistakes(text: str, piece: str, message: str, allowed: str, code: str) -> None:
    with pytest.raises(FormulaError) as caught:
        parse(text)
    error = caught.value
    first, shown, carets, last = str(error).split("\n")
    assert message in first
    assert shown == f"  {text}"
    assert shown[carets.find("^") : len(carets)] == piece
    assert last.startswith("Allowed: ")
    assert allowed in last
    assert error.code == code


def test_random_terms_keep_their_text() -> None:
    formula = parse("y ~ x + (1 + x | a/b) + (f || c)")
    assert [term.text for term in formula.random] == ["(1 + x | a/b)"] * 2 + ["(f || c)"]
    assert [term.group for term in formula.random] == [("a",), ("a", "b"), ("c",)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("y ~ x + (1 | a/b)", "y ~ x + (1 | a) + (1 | a:b)"),
        ("y ~ (1 | a/(b/c))", "y ~ (1 | a) + (1 | a:b) + (1 | a:b:c)"),
        ("y~x+(1|g)", "y ~ (1 | g) + x"),
        ("y ~ x + offset(t)", "y ~ offset(t) + x"),
    ],
)
def test_identities(one: str, other: str) -> None:
    assert formula.show(parse(one)) == formula.show(parse(other))


def test_formulas_are_frozen_and_hashable() -> None:
    formula = parse("y ~ x + (1 | g)")
    assert isinstance(formula, Formula)
    assert len({formula, parse("y ~ x + (1 | g)")}) == 1
    with pytest.raises(AttributeError):
        formula.fixed = "z"  # type: ignore[misc]


def test_operators_are_rows_of_one_table() -> None:
    assert set(tree.OPERATORS) == {"~", "|", "||", "+", "-", "*", "/", "%in%", ":", "^", "**"}
    assert all(row.symbol == symbol and row.meaning for symbol, row in tree.OPERATORS.items())


@pytest.mark.parametrize(
    ("expression", "columns", "categories"),
    [
        ("log(x)", ("x",), ()),
        ("C(f)", ("f",), ("f",)),
        ("C(f, contr.treatment('a'))", ("f",), ("f",)),
        ("np.where(x > 1, a, `b c`) + np.pi", ("x", "a", "b c"), ()),
        ("bs(x, knots=[1, 2], degree=k)", ("x", "k"), ()),
        ("C(f) * f + g", ("f", "g"), ("f",)),
    ],
)
def test_columns_of_expressions(
    expression: str, columns: tuple[str, ...], categories: tuple[str, ...]
) -> None:
    used = uses(expression)
    assert (used.columns, used.categories) == (columns, categories)


@pytest.mark.parametrize("expression", UNSAFE)
def test_expressions_can_run_nothing_else(expression: str) -> None:
    with pytest.raises(ExpressionError):
        uses(expression)


def test_single_column() -> None:
    names = [single_column(code) for code in ("y", "`my y`", "log(y)", "a-b", "`a` + `b`")]
    assert names == ["y", "my y", None, None, None]
