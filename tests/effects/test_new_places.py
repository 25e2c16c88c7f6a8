"""Predictions at places of a field that the fit has not seen."""

from __future__ import annotations

import functools
import math
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import glimm
from glimm.predict.ask import _new_rows, situation
from glimm.predict.conditional import Dense, OneFactor
from glimm.predict.intervals import gradients
from glimm.problem import factor_of

Array = NDArray[np.float64]
FIELDS = {
    "exp": "exp(e + n | g)",
    "gau": "gau(e + n | g)",
    "mat15": "mat(e + n | g)",
    "mat25": "mat(e + n | g, nu=2.5)",
}
EVERY = pytest.mark.parametrize("name", FIELDS)
NUGGET = 1e-8
PLACES, GROUPS = 14, 3
NEW = {"x": [0.4] * 4, "g": [0, 1, 2, 0], "e": [1.1, 0.7, 2.9, 3.3], "n": [2.2, 0.1, 3.0, 1.7]}
"""Rows at places between those of the fit."""


@functools.cache
def data() -> dict[str, Any]:
    draw = np.random.default_rng(11)
    east, north = draw.uniform(0, 4, (2, PLACES)).round(2)
    apart = np.hypot(np.subtract.outer(east, east), np.subtract.outer(north, north))
    root = np.linalg.cholesky(np.exp(-apart / 2.0))
    g, at = np.repeat(np.arange(GROUPS), 2 * PLACES), np.tile(np.arange(PLACES), 2 * GROUPS)
    x = draw.normal(size=g.size)
    eta = 0.8 + 0.4 * x + 0.7 * (root @ draw.normal(size=(PLACES, GROUPS))).T[g, at]
    plot = draw.integers(0, 9, g.size)
    eta += 0.3 * draw.normal(size=9)[plot]
    return {
        "y": draw.poisson(np.exp(eta)), "z": eta + 0.4 * draw.normal(size=g.size), "x": x, "g": g,
        "e": east[at], "n": north[at], "plot": plot, "all": np.ones(g.size, dtype=int),
        "g2": (g + draw.integers(0, 2, g.size)) % GROUPS,
    }  # fmt: skip


@functools.cache
def fit(term: str, response: str = "z", hold: tuple[tuple[str, float], ...] = ()) -> glimm.Fit:
    options: dict[str, Any] = {"family": "poisson", "integration": "laplace"}
    options = options if response == "y" else {"reml": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.FitWarning)
        return glimm.fit(f"{response} ~ x + {term}", data(), hold=dict(hold) or None, **options)


def held(term: str, response: str = "z") -> glimm.Fit:
    return fit(term, response, (("g: sd", 0.7), ("g: range", 1.8)))


def kernel(name: str, one: Array, other: Array, span: float) -> Array:
    apart = np.sqrt(((one[:, None] - other[None]) ** 2).sum(axis=-1))
    if name == "gau":
        return np.asarray((1 - NUGGET) * np.exp(-((apart / span) ** 2)))
    nu = {"exp": 0.5, "mat15": 1.5, "mat25": 2.5}[name]
    s = apart * math.sqrt(2 * nu) / span
    value = {0.5: 1.0, 1.5: 1 + s, 2.5: 1 + s + s**2 / 3}[nu] * np.exp(-s)
    return np.asarray(value * (1.0 if name == "exp" else 1 - NUGGET))


def places(rows: dict[str, Any]) -> Array:
    return np.column_stack([rows["e"], rows["n"]]).astype(float)


