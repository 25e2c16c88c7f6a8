"""Means, comparisons and slopes: identities, brute force, differences in the parameters."""

from __future__ import annotations

import functools
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

import glimm
from glimm.errors import DataError
from glimm.inference.delta import delta
from glimm.model import specify
from glimm.power.truth import fit_at

Array = NDArray[np.float64]
# Differences in the parameters are extrapolated to the fourth order: see glimm.inference.delta.
DIFFERENCES = 1e-5


@functools.cache
def study(name: str) -> glimm.Fit:
    rng = np.random.default_rng(5)
    n = 240
    data = pd.DataFrame({
        "g": rng.integers(0, 30, n), "h": rng.integers(0, 12, n), "x": rng.normal(1.0, 1.0, n),
        "a": rng.choice(["one", "two", "three"], n, p=[0.5, 0.3, 0.2]),
        "b": rng.choice(["off", "on"], n), "time": rng.uniform(1.0, 4.0, n),
    })  # fmt: skip
    b = rng.normal(0, 0.8, 30)[data.g] + rng.normal(0, 0.3, 30)[data.g] * data.x
    eta = -0.3 + 0.4 * data.x + 0.5 * (data.a == "two") - 0.7 * (data.b == "on") + b
    data["y"] = rng.binomial(1, 1 / (1 + np.exp(-eta)))
    data["count"] = rng.poisson(np.exp(eta) * data.time) * rng.binomial(1, 0.8, n)
    data["size"] = 2 + eta + rng.normal(0, 1, n)
    options: dict[str, Any] = {
        "binary": ("y ~ x * b + a + (1 + x | g)", {"family": "binomial"}),
        "crossed": ("y ~ x + a + (1 | g) + (1 | h)", {"family": "binomial",
                                                     "integration": "laplace"}),
        "zeros": ("count ~ x + a + offset(log(time)) + (1 | g)", {"family": "poisson",
                                                                 "zi": "~ b"}),
        "counts": ("count ~ x + b + (1 | g)", {"family": "nbinom2", "offset": np.log(data.time)}),
        "gaussian": ("size ~ bs(x, df=4) + b + a + (1 | g)", {}),
    }  # fmt: skip
    formula, given = options[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.FitWarning)
        return glimm.fit(formula, data, **given)


EVERY = pytest.mark.parametrize("name", ["binary", "crossed", "zeros", "counts", "gaussian"])


def moved(fit: glimm.Fit, parameters: Array) -> glimm.Fit:
    return glimm.Fit(fit.model, fit.design, replace(fit.estimates, parameters=parameters))


@EVERY
@pytest.mark.parametrize(
    ("effect", "grid"), [("subject", "balanced"), ("population", "balanced"), ("subject", "data")]
)
def test_standard_errors_are_those_of_differences(name: str, effect: str, grid: str) -> None:
    fit = study(name)

    def values(parameters: Array) -> Array:
        at = moved(fit, parameters)
        over = "b" if name in ("binary", "counts", "gaussian") else "a"
        means = glimm.means(at, over, grid=grid, effect=effect, df="normal")
        slopes = glimm.slopes(at, "x", grid=grid, effect=effect, df="normal")
        return np.concatenate([means.estimate, slopes.estimate])

    over = "b" if name in ("binary", "counts", "gaussian") else "a"
    found = glimm.means(fit, over, grid=grid, effect=effect, df="normal")
    slope = glimm.slopes(fit, "x", grid=grid, effect=effect, df="normal")
    _, covariance = delta(values, fit.estimates.parameters, fit.vcov("all"))
    se = np.concatenate([found.se, slope.se])
    assert_allclose(se, np.sqrt(np.diag(covariance)), rtol=DIFFERENCES)


@EVERY
def test_subject_means_over_the_data_are_predictions_of_a_new_level(name: str) -> None:
    fit = study(name)
    rows = np.arange(fit.design.n)
    columns = fit.design.used_columns
    new = {k: np.array([c.level_at(i) for i in rows]) for k, c in columns.items() if k[-1] != "="}
    new["g"] = np.full(rows.size, -1)
    if "h" in new:
        new["h"] = new["g"]
    offset = None if fit.design.request.offset is None else columns["offset="].values
    expected = fit.predict(new, new_levels="zero", offset=offset).mean()
    found = glimm.means(fit, grid="data")
    assert_allclose(found.estimate, expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["binary", "crossed", "zeros"])
