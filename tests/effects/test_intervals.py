"""Standard errors and intervals of predictions: identities, brute force, coverage."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import special, stats

import glimm
from glimm.errors import DataError, FitError
from glimm.predict.conditional import Sparse
from glimm.problem import factor_of

Array = NDArray[np.float64]


def frame(n: int = 160, seed: int = 5) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g, h = np.arange(n) % 16, np.arange(n) // 5 % 8
    x = rng.normal(size=n)
    eta = 0.5 + 0.6 * x + rng.normal(0, 0.8, 16)[g] + rng.normal(0, 0.5, 16)[g] * x
    eta += rng.normal(0, 0.6, 8)[h]
    trials = rng.integers(3, 12, n)
    columns = {
        "length": eta + rng.normal(0, 0.7, n),
        "count": rng.poisson(np.exp(eta)),
        "spread": rng.poisson(np.exp(eta) * rng.gamma(2.0, 0.5, n)),
        "zeros": rng.poisson(np.exp(eta)) * rng.binomial(1, 0.7, n),
        "hits": rng.binomial(trials, special.expit(eta)),
        "time": rng.gamma(4.0, np.exp(eta) / 4),
        "rank": np.digitize(eta + rng.logistic(size=n), [-0.5, 1.2]),
        "trials": trials,
    }
    return pd.DataFrame(columns | {"x": x, "g": [f"g{k}" for k in g], "h": h})


def fit(formula: str, family: str = "gaussian", **options: Any) -> glimm.Fit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return glimm.fit(formula, frame(), family, **options)


MODELS = {
    "slopes": ("length ~ x + (1 + x | g)", "gaussian", {}),
    "crossed": ("count ~ x + (1 | g) + (1 | h)", "poisson", {}),
    "crossed slopes": ("length ~ x + (1 + x | g) + (1 | h)", "gaussian", {}),
    "binomial": ("hits / trials ~ x + (1 | g)", "binomial", {"integration": "laplace"}),
    "nbinom2": ("spread ~ x + (1 + x || g)", "nbinom2", {"integration": "laplace"}),
    "zeros": ("zeros ~ x + (1 | g)", "poisson", {"zi": "~ 1", "integration": "laplace"}),
    "ordinal": ("rank ~ x + (1 | g)", "ordinal", {"integration": "laplace"}),
    "gamma": ("time ~ x + (1 | g)", "gamma", {"link": "log", "integration": "laplace"}),
    "dispersion": ("spread ~ x + (1 | g)", "nbinom2", {"disp": "~ x", "integration": "laplace"}),
}
EVERY = pytest.mark.parametrize("name", MODELS)


def made(name: str) -> glimm.Fit:
    formula, family, options = MODELS[name]
    return fit(formula, family, **options)


def joint_log_density(model: glimm.Fit, psi: Array, b: list[Array]) -> float:
    """log p(y | b, psi) + log p(b | psi), b through its standard form, up to a constant."""
    from glimm import _core
    from glimm.predict.points import predictors, training_rows
    from glimm.problem import sizes

    moved = glimm.Fit(model.model, model.design, replace(model.estimates, parameters=psi))
    eta = predictors(moved, training_rows(moved), tuple(b))
    if model.model.family.ordered:
        thresholds = moved.part("thresholds").estimates
        y = model.design.y.astype(int)
        ends = np.concatenate([[-40.0], thresholds, [40.0]])
        below, above = special.expit(ends[y - 1] - eta[0]), special.expit(ends[y] - eta[0])
        return float(np.log(above - below).sum())
    y, size = model.design.y, sizes(model.model, model.design)
    return float(_log_density(model, y, eta, size, _core))


def _log_density(model: glimm.Fit, y: Array, eta: list[Array], size: Any, core: Any) -> float:
    name = model.model.family.name
    mean = core.inverse_link(model.model.link, eta[0])
    if name == "gaussian":
        return float(stats.norm.logpdf(y, mean, np.exp(eta[1])).sum())
    if name == "binomial":
        return float(stats.binom.logpmf(y, size, mean).sum())
    if name == "gamma":
        shape = np.exp(-2 * eta[1])
        return float(stats.gamma.logpdf(y, shape, scale=mean / shape).sum())
    if name == "nbinom2":
        shape = np.exp(eta[1])
        return float(stats.nbinom.logpmf(y, shape, shape / (shape + mean)).sum())
    plain = stats.poisson.logpmf(y, mean)
    if model.model.zi is None:
        return float(plain.sum())
    zero = special.expit(eta[1])
    return float(np.log(np.where(y == 0, zero, 0.0) + (1 - zero) * np.exp(plain)).sum())


@EVERY
def test_modes_move_with_the_parameters_as_stated(name: str) -> None:
    """Newton's method finds the modes again at shifted parameters; differences give D."""
    model = made(name)
    psi, joint = model.estimates.parameters, model.joint_covariance
    shapes = [m.shape for m in model.estimates.modes]

    def modes(at: Array) -> Array:
        factors = [
            factor_of(t, at[a:b])
            for t, (a, b) in zip(model.design.terms, model.estimates.thetas, strict=True)
        ]
        u = np.concatenate(
            [
                np.linalg.solve(f, m.T).T.ravel()
                for f, m in zip(factors, model.estimates.modes, strict=True)
            ]
        )

        def effects(u: Array) -> list[Array]:
            cut = np.split(u, np.cumsum([a * b for a, b in shapes])[:-1])
            return [c.reshape(s) @ f.T for c, s, f in zip(cut, shapes, factors, strict=True)]

        shifted = glimm.Fit(model.model, model.design, replace(model.estimates, parameters=at))
        for _ in range(6):
            here = glimm.Fit(
                model.model,
                model.design,
                replace(shifted.estimates, modes=tuple(effects(u))),
            )
            gradient, hessian = _inner(here)
            u = u - np.linalg.solve(hessian, gradient - u)
        return np.concatenate([b.ravel() for b in effects(u)])

    stated = np.concatenate([d.reshape(-1, psi.size) for d in joint.slopes])
    scale = np.sqrt(np.diag(joint.covariance))
    for j in np.flatnonzero(scale):
        h = 1e-4 * scale[j]
        step = np.eye(psi.size)[j] * h
        slope = (modes(psi + step) - modes(psi - step)) / (2 * h)
        np.testing.assert_allclose(stated[:, j], slope, atol=2e-5 / scale[j] ** 0.5, rtol=1e-4)


