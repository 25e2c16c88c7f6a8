"""Fits with several predictors: dispersion, extra zeros, classes, weights, penalties."""

from __future__ import annotations

import pickle
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import glimm
from glimm.errors import DataError, FamilyError
from glimm.problem import make_problem

Array = Any


@cache
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    n, levels = 800, 40
    g = rng.integers(0, levels, n)
    x = rng.normal(size=n)
    b = rng.normal(size=levels)[g]
    mean = np.exp(0.8 + 0.4 * x + 0.4 * b)
    count = rng.negative_binomial(3, 3 / (3 + mean))
    extra = rng.random(n) < 1 / (1 + np.exp(1.0 - 0.8 * x - 0.8 * b))
    latent = 0.9 * x + 0.7 * b + rng.logistic(size=n)
    return pd.DataFrame(
        {
            "y": np.where(extra, 0, count),
            "x": x,
            "g": [f"g{k}" for k in g],
            "h": rng.integers(0, 5, n),
            "amount": 2.0 + x + 0.5 * b + np.exp(0.4 * x) * rng.normal(size=n),
            "weight": rng.uniform(0.5, 4.0, n),
            "grade": pd.Categorical(
                np.digitize(latent, [-1.0, 0.5, 2.0]).astype(str),
                ["0", "1", "2", "3"],
                ordered=True,
            ),
        }
    )


@cache
def zero_inflated() -> glimm.Fit:
    return glimm.fit(
        "y ~ x + (1 |a| g)", frame(), family="nbinom2", zi="~ x + (1 |a| g)", disp="~ x"
    )


def test_parts_are_named_and_in_the_order_of_the_parameters() -> None:
    fit = zero_inflated()
    assert [part.part for part in fit.parts] == ["mean", "dispersion", "zi"]
    assert fit.diagnostics.converged
    assert fit.dispersion is None
    labels = [label for part in fit.parts for label in part.labels]
    assert fit.parameter_names[: len(labels)] == tuple(labels)
    assert labels[2:] == ["dispersion: (Intercept)", "dispersion: x", "zi: (Intercept)", "zi: x"]
    assert len(fit.parameter_names) == fit.df_model
    together = np.concatenate([part.estimates for part in fit.parts])
    np.testing.assert_array_equal(together, fit.estimates.parameters[: len(together)])
    with pytest.raises(DataError, match=r"dispersion.*|zi"):
        fit.part("thresholds")


def test_effects_of_one_label_are_correlated_across_predictors() -> None:
    fit = zero_inflated()
    table = fit.varcorr()
    assert table["name"].tolist() == ["(Intercept)", "zi: (Intercept)"]
    assert np.isfinite(table["corr"].iloc[1])
    apart = glimm.fit("y ~ x + (1 | g)", frame(), family="nbinom2", zi="~ x + (1 | g)", disp="~ x")
    assert apart.df_model == fit.df_model - 1
    assert apart.loglik < fit.loglik
    assert len(apart.design.terms) == 2


def test_the_log_likelihood_of_a_model_without_effects_is_that_of_the_definition() -> None:
    data = frame()
    fit = glimm.fit("y ~ x", data, family="nbinom2", zi="~ x", disp="~ x")
    mean, theta, p = (fit.predict(part=part) for part in ("mean", "dispersion", "zi"))
    density = stats.nbinom.pmf(data["y"], theta, theta / (theta + mean))
    expected = np.log(np.where(data["y"] == 0, p + (1 - p) * density, (1 - p) * density)).sum()
    assert fit.loglik == pytest.approx(expected, abs=1e-9)
    np.testing.assert_allclose(fit.predict(), (1 - p) * mean, rtol=1e-13)
    np.testing.assert_allclose(
        fit.predict(data.iloc[:5], part="zi", scale="link"),
        np.log(p / (1 - p))[:5],
        rtol=1e-10,
    )


def test_draws_have_the_expected_mean_and_zeros() -> None:
    fit = glimm.fit("y ~ x", frame(), family="nbinom2", zi="~ x")
    draws = fit.simulate(400, seed=1)
    error = draws.mean(axis=1).std() / 20
    assert abs(draws.mean() - fit.predict().mean()) < 4.5 * error
    assert (draws == 0).mean() == pytest.approx((frame()["y"] == 0).mean(), abs=0.02)


