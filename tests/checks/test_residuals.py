"""Residuals are exactly uniform at the true parameters, and follow from seed and data alone."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from checks_oracle import at_truth, clustered
from numpy.typing import NDArray
from scipy import stats

import glimm
from glimm.checks.distribution import anderson_darling, anderson_darling_p
from glimm.checks.posterior import Posterior, at

Array = NDArray[np.float64]

# A p-value below this is one in ten thousand; seeds are fixed.
RARE = 1e-4
# Rounding in the search for a mode.
MODE = 1e-7

HARD = [
    ("binomial", 600, 1, 3.0),
    ("binomial", 400, 2, 4.0),
    ("binomial", 300, 4, 1.5),
    ("poisson", 500, 1, 1.0),
    ("poisson", 300, 3, 1.5),
    ("gamma", 300, 2, 1.0),
    ("gaussian", 200, 3, 2.0),
]


def pooled(family: str, groups: int, rows: int, sd: float, sets: int) -> tuple[Array, Array]:
    """Residuals and effects of several data sets of one truth."""
    values, effects, posterior, fit = [], [], None, None
    for k in range(sets):
        data, truth = clustered(family, groups, rows, sd, k)
        if fit is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fit = at_truth(data, family, truth, "y ~ 1 + (1 | g)")
            posterior = Posterior(fit)
        assert posterior is not None
        again = at(fit, data["y"])
        r = glimm.checks.residuals(again, seed=k)
        values.append(r.values)
        assert r.effects is not None
        effects.append(r.effects.spherical[0].ravel())
    return np.concatenate(values), np.concatenate(effects)


@pytest.mark.parametrize(("family", "groups", "rows", "sd"), HARD)
def test_uniform_at_the_truth(family: str, groups: int, rows: int, sd: float) -> None:
    """Residuals are uniform, effects normal and independent of them, whatever the cluster size."""
    u, b = pooled(family, groups, rows, sd, 8)
    assert anderson_darling_p(anderson_darling(u)) > RARE
    assert anderson_darling_p(anderson_darling(stats.norm.cdf(b))) > RARE
    z = stats.norm.ppf(u).reshape(-1, rows)
    if rows > 1:
        pairs = (z.sum(axis=1) ** 2 - (z**2).sum(axis=1)) / np.sqrt(2 * rows * (rows - 1))
        assert abs(pairs.mean()) * np.sqrt(pairs.size) < 4
    assert abs(np.corrcoef(z.mean(axis=1), b)[0, 1]) * np.sqrt(b.size) < 4


def test_posterior_against_a_grid() -> None:
    """Draws of one group's effect have the distribution that a fine grid gives."""
    data, truth = clustered("binomial", 500, 2, 3.0, 3)
    data["y"] = np.ones(1000)
    data["y"][0] = 0.0
    fit = at_truth(data, "binomial", truth, "y ~ 1 + (1 | g)")
    draws = [Posterior(fit).draw(fit, seed, 0).spherical[0][1:, 0] for seed in range(6)]
    grid = np.linspace(-9, 9, 20001)
    log = 2 * -np.logaddexp(0, -(truth[0] + truth[1] * grid)) - grid**2 / 2
    cdf = np.cumsum(np.exp(log - log.max()))
    u = np.interp(np.concatenate(draws), grid, cdf / cdf[-1])
    assert anderson_darling_p(anderson_darling(np.clip(u, 1e-12, 1 - 1e-12))) > RARE


def test_crossed_effects_against_long_chain() -> None:
    """Effects of crossed factors have the moments of an exhaustive grid over two by two levels."""
    rng = np.random.default_rng(0)
    g, h = np.repeat([0, 1], 6), np.tile([0, 1], 6)
    y = rng.poisson(1.0, 12).astype(float)
    data = {"g": g, "h": h, "y": y}
    truth = np.array([0.0, 1.0, 1.0])
    fit = at_truth(data, "poisson", truth, "y ~ 1 + (1 | g) + (1 | h)")
    posterior = Posterior(fit)
    draws = np.array([
        np.concatenate([u.ravel() for u in posterior.draw(fit, 1, k).spherical])
        for k in range(1500)
    ])  # fmt: skip
    axis = np.linspace(-4, 4, 41)
    points = np.stack(np.meshgrid(axis, axis, axis, axis, indexing="ij"), -1).reshape(-1, 4)
    log = -0.5 * np.sum(points**2, axis=1)
    for i in range(12):
        eta = points[:, g[i]] + points[:, 2 + h[i]]
        log += y[i] * eta - np.exp(eta)
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    mean = weight @ points
    covariance = (points * weight[:, None]).T @ points - np.outer(mean, mean)
    error = np.sqrt(np.diag(covariance) / len(draws))
    assert np.all(np.abs(draws.mean(axis=0) - mean) < 4 * error)
    assert np.allclose(np.cov(draws.T), covariance, atol=0.06)


