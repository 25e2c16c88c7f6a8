"""What profiles, bootstraps and tests must satisfy, whatever the data."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import glimm
from glimm.errors import DataError
from glimm.inference.goals import goals_of
from glimm.inference.profile import walk

REACH = stats.norm.ppf(0.975)
SAME = 1e-6  # of a bound, relative to the width of its interval


@cache
def binary() -> pd.DataFrame:
    """Binary responses of 40 groups with a covariate and a factor."""
    rng = np.random.default_rng(4)
    group = np.repeat(np.arange(40), 8)
    x = rng.normal(size=group.size)
    eta = -0.3 + 0.7 * x + rng.normal(size=40)[group]
    y = (rng.random(group.size) < 1 / (1 + np.exp(-eta))).astype(float)
    return pd.DataFrame({"y": y, "x": x, "g": group, "f": rng.choice(["a", "b", "c"], group.size)})


def bounds(fit: glimm.Fit, part: str = "mean", level: float = 0.95) -> dict[str, tuple[Any, Any]]:
    table = pd.DataFrame(fit.confint(level, method="profile", part=part))
    return {r["name"]: (r["lower"], r["upper"]) for r in table.to_dict("records")}


def close(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return bool(np.allclose(a, b, rtol=0, atol=SAME * abs(b[1] - b[0])))


@pytest.mark.filterwarnings("ignore:The integral:glimm.errors.FitWarning")
@pytest.mark.parametrize("integration", ["laplace", "auto", "agq:7"])
def test_at_a_bound_an_independent_constrained_refit_has_lost_just_enough(integration: str) -> None:
    data = binary()
    fit = glimm.fit("y ~ x + (1 | g)", data, family="binomial", integration=integration)
    for bound in bounds(fit)["x"]:
        held = glimm.fit("y ~ 1 + (1 | g)", data, family="binomial", integration=integration,
                         offset=bound * data["x"].to_numpy())  # fmt: skip
        assert abs(2 * (fit.loglik - held.loglik) - REACH**2) < 1e-5
    low, high = bounds(fit, "random")["g: sd[(Intercept)]"]
    for sd in (low, high):
        loss = _held_sd(fit, sd)
        assert abs(loss - REACH**2) < 1e-5


def _held_sd(fit: glimm.Fit, sd: float) -> float:
    """Loss of the maximum over the coefficients at a standard deviation, by a general optimiser."""

    def minus(beta: Any) -> tuple[float, Any]:
        value, gradient = fit._problem.evaluate(np.append(beta, sd))  # type: ignore[union-attr, misc]
        return -value, -gradient[: beta.size]

    start = fit.estimates.parameters[:-1]
    found = optimize.minimize(minus, start, jac=True, method="BFGS", options={"gtol": 1e-9})
    return 2 * (fit.loglik + float(found.fun))


def test_another_scale_of_a_covariate_scales_its_bounds() -> None:
    data = binary()
    one = bounds(glimm.fit("y ~ x + (1 | g)", data, family="binomial"))
    data = data.assign(x=100 * data["x"])
    other = bounds(glimm.fit("y ~ x + (1 | g)", data, family="binomial"))
    assert close(tuple(100 * b for b in other["x"]), one["x"])  # type: ignore[arg-type]


def test_another_base_level_profiles_a_difference() -> None:
    data = binary()
    one = bounds(glimm.fit("y ~ f + (1 | g)", data, family="binomial"))
    data = data.assign(f=data["f"].map({"a": "b", "b": "a", "c": "c"}))
    other = bounds(glimm.fit("y ~ f + (1 | g)", data, family="binomial"))
    assert close(tuple(-b for b in reversed(other["f[T.b]"])), one["f[T.b]"])  # type: ignore[arg-type]


def test_a_linear_model_has_the_textbook_interval() -> None:
    data = binary()
    y = data["x"] + np.sin(np.arange(len(data)))
    fit = glimm.fit("z ~ x", data.assign(z=y))
    x, n = data["x"].to_numpy(), len(data)
    rss = float(np.sum((y - np.polyval(np.polyfit(x, y, 1), x)) ** 2))
    half = math.sqrt(rss * math.expm1(REACH**2 / n) / np.sum((x - x.mean()) ** 2))
    center = fit.coef["x"]
    assert close(bounds(fit)["x"], (center - half, center + half))


def test_profiles_of_a_restricted_fit_are_those_of_maximum_likelihood() -> None:
    data = glimm.datasets.load("sleepstudy")
    one, other = (
        glimm.fit("reaction ~ days + (days | subject)", data, reml=reml) for reml in (True, False)
    )
    assert bounds(one) == bounds(other)
    assert "REML" in one.profile("days").likelihood


def test_threads_change_no_bit() -> None:
    fits = [glimm.fit("y ~ x + (1 | g)", binary(), family="binomial", threads=k) for k in (1, 2)]
    assert bounds(fits[0], "all") == bounds(fits[1], "all")
    one, two = (fits[0].bootstrap(30, seed=3, threads=k) for k in (1, 2))
    assert np.array_equal(one.replicates, two.replicates)


def test_every_point_of_a_curve_is_a_constrained_maximum() -> None:
    data = glimm.datasets.load("sleepstudy")
    fit = glimm.fit("reaction ~ days + (days | subject)", data, reml=False)
    goals = {g.name: g for g in goals_of(fit, "all")}
    for curve in fit.profile(part="all").curves:
        assert np.all(np.diff(curve.value) > 0)
        assert np.all(np.diff(curve.zeta) > 0)
        for value, zeta, psi in zip(curve.value, curve.zeta, curve.parameters, strict=True):
            loglik, _ = fit._problem.evaluate(psi)  # type: ignore[union-attr, misc]
            assert abs(2 * (fit.loglik - loglik) - zeta**2) < 1e-5 * (1 + zeta**2)
            assert math.isclose(goals[curve.name].value(psi), value, rel_tol=1e-6, abs_tol=1e-9)


def test_a_walk_to_a_value_is_the_inverse_of_a_walk_to_a_root() -> None:
    fit = glimm.fit("y ~ x + (1 | g)", binary(), family="binomial")
    goals = goals_of(fit, "all")
    there = walk(fit, goals, [[1.5]] * len(goals))
    back = walk(fit, goals, [list(p.value) for p in there], roots=False)
    for points in back:
        assert np.allclose(points.root, [-1.5, 1.5], atol=1e-6)


def test_a_variance_of_zero_has_a_one_sided_interval() -> None:
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(12), 5)
    y = rng.normal(size=60)
    y -= (pd.Series(y).groupby(g).transform("mean") * 0.95).to_numpy()
    fit = glimm.fit("y ~ 1 + (1 | g)", {"y": y, "g": g}, reml=False)
    low, high = bounds(fit, "random")["g: sd[(Intercept)]"]
    assert fit.varcorr()["sd"][0] == 0
    assert low == 0
    assert 0 < high < 1


def test_wald_intervals_of_variances_are_on_the_log_scale() -> None:
    fit = glimm.fit("y ~ x + (1 | g)", binary(), family="binomial")
    row = pd.DataFrame(fit.confint(part="random")).iloc[0]
    sd, se = fit.estimates.parameters[-1], math.sqrt(fit.vcov("all")[-1, -1])
    assert math.isclose(row["upper"], sd * math.exp(REACH * se / sd), rel_tol=1e-8)


def test_refits_of_a_bootstrap_are_refits() -> None:
    fit = glimm.fit("y ~ x + (1 | g)", binary(), family="binomial")
    boot = fit.bootstrap(12, seed=5)
    assert not boot.failed
    errors = np.sqrt(np.diag(fit.vcov("all")))
    for y, psi in zip(fit.simulate(12, 5), boot.refits.parameters, strict=True):
        assert np.all(np.abs(fit.refit(y).estimates.parameters - psi) < 1e-4 * errors)


def test_refits_of_ordered_classes_are_refits() -> None:
    rng = np.random.default_rng(3)
    g, x = np.repeat(np.arange(15), 4), rng.normal(size=60)
    latent = 0.5 * x + rng.normal(size=15)[g] + rng.logistic(size=60)
    data = {"y": np.searchsorted([-1.0, 1.0], latent), "x": x, "g": g}
    fit = glimm.fit("y ~ x + (1 | g)", data, family="ordinal")
    boot = fit.bootstrap(20, seed=5, threads=1)
    errors = np.sqrt(np.diag(fit.vcov("all")))
    for y, psi in zip(fit.simulate(2, 5), boot.refits.parameters, strict=False):
        assert np.all(np.abs(fit.refit(y).estimates.parameters - psi) < 1e-4 * errors)


def test_a_statistic_of_a_bootstrap_sees_each_refit() -> None:
    data = glimm.datasets.load("sleepstudy")
    fit = glimm.fit("reaction ~ days + (1 | subject)", data)
    boot = fit.bootstrap(15, seed=2, statistic=lambda made: {"b": made.coef["days"]})
    assert np.array_equal(boot.replicates[:, 0], boot.refits.parameters[:, 1])
    for kind in ("percentile", "basic", "bias-corrected"):
        row = pd.DataFrame(boot.confint(kind=kind)).iloc[0]
        assert row["lower"] < row["estimate"] < row["upper"]
    with pytest.raises(DataError, match="statistic"):
        boot.confint(kind="studentized")
    with pytest.raises(DataError, match="statistic"):
        boot.confint(kind="bca")


def test_acceleration_is_the_skewness_of_influences() -> None:
    """Of an error variance a row's influence is e^2 - sigma^2, of a coefficient x e."""
    data = glimm.datasets.load("sleepstudy")
    fit = glimm.fit("reaction ~ days", data, reml=False)
    boot = fit.bootstrap(40, seed=1)
    x = np.column_stack([np.ones(len(data)), data["days"]])
    e = data["reaction"].to_numpy() - x @ list(fit.coef.values())
    slope = (np.linalg.inv(x.T @ x) @ (x * e[:, None]).T)[1]
    for name, influence in (("days", slope), ("sigma", e**2 - np.mean(e**2))):
        j = next(k for k, known in enumerate(boot.names) if name in known)
        wanted = (influence**3).sum() / (6 * (influence**2).sum() ** 1.5)
        assert boot._acceleration(j) == pytest.approx(wanted, rel=1e-4)
    bca, plain = (pd.DataFrame(boot.confint(kind=k)) for k in ("bca", "bias-corrected"))
    assert not np.allclose(bca["upper"], plain["upper"], rtol=1e-6)


