"""Deletion diagnostics: closed forms of the linear model, fits to the rows left, brute force."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import glimm
from glimm.checks.deletion import _anew, deletions, rest_of

# Refits here and by glimm.fit end within this part of a standard error of the same maximum.
REFIT_SE = 2e-4
# One step from the estimates against the maximum: the error is of the second order in the step.
STEP_PART, STEP_LEAST = 0.25, 0.02
# Quadrature chosen anew for each set of rows: relative error of its derivatives.
NODES = 2e-4


@functools.cache
def sleep(reml: bool = True) -> tuple[pd.DataFrame, glimm.Fit]:
    data = glimm.datasets.load("sleepstudy")
    return data, glimm.fit("reaction ~ days + (1 + days | subject)", data, reml=reml)


@functools.cache
def epilepsy() -> tuple[pd.DataFrame, glimm.Fit]:
    data = glimm.datasets.load("epilepsy")
    formula = "seizures ~ log(baseline) + treatment + period + (1 | patient)"
    return data, glimm.fit(formula, data, family="nbinom2")


@functools.cache
def crossed(family: str) -> tuple[pd.DataFrame, glimm.Fit]:
    rng = np.random.default_rng(4)
    a, b = (k.ravel() for k in np.meshgrid(np.arange(12), np.arange(9)))
    x = rng.normal(size=a.size)
    eta = 0.5 + 0.4 * x + 0.6 * rng.normal(size=12)[a] + 0.5 * rng.normal(size=9)[b]
    y = rng.poisson(np.exp(eta)) if family == "poisson" else eta + rng.normal(size=a.size)
    data = pd.DataFrame({"y": y, "x": x, "a": a, "b": b})
    return data, glimm.fit("y ~ x + (1 | a) + (1 | b)", data, family=family, integration="laplace")


def in_errors(fit: glimm.Fit, other: glimm.Fit) -> np.ndarray:
    """Change of the coefficients of the mean in standard errors of the first fit."""
    keys = fit.coef
    return np.array([(other.coef[k] - fit.coef[k]) / fit.se[k] for k in keys])


def test_a_linear_model_has_the_closed_forms() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 2))
    y = 1 + x @ [0.5, -1.0] + rng.normal(size=40)
    fit = glimm.fit("y ~ a + b", {"y": y, "a": x[:, 0], "b": x[:, 1]})
    found = glimm.influence(fit)
    full = np.column_stack([np.ones(40), x])
    inverse = np.linalg.inv(full.T @ full)
    h = np.einsum("ij,jk,ik->i", full, inverse, full)
    residual = y - full @ inverse @ full.T @ y
    dfbeta = -(full @ inverse) * (residual / (1 - h))[:, None]
    assert found.by == "rows"
    assert_allclose(found.change[:, :3], dfbeta, atol=1e-9)
    assert_allclose(found.leverage, h, atol=1e-9)
    sigma2 = np.mean(residual**2)
    assert_allclose(found.cooks, h * residual**2 / (3 * sigma2 * (1 - h) ** 2), rtol=1e-7)
    refit = glimm.influence(fit, method="refit")
    assert_allclose(refit.change[:, :3], dfbeta, atol=1e-7)
    less = (np.sum(residual**2) - residual**2 / (1 - h)) / 39
    assert_allclose(refit.covariance_ratio, (less / sigma2) ** 3 / (1 - h), rtol=1e-5)
    # To first order in log sigma.
    assert_allclose(found.covariance_ratio, refit.covariance_ratio, rtol=0.05)


@pytest.mark.parametrize("reml", [True, False])
def test_clusters_of_a_linear_mixed_model(reml: bool) -> None:
    data, fit = sleep(reml)
    step, refit = glimm.influence(fit), glimm.influence(fit, method="refit")
    for subject in (308, 335):
        g = step.labels.index(subject)
        alone = glimm.fit("reaction ~ days + (1 + days | subject)", data[data.subject != subject],
                          reml=reml)  # fmt: skip
        assert_allclose(refit.scaled[g, :2], in_errors(fit, alone), atol=REFIT_SE)
        sigma = alone.dispersion["sigma"] - fit.dispersion["sigma"]  # type: ignore[index]
        assert_allclose(refit.change[g, refit.names.index("sigma")], sigma, atol=1e-3)
    close(step, refit)
    # Given the variances the coefficients are exact.
    assert_allclose(step.scaled[:, :2], refit.scaled[:, :2], atol=0.03)


def close(step: Any, refit: Any) -> None:
    assert step.labels == refit.labels
    assert step.names == refit.names
    allowed = STEP_LEAST + STEP_PART * np.abs(refit.scaled)
    assert (np.abs(step.scaled - refit.scaled) < allowed).mean() > 0.9
    top = set(step.order[:3].tolist()) & set(refit.order[:5].tolist())
    assert len(top) >= 2


def test_clusters_of_counts() -> None:
    data, fit = epilepsy()
    step, refit = glimm.influence(fit), glimm.influence(fit, method="refit")
    formula = "seizures ~ log(baseline) + treatment + period + (1 | patient)"
    alone = glimm.fit(formula, data[data.patient != 49], family="nbinom2")
    g = refit.labels.index(49)
    assert_allclose(refit.scaled[g, :4], in_errors(fit, alone), atol=REFIT_SE)
    assert_allclose(refit.displacement[g], 2 * (fit.loglik - at(fit, alone)), atol=1e-3)
    close(step, refit)
    assert step.labels[int(np.argmax(step.cooks))] == 49


def at(fit: glimm.Fit, other: glimm.Fit) -> float:
    """The log-likelihood of a fit at the parameters of another."""
    from glimm.inference.ml import problem_of

    found = problem_of(fit).evaluate(other.estimates.parameters)
    assert found is not None
    return found[0]


def test_rows_of_counts() -> None:
    data, fit = epilepsy()
    step = glimm.influence(fit, "rows")
    formula = "seizures ~ log(baseline) + treatment + period + (1 | patient)"
    for g in np.argsort(-step.cooks)[:2]:
        alone = glimm.fit(formula, data.drop(index=step.labels[g]), family="nbinom2")
        expected = in_errors(fit, alone)
        allowed = STEP_LEAST + 0.1 * np.abs(expected).max()
        assert_allclose(step.scaled[g, :4], expected, atol=allowed)


@pytest.mark.parametrize("groups", ["patient", "period", "rows"])
def test_derivatives_of_what_is_left_do_not_depend_on_the_way(groups: str) -> None:
    data = glimm.datasets.load("epilepsy").head(40)
    fit = glimm.fit("seizures ~ period + (1 | patient)", data, family="poisson")
    what = deletions(fit, groups)
    psi = fit.estimates.parameters
    by_units, anew = rest_of(fit, what)(psi), _anew(fit, what)(psi)
    size = np.sqrt(np.abs(np.einsum("gii->gi", anew[1]))).max(axis=0)
    assert_allclose(by_units[0] / size, anew[0] / size, atol=NODES)
    assert_allclose(by_units[1] / np.outer(size, size), anew[1] / np.outer(size, size), atol=NODES)


@pytest.mark.parametrize("family", ["gaussian", "poisson"])
def test_crossed_factors(family: str) -> None:
    data, fit = crossed(family)
    step, refit = glimm.influence(fit, "b"), glimm.influence(fit, "b", method="refit")
    close(step, refit)
    alone = glimm.fit("y ~ x + (1 | a) + (1 | b)", data[data.b != 2], family=family,
                      integration="laplace")  # fmt: skip
    assert_allclose(refit.scaled[2, :2], in_errors(fit, alone), atol=REFIT_SE)


def test_a_row_of_weight_two_is_two_rows() -> None:
    data = glimm.datasets.load("epilepsy").head(60)
    data["times"] = np.where(data.period == 2, 2, 1)
    twice = data.loc[np.repeat(data.index, data.times)]
    formula = "seizures ~ period + (1 | patient)"
    weighted = glimm.influence(glimm.fit(formula, data, family="poisson", freq="times"))
    repeated = glimm.influence(glimm.fit(formula, twice, family="poisson"))
    assert_allclose(weighted.scaled, repeated.scaled, atol=1e-3)
    assert_allclose(weighted.leverage, repeated.leverage, atol=1e-6)


def hat(fit: glimm.Fit, w: np.ndarray) -> np.ndarray:
    """Leverage by dense algebra with the inverse of the effects' covariance."""
    columns = [fit.design.x]
    precision = [np.zeros(fit.design.x.shape[1])]
    blocks = []
    for term, covariance in zip(fit.design.terms, fit.covariances, strict=True):
        for level in range(len(term.levels)):
            columns.append(term.z * (term.codes == level)[:, None])
            blocks.append(np.linalg.inv(covariance))
    c = np.hstack(columns)
    m = c.T @ (w[:, None] * c)
    start = precision[0].size
    for block in blocks:
        m[start : start + len(block), start : start + len(block)] += block
        start += len(block)
    return w * np.einsum("ij,jk,ik->i", c, np.linalg.inv(m), c)