def fitted(**more: Any) -> glimm.Fit:
    data = glimm.datasets.load("epilepsy")
    return glimm.fit("seizures ~ treatment + (1 | patient)", data, family="poisson", **more)


def test_seeds_and_threads() -> None:
    one, two = (glimm.residuals(fitted(threads=k), seed=4) for k in (1, 2))
    np.testing.assert_array_equal(one.values, two.values)
    assert not np.array_equal(one.values, glimm.residuals(fitted(), seed=5).values)


def test_normal_scores_and_shape() -> None:
    r = glimm.residuals(fitted(), seed=4)
    np.testing.assert_allclose(stats.norm.ppf(r.values), r.normal, rtol=1e-9, atol=1e-12)
    assert r.n == 236
    assert np.array_equal(r.observed, fitted().design.y)
    assert len(r.to_frame()) == 236


def test_discrete_residuals_lie_between_the_probabilities() -> None:
    fit = fitted()
    r = glimm.residuals(fit, random_effects="conditional", seed=2)
    low = stats.poisson.cdf(fit.design.y - 1, fit.fitted)
    high = stats.poisson.cdf(fit.design.y, fit.fitted)
    assert np.all((r.values > low - 1e-12) & (r.values < high + 1e-12))


def test_far_tails_keep_their_normal_scores() -> None:
    data = {"y": np.array([0.0, 1.0, -1.0, 0.5, -0.5, 30.0]), "x": np.arange(6.0)}
    fit = glimm.fit("y ~ 1", data)
    r = glimm.residuals(fit)
    sigma = fit.dispersion["sigma"] if fit.dispersion else np.nan
    expected = (data["y"] - fit.coef["(Intercept)"]) / sigma
    np.testing.assert_allclose(r.normal, expected, rtol=1e-8)


def test_weights_are_repeated_rows() -> None:
    rng = np.random.default_rng(2)
    n = 60
    g, w = np.repeat(np.arange(12), 5), rng.integers(1, 4, n)
    y = rng.poisson(2.0, n).astype(float)
    formula = "y ~ 1 + (1 | g)"
    weighted = glimm.fit(formula, {"g": g, "y": y}, family="poisson", freq=w)
    repeated = glimm.fit(formula, {"g": np.repeat(g, w), "y": np.repeat(y, w)}, family="poisson")
    truth = weighted.estimates.parameters
    a, b = glimm.residuals(weighted, seed=3), glimm.residuals(at(repeated, None, truth), seed=3)
    assert a.n == int(w.sum())
    np.testing.assert_allclose(a.values, b.values, atol=MODE)
    np.testing.assert_array_equal(a.rows, np.repeat(np.arange(n), w))


def test_rows_in_another_order_have_the_same_effects() -> None:
    data, truth = clustered("poisson", 40, 4, 1.0, 1)
    order = np.random.default_rng(0).permutation(160)
    fit = at_truth(data, "poisson", truth, "y ~ 1 + (1 | g)")
    moved = at_truth({k: v[order] for k, v in data.items()}, "poisson", truth, "y ~ 1 + (1 | g)")
    one, other = (glimm.residuals(f, seed=3).effects for f in (fit, moved))
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(one.effects[0], other.effects[0], atol=MODE)


