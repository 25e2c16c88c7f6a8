"""Which rows are used: those with a missing value or no weight are left out, and reported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..data import Column
from ..errors import DataError, rows_text

Rows: TypeAlias = NDArray[np.signedinteger[Any]]
_FIRST = 5
_FOUR_BYTES = 2**31
"""Positions below this are kept in four bytes each."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Rows left out for one reason.

    Parameters
    ----------
    reason : str
        ``"missing"`` or ``"zero weight"``.
    count : int
        How many rows. A row with missing values in two columns counts for both.
    column : str
        The column concerned.
    rows : tuple of int
        Positions of the first of them in the user's frame, counted from 0.
    """

    reason: str
    count: int
    column: str
    rows: tuple[int, ...]

    def __str__(self) -> str:
        word = "row" if self.count == 1 else "rows"
        return f"{self.count} {word}: {self.reason} in {self.column!r}, {self.where()}"

    def where(self) -> str:
        """Return the rows in words."""
        return rows_text(self.rows, self.count)


def keep_rows(
    columns: Mapping[str, Column], n: int, freq: str | None, missing: str
) -> tuple[dict[str, Column], Rows, tuple[Drop, ...]]:
    """Return the columns without the rows left out, the rows kept, and what was dropped.

    Parameters
    ----------
    columns : mapping of str to Column
    n : int
        Rows of the frame.
    freq : str, optional
        Key of the frequency weights among the columns.
    missing : str
        ``"drop"`` or ``"error"``.

    Raises
    ------
    DataError
        For missing values under ``"error"``, negative weights, or when no row is left.
    """
    if n == 0:
        raise DataError("the data have no rows", code="empty_data")
    drops = [_drop("missing", c.name, c.missing) for c in columns.values() if c.missing is not None]
    if drops and missing == "error":
        found = "; ".join(f"{d.column!r} in {d.where()}" for d in drops)
        message = f"missing values in column {found}. missing='drop' leaves these rows out"
        raise DataError(message, code="missing_values")
    if not drops and freq is None:
        return dict(columns), _all(n), ()
    keep = np.ones(n, dtype=bool)
    for column in columns.values():
        if column.missing is not None:
            keep &= ~column.missing
    if freq is not None:
        zero = _zero_weight(columns[freq], keep)
        if zero.any():
            drops.append(_drop("zero weight", columns[freq].name, zero))
            keep &= ~zero
    if not keep.any():
        raise _empty(drops, n)
    if keep.all():
        return dict(columns), _all(n), ()
    rows = _all(n)[keep]
    return {name: column.take(rows) for name, column in columns.items()}, rows, tuple(drops)


def _all(n: int) -> Rows:
    return np.arange(n, dtype=np.int32) if n < _FOUR_BYTES else np.arange(n, dtype=np.int64)


def _drop(reason: str, column: str, where: NDArray[np.bool_]) -> Drop:
    rows = np.flatnonzero(where)
    return Drop(reason, int(rows.size), column, tuple(rows[:_FIRST].tolist()))


def _zero_weight(freq: Column, keep: NDArray[np.bool_]) -> NDArray[np.bool_]:
    if freq.is_coded:
        message = f"freq {freq.name!r} holds {freq.described()}; it must hold numbers, 0 or more"
        raise DataError(message)
    negative = np.flatnonzero(keep & (freq.values < 0))
    if negative.size:
        message = (
            f"freq {freq.name!r} is negative in {rows_text(negative.tolist())}; frequency weights "
            "say how often a row occurs: 0 or more"
        )
        raise DataError(message, code="outside_domain")
    return np.asarray(keep & (freq.values == 0))


def _empty(drops: list[Drop], n: int) -> DataError:
    worst = max(drops, key=lambda drop: drop.count)
    word = "missing" if worst.reason == "missing" else "zero"
    message = (
        f"no row is left of {n}: column {worst.column!r} is {word} in {worst.count} of them"
        + "".join(f", {d.column!r} in {d.count}" for d in drops if d is not worst)
    )
    return DataError(message, code="empty_data")