def test_leverage_is_that_of_the_working_model() -> None:
    _, fit = sleep()
    sigma = fit.dispersion["sigma"]  # type: ignore[index]
    assert_allclose(glimm.checks.leverage(fit), hat(fit, np.full(180, sigma**-2)), atol=1e-8)
    _, fit = epilepsy()
    mean, theta = fit.fitted, fit.dispersion["theta"]  # type: ignore[index]
    w = mean**2 / (mean + mean**2 / theta)
    assert_allclose(glimm.checks.leverage(fit), hat(fit, w), atol=1e-6)
    _, fit = crossed("poisson")
    assert_allclose(glimm.checks.leverage(fit), hat(fit, fit.fitted), atol=1e-6)
    data = glimm.datasets.load("cbpp")
    fit = glimm.fit("incidence / size ~ C(period) + (1 | herd)", data, family="binomial")
    w = data["size"].to_numpy() * fit.fitted * (1 - fit.fitted)
    assert_allclose(glimm.checks.leverage(fit), hat(fit, w), atol=1e-6)
    assert glimm.checks.leverage(fit).sum() == pytest.approx(glimm.influence(fit).leverage.sum())


def test_without_groups_the_leverages_sum_to_the_coefficients() -> None:
    data = glimm.datasets.load("cbpp")
    fit = glimm.fit("incidence / size ~ C(period)", data, family="binomial")
    assert glimm.checks.leverage(fit).sum() == pytest.approx(4)


