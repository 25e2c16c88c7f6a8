"""Estimating equations that must agree with something else."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest

import glimm

ROUNDING = 1e-8
"""Of estimates in standard errors: both searches end below 1e-9 of one."""


def toenail() -> pd.DataFrame:
    """Binary responses with missing visits."""
    data: pd.DataFrame = glimm.datasets.load("toenail")
    return data


def binary(**given: Any) -> glimm.GEEFit:
    """A logistic model of them."""
    given = {"data": toenail(), "groups": "patient", **given}
    return glimm.gee("infection ~ treatment * month", family="binomial", **given)


def apart(a: glimm.GEEFit, b: Any) -> float:
    """Largest difference of the coefficients, in standard errors."""
    return max(abs(a.coef[name] - b.coef[name]) / a.se[name] for name in a.names if name in b.coef)


@pytest.mark.parametrize(
    ("family", "link"),
    [("binomial", "logit"), ("binomial", "probit"), ("poisson", "log"), ("gamma", "log")],
)
def test_independence_is_the_generalized_linear_model(family: str, link: str) -> None:
    data = toenail()
    response = "infection" if family == "binomial" else "count"
    rng = np.random.default_rng(4)
    data["count"] = rng.poisson(np.exp(0.3 + 0.05 * data["month"])) + (family == "gamma") * 0.7
    formula = f"{response} ~ treatment * month"
    with_rows = glimm.fit(formula, data, family=family, link=link)
    fit = glimm.gee(formula, data, groups="patient", family=family, link=link, corr="independence")
    assert apart(fit, with_rows) < 1e-6


def test_the_sandwich_of_independence_is_the_cluster_robust_one() -> None:
    """CR0 of a logistic regression: A (sum X_i'r_i r_i'X_i) A."""
    fit = binary(corr="independence")
    x, r = fit.design.x, fit.design.y - fit.fitted
    w = fit.fitted * (1 - fit.fitted)
    a = np.linalg.inv(x.T @ (w[:, None] * x))
    codes = pd.factorize(toenail()["patient"])[0]
    sums = np.zeros((codes.max() + 1, x.shape[1]))
    np.add.at(sums, codes, r[:, None] * x)
    assert np.allclose(fit.vcov("robust"), a @ sums.T @ sums @ a, rtol=1e-8)


@pytest.mark.parametrize("corr", ["exchangeable", "independence"])
def test_clusters_of_one_row_have_the_heteroscedastic_sandwich(corr: str) -> None:
    data = toenail().head(300).assign(row=np.arange(300))
    fit = binary(data=data, groups="row", corr=corr)
    x, r = fit.design.x, fit.design.y - fit.fitted
    w = fit.fitted * (1 - fit.fitted)
    a = np.linalg.inv(x.T @ (w[:, None] * x))
    assert np.allclose(fit.vcov("robust"), a @ (x.T @ (r[:, None] ** 2 * x)) @ a, rtol=1e-8)


def test_gaussian_exchangeable_is_generalized_least_squares() -> None:
    data = glimm.datasets.load("sleepstudy").drop(index=[3, 17, 40, 41, 90])
    fit = glimm.gee("reaction ~ days", data, groups="subject")
    alpha, x, y = fit.alpha["alpha"], fit.design.x, fit.design.y
    same = np.equal.outer(data["subject"].to_numpy(), data["subject"].to_numpy())
    v = fit.scale * (alpha * same + (1 - alpha) * np.eye(len(y)))
    a = np.linalg.inv(x.T @ np.linalg.solve(v, x))
    assert np.allclose(fit.estimates.beta, a @ x.T @ np.linalg.solve(v, y), rtol=1e-9)
    assert np.allclose(fit.vcov("model"), a, rtol=1e-9)


def test_balanced_exchangeable_is_ordinary_least_squares() -> None:
    data = glimm.datasets.load("sleepstudy")
    fit = glimm.gee("reaction ~ days", data, groups="subject")
    slope, intercept = np.polyfit(data["days"], data["reaction"], 1)
    assert fit.coef["days"] == pytest.approx(slope, rel=1e-9)
    assert fit.coef["(Intercept)"] == pytest.approx(intercept, rel=1e-9)


@pytest.mark.parametrize("corr", ["exchangeable", "ar1", "toeplitz"])
def test_the_order_of_rows_and_clusters_means_nothing(corr: str) -> None:
    data = toenail()
    given: dict[str, Any] = {"corr": corr, "time": "visit" if corr == "toeplitz" else "month"}
    one = binary(data=data, **given)
    shuffled = data.sample(frac=1, random_state=1).assign(patient=lambda f: -f["patient"])
    other = binary(data=shuffled, **given)
    assert apart(one, other) < ROUNDING
    assert np.allclose(one.vcov(), other.vcov(), rtol=1e-7)
    assert np.allclose(list(one.alpha.values()), list(other.alpha.values()), rtol=1e-7)


@pytest.mark.parametrize("corr", ["independence", "exchangeable", "ar1"])
def test_a_cluster_of_weight_two_is_there_twice(corr: str) -> None:
    data = toenail().assign(twice=lambda f: 1 + f["patient"] % 2)
    again = data[data["twice"] == 2].assign(patient=lambda f: f["patient"] + 10_000)
    by_weight = binary(data=data, freq="twice", corr=corr, time="month")
    by_rows = binary(data=pd.concat([data, again]), corr=corr, time="month")
    assert apart(by_weight, by_rows) < ROUNDING
    assert by_weight.clusters == by_rows.clusters
    for kind in ("robust", "model", "kauermann-carroll", "fay-graubard", "morel"):
        assert np.allclose(by_weight.vcov(kind), by_rows.vcov(kind), rtol=1e-7), kind
    for df in ("pan-wall", "satterthwaite", "fay-graubard"):
        assert np.allclose(by_weight.freedom(df=df), by_rows.freedom(df=df), rtol=1e-7), df
    assert np.allclose(by_weight.working()["se"], by_rows.working()["se"], rtol=1e-5)


def test_sampling_weights_do_not_depend_on_their_unit() -> None:
    data = toenail().assign(w=lambda f: 1.0 + f["patient"] % 3, w100=lambda f: 100 * f["w"])
    a, b = binary(data=data, weights="w"), binary(data=data, weights="w100")
    assert apart(a, b) < ROUNDING
    assert np.allclose(a.vcov(), b.vcov(), rtol=1e-9)


def test_units_of_covariates_mean_nothing() -> None:
    data = toenail().assign(year=lambda f: 2000 + f["month"] / 12)
    fit = glimm.gee("infection ~ year", data, groups="patient", family="binomial")
    plain = glimm.gee("infection ~ month", toenail(), groups="patient", family="binomial")
    assert fit.coef["year"] == pytest.approx(12 * plain.coef["month"], rel=1e-7)
    assert fit.se["year"] == pytest.approx(12 * plain.se["month"], rel=1e-7)


def test_units_of_time_mean_nothing() -> None:
    data = toenail().assign(days=lambda f: 30 * f["month"])
    fit, other = (binary(data=data, corr="ar1", time=time) for time in ("month", "days"))
    assert apart(fit, other) < ROUNDING
    assert other.alpha["alpha"] ** 30 == pytest.approx(fit.alpha["alpha"], rel=1e-7)


def test_threads_change_no_bit() -> None:
    data = pd.concat(
        [toenail().assign(patient=lambda f, k=k: f["patient"] + 1000 * k) for k in range(8)]
    )
    one, two = (binary(data=data, corr="ar1", time="month", threads=k) for k in (1, 2))
    assert np.array_equal(one.estimates.beta, two.estimates.beta)
    for kind in ("robust", "kauermann-carroll"):
        assert np.array_equal(one.vcov(kind), two.vcov(kind))


def ordered() -> pd.DataFrame:
    """Three ordered classes in clusters."""
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"g": np.repeat(np.arange(80), 5), "t": np.tile(np.arange(5), 80)})
    frame["x"] = rng.normal(size=400)
    latent = frame["x"] + np.repeat(rng.normal(size=80), 5) + rng.logistic(size=400)
    words = ["low", "mid", "high"]
    frame["y"] = pd.Categorical.from_codes(np.digitize(latent, [-0.5, 1.0]), words, ordered=True)
    return frame


def test_ordered_classes_under_independence_are_the_proportional_odds_model() -> None:
    frame = ordered()
    likelihood = glimm.fit("y ~ x", frame, family="ordinal")
    fit = glimm.gee("y ~ x", frame, groups="g", family="ordinal", corr="independence")
    assert apart(fit, likelihood) < 1e-6
    thresholds = likelihood.part("thresholds").estimates
    assert np.allclose(fit.estimates.beta[:2], thresholds, atol=1e-7)
    assert np.allclose(fit.fitted, likelihood.fitted, atol=1e-7)


def test_two_ordered_classes_are_a_binary_response() -> None:
    frame = ordered().assign(b=lambda f: (f["y"] == "high").astype(int))
    frame["c"] = pd.Categorical(np.where(frame["b"] == 1, "yes", "no"), ["no", "yes"], ordered=True)
    for corr in ("exchangeable", "ar1"):
        given: dict[str, Any] = {"groups": "g", "corr": corr, "time": "t"}
        two = glimm.gee("c ~ x", frame, family="ordinal", **given)
        one = glimm.gee("b ~ x", frame, family="binomial", scale=1.0, **given)
        assert two.coef["x"] == pytest.approx(one.coef["x"], rel=1e-8)
        assert two.se["x"] == pytest.approx(one.se["x"], rel=1e-8)
        assert two.alpha["alpha"] == pytest.approx(one.alpha["alpha"], rel=1e-8)
    more = glimm.gee("y ~ x", frame, family="ordinal", groups="g")
    assert 0 < more.alpha["alpha"] < 1
    assert (
        more.se["x"]
        < glimm.gee("y ~ x", frame, family="ordinal", groups="g", corr="independence").se["x"]
    )


def test_score_and_wald_tests_agree_where_they_must() -> None:
    """A gaussian mean of one row a cluster: the score's variance is that under the hypothesis."""
    fit = binary()
    wald, score = (fit.test("month", method=m).tests[0] for m in ("wald", "score"))
    assert score.statistic == pytest.approx(wald.statistic, rel=0.3)
    again = fit.test([[0, 0, 1, 0]]).tests[0]
    assert again.statistic == pytest.approx(wald.statistic, rel=1e-12)
    both = fit.test(["month", "treatment[T.terbinafine]:month"], method="score").tests[0]
    assert len(both.rows) == 2
    assert both.p < 1e-6


