"""Covariance structures against glmmTMB 1.1.5 and nlme 3.1-162 (R 4.2.2) on two simulated studies.

`series.csv`: 40 people at 12 times; the marginal model of glmmTMB's ``ar1(0 + ftime | id)`` is that
of nlme's ``corExp(nugget = TRUE)``. `longitudinal.csv`: 60 people at 5 times; no residual variance
beside the structure (``dispformula = ~0``; here a residual standard deviation of 1e-4).
`field.csv`: 160 rows at 40 places of the plane; glmmTMB with ``exp``, ``gau`` and ``mat`` of a
numFactor, the smoothness of the last fixed by ``map``. glmmTMB's range of ``mat`` is this one over
sqrt(2 nu).
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


# Smooth fields have a nugget of 1e-8 here, none in glmmTMB.
FIELD = 2e-6
FIELDS = [
    ("exp(e + n | all)", "y", -121.583414951, 0.58698664, -0.24426196, 0.97477358),
    ("exp(e + n | all)", "k", -268.494246561, 0.25273255, -0.42198176, 0.94186960),
    ("gau(e + n | all)", "y", -123.683469902, 0.59203602, -0.21105246, 0.49456987),
    ("gau(e + n | all)", "k", -266.688691930, 0.24414429, -0.43397044, 0.78866401),
    ("mat(e + n | all)", "y", -121.692619708, 0.58868516, -0.21875621, -0.07320116),
    ("mat(e + n | all)", "k", -266.939809515, 0.24996494, -0.40026692, 0.14551263),
    ("mat(e + n | all, nu=2.5)", "y", -122.235625632, 0.58910690, -0.21823996, -0.46554298),
    ("mat(e + n | all, nu=2.5)", "k", -266.712489320, 0.24839554, -0.40943575, -0.20418335),
]


@pytest.mark.filterwarnings("ignore::glimm.FitWarning")
@pytest.mark.parametrize(("term", "response", "loglik", "x", "log_sd", "log_range"), FIELDS)
def test_fields(
    term: str, response: str, loglik: float, x: float, log_sd: float, log_range: float
) -> None:
    poisson = {"family": "poisson", "integration": "laplace"}
    options = {"reml": False} if response == "y" else poisson
    fit = glimm.fit(f"{response} ~ x + {term}", data("field"), **options)
    assert fit.loglik == pytest.approx(loglik, abs=FIELD)
    assert fit.coef["x"] == pytest.approx(x, rel=1e-4)
    table = fit.varcorr()
    assert np.log(table["sd"][0]) == pytest.approx(log_sd, abs=1e-3)
    scale = {"exp": 1.0, "gau": 1.0, "mat": np.sqrt(5.0 if "2.5" in term else 3.0)}[term[:3]]
    assert np.log(table["range"][0] / scale) == pytest.approx(log_range, abs=1e-3)
