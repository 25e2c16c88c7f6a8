"""Means over a normal predictor against brute force, closed forms and published numbers."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray

from glimm import _core

Array = NDArray[np.float64]

ABSOLUTE = 1e-11
"""Asked of a mean: 1e-10; what is left is rounding of sums of some hundred terms."""
RELATIVE = 1e-10
"""Asked of derivatives: 1e-9, and of means in the tails."""

SLOPES = {
    "logit": lambda x: 0.25 / np.cosh(0.5 * np.minimum(np.abs(x), 700.0)) ** 2,
    "cloglog": lambda x: np.exp(x - np.exp(np.minimum(x, 30.0))),
    "loglog": lambda x: np.exp(-x - np.exp(np.minimum(-x, 30.0))),
    "cauchit": lambda x: 1.0 / (np.pi * (1.0 + x * x)),
}
GRID = [
    (eta, sd)
    for eta in (-50.0, -20.0, -5.0, -1.0, 0.0, 0.7, 6.0, 50.0)
    for sd in (0.01, 0.5, 1.0, 3.088, 4.0, 4.5, 20.0, 100.0)
]


def panels(link: str, eta: float, sd: float) -> tuple[Array, Array, Array]:
    """(t, weights with the normal density, eta + sd t): 20 nodes in each of many panels."""
    nodes, weights = leggauss(20)
    width = min(0.25, 0.5 / sd)
    edges = np.arange(-14.0, 14.0, width)
    t = (edges[:, None] + 0.5 * width * (nodes + 1.0)).ravel()
    density = np.exp(-0.5 * t * t) / np.sqrt(2.0 * np.pi)
    return t, np.tile(0.5 * width * weights, edges.size) * density, eta + sd * t


@pytest.mark.parametrize("link", list(SLOPES))
def test_means_and_derivatives_match_fine_panels_into_both_tails(link: str) -> None:
    eta, sd = (np.array(column) for column in zip(*GRID, strict=True))
    mean, d_eta, d_sd = _core.population(link, eta, sd)
    for i, (e, s) in enumerate(GRID):
        t, weights, x = panels(link, e, s)
        slope = SLOPES[link](x)
        exact = weights @ _core.inverse_link(link, x)
        assert mean[i] == pytest.approx(exact, abs=ABSOLUTE)
        assert mean[i] == pytest.approx(exact, rel=RELATIVE)
        assert d_eta[i] == pytest.approx(weights @ slope, rel=RELATIVE, abs=1e-40)
        size = weights @ (np.abs(t) * slope)
        assert d_sd[i] == pytest.approx(weights @ (t * slope), abs=RELATIVE * size + 1e-40)


@pytest.mark.parametrize("link", ["logit", "cloglog", "loglog", "cauchit", "probit"])
def test_derivatives_match_differences(link: str) -> None:
    rng = np.random.default_rng(1)
    eta, sd = rng.normal(0.0, 3.0, 40), rng.uniform(0.3, 12.0, 40)
    _, d_eta, d_sd = _core.population(link, eta, sd)
    h = 1e-3

    def difference(move: tuple[float, float]) -> Array:
        def at(k: int) -> Array:
            return _core.population(link, eta + k * h * move[0], sd + k * h * move[1])[0]

        return (8.0 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12.0 * h)

    np.testing.assert_allclose(d_eta, difference((1.0, 0.0)), atol=1e-11)
    np.testing.assert_allclose(d_sd, difference((0.0, 1.0)), atol=1e-11)


def test_closed_forms() -> None:
    eta, sd = np.array([-2.0, 0.5, 3.0]), np.array([0.0, 1.5, 2.0])
    mean, d_eta, d_sd = _core.population("log", eta, sd)
    np.testing.assert_allclose(mean, np.exp(eta + 0.5 * sd**2), rtol=1e-14)
    np.testing.assert_allclose(d_sd, sd * mean, rtol=1e-14)
    mean, d_eta, _ = _core.population("identity", eta, sd)
    np.testing.assert_array_equal(mean, eta)
    np.testing.assert_array_equal(d_eta, np.ones(3))
    mean, _, _ = _core.population("sqrt", eta, sd)
    np.testing.assert_allclose(mean, eta**2 + sd**2, rtol=1e-14)


@pytest.mark.parametrize("link", ["logit", "cloglog", "loglog", "cauchit", "probit", "inverse"])
def test_no_spread_is_the_inverse_link(link: str) -> None:
    eta = np.array([0.2, 0.9, 1.4])
    mean, _, d_sd = _core.population(link, eta, np.zeros(3))
    np.testing.assert_allclose(mean, _core.inverse_link(link, eta), rtol=2e-15)
    np.testing.assert_allclose(d_sd, 0.0, atol=1e-15)
    np.testing.assert_allclose(_core.link(link, mean), eta, rtol=1e-12)


def test_a_mean_that_does_not_exist_is_nan() -> None:
    mean, _, _ = _core.population("inverse", np.array([1.0, 1.0]), np.array([0.05, 0.5]))
    t, weights, x = panels("inverse", 1.0, 0.05)
    keep = x > 0.3
    assert mean[0] == pytest.approx(weights[keep] @ (1.0 / x[keep]), rel=1e-10)
    assert np.isnan(mean[1])


def test_emmeans_issue_540() -> None:
    """Total standard deviation 3.088: 0.287 and 0.611 where one Taylor term gives 0.500, 0.298."""
    mean, _, _ = _core.population("logit", np.array([-2.0, 1.0]), np.full(2, 3.088))
    np.testing.assert_allclose(mean, [0.287, 0.611], atol=5e-4)


def test_a_sign_of_sd_changes_nothing_but_its_derivative() -> None:
    eta, sd = np.array([-1.0, 2.0]), np.array([0.7, 5.0])
    plus, minus = _core.population("logit", eta, sd), _core.population("logit", eta, -sd)
    np.testing.assert_array_equal(plus[0], minus[0])
    np.testing.assert_array_equal(plus[2], -minus[2])


def joint(name: tuple[str, str, bool], what: str, eta: Array, root: Array) -> tuple[Array, ...]:
    return _core.population_joint(name, what, eta, root)


def test_joint_means_of_a_zero_inflated_count_match_a_product_rule() -> None:
    eta = np.array([[0.4, -0.8]])
    root = np.array([[[0.9, 0.0], [-0.5, 0.7]]])
    value, d_eta, d_root, error = joint(("poisson", "log", True), "mean", eta, root)
    t, weights, _ = panels("logit", 0.0, 2.0)
    first, second = np.meshgrid(t, t, indexing="ij")
    predictors = [eta[0, k] + root[0, k, 0] * first + root[0, k, 1] * second for k in (0, 1)]
    mean = np.exp(predictors[0]) / (1.0 + np.exp(predictors[1]))
    exact = weights @ mean @ weights
    assert value[0] == pytest.approx(exact, rel=1e-9)
    assert error[0] <= 1e-9 * value[0]
    assert d_eta[0, 0] == pytest.approx(exact, rel=1e-9)
    moved = weights @ (mean * first) @ weights
    assert d_root[0, 0, 0] == pytest.approx(moved, rel=1e-8)


def test_joint_means_of_one_predictor_are_the_population_means() -> None:
    eta, sd = np.array([[-2.0], [1.0], [0.0]]), np.array([3.088, 0.4, 0.0])
    found = joint(("binomial", "logit", False), "mean", eta, sd[:, None, None])
    exact = _core.population("logit", eta[:, 0].copy(), sd)
    for part, other in zip((found[0], found[1][:, 0], found[2][:, 0, 0]), exact, strict=True):
        np.testing.assert_allclose(part[:2], other[:2], rtol=1e-8)
    assert found[0][2] == pytest.approx(0.5)
