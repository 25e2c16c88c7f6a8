"""What is computed from fits with relations, against dense algebra."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from dense import relatives
from test_known import KNOWN, K, N, data, fit, z_of

import glimm


@pytest.fixture(scope="module")
def linear() -> glimm.Fit:
    return fit("y ~ x + (1 | animal, known=K)")


@pytest.fixture(scope="module")
def both() -> glimm.Fit:
    return fit("y ~ x + (1 |a| animal, known=K) + (1 |a| dam, known=K)")


def test_standard_errors_are_those_of_generalized_least_squares(linear: glimm.Fit) -> None:
    d = data()
    x, z = np.column_stack([np.ones(N), d["x"]]), z_of(d["animal"])
    p = linear.estimates.parameters
    v = p[3] ** 2 * z @ K @ z.T + np.exp(2 * p[2]) * np.eye(N)
    expected = np.sqrt(np.diag(np.linalg.inv(x.T @ np.linalg.solve(v, x))))
    se = np.sqrt(np.diag(linear.estimates.covariance))[:2]
    np.testing.assert_allclose(se, expected, rtol=1e-6)
    printed = linear.summary().to_text() if hasattr(linear, "summary") else ""
    assert f"{expected[0]:.4f}" in printed
    assert "5 without rows; known K" in printed


def test_conditional_covariances_and_modes_of_groups_without_rows(linear: glimm.Fit) -> None:
    d, p = data(), linear.estimates.parameters
    z, g = z_of(d["animal"]), p[3] ** 2 * K
    v = z @ g @ z.T + np.exp(2 * p[2]) * np.eye(N)
    c = g - g @ z.T @ np.linalg.solve(v, z @ g)
    np.testing.assert_allclose(linear.estimates.covariances[0][:, 0, 0], np.diag(c), rtol=1e-7)
    assert np.abs(linear.estimates.modes[0][:5]).min() > 0


def test_joint_covariance_is_that_of_the_mixed_model_equations(both: glimm.Fit) -> None:
    d, p = data(), both.estimates.parameters
    x = np.column_stack([np.ones(N), d["x"]])
    z = np.hstack([z_of(d["animal"]), z_of(d["dam"])])
    sigma = both.factors[0] @ both.factors[0].T + 1e-9 * np.eye(2)
    precision = np.kron(np.linalg.inv(sigma), np.linalg.inv(K))
    w = np.hstack([x, z])
    h = w.T @ w / np.exp(2 * p[2])
    h[2:, 2:] += precision
    new = {"x": np.array([0.3, -1.0]), "animal": np.array([2, 9]), "dam": np.array([7, 1])}
    rows = np.hstack(
        [np.column_stack([np.ones(2), new["x"]]), z_of(new["animal"]), z_of(new["dam"])]
    )
    # Given the variances; `se` adds what their estimation costs.
    expected = np.sqrt(np.einsum("ij,jk,ik->i", rows, np.linalg.inv(h), rows))
    se = both.predict(new, interval="confidence")["se"]
    assert (se >= expected * (1 - 1e-6)).all()
    assert (se < 1.25 * expected).all()


def test_simulated_effects_have_the_covariance() -> None:
    from glimm import _core

    draws = np.array([_core.draw_effects([0.5], 1, 30, 0, 5, r, KNOWN.core) for r in range(4000)])
    np.testing.assert_allclose(np.cov(draws.T), 0.25 * K, atol=0.04)


def test_shares_take_relatives_into_account(both: glimm.Fit) -> None:
    d = data()
    sigma = both.factors[0] @ both.factors[0].T
    between = np.mean(K[tuple(np.unique(np.column_stack([d["animal"], d["dam"]]), axis=0).T)])
    own = np.mean(np.diag(K))
    expected = own * np.trace(sigma) + 2 * between * sigma[0, 1]
    lines = {name: value for name, value, *_ in both.variance_shares().latent}
    assert lines["animal+dam: animal + dam"] == pytest.approx(expected, rel=1e-6)


def test_files_and_pickles_keep_relations(both: glimm.Fit, tmp_path: Path) -> None:
    both.save(tmp_path / "fit.glimm")
    for again in (glimm.load(tmp_path / "fit.glimm"), pickle.loads(pickle.dumps(both))):
        assert again.loglik == both.loglik
        new = {"x": [0.0], "animal": [3], "dam": [4]}
        np.testing.assert_array_equal(again.predict(new), both.predict(new))
        refit = again.refit(data()["y"])
        assert refit.loglik == pytest.approx(both.loglik, rel=1e-9)


def test_new_levels_and_groups_that_are_missing(both: glimm.Fit) -> None:
    new = {"x": [0.0, 0.0], "animal": [3, 3], "dam": [4, 77]}
    with pytest.raises(glimm.DataError, match="77"):
        both.predict(new)
    known, zero = both.predict(new, new_levels="zero")
    (alone,) = both.predict({"x": [0.0], "animal": [3], "dam": [np.nan]})
    assert zero == alone
    assert known != zero


def test_rows_without_the_second_group_stay() -> None:
    d = data()
    d["dam"] = np.where(np.arange(N) % 5 == 0, np.nan, d["dam"])
    terms = "y ~ x + (1 |a| animal, known=K) + (1 |a| dam, known=K)"
    found = glimm.fit(terms, d, relations={"K": KNOWN})
    assert found.design.n == N
    first = d | {"animal": np.where(np.arange(N) % 5 == 0, np.nan, d["animal"])}
    assert glimm.fit(terms, first, relations={"K": KNOWN}).design.n == N - N // 5


def test_what_is_refused(linear: glimm.Fit) -> None:
    with pytest.raises(glimm.FitError, match="hang together"):
        linear.robust("animal")
    for integration in ("agq:5", "exact", "importance:100"):
        with pytest.raises(glimm.GlimmError):
            fit("count ~ x + (1 | animal, known=K)", "poisson", integration=integration)
    for engine in ("dense", "iterative"):
        with pytest.raises(glimm.DataError, match="engine"):
            fit("count ~ x + (1 | animal, known=K)", "poisson", engine=engine)


def test_terms_of_one_group_have_labels_of_their_own() -> None:
    found = fit("y ~ x + (1 | animal, known=K) + (1 | animal)")
    assert list(found.groups) == ["animal (known K)", "animal"]
    assert relatives(5, 1).shape == (5, 5)
