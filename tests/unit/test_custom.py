"""Families written by the user: the same as built-in ones, and what cannot be recorded is named."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import optimize, special, stats
from scipy.special import gammaln, log_expit

import glimm
from glimm import _core
from glimm.tracing import RECORDABLE

# Two ways of writing one density: rounding only.
LOGLIK, ESTIMATES = 1e-8, 1e-6
# Values of recorded functions against NumPy and SciPy.
VALUES = 2e-13
# Laplace fit of the core against one by adaptive search of SciPy; its optimiser's own error.
BRUTE = 1e-5


def log_poisson(y: Any, eta: Any) -> Any:
    return y * eta - np.exp(eta) - gammaln(y + 1)


def log_nbinom2(y: Any, eta: Any, t: Any) -> Any:
    theta, total = np.exp(t), np.logaddexp(eta, t)
    constant = gammaln(y + theta) - gammaln(theta) - gammaln(y + 1)
    return constant + theta * (t - total) + y * (eta - total)


def log_gamma(y: Any, eta: Any, s: Any) -> Any:
    shape = np.exp(-2 * s)
    return (
        shape * np.log(shape * y)
        - shape * eta
        - np.log(y)
        - shape * y / np.exp(eta)
        - gammaln(shape)
    )


def log_binomial(y: Any, eta: Any, size: Any) -> Any:
    ways = gammaln(size + 1) - gammaln(y + 1) - gammaln(size - y + 1)
    return ways + y * log_expit(eta) + (size - y) * log_expit(-eta)


def draw_nbinom2(rng: np.random.Generator, eta: Any, t: Any) -> Any:
    return rng.poisson(rng.gamma(np.exp(t), np.exp(eta - t)))


POISSON = glimm.CustomFamily("my_poisson", log_poisson, support="count")
NBINOM2 = glimm.CustomFamily(
    "my_nbinom2", log_nbinom2, {"theta": "log"}, support="count", draw=draw_nbinom2
)
GAMMA = glimm.CustomFamily("my_gamma", log_gamma, {"sigma": "log"}, support="positive")
BINOMIAL = glimm.CustomFamily("my_binomial", log_binomial, link="logit", support="count")

SEIZURES = "seizures ~ treatment * period + (1 | patient)"
CASES: list[tuple[glimm.CustomFamily, str, str, str, dict[str, Any]]] = [
    (POISSON, "poisson", SEIZURES, "epilepsy", {}),
    (POISSON, "poisson", SEIZURES, "epilepsy", {"zi": "~ 1"}),
    (NBINOM2, "nbinom2", SEIZURES, "epilepsy", {}),
    (NBINOM2, "nbinom2", SEIZURES, "epilepsy", {"disp": "~ treatment"}),
    (NBINOM2, "nbinom2", SEIZURES, "epilepsy", {"zi": "~ 1"}),
    (NBINOM2, "nbinom2", SEIZURES, "epilepsy", {"hold": {"theta": 2.0}}),
    (GAMMA, "gamma", "reaction ~ days + (days | subject)", "sleepstudy", {}),
    (BINOMIAL, "binomial", "incidence / size ~ C(period) + (1 | herd)", "cbpp", {}),
]


@pytest.mark.parametrize(("family", "known", "formula", "name", "parts"), CASES)
def test_a_written_family_is_the_built_in_one(
    family: glimm.CustomFamily, known: str, formula: str, name: str, parts: dict[str, Any]
) -> None:
    data = glimm.datasets.load(name)
    ours = glimm.fit(formula, data, family, **parts)
    theirs = glimm.fit(formula, data, known, **parts)
    assert ours.loglik == pytest.approx(theirs.loglik, abs=LOGLIK)
    se = np.sqrt(np.diag(theirs.estimates.covariance))
    error = np.abs(ours.estimates.parameters - theirs.estimates.parameters) / se
    assert error.max() < ESTIMATES
    np.testing.assert_allclose(
        ours.estimates.covariance, theirs.estimates.covariance, rtol=1e-4, atol=1e-12
    )
    np.testing.assert_allclose(ours.predict(), theirs.predict(), rtol=1e-6)
    assert family.name in str(ours)


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    name: getattr(np, name, None) or getattr(special, name)
    for name in RECORDABLE
    if name in {
        "absolute", "arctan", "cbrt", "ceil", "cos", "cosh", "erf", "erfc", "exp", "exp2",
        "expit", "expm1", "fabs", "floor", "isfinite", "log", "log10", "log1p", "log2",
        "log_expit", "log_ndtr", "logical_not", "logit", "ndtr", "negative", "positive", "psi",
        "reciprocal", "rint", "sin", "sinh", "sqrt", "square", "tan", "tanh",
    }
} | {
    "add": lambda x: x + 0.3,
    "betaln": lambda x: special.betaln(np.exp(x / 20), 2.0),
    "bitwise_and": lambda x: (x > 0) & (x < 2),
    "bitwise_or": lambda x: (x > 0) | (x == -1),
    "clip": lambda x: np.clip(x, -1, 1.5),
    "divide": lambda x: x / 3 + 3 / x,
    "equal": lambda x: x == 1.0,
    "float_power": lambda x: np.float_power(x, 0.3),
    "fmax": lambda x: np.fmax(x, 0.5),
    "fmin": lambda x: np.fmin(x, 0.5),
    "gammaln": lambda x: gammaln(np.exp(x / 20)),
    "greater": lambda x: x > 0.3,
    "greater_equal": lambda x: x >= 1,
    "invert": lambda x: ~(x > 0.3),
    "less": lambda x: x < 0.3,
    "less_equal": lambda x: x <= 1,
    "logaddexp": lambda x: np.logaddexp(x, 0.3),
    "logical_and": lambda x: np.logical_and(x > 0, x < 2),
    "logical_or": lambda x: np.logical_or(x > 0, x < -2),
    "loggamma": lambda x: special.loggamma(np.exp(x / 20)),
    "maximum": lambda x: np.maximum(0.2, x),
    "minimum": lambda x: np.minimum(x, 0.2),
    "multiply": lambda x: 2 * x,
    "not_equal": lambda x: x != 1.0,
    "power": lambda x: x**3 + x**-2 + np.exp(x / 30) ** 1.5 + 1.1**x,
    "psi": lambda x: special.digamma(np.exp(x / 20)),
    "subtract": lambda x: 0.3 - x,
    "where": lambda x: np.where((x > 0) & (x != 1.0) | ~(x <= -3), x, 2.0),
    "xlogy": lambda x: special.xlogy(x, np.exp(x)) + special.xlogy(0.0, x),
    "xlog1py": lambda x: special.xlog1py(x, np.abs(x)),
}  # fmt: skip


def test_every_recordable_function_has_a_case() -> None:
    assert set(FUNCTIONS) == set(RECORDABLE)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_recorded_functions_have_the_values_of_numpy(name: str) -> None:
    x = np.array([-40.0, -3.3, -1.0, -0.4, 1e-9, 0.3, 0.9, 1.0, 2.0, 7.5, 60.0])
    function = FUNCTIONS[name]
    family = glimm.CustomFamily(
        "f", lambda y, eta: -((y - eta) ** 2), mean=function, link="identity"
    )
    found = _core.means(("f", "identity", False, family.program), [x])
    with np.errstate(all="ignore"):
        expected = np.asarray(function(x), dtype=np.float64)
    np.testing.assert_allclose(found, expected, rtol=VALUES, atol=VALUES)


def test_arguments_of_a_density_are_numbers_or_arrays_as_given() -> None:
    """The density itself still is an ordinary function."""
    assert log_poisson(3.0, 0.2) == pytest.approx(stats.poisson.logpmf(3, math.exp(0.2)))


LOGISTIC = glimm.CustomFamily(
    "logistic",
    lambda y, eta, s: -(y - eta) / np.exp(s) - s + 2 * log_expit((y - eta) / np.exp(s)),
    {"scale": "log"},
    link="identity",
    variance=lambda eta, s: np.exp(2 * s) * (np.pi**2 / 3),
    cdf=lambda y, eta, s: special.expit((y - eta) / np.exp(s)),
    draw=lambda rng, eta, s: rng.logistic(eta, np.exp(s)),
)


def test_a_new_family_without_random_effects_is_maximum_likelihood() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=300)
    y = 200.0 + 30.0 * x + rng.logistic(0, 50.0, 300)
    fit = glimm.fit("y ~ x", {"x": x, "y": y}, LOGISTIC)

    def minus(p: Any) -> float:
        return -float(stats.logistic.logpdf(y, p[0] + p[1] * x, math.exp(p[2])).sum())

    best = optimize.minimize(minus, [190.0, 20.0, 4.0], tol=1e-10)
    assert fit.diagnostics.converged
    assert fit.loglik == pytest.approx(-best.fun, abs=BRUTE)
    se = np.sqrt(np.diag(fit.estimates.covariance))
    assert np.abs((fit.estimates.parameters - best.x) / se).max() < 1e-3


def test_a_new_family_with_random_effects_is_the_laplace_approximation() -> None:
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(12), 15)
    y = 1.0 + rng.normal(size=12)[g] + rng.logistic(0, 0.6, g.size)
    fit = glimm.fit("y ~ 1 + (1 | g)", {"y": y, "g": g}, LOGISTIC, integration="laplace")
    beta, log_scale = fit.estimates.parameters[:2]
    sd = abs(float(fit.factors[0][0, 0]))

    def joint(b: float, rows: Any) -> float:
        density = stats.logistic.logpdf(rows, beta + b, math.exp(log_scale)).sum()
        return float(density + stats.norm.logpdf(b, 0, sd))

    def bend(b: float, rows: Any) -> float:
        p = special.expit((rows - beta - b) / math.exp(log_scale))
        return float(2 * (p * (1 - p)).sum() / math.exp(2 * log_scale) + 1 / sd**2)

    total = 0.0
    for level in range(12):
        rows = y[g == level]
        mode = optimize.minimize_scalar(lambda b, r=rows: -joint(b, r)).x
        top = joint(mode, rows)
        total += top + 0.5 * math.log(2 * math.pi / bend(mode, rows))
    assert fit.loglik == pytest.approx(total, abs=BRUTE)


def test_a_discrete_new_family() -> None:
    """Bell counts, of mean exp(t + exp(t)) and a table of constants."""
    numbers = [1, 1, 2, 5, 15, 52, 203, 877, 4140]

    def log_bell(y: Any, t: Any) -> Any:
        constant = sum(np.where(y == k, math.log(b), 0.0) for k, b in enumerate(numbers))
        return y * t - np.exp(np.exp(t)) + 1 + constant - gammaln(y + 1)

    family = glimm.CustomFamily(
        "bell",
        log_bell,
        mean=lambda t: np.exp(t + np.exp(t)),
        variance=lambda t: np.exp(t + np.exp(t)) * (1 + np.exp(t)),
        support=lambda y: (y >= 0) & (y <= 8) & (y == np.floor(y)),
        start=lambda y: np.log(np.log1p(y + 0.5)) - 0.5,
    )
    y = np.array([0.0, 1, 0, 2, 1, 1, 3, 0, 1, 2, 4, 0, 0, 1, 2])
    fit = glimm.fit("y ~ 1", {"y": y}, family)
    assert fit.predict()[0] == pytest.approx(y.mean(), rel=1e-8)
    t = fit.estimates.parameters
    values = np.array([log_bell(k, t[0]) for k in y])
    assert fit.loglik == pytest.approx(values.sum(), abs=1e-10)
    with pytest.raises(glimm.DataError, match="support of 'bell' is true"):
        glimm.fit("y ~ 1", {"y": y + 7}, family)


def _nbinom2_fit(**parts: Any) -> glimm.Fit:
    return glimm.fit(SEIZURES, glimm.datasets.load("epilepsy"), NBINOM2, **parts)


def test_draws_come_from_the_users_function_and_a_seed() -> None:
    fit = _nbinom2_fit()
    draws = fit.simulate(200, seed=3)
    np.testing.assert_array_equal(draws, fit.simulate(200, seed=3))
    assert not (draws[0] == draws[1]).all()
    again = fit.refit(draws[0])
    assert again.loglik != fit.loglik
    theirs = glimm.fit(SEIZURES, glimm.datasets.load("epilepsy"), "nbinom2").simulate(200, seed=3)
    assert draws.mean() == pytest.approx(theirs.mean(), rel=0.2)


def test_draws_with_extra_zeros() -> None:
    fit = _nbinom2_fit(zi="~ 1")
    share = fit.predict(part="zi").mean()
    zeros = (fit.simulate(300, seed=1) == 0).mean()
    own = (_nbinom2_fit().simulate(300, seed=1) == 0).mean()
    assert zeros == pytest.approx(share + (1 - share) * own, abs=0.05)


@pytest.mark.parametrize("copy", ["file", "pickle"])
def test_a_saved_fit_keeps_all_but_the_draws(copy: str, tmp_path: Path) -> None:
    fit = _nbinom2_fit()
    if copy == "file":
        fit.save(tmp_path / "fit.glimm")
        loaded = glimm.load(tmp_path / "fit.glimm")
    else:
        loaded = pickle.loads(pickle.dumps(fit))
    assert loaded.model.family == NBINOM2
    assert str(loaded) == str(fit)
    np.testing.assert_array_equal(loaded.predict(), fit.predict())
    assert loaded.refit(fit.design.y).loglik == pytest.approx(fit.loglik, abs=LOGLIK)
    with pytest.raises(glimm.FamilyError, match="no function draw, as it came from a file"):
        loaded.simulate(1, seed=1)


def test_functions_that_were_not_given_are_named() -> None:
    fit = glimm.fit(SEIZURES, glimm.datasets.load("epilepsy"), POISSON)
    with pytest.raises(glimm.FamilyError, match="no function draw, as it was made without draw="):
        fit.simulate(1, seed=1)
    eta = [np.zeros(2)]
    with pytest.raises(_core.CoreError, match="variance"):
        _core.variances(fit.model.core_name, eta, None)
    with pytest.raises(_core.CoreError, match="cdf"):
        _core.cdf(fit.model.core_name, np.ones(2), eta, None)


def test_variance_and_cdf_are_the_users() -> None:
    name = ("logistic", "identity", False, LOGISTIC.program)
    eta, y = [np.array([0.0, 1.0]), np.array([0.2, 0.2])], np.array([0.4, -1.0])
    scale = math.exp(0.2)
    np.testing.assert_allclose(_core.variances(name, eta, None), stats.logistic.var(0, scale))
    lower, upper = _core.cdf(name, y, eta, None)
    np.testing.assert_allclose(lower, stats.logistic.cdf(y, eta[0], scale), rtol=1e-13)
    np.testing.assert_allclose(upper, stats.logistic.sf(y, eta[0], scale), rtol=1e-13)


def test_responses_outside_the_support_are_refused() -> None:
    with pytest.raises(glimm.DataError, match="a whole number, 0 or more"):
        glimm.fit("y ~ 1", {"y": [1.0, 2.5, 3.0]}, POISSON)
    data = {"y": [1.0, 4.0], "n": [3.0, 3.0]}
    with pytest.raises(glimm.DataError, match="trials"):
        glimm.fit("y ~ 1", data, BINOMIAL, trials="n")


UNRECORDABLE: list[tuple[Callable[..., Any], str]] = [
    (lambda y, eta: y * math.exp(eta), "math functions"),
    (lambda y, eta: eta if y > 0 else -eta, "if, and, or"),
    (lambda y, eta: stats.poisson.logpmf(y, np.exp(eta)), "symbolic value|arrays alone"),
    (lambda y, eta: special.gammainc(y, eta), "calls gammainc"),
    (lambda y, eta: np.sum(y * eta), "numpy.sum|attribute|arrays"),
    (lambda y, eta: np.add.reduce(eta), "add.reduce"),
    (lambda y, eta: special.polygamma(1, eta), "symbolic value|arrays alone|cannot be recorded"),
    (lambda y, eta: eta * np.array([1.0, 2.0]), "an array of shape"),
    (lambda y, eta: eta + "1", "as a number"),
    (lambda y, eta: eta.mean(), "attribute 'mean'"),
    (lambda y, eta: eta[0], "elements"),
    (lambda y, eta: sum(eta), "runs over"),
    (lambda y, eta: np.exp(eta, dtype=np.float32), "dtype"),
    (lambda y, eta: y + 1, "does not depend on 'eta'"),
    (lambda y, eta: None, "returns nothing"),
    (lambda y: y, "takes"),
]


@pytest.mark.parametrize(("function", "words"), UNRECORDABLE)
def test_what_cannot_be_recorded_is_named(function: Callable[..., Any], words: str) -> None:
    with pytest.raises(glimm.FamilyError, match=words) as raised:
        glimm.CustomFamily("f", function)
    if "symbolic values" in str(raised.value):
        assert "numpy.where" in str(raised.value)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "needs a name"),
    ({"name": "poisson"}, "use another"),
    ({"link": "logg"}, "use 'log'"),
    ({"support": "counts"}, "use 'count'"),
    ({"parameters": {"t": "loge"}}, "use 'log'"),
    ({"parameters": ["t"]}, "a mapping of names to scales"),
    ({"parameters": {str(k): "log" for k in range(4)}}, "at most 3"),
    ({"parameters": [glimm.Parameter("t"), glimm.Parameter("t")]}, "a name twice"),
    ({"parameters": [glimm.Parameter("t", scale="logit")]}, "finite bounds"),
    ({"parameters": {"t": "log"}}, "log_density of family 'f' takes"),
    ({"mean": lambda eta, t: eta}, "mean of family 'f' takes"),
    ({"draw": lambda rng: rng}, "draw of family 'f' takes"),
    ({"draw": 3}, "no function"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG)
def test_wrong_arguments_are_named(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(glimm.FamilyError, match=words):
        glimm.CustomFamily(**{"name": "f", "log_density": log_poisson, **arguments})


def test_what_a_draw_returns_is_checked() -> None:
    family = glimm.CustomFamily("f", log_poisson, support="count", draw=lambda rng, eta: 1.0)
    fit = glimm.fit(SEIZURES, glimm.datasets.load("epilepsy"), family)
    with pytest.raises(glimm.FamilyError, match="one response per row"):
        fit.simulate(1, seed=1)


def test_extra_zeros_leave_room_for_two_parameters() -> None:
    family = glimm.CustomFamily(
        "f",
        lambda y, eta, a, b, c: -((y - eta) ** 2) - (a - b) ** 2 - c**2,
        {"a": "identity", "b": "identity", "c": "identity"},
        link="identity",
    )
    with pytest.raises(glimm.FamilyError, match="with extra zeros it can have 2"):
        glimm.fit("y ~ 1", {"y": [1.0, 0.0, 2.0]}, family, zi="~ 1")


def test_a_linear_mixed_model_by_the_general_path() -> None:
    family = glimm.CustomFamily(
        "my_gaussian",
        lambda y, eta, s: -0.5 * ((y - eta) / np.exp(s)) ** 2 - s - 0.5 * np.log(2 * np.pi),
        {"sigma": "log"},
        link="identity",
    )
    data = glimm.datasets.load("sleepstudy")
    formula = "reaction ~ days + (days | subject)"
    ours, theirs = glimm.fit(formula, data, family), glimm.fit(formula, data, reml=False)
    assert ours.loglik == pytest.approx(theirs.loglik, abs=1e-7)
    ours, theirs = glimm.fit(formula, data, family, reml=True), glimm.fit(formula, data)
    assert theirs.estimates.path == "lmm"
    assert ours.loglik == pytest.approx(theirs.loglik, abs=1e-7)
