"""Estimating equations against geepack, gee, geeM and statsmodels.

The peers solve the same equations to 1e-10 or so; what is left is their tolerance.
"""

from __future__ import annotations

import functools
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import glimm

FOLDER = Path(__file__).parent.parent / "reference"
REFERENCE: dict[str, Any] = json.loads((FOLDER / "gee" / "reference.json").read_text("utf-8"))
RELATIVE = 1e-6

_MEAN = {
    "dietox": {"formula": "Weight ~ Cu * Time", "groups": "Pig"},
    "dietox_gaps": {"formula": "Weight ~ Cu * Time", "groups": "Pig"},
    "ohio": {"formula": "resp ~ age * smoke", "groups": "id", "family": "binomial"},
    "seizure": {
        "formula": "y ~ post * trt + offset(log(weeks))",
        "groups": "id",
        "family": "poisson",
    },
}
_TIME = {"dietox": "Time", "dietox_gaps": "Time", "ohio": "age", "seizure": "time"}
_CORR = {
    "ind": "independence",
    "independence": "independence",
    "exch": "exchangeable",
    "exchangeable": "exchangeable",
    "ar1": "ar1",
    "unstr": "unstructured",
}
# What else a peer was asked, in our words.
_ASKED: dict[str, dict[str, Any]] = {
    "geepack_gamma_exch": {"family": "gamma", "link": "log", "corr": "exchangeable"},
    # geepack holds the scale at the value that the independent model has.
    "geepack_exch_scalefix": {"corr": "exchangeable", "scale": 0.9996163770646455},
    "geepack_exch_no207": {"corr": "exchangeable", "without": 49},
    "dietox_gaps_ar1": {"corr": "ar1"},
    "seizure_scale": {"corr": "exchangeable", "scale": "~ trt"},
    "ohio_lag": {"corr_formula": "~ lag"},
    "ohio_toeplitz": {"corr": "toeplitz"},
    "ohio_mdep1": {"corr": "m_dependent:1"},
    # statsmodels divides these by the number of pairs, the scale by n - p.
    "statsmodels_stationary": {"corr": "m_dependent:1", "moments": "n"},
    "seizure_jackknife": {"corr": "exchangeable"},
}


@functools.cache
def data(name: str) -> pd.DataFrame:
    """Read data with the rows in an order of their own."""
    frame = pd.read_csv(FOLDER / "gee" / REFERENCE["data"][name]["file"])
    return frame.sample(frac=1, random_state=3)


def fitted(entry: dict[str, Any]) -> glimm.GEEFit:
    """Fit what the peer fitted, with its divisor of moments."""
    name = entry["data"]
    given = _ASKED.get(entry["id"]) or {"corr": _CORR[entry["id"].split("_")[1]]}
    given = {**_MEAN[name], "time": _TIME[name], **given}
    frame = data(name)
    if (left_out := given.pop("without", None)) is not None:
        frame = frame[frame["id"] != left_out]
    given = {"moments": "n" if "geepack" in entry["peer"] else "n-p", **given}
    return glimm.gee(data=frame, covariance="robust", df="normal", **given)


def relative(ours: Any, theirs: Any) -> float:
    """Largest difference, relative to the largest number of each row."""
    a, b = np.atleast_1d(np.asarray(ours, float)), np.atleast_1d(np.asarray(theirs, float))
    return float(np.max(np.abs(a - b) / np.maximum(np.abs(b), 1e-3 * np.abs(b).max())))