def test_fits_with_parts_are_saved_and_refitted() -> None:
    fit = zero_inflated()
    again = pickle.loads(pickle.dumps(fit))
    assert again.model == fit.model
    np.testing.assert_array_equal(again.predict(part="zi"), fit.predict(part="zi"))
    new = fit.simulate(1, seed=2)[0]
    assert fit.refit(new).loglik == pytest.approx(again.refit(new).loglik, abs=1e-7)


def test_zero_inflation_that_is_not_there_is_the_family_itself() -> None:
    data = frame().assign(y=np.random.default_rng(1).poisson(4.0, len(frame())) + 1)
    fit = glimm.fit("y ~ x + (1 | g)", data, family="poisson", zi="~ 1")
    plain = glimm.fit("y ~ x + (1 | g)", data, family="poisson")
    assert fit.loglik == pytest.approx(plain.loglik, abs=1e-4)
    assert "no_extra_zeros" in [finding.code for finding in fit.diagnostics.findings]


def test_dispersion_with_a_formula_is_weighted_least_squares_at_its_own_weights() -> None:
    data = frame()
    fit = glimm.fit("amount ~ x", data, disp="~ x")
    assert not fit.model.reml
    sd = fit.predict(part="dispersion")
    x = np.column_stack([np.ones(len(data)), data["x"]]) / sd[:, None]
    beta = np.linalg.lstsq(x, data["amount"] / sd, rcond=None)[0]
    np.testing.assert_allclose(list(fit.coef.values()), beta, rtol=1e-7)
    expected = stats.norm.logpdf(data["amount"], fit.predict(), sd).sum()
    assert fit.loglik == pytest.approx(expected, abs=1e-9)
    assert fit.part("dispersion").coef["x"] == pytest.approx(0.4, abs=0.1)


@pytest.mark.parametrize("reml", [False, True])
def test_precision_weights_divide_the_variance(reml: bool) -> None:
    data = frame()
    fit = glimm.fit("amount ~ x + (1 | g)", data, precision="weight", reml=reml)
    general = glimm.fit("amount ~ x + (1 | g)", data, precision="weight", disp="~ 1", reml=False)
    assert fit.estimates.path == "lmm"
    if not reml:
        assert fit.loglik == pytest.approx(general.loglik, abs=1e-8)
        np.testing.assert_allclose(list(fit.coef.values()), list(general.coef.values()), rtol=1e-6)
    same = glimm.fit("amount ~ x + (1 | g)", data, precision=np.ones(len(data)), reml=reml)
    plain = glimm.fit("amount ~ x + (1 | g)", data, reml=reml)
    assert same.loglik == pytest.approx(plain.loglik, abs=1e-9)


def test_precision_weights_of_a_mean_of_observations() -> None:
    """Means of w gammas of shape a are gammas of shape a w with the same mean."""
    rng = np.random.default_rng(0)
    w = rng.integers(1, 6, 300)
    y = np.array([rng.gamma(2.0, 1.5, k).mean() for k in w])
    fit = glimm.fit("y ~ 1", {"y": y, "w": w}, family="gamma", precision="w")
    assert fit.dispersion is not None
    shape = w / fit.dispersion["cv"] ** 2
    expected = stats.gamma.logpdf(y, shape, scale=np.exp(fit.coef["(Intercept)"]) / shape).sum()
    assert fit.loglik == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
def test_two_ordered_classes_are_a_binomial(link: str) -> None:
    data = frame().assign(b=frame()["y"] > 0)
    ordered = glimm.fit("b ~ x + (1 | g)", data, family="ordinal", link=link)
    # P(b = 0) = F(theta - eta): a binomial of failures with the signs changed.
    binomial = glimm.fit("I(1 - b) ~ x + (1 | g)", data, family="binomial", link=link)
    assert ordered.loglik == pytest.approx(binomial.loglik, abs=1e-9)
    assert ordered.coef["x"] == pytest.approx(-binomial.coef["x"], rel=1e-6)
    assert ordered.se["x"] == pytest.approx(binomial.se["x"], rel=1e-6)
    threshold = ordered.part("thresholds").coef["False|True"]
    assert threshold == pytest.approx(binomial.coef["(Intercept)"], rel=1e-6)


