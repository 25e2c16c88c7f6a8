"""Levels: a column as codes, the groups it makes with others, and the same codes for new data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..data import Column, Level
from ..errors import DataError, listed, rows_text
from ..formula import RandomTerm
from ..relations import Relation, matched

Codes: TypeAlias = NDArray[np.signedinteger[Any]]
MIN_LEVELS = 2
_CLOSE = 4
"""Whole numbers per row, at most, for which a table is kept."""
_HALF = 2**30
"""Half the range of a whole number of four bytes, which codes take where that does."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """The groups learned from a column, or from the observed combinations of several.

    Parameters
    ----------
    columns : tuple of str
    tables : tuple of tuple
        Levels of each column.
    pairs : tuple of ndarray
        For each column after the first, the sorted combinations seen so far, each coded as
        ``code so far * number of levels + code``.
    levels : tuple
        Names of the groups: values of the column, or values joined by ``:``; all levels of a known
        relation, in its order.
    """

    columns: tuple[str, ...]
    tables: tuple[tuple[Level, ...], ...]
    pairs: tuple[Codes, ...]
    levels: tuple[Level, ...]

    @property
    def label(self) -> str:
        """Name of the group, such as ``"school:class"``."""
        return ":".join(self.columns)


def coded(column: Column) -> tuple[Codes, tuple[Level, ...]]:
    """Return codes and levels of a column without missing values, levels sorted."""
    if column.levels is not None:
        return column.values, column.levels
    if column.kind == "integer" and (found := _dense(column.values)) is not None:
        return found
    import pandas as pd

    codes, uniques = pd.factorize(column.values, sort=True)
    return codes.astype(np.int64, copy=False), tuple(uniques.tolist())


def _dense(values: Codes) -> tuple[Codes, tuple[Level, ...]] | None:
    """The same of whole numbers that lie close, by a table instead of hashing; else None."""
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    if high - low > _CLOSE * values.size:
        return None
    short = low > -_HALF and high < _HALF
    codes: Codes = np.subtract(values, low, dtype=np.int32 if short else None, casting="unsafe")
    there = np.zeros(high - low + 1, dtype=bool)
    there[codes] = True
    if there.all():
        return codes, tuple(range(low, high + 1))
    position: Codes = np.cumsum(there) - 1
    position = position.astype(np.int32) if short else position
    return position[codes], tuple((np.flatnonzero(there) + low).tolist())


def whole(column: Column, rows: Codes) -> Column:
    """A grouping column with numbers made whole; those that are not are refused."""
    if column.kind != "number":
        return column
    broken = np.flatnonzero(column.values != np.round(column.values))
    if broken.size:
        message = (
            f"grouping column {column.name!r} holds {column.values[broken[0]]!s} in "
            f"{rows_text(rows[broken].tolist())}; groups must be text, categories, whole numbers "
            "or true/false. Convert the column to text to group by it"
        )
        raise DataError(message)
    return replace(column, kind="integer", values=column.values.astype(np.int64))


def recoded(column: Column, known: Sequence[Level]) -> Codes:
    """Return codes of a column into known levels; -1 where the level is not among them."""
    codes, levels = coded(column)
    position = {level: i for i, level in enumerate(known)}
    return np.array([position.get(level, -1) for level in levels], dtype=np.int64)[codes]


def learn_groups(
    names: tuple[str, ...], columns: Mapping[str, Column], rows: Codes, *, single: bool = False
) -> tuple[Grouping, Codes]:
    """Return the groups that some columns make, and the group of each row, (n,).

    `single`: one group will do, as for a field over all rows.

    Raises
    ------
    DataError
        When there is one group only, or a column cannot be used for grouping.
    """
    made = [coded(whole(columns[name], rows)) for name in names]
    tables = tuple(levels for _, levels in made)
    codes, levels = made[0]
    pairs: list[Codes] = []
    for more, table in made[1:]:
        both = codes.astype(np.int64) * len(table) + more
        pair, codes = np.unique(both, return_inverse=True)
        levels = tuple(f"{levels[p // len(table)]}:{table[p % len(table)]}" for p in pair)
        pairs.append(pair)
    grouping = Grouping(names, tables, tuple(pairs), levels)
    if len(levels) < MIN_LEVELS and not single:
        raise _one_level(grouping.label, levels)
    return grouping, codes


def _one_level(label: str, levels: Sequence[Level]) -> DataError:
    message = (
        f"grouping column {label!r} has one level only ({levels[0]!r}); a variance "
        "among groups needs at least two. Leave the term out, or group by another column"
    )
    return DataError(message, code="one_level_group")


def related_groups(
    name: str, term: RandomTerm, relation: Relation, columns: Mapping[str, Column], rows: Codes
) -> tuple[Grouping, Codes]:
    """Return the groups of a known relation, and the group of each row, (n,), -1 for none.

    Raises
    ------
    DataError
        When a row has a level that the relation does not have, or all have the same.
    """
    column = whole(columns[term.group[0]], rows)
    known = related_levels(name, relation, [column], rows)
    codes = recoded(column, known)
    if len(np.unique(codes)) < MIN_LEVELS:
        raise _one_level(column.name, coded(column)[1])
    return Grouping((column.name,), (known,), (), known), codes


def related_levels(
    name: str, relation: Relation, columns: Sequence[Column], rows: Codes
) -> tuple[Level, ...]:
    """Return the levels of a relation, those found in some columns as these write them.

    Raises
    ------
    DataError
        When a row has a level that the relation does not have.
    """
    known: list[Level] = list(relation.labels)
    for column in columns:
        found, levels = coded(column)
        place = matched(relation, levels)
        lost = [at for at, level in enumerate(levels) if level not in place and level is not None]
        if lost:
            where = rows_text(rows[np.isin(found, lost)].tolist())
            message = (
                f"column {column.name!r} has levels that the relation {name!r} does not have: "
                f"{listed([str(levels[at]) for at in lost], 8)} in {where}; it has {len(known)} "
                f"levels such as {listed(list(map(str, relation.labels)), 3)}. Every level in the "
                "data needs a place in the relation"
            )
            raise DataError(message, code="unknown_relation")
        for level, at in place.items():
            known[at] = level
    return tuple(known)


def apply_groups(grouping: Grouping, columns: Mapping[str, Column], policy: str) -> Codes:
    """Return the group of each row of new data, (n,); -1 for groups not seen before.

    Under the policy ``"number"`` these get -1, -2, ... by level.

    Raises
    ------
    DataError
        For such groups under the policy ``"error"``.
    """
    codes = recoded(columns[grouping.columns[0]], grouping.tables[0])
    stages = zip(grouping.columns[1:], grouping.tables[1:], grouping.pairs, strict=True)
    for name, table, pairs in stages:
        more = recoded(columns[name], table)
        wanted = codes.astype(np.int64) * len(table) + more
        place = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
        known = (codes >= 0) & (more >= 0) & (pairs[place] == wanted)
        codes = np.where(known, place, -1)
    if policy == "error" and (codes < 0).any():
        raise _unseen(grouping, columns, codes)
    if policy == "number" and (codes < 0).any():
        codes = _numbered([columns[name] for name in grouping.columns], codes)
    return codes


def _numbered(parts: Sequence[Column], codes: Codes) -> Codes:
    """Codes -1, -2, ... for the levels not seen, in the order of their first rows."""
    rows = np.flatnonzero(codes < 0)
    made = np.column_stack([coded(part)[0][rows] for part in parts])
    _, first, place = np.unique(made, axis=0, return_index=True, return_inverse=True)
    found = codes.copy()
    found[rows] = -1 - np.argsort(np.argsort(first))[place.ravel()]
    return found


def check_levels(column: Column, learned: Column, known: Sequence[Level]) -> Codes:
    """Return codes of a covariate in new data; raise `DataError` for levels not seen before."""
    codes = recoded(column, known)
    rows = np.flatnonzero(codes < 0)
    if rows.size:
        found = list(dict.fromkeys(repr(column.level_at(row)) for row in rows.tolist()))
        message = (
            f"column {column.name!r} has levels that the fit never saw: {', '.join(found[:8])} in "
            f"{rows_text(rows.tolist())}; it knows {listed([str(level) for level in known])}"
            f"{_changed(column, learned)}"
        )
        raise DataError(message, code="new_levels")
    return codes


def _unseen(grouping: Grouping, columns: Mapping[str, Column], codes: Codes) -> DataError:
    rows = np.flatnonzero(codes < 0).tolist()
    parts = [columns[name] for name in grouping.columns]
    labels = [":".join(str(part.level_at(row)) for part in parts) for row in rows]
    found = list(dict.fromkeys(labels))
    message = (
        f"group {grouping.label!r} has levels that the fit never saw: {listed(found, 8)} in "
        f"{rows_text(rows)}. new_levels='zero' predicts for them with random effects of "
        "zero, 'integrate' averages over their distribution"
    )
    if len(parts) == 1 and parts[0].levels is None and isinstance(grouping.levels[0], str):
        message += f". The column held text when fitted, and {parts[0].described()} now"
    if len(parts) == 1 and parts[0].kind == "text" and not isinstance(grouping.levels[0], str):
        message += ". The column held numbers when fitted, and text now"
    return DataError(message, code="new_levels")


def _changed(column: Column, learned: Column) -> str:
    if column.is_coded == learned.is_coded:
        return ""
    return f". The column held {learned.described()} when fitted, and {column.described()} now"
