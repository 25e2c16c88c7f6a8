"""What is computed from a fit with covariance structures, against brute force and differences."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

import glimm
from glimm.fit import Fit
from glimm.inference.freedom import satterthwaite
from glimm.inference.goals import Goal, random_goals
from glimm.inference.kenward import kenward_roger
from glimm.inference.lrt import lrt
from glimm.predict.integrated import mean_of_response, state_of
from glimm.predict.joint import joint_covariance
from glimm.predict.points import training_rows
from glimm.problem import factor_of, factor_slopes

GROUPS, TIMES = 24, 4


def data(seed: int = 5) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    g, t = np.repeat(np.arange(GROUPS), TIMES), np.tile(np.arange(TIMES), GROUPS)
    g, t = np.repeat(g, 3), np.repeat(t, 3)
    x = draw.normal(size=g.size)
    apart = np.abs(np.subtract.outer(np.arange(TIMES), np.arange(TIMES)))
    b = (np.linalg.cholesky(0.6**apart) @ draw.normal(size=(TIMES, GROUPS))).T
    eta = 0.8 + 0.3 * x + 0.7 * b[g, t]
    two = np.where(t % 2 == 0, "a", "b")
    z = eta + 0.7 * draw.normal(size=g.size)
    hour = np.array([0.0, 1.0, 2.5, 6.0])[t]
    return {"y": draw.poisson(np.exp(eta)), "z": z, "x": x, "g": g, "t": t, "two": two,
            "hour": hour}  # fmt: skip


DATA = data()
TERMS = {
    "ar1": "ar1(0 + t | g)",
    "hetar1": "hetar1(0 + t | g)",
    "cs": "cs(0 + C(t) | g)",
    "homcs": "homcs(0 + C(t) | g)",
    "homdiag": "homdiag(0 + C(t) | g)",
    "toep": "toep(0 + t | g)",
    "homtoep": "homtoep(0 + t | g)",
    "ou": "ou(0 + hour | g)",
    "rr": "rr(0 + C(t) | g, d=2)",
}
_MADE: dict[tuple[str, str], Fit] = {}


def fitted(term: str, response: str = "y", **options: Any) -> Fit:
    import warnings

    key = (term + repr(options), response)
    if key not in _MADE:
        family = "poisson" if response == "y" else "gaussian"
        if response == "y":
            options = {"integration": "laplace"} | options
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", glimm.FitWarning)
            text = f"{response} ~ x + {TERMS.get(term, term)}"
            _MADE[key] = glimm.fit(text, DATA, family=family, **options)
    return _MADE[key]


def moved(fit: Fit, j: int, step: float) -> Fit:
    psi = fit.estimates.parameters.copy()
    psi[j] += step
    return Fit(fit.model, fit.design, replace(fit.estimates, parameters=psi))


def difference(function: Callable[[float], Any], step: float = 1e-3) -> Any:
    near = (function(step) - function(-step)) / (2 * step)
    far = (function(2 * step) - function(-2 * step)) / (4 * step)
    return (4 * near - far) / 3


@pytest.mark.parametrize("name", TERMS)
def test_derivatives_of_factors(name: str) -> None:
    term = fitted(name).design.terms[0]
    start, end = fitted(name).estimates.thetas[0]
    theta = fitted(name).estimates.parameters[start:end] + 0.05
    first, second = factor_slopes(term, theta)
    for j in range(theta.size):
        unit = np.eye(theta.size)[j]
        found = difference(lambda h, u=unit: factor_of(term, theta + h * u))
        assert np.abs(found - first[j]).max() < 1e-9
        twice = difference(lambda h, u=unit: factor_slopes(term, theta + h * u)[0])
        assert np.abs(twice - second[j]).max() < 1e-8


def constrained(fit: Fit, goal: Goal, value: float) -> float:
    """The largest log-likelihood where the one parameter of a goal has a value."""
    j, psi = goal.first[0], fit.estimates.parameters.copy()
    psi[j] = goal.write(value) if goal.kind != "sd" else value
    free = np.delete(np.arange(psi.size), j)
    problem = fit._problem
    assert problem is not None

    def fall(x: np.ndarray) -> tuple[float, np.ndarray]:
        at = psi.copy()
        at[free] = x
        value, gradient = problem.evaluate(at)
        return -value, -np.asarray(gradient)[free]

    return -float(minimize(fall, psi[free], jac=True, method="BFGS", options={"gtol": 1e-6}).fun)


@pytest.mark.parametrize("name", ["ar1", "homcs", "ou", "homdiag"])
def test_profile_ends_have_the_likelihood_of_their_level(name: str) -> None:
    fit = fitted(name)
    found = fit.confint(method="profile", part="random")
    for k, goal in enumerate(random_goals(fit)):
        assert found["name"][k] == goal.name
        assert found["lower"][k] < found["estimate"][k] < found["upper"][k]
        for end in ("lower", "upper"):
            fall = fit.loglik - constrained(fit, goal, found[end][k])
            assert fall == pytest.approx(1.959964**2 / 2, abs=1e-3)


@pytest.mark.parametrize("name", ["ar1", "cs", "ou", "rr", "toep", "hetar1"])
def test_numbers_are_those_of_the_covariance(name: str) -> None:
    fit = fitted(name)
    sigma = fit.covariances[0]
    sd = np.sqrt(np.diag(sigma))
    goals = {g.name: g.value(fit.estimates.parameters) for g in random_goals(fit)}
    for j, effect in enumerate(fit.effect_names(fit.design.terms[0])):
        if f"g: sd[{effect}]" in goals:
            assert goals[f"g: sd[{effect}]"] == pytest.approx(sd[j])
    first = sigma[0, 1] / (sd[0] * sd[1])
    for key in ("g: corr", "g: corr[lag 1]"):
        if key in goals:
            assert goals[key] == pytest.approx(first)
    if name == "ou":
        assert math.exp(-1.0 / goals["g: range"]) == pytest.approx(first)
    wald = fit.confint(part="random")
    assert np.all(np.array(wald["lower"]) < np.array(wald["estimate"]))
    assert np.all(np.array(wald["estimate"]) < np.array(wald["upper"]))


def test_a_profile_that_meets_the_end_of_an_angle_stops_there() -> None:
    fit = fitted("homtoep")
    found = fit.confint(method="profile", part="random")
    k = found["name"].index("g: partial corr[lag 3]")
    assert found["upper"][k] == 1.0
    assert "limit" in found["note"][k]
    assert found["lower"][k] < found["estimate"][k]
    curve = fit.profile("g: partial corr[lag 3]", part="random").curves[0]
    assert np.all(np.diff(curve.zeta) > 0)
    assert np.all(np.diff(curve.value) > 0)


def test_one_factor_reports_loadings() -> None:
    fit = fitted("rr(0 + C(t) | g, d=1)")
    names = [goal.name for goal in random_goals(fit)]
    assert [n.partition("[")[0] for n in names] == ["g: sd", *["g: loading"] * (TIMES - 1)]
    values = np.array([g.value(fit.estimates.parameters) for g in random_goals(fit)])
    assert np.outer(values, values) == pytest.approx(fit.covariances[0])


def modes_at(fit: Fit, psi: np.ndarray) -> np.ndarray:
    """Modes (levels, q) of a poisson fit by Newton's method, group by group."""
    term = fit.design.terms[0]
    start, end = fit.estimates.thetas[0]
    a = term.z @ factor_of(term, psi[start:end])
    fixed, found = fit.design.x @ psi[: fit.design.x.shape[1]], []
    for level in range(len(term.levels)):
        mine = term.codes == level
        u = np.zeros(a.shape[1])
        for _ in range(40):
            mu = np.exp(fixed[mine] + a[mine] @ u)
            slope = a[mine].T @ (fit.design.y[mine] - mu) - u
            u = u + np.linalg.solve((a[mine].T * mu) @ a[mine] + np.eye(u.size), slope)
        found.append(factor_of(term, psi[start:end]) @ u)
    return np.array(found)


