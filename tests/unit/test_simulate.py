"""Draws have the moments of the fitted model, and follow from the seed alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fits import MODELS, fit, frame
from numpy.typing import NDArray
from scipy import stats

import glimm

Array = NDArray[np.float64]

EVERY = pytest.mark.parametrize("name", MODELS)
DRAWS = 4000
# Standard errors. The largest of some hundred scores stays below unless a moment is wrong; seeds
# are fixed, so this either always holds or never.
FAR = 5.0


@EVERY
def test_shape_and_seed(name: str) -> None:
    made = fit(name)
    draws = made.simulate(3, seed=7)
    assert draws.shape == (3, made.design.n)
    np.testing.assert_array_equal(draws, made.simulate(3, seed=7))
    np.testing.assert_array_equal(made.simulate(2, seed=7), draws[:2])
    np.testing.assert_array_equal(made.simulate(seed=7), draws[:1])
    rows = {tuple(row) for seed in range(5, 10) for row in made.simulate(3, seed=seed)}
    assert len(rows) == 15, "data sets of one seed and of neighbouring seeds are all different"


def test_no_data_sets() -> None:
    assert fit("gaussian").simulate(0, seed=1).shape == (0, fit("gaussian").design.n)


def test_the_global_generator_is_left_alone() -> None:
    np.random.seed(3)
    fit("gaussian").simulate(2, seed=1)
    found = np.random.random(4)
    np.random.seed(3)
    np.testing.assert_array_equal(found, np.random.random(4))


def _assert_moments(draws: Array, mean: Array, variance: Array, fourth: Array) -> None:
    """Hold means and variances of the draws against theory, in Monte Carlo errors.

    Parameters
    ----------
    fourth : ndarray, (n,)
        Fourth central moment, which the error of a variance needs.
    """
    score = (draws.mean(axis=0) - mean) / np.sqrt(variance / len(draws))
    assert np.abs(score).max() < FAR
    assert abs((score**2).mean() - 1) < 1.0
    found = ((draws - mean) ** 2).mean(axis=0)
    score = (found - variance) / np.sqrt((fourth - variance**2) / len(draws))
    assert np.abs(score).max() < FAR


# The distribution of a row by mean, dispersion and trials.
LAWS: dict[str, Callable[[Array, float, Array], Any]] = {
    "gaussian": lambda mean, sigma, _: stats.norm(mean, sigma),
    "binomial": lambda mean, _, trials: stats.binom(trials, mean),
    "poisson": lambda mean, _, __: stats.poisson(mean),
    "nbinom2": lambda mean, theta, _: stats.nbinom(theta, theta / (theta + mean)),
    "gamma": lambda mean, cv, _: stats.gamma(cv**-2, scale=mean * cv**2),
}

PLAIN = [
    ("length ~ x + w", "gaussian", None),
    ("hits / trials ~ x + w", "binomial", "logit"),
    ("hits / trials ~ x + w", "binomial", "probit"),
    ("hits / trials ~ x + w", "binomial", "cloglog"),
    ("hits / trials ~ x + w", "binomial", "cauchit"),
    ("count ~ x + offset(w)", "poisson", None),
    ("spread ~ x + w", "nbinom2", None),
    ("time ~ x + w", "gamma", "log"),
    ("time ~ f", "gamma", "inverse"),
]


@pytest.mark.parametrize(("formula", "family", "link"), PLAIN)
def test_rows_without_random_effects(formula: str, family: str, link: str | None) -> None:
    """Mean and variance of every row, and the whole distribution of some rows."""
    made = glimm.fit(formula, frame().iloc[:60], family, link=link)
    dispersion = next(iter((made.dispersion or {"": 1.0}).values()))
    law = LAWS[family](made.fitted, dispersion, frame()["trials"].to_numpy()[:60])
    draws = made.simulate(DRAWS, seed=21)
    mean, variance, _, excess = law.stats("mvsk")
    _assert_moments(draws, mean, variance, (excess + 3) * variance**2)
    if family not in ("gaussian", "gamma"):
        assert (draws == np.round(draws)).all()
    # Each row's chance of a value at or below its own draw, made uniform where there are ties.
    below, at = law.cdf(draws - (family not in ("gaussian", "gamma"))), law.cdf(draws)
    uniform = below + np.random.default_rng(2).random(draws.shape) * (at - below)
    assert stats.kstest(uniform[::40].ravel(), "uniform").pvalue > 1e-3


def test_gaussian_random_effects_have_the_fitted_covariance() -> None:
    made = fit("gaussian")
    assert made.dispersion is not None
    term = made.design.terms[0]
    same = term.codes[:, None] == term.codes[None, :]
    theory = same * (term.z @ made.covariances[0] @ term.z.T)
    theory += made.dispersion["sigma"] ** 2 * np.eye(made.design.n)
    draws = made.simulate(DRAWS, seed=22)
    gap = draws - made.design.x @ np.array(list(made.coef.values()))
    found = gap.T @ gap / DRAWS
    variance = np.diag(theory)
    error = np.sqrt((np.outer(variance, variance) + theory**2) / DRAWS)
    assert np.abs((found - theory) / error).max() < FAR
    score = gap.mean(axis=0) / np.sqrt(variance / DRAWS)
    assert np.abs(score).max() < FAR


def test_terms_are_drawn_apart() -> None:
    """Two groups with the same levels in number: neither shares its effects with the other."""
    n = 64
    data = pd.DataFrame({"a": np.arange(n) % 8, "b": np.arange(n) // 8})
    rng = np.random.default_rng(3)
    effects = rng.normal(size=(2, 8))
    y = effects[0][data["a"]] + effects[1][data["b"]] + 0.4 * rng.normal(size=n)
    made = glimm.fit("y ~ 1 + (1 | a) + (1 | b)", data.assign(y=y))
    assert made.dispersion is not None
    noise = made.dispersion["sigma"] ** 2
    a, b = (float(block[0, 0]) for block in made.covariances)
    draws = made.simulate(DRAWS, seed=23) - made.coef["(Intercept)"]
    rows = draws.reshape(DRAWS, 8, 8)
    by_a, by_b = rows.mean(axis=1), rows.mean(axis=2)
    for found, one, other in ((by_a, a, b), (by_b, b, a)):
        theory = one + other / 8 + noise / 8
        assert (found**2).mean() == pytest.approx(theory, rel=0.05)
    between = (by_a[:, :, None] * by_b[:, None, :]).mean(axis=0)
    expected = a / 8 + b / 8 + noise / 64
    error = np.sqrt((a + b / 8) * (b + a / 8) / DRAWS)
    assert np.abs(between - expected).max() < FAR * error * 1.1


def test_counts_with_random_effects_have_the_marginal_moments() -> None:
    """A log-normal mixture: E y = exp(eta + v/2), var y = E y + (E y)^2 (exp(v) - 1)."""
    data = frame().assign(x=frame()["x"] / 3)
    made = glimm.fit("count ~ x + (1 | g)", data, "poisson")
    v = float(made.covariances[0][0, 0])
    assert v > 0.05
    mean = np.exp(made.design.x @ np.array(list(made.coef.values())) + v / 2)
    variance = mean + mean**2 * np.expm1(v)
    draws = made.simulate(DRAWS, seed=24)
    score = (draws.mean(axis=0) - mean) / np.sqrt(variance / DRAWS)
    assert np.abs(score).max() < FAR
    ratio = draws.var(axis=0) / variance
    assert abs(ratio.mean() - 1) < 0.1
    first = data.index[data["g"] == "g00"][:2]
    between = ((draws[:, first] - mean[first]).prod(axis=1)).mean()
    assert between == pytest.approx(mean[first].prod() * np.expm1(v), rel=0.3)
    gap = draws[:, :2] - mean[:2]
    apart = gap.prod(axis=1).mean() / np.sqrt(variance[:2].prod())
    assert abs(apart) < FAR / np.sqrt(DRAWS)


def test_draws_stay_in_the_range_of_the_response() -> None:
    hits = fit("binomial").simulate(50, seed=25)
    assert hits.min() == 0
    assert (hits <= frame()["trials"].to_numpy()).all()
    assert (hits == frame()["trials"].to_numpy()).any()
    assert fit("gamma").simulate(50, seed=25).min() > 0
    assert fit("nbinom2").simulate(50, seed=25).min() == 0


def test_offsets_move_the_draws() -> None:
    known = np.where(np.arange(len(frame())) < 60, 0.0, 3.0)
    made = glimm.fit("count ~ 1", frame(), "poisson", offset=known)
    draws = made.simulate(300, seed=26)
    ratio = draws[:, 60:].mean() / draws[:, :60].mean()
    assert ratio == pytest.approx(np.exp(3), rel=0.1)


def test_fits_of_draws_surround_the_truth() -> None:
    """Estimates of twenty data sets lie around the parameters they were drawn with."""
    made = fit("poisson")
    draws = made.simulate(20, seed=27)
    gaps = [
        [(again.coef[name] - made.coef[name]) / again.se[name] for name in made.names]
        for again in map(made.refit, draws)
    ]
    assert np.abs(np.mean(gaps, axis=0)).max() < 3 / np.sqrt(20)
    assert 0.5 < np.std(gaps) < 1.6
