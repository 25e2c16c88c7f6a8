"""Places that the effects of a term belong to: one for each point of its coordinates."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..formula import STRUCTURES, RandomTerm, places_of

if TYPE_CHECKING:
    from .design import DesignTerm
    from .matrices import Matrix

Values = NDArray[np.float64]

MOST = 1500
"""Places of one field: its covariance is a dense matrix."""


def is_placed(structure: str) -> bool:
    """Whether the effects of a structure belong to places."""
    words = STRUCTURES.get(structure.partition("(")[0])
    return words is not None and words.placed


def with_places(term: RandomTerm, matrix: Matrix) -> tuple[str, Matrix]:
    """Return a field's name with its places, and a column (n, q) for each of them.

    Raises
    ------
    DataError
        When there are too few places or too many.
    """
    places, at = np.unique(matrix.values, axis=0, return_inverse=True)
    name, _, given = term.structure.partition("(")
    columns = ", ".join(matrix.names)
    if len(places) < 2:
        message = f"{name}() needs two places or more; ({columns}) are the same in all rows"
        raise DataError(f"{message}. Use (1 | {':'.join(term.group)})")
    if len(places) > MOST:
        message = (
            f"{name}() met {len(places):,} places of ({columns}); a field has at most {MOST:,}, "
            "whose covariance is a dense matrix. Round the coordinates to a grid, or use a group "
            "for each region"
        )
        raise DataError(message)
    smooth = (given.removesuffix(")") or "1.5",) if name == "mat" else ()
    constants = (*smooth, str(places.shape[1]), *map(repr, places.ravel().tolist()))
    names = tuple(f"C({columns})[{', '.join(f'{x:g}' for x in p)}]" for p in places.tolist())
    if len(set(names)) < len(names):
        names = tuple(f"C({columns})[{', '.join(map(repr, p))}]" for p in places.tolist())
    columns_of = replace(matrix, names=names, values=_selected(at.ravel(), len(places)))
    return f"{name}({','.join(constants)})", columns_of


def at_places(field: DesignTerm, matrix: Matrix) -> tuple[Matrix, Values | None]:
    """Return the columns (n, q) of rows of new data at a field's places, and where others are.

    These are the coordinates (n, d) of places that the fit has not seen, NaN in other rows; None
    where it has seen all. Such a row stands at the first place: to a group without effects of its
    own all are alike, as a field has one variance everywhere, and weights for the effects of
    others need the field's parameters.
    """
    values = matrix.values
    known = places_of(field.structure)
    position = {place: i for i, place in enumerate(known)}
    at = np.array([position.get(tuple(row), -1) for row in values.tolist()], dtype=np.int64)
    unseen = at < 0
    beyond = np.where(unseen[:, None], values, np.nan) if unseen.any() else None
    found_at = _selected(np.maximum(at, 0), len(known))
    return replace(matrix, names=field.columns, values=found_at), beyond


def _selected(at: NDArray[np.int64], count: int) -> Values:
    z = np.zeros((len(at), count), order="F")
    z[np.arange(len(at)), at] = 1.0
    return z
