"""Animal models against other programs: `relations/fits.json` says which."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import glimm
from glimm.problem import make_problem

HERE = Path(__file__).parent / "relations"
FITS = json.loads((HERE / "fits.json").read_text())
# The log-likelihood at given parameters: sums of 1,500 terms in another order.
VALUE = 1e-7
# Estimates of optimisers that stop at a relative change of 1e-8 of the log-likelihood.
ESTIMATE = 2e-4


def relatives() -> glimm.Relationship:
    """Additive relationships by the tabular method, as a dense covariance."""
    with (HERE / "pedigree.csv").open() as file:
        rows = list(csv.DictReader(file))
    place = {row["animal"]: i for i, row in enumerate(rows)}
    a = np.eye(len(rows))
    for i, row in enumerate(rows):
        parents = [place[row[key]] for key in ("sire", "dam") if row[key] != "NA"]
        for p in parents:
            a[i, :i] += a[p, :i] / 2
        a[:i, i] = a[i, :i]
        if len(parents) == 2:
            a[i, i] = 1 + a[parents[0], parents[1]] / 2
    inverse = np.linalg.inv(a)
    inverse[abs(inverse) < 1e-9] = 0.0
    return glimm.Relationship(inverse, [int(row["animal"]) for row in rows], precision=True)


@pytest.fixture(scope="module")
def records() -> dict[str, list]:
    with (HERE / "records.csv").open() as file:
        rows = list(csv.DictReader(file))
    whole = {key: [int(row[key]) for row in rows] for key in ("animal", "dam", "count")}
    return whole | {"sex": [r["sex"] for r in rows], "gen": [r["gen"] for r in rows],
                    "y": [float(r["y"]) for r in rows]}  # fmt: skip


A = relatives()


@pytest.mark.parametrize(
    ("name", "reml"), [("gaussian_own_reml", True), ("gaussian_own_ml", False)]
)
def test_gaussian_animal_model(records: dict[str, list], name: str, reml: bool) -> None:
    known = FITS[name]
    fit = glimm.fit(
        "y ~ sex + C(gen) + (1 | animal, known=A)", records, relations={"A": A}, reml=reml
    )
    assert fit.loglik == pytest.approx(known["loglik"], abs=1e-6)
    found = np.array([*fit.estimates.parameters[:5]])
    np.testing.assert_allclose(found, known["fixed"], atol=ESTIMATE)
    sd, sigma = fit.estimates.parameters[6], np.exp(fit.estimates.parameters[5])
    np.testing.assert_allclose([sd**2, sigma**2], known["variances"], rtol=ESTIMATE)
    problem = make_problem(fit.model, fit.design)
    for point in known["eval_points"]:
        moved = fit.estimates.parameters.copy()
        moved[5], moved[6] = 0.5 * np.log(point["variances"][1]), point["variances"][0] ** 0.5
        if reml:
            value, _ = problem.evaluate(moved)
            assert value == pytest.approx(point["loglik"], abs=VALUE * abs(point["loglik"]))
    modes = known["ranef"][0]
    place = {label: i for i, label in enumerate(A.labels)}
    found = fit.estimates.modes[0][[place[level] for level in modes["levels"]], 0]
    np.testing.assert_allclose(found, modes["mode"], atol=1e-3)


def test_poisson_animal_model(records: dict[str, list]) -> None:
    known = FITS["poisson_own_laplace"]
    formula = "count ~ sex + C(gen) + (1 | animal, known=A) + (1 | dam)"
    with pytest.warns(glimm.FitWarning, match="integral"):
        fit = glimm.fit(formula, records, "poisson", relations={"A": A}, integration="laplace")
    assert fit.loglik == pytest.approx(known["loglik"], abs=1e-6)
    np.testing.assert_allclose(fit.estimates.parameters[:5], known["fixed"], atol=ESTIMATE)
    np.testing.assert_allclose(fit.estimates.parameters[5:] ** 2, known["variances"], rtol=1e-3)
    problem = make_problem(fit.model, fit.design)
    for point in known["eval_points"]:
        psi = np.array([*point["beta"], *np.sqrt(point["variances"])])
        value, _ = problem.evaluate(psi)
        assert value == pytest.approx(point["loglik"], abs=VALUE * abs(point["loglik"]))
