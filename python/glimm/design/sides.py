"""The matrices of each formula of a model, and the random-effect terms they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..data import Column
from ..errors import DataError, FormulaError, rows_text
from ..formula import Formula
from .design import DesignTerm, Part, Request
from .levels import Grouping, learn_groups
from .places import is_placed, with_places
from .rows import Rows
from .times import with_times

if TYPE_CHECKING:
    from .matrices import Matrix


@dataclass(frozen=True, slots=True)
class Side:
    """The matrices of one formula, and the number of its predictor."""

    predictor: int
    formula: Formula
    x: Matrix
    z: list[Matrix]
    offsets: list[Matrix]


Met = tuple[DesignTerm, str | None, Grouping]


def terms_of(side: Side, columns: Mapping[str, Column], rows: Rows) -> list[Met]:
    """The terms of one formula, with their labels."""
    _check_columns(side.formula, side.z)
    found = []
    for term, matrix in zip(side.formula.random, side.z, strict=True):
        placed = is_placed(term.structure)
        grouping, codes = learn_groups(term.group, columns, rows, single=placed)
        if placed:
            structure, names, z = with_places(term, matrix)
        else:
            structure = with_times(term, side.formula, columns, rows)
            names, z = matrix.names, matrix.values
        met = DesignTerm(
            label=grouping.label,
            columns=names,
            predictors=(side.predictor,) * len(names),
            structure=structure,
            levels=grouping.levels,
            codes=codes,
            z=z,
            text=term.text,
        )
        found.append((met, term.label, grouping))
    return found


def joined(found: tuple[Met, ...]) -> list[tuple[DesignTerm, Grouping]]:
    """Terms of one group and label become one, with a covariance between all their columns."""
    joined: dict[object, tuple[DesignTerm, Grouping]] = {}
    for at, (term, label, grouping) in enumerate(found):
        key = at if label is None else (label, frozenset(grouping.columns))
        if key not in joined:
            joined[key] = term, grouping
            continue
        first, grouping = joined[key]
        term = replace(
            first,
            columns=first.columns + term.columns,
            predictors=first.predictors + term.predictors,
            z=np.asfortranarray(np.hstack([first.z, term.z])),
            text=f"{first.text} and {term.text}",
        )
        joined[key] = term, grouping
    return list(joined.values())


def other_parts(request: Request, sides: Sequence[Side]) -> tuple[Part, ...]:
    """Return the predictors besides that of the mean that have a formula."""
    parts = []
    for (name, predictor, formula), side in zip(request.others, sides, strict=True):
        offset = sum_of(side.offsets)
        parts.append(Part(name, predictor, formula, side.x.values, side.x.names, offset))
    return tuple(parts)


def split_parts(request: Request, made: Sequence[Matrix], rows: Rows) -> list[Side]:
    """Return the matrices by formula, all finite.

    Raises
    ------
    DataError
        When an expression gave NaN or infinity, with the rows concerned.
    """
    rest, sides = list(made), []
    for predictor, formula in request.formulas:
        x, rest = rest[0], rest[1:]
        if request.family.ordered:
            x = _without_intercept(x)
        z, rest = rest[: len(formula.random)], rest[len(formula.random) :]
        offsets, rest = rest[: len(formula.offsets)], rest[len(formula.offsets) :]
        for matrix in (x, *z):
            _check_finite(matrix, rows)
        for text, matrix in zip(formula.offsets, offsets, strict=True):
            _check_finite(matrix, rows, f"offset({text})")
            if matrix.values.shape[1] != 1:
                found = f"{matrix.values.shape[1]} columns"
                raise DataError(f"offset({text}) makes {found}; it must be one column of numbers")
        sides.append(Side(predictor, formula, x, z, offsets))
    return sides


def _without_intercept(x: Matrix) -> Matrix:
    """The thresholds of ordered classes are the intercepts."""
    keep = [j for j, name in enumerate(x.names) if name != "(Intercept)"]
    return replace(x, values=x.values[:, keep], names=tuple(x.names[j] for j in keep))


def sum_of(made: Sequence[Matrix]) -> NDArray[np.float64] | None:
    """Return the sum of the offsets of a formula, (n,), or None when there is none."""
    return np.sum([matrix.values[:, 0] for matrix in made], axis=0) if made else None


def _check_finite(matrix: Matrix, rows: Rows, text: str | None = None) -> None:
    finite = np.isfinite(matrix.values)
    if finite.all():
        return
    column = int(np.flatnonzero(~finite.all(axis=0))[0])
    at = np.flatnonzero(~finite[:, column])
    name, value = text or matrix.names[column], matrix.values[at[0], column]
    message = (
        f"{name!r} is {value:g} in {rows_text(rows[at].tolist())}; it must be finite. Look at the "
        "values there: a logarithm needs positive numbers"
    )
    raise DataError(message, code="infinite_values")


def _check_columns(formula: Formula, z: Sequence[Matrix]) -> None:
    """A term needs columns, and two terms of a group must not share one."""
    for term, matrix in zip(formula.random, z, strict=True):
        if not matrix.names:
            raise _term_error(formula, term.text, "the term has no columns", "1, or columns")
    for (a, za), (b, zb) in combinations(zip(formula.random, z, strict=True), 2):
        if is_placed(a.structure) or is_placed(b.structure):
            continue
        shared = [name for name in za.names if name in zb.names]
        if shared and set(a.group) == set(b.group):
            label = ":".join(b.group)
            message = f"group {label!r} gets the column {shared[0]!r} twice, here and in {a.text}"
            allowed = "each column once for a group: 0 + leaves the intercept out of a term"
            raise _term_error(formula, b.text, message, allowed, "formula_duplicate_term")


def _term_error(
    formula: Formula, term: str, message: str, allowed: str, code: str = "formula_random_term"
) -> FormulaError:
    start = formula.text.rfind(term)
    return FormulaError(message, formula.text, start, start + len(term), allowed, code=code)
