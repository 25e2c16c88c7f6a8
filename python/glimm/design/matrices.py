"""Model matrices: learned once from the data fitted, then applied to new data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import Column
from ..formula.expressions import uses
from .plain import INTERCEPT, plain_sum

_NUMERIC = ("number", "integer")


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
    names = plain_sum(part)
    if names is None:
        return _needs(part, text, available)
    columns = tuple(name for name in names if name != INTERCEPT)
    return Needs(columns, frozenset(), frozenset(columns))


@lru_cache(maxsize=512)
def _needs(part: str, text: str, available: tuple[str, ...]) -> Needs:
    from . import by_formulaic

    columns: dict[str, None] = {}
    categories: set[str] = set()
    bare: set[str] = set()
    for method, expression in sum(by_formulaic.factors(part, text, available), []):
        if method == "lookup":
            columns[expression] = None
            bare.add(expression)
        elif method == "python":
            used = uses(expression)
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
    from . import by_formulaic

    wanted = [needs(part, part, available) for part in parts]
    categories = frozenset().union(*(need.categories for need in wanted))
    made, specs = by_formulaic.learn(parts, columns, n, available, categories)
    return [Matrix(*m) for m in made], Learned(specs, categories)


def apply(learned: Learned, columns: Mapping[str, Column], n: int) -> list[Matrix]:
    """Make the same matrices from new columns; raises `DataError` as `learn` does."""
    if learned.plain is not None:
        return _stacked(learned.plain, columns, n)
    from . import by_formulaic

    made = by_formulaic.apply(learned.specs, columns, n, learned.categories)
    return [Matrix(*m) for m in made]


@lru_cache(maxsize=512)
def _plain(part: str, available: tuple[str, ...]) -> tuple[str, ...] | None:
    """Columns of a part that consists of an intercept and columns as they stand; else None."""
    if (known := plain_sum(part)) is not None:
        return known
    from . import by_formulaic

    names = []
    for factors in by_formulaic.factors(part, part, available):
        if factors == [("literal", "1")]:
            names.append(INTERCEPT)
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
    used = {name for part in names for name in part if name != INTERCEPT}
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
            row[:] = 1.0 if name == INTERCEPT else columns[name].values
        found.append(Matrix(values.T, names))
    return found


def terms(learned: Learned) -> list[tuple[str, tuple[str, ...], int]]:
    """Return (label, factors, number of columns) of each term of the first part.

    The intercept has no factors.
    """
    if learned.plain is not None:
        names = learned.plain[0]
        return [(name, () if name == INTERCEPT else (name,), 1) for name in names]
    found = []
    for term, place in learned.specs.part0.term_slices.items():
        factors = tuple(f.expr for f in term.factors if f.eval_method.value != "literal")
        label = ":".join(factors) or INTERCEPT
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