def _inner(model: glimm.Fit) -> tuple[Array, Array]:
    """Gradient of the log density in u and its Hessian less the identity, dense."""
    from glimm.predict.joint import _Made

    pieces = _Made(model)
    n = model.design.n
    loads = {}
    for k in range(pieces.second.shape[1]):
        columns = []
        for term, factor in zip(model.design.terms, model.factors, strict=True):
            own = term.z * (np.array(term.predictors) == k)
            rows = np.zeros((n, len(term.levels), len(term.columns)))
            rows[np.arange(n), term.codes] = own @ factor
            columns.append(rows.reshape(n, -1))
        loads[k] = np.hstack(columns)
    gradient = sum(loads[k].T @ pieces.first[:, k] for k in loads)
    hessian = sum(
        loads[k].T @ (pieces.second[:, k, j, None] * loads[j]) for k in loads for j in loads
    )
    return np.asarray(gradient), np.asarray(hessian) - np.eye(len(gradient))


def test_row_derivatives_match_a_density_written_here() -> None:
    for name in ("binomial", "zeros", "nbinom2", "gamma", "ordinal"):
        model = made(name)
        modes, psi = [m.copy() for m in model.estimates.modes], model.estimates.parameters
        gradient, _ = _inner(model)
        factor = model.factors[0]
        h = 1e-5
        up, down = [m.copy() for m in modes], [m.copy() for m in modes]
        up[0][0] += h * factor[:, 0]
        down[0][0] -= h * factor[:, 0]
        slope = joint_log_density(model, psi, up) - joint_log_density(model, psi, down)
        assert gradient[0] == pytest.approx(slope / (2 * h), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", ["slopes", "crossed slopes"])
def test_linear_models_have_hendersons_covariance(name: str) -> None:
    """With the variances held: the inverse of the mixed model equations."""
    model = made(name)
    design, joint = model.design, model.joint_covariance
    noise = next(iter((model.dispersion or {}).values())) ** 2
    x, n = design.x, design.n
    pieces, prior = [], []
    for term, sigma in zip(design.terms, model.covariances, strict=True):
        rows = np.zeros((n, len(term.levels), len(term.columns)))
        rows[np.arange(n), term.codes] = term.z
        pieces.append(rows.reshape(n, -1))
        prior.append(np.kron(np.eye(len(term.levels)), np.linalg.inv(sigma)))
    z = np.hstack(pieces)
    weight = np.zeros((z.shape[1], z.shape[1]))
    at = 0
    for block in prior:
        weight[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    whole = np.block([[x.T @ x, x.T @ z], [z.T @ x, z.T @ z + noise * weight]]) / noise
    inverse = np.linalg.inv(whole)
    rows = np.hstack([x, z])
    exact = np.sqrt(np.einsum("ia,ab,ib->i", rows, inverse, rows))
    held = joint.covariance.copy()
    held[2:] = held[:, 2:] = 0.0
    model.__dict__["joint_covariance"] = replace(joint, covariance=held)
    np.testing.assert_allclose(model.predict(interval="confidence")["se"], exact, rtol=1e-8)


def test_a_balanced_one_way_layout_has_the_textbook_variance() -> None:
    """Searle, Casella and McCulloch (1992), section 7.3, with known variances."""
    rng = np.random.default_rng(2)
    groups, each = 12, 6
    y = rng.normal(0, 1.0, groups)[:, None] + rng.normal(0, 0.8, (groups, each))
    data = {"y": y.ravel(), "g": np.repeat(np.arange(groups), each)}
    model = glimm.fit("y ~ 1 + (1 | g)", data)
    noise = next(iter((model.dispersion or {}).values())) ** 2
    between = float(model.covariances[0][0, 0])
    shrink = between / (between + noise / each)
    mean = (between + noise / each) / groups
    exact = shrink * noise / each + (1 - shrink) ** 2 * mean
    joint = model.joint_covariance
    held = joint.covariance.copy()
    held[1:] = held[:, 1:] = 0.0
    model.__dict__["joint_covariance"] = replace(joint, covariance=held)
    found = np.asarray(model.predict(interval="confidence")["se"])
    np.testing.assert_allclose(found, np.sqrt(exact), rtol=1e-9)


def test_solves_for_many_effects_agree_with_one_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    dense, sparse = made("crossed slopes"), made("crossed slopes")
    monkeypatch.setattr("glimm.predict.joint.DENSE", 0)
    assert isinstance(sparse.joint_covariance._conditional, Sparse)
    monkeypatch.undo()
    new = frame().sample(20, random_state=1).assign(h=3)
    one, other = (m.predict(new, interval="confidence") for m in (dense, sparse))
    np.testing.assert_allclose(one["se"], other["se"], rtol=1e-10)


@EVERY
def test_estimates_and_intervals_agree_with_plain_predictions(name: str) -> None:
    model = made(name)
    for kind in ("subject", "population"):
        found = model.predict(kind=kind, interval="confidence")
        plain = np.asarray(model.predict(kind=kind)).ravel()
        np.testing.assert_allclose(found["estimate"], plain, rtol=1e-8)
        assert (found["lower"] < found["estimate"]).all()
        assert (found["estimate"] < found["upper"]).all()
        new = model.predict(frame(), kind=kind, interval="confidence")
        np.testing.assert_allclose(new["se"], found["se"], rtol=1e-8)


@EVERY
def test_population_standard_errors_match_differences(name: str) -> None:
    from glimm.inference.delta import delta

    model = made(name)
    new = frame().iloc[:5]

    def at(psi: Array) -> Array:
        moved = glimm.Fit(model.model, model.design, replace(model.estimates, parameters=psi))
        return np.asarray(moved.predict(new, kind="population")).ravel()

    _, covariance = delta(at, model.estimates.parameters, model.estimates.covariance)
    found = model.predict(new, kind="population", interval="confidence")
    np.testing.assert_allclose(found["se"], np.sqrt(np.diag(covariance)), rtol=1e-5)


def test_new_levels() -> None:
    model = made("binomial")
    new = frame().iloc[:4].assign(g=["new", "other", "new", "g1"])
    with pytest.raises(DataError) as caught:
        model.predict(new)
    assert caught.value.code == "new_levels"
    whole = model.predict(new, kind="population")
    found = model.predict(new, new_levels="integrate")
    np.testing.assert_allclose(found[:3], whole[:3], rtol=1e-12)
    assert found[3] == pytest.approx(model.predict(new.iloc[3:])[0], rel=1e-12)
    new = new.assign(x=0.0)
    drawn = model.predict(new, new_levels="draw", seed=4, scale="link")
    assert drawn[0] == drawn[2] != drawn[1]
    np.testing.assert_array_equal(
        drawn, model.predict(new, new_levels="draw", seed=4, scale="link")
    )
    assert drawn[0] != model.predict(new, new_levels="draw", seed=5, scale="link")[0]
    spread = [
        model.predict(new.iloc[:1], new_levels="draw", seed=s, scale="link")[0] for s in range(400)
    ]
    sd = float(np.sqrt(model.covariances[0][0, 0]))
    assert np.std(spread) == pytest.approx(sd, rel=4 / np.sqrt(800))


def test_population_needs_no_groups() -> None:
    model = made("crossed")
    new = {"x": [0.0, 1.0]}
    found = model.predict(new, kind="population")
    variance = sum(float(c[0, 0]) for c in model.covariances)
    exact = np.exp(np.array([1.0, 0.0]) * 0 + model.estimates.parameters[0] + variance / 2)
    assert found[0] == pytest.approx(exact[0], rel=1e-10)


def test_prediction_intervals_hold_what_they_say() -> None:
    """The mixed distribution has the asked probability outside, by simulation of it."""
    rng = np.random.default_rng(0)
    model = made("nbinom2")
    found = model.predict(interval="prediction").iloc[:6]
    eta = model.predict(scale="link", interval="confidence").iloc[:6]
    size = next(iter((model.dispersion or {}).values()))
    for i in range(6):
        mean = np.exp(rng.normal(eta["estimate"][i], eta["se"][i], 400_000))
        y = rng.poisson(mean * rng.gamma(size, 1 / size, mean.size))
        assert found["lower"][i] == np.quantile(y, 0.025, method="inverted_cdf")
        assert abs(found["upper"][i] - np.quantile(y, 0.975, method="inverted_cdf")) <= 1


def test_prediction_intervals_of_amounts() -> None:
    model = made("gamma")
    found = model.predict(interval="prediction").iloc[:4]
    eta = model.predict(scale="link", interval="confidence").iloc[:4]
    sigma = next(iter((model.dispersion or {}).values()))
    rng = np.random.default_rng(1)
    for i in range(4):
        mean = np.exp(rng.normal(eta["estimate"][i], eta["se"][i], 400_000))
        y = rng.gamma(sigma**-2, mean * sigma**2)
        ends = np.quantile(y, [0.025, 0.975])
        np.testing.assert_allclose([found["lower"][i], found["upper"][i]], ends, rtol=0.02)


def test_prediction_intervals_of_gaussian_and_binomial_responses() -> None:
    model = made("slopes")
    mean = model.predict(interval="confidence")
    found = model.predict(interval="prediction")
    noise = next(iter((model.dispersion or {}).values()))
    half = stats.norm.ppf(0.975) * np.sqrt(mean["se"] ** 2 + noise**2)
    np.testing.assert_allclose(found["upper"] - found["estimate"], half, rtol=1e-8)
    model = made("binomial")
    found = model.predict(interval="prediction")
    trials = model.design.trials
    assert trials is not None
    assert (found["upper"] <= trials).all()
    assert (found["lower"] == np.round(found["lower"])).all()
    with pytest.raises(DataError, match="number of trials"):
        model.predict(frame().drop(columns="trials"), interval="prediction")
    inside = (model.design.y >= found["lower"]) & (model.design.y <= found["upper"])
    assert inside.mean() > 0.93


def test_what_has_no_interval_is_refused() -> None:
    model = made("ordinal")
    with pytest.raises(FitError) as caught:
        model.predict(interval="prediction")
    assert caught.value.code == "no_interval"
    with pytest.raises(DataError):
        made("slopes").predict(interval="credible")
    classes = model.predict(interval="confidence")
    assert list(classes.columns) == ["row", "class", "estimate", "se", "lower", "upper"]
    np.testing.assert_allclose(classes.groupby("row")["estimate"].sum(), 1.0)


def test_what_moves_with_unknown_parameters_has_no_standard_error() -> None:
    model = made("nbinom2")
    covariance = model.estimates.covariance.copy()
    covariance[1] = covariance[:, 1] = np.nan
    model = glimm.Fit(model.model, model.design, replace(model.estimates, covariance=covariance))
    for interval in ("confidence", "prediction"):
        found = model.predict(interval=interval)
        assert np.isnan(found["lower"]).all()
        assert np.isfinite(found["estimate"]).all()
    assert np.isnan(model.population_averaged().se["x"])


def test_parts_have_intervals() -> None:
    model = made("dispersion")
    found = model.predict(part="dispersion", interval="confidence")
    np.testing.assert_allclose(found["estimate"], model.predict(part="dispersion"), rtol=1e-12)
    rows = np.column_stack([np.ones(model.design.n), model.design.parts[0].x[:, 1]])
    v = model.part("dispersion").covariance
    se = np.sqrt(np.einsum("ia,ab,ib->i", rows, v, rows))
    link = model.predict(part="dispersion", scale="link", interval="confidence")
    np.testing.assert_allclose(link["se"], se, rtol=1e-8)


def test_coverage_of_subject_predictions() -> None:
    """Of 60 x 25 true means about 95 % are covered; standard errors without theta cover less."""
    rng = np.random.default_rng(8)
    groups, each, inside = 25, 6, []
    g = np.repeat(np.arange(groups), each)
    for _ in range(60):
        x = rng.normal(size=g.size)
        b = rng.normal(0, 0.8, groups)
        eta = 0.4 + 0.5 * x + b[g]
        data = {"y": rng.poisson(np.exp(eta)), "x": x, "g": g}
        model = glimm.fit("y ~ x + (1 | g)", data, "poisson", integration="laplace")
        new = {"x": np.zeros(groups), "g": np.arange(groups)}
        found = model.predict(new, interval="confidence")
        truth = np.exp(0.4 + b)
        inside.append(np.mean((found["lower"] <= truth) & (truth <= found["upper"])))
    assert np.mean(inside) == pytest.approx(0.95, abs=0.025)
