"""Residuals of several traits measured on one record: their covariance as that of random effects.

With effects of covariance Sigma for each record and independent residuals of fixed standard
deviations f beside them, the residuals' covariance is R = Sigma + diag(f^2): any R that is not
within diag(f^2) of a singular one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..data import Column
from ..errors import DataError, listed, rows_text
from .rows import Rows

if TYPE_CHECKING:
    from .sides import Side

Values = NDArray[np.float64]
Floors = tuple[float, ...]

SHARE = 0.01
"""Of a column's standard deviation what is fixed."""


def floors_of(
    sides: Sequence[Side], columns: Mapping[str, Column], y: Values, rows: Rows
) -> Floors:
    """Return the fixed standard deviation of each column of the residuals' term, if there is one.

    Raises
    ------
    DataError
        When rows are not of one column each, or a record has two rows of one column.
    """
    term = sides[0].formula.residual
    if term is None:
        return ()
    z = sides[0].z[sides[0].formula.random.index(term)]
    _check(z.values, z.names, columns[term.group[0]], rows, term.text)
    x, offsets = sides[0].x.values, sides[0].offsets
    target = y - sum((offset.values[:, 0] for offset in offsets), np.zeros(y.size))
    left = target - x @ np.linalg.lstsq(x, target)[0]
    sizes = np.sqrt((z.values * left[:, None] ** 2).sum(axis=0) / z.values.sum(axis=0))
    return tuple((SHARE * np.where(sizes > 0, sizes, 1.0)).tolist())


def floored(sides: list[Side], floors: Floors) -> list[Side]:
    """Return the predictor of the residual standard deviation as a known one."""
    if not floors:
        return sides
    mean, other = sides
    known = np.log(other.x.values @ np.array(floors))[:, None]
    none = replace(other.x, values=np.empty((len(known), 0), order="F"), names=())
    return [mean, replace(other, x=none, offsets=[replace(other.x, values=known, names=("f",))])]


def check_weights(freq: Column, rows: Rows) -> None:
    """A record has one row of each column, so that a row cannot occur several times.

    Raises
    ------
    DataError
    """
    wrong = np.flatnonzero(freq.values != 1)
    if wrong.size:
        where = rows_text(rows[wrong].tolist())
        message = f"freq {freq.name!r} is {freq.values[wrong[0]]:g} in {where}, and residual() is"
        message += " of records with one row of each column; give each record rows of its own"
        raise DataError(message, code="outside_domain")


def _check(z: Values, names: Sequence[str], group: Column, rows: Rows, text: str) -> None:
    """One column of each row, one row of each record and column."""
    wrong = np.flatnonzero(~(np.isin(z, (0.0, 1.0)).all(axis=1) & (z.sum(axis=1) == 1)))
    if wrong.size:
        where = rows_text(rows[wrong].tolist())
        message = f"{text}: its columns ({listed(list(names), 4)}) are not one 1 and else 0 in"
        raise DataError(f"{message} {where}; write residual(0 + trait | record)")
    pairs = np.column_stack([np.unique(group.values, return_inverse=True)[1], z.argmax(axis=1)])
    _, first, count = np.unique(pairs, axis=0, return_index=True, return_counts=True)
    if (count > 1).any():
        at = first[count > 1][0]
        where = rows_text(rows[(pairs == pairs[at]).all(axis=1)].tolist())
        message = f"{text}: {group.level_at(int(at))!r} has {names[pairs[at][1]]!r} more than once,"
        message += f" in {where}; a record has one row of each. Give {group.name!r} one level for"
        raise DataError(f"{message} each record", code="outside_domain")
