"""Models with a known covariance among levels, against plain models and dense likelihoods."""

from __future__ import annotations

import numpy as np
import pytest
from dense import gaussian, poisson, relatives
from scipy import sparse

import glimm
from glimm.problem import make_problem

# Two ways to one number in double precision.
SAME = 1e-9
LEVELS, N = 30, 160


def data(seed: int = 1) -> dict[str, np.ndarray]:
    """Counts and numbers with effects of relatives; no row has an animal below 5."""
    rng = np.random.default_rng(seed)
    k = relatives(LEVELS, 7)
    b = 0.6 * np.linalg.cholesky(k) @ rng.standard_normal(LEVELS)
    animal = rng.integers(5, LEVELS, N)
    dam = rng.integers(0, LEVELS, N)
    x = rng.standard_normal(N)
    eta = 0.5 + 0.3 * x + b[animal] + 0.3 * b[dam]
    return {
        "animal": animal, "dam": dam, "x": x, "count": rng.poisson(np.exp(eta)),
        "y": eta + 0.5 * rng.standard_normal(N),
    }  # fmt: skip


K = relatives(LEVELS, 7)
KNOWN = glimm.Relationship(K)


def fit(formula: str, family: str = "gaussian", **options):
    return glimm.fit(formula, data(), family, relations={"K": KNOWN}, progress=False, **options)


def z_of(codes: np.ndarray) -> np.ndarray:
    return np.eye(LEVELS)[codes]


@pytest.mark.parametrize("family", ["gaussian", "poisson"])
def test_identity_is_a_plain_intercept(family: str) -> None:
    d = data()
    answer = "y" if family == "gaussian" else "count"
    one = glimm.Relationship(np.eye(LEVELS))
    formula = f"{answer} ~ x + (1 + x | animal"
    plain = glimm.fit(formula + ")", d, family, integration="laplace")
    known = glimm.fit(
        formula + ", known=K)", d, family, integration="laplace", relations={"K": one}
    )
    assert known.loglik == pytest.approx(plain.loglik, rel=1e-10)
    a, b = known.estimates.parameters, plain.estimates.parameters
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(known.estimates.modes[0][5:], plain.estimates.modes[0], atol=1e-5)
    assert not known.estimates.modes[0][:5].any()


@pytest.mark.parametrize("reml", [True, False])
def test_gaussian_is_the_dense_likelihood(reml: bool) -> None:
    d, found = data(), fit("y ~ x + (1 | animal, known=K)", reml=reml)
    x = np.column_stack([np.ones(N), d["x"]])
    (sd,) = found.estimates.parameters[slice(*found.estimates.thetas[0])]
    noise = np.exp(2 * found.estimates.parameters[2])
    sigma = sd**2 * K
    expected = gaussian(d["y"], x, z_of(d["animal"]), sigma, noise, reml)
    assert found.loglik == pytest.approx(expected, rel=1e-10)
    z = z_of(d["animal"])
    v = z @ sigma @ z.T + noise * np.eye(N)
    modes = sigma @ z.T @ np.linalg.solve(v, d["y"] - x @ list(found.coef.values()))
    np.testing.assert_allclose(found.estimates.modes[0][:, 0], modes, atol=1e-6)


def test_poisson_is_the_dense_laplace() -> None:
    d, found = data(), fit("count ~ x + (1 | animal, known=K)", "poisson", integration="laplace")
    problem = make_problem(found.model, found.design)
    x = np.column_stack([np.ones(N), d["x"]])
    for parameters in (found.estimates.parameters, np.array([0.2, 0.4, 0.9])):
        value, _ = problem.evaluate(parameters)
        sigma = parameters[2] ** 2 * K
        expected = poisson(d["count"], x, parameters[:2], z_of(d["animal"]), sigma)
        assert value == pytest.approx(expected, rel=1e-10)
    assert found.certificate.method == "laplace"
    assert found.certificate.measured


def test_dense_covariance_is_its_sparse_precision() -> None:
    precision = sparse.csr_array(np.where(abs(p := np.linalg.inv(K)) > 1e-10, p, 0.0))
    other = glimm.Relationship(precision, precision=True)
    a = fit("count ~ x + (1 | animal, known=K)", "poisson")
    b = glimm.fit("count ~ x + (1 | animal, known=K)", data(), "poisson", relations={"K": other})
    assert a.loglik == pytest.approx(b.loglik, rel=SAME)
    np.testing.assert_allclose(a.estimates.parameters, b.estimates.parameters, atol=1e-6)


