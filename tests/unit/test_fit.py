"""What a Fit says of itself: numbers that belong together, in the user's kind of frame."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from fits import EACH, GROUPS, MODELS, fit, frame
from scipy import stats

import glimm
from glimm.errors import DataError, FitWarning

EVERY = pytest.mark.parametrize("name", MODELS)
FRAMES: dict[str, tuple[Any, type]] = {
    "pandas": (lambda data: data, pd.DataFrame),
    "polars": (pl.from_pandas, pl.DataFrame),
    "pyarrow": (pa.Table.from_pandas, pa.Table),
    "dict": (lambda data: {k: data[k].to_numpy() for k in data}, dict),
}


def _columns(table: Any) -> dict[str, list[Any]]:
    if isinstance(table, dict):
        return {name: list(values) for name, values in table.items()}
    made = nw.from_native(table, eager_only=True)
    return {name: made[name].to_list() for name in made.columns}


@EVERY
def test_names_coefficients_and_errors_belong_together(name: str) -> None:
    made = fit(name)
    assert tuple(made.coef) == made.names == tuple(made.se) == made.design.x_names
    p, size = len(made.names), made.df_model
    whole = made.vcov("all")
    assert whole.shape == (size, size)
    assert len(made.parameter_names) == len(set(made.parameter_names)) == size
    np.testing.assert_array_equal(made.vcov(), whole[:p, :p])
    np.testing.assert_array_equal(made.vcov("fixed"), made.vcov())
    np.testing.assert_allclose(whole, whole.T, rtol=1e-12)
    np.testing.assert_allclose(list(made.se.values()), np.sqrt(np.diag(made.vcov())), rtol=1e-15)
    np.testing.assert_array_equal(list(made.coef.values()), made.estimates.parameters[:p])
    if not made.diagnostics.singular:
        assert np.linalg.eigvalsh(whole).min() > 0


def test_names_of_parameters() -> None:
    assert fit("gaussian").parameter_names == (
        *("(Intercept)", "x", "w", "log(sigma)"),
        *("g: chol[x, x]", "g: chol[(Intercept), x]", "g: chol[(Intercept), (Intercept)]"),
    )
    assert fit("probit").parameter_names[2:] == ("g: sd[x]", "g: sd[(Intercept)]")
    assert fit("poisson").parameter_names[3:] == (
        "g: chol[(Intercept), (Intercept)]",
        "h: chol[(Intercept), (Intercept)]",
    )
    assert fit("plain").parameter_names == ("(Intercept)", "x", "w")


def test_covariance_of_what_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="which='random'; use 'fixed' or 'all'"):
        fit("gaussian").vcov("random")


@pytest.mark.parametrize(
    ("name", "word"),
    [("gaussian", "sigma"), ("nbinom2", "theta"), ("gamma", "cv"), ("poisson", None)],
)
def test_dispersion(name: str, word: str | None) -> None:
    made = fit(name)
    if word is None:
        assert made.dispersion is None
        return
    assert made.dispersion is not None
    assert list(made.dispersion) == [word]
    value = made.estimates.parameters[made.parameter_names.index(f"log({word})")]
    assert made.dispersion[word] == pytest.approx(math.exp(value), rel=1e-15)


def test_a_repeated_column_has_no_row_anywhere() -> None:
    data = frame().assign(twice=lambda d: 2 * d["x"])
    made = glimm.fit("length ~ x + w + twice + (1 | g)", data)
    assert made.diagnostics.aliased == ("twice",)
    assert made.names == fit("intercepts").names
    assert made.vcov().shape == (3, 3)
    assert made.coef == pytest.approx(fit("intercepts").coef, rel=1e-6)
    np.testing.assert_allclose(made.fitted, fit("intercepts").fitted, rtol=1e-5)


def test_variances_and_correlations() -> None:
    made = fit("slopes")
    table = _columns(made.varcorr())
    assert list(table) == ["group", "name", "variance", "sd", "corr", "corr_2"]
    assert table["group"] == ["g"] * 3
    assert table["name"] == ["(Intercept)", "x", "w"]
    covariance = made.covariances[0]
    np.testing.assert_allclose(table["variance"], np.diag(covariance), rtol=1e-12)
    np.testing.assert_allclose(np.square(table["sd"]), table["variance"], rtol=1e-12)
    a, b, c = table["sd"]
    expected = [covariance[1, 0] / (a * b), covariance[2, 0] / (a * c)]
    np.testing.assert_allclose(table["corr"][1:], expected, rtol=1e-12)
    np.testing.assert_allclose(table["corr_2"][2], covariance[2, 1] / (b * c), rtol=1e-12)
    assert math.isnan(table["corr"][0])
    assert [math.isnan(v) for v in table["corr_2"]] == [True, True, False]
    np.testing.assert_allclose(covariance, made.factors[0] @ made.factors[0].T, rtol=1e-12)


def test_factors_are_the_parameters_in_the_users_order() -> None:
    made = fit("gaussian")
    slope, both, level = made.estimates.parameters[4:]
    covariance = made.covariances[0]
    np.testing.assert_allclose(covariance[1, 1], slope**2, rtol=1e-12)
    np.testing.assert_allclose(covariance[0, 0], both**2 + level**2, rtol=1e-12)
    np.testing.assert_allclose(covariance[0, 1], slope * both, rtol=1e-12)


def test_uncorrelated_effects_have_no_correlation() -> None:
    table = _columns(fit("probit").varcorr())
    assert table["name"] == ["(Intercept)", "x"]
    assert all(map(math.isnan, table["corr"]))


def test_without_random_effects_the_tables_are_empty() -> None:
    made = fit("plain")
    assert _columns(made.varcorr()) == {k: [] for k in ("group", "name", "variance", "sd", "corr")}
    assert _columns(made.ranef()) == {k: [] for k in ("group", "level", "name", "mode", "cond_sd")}
    assert made.groups == {}
    assert made.diagnostics.path == "glm"


def test_modes_are_best_linear_predictors_of_a_gaussian_response() -> None:
    made = fit("intercepts")
    assert made.dispersion is not None
    table = pd.DataFrame(_columns(made.ranef()))
    assert list(table) == ["group", "level", "name", "mode", "cond_sd"]
    assert list(table["level"]) == sorted(frame()["g"].unique())
    variance, noise = float(made.covariances[0][0, 0]), made.dispersion["sigma"] ** 2
    gap = frame()["length"] - made.design.x @ np.array(list(made.coef.values()))
    sums = gap.groupby(frame()["g"]).sum()
    np.testing.assert_allclose(table["mode"], variance * sums / (noise + EACH * variance))
    sd = math.sqrt(variance * noise / (noise + EACH * variance))
    np.testing.assert_allclose(table["cond_sd"], sd)


def test_modes_of_intercepts_and_slopes_too() -> None:
    """b = D Z' V^-1 r and cov = D - D Z' V^-1 Z D, level by level and in the user's order."""
    made = fit("gaussian")
    assert made.dispersion is not None
    gap = made.design.y - made.design.x @ np.array(list(made.coef.values()))
    d = made.covariances[0]
    table = made.ranef().set_index(["level", "name"])
    for level in ("g00", "g07"):
        rows = (frame()["g"] == level).to_numpy()
        z = np.column_stack([np.ones(rows.sum()), frame()["x"][rows]])
        v = z @ d @ z.T + made.dispersion["sigma"] ** 2 * np.eye(rows.sum())
        modes = d @ z.T @ np.linalg.solve(v, gap[rows])
        sds = np.sqrt(np.diag(d - d @ z.T @ np.linalg.solve(v, z @ d)))
        for j, name in enumerate(("(Intercept)", "x")):
            assert table["mode"][level, name] == pytest.approx(modes[j], rel=1e-8)
            assert table["cond_sd"][level, name] == pytest.approx(sds[j], rel=1e-8)


