"""Checks find what is wrong, say so in words, and have p-values that are uniform where they can."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

import glimm
from glimm import checks
from glimm.checks import dependence, distribution, patterns, random
from glimm.checks.base import p_two_sided, p_upper
from glimm.checks.columns import groups_of
from glimm.checks.forms import form_p
from glimm.checks.law import Simulated
from glimm.checks.posterior import drawn_parameters
from glimm.checks.residuals import Residuals
from glimm.checks.study import Study, Test

Array = NDArray[np.float64]

# Kolmogorov-Smirnov of p-values of 400 data sets; seeds are fixed.
RARE = 1e-3


def uniform(n: int, seed: int) -> Residuals:
    """Residuals that are uniform by construction."""
    u = np.random.default_rng([seed, 31]).random(n)
    law = Simulated(np.zeros((1, n)), np.linspace(0, 1, n))
    z = stats.norm.ppf(u)
    return Residuals(u, z, u, np.arange(n), "quantile", "none", "estimates", seed, law)


def every_test(r: Residuals) -> dict[str, Test]:
    """Tests whose null needs no model."""
    place = np.random.default_rng(1).random((r.n, 2))
    code = np.arange(r.n) // 5
    near = 1.0 / (1 + np.abs(np.subtract.outer(np.arange(r.n // 5), np.arange(r.n // 5))))
    return {
        "uniformity": distribution.uniformity_test(),
        "kolmogorov": distribution.uniformity_test("kolmogorov"),
        "outliers": distribution.outliers_test(0.2),
        "trend": patterns.trend_test("fitted"),
        "spread": patterns.heteroscedasticity_test("fitted"),
        "groups": patterns.groups_test(np.arange(r.n) % 4),
        "time": dependence.temporal_test(np.arange(r.n)),
        "space": dependence.spatial_test(r, place[:, 0], place[:, 1]),
        "related": dependence.related_test(r, near, code),
        "clusters": dependence.clusters_test(code),
    }


@cache
def exact_p() -> dict[str, Array]:
    """p-values of 400 sets of 200 uniform residuals."""
    found: dict[str, list[float]] = {}
    for seed in range(400):
        r = uniform(200, seed)
        for name, test in every_test(r).items():
            if name in ("space", "related") and seed >= 60:
                continue
            assert test.p is not None
            found.setdefault(name, []).append(test.p(r, test.statistic(r)))
    return {name: np.array(p) for name, p in found.items()}


@pytest.mark.parametrize("name", list(every_test(uniform(200, 0))))
def test_p_values_are_uniform(name: str) -> None:
    p = exact_p()[name]
    assert stats.kstest(p, "uniform").pvalue > RARE
    if p.size == 400:
        assert 0.025 <= np.mean(p < 0.05) <= 0.08


def test_p_values_from_draws() -> None:
    """A statistic and its draws of one distribution: p is uniform, tails included."""
    rng = np.random.default_rng(0)
    two = np.array([p_two_sided(x[0], x[1:]) for x in rng.normal(size=(4000, 100))])
    upper = np.array([p_upper(x[0], x[1:]) for x in rng.exponential(size=(4000, 100))])
    for p in (two, upper):
        for level in (0.01, 0.05, 0.2):
            assert abs(np.mean(p < level) - level) < 4 * np.sqrt(level / 4000)
    assert np.isnan(p_two_sided(1.0, np.array([np.nan, 1.0])))


def test_tails_of_quadratic_forms() -> None:
    for df, share in ((1, 0.1), (2, 0.05), (5, 0.02), (50, 0.002)):
        for tail in (0.001, 0.025, 0.3):
            for value in (stats.chi2.isf(tail, df), stats.chi2.ppf(tail, df)):
                if df > 1 or tail == 0.3 or value > 1:  # its density has no bound at zero
                    p = form_p(value, [1.0], [float(df)])
                    assert p == pytest.approx(2 * tail, rel=share)
                    assert form_p(-3 * value, [-3.0], [float(df)]) == pytest.approx(p, rel=1e-9)
    rng = np.random.default_rng(4)
    weights = rng.normal(size=30)
    draws = rng.chisquare(1, (200_000, 30)) @ weights
    for share in (0.01, 0.3, 0.9):
        value = float(np.quantile(draws, share))
        assert form_p(value, weights) == pytest.approx(2 * min(share, 1 - share), rel=0.05)
    assert form_p(float(weights.sum()), weights) > 0.9
    assert form_p(1e9, weights) == 0.0
    assert np.isnan(form_p(1.0, [0.0]))


def test_parameters_are_drawn_from_a_skewed_likelihood() -> None:
    y = np.random.default_rng(6).normal(size=8)
    fit = glimm.fit("y ~ 1", {"y": y}, reml=False)
    draws = [drawn_parameters(fit, seed) for seed in range(300)]
    # The likelihood of the standard deviation is that of an inverse chi-square.
    squares = np.sum((y - y.mean()) ** 2) / np.exp([2 * psi[-1] for psi in draws])
    assert stats.kstest(squares, stats.chi2(7).cdf).pvalue > RARE
    centered = (np.array(draws)[:, 0] - y.mean()) * np.sqrt(8) / np.exp(np.array(draws)[:, -1])
    assert stats.kstest(centered, stats.norm.cdf).pvalue > RARE


def test_groups_of_a_term_are_those_of_its_column() -> None:
    data = glimm.datasets.load("epilepsy")
    fit = glimm.fit("seizures ~ treatment + (1 | patient)", data, family="poisson")
    some = glimm.residuals(fit).where(np.arange(236) % 7 == 0)
    codes, labels = groups_of(some, "patient")
    known = np.asarray(data["patient"])[::7]
    assert np.array_equal(np.array(labels)[codes], known)
    assert sorted(labels) == sorted(set(known.tolist()))


def test_a_statistic_uses_a_study_without_refits() -> None:
    data = glimm.datasets.load("epilepsy")
    fit = glimm.fit("seizures ~ treatment + (1 | patient)", data, family="poisson")
    own = checks.statistic(fit, np.max, n=50, seed=4)
    made = checks.study(fit, null="exact", seed=4)
    assert checks.statistic(made, np.max, n=50, seed=4) == own


def test_progress_counts_simulated_data_sets(capsys: pytest.CaptureFixture[str]) -> None:
    fit = glimm.fit("y ~ x", {"x": np.arange(30.0), "y": np.random.default_rng(1).normal(size=30)})
    made = checks.study(fit, n=60, progress=True)
    assert [len(r.values) for r in made.replicates()] == [30] * 60
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("glimm.progress._PATIENCE", 0.0)
        made.run([distribution.dispersion_test()])
    assert "of 60 simulated data sets" in capsys.readouterr().err


def test_against_scipy() -> None:
    u = np.random.default_rng(3).random(50)
    assert distribution.kolmogorov(u) == pytest.approx(stats.kstest(u, "uniform").statistic)
    z = np.sort(u)
    i = np.arange(1, 51)
    direct = -50 - np.mean((2 * i - 1) * (np.log(z) + np.log(1 - z[::-1])))
    assert distribution.anderson_darling(u) == pytest.approx(direct)
    # Upper points of the limit, as Marsaglia and Marsaglia 2004 give them.
    for point, p in ((1.933, 0.10), (2.492, 0.05), (3.878125, 0.01)):
        assert distribution.anderson_darling_p(point) == pytest.approx(p, abs=2e-4)


def counts(**more: Any) -> dict[str, Any]:
    rng = np.random.default_rng(7)
    g = np.repeat(np.arange(40), 8)
    x = rng.normal(size=320)
    eta = 1 + 0.4 * x + 0.5 * rng.normal(size=40)[g]
    eta = eta + more.get("noise", 0.0) * rng.normal(size=320)
    eta = eta + more.get("curve", 0.0) * x**2
    y = rng.poisson(np.exp(eta)) * (rng.random(320) >= more.get("zeros", 0.0))
    return {"g": g, "x": x, "y": y.astype(float), "t": np.tile(np.arange(8), 40)}


def study(**more: Any) -> Study:
    fit = glimm.fit("y ~ x + (1 | g)", counts(**more), family="poisson")
    return checks.study(fit, n=59, seed=2)


def test_a_right_model_passes() -> None:
    made = study()
    found = [
        checks.uniformity(made), checks.dispersion(made), checks.outliers(made),
        checks.zeros(made), checks.trend(made), checks.trend(made, "x"),
        checks.heteroscedasticity(made), checks.groups(made, np.arange(320) % 3),
        checks.temporal(made, np.tile(np.arange(8), 40), "g"), checks.clusters(made, "g"),
        checks.normality(made), checks.statistic(made.source, np.max, n=99),
    ]  # fmt: skip
    assert min(check.p for check in found) > 0.005
    assert 0.8 < found[1].effect < 1.25
    assert all(check.words and check.null for check in found)


def test_overdispersion() -> None:
    check = checks.dispersion(study(noise=0.6))
    assert check.p < 0.01
    assert check.effect > 1.3
    assert "above the model's" in check.words or "times the model's" in check.words


def test_extra_zeros() -> None:
    check = checks.zeros(study(zeros=0.25))
    assert check.p < 0.01
    assert check.effect > 1.3


def test_a_curve_is_found_in_its_predictor() -> None:
    made = study(curve=0.35)
    assert checks.trend(made, "x").p < 0.01


def test_dependence_that_is_left() -> None:
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(30), 10)
    slope = rng.normal(size=30)[g]
    x = rng.normal(size=300)
    noise = rng.normal(size=300)
    for i in range(300):
        if i % 10:
            noise[i] = 0.6 * noise[i - 1] + 0.8 * noise[i]
    data = {"g": g, "x": x, "t": np.tile(np.arange(10), 30), "y": slope + noise}
    fit = glimm.fit("y ~ x + (1 | g)", data)
    made = checks.study(fit, n=59)
    found = checks.temporal(made, data["t"], "g")
    assert found.p < 1e-3
    assert found.effect > 0.2
    plain = glimm.fit("y ~ x", data)
    within = checks.clusters(checks.study(plain, n=59), g)
    assert within.p < 1e-3
    assert within.effect > 0.2


def test_exact_null_needs_no_refits() -> None:
    fit = glimm.fit("y ~ x + (1 | g)", counts(noise=0.6), family="poisson")
    made = checks.study(fit, null="exact", n=59)
    assert checks.dispersion(made).p < 0.02
    assert "parameters drawn" in checks.uniformity(made).null


def test_same_seed_same_answer() -> None:
    one, two = study(), study()
    assert checks.uniformity(one) == checks.uniformity(two)
    assert str(checks.uniformity(one)).startswith("uniformity:")
    assert len(checks.uniformity(one).to_frame()) > 0


def test_many_checks_in_one_pass() -> None:
    made = study()
    tests = [distribution.uniformity_test(), random.normality_test()]
    together = made.run(tests)
    assert [c.p for c in together] == [checks.uniformity(made).p, checks.normality(made).p]


def test_estimating_equations_have_no_p() -> None:
    data = glimm.datasets.load("epilepsy")
    fit = glimm.gee("seizures ~ treatment", data, groups="patient", family="poisson")
    check = checks.dispersion(fit)
    assert np.isnan(check.p)
    assert check.effect > 2
    assert "dependent" in check.null


def test_refusals() -> None:
    data = glimm.datasets.load("sleepstudy")
    fit = glimm.fit("reaction ~ days + (1 | subject)", data)
    with pytest.raises(glimm.DataError, match="never zero"):
        checks.zeros(fit, n=19)
    with pytest.raises(glimm.DataError, match="random effects"):
        checks.normality(glimm.fit("reaction ~ days", data), n=19)
    with pytest.raises(glimm.DataError, match="at least 19"):
        checks.uniformity(fit, n=5)
    with pytest.raises(glimm.DataError, match="matrix of shape"):
        checks.related(glimm.residuals(fit), np.eye(3), "subject")
    with pytest.raises(glimm.DataError, match="does not hold numbers"):
        checks.trend(glimm.residuals(fit), np.array(["a"] * 180))
    weighted = glimm.fit("reaction ~ days", data, freq=np.ones(180))
    with pytest.raises(glimm.DataError, match="null='refit'"):
        checks.study(weighted, null="refit")
