"""Breeding values and their errors against the mixed model equations, solved densely."""

from __future__ import annotations

import numpy as np
import pytest

import glimm
from glimm import Pedigree
from glimm.datasets import make_fecundity

# A dense inverse of the same system.
SAME = 1e-6


@pytest.mark.parametrize("reml", [True, False])
def test_gaussian_errors_are_those_of_hendersons_equations(reml: bool) -> None:
    made = make_fecundity(100, 3, seed=2)
    ped = Pedigree(made.records)
    fit = glimm.fit(
        "weight ~ season + sex + (1 | animal, pedigree=ped)",
        made.frame.iloc[30:],
        relations={"ped": ped},
        reml=reml,
    )
    found = fit.breeding_values()
    assert set(found.animals) == set(ped.animals)
    variance, error = float(fit.covariances[0][0, 0]), (fit.dispersion or {})["sigma"] ** 2
    a = ped.relationships(found.animals)
    x, n = fit.design.x, fit.design.n
    z = np.zeros((n, len(a)))
    place = {animal: i for i, animal in enumerate(found.animals)}
    animals = made.frame["animal"].iloc[30:].tolist()
    z[np.arange(n), [place[name] for name in animals]] = 1
    left = np.block([[x.T @ x, x.T @ z], [z.T @ x, z.T @ z + np.linalg.inv(a) * error / variance]])
    inverse = error * np.linalg.inv(left)
    p = x.shape[1]
    solution = inverse @ np.concatenate([x.T @ fit.design.y, z.T @ fit.design.y]) / error
    np.testing.assert_allclose(found.values[:, 0], solution[p:], atol=SAME)
    pev = np.diag(inverse)[p:]
    np.testing.assert_allclose(found.se[:, 0] ** 2, pev, rtol=SAME)
    f = np.diag(a) - 1
    np.testing.assert_allclose(found.inbreeding, f, atol=1e-9)
    np.testing.assert_allclose(found.reliability[:, 0], 1 - pev / ((1 + f) * variance), atol=SAME)
    fixed = np.linalg.inv(z.T @ z / error + np.linalg.inv(a) / variance)
    given = fit.breeding_values(parameters="none")
    np.testing.assert_allclose(given.se[:, 0] ** 2, np.diag(fixed), rtol=SAME)
    assert (fit.breeding_values(parameters="all").se >= found.se - 1e-9).all()
    assert "accuracy" in str(found)


def test_an_animal_without_records_has_the_mean_of_its_parents() -> None:
    made = make_fecundity(100, 3, seed=4)
    ped = Pedigree(made.records)
    last = made.records["animal"].iloc[-1]
    kept = made.frame[made.frame["animal"] != last]
    fit = glimm.fit("eggs ~ season + (1 | animal, pedigree=ped)", kept, "poisson",
                    relations={"ped": ped}, integration="laplace")  # fmt: skip
    found = fit.breeding_values()
    value = dict(zip(found.animals, found.values[:, 0].tolist(), strict=True))
    row = made.records.iloc[-1]
    assert value[last] == pytest.approx((value[row["sire"]] + value[row["dam"]]) / 2, abs=1e-7)
    assert len(found.to_frame()) == len(ped.animals)
