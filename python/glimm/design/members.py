"""The groups of the rows for a term: one each, or several, and the same for new data."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..data import Column, Level
from ..errors import DataError, listed, rows_text
from ..formula import Formula, RandomTerm
from ..relations import Relation
from .levels import (
    Codes,
    Grouping,
    apply_groups,
    coded,
    learn_groups,
    related_groups,
    related_levels,
    whole,
)
from .places import is_placed

Values: TypeAlias = NDArray[np.float64]
NONE: Any = None
"""The level of rows that have no group."""
Shares: TypeAlias = list[tuple[Codes, Values | None]]
"""For each membership the groups of the rows, -1 for none or new ones, and their weights."""


@dataclass(frozen=True, slots=True)
class Several:
    """What was learned of a term ``(columns | mm(a, b))``.

    Parameters
    ----------
    columns : tuple of str
        The columns that hold the groups; None in one of them is no group.
    weights : tuple of str
        The columns with their weights; without, those of a row are equal and sum to one.
    levels : tuple
        Those of all columns together.
    """

    columns: tuple[str, ...]
    weights: tuple[str, ...]
    levels: tuple[Level, ...]

    @property
    def label(self) -> str:
        """Name of the group, such as ``"mm(school1, school2)"``."""
        return f"mm({', '.join(self.columns)})"


Source: TypeAlias = Grouping | Several


def learn_source(
    term: RandomTerm, relation: Relation | None, columns: Mapping[str, Column], rows: Codes
) -> tuple[Source, Shares]:
    """Return the groups of a term, and those of each row.

    Raises
    ------
    DataError
        When there is one group only, a column cannot be used for grouping, a relation lacks a
        level, or a row has no group.
    """
    if not term.several:
        if relation is None or term.relation is None:
            single = is_placed(term.structure)
            grouping, codes = learn_groups(term.group, columns, rows, single=single)
        else:
            grouping, codes = related_groups(term.relation[1], term, relation, columns, rows)
        return grouping, [(codes, _there(columns[term.group[0]]))]
    parts = [whole(columns[name], rows) for name in term.group]
    levels = _union(parts)
    if relation is not None and term.relation is not None:
        levels = related_levels(term.relation[1], relation, parts, rows)
    source = Several(term.group, term.weights, levels)
    return source, _shares(source, parts, columns, rows, "zero")


def apply_source(source: Source, columns: Mapping[str, Column], policy: str, n: int) -> Shares:
    """Return the groups of the rows of new data; raises as `apply_groups` does."""
    if policy == "none":
        count = 1 if isinstance(source, Grouping) else len(source.columns)
        return [(np.full(n, -1, dtype=np.int64), None)] * count
    if isinstance(source, Grouping):
        there = _there(columns[source.columns[0]])
        if there is None:
            return [(apply_groups(source, columns, policy), None)]
        codes, kept = np.full(n, -1, dtype=np.int64), np.flatnonzero(there)
        taken = {name: columns[name].take(kept).without_unused_levels() for name in source.columns}
        codes[kept] = apply_groups(source, taken, policy)
        return [(codes, there)]
    rows = np.arange(n)
    parts = [whole(columns[name], rows) for name in source.columns]
    return _shares(source, parts, columns, rows, policy)


def _there(column: Column) -> Values | None:
    """One for the rows that have a group; None where all have."""
    if column.levels is None or NONE not in column.levels:
        return None
    return np.asarray(column.values != column.levels.index(NONE), dtype=np.float64)


def optional(column: Column) -> Column:
    """A column whose missing values are a level, None: no group."""
    if column.missing is None:
        return column
    kept = np.flatnonzero(~column.missing)
    codes, levels = coded(replace(column.take(kept)))
    values = np.full(column.missing.size, len(levels), dtype=np.int64)
    values[kept] = codes
    return Column(column.name, "category", values, (*levels, NONE))


def optional_columns(formulas: Sequence[Formula], needed: Collection[str]) -> set[str]:
    """Return the columns in which a missing value is no group, rather than a row to leave out.

    These are the columns of ``mm(a, b)``, and of terms that share a label and a relation all but
    the first, unless they are among those `needed` or group another term.
    """
    found: set[str] = set()
    required = set(needed)
    first: dict[object, tuple[str, ...]] = {}
    for term in (term for formula in formulas for term in formula.random):
        key = (term.label, term.relation)
        if term.several or None not in key and first.setdefault(key, term.group) != term.group:
            found.update(term.group)
        else:
            required.update(term.group)
        required.update(term.weights)
    return found - required


def _shares(
    source: Several,
    parts: Sequence[Column],
    columns: Mapping[str, Column],
    rows: Codes,
    policy: str,
) -> Shares:
    codes, present = _codes(source, parts, policy)
    if not present.any(axis=1).all():
        where = rows_text(rows[~present.any(axis=1)].tolist())
        raise DataError(f"{source.label} has no group in {where}", code="missing_values")
    weights = present / present.sum(axis=1, keepdims=True)
    if source.weights:
        weights = np.column_stack([_weights(columns[name], rows) for name in source.weights])
    return _tidy(codes, np.where(present, weights, 0.0), present)


def _union(parts: Sequence[Column]) -> tuple[Level, ...]:
    """The levels of several columns together, numbers and text in their orders."""
    found = {level for part in parts for level in coded(part)[1] if level is not None}
    return tuple(sorted(found, key=lambda level: (isinstance(level, str), level)))


def _codes(
    source: Several, parts: Sequence[Column], policy: str
) -> tuple[Codes, NDArray[np.bool_]]:
    """The groups of the rows by column, (n, columns), and whether there is one."""
    place = {level: at for at, level in enumerate(source.levels)}
    unseen: dict[Level, int] = {}
    codes, present = [], []
    for part in parts:
        found, levels = coded(part)
        occur = np.bincount(found, minlength=len(levels)) > 0
        table = []
        for level, occurs in zip(levels, occur, strict=True):
            at = place.get(level, -1)
            if at < 0 and level is not None and occurs:
                at = unseen.setdefault(level, -1 - len(unseen))
            table.append(at)
        codes.append(np.array(table, dtype=np.int64)[found])
        present.append(np.array([level is not None for level in levels])[found])
    stacked = np.column_stack(codes)
    if unseen and policy == "error":
        where = np.flatnonzero((stacked < 0).any(axis=1) & np.column_stack(present).all(axis=1))
        message = (
            f"group {source.label!r} has levels that the fit never saw: "
            f"{listed(list(map(str, unseen)), 8)}, in rows such as {where[:3].tolist()}. "
            "new_levels='zero' predicts for them with random effects of zero"
        )
        raise DataError(message, code="new_levels")
    return stacked if policy == "number" else np.maximum(stacked, -1), np.column_stack(present)


def _weights(column: Column, rows: Codes) -> Values:
    if column.is_coded:
        message = f"weights column {column.name!r} holds {column.described()}; it must hold numbers"
        raise DataError(message)
    values = column.values.astype(np.float64)
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        where = rows_text(rows[wrong].tolist())
        message = f"weights column {column.name!r} is not finite in {where}"
        raise DataError(message, code="infinite_values")
    return values


def _tidy(codes: Codes, weights: Values, present: NDArray[np.bool_]) -> Shares:
    """Memberships with those that are there in front; two in one group are one of both weights."""
    codes, weights, present = codes.copy(), weights.copy(), present.copy()
    for j in range(codes.shape[1]):
        for i in range(j):
            same = present[:, i] & present[:, j] & (codes[:, i] == codes[:, j])
            weights[same, i] += weights[same, j]
            weights[same, j], codes[same, j], present[same, j] = 0.0, -1, False
    codes[~present] = -1
    order = np.argsort(~present, axis=1, kind="stable")
    codes = np.take_along_axis(codes, order, axis=1)
    weights = np.take_along_axis(weights, order, axis=1)
    return [
        (np.ascontiguousarray(codes[:, j]), np.ascontiguousarray(weights[:, j]))
        for j in range(codes.shape[1])
    ]