@pytest.mark.parametrize(
    ("formula", "more"),
    [
        ("seizures ~ treatment + (1 | patient)", {"family": "nbinom2", "zi": "~ 1"}),
        ("seizures ~ treatment + (1 | patient)", {"family": "nbinom1", "disp": "~ treatment"}),
        ("seizures ~ treatment + (1 + period | patient)", {"family": "compois"}),
        ("seizures ~ treatment + (1 | patient)", {"family": "gaussian", "reml": True}),
        ("seizures ~ treatment", {"family": "tweedie"}),
    ],
)
def test_every_kind_of_model(formula: str, more: dict[str, Any]) -> None:
    data = glimm.datasets.load("epilepsy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = glimm.fit(formula, data, **more)
    for kind in ("posterior", "conditional", "marginal"):
        r = glimm.residuals(fit, random_effects=kind, n=20, seed=1)
        assert np.all((r.values > 0) & (r.values < 1))
        assert np.isfinite(r.normal).all()
    drawn = glimm.residuals(fit, parameters="drawn", seed=1)
    assert not np.array_equal(drawn.values, glimm.residuals(fit, seed=1).values)


def test_ordered_classes() -> None:
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(200), 2)
    latent = rng.normal(size=200)[g] + rng.logistic(size=400)
    data = {"g": g, "y": np.searchsorted([-1.0, 0.5, 1.5], latent) + 1}
    fit = glimm.fit("y ~ 1 + (1 | g)", data, family="ordinal")
    r = glimm.residuals(fit, seed=2)
    assert anderson_darling_p(anderson_darling(r.values)) > RARE


def test_users_families_with_and_without_cdf() -> None:
    from scipy.special import gammaln, pdtr

    def density(y: Any, eta: Any) -> Any:
        return y * eta - np.exp(eta) - gammaln(y + 1)

    def drawn(rng: np.random.Generator, eta: Array) -> Array:
        return rng.poisson(np.exp(eta)).astype(float)

    data = glimm.datasets.load("epilepsy")
    family = glimm.CustomFamily("mine", density, support="count", draw=drawn)
    fit = glimm.fit("seizures ~ treatment + (1 | patient)", data, family=family)
    r = glimm.residuals(fit, seed=4)
    known = glimm.residuals(fitted(), seed=4)
    assert np.corrcoef(r.values, known.values)[0, 1] > 0.97
    assert pdtr(1, 1.0) > 0
    nothing = glimm.CustomFamily("mine2", density, support="count")
    fit = glimm.fit("seizures ~ treatment + (1 | patient)", data, family=nothing)
    with pytest.raises(glimm.FamilyError, match="no function draw"):
        glimm.residuals(fit)


def test_sums_over_groups() -> None:
    r = glimm.residuals(fitted(), by="patient", n=60, seed=1)
    fit = fitted()
    sums = np.bincount(fit.design.terms[0].codes, fit.design.y)
    np.testing.assert_array_equal(r.observed, sums)
    assert r.n == 59
    assert np.all((r.values > 0) & (r.values < 1))


def test_estimating_equations() -> None:
    data = glimm.datasets.load("epilepsy")
    fit = glimm.gee("seizures ~ treatment", data, groups="patient", family="poisson")
    r = glimm.residuals(fit, seed=1)
    low, high = (stats.poisson.cdf(fit.design.y - k, fit.fitted) for k in (1, 0))
    assert np.all((r.values > low - 1e-12) & (r.values < high + 1e-12))
    gaussian = glimm.gee("seizures ~ treatment", data, groups="patient")
    r = glimm.residuals(gaussian)
    assert isinstance(gaussian.scale, float)
    expected = (gaussian.design.y - gaussian.fitted) / np.sqrt(gaussian.scale)
    np.testing.assert_allclose(r.normal, expected, rtol=1e-8)
    odd = glimm.gee("seizures ~ treatment", data, groups="patient", family="nbinom2",
                    hold={"theta": 2.0})  # fmt: skip
    with pytest.raises(glimm.DataError, match="no distribution"):
        glimm.residuals(odd)


@pytest.mark.parametrize(
    "more",
    [{"kind": "x"}, {"random_effects": "x"}, {"parameters": "x"}, {"n": 1}, {"seed": -1}],
)
def test_unknown_options(more: dict[str, Any]) -> None:
    with pytest.raises(glimm.DataError):
        glimm.residuals(fitted(), **more)
    with pytest.raises(glimm.DataError, match="was not used"):
        glimm.residuals(fitted(), by="patience")