@pytest.mark.parametrize("name", ["ar1", "cs", "ou", "rr"])
def test_modes_move_as_the_joint_covariance_says(name: str) -> None:
    fit = fitted(name)
    psi, slopes = fit.estimates.parameters, joint_covariance(fit).slopes[0]
    assert modes_at(fit, psi) == pytest.approx(fit.estimates.modes[0], abs=1e-5)
    for j in range(psi.size):
        unit = np.eye(psi.size)[j]
        found = difference(lambda h, u=unit: modes_at(fit, psi + h * u))
        assert np.abs(found - slopes[:, :, j]).max() < 1e-4 * (1 + np.abs(found).max())


@pytest.mark.parametrize("name", ["ar1", "cs", "ou", "rr"])
def test_population_means_move_as_told(name: str) -> None:
    fit = fitted(name)

    def mean(of: Fit) -> Any:
        rows = training_rows(of)
        everywhere = (np.ones(rows.n, dtype=bool),)
        return mean_of_response(state_of(of, rows, of.estimates.modes, everywhere))

    for j, slope in mean(fit).direct:
        found = difference(lambda h, j=j: mean(moved(fit, j, h)).value)
        assert np.abs(found - slope).max() < 1e-6 * (1 + np.abs(found).max())
    assert np.isfinite(fit.population_averaged().covariance).all()