def test_a_fit_survives_pickling() -> None:
    fit = binary()
    again = pickle.loads(pickle.dumps(fit))
    assert again.coef == fit.coef
    assert np.array_equal(again.vcov("mancl-derouen"), fit.vcov("mancl-derouen"))


def test_dropout_weights_take_the_bias_away() -> None:
    """Whoever has a high response tends to leave; by the design the mean is 0 at both times."""
    rng = np.random.default_rng(8)
    n = 4000
    first = rng.normal(size=n)
    second = 0.7 * first + np.sqrt(0.51) * rng.normal(size=n)
    stays = rng.uniform(size=n) < 1 / (1 + np.exp(first))
    frame = pd.DataFrame(
        {
            "id": np.concatenate([np.arange(n), np.arange(n)[stays]]),
            "t": np.concatenate([np.zeros(n), np.ones(stays.sum())]),
            "y": np.concatenate([first, second[stays]]),
        }
    )
    frame["w"] = glimm.dropout_weights("~ y", frame, groups="id", time="t")
    given: dict[str, Any] = {"groups": "id", "corr": "independence"}
    plain = glimm.gee("y ~ t", frame, **given)
    weighted = glimm.gee("y ~ t", frame, weights="w", **given)
    assert plain.coef["t"] < -8 * plain.se["t"]
    assert abs(weighted.coef["t"]) < 3 * weighted.se["t"]


