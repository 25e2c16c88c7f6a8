"""The log-likelihood is the one defined, and its derivatives are its derivatives."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from oracle import laplace, log_density, split
from scipy import stats
from studies import FITTED, SAME_ESTIMATE, STRUCTURES, fit, fitted, study, text

import glimm
from glimm import _core
from glimm.problem import make_problem

Array = NDArray[np.float64]

# Relative, of the log-likelihood: two ways to add some hundred rows, one by differences.
SAME_VALUE = 1e-10
# Relative to the largest entry, of Richardson differences of a value rounded at 1e-13.
SAME_GRADIENT = 1e-9
# Relative, of standard errors from second differences of the value over a tenth of each.
SAME_ERROR = 1e-4

BOTH = pytest.mark.parametrize(("law", "structure"), FITTED)


def _near(made: glimm.Fit, seed: int, reach: float = 1.0) -> Array:
    """Return parameters some standard errors away from the estimates."""
    rng = np.random.default_rng(seed)
    errors = np.sqrt(np.diag(made.vcov("all")))
    return np.asarray(made.estimates.parameters + reach * errors * rng.uniform(-1, 1, len(errors)))


def _evaluate(problem: _core.Problem, parameters: Array) -> tuple[float, Array]:
    found = problem.evaluate(np.ascontiguousarray(parameters))
    assert found is not None
    return found


@BOTH
def test_value_at_the_estimates_is_that_of_the_definition(law: str, structure: str) -> None:
    made = fitted(law, structure)
    value = laplace(made.model, made.design, *split(made, made.estimates.parameters))
    assert made.loglik == pytest.approx(value, rel=SAME_VALUE)


@BOTH
def test_value_elsewhere_is_that_of_the_definition(law: str, structure: str) -> None:
    made = fitted(law, structure)
    problem = make_problem(made.model, made.design)
    point = _near(made, seed=1)
    value = laplace(made.model, made.design, *split(made, point))
    assert _evaluate(problem, point)[0] == pytest.approx(value, rel=SAME_VALUE)


@pytest.mark.parametrize("law", ["poisson", "probit", "gamma-log"])
def test_weights_and_offsets_enter_the_definition(law: str) -> None:
    frame = study(law, "slopes")
    weight = np.arange(len(frame)) % 3 + 0.5
    formula = f"{text('slopes')} + offset(0.3 * w**2)"
    made = fit(law, formula, frame, freq=weight, offset=0.1 * frame["x"])
    value = laplace(made.model, made.design, *split(made, made.estimates.parameters))
    assert made.loglik == pytest.approx(value, rel=SAME_VALUE)
    assert made.design.offset is not None
    np.testing.assert_allclose(made.design.offset, 0.3 * frame["w"] ** 2 + 0.1 * frame["x"])


def _marginal_covariance(made: glimm.Fit) -> Array:
    """Covariance of the rows of a gaussian response, (n, n)."""
    assert made.dispersion is not None
    covariance: Array = made.dispersion["sigma"] ** 2 * np.eye(made.design.n)
    for term, block in zip(made.design.terms, made.covariances, strict=True):
        same = term.codes[:, None] == term.codes[None, :]
        covariance += same * (term.z @ block @ term.z.T)
    return covariance


@pytest.mark.parametrize("structure", STRUCTURES)
def test_gaussian_value_is_the_multivariate_normal_density(structure: str) -> None:
    made = fitted("gaussian", structure)
    mean = made.design.x @ np.array(list(made.coef.values()))
    root = np.linalg.cholesky(_marginal_covariance(made))
    covariance = stats.Covariance.from_cholesky(root)
    expected = stats.multivariate_normal.logpdf(made.design.y, mean, covariance)
    assert made.loglik == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("structure", ["slopes", "nested"])
def test_gaussian_fixed_effects_are_generalized_least_squares(structure: str) -> None:
    """Their covariance too, at known variances; `vcov` mixes with these in samples."""
    made = fitted("gaussian", structure)
    covariance = _marginal_covariance(made)
    x, p = made.design.x, len(made.names)
    information = x.T @ np.linalg.solve(covariance, x)
    beta = np.linalg.solve(information, x.T @ np.linalg.solve(covariance, made.design.y))
    gap = (np.array(list(made.coef.values())) - beta) / np.array(list(made.se.values()))
    np.testing.assert_allclose(gap, 0.0, atol=SAME_ESTIMATE)
    known = np.linalg.inv(made.vcov("all"))[:p, :p]
    np.testing.assert_allclose(known, information, atol=1e-7 * information.max())


@BOTH
def test_without_variance_rows_are_independent(law: str, structure: str) -> None:
    made = fitted(law, structure)
    p = len(made.names)
    point = _near(made, 3)
    point[made.estimates.thetas[0][0] :] = 0.0
    beta, _, dispersion = split(made, point)
    value, gradient = _evaluate(make_problem(made.model, made.design), point)
    expected = log_density(made.model, made.design, made.design.x @ beta, dispersion).sum()
    assert value == pytest.approx(expected, rel=1e-11)
    plain = fit(law, "y ~ x + w", study(law, structure))
    alone, slope = _evaluate(make_problem(plain.model, plain.design), point[: plain.df_model])
    assert value == pytest.approx(alone, rel=1e-12)
    np.testing.assert_allclose(gradient[:p], slope[:p], rtol=1e-9, atol=1e-9 * abs(value))


def _richardson(problem: _core.Problem, point: Array, steps: Array) -> Array:
    """Central differences of the value at h, h/2 and h/4, extrapolated twice."""
    found = []
    for j, step in enumerate(steps):
        table = []
        for h in (step, step / 2, step / 4):
            ends = []
            for sign in (1, -1):
                moved = point.copy()
                moved[j] += sign * h
                ends.append(_evaluate(problem, moved)[0])
            table.append((ends[0] - ends[1]) / (2 * h))
        first = [(4 * b - a) / 3 for a, b in zip(table, table[1:], strict=False)]
        found.append((16 * first[1] - first[0]) / 15)
    return np.array(found)


@BOTH
def test_gradient_in_the_users_units(law: str, structure: str) -> None:
    """Covariates are shifted and scaled, so that maps of units matter; slopes too."""
    frame = study(law, structure)
    changed = frame.assign(x=(frame["x"] + 3) * 20, w=(frame["w"] - 2) * 0.05)
    made = fit(law, text(structure), changed)
    problem = make_problem(made.model, made.design)
    errors = np.sqrt(np.diag(made.vcov("all")))
    # Standard errors with the other parameters held: shifted covariates go with the intercept.
    steps = 0.02 / np.sqrt(np.diag(np.linalg.inv(made.vcov("all"))))
    for seed in range(2):
        point = _near(made, seed)
        gradient = _evaluate(problem, point)[1] * errors
        expected = _richardson(problem, point, steps) * errors
        np.testing.assert_allclose(
            gradient, expected, rtol=0, atol=SAME_GRADIENT * abs(expected).max()
        )


@BOTH
def test_standard_errors_are_those_of_the_values_curvature(law: str, structure: str) -> None:
    made = fitted(law, structure)
    problem = make_problem(made.model, made.design)
    best = made.estimates.parameters
    errors = np.sqrt(np.diag(made.vcov("all")))

    def second(j: int, k: int, h: float) -> float:
        total = 0.0
        for one, other in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            moved = best.copy()
            moved[j] += one * h * errors[j]
            moved[k] += other * h * errors[k]
            total += one * other * _evaluate(problem, moved)[0]
        return total / (4 * h**2)

    size = len(best)
    curvature = np.empty((size, size))
    for j in range(size):
        for k in range(j + 1):
            coarse, fine = second(j, k, 0.1), second(j, k, 0.05)
            curvature[j, k] = curvature[k, j] = (4 * fine - coarse) / 3
    covariance = np.linalg.inv(-curvature)
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), 1.0, rtol=SAME_ERROR)
    correlation = made.vcov("all") / np.outer(errors, errors)
    np.testing.assert_allclose(covariance, correlation, rtol=0, atol=SAME_ERROR)
    np.testing.assert_allclose(list(made.se.values()), errors[: len(made.se)], rtol=1e-14)


@BOTH
def test_the_gradient_at_the_estimates_is_zero(law: str, structure: str) -> None:
    made = fitted(law, structure)
    errors = np.sqrt(np.diag(made.vcov("all")))
    problem = make_problem(made.model, made.design)
    value, gradient = _evaluate(problem, made.estimates.parameters)
    assert value == pytest.approx(made.loglik, rel=1e-13)
    np.testing.assert_allclose(gradient * errors, 0.0, atol=1e-4)