def test_modes_of_every_term_level_and_effect() -> None:
    table = _columns(fit("poisson").ranef())
    assert table["group"] == ["g"] * GROUPS + ["h"] * 6
    assert table["level"][-1] == "5", "levels of mixed type are text"
    two = pd.DataFrame(_columns(fit("gaussian").ranef()))
    for j, name in enumerate(("(Intercept)", "x")):
        rows = two[two["name"] == name]
        np.testing.assert_array_equal(rows["mode"], fit("gaussian").estimates.modes[0][:, j])
        sd = np.sqrt(fit("gaussian").estimates.covariances[0][:, j, j])
        np.testing.assert_allclose(rows["cond_sd"], sd, rtol=1e-15)
    alone = glimm.fit("count ~ x + (1 | h)", frame(), "poisson")
    assert _columns(alone.ranef())["level"] == list(range(6))


@pytest.mark.parametrize("kind", FRAMES)
def test_tables_come_in_the_users_kind_of_frame(kind: str) -> None:
    convert, cls = FRAMES[kind]
    made = glimm.fit(MODELS["gaussian"][0], convert(frame()))
    reference = fit("gaussian")
    for method in ("varcorr", "ranef", "confint"):
        table = getattr(made, method)()
        assert isinstance(table, cls)
        expected = _columns(getattr(reference, method)())
        assert list(_columns(table)) == list(expected)
        for column, values in _columns(table).items():
            if isinstance(values[0], str):
                assert values == expected[column]
            else:
                np.testing.assert_array_equal(values, expected[column])


@EVERY
def test_criteria_and_degrees_of_freedom(name: str) -> None:
    made = fit(name)
    n = len(frame())
    assert made.nobs == n
    assert made.df_resid == n - made.df_model
    assert made.aic == pytest.approx(2 * made.df_model - 2 * made.loglik, rel=1e-14)
    assert made.bic == pytest.approx(math.log(n) * made.df_model - 2 * made.loglik, rel=1e-14)