def test_units_of_the_relation_are_those_of_the_variance() -> None:
    other = glimm.Relationship(100.0 * K)
    a = fit("count ~ x + (1 | animal, known=K)", "poisson")
    b = glimm.fit("count ~ x + (1 | animal, known=K)", data(), "poisson", relations={"K": other})
    assert a.loglik == pytest.approx(b.loglik, rel=SAME)
    assert b.estimates.parameters[-1] == pytest.approx(a.estimates.parameters[-1] / 10, rel=1e-5)
    np.testing.assert_allclose(a.estimates.modes[0], b.estimates.modes[0], atol=1e-5)


def mixed(found: glimm.Fit) -> np.ndarray:
    """The covariance of the effects of two columns, (2, 2)."""
    return found.factors[0] @ found.factors[0].T


def test_direct_and_maternal_effects_are_correlated() -> None:
    d = data()
    found = fit("y ~ x + (1 |a| animal, known=K) + (1 |a| dam, known=K)")
    (term,) = found.design.terms
    assert term.columns == ("animal", "dam")
    z = np.hstack([z_of(d["animal"]), z_of(d["dam"])])
    x = np.column_stack([np.ones(N), d["x"]])
    noise = np.exp(2 * found.estimates.parameters[2])
    expected = gaussian(d["y"], x, z, np.kron(mixed(found), K), noise, True)
    assert found.loglik == pytest.approx(expected, rel=1e-10)
    counts = fit("count ~ x + (1 |a| animal, known=K) + (1 |a| dam, known=K)", "poisson")
    problem = make_problem(counts.model, counts.design)
    value, _ = problem.evaluate(np.array([0.2, 0.4, 0.5, -0.2, 0.4]))
    order = make_factor(counts, [0.5, -0.2, 0.4])
    sigma = np.kron(order @ order.T, K)
    beta = np.array([0.2, 0.4])
    assert value == pytest.approx(poisson(d["count"], x, beta, z, sigma), rel=1e-10)


def make_factor(found: glimm.Fit, theta: list[float]) -> np.ndarray:
    from glimm.problem import factor_of

    return factor_of(found.design.terms[0], np.array(theta))


def test_several_groups_of_a_row() -> None:
    d = data()
    weights = np.column_stack([np.full(N, 0.5)] * 2)
    found = glimm.fit("count ~ x + (1 | mm(animal, dam))", d, "poisson")
    z = weights[:, :1] * z_of(d["animal"]) + weights[:, 1:] * z_of(d["dam"])
    x = np.column_stack([np.ones(N), d["x"]])
    problem = make_problem(found.model, found.design)
    value, _ = problem.evaluate(np.array([0.3, 0.2, 0.8]))
    expected = poisson(d["count"], x, np.array([0.3, 0.2]), z, 0.64 * np.eye(LEVELS))
    assert value == pytest.approx(expected, rel=1e-10)


def test_weights_and_missing_groups() -> None:
    d = data() | {"v": np.full(N, 2.0), "w": np.linspace(0, 1, N)}
    d["dam"] = np.where(np.arange(N) % 4 == 0, np.nan, d["dam"])
    found = glimm.fit("y ~ x + (1 | mm(animal, dam, weights=(v, w)))", d)
    assert found.design.n == N
    z = 2.0 * z_of(d["animal"])
    there = np.isfinite(d["dam"])
    z[there] += d["w"][there, None] * z_of(d["dam"][there].astype(int))
    x = np.column_stack([np.ones(N), d["x"]])
    sd, noise = found.estimates.parameters[3], np.exp(2 * found.estimates.parameters[2])
    expected = gaussian(d["y"], x, z, sd**2 * np.eye(LEVELS), noise, True)
    assert found.loglik == pytest.approx(expected, rel=1e-10)


def test_two_terms_and_a_plain_one() -> None:
    d = data()
    formula = "count ~ x + (1 | animal, known=K) + (1 | animal) + (1 | dam, known=K)"
    found = fit(formula, "poisson")
    problem = make_problem(found.model, found.design)
    value, gradient = problem.evaluate(np.array([0.3, 0.2, 0.6, 0.3, 0.5]))
    z = np.hstack([z_of(d["animal"]), z_of(d["animal"]), z_of(d["dam"])])
    zero = np.zeros((LEVELS, LEVELS))
    sigma = np.block(
        [[0.36 * K, zero, zero], [zero, 0.09 * np.eye(LEVELS), zero], [zero, zero, 0.25 * K]]
    )
    x = np.column_stack([np.ones(N), d["x"]])
    assert value == pytest.approx(poisson(d["count"], x, np.array([0.3, 0.2]), z, sigma), rel=1e-10)
    assert np.isfinite(gradient).all()
