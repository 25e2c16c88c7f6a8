"""Fits by quadrature, held to the printed digits of independently computed values."""

from __future__ import annotations

import csv
import warnings
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import reference_data

import glimm
from glimm.problem import make_problem

HERE = Path(__file__).parent / "integration"
PRINTED_UNITS = 1.01  # the last printed digit may be rounded or truncated
TOENAIL = "out01 ~ time * treatment + (1 | patientID)"
CBPP = "incidence / size ~ period + (1 | herd)"


@dataclass(frozen=True, slots=True)
class Known:
    """Numbers as printed, so that their digits state the precision."""

    data: str
    formula: str
    integration: str
    loglik: str
    coef: tuple[str, ...]
    sd: str
    se: tuple[str, ...] = ()


def known() -> list[Known]:
    """The rows of `known.csv`, text as it stands there."""
    with (HERE / "known.csv").open() as file:
        return [
            Known(**(row | {"coef": tuple(row["coef"].split()), "se": tuple(row["se"].split())}))
            for row in csv.DictReader(file)
        ]


@cache
def data(name: str) -> pd.DataFrame:
    """Read a file of this folder, or the data of a reference case."""
    file = HERE / f"{name}.csv"
    return pd.read_csv(file) if file.exists() else reference_data.data(name)


def fit(
    formula: str, frame: pd.DataFrame, integration: str = "auto", family: str = "binomial"
) -> glimm.Fit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.errors.FitWarning)
        return glimm.fit(formula, frame, family=family, integration=integration)


def agrees(value: float, printed: str) -> bool:
    decimals = len(printed.partition(".")[2])
    return abs(value - float(printed)) <= PRINTED_UNITS * 10.0**-decimals


@pytest.mark.parametrize("known", known(), ids=lambda k: f"{k.data}-{k.integration}")
def test_known_values(known: Known) -> None:
    found = fit(known.formula, data(known.data), known.integration)
    assert agrees(found.loglik, known.loglik), found.loglik
    assert agrees(found.factors[0][0, 0], known.sd), found.factors[0]
    for value, printed in zip(found.coef.values(), known.coef, strict=False):
        assert agrees(value, printed), found.coef
    for value, printed in zip(found.se.values(), known.se, strict=False):
        assert agrees(value, printed), found.se


def test_runaway_laplace_is_left_for_the_truth() -> None:
    """Laplace has its only maximum at an intercept of 45 and a "log-likelihood" of -579.86."""
    found = fit("imps79b ~ TxDrug * SqrtWeek + (1 + SqrtWeek | id)", data("schizophrenia"))
    assert agrees(found.loglik, "-613.7049"), found.loglik
    known = (5.9303, 0.2887, -1.4033, -1.6116)
    assert np.allclose(list(found.coef.values()), known, atol=1.01e-4), found.coef
    lower = np.linalg.cholesky(found.covariances[0])
    assert np.allclose(lower[np.tril_indices(2)], (2.6412, -0.7950, 1.5668), atol=1.01e-4), lower
    assert np.allclose(list(found.se.values()), (0.947, 0.744, 0.473, 0.481), atol=1.01e-3), (
        found.se
    )
    assert found.certificate.runaway
    assert "laplace_runaway" in {finding.code for finding in found.diagnostics.findings}
    assert found.diagnostics.converged


def test_a_zero_variance_is_zero_by_every_rule() -> None:
    frame = data("gopher")
    for integration in ("laplace", "agq:5", "auto"):
        found = fit(
            "shells ~ year + prev + offset(log(Area)) + (1 | Site)",
            frame,
            integration,
            "poisson",
        )
        assert agrees(found.loglik, "-38.168651"), (integration, found.loglik)
        assert found.factors[0][0, 0] == 0.0, integration


def test_the_certificate_says_what_laplace_lacks() -> None:
    frame = data("toenail")
    laplace, best = fit(TOENAIL, frame, "laplace"), fit(TOENAIL, frame)
    assert laplace.certificate.checked == laplace.certificate.units == 294
    assert laplace.certificate.worst > 2
    assert "integral_bias" in {finding.code for finding in laplace.diagnostics.findings}
    assert best.certificate.worst < 1e-4
    assert best.certificate.loglik_error < 1e-6
    assert not any(finding.serious for finding in best.diagnostics.findings)


def test_a_fit_can_be_verified() -> None:
    for formula, name in ((TOENAIL, "toenail"), (CBPP, "cbpp")):
        found = fit(formula, data(name)).verify()
        assert found.passed, str(found)
        assert len(found.checks) == 5


def test_verification_fails_for_a_wrong_fit() -> None:
    import dataclasses

    found = fit(CBPP, data("cbpp"))
    wrong = dataclasses.replace(found.estimates, loglik=found.loglik + 0.01)
    assert not dataclasses.replace(found, estimates=wrong).verify().passed


@pytest.mark.parametrize("family", ["poisson", "binomial"])
@pytest.mark.parametrize("sd", [0.3, 1.5])
def test_laplace_with_slopes_states_its_error(family: str, sd: float) -> None:
    rng = np.random.default_rng(7)
    g, x = np.repeat(np.arange(30), 8), rng.normal(size=240)
    eta = 0.3 + 0.5 * x + sd * (rng.normal(size=30)[g] + 0.5 * rng.normal(size=30)[g] * x)
    chance = rng.random(240) < 1 / (1 + np.exp(-eta))
    y = rng.poisson(np.exp(eta)) if family == "poisson" else chance.astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.FitWarning)
        fit = glimm.fit(
            "y ~ x + (1 + x | g)", {"y": y, "x": x, "g": g}, family, integration="laplace"
        )
    exact = make_problem(replace(fit.model, integration="exact"), fit.design)
    found = exact.evaluate(fit.estimates.parameters)
    assert found is not None
    lacking = abs(found[0] - fit.loglik)
    assert lacking <= fit.certificate.loglik_error <= 1.3 * lacking + 3e-3