def test_batches_of_a_bootstrap_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = glimm.fit("y ~ x + (1 | g)", binary(), "binomial")
    ask = {"seed": 3, "statistic": lambda made: made.coef}
    whole = fit.bootstrap(7, **ask)
    monkeypatch.setattr("glimm.inference.bootstrap.HELD", 3 * fit.design.n)
    parts = fit.bootstrap(7, **ask)
    assert np.array_equal(whole.replicates, parts.replicates)
    assert whole.states == parts.states


def test_bootstrap_intervals_of_a_linear_model_are_near_walds() -> None:
    data = binary().assign(z=lambda d: d["x"] + np.sin(np.arange(len(d))))
    fit = glimm.fit("z ~ x", data)
    boot, wald = fit.bootstrap(400, seed=1), pd.DataFrame(fit.confint())
    for kind in ("percentile", "basic", "studentized", "bias-corrected", "bca"):
        found = pd.DataFrame(boot.confint(kind=kind)).iloc[:2]
        width = (wald["upper"] - wald["lower"]).to_numpy()
        assert np.all(np.abs(found["lower"] - wald["lower"]) < 0.12 * width)
        assert np.all(np.abs(found["upper"] - wald["upper"]) < 0.12 * width)


def test_the_score_test_of_a_glm_is_the_textbooks() -> None:
    data = binary()
    fit = glimm.fit("y ~ 1", data, family="binomial")
    found = fit.score_test("x", data)
    x, p = data["x"].to_numpy(), float(data["y"].mean())
    u, information = np.sum((data["y"] - p) * x), p * (1 - p) * np.sum((x - x.mean()) ** 2)
    assert math.isclose(found.statistic, u**2 / information, rel_tol=1e-8)
    assert math.isclose(found.p, stats.chi2.sf(found.statistic, 1), rel_tol=1e-10)