def alphas(fit: glimm.GEEFit, entry: dict[str, Any]) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Return the correlations of both, in the peer's order and units."""
    ours = np.array(list(fit.alpha.values()))
    if entry["id"] == "ohio_lag":
        return 2 * ours, np.array(entry["alpha"])  # Fisher's z there is 2 atanh
    if entry.get("matrix") is not None:
        return fit.correlation(), np.array(entry["matrix"])
    if entry.get("alpha") is None or not ours.size:
        return None
    if entry["id"] == "geepack_unstr":
        below = np.tril_indices(4, -1)
        theirs = np.zeros((4, 4))
        theirs.T[np.triu_indices(4, 1)[::-1]] = 0
        theirs[np.triu_indices(4, 1)] = entry["alpha"]
        return fit.correlation()[below], theirs.T[below]
    return ours, np.atleast_1d(np.array(entry["alpha"], float))


def differences(entry: dict[str, Any]) -> dict[str, float]:
    """Relative differences by quantity."""
    fit = fitted(entry)
    sizes = {
        "estimates": relative(fit.estimates.beta, entry["estimate"]),
        "robust": relative(fit.vcov("robust"), entry["robust"]),
    }
    scale = 1.0
    if entry["scale"] is not None and entry["peer"].startswith("statsmodels"):
        scale = entry["scale"] / float(fit.estimates.scale[0])  # held at 1 for binomial there
    elif entry["scale"] is not None:
        sizes["scale"] = relative(fit.estimates.scale, entry["scale"])
    if entry.get("model") is not None:
        sizes["model"] = relative(scale * fit.vcov("model"), entry["model"])
    if (pair := alphas(fit, entry)) is not None:
        sizes["alpha"] = relative(*pair)
    if entry.get("mancl_derouen") is not None:
        sizes["mancl_derouen"] = relative(fit.vcov("mancl-derouen"), entry["mancl_derouen"])
    return sizes


def register() -> dict[tuple[str, str], dict[str, float]]:
    """Return the differences that are explained."""
    entries = tomllib.loads((FOLDER / "divergences.toml").read_text(encoding="utf-8"))["gee"]
    return {(entry["data"], entry["fit"]): entry["sizes"] for entry in entries}


@pytest.mark.parametrize("entry", REFERENCE["fits"], ids=lambda e: f"{e['data']}-{e['id']}")
def test_the_peer_has_the_same_numbers(entry: dict[str, Any]) -> None:
    explained = register().get((entry["data"], entry["id"]), {})
    for quantity, size in differences(entry).items():
        if quantity in explained:
            assert explained[quantity] / 2 < size < explained[quantity] * 2, (quantity, size)
        else:
            assert size < RELATIVE, (quantity, size)


def test_the_jackknife_of_geepack_counts_scale_and_correlation_too() -> None:
    entry = next(e for e in REFERENCE["fits"] if e["id"] == "seizure_jackknife")
    fit = fitted(entry)
    factor = (59 - 6) / (59 - 4)  # coefficients, scale and correlation, ours coefficients alone
    assert relative(factor * fit.vcov("jackknife-onestep"), entry["j1s"]) < RELATIVE
    assert relative(factor * fit.vcov("jackknife"), entry["fij"]) < 1e-4  # their steps end earlier


@pytest.mark.parametrize("name", ["dietox", "ohio", "seizure"])
def test_qic_of_geepack(name: str) -> None:
    """Its quasi-likelihood has scale 1, its information is that of the independent model."""
    known = {e["id"]: e for e in REFERENCE["fits"] if e["data"] == name}
    alone, fit = fitted(known["geepack_ind"]), fitted(known["geepack_exch"])
    theirs = known["geepack_exch"]["qic"]
    quasi = fit.qic(scale=1.0).quasi
    assert quasi == pytest.approx(theirs["Quasi Lik"], rel=RELATIVE)
    cic = np.trace(np.linalg.solve(alone.vcov("model"), fit.vcov("robust")))
    assert cic == pytest.approx(theirs["CIC"], rel=RELATIVE)
    assert -2 * quasi + 2 * cic == pytest.approx(theirs["QIC"], rel=RELATIVE)
    criteria = alone.qic(scale=1.0)
    assert criteria.cic == pytest.approx(known["geepack_ind"]["qic"]["CIC"], rel=RELATIVE)
