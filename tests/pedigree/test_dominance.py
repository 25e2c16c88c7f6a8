"""Dominance relationships against the probability that two animals share both alleles."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from families_of_animals import MRODE_2, dense

from glimm import DataError, Pedigree

EXACT = 1e-12
# Full sibs, half sibs, double first cousins, a maternal grandsire: nobody inbred.
RECORDS = {
    "animal": ["e", "f", "g", "h", "i", "j", "k", "l"],
    "sire": ["a", "a", "c", "c", "e", "f", "e", None],
    "dam": ["b", "b", "d", "d", "g", "h", "g", "h"],
}


def by_descent(ped: Pedigree) -> np.ndarray:
    """P(both alleles of two animals are the same by descent), over all segregations."""
    n, parents = len(ped.animals), ped.records.parents
    drawn = [(i, k) for i in range(n) for k in range(2) if parents[i, k] >= 0]
    choices = np.array(list(product((0, 1), repeat=len(drawn))))
    alleles = np.tile(np.arange(2 * n).reshape(n, 2), (len(choices), 1, 1))
    for at, (i, k) in enumerate(drawn):
        alleles[:, i, k] = alleles[np.arange(len(choices)), parents[i, k], choices[:, at]]
    alleles.sort(axis=2)
    same = (alleles[:, :, None] == alleles[:, None]).all(axis=3)
    return np.asarray(same.mean(axis=0))


def test_dominance_is_the_chance_of_sharing_both_alleles() -> None:
    some = {k: v[:6] for k, v in RECORDS.items()}
    ped = Pedigree(some)
    np.testing.assert_allclose(ped.dominance().relationships(), by_descent(ped), atol=EXACT)


def test_precision_and_determinant() -> None:
    found = Pedigree(RECORDS).dominance()
    matrix = found.relationships()
    np.testing.assert_allclose(dense(found) @ matrix, np.eye(len(matrix)), atol=EXACT)
    assert found.log_determinant == pytest.approx(-np.linalg.slogdet(matrix)[1], abs=EXACT)


def test_inbred_animals_are_refused() -> None:
    ped = Pedigree(MRODE_2)
    with pytest.raises(DataError, match="2 animals are inbred"):
        ped.dominance()
    assert len(ped.dominance(ignore_inbreeding=True).labels) == 6
