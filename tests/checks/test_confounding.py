"""Slopes within and between clusters against models that have both as covariates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import glimm
from glimm.checks.link import bend


def study(difference: float, family: str, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(60), 6)
    u = rng.normal(size=60)
    x = u[g] + rng.normal(size=360)
    mean = pd.Series(x).groupby(g).transform("mean").to_numpy()
    eta = 0.3 * x + difference * mean + 0.5 * rng.normal(size=60)[g]
    y = rng.poisson(np.exp(eta)) if family == "poisson" else eta + rng.normal(size=360)
    return pd.DataFrame({"y": y, "x": x, "g": g, "x_mean": mean})


@pytest.mark.parametrize("family", ["gaussian", "poisson"])
def test_slopes_are_those_of_the_model_with_means(family: str) -> None:
    data = study(0.6, family)
    found = glimm.checks.confounding(glimm.fit("y ~ x + (1 | g)", data, family=family))
    larger = glimm.fit("y ~ x + x_mean + (1 | g)", data, family=family)
    slope = found.slopes[0]
    assert slope.within == pytest.approx(larger.coef["x"], rel=1e-4)
    assert slope.between == pytest.approx(larger.coef["x"] + larger.coef["x_mean"], rel=1e-4)
    assert slope.difference_se == pytest.approx(larger.se["x_mean"], rel=1e-3)
    assert found.p < 1e-3
    assert "between" in found.words
    assert len(found.to_frame()) == 1


def test_equal_slopes_are_called_equal() -> None:
    p = [
        glimm.checks.confounding(glimm.fit("y ~ x + (1 | g)", study(0.0, "gaussian", seed))).p
        for seed in range(20)
    ]
    assert 0.2 < np.mean(p) < 0.8
    found = glimm.checks.confounding(glimm.fit("y ~ x + (1 | g)", study(0.0, "gaussian", 3)))
    assert "agree" in found.words


def test_nothing_to_confound() -> None:
    data = glimm.datasets.load("sleepstudy")
    found = glimm.checks.confounding(glimm.fit("reaction ~ days + (1 | subject)", data))
    assert found.slopes == ()
    assert "nothing to confound" in str(found)
    with pytest.raises(glimm.DataError, match="no groups"):
        glimm.checks.confounding(glimm.fit("reaction ~ days", data))
    with pytest.raises(glimm.DataError, match="'subject'"):
        glimm.checks.confounding(glimm.fit("reaction ~ days + (1 | subject)", data), "person")


def test_a_bend_is_the_score_test_of_the_square() -> None:
    data = glimm.datasets.load("toenail")
    fit = glimm.fit("infection ~ month + (1 | patient)", data, family="binomial")
    found, other = bend(fit), fit.score_test("I(month**2)", data)
    assert found is not None
    assert found.statistic == pytest.approx(other.statistic, rel=1e-3)
    assert bend(glimm.fit("infection ~ treatment + (1 | patient)", data, family="binomial")) is None