def universal_kriging(found: glimm.Fit, name: str, sd: float, span: float) -> tuple[Array, Array]:
    """Predictor of x'beta + b(s) from dense matrices, and its prediction error."""
    rows, sigma = data(), found.dispersion["sigma"]
    here, there = places(rows), places(NEW)
    same = np.equal.outer(rows["g"], rows["g"])
    within = kernel(name, here, here, span)
    within[(here[:, None] == here[None]).all(axis=-1)] = 1.0
    v = sd**2 * within * same + sigma**2 * np.eye(len(here))
    c = sd**2 * kernel(name, there, here, span) * np.equal.outer(np.array(NEW["g"]), rows["g"])
    x = np.column_stack([np.ones(len(here)), rows["x"]])
    new = np.column_stack([np.ones(len(there)), NEW["x"]])
    precision = x.T @ np.linalg.solve(v, x)
    beta = np.linalg.solve(precision, x.T @ np.linalg.solve(v, rows["z"]))
    mean = new @ beta + c @ np.linalg.solve(v, rows["z"] - x @ beta)
    left = new - c @ np.linalg.solve(v, x)
    variance = sd**2 - np.einsum("ij,ji->i", c, np.linalg.solve(v, c.T))
    variance += np.einsum("ij,ji->i", left, np.linalg.solve(precision, left.T))
    return mean, np.sqrt(variance)


@EVERY
def test_known_parameters_give_universal_kriging(name: str) -> None:
    found = held(FIELDS[name])
    # The residual standard deviation counts as known too.
    kept = np.zeros_like(found.estimates.covariance)
    x = found.design.x.shape[1]
    kept[:x, :x] = _of_coefficients(found, name)
    known = replace(found, estimates=replace(found.estimates, covariance=kept))
    frame = known.predict(NEW, interval="confidence")
    mean, error = universal_kriging(found, name, 0.7, 1.8)
    np.testing.assert_allclose(frame["estimate"], mean, rtol=1e-8)
    np.testing.assert_allclose(frame["se"], error, rtol=1e-8)
    ahead = known.predict(NEW, interval="prediction")
    half = 1.959963984540054 * np.hypot(error, found.dispersion["sigma"])
    np.testing.assert_allclose(ahead["upper"], mean + half, rtol=1e-7)


def _of_coefficients(found: glimm.Fit, name: str) -> Array:
    rows, here = data(), places(data())
    within = kernel(name, here, here, 1.8)
    within[(here[:, None] == here[None]).all(axis=-1)] = 1.0
    v = 0.49 * within * np.equal.outer(rows["g"], rows["g"])
    v += found.dispersion["sigma"] ** 2 * np.eye(len(here))
    x = found.design.x
    return np.asarray(np.linalg.inv(x.T @ np.linalg.solve(v, x)))


@EVERY
@pytest.mark.parametrize("response", ["y", "z"])
def test_next_to_a_seen_place_nothing_changes(name: str, response: str) -> None:
    found, rows = fit(FIELDS[name], response), {k: v[:9] for k, v in data().items()}
    beside = rows | {"e": rows["e"] + 1e-9}
    for interval in ("confidence", "prediction"):
        one, other = (found.predict(r, interval=interval) for r in (rows, beside))
        for key in one:
            # The variance open at distance d is d / range, or the nugget's.
            np.testing.assert_allclose(other[key], one[key], rtol=3e-6)


def test_far_away_is_the_typical_effect_with_the_prior_variance() -> None:
    found = held("exp(e + n | g)")
    far, new = NEW | {"e": [1e4] * 4}, NEW | {"g": [99] * 4}
    one = found.predict(far, interval="confidence")
    none = found.predict(new, new_levels="zero", interval="confidence")
    np.testing.assert_allclose(one["estimate"], none["estimate"], rtol=1e-10)
    np.testing.assert_allclose(one["se"], np.hypot(none["se"], 0.7), rtol=1e-6)


@pytest.mark.parametrize("term", ["exp(e + n | g)", "mat(e + n | g) + (1 | plot)"])
def test_errors_move_with_the_range_as_differences_do(term: str) -> None:
    """Modes and weights move with it: both at ranges nearby, by dense matrices."""
    found = fit(term)
    new = NEW | {"plot": [0, 1, 2, 3]}
    rows = _new_rows(found, new, "subject", "error", None)
    last, step = found.estimates.thetas[0][1] - 1, 1e-4
    slope = gradients(situation(found, rows, "subject", "error", 0))[0][:, last]

    def at(shift: float) -> Array:
        moved = found.estimates.parameters.copy()
        moved[last] += shift
        e = replace(found.estimates, parameters=moved, modes=_modes(found, moved))
        return np.asarray(replace(found, estimates=e).predict(new))

    differences = (at(step) - at(-step)) / (2 * step)
    np.testing.assert_allclose(slope, differences, rtol=1e-5, atol=1e-8)