def test_population_means_are_averages_of_draws(name: str) -> None:
    """Expected responses at many draws of the effects, within five standard errors."""
    fit = study(name)
    over = "b" if name == "binary" else "a"
    found = glimm.means(fit, over, at={"x": 1.7}, grid="typical", effect="population")
    rng = np.random.default_rng(1)
    total = np.zeros(400_000)
    for term, factor in zip(fit.design.terms, fit.factors, strict=True):
        row = [1.7 if column == "x" else 1.0 for column in term.columns]
        total += (rng.normal(size=(total.size, len(row))) @ factor.T) @ np.array(row)
    eta = glimm.means(fit, over, at={"x": 1.7}, grid="typical", scale="link").estimate
    for value, expected in zip(eta, found.estimate, strict=True):
        if name == "zeros":
            zero = fit.part("zi").estimates[0] + fit.part("zi").estimates[1] * (
                _most_frequent(fit, "b") == "on"
            )
            draws = np.exp(value + total) / (1 + np.exp(zero))
        else:
            draws = 1 / (1 + np.exp(-(value + total)))
        assert abs(draws.mean() - expected) < 5 * draws.std() / np.sqrt(draws.size)


def _most_frequent(fit: glimm.Fit, name: str) -> Any:
    column = fit.design.used_columns[name]
    assert column.levels is not None
    return column.levels[int(np.argmax(np.bincount(column.values)))]


def test_the_case_of_emmeans_540() -> None:
    """Total sd 3.088: plug-in 0.119 and 0.731, one Taylor term 0.500 and 0.298; numerics.md 4.4."""
    data = {"y": [0, 1] * 4, "x": [0, 1] * 4, "g": [1, 1, 2, 2, 3, 3, 4, 4]}
    model, design = specify("y ~ x + (1 | g)", data, "binomial")
    fit = fit_at(model, design, {"(Intercept)": -2.0, "x": 3.0}, {"g": 3.088}, {})
    at = {"x": [0, 1]}
    assert_allclose(glimm.means(fit, at=at).estimate, [0.119, 0.731], atol=5e-4)
    found = glimm.means(fit, at=at, effect="population")
    assert_allclose(found.estimate, [0.287, 0.611], atol=5e-4)


def test_a_log_link_multiplies_the_baseline_and_keeps_ratios() -> None:
    data = glimm.datasets.load("epilepsy")
    fit = glimm.fit("seizures ~ treatment * period + (1 | patient)", data, family="poisson")
    one, other = (glimm.means(fit, "treatment", effect=e) for e in ("subject", "population"))
    variance = float(fit.covariances[0][0, 0])
    assert_allclose(other.estimate / one.estimate, np.exp(variance / 2), rtol=1e-9)
    ratios = [glimm.comparisons(fit, "treatment", type="ratio", effect=e)
              for e in ("subject", "population")]  # fmt: skip
    assert_allclose(ratios[0].estimate, ratios[1].estimate, rtol=1e-9)
    assert_allclose(ratios[0].se, ratios[1].se, rtol=1e-9)


def test_slopes_of_a_spline_are_those_of_its_curve() -> None:
    fit = study("gaussian")
    points = [-0.5, 0.4, 1.9]
    found = glimm.slopes(fit, "x", at={"x": points}, df="normal")
    h = 1e-3
    curve = glimm.means(fit, "x", at={"x": [p + s * h for p in points for s in (-1, 1)]})
    expected = np.diff(curve.estimate.reshape(-1, 2))[:, 0] / (2 * h)
    assert_allclose(found.estimate, expected, rtol=1e-5)
    ends = fit.design.used_columns["x"].values
    edge = glimm.slopes(fit, "x", at={"x": [float(ends.min()), float(ends.max())]})
    assert np.isfinite(edge.estimate).all()


def test_a_step_and_a_slope_of_a_line_agree() -> None:
    fit = study("counts")
    slope = glimm.slopes(fit, "x", scale="link", grid="data")
    step = glimm.comparisons(fit, "x", contrast=2.0, scale="link", grid="data")
    assert_allclose(step.estimate, 2 * slope.estimate, rtol=1e-9)
    assert_allclose(step.se, 2 * fit.se["x"], rtol=1e-9)
    assert_allclose(slope.estimate, fit.coef["x"], rtol=1e-9)