def test_ordered_classes() -> None:
    data = frame()
    fit = glimm.fit("grade ~ x + (1 | g)", data, family="ordinal")
    assert fit.names == ("x",)
    thresholds = fit.part("thresholds")
    assert thresholds.names == ("0|1", "1|2", "2|3")
    assert (np.diff(thresholds.estimates) > 0).all()
    for name, truth in {"0|1": -1.0, "1|2": 0.5, "2|3": 2.0}.items():
        assert abs(thresholds.coef[name] - truth) < 4 * thresholds.se[name]
    p = fit.predict()
    assert p.shape == (len(data), 4)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-13)
    draws = fit.simulate(200, seed=3)
    shares = [(draws == c + 1).mean() for c in range(4)]
    np.testing.assert_allclose(
        shares, data["grade"].value_counts(sort=False) / len(data), atol=0.03
    )
    again = fit.refit(draws[0])
    assert again.diagnostics.converged
    assert "0 < 1 < 2 < 3" in str(fit)


def test_a_proportional_odds_model_without_effects_has_the_likelihood_of_its_definition() -> None:
    data = frame()
    fit = glimm.fit("grade ~ x", data, family="ordinal")
    p = fit.predict()[np.arange(len(data)), data["grade"].cat.codes]
    assert fit.loglik == pytest.approx(np.log(p).sum(), abs=1e-9)


def test_held_parameters_are_not_estimated() -> None:
    data = frame()
    free = glimm.fit("y ~ x + (1 | g)", data, family="nbinom2")
    assert free.dispersion is not None
    held = glimm.fit("y ~ x + (1 | g)", data, family="nbinom2", hold=free.dispersion)
    assert held.df_model == free.df_model - 1
    assert held.loglik == pytest.approx(free.loglik, abs=1e-9)
    assert held.dispersion == free.dispersion
    assert "(held)" in str(held)


def test_a_penalty_keeps_separated_effects_finite() -> None:
    data = frame().assign(z=(frame()["h"] == 0) * 1.0)
    data["b"] = np.where(data["z"] == 1, 1, (data["y"] > 0) * 1)
    fit = glimm.fit("b ~ z + (1 | g)", data, family="binomial", penalty=glimm.Penalty())
    assert fit.diagnostics.converged
    assert 1 < fit.coef["z"] < 10
    assert fit.se["z"] < 5
    weak = glimm.fit("y ~ x + (1 | g)", data, family="poisson", penalty=glimm.Penalty(scale=1e6))
    plain = glimm.fit("y ~ x + (1 | g)", data, family="poisson")
    assert weak.loglik == pytest.approx(plain.loglik, abs=1e-7)
    assert pickle.loads(pickle.dumps(fit)).model.penalty == fit.model.penalty


def test_a_penalised_estimate_solves_its_equation() -> None:
    """The score of the likelihood equals minus that of the prior."""
    data = frame()
    penalty = glimm.Penalty(scale=0.05, scaled=False)
    fit = glimm.fit("y ~ x + (1 | g)", data, family="poisson", penalty=penalty)
    free = glimm.fit("y ~ x + (1 | g)", data, family="poisson")
    found = make_problem(free.model, free.design).evaluate(fit.estimates.parameters)
    assert found is not None
    assert found[0] == pytest.approx(fit.loglik, abs=1e-8)
    slope = fit.coef["x"] / 0.05**2
    np.testing.assert_allclose(found[1], [0.0, slope, 0.0], atol=1e-4 * slope)


def test_a_variance_penalty_leaves_no_variance_at_zero() -> None:
    data = frame().assign(n=np.random.default_rng(4).normal(size=len(frame())))
    fit = glimm.fit("n ~ x + (1 | h)", data, penalty=glimm.Penalty("none", variance=True))
    assert fit.diagnostics.converged
    assert fit.varcorr()["sd"].iloc[0] > 0.005