def _factors(found: glimm.Fit, parameters: Array) -> list[Array]:
    pairs = zip(found.design.terms, found.estimates.thetas, strict=True)
    return [factor_of(term, parameters[a:b]) for term, (a, b) in pairs]


def _modes(found: glimm.Fit, parameters: Array) -> tuple[Array, ...]:
    """Modes of a gaussian model at other parameters of the covariances, dense."""
    sigma, blocks, z = found.dispersion["sigma"], [], []
    for term, factor in zip(found.design.terms, _factors(found, parameters), strict=True):
        blocks.append(np.kron(np.eye(len(term.levels)), factor @ factor.T))
        seen = np.equal.outer(term.codes, np.arange(len(term.levels))).astype(float)
        z.append(np.einsum("il,iq->ilq", seen, term.z).reshape(found.design.n, -1))
    beta = np.array(list(found.coef.values()))
    left = found.design.y - found.design.x @ beta
    covariances = [own @ block for own, block in zip(z, blocks, strict=True)]
    v = sum(c @ own.T for c, own in zip(covariances, z, strict=True))
    solved = np.linalg.solve(v + sigma**2 * np.eye(found.design.n), left)
    shapes = [(len(term.levels), len(term.columns)) for term in found.design.terms]
    return tuple((c.T @ solved).reshape(s) for c, s in zip(covariances, shapes, strict=True))


def test_a_place_left_out_is_less_certain_than_its_neighbours() -> None:
    rows = data()
    middle = np.argmin(np.hypot(rows["e"] - 2, rows["n"] - 2))
    out = (rows["e"] == rows["e"][middle]) & (rows["n"] == rows["n"][middle])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.FitWarning)
        kept = {k: v[~out] for k, v in rows.items()}
        found = glimm.fit("y ~ x + exp(e + n | g)", kept, family="poisson", integration="laplace")
    level = {"x": np.zeros(len(out))}
    frame = found.predict(rows | level, interval="confidence")
    spread = np.log(np.asarray(frame["upper"])) - np.log(np.asarray(frame["lower"]))
    assert np.isfinite(spread).all()
    for g in range(GROUPS):
        own = rows["g"] == g
        assert spread[out & own].min() > spread[~out & own].max()
    ahead = found.predict(rows | level, interval="prediction")
    assert np.isfinite(ahead["upper"]).all()


def test_groups_that_are_new_and_populations_need_no_places() -> None:
    found = fit("exp(e + n | g)", "y")
    seen = {k: v[:4] for k, v in data().items()} | {"x": np.array(NEW["x"])}
    for policy in ("zero", "integrate"):
        for interval in ("confidence", "prediction"):
            frames = [
                found.predict(rows | {"g": [99] * 4}, new_levels=policy, interval=interval)
                for rows in (NEW, seen)
            ]
            np.testing.assert_allclose(frames[0]["upper"], frames[1]["upper"], rtol=1e-12)
    drawn = found.predict(NEW | {"g": [0, 99, 98, 0]}, new_levels="draw", interval="confidence")
    plain = found.predict(NEW, interval="confidence")
    np.testing.assert_allclose(drawn["se"][0], plain["se"][0], rtol=1e-12)
    np.testing.assert_allclose(
        found.predict(NEW, kind="population"), found.predict(seen, kind="population"), rtol=1e-12
    )
    np.testing.assert_allclose(
        glimm.means(found, "x", at={"x": [0.4]}).estimate[0],
        found.predict(NEW | {"g": [99] * 4}, new_levels="zero")[0],
        rtol=1e-8,
    )


