"""Population-averaged coefficients: closed forms, brute force, differences, published numbers."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import NDArray
from scipy import special

import glimm

Array = NDArray[np.float64]

REFERENCE = json.loads(
    (Path(__file__).parents[1] / "reference" / "effects" / "effects.json").read_text()
)
BRUTE = 1e-8
"""Asked of averages against a product rule."""


def frame(n: int = 240, seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g, h = np.arange(n) % 24, np.arange(n) // 5 % 8
    x, w = rng.normal(size=n), rng.normal(size=n)
    eta = -0.4 + 0.8 * x + rng.normal(0, 1.1, 24)[g] + rng.normal(0, 0.6, 24)[g] * x
    eta += rng.normal(0, 0.7, 8)[h]
    y = rng.binomial(1, special.expit(eta))
    count = rng.poisson(np.exp(0.5 * eta))
    rank = np.digitize(eta + rng.logistic(size=n), [-1.0, 0.8])
    columns = {"y": y, "count": count, "x": x, "w": w, "g": g, "h": h, "rank": rank}
    return pd.DataFrame(columns)


def fit(formula: str, family: str = "binomial", **options: object) -> glimm.Fit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return glimm.fit(formula, frame(), family, integration="laplace", **options)


def brute(made: glimm.Fit, nodes: int = 60) -> Array:
    """Mean of each row by a product rule over all random effects of the row."""
    t, weights = hermegauss(nodes)
    weights = weights / np.sqrt(2 * np.pi)
    eta = made.design.x @ made.estimates.parameters[: len(made.names)]
    pieces = [term.z @ factor for term, factor in zip(made.design.terms, made.factors, strict=True)]
    loads = np.hstack(pieces)
    points = np.array(np.meshgrid(*[t] * loads.shape[1], indexing="ij")).reshape(loads.shape[1], -1)
    mass = np.prod(np.meshgrid(*[weights] * loads.shape[1], indexing="ij"), axis=0).ravel()
    return np.array(
        [special.expit(e + row @ points) @ mass for e, row in zip(eta, loads, strict=True)]
    )


@pytest.mark.parametrize(
    "formula", ["y ~ x + (1 | g)", "y ~ x + (1 + x | g)", "y ~ x + (1 + x || g) + (1 | h)"]
)
def test_means_match_brute_force_over_all_effects(formula: str) -> None:
    made = fit(formula)
    exact = brute(made)
    np.testing.assert_allclose(made.predict(kind="population"), exact, atol=BRUTE)
    x = made.design.x
    projected = np.linalg.lstsq(x, special.logit(exact), rcond=None)[0]
    found = made.population_averaged()
    np.testing.assert_allclose(found.estimates, projected, atol=1e-6)


@pytest.mark.parametrize(
    ("formula", "family"),
    [
        ("y ~ x + (1 + x | g) + (1 | h)", "binomial"),
        ("count ~ x + (1 + x | g)", "poisson"),
        ("rank ~ x + (1 | g)", "ordinal"),
    ],
)
def test_standard_errors_match_differences(formula: str, family: str) -> None:
    """The delta method with numerical derivatives of the whole computation."""
    from dataclasses import replace

    from glimm.inference.delta import delta

    made = fit(formula, family)

    def at(psi: Array) -> Array:
        moved = glimm.Fit(made.model, made.design, replace(made.estimates, parameters=psi))
        return moved.population_averaged().estimates

    values, covariance = delta(at, made.estimates.parameters, made.estimates.covariance)
    found = made.population_averaged()
    np.testing.assert_allclose(found.estimates, values, rtol=1e-12)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-5, atol=1e-9)


def test_probit_with_a_random_intercept_is_a_closed_form() -> None:
    made = fit("y ~ x + (1 | g)", link="probit")
    variance = float(made.covariances[0][0, 0])
    exact = made.estimates.parameters[:2] / np.sqrt(1 + variance)
    np.testing.assert_allclose(made.population_averaged().estimates, exact, rtol=1e-10)


def test_identity_changes_nothing() -> None:
    made = glimm.fit("reaction ~ days + (1 + days | subject)", glimm.datasets.load("sleepstudy"))
    found = made.population_averaged()
    np.testing.assert_allclose(found.estimates, found.subject, rtol=1e-10)
    np.testing.assert_allclose(found.covariance, found.subject_covariance, rtol=1e-8)


def test_log_link_keeps_ratios_and_multiplies_the_baseline() -> None:
    made = fit("count ~ x + (1 | g) + (1 | h)", "poisson")
    found = made.population_averaged()
    variance = sum(float(c[0, 0]) for c in made.covariances)
    assert found.coef["x"] == pytest.approx(made.coef["x"], rel=1e-10)
    assert found.se["x"] == pytest.approx(made.se["x"], rel=1e-8)
    moved = found.coef["(Intercept)"] - made.coef["(Intercept)"]
    assert moved == pytest.approx(variance / 2, rel=1e-10)
    assert found.baseline == pytest.approx(np.exp(variance / 2))
    assert "multiplies the baseline by exp(variance / 2)" in str(found)
    assert "ratio of means" in str(found)


def test_toenail_matches_exact_quadrature_at_the_same_parameters() -> None:
    from dataclasses import replace

    theirs = REFERENCE["toenail"]
    data = pd.DataFrame(glimm.datasets.load("toenail"))
    names = {"infection": "out01", "patient": "patientID", "month": "time"}
    data = data.rename(columns=names)
    made = glimm.fit("out01 ~ treatment * time + (1 | patientID)", data, "binomial")
    psi = made.estimates.parameters.copy()
    psi[:4] = theirs["conditional"]
    psi[4] = np.sqrt(theirs["D"])
    moved = glimm.Fit(made.model, made.design, replace(made.estimates, parameters=psi))
    found = moved.population_averaged()
    np.testing.assert_allclose(found.estimates, theirs["exact_by_quadrature"]["coef"], atol=1e-6)
    # Their standard errors come from 100 draws, each with Monte Carlo error in the coefficients.
    np.testing.assert_allclose(
        made.population_averaged().estimates.tolist(),
        theirs["marginal_coefs_mc"]["mean"],
        atol=6 * max(theirs["marginal_coefs_mc"]["mc_se_of_mean"]),
    )
    np.testing.assert_allclose(
        list(found.se.values()), theirs["marginal_coefs_se"]["se"], rtol=4 / np.sqrt(2 * 100)
    )


@pytest.mark.parametrize("link", ["probit", "cloglog"])
def test_cbpp_means_by_period(link: str) -> None:
    from dataclasses import replace

    theirs = REFERENCE["cbpp"][link]
    data = pd.DataFrame(glimm.datasets.load("cbpp")).astype({"period": str})
    made = glimm.fit(
        "incidence / size ~ period + (1 | herd)",
        data,
        "binomial",
        link=link,
        integration="laplace",
    )
    psi = np.array([*theirs["beta"], np.sqrt(theirs["variance"])])
    moved = glimm.Fit(made.model, made.design, replace(made.estimates, parameters=psi))
    new = {"period": ["1", "2", "3", "4"]}
    np.testing.assert_allclose(
        moved.predict(new, kind="population"), theirs["mu_by_period"], atol=1e-9
    )
    if link == "probit":
        found = moved.population_averaged().estimates
        np.testing.assert_allclose(found, theirs["marginal_beta"], rtol=1e-9)


def test_the_frame_has_both_effects() -> None:
    found = fit("y ~ x + (1 | g)").population_averaged(0.9)
    table = found.to_frame()
    assert list(table["effect"]) == ["subject"] * 2 + ["population"] * 2
    assert {"ratio", "ratio_lower", "ratio_upper"} <= set(table.columns)
    assert (table["lower"] < table["estimate"]).all()
    assert "<table" in found._repr_html_()
