"""Quantiles of a mixed response against brute force: a fine rule, all counts one by one."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from scipy import special, stats

from glimm import _core

Array = NDArray[np.float64]
TAILS = [0.005, 0.025, 0.5, 0.975]
SDS = (0.0, 0.05, 0.7, 2.0)
SIZE = 2.5


def mixed(family: str, y: float, size: float, eta: float, sd: float) -> float:
    """The mixture's cdf by 20001 nodes."""
    t = np.linspace(-8.5, 8.5, 20001)
    weight = stats.norm.pdf(t)
    at = eta + sd * t
    mean = special.expit(at) if family == "binomial" else np.exp(at)
    cdf = {
        "binomial": lambda: stats.binom.cdf(y, size, mean),
        "poisson": lambda: stats.poisson.cdf(y, mean),
        "nbinom2": lambda: stats.nbinom.cdf(y, SIZE, SIZE / (SIZE + mean)),
        "gamma": lambda: stats.gamma.cdf(y, SIZE, scale=mean / SIZE),
    }[family]()
    return float(weight @ cdf / weight.sum())


def ours(family: str, eta: Array, sd: Array, size: Array | None, link: str | None = None) -> Array:
    count = 1 if family in ("binomial", "poisson") else 2
    # nbinom2 has its log size, gamma the log of its coefficient of variation.
    extra = np.log(SIZE) if family == "nbinom2" else -0.5 * np.log(SIZE)
    eta = np.column_stack([eta, *[np.full(eta.size, extra)] * (count - 1)])
    root = np.zeros((len(eta), count, count))
    root[:, 0, 0] = sd
    link = link or ("logit" if family == "binomial" else "log")
    return np.asarray(_core.predictive((family, link, False), eta, root, size, TAILS))


@pytest.mark.parametrize("size", [1.0, 2.0, 7.0, 400.0])
def test_proportions(size: float) -> None:
    check("binomial", [-6.0, -1.0, 0.3, 4.0], size)


@pytest.mark.parametrize("family", ["poisson", "nbinom2"])
def test_counts(family: str) -> None:
    check(family, [-5.0, 0.0, 2.0, 6.0], 1.0)


def check(family: str, etas: list[float], size: float) -> None:
    """The least y whose cdf reaches p, but for ties within the error of the rule."""
    eta, sd = (a.ravel() for a in np.meshgrid(etas, SDS))
    trials = np.full(eta.size, size) if family == "binomial" else None
    for e, s, found in zip(eta, sd, ours(family, eta, sd, trials), strict=True):
        error = 1e-7
        for p, y in zip(TAILS, found, strict=True):
            assert y == np.floor(y)
            assert y >= 0
            assert mixed(family, y, size, e, s) >= p - error, (e, s, p, y)
            if y > 0:
                assert mixed(family, y - 1, size, e, s) < p + error, (e, s, p, y)


@pytest.mark.parametrize(("eta", "sd"), [(-5.13, 3.104), (-5.83, 3.738), (2.0, 5.0)])
def test_uncertain_between_0_and_1(eta: float, sd: float) -> None:
    """The mean turns where neither the center nor far ends show it."""
    found = ours("binomial", np.array([eta]), np.array([sd]), np.array([12.0]), "probit")[0]
    t = np.linspace(-8.5, 8.5, 40001)
    weight = stats.norm.pdf(t) / stats.norm.pdf(t).sum()
    cdf = [weight @ stats.binom.cdf(y, 12, special.ndtr(eta + sd * t)) for y in range(13)]
    assert_array_equal(found, np.searchsorted(cdf, TAILS))


@pytest.mark.parametrize("eta", [9.0, 13.0])
def test_large_counts(eta: float) -> None:
    """The count is nearly the mean, so that its distribution function is a step in eta."""
    found = ours("poisson", np.array([eta]), np.array([1.0]), None)[0]
    mean = np.exp(eta + stats.norm.ppf(TAILS))
    np.testing.assert_allclose(found, mean, rtol=4 / np.exp(eta - 2.6))


def test_amounts() -> None:
    eta, sd = (a.ravel() for a in np.meshgrid([-4.0, 0.0, 3.0], SDS))
    for e, s, found in zip(eta, sd, ours("gamma", eta, sd, None), strict=True):
        for p, y in zip(TAILS, found, strict=True):
            assert mixed("gamma", y, 1.0, e, s) == pytest.approx(p, abs=1e-7), (e, s, p)
            low, high = y * 0.9, y * 1.1
            assert mixed("gamma", low, 1.0, e, s) < p < mixed("gamma", high, 1.0, e, s)


def test_rows_that_are_alike_have_one_answer() -> None:
    rng = np.random.default_rng(2)
    eta, sd = rng.normal(size=40), rng.uniform(0, 2, 40)
    again = rng.integers(0, 40, 500)
    whole = ours("poisson", eta, sd, None)
    assert_array_equal(ours("poisson", eta[again], sd[again], None), whole[again])
