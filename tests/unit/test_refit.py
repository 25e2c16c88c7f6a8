"""A refit is the fit of the same rows to another response, and leaves the first as it was."""

from __future__ import annotations

import numpy as np
import pytest
from fits import MODELS, fit, frame
from numpy.typing import NDArray

import glimm
from glimm.errors import DataError

Array = NDArray[np.float64]

# Nats and standard errors that a fit leaves at the most.
SAME_LOGLIK = 1e-8
SAME_ESTIMATE = 1e-4

EVERY = pytest.mark.parametrize("name", MODELS)


def _response(name: str) -> str:
    return MODELS[name][0].split()[0]


def _fresh(name: str, y: Array) -> glimm.Fit:
    formula, family, options = MODELS[name]
    return glimm.fit(formula, frame().assign(**{_response(name): y}), family, **options)


def _same(a: glimm.Fit, b: glimm.Fit) -> None:
    assert a.loglik == pytest.approx(b.loglik, abs=SAME_LOGLIK)
    assert a.diagnostics.converged
    assert a.diagnostics.singular == b.diagnostics.singular
    for name, error in b.se.items():
        assert a.coef[name] == pytest.approx(b.coef[name], abs=SAME_ESTIMATE * error)
        assert a.se[name] == pytest.approx(error, rel=1e-3)
    for one, other in zip(a.covariances, b.covariances, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3 * np.abs(other).max() + 1e-9)
    np.testing.assert_allclose(a.fitted, b.fitted, rtol=1e-3)


def _numbers(made: glimm.Fit) -> list[Array]:
    return [
        made.estimates.parameters.copy(),
        made.estimates.covariance.copy(),
        *(m.copy() for m in made.estimates.modes),
        made.predict(),
        made.predict(frame()),
        made.simulate(1, seed=3),
        made.design.y.copy(),
        np.array([made.loglik, made.aic]),
    ]


@EVERY
def test_to_drawn_responses_it_is_the_fresh_fit(name: str) -> None:
    for y in fit(name).simulate(2, seed=11):
        again = fit(name).refit(y)
        _same(again, _fresh(name, y))
        np.testing.assert_array_equal(again.design.y, y)


@EVERY
def test_the_first_fit_stays_as_it_was(name: str) -> None:
    before = _numbers(fit(name))
    y = fit(name).simulate(1, seed=12)[0]
    assert fit(name).refit(y).loglik != fit(name).loglik
    for one, other in zip(_numbers(fit(name)), before, strict=True):
        np.testing.assert_array_equal(one, other)


@EVERY
def test_to_its_own_response_it_is_itself(name: str) -> None:
    _same(fit(name).refit(fit(name).design.y), fit(name))
    away = fit(name).refit(fit(name).simulate(1, seed=13)[0])
    _same(away.refit(fit(name).design.y), fit(name))


@pytest.mark.parametrize(
    ("family", "formula"),
    [
        ("poisson", "y ~ x + (1 | g)"),
        ("poisson", "y ~ x + (1 + x | g)"),
        ("gaussian", "y ~ x + (1 + x | g)"),
        ("gaussian", "y ~ x + (1 | g) + (1 | h)"),
    ],
)
def test_from_the_boundary_and_back(family: str, formula: str) -> None:
    """A fit whose variances are zero must not keep the next one there."""
    data, rng = frame(), np.random.default_rng(14)
    noise = rng.normal(size=len(data))
    parts = data["g"].to_numpy(), data["h"].to_numpy()
    for codes in parts:
        noise -= np.array([noise[codes == code].mean() for code in codes])
    group, other = (np.unique(codes, return_inverse=True)[1] for codes in parts)
    eta = (0.3 + 0.5 * rng.normal(size=15)[group]) * data["x"] + rng.normal(size=15)[group]
    eta += 0.7 * rng.normal(size=6)[other]
    flat = 4.0 + 0.5 * noise
    varied = eta + 0.5 * noise
    if family == "poisson":
        flat = np.round(np.exp(flat - 3)).astype(float)
        varied = rng.poisson(np.exp(1 + eta)).astype(float)
    fits = [glimm.fit(formula, data.assign(y=np.asarray(y, float)), family) for y in (flat, varied)]
    assert fits[0].diagnostics.singular
    assert not fits[1].diagnostics.singular
    _same(fits[0].refit(varied), fits[1])
    _same(fits[1].refit(flat), fits[0])


def test_from_a_correlation_of_one() -> None:
    """There a diagonal of the Cholesky factor is zero, a point of symmetry but not a maximum."""
    made = fit("slopes")
    assert made.diagnostics.singular
    assert min(np.sqrt(np.diag(made.covariances[0]))) > 0.1
    y = made.simulate(25, seed=111)[24]
    fresh = _fresh("slopes", y)
    assert not fresh.diagnostics.singular
    _same(made.refit(y), fresh)


def test_successes_of_the_same_trials() -> None:
    made = fit("binomial")
    y = frame()["trials"] - frame()["hits"]
    again = made.refit(y)
    assert again.loglik == pytest.approx(made.loglik, abs=SAME_LOGLIK)
    for name, value in made.coef.items():
        assert again.coef[name] == pytest.approx(-value, abs=SAME_ESTIMATE * made.se[name])


def test_only_the_rows_used_count() -> None:
    data = frame().astype({"x": float})
    data.loc[[3, 50], "x"] = np.nan
    made = glimm.fit("length ~ x + (1 | g)", data)
    y = data["length"].drop([3, 50]) ** 2
    _same(made.refit(y), glimm.fit("length ~ x + (1 | g)", data.assign(length=data["length"] ** 2)))
    with pytest.raises(DataError, match=r"shape \(120,\); the design has 118 rows \(120 in the"):
        made.refit(data["length"])


@pytest.mark.parametrize(
    ("name", "row", "value", "words"),
    [
        ("poisson", 4, -1.0, "'count': -1 in row 4 "),
        ("poisson", 5, 0.5, "'count': 0.5 in row 5 "),
        ("binomial", 6, 99.0, "'hits': 99 of 6 trials in row 6 "),
        ("gamma", 7, 0.0, "'time': 0 in row 7 "),
        ("gaussian", 8, np.nan, "not finite in row 8 "),
    ],
)
def test_responses_that_cannot_be(name: str, row: int, value: float, words: str) -> None:
    """And a refusal does no harm to the next refit."""
    made = fit(name)
    y = made.design.y.copy()
    y[row] = value
    with pytest.raises(DataError, match=words):
        made.refit(y)
    _same(made.refit(made.design.y), made)


def test_a_response_that_never_varies_is_refused_by_name() -> None:
    made = fit("poisson")
    with pytest.raises(DataError, match="'count' is 0 in every row"):
        made.refit(np.zeros(made.design.n))
