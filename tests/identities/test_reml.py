"""Restricted maximum likelihood: its definition, closed forms, and what it leaves unchanged."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from studies import fit, study, text

import glimm
from glimm import _core
from glimm.problem import core_arrays

STRUCTURES = ["intercepts", "slopes", "uncorrelated", "nested", "crossed"]
# Rounding of sums over a few hundred rows.
EXACT = 1e-9
# Relative; the climb ends within 1e-6 standard errors.
SAME = 1e-6


def restricted(structure: str, frame: pd.DataFrame | None = None) -> glimm.Fit:
    rows = study("gaussian", structure) if frame is None else frame
    return fit("gaussian", text(structure), rows, reml=None)


def covariance(made: glimm.Fit) -> np.ndarray:
    """Covariance of the rows of the response, (n, n)."""
    design = made.design
    v = made.dispersion["sigma"] ** 2 * np.eye(design.n)
    for term, block in zip(design.terms, made.covariances, strict=True):
        same = term.codes[:, None] == term.codes[None, :]
        v += same * (term.z @ block @ term.z.T)
    return v


@pytest.mark.parametrize("structure", STRUCTURES)
def test_value_is_that_of_the_definition(structure: str) -> None:
    made = restricted(structure)
    assert made.model.reml
    x, y, v = made.design.x, made.design.y, covariance(made)
    information = x.T @ np.linalg.solve(v, x)
    beta = np.linalg.solve(information, x.T @ np.linalg.solve(v, y))
    e = y - x @ beta
    n, p = x.shape
    value = -0.5 * (
        (n - p) * math.log(2 * math.pi)
        + np.linalg.slogdet(v)[1]
        + np.linalg.slogdet(information)[1]
        + e @ np.linalg.solve(v, e)
    )
    assert made.loglik == pytest.approx(value, rel=EXACT)
    np.testing.assert_allclose(list(made.coef.values()), beta, rtol=SAME)
    np.testing.assert_allclose(made.vcov(), np.linalg.inv(information), rtol=SAME)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_fixed_effects_do_not_covary_with_the_variances(structure: str) -> None:
    made = restricted(structure)
    p = len(made.names)
    np.testing.assert_array_equal(made.vcov("all")[:p, p:], 0.0)
    assert np.isfinite(made.vcov("all")).all()


def test_a_balanced_layout_has_the_estimates_of_the_analysis_of_variance() -> None:
    rng = np.random.default_rng(4)
    groups, rows = 12, 5
    y = rng.normal(size=(groups, rows)) + 1.5 * rng.normal(size=(groups, 1))
    frame = pd.DataFrame({"y": y.ravel(), "g": np.repeat(np.arange(groups), rows).astype(str)})
    made = glimm.fit("y ~ 1 + (1 | g)", frame)
    within = ((y - y.mean(axis=1, keepdims=True)) ** 2).sum() / (groups * (rows - 1))
    between = rows * y.mean(axis=1).var(ddof=1)
    assert made.dispersion["sigma"] ** 2 == pytest.approx(within, rel=SAME)
    assert made.covariances[0][0, 0] == pytest.approx((between - within) / rows, rel=SAME)
    assert made.coef["(Intercept)"] == pytest.approx(y.mean(), rel=EXACT)
    assert made.se["(Intercept)"] == pytest.approx(math.sqrt(between / y.size), rel=SAME)


def test_without_random_effects_sigma_is_that_of_least_squares() -> None:
    frame = study("gaussian", "intercepts")
    usual = fit("gaussian", "y ~ x + w", frame, reml=None)
    made = fit("gaussian", "y ~ x + w", frame, reml=True)
    assert not usual.model.reml
    x, y = made.design.x, made.design.y
    rss = float(np.linalg.lstsq(x, y, rcond=None)[1][0])
    assert made.dispersion["sigma"] ** 2 == pytest.approx(rss / (len(y) - 3), rel=EXACT)
    assert usual.dispersion["sigma"] ** 2 == pytest.approx(rss / len(y), rel=EXACT)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_units_of_covariates_and_response(structure: str) -> None:
    frame, made = study("gaussian", structure), restricted(structure)
    # Independent effects are not independent for another origin of x.
    origin = 0.0 if structure == "uncorrelated" else 3.0
    other = restricted(structure, frame.assign(x=4.0 * frame["x"] + origin, y=10.0 * frame["y"]))
    n, p = made.design.x.shape
    # X'V^-1 X gains a factor of 16; the density of n - p residuals is per unit of the response.
    shift = -math.log(4.0) - (n - p) * math.log(10.0)
    assert other.loglik == pytest.approx(made.loglik + shift, abs=1e-6)
    assert other.dispersion["sigma"] == pytest.approx(10 * made.dispersion["sigma"], rel=SAME)
    assert other.coef["x"] == pytest.approx(2.5 * made.coef["x"], rel=SAME)
    assert other.se["x"] == pytest.approx(2.5 * made.se["x"], rel=SAME)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_closed_form_is_the_laplace_fit(structure: str) -> None:
    made = fit("gaussian", text(structure), study("gaussian", structure))
    design = made.design
    laplace = _core.Problem(*core_arrays(made.model, design), laplace=True, integration="laplace")
    other = laplace.fit()
    assert made.estimates.path == "lmm"
    assert made.loglik == pytest.approx(other["loglik"], rel=EXACT)
    there = laplace.evaluate(made.estimates.parameters)
    assert there is not None
    assert there[0] == pytest.approx(made.loglik, rel=EXACT)
    # One more step of the Laplace path from here, in standard errors.
    errors = np.sqrt(np.diag(made.vcov("all")))
    np.testing.assert_allclose(made.vcov("all") @ there[1] / errors, 0.0, atol=SAME)
    theirs = other["covariance"].reshape(errors.size, -1)
    # Taken where that path stopped, which is within 1e-4 standard errors.
    np.testing.assert_allclose((made.vcov("all") - theirs) / np.outer(errors, errors), 0, atol=1e-5)


def test_a_saved_fit_knows_its_estimator(tmp_path: Path) -> None:
    made = restricted("slopes")
    made.save(tmp_path / "fit")
    again = glimm.load(tmp_path / "fit")
    assert again.model.reml
    assert again.loglik == made.loglik
    assert "REML" in str(again)
    y = made.simulate(1, seed=3)[0]
    assert again.refit(y).loglik == pytest.approx(made.refit(y).loglik, rel=1e-12)
