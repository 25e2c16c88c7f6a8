"""Shares of the variance: identities, simulation, performance and insight."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import glimm

FOLDER = Path(__file__).parents[1] / "reference"
REFERENCE = json.loads((FOLDER / "effects" / "effects.json").read_text())["r2_icc"]

NEAR = 2e-3
"""Relative, of shares of models fitted here and there: theirs stop short of the maximum."""


def load(name: str) -> pd.DataFrame:
    return pd.DataFrame(glimm.datasets.load(name))


def fit(formula: str, data: Any, family: str = "gaussian", **options: Any) -> glimm.Fit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return glimm.fit(formula, data, family, **options)


def cbpp(link: str) -> glimm.Fit:
    data = load("cbpp").astype({"period": str})
    formula = "incidence / size ~ period + (1 | herd)"
    return fit(formula, data, "binomial", link=link, integration="laplace")


@pytest.mark.parametrize(("key", "link"), [("cbpp", "logit"), ("cbpp_probit", "probit")])
def test_proportions_agree_with_performance(key: str, link: str) -> None:
    theirs, ours = REFERENCE[key], cbpp(link).variance_shares()
    for name in ("r2_marginal", "r2_conditional", "icc_adjusted", "icc_unadjusted"):
        words = name.replace("_", " ").replace("r2", "R2").replace("icc", "ICC")
        rel = NEAR if link == "logit" else 0.03
        assert ours[words] == pytest.approx(theirs[name], rel=rel), name
    assert ours["distribution"] == pytest.approx(theirs["variance"]["var.distribution"][0])


def test_sleepstudy_agrees_with_performance() -> None:
    theirs = REFERENCE["sleepstudy"]
    ours = fit("reaction ~ days + (1 + days | subject)", load("sleepstudy")).variance_shares()
    for name in ("r2_marginal", "r2_conditional", "icc_adjusted", "icc_unadjusted"):
        words = name.replace("_", " ").replace("r2", "R2").replace("icc", "ICC")
        assert ours[words] == pytest.approx(theirs[name], rel=1e-5), name
    # insight divides the variance of the intercepts alone, which changes with the origin of days;
    # here it is the mean of z'Sigma z over the rows, as in the ICC of the whole model.
    assert ours["ICC subject"] == pytest.approx(ours["ICC adjusted"])
    assert theirs["icc_by_group"]["ICC"][0] == pytest.approx(
        theirs["variance"]["var.intercept"][0] / (1698.0712598 + 654.9410252), rel=1e-6
    )


def test_latent_and_observed_agree_for_linear_models() -> None:
    ours = fit("reaction ~ days + (1 + days | subject)", load("sleepstudy")).variance_shares()
    for latent, observed in zip(ours.latent, ours.observed, strict=True):
        np.testing.assert_allclose(latent[1:], observed[1:], rtol=1e-5)


def test_observed_shares_match_a_simulation() -> None:
    data = load("epilepsy")
    model = fit("seizures ~ treatment + (1 | patient)", data, "nbinom2", integration="laplace")
    between, random, within = (line[1] for line in model.variance_shares().observed)
    rng = np.random.default_rng(1)
    sd = float(np.sqrt(model.covariances[0][0, 0]))
    eta = model.predict(kind="population", scale="link") - sd**2 / 2
    mean = np.exp(eta + sd * rng.normal(size=(20_000, eta.size)))
    size = next(iter((model.dispersion or {}).values()))
    assert between == pytest.approx(np.var(mean.mean(axis=0), ddof=1), rel=0.2)
    assert random == pytest.approx(mean.var(axis=0).mean(), rel=0.05)
    assert within == pytest.approx((mean + mean**2 / size).mean(), rel=0.05)


def test_counts_differ_from_insight_in_the_mean_alone() -> None:
    """In ln(1 + 1 / mean) insight 0.19 has exp(intercept) of the null model: 5.058, a median."""
    theirs = REFERENCE["epil"]["variance"]
    assert theirs["var.distribution"][0] == pytest.approx(np.log1p(1 / 5.058), rel=1e-3)
    data = load("epilepsy")
    model = fit("seizures ~ treatment + (1 | patient)", data, "poisson", integration="laplace")
    mean = float(np.mean(model.predict(kind="population")))
    ours = model.variance_shares()
    assert ours["distribution"] == pytest.approx(np.log1p(1 / mean), rel=1e-10)


def test_median_ratios() -> None:
    model = cbpp("logit")
    sd = float(np.sqrt(model.covariances[0][0, 0]))
    exact = np.exp(np.sqrt(2) * sd * stats.norm.ppf(0.75))
    ours = model.variance_shares()
    assert ours["median odds ratio herd"] == pytest.approx(exact)
    line = next(m for m in ours.measures if m[0].startswith("median"))
    assert 1 < line[2] < line[1] < line[3]


def test_shares_add_up_and_stay_in_range() -> None:
    ours = cbpp("logit").variance_shares(0.99)
    total = sum(line[1] for line in ours.latent)
    assert ours["R2 conditional"] * total == pytest.approx(total - ours["distribution"])
    for name, value, low, high in ours.measures:
        assert low <= value <= high
        assert name.startswith("median") or 0 < low < high < 1
    assert ours.level == 0.99
    assert "R2 and ICC after Nakagawa" in str(ours)
    assert set(ours.to_frame()["scale"]) == {"latent", "observation", "measure"}


def test_effects_of_single_rows_are_dispersion() -> None:
    data = load("epilepsy").reset_index(names="row")
    formula = "seizures ~ treatment + (1 | patient) + (1 | row)"
    ours = fit(formula, data, "poisson", integration="laplace").variance_shares()
    names = [line[0] for line in ours.latent]
    assert "row: (Intercept) (dispersion)" in names
    random = ours["patient: (Intercept)"]
    whole = sum(line[1] for line in ours.latent)
    assert ours["ICC unadjusted"] == pytest.approx(random / whole)