def restricted(fit: Fit, tau: np.ndarray) -> tuple[float, np.ndarray]:
    """The restricted log-likelihood at (theta, log sigma), and covariance of coefficients."""
    x, y, term = fit.design.x, fit.design.y, fit.design.terms[0]
    a = term.z @ factor_of(term, tau[:-1])
    same = term.codes[:, None] == term.codes[None, :]
    v = np.where(same, a @ a.T, 0.0) + math.exp(2 * tau[-1]) * np.eye(len(y))
    inverse = np.linalg.inv(v)
    phi = np.linalg.inv(x.T @ inverse @ x)
    r = y - x @ (phi @ x.T @ inverse @ y)
    value = np.linalg.slogdet(v)[1] - np.linalg.slogdet(phi)[1] + r @ inverse @ r
    return -0.5 * float(value), phi


@pytest.mark.parametrize("name", ["ar1", "homcs", "ou"])
def test_satterthwaite_against_brute_force(name: str) -> None:
    fit = fitted(name, "z")
    start, end = fit.estimates.thetas[0]
    sigma = fit.estimates.parameters[fit.estimates.fixed[1][0]]
    tau = np.append(fit.estimates.parameters[start:end], sigma)
    k, step = tau.size, 1e-3
    eye = np.eye(k) * step
    hessian = np.empty((k, k))
    for i, j in np.ndindex(k, k):
        ends = [
            s * t * restricted(fit, tau + s * eye[i] + t * eye[j])[0]
            for s in (1, -1)
            for t in (1, -1)
        ]
        hessian[i, j] = sum(ends) / (4 * step**2)
    spread = np.linalg.inv(-hessian)
    for row in np.eye(2):
        g = np.array([
            difference(lambda h, u=u, row=row: row @ restricted(fit, tau + h * u)[1] @ row)
            for u in np.eye(k)
        ])  # fmt: skip
        f = row @ restricted(fit, tau)[1] @ row
        df = 2 * f**2 / (g @ spread @ g)
        assert satterthwaite(fit).df(row) == pytest.approx(df, rel=1e-3)


