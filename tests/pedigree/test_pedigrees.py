"""Pedigrees against the tabular method, textbooks and other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from families_of_animals import GAIN, MALE, MRODE_2, MRODE_3, dense, random_pedigree, tabular

import glimm
from glimm import DataError, Pedigree

REFERENCE = Path(__file__).parent.parent / "reference" / "animal"
# Rounding of sums of up to a few hundred terms.
EXACT = 1e-12
# Of an inverse taken by another route.
INVERSE = 1e-9
# Books print three decimals.
PRINTED = 6e-4


@pytest.mark.parametrize("selfing", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_random_pedigrees_match_the_tabular_method(seed: int, selfing: bool) -> None:
    records = random_pedigree(120, seed, selfing=selfing)
    ped = Pedigree(records, selfing=selfing)
    a = tabular(ped.animals, records)
    assert ped.inbreeding.max() > 0.1
    np.testing.assert_allclose(ped.inbreeding, np.diag(a) - 1, atol=EXACT)
    np.testing.assert_allclose(ped.relationships(), a, atol=EXACT)
    np.testing.assert_allclose(dense(ped) @ a, np.eye(len(a)), atol=INVERSE)
    assert abs(ped.log_determinant + np.linalg.slogdet(a)[1]) < INVERSE
    assert ped.relationship(ped.animals[3], ped.animals[-1]) == pytest.approx(a[3, -1], abs=EXACT)


def test_order_and_names_of_records_play_no_part() -> None:
    records = random_pedigree(80, 11)
    ped = Pedigree(records)
    order = np.random.default_rng(0).permutation(len(records["animal"]))
    other = Pedigree({k: [v[i] for i in order] for k, v in records.items()})
    pairs = dict(zip(other.animals, other.inbreeding.tolist(), strict=True))
    assert [pairs[a] for a in ped.animals] == ped.inbreeding.tolist()
    some = ["i3", "i9"]
    np.testing.assert_array_equal(ped.relationships(some), other.relationships(some))


def test_records_in_order_keep_it() -> None:
    ped = Pedigree({"animal": [1, 2, 3], "sire": [None, None, 1], "dam": [None, None, 2]})
    assert ped.animals == (1, 2, 3)
    assert ped.founders == 2


def test_small_reference() -> None:
    found = json.loads((REFERENCE / "pedigree_small.json").read_text())
    ped = Pedigree(pd.read_csv(REFERENCE / "pedigree_small.csv"))
    order = [ped.animals.index(k) for k in range(1, 15)]
    np.testing.assert_allclose(ped.inbreeding[order], found["inbreeding"], atol=EXACT)
    np.testing.assert_allclose(ped.mendelian[order], found["mendelian_variance"], atol=EXACT)
    np.testing.assert_allclose(ped.relationships(range(1, 15)), found["A"], atol=EXACT)
    np.testing.assert_allclose(dense(ped)[np.ix_(order, order)], found["Ainv"], atol=INVERSE)
    assert -ped.log_determinant == pytest.approx(found["logdet_A"], abs=EXACT)


def test_large_reference() -> None:
    found = json.loads((REFERENCE / "pedigree_large.json").read_text())
    ped = Pedigree(pd.read_csv(REFERENCE / "pedigree_large.csv"))
    order = [ped.animals.index(k) for k in range(1, 1501)]
    np.testing.assert_allclose(ped.inbreeding[order], found["inbreeding_all"], atol=EXACT)
    assert int((ped.inbreeding > 0).sum()) == found["n_inbred"]
    inverse = dense(ped)
    assert np.count_nonzero(inverse) == found["nnz_Ainv_full"]
    assert inverse.sum() == pytest.approx(found["sum_Ainv"], rel=1e-12)
    assert np.linalg.norm(inverse) == pytest.approx(found["frobenius_Ainv"], rel=1e-12)
    np.testing.assert_allclose(np.diag(inverse)[order][:50], found["Ainv_diag_first50"])
    assert -ped.log_determinant == pytest.approx(found["logdet_A"], abs=1e-10)
    sample = found["A_sample"]
    for i, j, value in zip(sample["i"], sample["j"], sample["value"], strict=True):
        assert ped.relationship(i, j) == pytest.approx(value, abs=EXACT)


def test_mrode_example_2() -> None:
    """The printed A of Example 2.1."""
    a = [
        [1, 0, 0.5, 0.5, 0.5, 0.25],
        [0, 1, 0.5, 0, 0.25, 0.625],
        [0.5, 0.5, 1, 0.25, 0.625, 0.5625],
        [0.5, 0, 0.25, 1, 0.625, 0.3125],
        [0.5, 0.25, 0.625, 0.625, 1.125, 0.6875],
        [0.25, 0.625, 0.5625, 0.3125, 0.6875, 1.125],
    ]
    np.testing.assert_allclose(Pedigree(MRODE_2).relationships(range(1, 7)), a, atol=EXACT)


def test_mrode_example_3() -> None:
    """The printed solutions of Example 3.1: sexes, then breeding values; sigma_e^2 = 2 V_A."""
    ped = Pedigree(MRODE_3)
    order = [ped.animals.index(k) for k in range(1, 9)]
    ainv = dense(ped)[np.ix_(order, order)]
    x = np.column_stack([MALE, 1 - np.array(MALE)])
    z = np.hstack([np.zeros((5, 3)), np.eye(5)])
    left = np.block([[x.T @ x, x.T @ z], [z.T @ x, z.T @ z + 2 * ainv]])
    right = np.concatenate([x.T @ GAIN, z.T @ GAIN])
    found = np.linalg.solve(left, right)
    printed = [4.358, 3.404, 0.098, -0.019, -0.041, -0.009, -0.186, 0.177, -0.249, 0.183]
    np.testing.assert_allclose(found, printed, atol=PRINTED)


def test_random_groups_are_ancestors_with_a_variance() -> None:
    """Levels (g, u) with u = Q g + a have the covariance [[k I, k Q'], [k Q, k Q Q' + A]]."""
    records = {
        "animal": ["a", "b", "c", "d", "e"],
        "sire": ["old", "new", "a", "a", "c"],
        "dam": ["old", "old", "b", "new", "d"],
    }
    plain = Pedigree(
        {k: [None if x in ("old", "new") else x for x in v] for k, v in records.items()},
        selfing=True,
    )
    ped = Pedigree(records, groups=["old", "new"], group_variance=0.7, selfing=True)
    assert ped.labels[:2] == ("old", "new")
    assert ped.animals == plain.animals
    parts = ped.group_contributions()
    q = np.column_stack([parts["old"], parts["new"]])
    np.testing.assert_allclose(q.sum(axis=1), 1)
    assert q[ped.animals.index("e")].tolist() == [0.625, 0.375]
    a = plain.relationships()
    whole = np.block([[0.7 * np.eye(2), 0.7 * q.T], [0.7 * q, 0.7 * q @ q.T + a]])
    np.testing.assert_allclose(np.linalg.inv(dense(ped)), whole, atol=INVERSE)
    assert ped.log_determinant == pytest.approx(-np.linalg.slogdet(whole)[1], abs=INVERSE)


def test_groups_as_fixed_effects_leave_the_precision_alone() -> None:
    records = {"animal": ["a", "b"], "sire": ["g", "a"], "dam": [None, "h"]}
    ped = Pedigree(records, groups=["g", "h"])
    np.testing.assert_allclose(dense(ped), [[4 / 3, -2 / 3], [-2 / 3, 4 / 3]])
    assert ped.group_contributions()["h"].tolist() == [0.0, 0.5]


def test_pruning_changes_nothing_for_those_kept() -> None:
    records = random_pedigree(100, 5)
    ped = Pedigree(records)
    some = ["i7", "i50", "i51"]
    pruned = ped.prune(some)
    assert len(pruned.animals) < len(ped.animals)
    np.testing.assert_array_equal(pruned.relationships(some), ped.relationships(some))


def test_frames_arrays_and_numbers_are_read() -> None:
    frame = pd.DataFrame({"id": [5.0, 7.0], "pa": [1, 5], "ma": [np.nan, 9.0]})
    ped = Pedigree(frame, animal="id", sire="pa", dam="ma")
    assert ped.animals == (1, 9, 5, 7)
    assert ped.records.added == 2
    same = Pedigree(animal=[5, 7], sire=[1, 5], dam=[0, 9], unknown=0)
    np.testing.assert_array_equal(ped.relationships(), same.relationships())
    frame = ped.to_frame()
    assert frame["generation"].tolist() == [0, 0, 1, 2]
    assert "inbreeding" in str(ped)


def bad(**columns: list[Any]) -> dict[str, list[Any]]:
    return {"animal": ["a", "b", "c"], "sire": [None, "a", "a"], "dam": [None, None, "b"]} | columns


@pytest.mark.parametrize(
    ("records", "options", "code", "words"),
    [
        (bad(sire=["c", "a", "b"], dam=[None] * 3), {}, "pedigree_loop", ["'a'", "'b'", "'c'"]),
        (bad(sire=["a", None, None]), {}, "pedigree_loop", ["parent of itself", "'a'", "row 0"]),
        (bad(animal=["a", "b", "b"]), {}, "pedigree_records", ["'b'", "rows 1, 2"]),
        (bad(animal=["a", None, "c"]), {}, "pedigree_records", ["no animal", "row 1"]),
        (bad(dam=[None, None, "a"]), {}, "pedigree_records", ["selfing=True", "'a'"]),
        (bad(sire=["0", "a", "a"]), {}, "pedigree_records", ["unknown='0'"]),
        (bad(dam=[1, 2, 3]), {}, "pedigree_records", ["text", "numbers"]),
        (bad(), {"groups": ["b"]}, "pedigree_records", ["record of its own"]),
        (bad(), {"groups": ["z"]}, "pedigree_records", ["'z'"]),
        (bad(), {"animal": "name"}, "unknown_column", ["'name'"]),
        (bad(), {"group_variance": 1.0}, "unknown_option", ["groups="]),
        ({"animal": [], "sire": [], "dam": []}, {}, "empty_data", ["no records"]),
    ],
)
def test_bad_records_are_refused_by_name(
    records: dict[str, list[Any]], options: dict[str, Any], code: str, words: list[str]
) -> None:
    with pytest.raises(DataError) as caught:
        Pedigree(records, **options)
    assert caught.value.code == code
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_wholly_inbred_lines_are_refused_by_name() -> None:
    names = [f"g{k}" for k in range(60)]
    line = {"animal": names[1:], "sire": names[:-1], "dam": names[:-1]}
    with pytest.raises(DataError, match="animal 'g4[0-9]' has no Mendelian variance"):
        Pedigree(line, selfing=True)
    short = Pedigree({k: v[:5] for k, v in line.items()}, selfing=True)
    np.testing.assert_array_equal(short.inbreeding, 1 - 0.5 ** np.arange(6))


def test_unknown_animals_are_named() -> None:
    ped = Pedigree(MRODE_2)
    with pytest.raises(DataError, match="animal 99 is not in the pedigree"):
        ped.relationship(1, 99)


def test_inbreeding_grows_with_drift() -> None:
    """Ten generations of 2,000."""
    rng = np.random.default_rng(1)
    n, size = 20_000, 2000
    own = np.arange(n)
    first = own // size * size - size
    sire = np.where(own < size, -1, first + rng.integers(0, 50, n))
    dam = np.where(own < size, -1, first + rng.integers(50, size, n))
    ped = Pedigree(animal=own, sire=sire, dam=dam, unknown=-1)
    f = ped.inbreeding.reshape(10, size).mean(axis=1)
    # Wright: delta F = 1 / (8 Nm) + 1 / (8 Nf) a generation, from the third on.
    expected = 9 * (1 / (8 * 50) + 1 / (8 * 1950)) - 1 / 400
    assert f[-1] == pytest.approx(expected, rel=0.2)
    assert glimm.Relation in Pedigree.__mro__