def test_groups_that_alone_tell_a_parameter_have_no_numbers() -> None:
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(10), 4)
    data = {"y": rng.normal(size=40), "x": (g == 3) * rng.normal(size=40), "g": g}
    fit = glimm.fit("y ~ x + (1 | g)", data, reml=False)
    for method in ("one-step", "refit"):
        found = glimm.influence(fit, method=method)
        assert [g for g, state in enumerate(found.states) if state != "ok"] == [3]
        assert "1 without numbers" in str(found)


def test_a_variance_of_zero_stays() -> None:
    rng = np.random.default_rng(3)
    data = {"y": rng.normal(size=60), "g": np.tile(np.arange(12), 5)}
    fit = glimm.fit("y ~ 1 + (1 | g)", data, reml=False)
    if fit.covariances[0][0, 0] == 0:
        found = glimm.influence(fit)
        assert np.isfinite(found.scaled[:, 0]).all()


def test_what_it_prints_and_gives() -> None:
    _, fit = epilepsy()
    found = glimm.influence(fit, "patient")
    text = str(found)
    assert "Without patient 49, log(baseline) would be" in text
    frame = found.to_frame()
    assert len(frame) == 59
    assert {"group", "cooks_distance", "log(baseline)"} <= set(frame.columns)
    coded = glimm.influence(fit, "treatment")
    assert coded.labels == ("placebo", "progabide")
    array = glimm.influence(fit, glimm.datasets.load("epilepsy")["treatment"].to_numpy())
    assert array.labels == ("placebo", "progabide")


def test_bad_input() -> None:
    _, fit = epilepsy()
    with pytest.raises(glimm.DataError, match="'rows'") as caught:
        glimm.influence(fit, "row")
    assert caught.value.code == "unknown_column"
    with pytest.raises(glimm.DataError, match="one value for each of 236"):
        glimm.influence(fit, np.zeros(3))
    with pytest.raises(glimm.DataError, match="one group"):
        glimm.influence(fit, np.zeros(236))
    with pytest.raises(glimm.DataError, match="refit"):
        glimm.influence(fit, method="all")
    with pytest.raises(glimm.DataError, match="threads"):
        glimm.influence(fit, method="refit", threads=0)
    iterative = replace(fit, estimates=replace(fit.estimates, path="iterative"))
    with pytest.raises(glimm.FitError, match="exact derivatives"):
        glimm.influence(iterative)
