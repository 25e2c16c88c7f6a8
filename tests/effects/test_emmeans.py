"""Means and comparisons against emmeans 1.8.4.1 (R 4.2.2), stored in tests/reference/emmeans."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import glimm

FOLDER = Path(__file__).parent.parent / "reference" / "emmeans"
# lme4 stops its optimiser within about 1e-5 of a standard error of the Laplace maximum, and takes
# second derivatives by differences: standard errors agree to some 1e-4 of themselves.
ESTIMATE = 2e-4  # standard errors
SE = 2e-3  # of itself
# Gaussian models have closed forms; lme4's tolerance is what is left.
GAUSSIAN = 2e-5
TUKEY = 2e-4  # of a p value: emmeans' ptukey and scipy's studentized_range


@functools.cache
def case(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / name / "case.json").read_text())["results"]
    return found


@functools.cache
def cbpp() -> glimm.Fit:
    data = pd.read_csv(FOLDER / "cbpp" / "data.csv", dtype={"period": str, "herd": str})
    formula = "incidence / size ~ period + (1 | herd)"
    return glimm.fit(formula, data, family="binomial", integration="laplace")


@functools.cache
def oats() -> glimm.Fit:
    data = pd.read_csv(FOLDER / "oats" / "data.csv", dtype={"nitrof": str})
    data = data.rename(columns={"yield": "grain"})
    return glimm.fit("grain ~ Variety * nitrof + (1 | Block/Variety)", data)


def agree(found: glimm.Effects, peer: dict[str, Any], estimate: str, ends: tuple[str, str]) -> None:
    se = np.array(peer["SE"])
    assert np.abs((found.estimate - np.array(peer[estimate])) / se).max() < ESTIMATE
    assert_allclose(found.se, se, rtol=SE)
    for own, key in ((found.lower, ends[0]), (found.upper, ends[1])):
        if key in peer:
            assert np.abs((own - np.array(peer[key])) / se).max() < 5 * SE


ASYMPTOTIC = ("asymp.LCL", "asymp.UCL")


@pytest.mark.parametrize(("scale", "key"), [("link", "emmean"), ("response", "prob")])
def test_means_of_cbpp(scale: str, key: str) -> None:
    agree(glimm.means(cbpp(), "period", scale=scale), case("cbpp")[scale], key, ASYMPTOTIC)


def test_grand_mean() -> None:
    agree(glimm.means(cbpp()), case("cbpp")["grand_mean"], "prob", ASYMPTOTIC)


@pytest.mark.parametrize(
    ("block", "key", "options"),
    [
        ("pairs_link_none", "estimate", {"scale": "link"}),
        ("pairs_link_tukey", "estimate", {"scale": "link", "adjust": "tukey"}),
        ("pairs_odds_ratio", "odds.ratio", {"type": "odds ratio", "adjust": "tukey"}),
        ("pairs_response_scale", "estimate", {}),
        ("trt_vs_ctrl", "estimate", {"scale": "link", "contrast": "reference"}),
    ],
)
def test_comparisons_of_cbpp(block: str, key: str, options: dict[str, Any]) -> None:
    found, peer = glimm.comparisons(cbpp(), "period", **options), case("cbpp")[block]
    agree(found, peer, key, ASYMPTOTIC)
    assert np.abs(found.statistic - np.array(peer["z.ratio"])).max() < 2e-2
    assert_allclose(found.p, peer["p.value"], rtol=2e-2)


def test_one_taylor_term_is_not_the_population_mean() -> None:
    """emmeans' bias.adjust adds half the variance times the second derivative; ours integrates."""
    found = glimm.means(cbpp(), "period", effect="population").estimate
    taylor = np.array(case("cbpp")["response_bias_adjusted"]["prob"])
    plug_in = np.array(case("cbpp")["response"]["prob"])
    assert (found > plug_in).all()
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    eta = glimm.means(cbpp(), "period", scale="link").estimate
    sd = cbpp().varcorr()["sd"][0]
    exact = (1 / (1 + np.exp(-(eta[:, None] + sd * nodes)))) @ weights / np.sqrt(2 * np.pi)
    assert_allclose(found, exact, atol=1e-9)
    assert (np.abs(found - taylor) > 1e-5).all()


@pytest.mark.parametrize(
    ("block", "over", "df"),
    [
        ("cell_kr", ["nitrof", "Variety"], "kenward-roger"),
        ("cell_sat", ["nitrof", "Variety"], "satterthwaite"),
        ("cell_asymptotic", ["nitrof", "Variety"], "normal"),
        ("variety_kr", ["Variety"], "kenward-roger"),
        ("nitro_kr", ["nitrof"], "kenward-roger"),
    ],
)
def test_means_of_oats(block: str, over: list[str], df: str) -> None:
    found, peer = glimm.means(oats(), over, df=df), case("oats")[block]
    order = [list(found.labels["nitrof"]) if "nitrof" in over else []]
    assert not order[0] or order[0] == peer["nitrof"]
    assert_allclose(found.estimate, peer["emmean"], rtol=1e-9)
    assert_allclose(found.se, peer["SE"], rtol=GAUSSIAN)
    if df != "normal":
        assert_allclose(found.df, peer["df"], rtol=1e-3)
        assert_allclose(found.lower, peer["lower.CL"], rtol=1e-4)


def test_pairs_of_oats_by_tukey() -> None:
    found = glimm.comparisons(oats(), "Variety", df="kenward-roger", adjust="tukey")
    peer = case("oats")["variety_pairs_kr_tukey"]
    assert found.labels["contrast"] == peer["contrast"]
    assert_allclose(found.estimate, peer["estimate"], rtol=1e-8)
    assert_allclose(found.df, peer["df"], rtol=1e-6)
    assert_allclose(found.p, peer["p.value"], rtol=TUKEY)