REFUSED = [
    ({"family": "poisson", "disp": "~ x"}, "no dispersion parameter"),
    ({"family": "ordinal", "zi": "~ 1"}, "classes, not zeros"),
    ({"family": "poisson", "precision": "weight"}, "freq="),
    ({"family": "nbinom2", "hold": {"tau": 1.0}}, "theta"),
    ({"family": "nbinom2", "hold": {"theta": -1.0}}, "between"),
    ({"family": "nbinom2", "hold": {"theta": 1.0}, "disp": "~ x"}, "use one of them"),
    ({"family": "nbinom2", "zi": "x"}, "begins with ~"),
    ({"family": "nbinom2", "zi": "y ~ x"}, "begins with ~"),
    ({"family": "nbinom2", "reml": True, "penalty": glimm.Penalty()}, "flat prior"),
    ({"family": "ordinal", "reml": True}, "thresholds"),
    ({"family": "poisson", "reml": True, "engine": "iterative"}, "integrated out"),
    ({"family": "nbinom2", "penalty": 3}, "glimm.Penalty"),
    ({"family": "nbinom2", "precision": -frame()["weight"].to_numpy()}, "above 0"),
    ({"family": "nbinom2", "zi": "~ nowhere"}, "nowhere"),
]


@pytest.mark.parametrize(("options", "words"), REFUSED)
def test_what_does_not_go_together_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(glimm.GlimmError, match=words):
        glimm.fit("y ~ x + (1 | g)", frame(), **options)


def test_wrong_responses_name_rows_and_families_that_accept_them() -> None:
    data = frame().assign(bad=frame()["y"].where(frame().index != 7, -1.5))
    with pytest.raises(DataError, match=r"row 7 .*gaussian"):
        glimm.fit("bad ~ x", data, family="poisson")
    with pytest.raises(DataError, match="no order"):
        glimm.fit("g ~ x", data, family="ordinal")
    empty = data.assign(grade=data["grade"].where(data["grade"] != "1", "2"))
    with pytest.raises(DataError, match="class '1'"):
        glimm.fit("grade ~ x", empty, family="ordinal")


def test_comparison_is_a_table_with_the_best_first() -> None:
    data = frame()
    fits = {
        "poisson": glimm.fit("y ~ x + (1 | g)", data, family="poisson"),
        "zeros": glimm.fit("y ~ x + (1 | g)", data, family="nbinom2", zi="~ x + (1 | g)"),
        "nb": glimm.fit("y ~ x + (1 | g)", data, family="nbinom2"),
    }
    found = glimm.compare(**fits)
    table = found.to_frame()
    assert table["fit"].tolist()[0] == "zeros"
    assert table["weight"].sum() == pytest.approx(1.0)
    assert table["loglik"].iloc[0] == fits["zeros"].loglik
    assert "nbinom2 + zeros" in str(found)


@pytest.mark.parametrize(
    ("formula", "options", "words"),
    [
        ("y ~ x + (1 | g)", {"freq": "weight"}, "freq"),
        ("log(y + 1) ~ x + (1 | g)", {"family": "gaussian", "reml": False}, "responses are"),
    ],
)
def test_what_does_not_compare_is_refused(
    formula: str, options: dict[str, Any], words: str
) -> None:
    options = {"family": "poisson"} | options
    first = glimm.fit("y ~ x + (1 | g)", frame(), family="poisson")
    with pytest.raises(DataError, match=words):
        glimm.compare(first, glimm.fit(formula, frame(), **options))
    with pytest.raises(DataError, match="two or more"):
        glimm.compare(first)


def test_wrong_families_are_family_errors() -> None:
    with pytest.raises(FamilyError):
        glimm.fit("y ~ x", frame(), family="poisson", disp="~ x")


def test_extra_zeros_that_run_to_infinity_are_said_to_do_so() -> None:
    """All zeros stand below the others in x, where the family has few."""
    x = np.linspace(-1, 1, 200)
    y = np.where(x < -0.9, 0, np.random.default_rng(2).poisson(20, 200) + 1)
    with pytest.warns(glimm.FitWarning, match="extra zeros runs to infinity"):
        fit = glimm.fit("y ~ x", {"y": y, "x": x}, family="poisson", zi="~ x")
    assert fit.estimates.iterations < 60
    assert not fit.diagnostics.converged
