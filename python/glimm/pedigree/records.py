"""Records of a pedigree: labels to places, and what must not be in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..data import Column, Frame, Kind, Level, read_values, values_of
from ..errors import DataError, listed, rows_text

Places = NDArray[np.int64]

_OFTEN_UNKNOWN = ("0", "NA", "", ".", "*", "-", "?", "unknown", "Unknown")
"""Labels that may stand for nobody: asked about where they have no record."""
_SHOWN = 20
"""Animals of a loop that a message names."""


@dataclass(frozen=True, slots=True)
class Records:
    """Animals with parents before their offspring.

    Parameters
    ----------
    labels : tuple
    parents : ndarray of int, (n, 2)
        Places of sire and dam; -1 where unknown.
    groups : ndarray of int, (n, 2)
        Of which group an unknown parent is; -1 for none.
    added : int
        Parents without a record of their own.
    kind : str
        Of the frame read.
    """

    labels: tuple[Level, ...]
    parents: Places
    groups: Places
    added: int
    kind: Kind


def read_records(
    data: Any,
    names: tuple[Any, Any, Any],
    unknown: Level | None,
    groups: Sequence[Level],
    selfing: bool,
) -> Records:
    """Read the columns of animals, sires and dams, or arrays, in any order.

    Raises
    ------
    DataError
        Code ``"pedigree_records"`` or ``"pedigree_loop"``.
    """
    columns, kind = _columns(data, names)
    codes, labels = _together(columns, unknown)
    n = columns[0].values.size
    own, parents = codes[:n], np.column_stack([codes[n : 2 * n], codes[2 * n :]])
    _check_animals(own, labels, columns[0].name)
    parents, of_group = _take_groups(own, parents, labels, groups)
    _check_parents(own, parents, labels, columns, selfing)
    _check_nobody(own, parents, labels)
    founders = np.setdiff1d(parents, np.append(own, -1))
    order, place = np.concatenate([founders, own]), np.full(len(labels) + 1, -1)
    place[order] = np.arange(order.size)
    parents = np.vstack([np.full((founders.size, 2), -1), place[parents]])
    of_group = np.vstack([np.full((founders.size, 2), -1), of_group])
    named = [labels[i] for i in order.tolist()]
    first = _sorted(parents, named)
    back = np.full(order.size + 1, -1)
    back[first] = np.arange(order.size)
    return Records(
        tuple(named[i] for i in first.tolist()),
        np.ascontiguousarray(back[parents[first]]),
        np.ascontiguousarray(of_group[first]),
        int(founders.size),
        kind,
    )


def _columns(data: Any, names: tuple[Any, Any, Any]) -> tuple[list[Column], Kind]:
    """The three columns, of a frame by name or as arrays."""
    words = ("animal", "sire", "dam")
    if data is None:
        found = [read_values(w, v) for w, v in zip(words, names, strict=True)]
        kind: Kind = "pandas"
        sizes = {c.values.size for c in found}
        if len(sizes) > 1:
            message = f"animal, sire and dam have {sorted(sizes)} values; they need one length"
            raise DataError(message, code="array_shape")
    else:
        for word, name in zip(words, names, strict=True):
            if not isinstance(name, str):
                message = f"{word}= must name a column of the data, not {type(name).__name__}"
                raise DataError(message, code="unknown_option")
        frame = Frame(data)
        read, _ = frame.read(list(dict.fromkeys(names)))
        found, kind = [read[name] for name in names], frame.kind
    if not found[0].values.size:
        raise DataError("the pedigree has no records", code="empty_data")
    return found, kind


def _together(columns: list[Column], unknown: Level | None) -> tuple[Places, list[Level]]:
    """Codes of all three columns into one list of labels; -1 for missing."""
    import pandas as pd

    missing = np.concatenate([_missing(c) for c in columns])
    texts = [c for c in columns if c.is_coded and not _missing(c).all()]
    numbers = [c for c in columns if not c.is_coded and not _missing(c).all()]
    if texts and numbers:
        message = (
            f"column {texts[0].name!r} holds text, {numbers[0].name!r} numbers: an animal must be "
            "named alike as animal and as parent. Convert all three columns to text, or to numbers"
        )
        raise DataError(message, code="pedigree_records")
    values = np.concatenate([_labels(c, bool(texts)) for c in columns])
    if unknown is not None:
        missing |= values == unknown
    codes, distinct = pd.factorize(values)
    codes = np.where(missing, -1, codes).astype(np.int64)
    return codes, np.asarray(distinct).tolist()


def _missing(column: Column) -> NDArray[np.bool_]:
    if column.missing is None:
        return np.zeros(column.values.size, dtype=bool)
    return column.missing


def _labels(column: Column, text: bool) -> NDArray[Any]:
    """Values that can stand in one array with those of the other columns."""
    if text:
        if column.is_coded:
            return values_of(column)
        return np.full(column.values.size, "", dtype=object)
    whole = np.where(_missing(column), 0, column.values)
    broken = np.flatnonzero(whole != np.round(whole))
    if broken.size:
        message = (
            f"column {column.name!r} holds {whole[broken[0]]!s} in {rows_text(broken.tolist())}; "
            "animals are named by whole numbers or text"
        )
        raise DataError(message, code="pedigree_records")
    return whole.astype(np.int64)


def _check_animals(own: Places, labels: list[Level], name: str) -> None:
    """Each record has an animal, each animal one record."""
    if (own < 0).any():
        where = rows_text(np.flatnonzero(own < 0).tolist())
        message = f"column {name!r} names no animal in {where}; leave such records out"
        raise DataError(message, code="pedigree_records")
    counts = np.bincount(own, minlength=len(labels))
    if (counts > 1).any():
        first = int(np.flatnonzero(counts[own] > 1)[0])
        rows = np.flatnonzero(own == own[first]).tolist()
        more = int((counts > 1).sum()) - 1
        rest = f", and so do {more} more animals" if more else ""
        message = f"animal {labels[own[first]]!r} has records in {rows_text(rows)}{rest}; keep one"
        raise DataError(message, code="pedigree_records")


def _take_groups(
    own: Places, parents: Places, labels: list[Level], groups: Sequence[Level]
) -> tuple[Places, Places]:
    """Parents without those that are groups, and the groups."""
    of_group = np.full(parents.shape, -1)
    position = {label: i for i, label in enumerate(labels)}
    codes = [position.get(group, -2) for group in groups]
    for group, code in zip(groups, codes, strict=True):
        if not (parents == code).any():
            message = f"groups= has {group!r}, which is nobody's sire or dam"
            raise DataError(message, code="pedigree_records")
        if (own == code).any():
            where = rows_text(np.flatnonzero(own == code).tolist())
            message = f"group {group!r} has a record of its own in {where}; groups are no animals"
            raise DataError(message, code="pedigree_records")
    for k, code in enumerate(codes):
        of_group[parents == code] = k
    return np.where(of_group >= 0, -1, parents), of_group


def _check_parents(
    own: Places, parents: Places, labels: list[Level], columns: list[Column], selfing: bool
) -> None:
    """Nobody is a parent of itself; nobody is sire and dam, unless asked for."""
    itself = np.flatnonzero((parents == own[:, None]).any(axis=1))
    if itself.size:
        names = listed([str(labels[own[i]]) for i in itself.tolist()], 5)
        message = f"animal {names} is a parent of itself, in {rows_text(itself.tolist())}"
        raise DataError(message, code="pedigree_loop")
    if selfing:
        return
    sires, dams = (np.unique(side[side >= 0]) for side in parents.T)
    both = np.intersect1d(sires, dams)
    if both.size:
        names = listed([str(labels[i]) for i in both.tolist()], 5)
        rows = [int(np.flatnonzero(parents[:, k] == both[0])[0]) for k in range(2)]
        message = (
            f"{both.size} animals are both sire and dam: {names}. The first is in column "
            f"{columns[1].name!r} of row {rows[0]} and in column {columns[2].name!r} of row "
            f"{rows[1]} (counted from 0). For plants or hermaphrodites write selfing=True"
        )
        raise DataError(message, code="pedigree_records")


def _check_nobody(own: Places, parents: Places, labels: list[Level]) -> None:
    """A parent without a record whose name says that it is unknown."""
    has_record = np.zeros(len(labels), dtype=bool)
    has_record[own] = True
    used = np.unique(parents[parents >= 0])
    for i in used.tolist():
        if not has_record[i] and str(labels[i]) in _OFTEN_UNKNOWN:
            count = int((parents == i).sum())
            message = (
                f"{labels[i]!r} is a parent {count} times and has no record of its own; if it "
                f"stands for an unknown parent write unknown={labels[i]!r}, else give it a record"
            )
            raise DataError(message, code="pedigree_records")


def _sorted(parents: Places, labels: list[Level]) -> Places:
    order, circle = _core.sort_descent(np.ascontiguousarray(parents, dtype=np.int64))
    if circle.size:
        names = [repr(labels[i]) for i in circle.tolist()]
        shown = " -> ".join([*names[:_SHOWN], "..."] if len(names) > _SHOWN else [*names, names[0]])
        message = (
            f"{len(names)} animals are their own ancestors: {shown} (each a parent of the next). "
            "Correct the record of one of them, or make its wrong parent unknown"
        )
        raise DataError(message, code="pedigree_loop")
    return order