def test_rows_of_several_groups_and_of_crossed_terms() -> None:
    """Beside a seen place, again; each group of a row leaves its own variance open."""
    for term in ("exp(e + n | mm(g, g2))", "exp(e + n | all) + (1 | plot)"):
        found, rows = fit(term, "y"), {k: v[:9] for k, v in data().items()}
        one = found.predict(rows, interval="confidence")
        other = found.predict(rows | {"n": rows["n"] + 1e-9}, interval="confidence")
        np.testing.assert_allclose(other["se"], one["se"], rtol=3e-6)
    found, far = fit("exp(e + n | mm(g, g2))", "y"), NEW | {"e": [1e4] * 4, "g2": [0, 0, 1, 1]}
    none = far | {"g": [98] * 4, "g2": [98] * 4}
    error = found.predict(far, interval="confidence", scale="link")["se"]
    typical = found.predict(none, interval="confidence", scale="link", new_levels="zero")["se"]
    share = np.where(np.equal(far["g"], far["g2"]), 1.0, 0.5)
    np.testing.assert_allclose(
        np.square(error) - np.square(typical), share * found.covariances[0][0, 0], rtol=1e-8
    )


def test_groups_of_a_known_relation_leave_their_own_variance_open() -> None:
    rows, here, there = data(), places(data()), places(NEW)
    k = np.array([[1.0, 0.5, 0.25], [0.5, 1.0, 0.5], [0.25, 0.5, 1.2]])
    relations = {"K": glimm.Relationship(k)}
    term = "exp(e + n | g, known=K)"
    found = glimm.fit(f"z ~ x + {term}", rows, relations=relations, reml=False)
    variance, span = found.covariances[0][0, 0], found.varcorr()["range"][0]
    v = variance * kernel("exp", here, here, span) * k[np.ix_(rows["g"], rows["g"])]
    v += found.dispersion["sigma"] ** 2 * np.eye(len(here))
    c = variance * kernel("exp", there, here, span) * k[np.ix_(NEW["g"], rows["g"])]
    nothing = np.zeros_like(found.estimates.covariance)
    known = replace(found, estimates=replace(found.estimates, covariance=nothing))
    left = variance * np.diag(k)[NEW["g"]] - np.einsum("ij,ji->i", c, np.linalg.solve(v, c.T))
    frame = known.predict(NEW, interval="confidence")
    np.testing.assert_allclose(frame["se"], np.sqrt(left), rtol=1e-8)


def test_a_field_without_end_says_nothing_of_other_places() -> None:
    found = fit("exp(e + n | g)")
    parameters = found.estimates.parameters.copy()
    parameters[found.estimates.thetas[0][1] - 1] = 60.0
    flat = replace(found, estimates=replace(found.estimates, parameters=parameters))
    with pytest.raises(glimm.DataError, match="so long that all places are as one") as refused:
        flat.predict(NEW)
    assert refused.value.code == "new_levels"


def test_covariances_of_wide_terms_are_sums_over_their_columns() -> None:
    draw = np.random.default_rng(3)
    widths, levels, n = (12, 1), (3, 5), 40
    starts = (0, widths[0] * levels[0])
    size = starts[1] + widths[1] * levels[1]
    root = draw.normal(size=(size, size))
    codes = [draw.integers(-1, count, n) for count in levels]
    z = [draw.normal(size=(n, q)) * (c >= 0)[:, None] for q, c in zip(widths, codes, strict=True)]
    whole = np.zeros((n, size))
    for start, q, c, own in zip(starts, widths, codes, z, strict=True):
        for j in range(q):
            whole[np.arange(n), start + np.maximum(c, 0) * q + j] += own[:, j]
    covariance = root @ root.T
    expected = np.einsum("ia,ab,ib->i", whole, covariance, whole)
    found = Dense(covariance, starts).quadratic(codes, z, z)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    q, count = widths[0], levels[0]
    blocks = np.stack([covariance[i : i + q, i : i + q] for i in range(0, q * count, q)])
    alone = OneFactor(blocks).quadratic(codes[:1], z[:1], z[:1])
    whole[:, starts[1] :] = 0.0
    np.testing.assert_allclose(
        alone, np.einsum("ia,ab,ib->i", whole, covariance, whole), rtol=1e-12
    )
    nothing = OneFactor(blocks).quadratic([codes[0][:0]], [z[0][:0]], [z[0][:0]])
    assert nothing.size == 0
