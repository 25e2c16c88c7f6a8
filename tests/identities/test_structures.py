"""Covariance structures: the same model said in two ways, gradients, reports, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import glimm

GROUPS, TIMES = 40, 5
# Climbs stop within 1e-4 standard errors, so that log-likelihoods agree far below this.
SAME = 1e-6


def data(seed: int = 1) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    g, t = np.repeat(np.arange(GROUPS), TIMES), np.tile(np.arange(TIMES), GROUPS)
    x = draw.normal(size=g.size)
    apart = np.abs(np.subtract.outer(np.arange(TIMES), np.arange(TIMES)))
    b = (np.linalg.cholesky(0.7**apart) @ draw.normal(size=(TIMES, GROUPS))).T
    eta = 0.5 + 0.3 * x + 0.8 * b[g, t]
    two = np.tile(["a", "b", "a", "b", "a"], GROUPS)
    y = draw.poisson(np.exp(eta))
    return {"y": y, "z": eta + draw.normal(size=g.size), "x": x, "g": g, "t": t, "two": two}


def fit(term: str, **options: Any) -> glimm.Fit:
    options = {"family": "poisson", "integration": "laplace"} | options
    with pytest.warns() if options.pop("warns", False) else _quiet():
        return glimm.fit(f"y ~ x + {term}", data(), **options)


class _quiet:  # noqa: N801
    def __enter__(self) -> None:
        import warnings

        self.catch = warnings.catch_warnings()
        self.catch.__enter__()
        warnings.simplefilter("ignore", glimm.FitWarning)

    def __exit__(self, *_: object) -> None:
        self.catch.__exit__(None, None, None)


SAME_MODELS = [
    ("ar1(0 + t | g)", "ou(0 + t | g)"),
    ("cs(0 + two | g)", "(0 + two | g)"),
    ("toep(0 + t | g)", "toep(t + 0 | g)"),
    ("rr(0 + C(t) | g, d=5)", "(0 + C(t) | g)"),
    ("homcs(0 + C(t) | g)", "(1 | g) + homdiag(0 + C(t) | g)"),
    ("rr(0 + C(t) | g, 3)", "rr(0 + C(t) | g, d=3)"),
]


@pytest.mark.parametrize(("one", "other"), SAME_MODELS)
def test_one_model_said_in_two_ways(one: str, other: str) -> None:
    a, b = fit(one), fit(other)
    assert a.diagnostics.converged
    assert b.diagnostics.converged
    assert a.loglik == pytest.approx(b.loglik, abs=SAME)
    assert a.coef["x"] == pytest.approx(b.coef["x"], abs=1e-4 * b.se["x"])


def test_richer_structures_fit_better() -> None:
    order = ["homdiag(0 + C(t) | g)", "ar1(0 + t | g)", "homtoep(0 + t | g)", "toep(0 + t | g)"]
    values = [fit(term).loglik for term in order]
    assert values == sorted(values)
    assert fit("ar1(0 + t | g)").loglik <= fit("hetar1(0 + t | g)").loglik


TERMS = [
    "homdiag(0 + C(t) | g)",
    "homcs(0 + C(t) | g)",
    "cs(0 + C(t) | g)",
    "ar1(0 + t | g)",
    "hetar1(0 + t | g)",
    "homtoep(0 + t | g)",
    "toep(0 + t | g)",
    "ou(0 + t | g)",
    "rr(0 + C(t) | g, d=2)",
]


@pytest.mark.parametrize("family", ["poisson", "gaussian"])
@pytest.mark.parametrize("term", TERMS)
def test_gradients_are_exact_away_from_the_top(term: str, family: str) -> None:
    made = fit(term, family=family) if family == "poisson" else fit(term, family=family, reml=False)
    at = made.estimates.parameters + 0.03
    if family == "gaussian":  # cs leaves no residual; differences need one
        at[2] = 0.0
    value, gradient = made._problem.evaluate(at)  # type: ignore[union-attr, misc]

    def central(j: int, step: float) -> float:
        ends = []
        for sign in (1, -1):
            moved = at.copy()
            moved[j] += sign * step
            ends.append(made._problem.evaluate(moved)[0])  # type: ignore[union-attr, index]
        return float((ends[0] - ends[1]) / (2 * step))

    found = [(4 * central(j, 1e-3) - central(j, 2e-3)) / 3 for j in range(at.size)]
    assert np.isfinite(value)
    assert np.abs(np.array(found) - gradient).max() <= 1e-8 * (1 + np.abs(gradient).max())


def test_the_report_tells_sds_and_correlations() -> None:
    table = fit("ar1(0 + t | g)").varcorr()
    assert table["name"] == ["t (ar1)"]
    made = fit("ar1(0 + t | g)")
    assert table["sd"][0] == pytest.approx(np.sqrt(made.covariances[0][0, 0]))
    assert table["corr"][0] == pytest.approx(made.covariances[0][0, 1] / made.covariances[0][0, 0])
    lags = fit("homtoep(0 + t | g)").varcorr()
    assert len(lags["corr"]) == TIMES
    assert "g: angle" in made.parameter_names
    assert "ar1" in str(made)


def test_a_saved_fit_keeps_its_structure(tmp_path: Any) -> None:
    made = fit("ou(0 + t | g)")
    made.save(tmp_path / "fit.glimm")
    again = glimm.load(tmp_path / "fit.glimm")
    assert np.array_equal(again.covariances[0], made.covariances[0])
    assert np.array_equal(again.predict(data()), made.predict(data()))


REFUSALS = [
    ("ar1(1 + t | g)", "the one column"),
    ("ar1(0 + gaps | g)", "equal steps"),
    ("ou(0 + two | g)", "times as numbers"),
    ("rr(0 + two | g, d=0)", "whole number"),
    ("rr(0 + two | g, d=3)", "rr"),
    ("car(0 + t | g)", "not available"),
]


@pytest.mark.parametrize(("term", "words"), REFUSALS)
def test_what_cannot_be_is_refused(term: str, words: str) -> None:
    made = data() | {"gaps": data()["t"] ** 2}
    with pytest.raises(glimm.GlimmError, match=words):
        glimm.fit(f"y ~ x + {term}", made, family="poisson")


def test_long_series_are_those_of_sparse_matrices() -> None:
    draw = np.random.default_rng(3)
    groups, times = 20, 200
    b = np.zeros((groups, times))
    b[:, 0] = 0.6 * draw.normal(size=groups)
    for t in range(1, times):
        b[:, t] = 0.8 * b[:, t - 1] + 0.36 * draw.normal(size=groups)
    x = draw.normal(size=b.size)
    frame = {
        "y": draw.poisson(np.exp(0.8 + 0.3 * x + b.ravel())),
        "x": x,
        "g": np.repeat(np.arange(groups), times),
        "t": np.tile(np.arange(times), groups),
    }
    options: dict[str, Any] = {"family": "poisson", "integration": "laplace"}
    one, two, other = (
        glimm.fit("y ~ x + ar1(0 + t | g)", frame, **options, **own)
        for own in ({"threads": 1}, {"threads": 2}, {"engine": "sparse"})
    )
    assert one.loglik == two.loglik
    assert one.loglik == pytest.approx(other.loglik, abs=SAME)
    assert one.coef == pytest.approx(other.coef, abs=1e-5)
    assert one.se == pytest.approx(other.se, rel=1e-4)
    np.testing.assert_allclose(one.estimates.modes[0], other.estimates.modes[0], atol=1e-4)
    np.testing.assert_allclose(
        one.estimates.covariances[0], other.estimates.covariances[0], atol=1e-5
    )