def test_a_mixed_model_beside_the_equations() -> None:
    data = glimm.datasets.load("cbpp")
    formula = "incidence / size ~ C(period)"
    gee = glimm.gee(formula, data, groups="herd", family="binomial")
    mixed = glimm.fit(f"{formula} + (1 | herd)", data, family="binomial")
    frame = glimm.gee_beside(mixed, gee).to_frame()
    assert list(frame["name"])[:2] == ["(Intercept)", "C(period)[T.2]"]
    assert (np.abs(frame["difference"]) < 3).all()
    with pytest.raises(glimm.DataError, match="different fixed effects"):
        glimm.gee_beside(
            mixed, glimm.gee("incidence / size ~ 1", data, groups="herd", family="binomial")
        )
    with pytest.raises(glimm.DataError, match="different rows"):
        glimm.gee_beside(mixed, glimm.gee(formula, data[:40], groups="herd", family="binomial"))


def test_the_program_prints_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    from glimm import cli

    asked = ["gee", "infection ~ treatment * month", "dataset:toenail", "--groups", "patient"]
    assert cli.main([*asked, "--family", "binomial", "--scale", "1"]) == 0
    assert capsys.readouterr().out.strip() == str(binary(scale=1.0))
    assert cli.main([*asked, "--corr", "ar1"]) == 2
    assert "time=" in capsys.readouterr().err


def test_many_clusters_start_from_a_sample_of_them_and_end_where_all_say() -> None:
    """Another order of the clusters is another sample; threads change no bit."""
    rng = np.random.default_rng(9)
    g = np.repeat(np.arange(20_000), 7)
    x, b = rng.normal(size=g.size), 0.6 * rng.normal(size=20_000)
    frame = pd.DataFrame({"g": g, "x": x, "y": rng.poisson(np.exp(0.2 + 0.3 * x + b[g]))})
    fit = glimm.gee("y ~ x", frame, groups="g", family="poisson")
    other = frame.assign(g=rng.permutation(20_000)[g])
    again = glimm.gee("y ~ x", other, groups="g", family="poisson")
    assert again.estimates.beta == pytest.approx(fit.estimates.beta, rel=1e-11)
    assert again.vcov() == pytest.approx(fit.vcov(), rel=1e-9)
    assert again.alpha["alpha"] == pytest.approx(fit.alpha["alpha"], rel=1e-9)
    assert fit.estimates.iterations <= 6
    assert np.abs(fit.scores().sum(0) * np.sqrt(np.diag(fit.vcov("model")))).max() < 1e-6
    single = glimm.gee("y ~ x", frame, groups="g", family="poisson", threads=1)
    assert np.array_equal(single.estimates.beta, fit.estimates.beta)
    assert np.array_equal(single.vcov(), fit.vcov())
