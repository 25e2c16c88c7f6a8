"""Pedigrees for tests, and the tabular method as an oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Mrode (2014), Linear Models for the Prediction of Animal Breeding Values: Example 2.1.
MRODE_2 = {"animal": [3, 4, 5, 6], "sire": [1, 1, 4, 5], "dam": [2, None, 3, 2]}
# Example 3.1 (later 4.1), beef calves: sex, weight gain before weaning.
MRODE_3 = {
    "animal": [4, 5, 6, 7, 8],
    "sire": [1, 3, 1, 4, 3],
    "dam": [None, 2, 2, 5, 6],
}
MALE, GAIN = [1, 0, 0, 1, 1], [4.5, 2.9, 3.9, 3.5, 5.0]


def random_pedigree(n: int, seed: int, *, selfing: bool = False) -> dict[str, list[Any]]:
    """Records in random order, parents without records among them."""
    rng = np.random.default_rng(seed)
    sire, dam = [], []
    for i in range(n):
        pool = range(max(0, i - 30), i)
        even, odd = ([p for p in pool if p % 2 == k] for k in (0, 1))
        s, d = (
            int(rng.choice(side)) if side and rng.random() < 0.85 else None
            for side in ((list(pool), list(pool)) if selfing else (even, odd))
        )
        sire.append(s)
        dam.append(d)
    keep = [i for i in range(n) if i >= 6 or sire[i] is not None or dam[i] is not None]
    order = rng.permutation(keep).tolist()
    name = [f"i{k}" for k in rng.permutation(n).tolist()]
    return {
        "animal": [name[i] for i in order],
        "sire": [None if sire[i] is None else name[sire[i]] for i in order],
        "dam": [None if dam[i] is None else name[dam[i]] for i in order],
    }


def tabular(animals: tuple[Any, ...], records: dict[str, list[Any]]) -> Array:
    """A of `animals`, which have parents first, by the tabular method."""
    parents = {
        a: (s, d)
        for a, s, d in zip(records["animal"], records["sire"], records["dam"], strict=True)
    }
    place = {a: i for i, a in enumerate(animals)}
    found = np.zeros((len(animals), len(animals)))
    for i, animal in enumerate(animals):
        s, d = (place.get(p, -1) for p in parents.get(animal, (None, None)))
        row = sum((found[p, :i] for p in (s, d) if p >= 0), np.zeros(i)) / 2
        found[i, :i] = found[:i, i] = row
        found[i, i] = 1 + (found[s, d] / 2 if min(s, d) >= 0 else 0.0)
    return found


def dense(relation: Any) -> Array:
    """The precision of a relation as a full matrix."""
    starts, rows, values = relation.precision()
    n = len(relation.labels)
    found = np.zeros((n, n))
    for j in range(n):
        at = slice(starts[j], starts[j + 1])
        assert rows[at][0] == j
        assert (np.diff(rows[at]) > 0).all()
        found[rows[at], j] = found[j, rows[at]] = values[at]
    return found
