"""Covariance structures against glmmTMB 1.1.5 and nlme 3.1-162 (R 4.2.2) on two simulated studies.

`series.csv`: 40 people at 12 times; the marginal model of glmmTMB's ``ar1(0 + ftime | id)`` is that
of nlme's ``corExp(nugget = TRUE)``. `longitudinal.csv`: 60 people at 5 times; no residual variance
beside the structure (``dispformula = ~0``; here a residual standard deviation of 1e-4).
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import glimm

FOLDER = Path(__file__).parent / "structures"
# glmmTMB after Newton steps, and nlme: they agree to 2e-9.
SERIES = -621.9871276245
# Residual standard deviations of 1e-4 here, 1.2e-4 in glmmTMB and none in nlme.
LOGLIK = 1e-6
ESTIMATE = 2e-5
LONGITUDINAL = {
    "us": ("(0 + C(time) | id)", -391.9637952719, 2.028590083, 0.7564844850),
    "cs": ("cs(0 + C(time) | id)", -435.8450376231, 2.279848188, 0.5424289707),
    "ar1": ("ar1(0 + time | id)", -417.8909618543, 2.089530544, 0.8054910389),
    "ou": ("ou(0 + time | id)", -417.8909618543, 2.089530544, 0.8054910389),
    "toep": ("toep(0 + time | id)", -396.8334724692, 2.0318, 0.7343),
    "homcs": ("homcs(0 + C(time) | id)", -457.8648184688, 2.2189172, 0.7220505333),
    "diag": ("(0 + C(time) || id)", -489.6654752751, 2.186171167, 0.6686323335),
}


@functools.cache
def data(name: str) -> pd.DataFrame:
    return pd.read_csv(FOLDER / f"{name}.csv")


@pytest.mark.parametrize("structure", ["ar1", "ou"])
def test_a_series_with_residuals(structure: str) -> None:
    formula = f"y ~ time + {structure}(0 + time | id)"
    fit = glimm.fit(formula, data("series"), reml=False)
    assert fit.loglik == pytest.approx(SERIES, abs=1e-8)
    assert fit.coef["time"] == pytest.approx(0.07810072050, abs=1e-6)
    assert fit.se["time"] == pytest.approx(0.02166753045, rel=1e-6)
    assert fit.certificate.loglik_error == 0.0
    table = fit.varcorr()
    assert table["sd"][0] == pytest.approx(1.046716, abs=1e-5)
    assert table["corr"][0] == pytest.approx(np.exp(-1 / 4.780109761), abs=1e-5)
    if structure == "ou":
        assert table["range"][0] == pytest.approx(4.780109761, rel=1e-5)


@pytest.mark.parametrize("name", LONGITUDINAL)
def test_structures_alone(name: str) -> None:
    term, loglik, intercept, treatment = LONGITUDINAL[name]
    formula = f"y ~ time + trt + {term}"
    options = {"reml": False, "hold": {"sigma": 1e-4}, "engine": "sparse"}
    fit = glimm.fit(formula, data("longitudinal"), **options)
    assert fit.diagnostics.converged
    assert fit.loglik == pytest.approx(loglik, abs=LOGLIK)
    digits = 1e-4 if name == "toep" else ESTIMATE
    assert fit.coef["(Intercept)"] == pytest.approx(intercept, abs=digits)
    assert fit.coef["trt"] == pytest.approx(treatment, abs=digits)