def test_weights_count_rows() -> None:
    data = pd.DataFrame({"y": [1.0, 2.0, 4.0, 3.0, 2.5, 1.5], "x": [0, 1, 2, 3, 4, 6],
                         "g": [1, 1, 2, 2, 3, 3], "w": [1, 2, 1, 3, 1, 1]})  # fmt: skip
    twice = data.loc[data.index.repeat(data.w)].reset_index(drop=True)
    found = [
        glimm.slopes(fit, "x", grid="data")
        for fit in (
            glimm.fit("y ~ x + I(x**2) + (1 | g)", data, freq="w", reml=False),
            glimm.fit("y ~ x + I(x**2) + (1 | g)", twice, reml=False),
        )
    ]
    assert_allclose(found[0].estimate, found[1].estimate, rtol=1e-5)


def test_by_means_rows_with_data_and_settings_without() -> None:
    fit = study("binary")
    found = glimm.means(fit, by="b", grid="data")
    assert found.labels == {"b": ["off", "on"]}
    every = glimm.means(fit, grid="data").estimate[0]
    column = fit.design.used_columns["b"].values
    share = column.mean()
    assert_allclose(every, (1 - share) * found.estimate[0] + share * found.estimate[1], rtol=1e-12)
    set_ = glimm.means(fit, "b", grid="data")
    assert not np.allclose(set_.estimate, found.estimate, rtol=1e-6)


def test_comparisons_within_by_are_adjusted_by_themselves() -> None:
    fit = study("binary")
    found = glimm.comparisons(fit, "a", by="b", adjust="bonferroni")
    plain = glimm.comparisons(fit, "a", by="b")
    assert found.labels["b"] == ["off"] * 3 + ["on"] * 3
    assert_allclose(found.p, np.minimum(3 * plain.p, 1))
    assert (found.upper - found.lower > plain.upper - plain.lower).all()


def test_comparisons_with_one_control_have_the_joint_distribution() -> None:
    """Dunnett's adjusted p values lie between those of a single test and Bonferroni's."""
    fit = study("binary")
    single, joint, each = (
        glimm.comparisons(fit, "a", contrast="reference", adjust=a)
        for a in ("none", "max-t", "bonferroni")
    )
    assert (single.p < joint.p).all()
    assert (joint.p < each.p).all()
    assert "simultaneous" in dict(joint.facts)["Intervals"]
    with pytest.raises(DataError, match="'max-t'"):
        glimm.comparisons(fit, "a", contrast="reference", adjust="tukey")


def test_offsets_are_stated_and_can_be_set() -> None:
    fit = study("counts")
    own = glimm.means(fit)
    assert "Offset" in dict(own.facts)
    none = glimm.means(fit, offset=0.0)
    mean = float(np.asarray(fit.design.offset).mean())
    assert_allclose(np.log(own.estimate / none.estimate), mean, rtol=1e-9)
    assert dict(none.facts)["Offset"] == "0"


def test_intervals_of_probabilities_stay_between_zero_and_one() -> None:
    for effect in ("subject", "population"):
        found = glimm.means(study("binary"), at={"x": [-30, 30]}, effect=effect)
        assert (found.lower >= 0).all()
        assert (found.upper <= 1).all()


@pytest.mark.parametrize("kind", ["pandas", "polars", "dict"])
def test_frames_and_printouts(kind: str) -> None:
    data = glimm.datasets.load("cbpp")
    plain = {name: data[name].to_list() for name in data.columns}
    if kind == "polars":
        given: Any = pytest.importorskip("polars").DataFrame(plain)
    else:
        given = data if kind == "pandas" else plain
    fit = glimm.fit("incidence / size ~ C(period) + (1 | herd)", given, family="binomial")
    found = glimm.comparisons(fit, "period", adjust="holm")
    assert type(found.to_frame()) is type(given)
    assert list(found.columns())[-1] == "p"
    text = str(found)
    assert "typical level of herd" in text
    assert "holm" in text
    assert "<table>" in found._repr_html_()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda f: glimm.means(f, "q"), "'q' is not a covariate"),
        (lambda f: glimm.means(f, "a", grid="all"), "grid='all'"),
        (lambda f: glimm.means(f, effect="typical"), "effect='typical'"),
        (lambda f: glimm.means(f, effect="population", average="link"), "average='link'"),
        (lambda f: glimm.comparisons(f, "a", contrast=1.0), "is a factor"),
        (lambda f: glimm.comparisons(f, "x", scale="link", type="ratio"), "scale of the link"),
        (lambda f: glimm.comparisons(f, "a", adjust="tuky"), "'tukey'"),
        (lambda f: glimm.slopes(f, "a"), "has no slope"),
        (lambda f: glimm.means(f, "a", by="a"), "both over= and by="),
        (lambda f: glimm.means(f, level=95), "between 0 and 1"),
    ],
)
def test_mistakes_are_named(call: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        call(study("binary"))
