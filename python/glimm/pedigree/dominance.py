"""Dominance relationships of animals that are not inbred."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..data import Level
from ..errors import DataError, listed
from ..relations import Relation

if TYPE_CHECKING:
    from .pedigree import Pedigree

Array = NDArray[np.float64]
Places = NDArray[np.int64]

MOST_TOGETHER = 8000
"""Animals of related families up to which their dominance relationships are inverted."""


@dataclass(frozen=True, eq=False)
class Dominance(Relation):
    """Dominance relationships, made by `Pedigree.dominance`: ``(1 | animal, known=dominance)``.

    Animals with an unknown parent, and those of families without related parents on both sides,
    are independent of all others; the rest is inverted family group by family group.

    Attributes
    ----------
    labels : tuple
        Animals of the pedigree.
    blocks : tuple of (ndarray, ndarray)
        Places of animals that are related, and their relationships.
    """

    labels: tuple[Level, ...]
    blocks: tuple[tuple[Places, Array], ...] = field(repr=False)

    word = "known"

    def precision(self) -> tuple[Places, Places, Array]:
        """Return the lower triangle of the precision, by columns, the diagonal first."""
        n = len(self.labels)
        columns: list[tuple[Places, Array]] = [(np.array([i]), np.ones(1)) for i in range(n)]
        for places, block in self.blocks:
            inverse = np.asarray(np.linalg.inv(block), dtype=np.float64)
            for k, j in enumerate(places.tolist()):
                columns[j] = places[k:], inverse[k:, k]
        starts = np.concatenate([[0], np.cumsum([rows.size for rows, _ in columns])])
        rows, values = (np.concatenate([c[k] for c in columns]) for k in range(2))
        return starts.astype(np.int64), rows.astype(np.int64), values.astype(np.float64)

    @property
    def log_determinant(self) -> float:
        """Log-determinant of the precision."""
        return -float(sum(np.linalg.slogdet(block)[1] for _, block in self.blocks))

    def relationships(self) -> Array:
        """Return the relationships as a dense matrix, (n, n)."""
        found = np.eye(len(self.labels))
        for places, block in self.blocks:
            found[np.ix_(places, places)] = block
        return found


def dominance(pedigree: Pedigree, ignore_inbreeding: bool) -> Dominance:
    """See `Pedigree.dominance`."""
    inbred = np.flatnonzero(pedigree.inbreeding > 0)
    if inbred.size and not ignore_inbreeding:
        names = listed([str(pedigree.animals[i]) for i in inbred[:5].tolist()])
        message = (
            f"{inbred.size:,} animals are inbred ({names}): dominance relationships of inbred "
            "animals are no function of the additive ones; ignore_inbreeding=True takes those of "
            "animals that are not inbred for an approximation"
        )
        raise DataError(message, code="pedigree_records")
    parents = pedigree.records.parents
    full = np.flatnonzero((parents >= 0).all(axis=1))
    families, member = np.unique(parents[full], axis=0, return_inverse=True)
    member = member.ravel()
    used = np.unique(families)
    a = pedigree._inner.relationships(used.tolist(), used.tolist())
    s, d = (np.searchsorted(used, side) for side in families.T)
    blocks = []
    for group in _related(a, s, d):
        chosen = np.flatnonzero(np.isin(member, group))
        if chosen.size < 2:
            continue
        if chosen.size > MOST_TOGETHER:
            message = f"{chosen.size:,} animals of related families; up to {MOST_TOGETHER:,}"
            raise DataError(message, code="memory")
        i, j = s[member[chosen]], d[member[chosen]]
        block = (a[np.ix_(i, i)] * a[np.ix_(j, j)] + a[np.ix_(i, j)] * a[np.ix_(j, i)]) / 4
        np.fill_diagonal(block, 1.0)
        blocks.append((full[chosen], block))
    return Dominance(pedigree.animals, tuple(blocks))


def _related(a: Array, s: Places, d: Places) -> list[Places]:
    """Families that dominance connects, group by group."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    between = a[np.ix_(s, s)] * a[np.ix_(d, d)] + a[np.ix_(s, d)] * a[np.ix_(d, s)]
    count, label = connected_components(csr_array(between > 0), directed=False)
    return [np.flatnonzero(label == k) for k in range(count)]
