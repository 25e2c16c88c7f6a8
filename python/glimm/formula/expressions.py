"""Python pieces of a formula, such as ``log(x)``: what they may call, which columns they use.

Only functions of a closed list may be called, and each is either computed row by row or remembers
what it learned (knots, means, levels). So new data give the same columns as the data fitted, and a
formula read from a file cannot run anything else.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..errors import listed, nearest_first

ROWWISE = (
    "abs", "arccos", "arcsin", "arctan", "cbrt", "ceil", "cos", "cosh", "exp", "exp2", "expm1",
    "floor", "log", "log10", "log1p", "log2", "maximum", "minimum", "sign", "sin", "sinh", "sqrt",
    "tan", "tanh", "trunc", "where",
)  # fmt: skip
"""Functions of NumPy that formulas may call by their bare name."""

LEARNED = ("bs", "cc", "center", "cr", "cs", "poly", "scale", "standardize")
"""Functions that learn from the data fitted and apply what they learned to new data."""

CODING = ("C", "Diff", "Helmert", "Poly", "Sum", "Treatment", "factor", "hashed")
"""Functions that say how categories become columns."""

FUNCTIONS = frozenset(["I", "exp10", *ROWWISE, *LEARNED, *CODING])
"""Every function a formula may call, besides ``np.`` functions that work row by row."""

WORDS = frozenset(["TRUE", "FALSE", "contr"])
_NUMPY_EXTRA = frozenset(["where", "clip", "round", "isin", "pi", "e", "inf"])
_QUOTED = re.compile(r"`([^`]*)`")
_NODES = (
    ast.Expression, ast.Call, ast.Name, ast.Attribute, ast.Constant, ast.BinOp, ast.UnaryOp,
    ast.Compare, ast.List, ast.Tuple, ast.Dict, ast.keyword, ast.Load, ast.operator, ast.unaryop,
    ast.cmpop,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Uses:
    """What an expression needs: its columns, and those among them taken as categories."""

    columns: tuple[str, ...]
    categories: tuple[str, ...]


class ExpressionError(ValueError):
    """An expression outside the closed list: what is wrong, and what to write."""

    def __init__(self, message: str, allowed: str, piece: str = "") -> None:
        super().__init__(message)
        self.allowed = allowed
        self.piece = piece


def quoted(name: str) -> str:
    """Return a column's name as an expression: in backticks unless Python can read it."""
    return name if name.isidentifier() else f"`{name}`"


def single_column(code: str) -> str | None:
    """Return the name of the column if that is all there is: ``y``, or a name in backticks.

    Examples
    --------
    >>> single_column("`my y`"), single_column("y"), single_column("log(y)")
    ('my y', 'y', None)
    """
    if code.isidentifier():
        return code
    match = _QUOTED.fullmatch(code)
    return match.group(1) if match else None


@lru_cache(maxsize=1024)
def uses(expression: str) -> Uses:
    """Return the columns a Python expression uses, after checking all it calls.

    Raises
    ------
    ExpressionError
        For text that is not Python, an unknown function, or one that looks at more than a row.

    Examples
    --------
    >>> uses("log(x) + C(`my group`)")
    Uses(columns=('x', 'my group'), categories=('my group',))
    """
    names: dict[str, str] = {}

    def placeholder(match: re.Match[str]) -> str:
        alias = f"_q{len(names)}".ljust(len(match.group()), "_")
        names[alias] = match.group(1)
        return alias

    code = _QUOTED.sub(placeholder, expression)
    try:
        tree = ast.parse(code, mode="eval")
    except SyntaxError as error:
        message = f"{expression!r} is not an expression: {error.msg}"
        allowed = "inside a function, Python's arithmetic and comparisons: x**2, x > 1, a * b"
        raise ExpressionError(message, allowed, expression) from None
    found: dict[str, bool] = {}
    _walk(tree, False, found)
    columns = {names.get(name, name): coded for name, coded in found.items()}
    return Uses(tuple(columns), tuple(name for name, coded in columns.items() if coded))


def _walk(node: ast.AST, coded: bool, found: dict[str, bool]) -> None:
    """Collect column names; `coded` says that an enclosing call takes them as categories."""
    if not isinstance(node, _NODES):
        piece = ast.unparse(node) if isinstance(node, ast.expr) else type(node).__name__
        allowed = "columns, numbers, arithmetic, comparisons, & | ~ and function calls"
        raise ExpressionError(f"{piece!r} cannot be used in a formula", allowed, piece)
    if isinstance(node, ast.Name):
        if node.id not in WORDS:
            found[node.id] = found.get(node.id, False) or coded
    elif isinstance(node, ast.Attribute):
        _check_attribute(node)
    elif isinstance(node, ast.Call):
        name = ast.unparse(node.func)
        check_function(name)
        for argument in [*node.args, *node.keywords]:
            _walk(argument, coded or name in ("C", "factor", "hashed"), found)
    else:
        for child in ast.iter_child_nodes(node):
            _walk(child, coded, found)


def _check_attribute(node: ast.Attribute) -> None:
    name = ast.unparse(node)
    if name.startswith(("np.", "contr.")):
        check_function(name)
        return
    allowed = "np.pi, contr.sum and the like; a column whose name holds a dot stands in `backticks`"
    raise ExpressionError(f"{name!r} cannot be used in a formula", allowed, name)


def check_function(name: str) -> None:
    """Check that formulas may call a function, given by its name as written.

    Raises
    ------
    ExpressionError
        When it is unknown, or mixes rows.
    """
    root, _, attribute = name.partition(".")
    if name in FUNCTIONS or (root == "contr" and attribute.isidentifier()):
        return
    if root == "np" and _is_rowwise(attribute):
        return
    if attribute or name == "lag":
        message = f"{name}() does not work row by row, so it would change with the rows given"
        allowed = (
            "functions of one row (log, np.sqrt, np.where ...), those that remember what they "
            f"learned ({', '.join(LEARNED)}), or a column computed before the fit"
        )
        raise ExpressionError(message, allowed, name)
    near = listed(nearest_first(name, FUNCTIONS), limit=8)
    allowed = f"{near}, and NumPy's functions of one row such as np.log; or a ready column"
    raise ExpressionError(f"{name}() is not a function that formulas know", allowed, name)


def _is_rowwise(name: str) -> bool:
    return name in _NUMPY_EXTRA or isinstance(getattr(np, name, None), np.ufunc)