def test_weights_count_as_observations() -> None:
    made = glimm.fit("length ~ x + (1 | g)", frame(), freq=np.full(GROUPS * EACH, 3))
    assert made.nobs == 3 * GROUPS * EACH
    assert made.df_resid == made.nobs - 4
    assert made.bic == pytest.approx(math.log(made.nobs) * 4 - 2 * made.loglik, rel=1e-14)


def test_groups_are_counted() -> None:
    assert fit("poisson").groups == {"g": GROUPS, "h": 6}
    data = frame()
    assert fit("gamma").groups == {"g:h": len(set(zip(data["g"], data["h"], strict=True)))}


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_intervals(level: float) -> None:
    made = fit("nbinom2")
    table = _columns(made.confint(level))
    assert table["name"] == list(made.names)
    assert table["estimate"] == list(made.coef.values())
    reach = stats.norm.isf((1 - level) / 2) * np.array(list(made.se.values()))
    np.testing.assert_allclose(np.subtract(table["estimate"], table["lower"]), reach, rtol=1e-9)
    np.testing.assert_allclose(np.subtract(table["upper"], table["estimate"]), reach, rtol=1e-9)


def test_intervals_are_of_95_per_cent_unless_asked() -> None:
    made = fit("nbinom2")
    assert _columns(made.confint()) == _columns(made.confint(0.95, method="wald"))


@pytest.mark.parametrize("level", [0, 1, -0.5, 95, math.nan])
def test_levels_of_intervals_are_checked(level: float) -> None:
    with pytest.raises(DataError, match=f"level={level}; it must be between 0 and 1"):
        fit("nbinom2").confint(level)


def test_an_unknown_interval_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="method='profil'; use 'profile'"):
        fit("nbinom2").confint(method="profil")


def test_separation_warns_once_and_by_name() -> None:
    data = frame().assign(hit=lambda d: (d["hits"] > d["trials"] / 2) | (d["f"] == "v"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = glimm.fit("hit ~ x + f + (1 | g)", data, "binomial")
    assert [entry.category for entry in caught] == [FitWarning]
    said = str(caught[0].message)
    assert "'f[T.v]'" in said
    assert "'x'" not in said
    assert caught[0].filename == __file__, "the warning points at the caller's line"
    assert [f.code for f in made.diagnostics.findings if f.serious] == ["separation"]


@EVERY
def test_an_ordinary_fit_does_not_warn(name: str) -> None:
    formula, family, options = MODELS[name]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = glimm.fit(formula, frame(), family, **options)
    assert caught == []
    assert made.diagnostics.converged


@EVERY
def test_the_printed_fit_holds_the_numbers(name: str) -> None:
    made = fit(name)
    said = str(made)
    assert str(made.summary()) == said
    for number in (f"{made.loglik:.3f}", f"{made.aic:.1f}", f"{made.bic:.1f}", f"{made.nobs}"):
        assert number in said
    rows = [line.split() for line in said.split("Fixed effects")[1].splitlines()]
    printed = {row[0]: row[1:3] for row in rows if len(row) > 2}
    for term in made.names:
        assert _is_rounded(printed[term][0], made.coef[term])
        assert _is_rounded(printed[term][1], made.se[term])
    rows = [line.split() for line in said.split("Random effects")[-1].splitlines()]
    table = _columns(made.varcorr())
    for label, term, sd in zip(table["group"], table["name"], table["sd"], strict=True):
        assert any(row[:2] == [label, term] and _is_rounded(row[2], sd) for row in rows)
    for label, count in made.groups.items():
        assert f"{label} ({count} levels)" in said


def _is_rounded(word: str, value: float) -> bool:
    """Whether a word of two decimals or more is the value, to half a unit of its last."""
    decimals = len(word.partition(".")[2])
    return decimals >= 2 and abs(float(word) - value) <= 0.501 * 10**-decimals


def test_short_and_html_forms() -> None:
    made = fit("poisson")
    text = "<Fit 'count ~ x + w + (1 | g) + (1 | h)', poisson, logLik "
    assert repr(made) == f"{text}{made.loglik:.4f}>"
    assert made._repr_html_().startswith('<div class="glimm">')


def test_a_fit_cannot_be_changed() -> None:
    made = fit("gaussian")
    for thing, name in ((made, "estimates"), (made.estimates, "loglik"), (made.model, "link")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(thing, name, None)
    arrays = [made.estimates.parameters, made.estimates.covariance, made.fitted, made.design.y]
    arrays += [*made.estimates.modes, *made.estimates.covariances, made.design.x]
    for array in arrays:
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0.0
    made.vcov()[0, 0] = -1.0
    made.coef["x"] = 99.0
    made.se["x"] = 99.0
    assert made.vcov()[0, 0] > 0
    assert made.coef["x"] != 99.0
    assert made.se["x"] != 99.0
