"""Degrees of freedom, robust errors, tests of terms and adjusted p-values against R.

Numbers of R stand in ``inference/``, with their calls. Differences are those of lmer's optimum: it
stops where estimates are good to about 1e-7 (``CLOSE``), on the thinned data to 4e-5 (``LOOSE``).
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import glimm
from glimm.inference.contrasts import adjusted
from glimm.inference.freedom import satterthwaite
from glimm.inference.kenward import kenward_roger

FOLDER = Path(__file__).parent / "inference"
CLOSE = 1e-6
LOOSE = 3e-4
EXACT = 1e-8
PRINTED = 6e-3  # two decimals of numbers above 2.5

R = json.loads((FOLDER / "robust.json").read_text(encoding="utf-8"))


@functools.cache
def case(name: str) -> dict[str, Any]:
    """A stored case."""
    found: dict[str, Any] = json.loads((FOLDER / name / "case.json").read_text(encoding="utf-8"))
    return found


@functools.cache
def fitted(name: str) -> glimm.Fit:
    """The model of a case of degrees of freedom."""
    about = case(name)
    factors = about["data"]["factors"]
    frame = pd.read_csv(FOLDER / name / "data.csv", dtype=dict.fromkeys(factors, str))
    for column, levels in factors.items():
        frame[column] = pd.Categorical(frame[column], categories=levels)
    formula = about["model"]["formula"].replace("(Days |", "(1 + Days |")
    return glimm.fit(formula, frame)


@functools.cache
def thinned(formula: str, **options: Any) -> glimm.Fit:
    """A model of the thinned sleepstudy data."""
    frame = pd.read_csv(FOLDER / "thinned_sleepstudy.csv", dtype={"Subject": str})
    return glimm.fit(formula, frame, **options)


UNBALANCED = "Reaction ~ Days * grp + half + (1 + Days | Subject)"
CASES = ["df_sleepstudy", "df_cake", "df_oats", "df_pastes"]


def tables(name: str) -> dict[str, Any]:
    """The tables of a case."""
    results = case(name)["results"]
    found: dict[str, Any] = results.get("tests", results)
    return found


@pytest.mark.parametrize("name", CASES)
def test_satterthwaite_is_that_of_lmertest(name: str) -> None:
    table = tables(name)["coef_satterthwaite"]
    bounds = glimm.summary(fitted(name)).tables[-1]
    assert [row[6] for row in bounds.rows] == pytest.approx(table["df"], rel=CLOSE)
    assert [row[2] for row in bounds.rows] == pytest.approx(table["Std. Error"], rel=CLOSE)
    p = [row[7] for row in bounds.rows]
    assert p == pytest.approx(table["Pr(>|t|)"], rel=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_kenward_roger_is_that_of_pbkrtest(name: str) -> None:
    found, table = kenward_roger(fitted(name)), tables(name)
    adjusted_covariance = np.array(table["vcov_kr_adjusted"])
    np.testing.assert_allclose(found.covariance, adjusted_covariance, rtol=CLOSE)
    df = [found.df(unit) for unit in np.eye(len(found.phi))]
    assert df == pytest.approx(table["coef_kenward_roger"]["df"], rel=CLOSE)


@pytest.mark.parametrize("name", CASES[:3])
@pytest.mark.parametrize("kind", ["I", "II", "III"])
def test_tests_of_terms_are_those_of_lmertest(name: str, kind: str) -> None:
    tests = fitted(name).joint_tests(kind).tests
    table = tables(name)[f"anova{len(kind)}_satterthwaite"]
    for test in tests:
        # A covariate in an interaction does not contain the factor for lmerTest; here it does.
        if (name, kind, test.label) == ("df_cake", "II", "recipe"):
            continue
        i = table["row"].index(test.label)
        assert test.statistic == pytest.approx(table["F value"][i], rel=CLOSE)
        assert test.df == pytest.approx(table["DenDF"][i], rel=CLOSE)


@pytest.mark.parametrize("name", CASES[:3])
def test_scaled_f_is_that_of_pbkrtest(name: str) -> None:
    table = tables(name)["anova3_kenward_roger"]
    for test in fitted(name).joint_tests("III", df="kenward-roger").tests:
        i = table["row"].index(test.label)
        assert test.statistic == pytest.approx(table["F value"][i], rel=CLOSE)
        assert test.df == pytest.approx(table["DenDF"][i], rel=CLOSE)
        assert test.p == pytest.approx(table["Pr(>F)"][i], rel=1e-5)


def test_unbalanced_terms() -> None:
    fit, table = thinned(UNBALANCED), R["terms"]
    chi = [[t.statistic for t in fit.joint_tests(k, df="normal").tests] for k in ("II", "III")]
    assert chi[0] == pytest.approx(table["type2_chisq"], rel=LOOSE)
    assert chi[1] == pytest.approx(table["type3_chisq"], rel=LOOSE)
    df = [t.df for t in fit.joint_tests().tests]
    assert df == pytest.approx(table["type3_satterthwaite_df"], rel=LOOSE)
    tests = fit.joint_tests(df="kenward-roger").tests
    assert [t.statistic for t in tests] == pytest.approx(table["type3_kr_f"], rel=LOOSE)
    assert [t.df for t in tests] == pytest.approx(table["type3_kr_df"], rel=LOOSE)


def test_variances_of_zero() -> None:
    fit = thinned("Reaction ~ Days + (1 | Subject) + (1 | half)")
    found, other = satterthwaite(fit), kenward_roger(fit)
    df = [found.df(unit) for unit in np.eye(2)]
    assert df == pytest.approx(R["singular"]["satterthwaite_df"], rel=CLOSE)
    df = [other.df(unit) for unit in np.eye(2)]
    assert df == pytest.approx(R["singular"]["kr_df"], rel=CLOSE)
    se = np.sqrt(np.diag(other.covariance)).tolist()
    assert se == pytest.approx(R["singular"]["kr_se"], rel=CLOSE)


def test_satterthwaite_of_maximum_likelihood() -> None:
    found = satterthwaite(thinned(UNBALANCED, reml=False))
    df = [found.df(unit) for unit in np.eye(7)]
    assert df == pytest.approx(R["ml"]["satterthwaite_df"], rel=LOOSE)


@pytest.mark.parametrize("kind", ["CR0", "CR1", "CR2", "CR3"])
def test_robust_errors_of_linear_models_are_those_of_clubsandwich(kind: str) -> None:
    frame = pd.read_csv(FOLDER / "thinned_sleepstudy.csv", dtype={"Subject": str})
    fit = thinned("Reaction ~ Days + grp")
    found = fit.robust(frame["Subject"].to_numpy(), kind=kind)
    assert list(found.se.values()) == pytest.approx(R["lm"][kind]["se"], rel=EXACT)
    df = [found.df(unit) for unit in np.eye(4)]
    assert df == pytest.approx(R["lm"][kind]["df"], rel=EXACT)
    if kind == "CR2":
        tested = fit.test(["grp[T.b] = 0", "grp[T.c] = 0"], covariance=found).tests[0]
        assert tested.statistic == pytest.approx(R["lm"]["HTZ_CR2_grp"]["f"], rel=EXACT)
        assert tested.df == pytest.approx(R["lm"]["HTZ_CR2_grp"]["df"], rel=EXACT)


@pytest.mark.parametrize("kind", ["CR0", "CR1", "CR2", "CR3"])
def test_robust_errors_of_logistic_regression_are_those_of_clubsandwich(kind: str) -> None:
    fit = glimm.fit("incidence ~ period", cbpp(), family="binomial", trials="size")
    found = fit.robust(cbpp()["herd"], kind=kind)
    df = [found.df(unit) for unit in np.eye(4)]
    if kind in ("CR0", "CR1"):
        assert list(found.se.values()) == pytest.approx(R["glm"][kind]["se"], rel=EXACT)
        assert df == pytest.approx(R["glm"][kind]["df"], rel=EXACT)
    # clubSandwich takes another square root where weights differ within clusters.
    assert list(found.se.values()) == pytest.approx(R["glm"][kind]["se"], rel=2e-3)
    rows = fit.robust(kind="CR0")
    assert list(rows.se.values()) == pytest.approx(R["glm"]["sandwich"], rel=EXACT)


@functools.cache
def cbpp() -> pd.DataFrame:
    """The cbpp data with labels as text."""
    frame = pd.DataFrame(glimm.datasets.load("cbpp"))
    return frame.astype({"period": str, "herd": str})


@pytest.mark.parametrize("kind", ["CR0", "CR2", "CR3"])
def test_robust_errors_of_mixed_models(kind: str) -> None:
    found = list(thinned(UNBALANCED).robust(kind=kind).se.values())
    assert found == pytest.approx(R["lmer"][kind], rel=PRINTED)


def test_paired_binary_data() -> None:
    """Errors that take the variance as known are .384 and .377 (lme4, GitHub issue 47)."""
    counts = {(1, 1): 32, (0, 1): 18, (1, 0): 8, (0, 0): 42}
    pairs = [pair for pair, count in counts.items() for _ in range(count)]
    y = [pair[x] for x in (0, 1) for pair in pairs]
    frame = {"y": y, "x": [0] * 100 + [1] * 100, "id": list(range(100)) * 2}
    fit = glimm.fit("y ~ x + (1 | id)", frame, family="binomial")
    assert fit.loglik == pytest.approx(-123.969122, abs=1e-5)
    assert list(fit.se.values()) == pytest.approx([0.42543, 0.42492], abs=1e-5)


@pytest.mark.parametrize(
    ("name", "table"),
    [("emmeans_cbpp", "pairs_link_tukey"), ("emmeans_oats", "variety_pairs_kr_tukey")],
)
def test_tukey_is_that_of_emmeans(name: str, table: str) -> None:
    known = case(name)["results"][table]
    df = [np.inf if value == "Inf" else value for value in known["df"]]
    found = adjusted(known["estimate"], np.diag(np.square(known["SE"])), df, "tukey")
    assert found.p.tolist() == pytest.approx(known["p.value"], rel=CLOSE)


def test_max_t_is_that_of_mvtnorm() -> None:
    found = adjusted([2.0, 2.5, 1.0], 0.5 * np.eye(3) + 0.5, 10)
    assert found.p.tolist() == pytest.approx(R["max_t"]["p"], abs=1e-4)
    assert found.error < 1e-4