SAME = [
    ("rr(0 + two | g, d=2)", "(0 + two | g)"),
    ("cs(0 + two | g)", "(0 + two | g)"),
    ("ar1(0 + t | g)", "ou(0 + t | g)"),
    ("homcs(0 + C(t) | g)", "(1 | g) + homdiag(0 + C(t) | g)"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_degrees_of_freedom_of_one_model_said_in_two_ways(one: str, other: str) -> None:
    a, b = fitted(one, "z"), fitted(other, "z")
    for row in np.eye(2):
        assert satterthwaite(a).df(row) == pytest.approx(satterthwaite(b).df(row), rel=1e-3)
        assert kenward_roger(a).df(row) == pytest.approx(kenward_roger(b).df(row), rel=1e-3)
    both = kenward_roger(a).covariance, kenward_roger(b).covariance
    assert both[0] == pytest.approx(both[1], rel=1e-3)


@pytest.mark.parametrize("response", ["y", "z"])
@pytest.mark.parametrize("name", ["ar1", "cs", "rr"])
def test_scores_of_groups_are_derivatives_of_the_likelihood(name: str, response: str) -> None:
    fit = fitted(name, response, **({"reml": False} if response == "z" else {}))
    problem = fit._problem
    assert problem is not None
    at = fit.estimates.parameters + 0.02
    scores, hessians, _ = problem.scores(at, True)
    assert scores.reshape(GROUPS, -1).sum(axis=0) == pytest.approx(
        problem.evaluate(at)[1], abs=1e-6
    )
    total = hessians.reshape(GROUPS, at.size, at.size).sum(axis=0)
    for j in range(at.size):
        unit = np.eye(at.size)[j]
        found = difference(lambda h, u=unit: np.asarray(problem.evaluate(at + h * u)[1]))
        assert np.abs(found - total[j]).max() < 1e-5 * (1 + np.abs(found).max())


NULLS = [
    ("homdiag", "ar1", "chi-square"),
    ("homdiag", "homcs", "chi-square"),
    ("homdiag", "(0 + C(t) || g)", "chi-square"),
    ("homcs", "cs", "chi-square"),
    ("ar1", "homtoep", "chi-square"),
    ("rr(0 + C(t) | g, d=1)", "rr", "unknown"),
    ("rr", "(0 + C(t) | g)", "unknown"),
]


@pytest.mark.parametrize(("small", "large", "null"), NULLS)
def test_nulls_of_nested_structures(small: str, large: str, null: str) -> None:
    one, other = fitted(small), fitted(large)
    ratio = lrt(one, other)
    assert ratio is not None
    assert ratio.null == null
    assert math.isnan(ratio.p) == (null == "unknown")
    assert ratio.df == other.df_model - one.df_model
    assert ratio.chisq == pytest.approx(max(2 * (other.loglik - one.loglik), 0.0))


def test_terms_against_none() -> None:
    one = glimm.fit("y ~ x", DATA, family="poisson", integration="laplace")
    assert lrt(one, fitted("homdiag")).null == "mixture 0:1"  # type: ignore[union-attr]
    assert lrt(one, fitted("ar1")).null == "unknown"  # type: ignore[union-attr]
    assert lrt(fitted("cs"), fitted("ar1")) is None
    assert lrt(fitted("ou"), fitted("ar1")) is None


def test_whole_terms_left_out() -> None:
    table = fitted("homdiag").test_random().to_frame()
    assert table["null"] == ["mixture 0:1"]
    table = fitted("ar1").test_random(simulations=4).to_frame()
    assert (table["null"], table["effect"]) == (["unknown"], ["t (ar1)"])
    assert math.isnan(table["p"][0])
    assert math.isnan(table["p_naive"][0])
    assert table["p_simulated"][0] == pytest.approx(0.2)
    assert "simulations=" in str(fitted("ar1").test_random())


def test_refusals_say_what_to_do() -> None:
    with pytest.raises(glimm.DataError, match="variance=True") as found:
        fitted("ar1", penalty=glimm.Penalty(variance=True))
    assert found.value.code == "unknown_structure"


def test_a_planned_study_takes_a_structure_from_a_fit_alone() -> None:
    with pytest.raises(glimm.DataError, match="simulate from a fit") as found:
        glimm.power(
            "y ~ x + ar1(0 + t | g)",
            DATA,
            {"(Intercept)": 1.0, "x": 0.2},
            random={"g": {"t[0]": 1.0}},
            family="poisson",
            test="x",
            n=4,
        )
    assert found.value.code == "unknown_structure"


def test_tables_and_predictions_are_readable() -> None:
    fit = fitted("ou")
    assert "hour (ou)" in str(fit.summary())
    assert "singular" not in str(fitted("rr(0 + C(t) | g, d=1)").diagnostics.findings)
    frame = fit.predict(DATA, kind="population", interval="confidence")
    assert np.all(np.asarray(frame["lower"]) < np.asarray(frame["upper"]))
