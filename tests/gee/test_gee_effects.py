"""Means, comparisons, slopes and hypotheses of estimating equations, and their files."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import glimm
from glimm import DataError, FormulaError

CLOSE = 1e-10


@functools.cache
def toenail(**given: Any) -> glimm.GEEFit:
    data = glimm.datasets.load("toenail")
    given = {"family": "binomial"} | given
    return glimm.gee("infection ~ treatment * month", data, groups="patient", **given)


@functools.cache
def few() -> glimm.GEEFit:
    """Fewer than forty clusters: corrected covariance and t."""
    data = glimm.datasets.load("cbpp")
    return glimm.gee("incidence / size ~ C(period)", data, groups="herd", family="binomial")


def test_means_are_of_the_mean_with_the_covariance_in_use() -> None:
    fit = few()
    found = glimm.means(fit, "period")
    x = np.column_stack([np.ones(4), np.eye(4)[:, 1:]])
    p = 1 / (1 + np.exp(-(x @ fit.estimates.beta)))
    assert found.estimate == pytest.approx(p, rel=CLOSE)
    j = x * (p * (1 - p))[:, None]
    assert found.covariance == pytest.approx(j @ fit.vcov() @ j.T, rel=1e-9)
    assert found.df == pytest.approx([fit.clusters - 4] * 4)
    # intervals on the scale of the link, by t
    eta, reach = x @ fit.estimates.beta, stats.t.ppf(0.975, fit.clusters - 4)
    se = np.sqrt(np.diag(x @ fit.vcov() @ x.T))
    assert found.lower == pytest.approx(1 / (1 + np.exp(reach * se - eta)), rel=1e-8)
    assert dict(found.facts)["Estimand"].startswith("population-averaged: the mean over all herd")
    assert "kauermann-carroll" in dict(found.facts)["Intervals"]
    other = glimm.means(fit.using(covariance="robust"), "period")
    assert other.se[0] == pytest.approx(np.sqrt((j @ fit.vcov("robust") @ j.T)[0, 0]), rel=1e-9)


def test_comparisons_and_slopes_are_those_of_the_definition() -> None:
    fit = toenail()
    ratio = glimm.comparisons(fit, "treatment", type="odds ratio", at={"month": 6.0})
    names = list(fit.names)
    row = np.zeros(4)
    row[next(i for i, n in enumerate(names) if n.startswith("treatment") and ":" not in n)] = 1
    row[next(i for i, n in enumerate(names) if ":" in n)] = 6
    log = row @ fit.estimates.beta
    sign = np.sign(np.log(ratio.estimate[0]) * log)
    assert sign * np.log(ratio.estimate[0]) == pytest.approx(log, rel=1e-8)
    assert np.sqrt(ratio.covariance[0, 0]) == pytest.approx(np.sqrt(row @ fit.vcov() @ row))
    assert np.isinf(ratio.df).all()
    slope = glimm.slopes(fit, "month", scale="link", by="treatment")
    assert slope.estimate[0] == pytest.approx(fit.coef["month"], rel=1e-6)
    assert slope.se[0] == pytest.approx(fit.se["month"], rel=1e-5)


def test_averages_over_the_data_are_averages_of_predictions() -> None:
    fit = toenail()
    found = glimm.means(fit, grid="data")
    assert found.estimate[0] == pytest.approx(fit.fitted.mean(), rel=CLOSE)
    link = glimm.means(fit, average="link")
    assert 0 < link.estimate[0] < 1


def test_a_logistic_model_without_random_effects_has_the_same_means() -> None:
    data = glimm.datasets.load("toenail")
    alone = glimm.fit("infection ~ treatment * month", data, family="binomial")
    fit = toenail(corr="independence", covariance="model", scale=1.0)
    ours = glimm.means(fit, "treatment", grid="data")
    theirs = glimm.means(alone, "treatment", grid="data", effect="population")
    assert ours.estimate == pytest.approx(theirs.estimate, rel=1e-6)
    assert ours.se == pytest.approx(theirs.se, rel=1e-5)


def test_there_is_no_typical_subject() -> None:
    with pytest.raises(DataError, match="no random effects"):
        glimm.means(toenail(), "treatment", effect="subject")
    with pytest.raises(DataError, match="kenward"):
        glimm.means(toenail(), "treatment", df="kenward-roger")


def test_hypotheses_are_read_in_words() -> None:
    fit = few()
    names = [n for n in fit.names if n != "(Intercept)"]
    said = fit.test([f"`{names[0]}` = `{names[1]}`", f"2*`{names[2]}` - `{names[0]}` = -1.5"])
    rows = np.array([[0, 1, -1, 0], [0, -1, 0, 2.0]])
    given = fit.test(rows, value=[0.0, -1.5])
    assert said.tests[0].statistic == pytest.approx(given.tests[0].statistic, rel=CLOSE)
    distance = rows @ fit.estimates.beta - [0.0, -1.5]
    f = distance @ np.linalg.solve(rows @ fit.vcov() @ rows.T, distance) / 2
    assert said.tests[0].statistic == pytest.approx(f, rel=1e-9)
    assert said.tests[0].p == pytest.approx(stats.f.sf(f, 2, fit.clusters - 4), rel=1e-9)
    with pytest.raises(FormulaError, match="no coefficient"):
        fit.test("periode = 0")


def test_the_score_test_holds_coefficients_at_any_value() -> None:
    """At the estimate nothing is lacking; near it score and Wald agree."""
    fit = toenail()
    at = fit.coef["month"]
    assert fit.test(f"month = {at!r}", method="score").tests[0].statistic < 1e-12
    near = f"month = {at + 0.3 * fit.se['month']!r}"
    wald, score = (fit.test(near, method=m).tests[0].statistic for m in ("wald", "score"))
    assert score == pytest.approx(wald, rel=0.1)
    assert wald == pytest.approx(0.09, rel=1e-6)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"corr": "ar1", "time": "month"},
        {"corr_formula": "~ distance(month)"},
        {"scale": "~ month"},
        {"covariance": "mancl-derouen", "df": "satterthwaite"},
    ],
    ids=str,
)
def test_a_fit_comes_back_from_its_file(tmp_path: Path, given: dict[str, Any]) -> None:
    fit = toenail(**given)
    fit.save(tmp_path / "fit.glimm")
    again = glimm.load(tmp_path / "fit.glimm")
    assert isinstance(again, glimm.GEEFit)
    assert (again.coef, again.se, again.alpha, again.scale) == (
        fit.coef, fit.se, fit.alpha, fit.scale)  # fmt: skip
    assert str(again) == str(fit)
    assert again.predict(scale="link").tolist() == fit.predict(scale="link").tolist()
    (tmp_path / "again.glimm").write_bytes((tmp_path / "fit.glimm").read_bytes())
    again.save(tmp_path / "again.glimm")
    assert (tmp_path / "again.glimm").read_bytes() == (tmp_path / "fit.glimm").read_bytes()


def test_matrices_weights_and_classes_come_back_too(tmp_path: Path) -> None:
    data = glimm.datasets.load("cbpp")
    data["often"] = 2.0
    corr = np.full((4, 4), 0.2) + 0.8 * np.eye(4)
    fits = [
        glimm.gee("incidence / size ~ 1", data, groups="herd", family="binomial", corr=corr,
                  time=data["period"].astype(float), freq="often"),
        glimm.gee("C(period) ~ size", data, groups="herd", family="ordinal", corr="local_odds"),
    ]  # fmt: skip
    for fit in fits:
        fit.save(tmp_path / "fit.glimm")
        again = glimm.load(tmp_path / "fit.glimm")
        assert (again.coef, again.se, str(again)) == (fit.coef, fit.se, str(fit))
