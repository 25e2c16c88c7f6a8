"""Families with several predictors against glmmTMB and lme4 at full precision.

``families/references.json`` holds the results with version and call, glmmTMB's at the optimum of
its own objective after further Newton steps; ``families/*.csv`` the data they saw.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from reference_data import COARSE

import glimm

FOLDER = Path(__file__).parent / "families"
REFERENCES: dict[str, Any] = json.loads((FOLDER / "references.json").read_text(encoding="utf-8"))
ROWS = REFERENCES["fits"]


def label(row: dict[str, Any]) -> str:
    parts = "-".join(f"{key}{value}" for key, value in row["options"].items())
    return f"{row['data']}-{row['family']}-{parts}{row['formula'][-20:]}"


EACH = pytest.mark.parametrize("row", range(len(ROWS)), ids=map(label, ROWS))

# Nats.
LOGLIK = 1e-7
# Standard errors of the parameter.
ESTIMATE = 1e-5
# Relative; theirs come from differences of the gradient, which shows at 1e-6.
SE = 2e-6
# Relative to the standard deviation, where it is not on the boundary.
SD = 1e-5

# (data, family): coefficients that run to minus infinity, where each program stops elsewhere on the
# same flat likelihood. As its mean goes to zero a truncated nbinom1 becomes the logarithmic
# distribution, which depends on phi alone: the counts of mined sites are fitted best there, and
# glmmTMB stops at -14.6 with a standard error of 4,671.
FLAT = {("salamanders_found", "truncated_nbinom1")}


@functools.cache
def data(name: str) -> pd.DataFrame:
    about = REFERENCES["data"][name]
    frame = pd.read_csv(FOLDER / f"{name}.csv", dtype=dict.fromkeys(about["factors"], str))
    for factor, levels in about["factors"].items():
        frame[factor] = pd.Categorical(frame[factor], categories=levels)
    return frame


@functools.cache
def fitted(row: int) -> glimm.Fit:
    r = ROWS[row]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if is_flat(row) else "error", glimm.FitWarning)
        warnings.filterwarnings("ignore", COARSE)
        return glimm.fit(
            r["formula"],
            data(r["data"]),
            family=r["family"],
            integration="laplace",
            **r["options"],
        )


def is_flat(row: int) -> bool:
    return (ROWS[row]["data"], ROWS[row]["family"]) in FLAT


@EACH
def test_converged(row: int) -> None:
    found = fitted(row).diagnostics
    assert found.converged
    assert is_flat(row) == ("unidentified" in [finding.code for finding in found.findings])


@EACH
def test_log_likelihood(row: int) -> None:
    gap = fitted(row).loglik - ROWS[row]["loglik"]
    assert abs(gap) <= LOGLIK, f"differs by {gap:.3g}"


@EACH
def test_estimates_and_errors(row: int) -> None:
    if is_flat(row):
        return
    fit, peer = fitted(row), ROWS[row]["coef"]
    for part, theirs in peer.items():
        ours = fit.part({"cond": "mean"}.get(part, part))
        # R and formulaic order the columns of factors alike, and name them differently.
        assert len(ours.names) == len(theirs["names"])
        errors = np.array(list(ours.se.values()))
        size = np.abs(ours.estimates - theirs["estimate"]) / errors
        assert size.max() <= ESTIMATE, f"{part}: {size.max():.3g}"
        if theirs["se"] is not None:
            ratio = np.abs(errors / np.array(theirs["se"]) - 1)
            assert ratio.max() <= SE, f"{part}: {ratio.max():.3g}"


@EACH
def test_standard_deviations_and_dispersion(row: int) -> None:
    fit, peer = fitted(row), ROWS[row]
    for ours, theirs in zip(fit.covariances, [peer["sd"]] if peer["sd"] else [], strict=True):
        size = np.abs(np.sqrt(np.diag(ours)) / np.array(theirs) - 1).max()
        assert size <= SD or min(theirs) <= 1e-3, f"sd differs by {size:.3g}"
    if fit.dispersion is not None and peer["sigma"] is not None:
        ((_, value),) = fit.dispersion.items()
        size = abs(math.log(value / peer["sigma"]))
        assert size <= SD, f"{value} is not {peer['sigma']}"
    if "psi" in peer:
        (psi,) = peer["psi"]
        power = 1 + 1 / (1 + math.exp(-psi))
        assert fit.shape["power"] == pytest.approx(power, abs=1e-6)


@pytest.mark.parametrize("row", [k for k, r in enumerate(ROWS) if "vcov" in r])
def test_covariances_of_coefficients_that_are_integrated_out(row: int) -> None:
    fit, theirs = fitted(row), np.array(ROWS[row]["vcov"])
    errors = np.sqrt(np.diag(theirs))
    assert (np.abs(fit.vcov() - theirs) / np.outer(errors, errors)).max() <= SE


@pytest.mark.parametrize("name", REFERENCES["data"])
def test_the_data_are_the_ones_the_peers_saw(name: str) -> None:
    raw = (FOLDER / f"{name}.csv").read_bytes()
    about = REFERENCES["data"][name]
    assert hashlib.sha256(raw).hexdigest() == about["sha256"]
    assert about["source"]
