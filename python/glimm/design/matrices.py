"""Model matrices through formulaic: learned once from the data fitted, then applied to new data.

This is the only file that knows formulaic; import it inside functions, for it is slow to import.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn

import numpy as np
import pandas as pd
from formulaic import ModelSpec, SimpleFormula
from formulaic.errors import DataMismatchWarning, FormulaicError
from formulaic.materializers import PandasMaterializer
from formulaic.model_spec import ModelSpecs
from formulaic.parser import DefaultFormulaParser
from formulaic.transforms import C
from interface_meta import override
from numpy.typing import NDArray

from ..data import Column
from ..errors import DataError, FormulaError
from ..formula.expressions import ROWWISE, uses

_CONTEXT: dict[str, Any] = {name: getattr(np, name) for name in ROWWISE} | {"factor": C}
_INTERCEPT = "(Intercept)"
_NUMERIC = ("number", "integer")
_COLOUR = re.compile("\x1b\\[[0-9;]*m|[⧛⧚]")


@dataclass(frozen=True, slots=True)
class Matrix:
    """A model matrix (n, p), float64 in Fortran order, and the names of its columns."""

    values: NDArray[np.float64]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Needs:
    """Columns that a formula part uses: all of them, as categories, and as they stand."""

    columns: tuple[str, ...]
    categories: frozenset[str]
    bare: frozenset[str]


@dataclass(frozen=True, slots=True)
class Learned:
    """What a set of formula parts learned from the data: codings, knots, means.

    Parts that are numeric columns as they stand have nothing to learn: `plain` then names the
    columns of each matrix, and there are no specs.
    """

    specs: Any
    categories: frozenset[str]
    plain: tuple[tuple[str, ...], ...] | None = None


class _Arrays(PandasMaterializer):  # type: ignore[misc]
    """formulaic's own materializer, filling matrices in the order of memory that we want."""

    @override
    def _get_columns_for_term(
        self, factors: list[dict[str, Any]], spec: Any, scale: float = 1
    ) -> dict[str, Any]:
        if len(factors) == 1 and scale == 1:  # nothing to multiply, so nothing to copy
            return factors[0]
        made: dict[str, Any] = super()._get_columns_for_term(factors, spec, scale)
        return made

    @override
    def _combine_columns(
        self, cols: Sequence[tuple[str, Any]], spec: Any, drop_rows: Sequence[int]
    ) -> NDArray[np.float64]:
        out = np.empty((len(cols), self.nrows))
        for i, (_, values) in enumerate(cols):
            out[i] = values
        return out.T


@lru_cache(maxsize=512)
def _parsed(part: str, available: tuple[str, ...]) -> Any:
    """Return formulaic's formula; `available` are the columns that ``.`` stands for."""
    context = {"__formulaic_variables_available__": list(available)}
    parser = DefaultFormulaParser(feature_flags={"TWOSIDED"})
    return SimpleFormula.from_spec(part, parser=parser, context=context)


def needs(part: str, text: str, available: tuple[str, ...] = ()) -> Needs:
    """Return the columns that a right-hand side uses.

    Parameters
    ----------
    part : str
        A right-hand side.
    text : str
        The whole formula, for messages.
    available : tuple of str
        The columns that ``.`` stands for.

    Raises
    ------
    FormulaError
        When formulaic cannot read it.
    """
    try:
        return _needs(part, available)
    except FormulaicError as error:
        message = _COLOUR.sub("", str(error)).split("\n")[0].rstrip(". ")
        start = max(text.find(part), 0)
        end = start + len(part) if part in text else len(text)
        allowed = "the syntax of formulaic: a + b, a:b, a*b, (a + b)^2, a/b, C(a), log(a), bs(a, 5)"
        raise FormulaError(message, text, start, end, allowed) from None


@lru_cache(maxsize=512)
def _needs(part: str, available: tuple[str, ...]) -> Needs:
    columns: dict[str, None] = {}
    categories: set[str] = set()
    bare: set[str] = set()
    for factor in (factor for term in _parsed(part, available) for factor in term.factors):
        method = factor.eval_method.value
        if method == "lookup":
            columns[factor.expr] = None
            bare.add(factor.expr)
        elif method == "python":
            used = uses(factor.expr)
            columns.update(dict.fromkeys(used.columns))
            categories.update(used.categories)
    return Needs(tuple(columns), frozenset(categories), frozenset(bare))


def learn(
    parts: Sequence[str], columns: Mapping[str, Column], n: int, available: tuple[str, ...] = ()
) -> tuple[list[Matrix], Learned]:
    """Make the matrices of several right-hand sides in one pass, and keep what they learned.

    Parameters
    ----------
    parts : sequence of str
        Right-hand sides.
    columns : mapping of str to Column
        The columns they use; none for an intercept alone.
    n : int
        Number of rows.
    available : tuple of str
        The columns that ``.`` stands for.

    Raises
    ------
    DataError
        When an expression cannot be computed from the columns.
    """
    plain = tuple(_plain(part, available) for part in parts)
    if (names := _all_numeric(plain, columns)) is not None:
        return _stacked(names, columns, n), Learned(None, frozenset(), names)
    wanted = [_needs(part, available) for part in parts]
    categories = frozenset().union(*(need.categories for need in wanted))
    specs = ModelSpecs(**{
        f"part{i}": ModelSpec(formula=_parsed(part, available), output="numpy", na_action="ignore")
        for i, part in enumerate(parts)
    })  # fmt: skip
    matrices = _materialize(specs, columns, n, categories)
    learned = ModelSpecs(**{f"part{i}": m.model_spec for i, m in enumerate(matrices)})
    return [_matrix(m) for m in matrices], Learned(learned, categories)