def test_score_likelihood_ratio_and_wald_tests_are_near_each_other() -> None:
    data = binary()
    null = glimm.fit("y ~ x + (1 | g)", data, family="binomial")
    full = glimm.fit("y ~ x + f + (1 | g)", data, family="binomial")
    ratio = 2 * (full.loglik - null.loglik)
    assert abs(null.score_test("f", data).statistic - ratio) < 0.02 * (1 + ratio)
    assert null.score_test("f", data).df == 2
    with pytest.raises(DataError, match="no column"):
        null.score_test("x", data)


def test_a_simulated_p_of_a_variance_is_near_the_mixtures() -> None:
    data = binary().assign(z=lambda d: np.sin(7 * np.arange(len(d))) + 0.25 * np.cos(d["g"]))
    fit = glimm.fit("z ~ x + (1 | g)", data)
    row = pd.DataFrame(fit.test_random(simulations=200, seed=1).to_frame()).iloc[0]
    assert abs(row["p"] - row["p_simulated"]) < 0.12
    assert math.isclose(row["p_naive"], 2 * row["p"], rel_tol=1e-12) or row["chisq"] == 0


def test_a_standard_deviation_next_to_zero_has_an_interval_without_an_upper_end() -> None:
    from glimm.inference.confint import _wald
    from glimm.inference.goals import random_goals

    fit = glimm.fit("reaction ~ days + (1 | subject)", glimm.datasets.load("sleepstudy"))
    estimates, goal = fit.estimates, random_goals(fit)[0]
    near = estimates.parameters.copy()
    near[goal.first[0]] = 1e-6
    object.__setattr__(estimates, "parameters", near)
    _, value, lower, upper = _wald(fit, goal, 1.96)
    assert (value, upper) == (pytest.approx(1e-6), np.inf)
    assert lower == pytest.approx(0.0, abs=1e-12)