def apply(learned: Learned, columns: Mapping[str, Column], n: int) -> list[Matrix]:
    """Make the same matrices from new columns; raises `DataError` as `learn` does."""
    if learned.plain is not None:
        return _stacked(learned.plain, columns, n)
    return [_matrix(m) for m in _materialize(learned.specs, columns, n, learned.categories)]


@lru_cache(maxsize=512)
def _plain(part: str, available: tuple[str, ...]) -> tuple[str, ...] | None:
    """Columns of a part that consists of an intercept and columns as they stand; else None."""
    names = []
    for term in _parsed(part, available):
        factors = [(factor.eval_method.value, factor.expr) for factor in term.factors]
        if factors == [("literal", "1")]:
            names.append(_INTERCEPT)
        elif len(factors) == 1 and factors[0][0] == "lookup":
            names.append(factors[0][1])
        else:
            return None
    return tuple(names)


def _all_numeric(
    plain: tuple[tuple[str, ...] | None, ...], columns: Mapping[str, Column]
) -> tuple[tuple[str, ...], ...] | None:
    """Return the parts when all of them are numeric columns as they stand."""
    names = tuple(part for part in plain if part is not None)
    used = {name for part in names for name in part if name != _INTERCEPT}
    same = len(names) == len(plain) and all(columns[name].kind in _NUMERIC for name in used)
    return names if same else None


def _stacked(
    parts: tuple[tuple[str, ...], ...], columns: Mapping[str, Column], n: int
) -> list[Matrix]:
    found: list[Matrix] = []
    for names in parts:
        # Columns that an earlier part begins with are not copied again.
        known = next((m.values for m in found if m.names[: len(names)] == names), None)
        if known is not None:
            found.append(Matrix(known[:, : len(names)], names))
            continue
        values = np.empty((len(names), n))
        for row, name in zip(values, names, strict=True):
            row[:] = 1.0 if name == _INTERCEPT else columns[name].values
        found.append(Matrix(values.T, names))
    return found


def _materialize(
    specs: Any, columns: Mapping[str, Column], n: int, categories: frozenset[str]
) -> list[Any]:
    values = {name: _values(column, name in categories) for name, column in columns.items()}
    frame = pd.DataFrame(values, index=pd.RangeIndex(n), copy=False)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error", DataMismatchWarning)
            made = _Arrays(frame, context=_CONTEXT).get_model_matrix(specs)
    except (FormulaicError, DataMismatchWarning, ValueError, TypeError) as error:
        _explain(error)
    return list(made._to_dict().values()) if len(specs._to_dict()) > 1 else [made.part0]


def _matrix(made: Any) -> Matrix:
    names = tuple(
        _INTERCEPT if name == "Intercept" else name for name in made.model_spec.column_names
    )
    return Matrix(made.__wrapped__, names)


def _values(column: Column, as_categories: bool) -> Any:
    if column.levels is not None:
        return pd.Categorical.from_codes(column.values, categories=pd.Index(column.levels))
    if column.kind == "integer" and not as_categories:
        return column.values.astype(np.float64)
    return column.values


def _explain(error: Exception) -> NoReturn:
    text = _COLOUR.sub("", str(error)).replace("FactorEvaluationError: ", "")
    match = re.fullmatch(r"Unable to evaluate factor `(.*)`\. \[\w+: (.*)\]", text, re.DOTALL)
    if match:
        text = f"{match.group(1)!r} cannot be computed: {match.group(2)}"
    if isinstance(error, DataMismatchWarning):
        text = text.split(" They are being")[0]
        raise DataError(text, code="new_levels") from None
    raise DataError(text) from None


def terms(learned: Learned) -> list[tuple[str, tuple[str, ...], int]]:
    """Return (label, factors, number of columns) of each term of the first part.

    The intercept has no factors.
    """
    if learned.plain is not None:
        names = learned.plain[0]
        return [(name, () if name == _INTERCEPT else (name,), 1) for name in names]
    found = []
    for term, place in learned.specs.part0.term_slices.items():
        factors = tuple(f.expr for f in term.factors if f.eval_method.value != "literal")
        label = ":".join(factors) or _INTERCEPT
        found.append((label, factors, place.stop - place.start))
    return found


def sum_to_zero(learned: Learned, columns: Mapping[str, Column], n: int) -> list[Matrix] | None:
    """Return the columns of each term of the first part with categories coded to sum to zero.

    None where there are no categories, so that the matrix itself is as good.
    """
    if learned.plain is not None or not learned.specs.part0.factor_contrasts:
        return None
    spec = learned.specs.part0
    coded = {factor.expr for factor in spec.factor_contrasts}
    labels = [factors for _, factors, _ in terms(learned)]
    sides = [
        ":".join(f"C({f}, contr.sum)" if f in coded else f for f in factors) or "1"
        for factors in labels
    ]
    whole = " + ".join(sides if () in labels else ["0", *sides])
    made, again = learn([whole], columns, n)
    values, found, first = made[0].values, [], 0
    for _, _, width in terms(again):
        names = made[0].names[first : first + width]
        found.append(Matrix(values[:, first : first + width], names))
        first += width
    return found
