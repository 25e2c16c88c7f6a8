"""Peer results, the glimm fits they are held against, and the size of each difference.

Each folder of ``cases`` holds a data file and ``reference.json``: source and licence of the data,
and for each model the peers' results with version, exact call and definition:

* ``exact``: Gaussian responses with the identity link, where the marginal likelihood is closed;
* ``laplace_observed``: the Laplace approximation with the observed information, as in glimm;
* ``laplace_expected``: with the expected information (lme4 when the link is not canonical);
* ``not_ml``: the peer does not maximise a likelihood of the stated model.

``se_definition`` says whether a peer's standard errors treat the variances as known.
"""

from __future__ import annotations

import functools
import json
import math
import tomllib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import glimm

FOLDER = Path(__file__).parent
# Peers have the Laplace approximation too, however far it is from the integral.
COARSE = "The integral over the random effects"
CASES = sorted(path.parent.name for path in (FOLDER / "cases").glob("*/reference.json"))
# A peer that states no standard error of a standard deviation: one tenth of the value is typical.
TYPICAL_SD_ERROR = 0.1
# At a variance of zero the error scale vanishes; this share of the model's scale replaces it.
BOUNDARY_SHARE = 1e-2
# The same for modes and conditional standard deviations.
MODE_SHARE = 1e-6


@functools.cache
def reference(case: str) -> dict[str, Any]:
    """Return the stored reference of one case."""
    text = (FOLDER / "cases" / case / "reference.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@functools.cache
def data(case: str) -> pd.DataFrame:
    """Read the data of one case, with its factors' level order and its labels as text."""
    about = reference(case)["data"]
    as_text = dict.fromkeys([*about["labels"], *about["factors"]], str)
    frame = pd.read_csv(FOLDER / "cases" / case / about["file"], dtype=as_text)
    for name, levels in about["factors"].items():
        frame[name] = pd.Categorical(frame[name], categories=levels)
    return frame


def models() -> Iterator[tuple[str, dict[str, Any]]]:
    """Walk all models of all cases."""
    for case in CASES:
        for model in reference(case)["fits"]:
            yield case, model


@functools.cache
def fitted(case: str, model_id: str) -> glimm.Fit:
    """Fit one model once for all tests of the session."""
    model = next(m for m in reference(case)["fits"] if m["id"] == model_id)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", COARSE)
        return glimm.fit(
            model["formula"],
            data(case),
            family=model["family"],
            link=model["link"],
            integration="laplace",
            **model["options"],
        )


@functools.cache
def register() -> dict[tuple[str, str, str, str], tuple[float, str, str]]:
    """Return size, reason and evidence of each explained difference.

    The keys are case, model, peer and quantity.
    """
    entries = tomllib.loads((FOLDER / "divergences.toml").read_text(encoding="utf-8"))
    return {
        (e["case"], e["fit"], e["peer"], quantity): (size, e["reason"], e["evidence"])
        for e in entries["divergence"]
        for quantity, size in e["sizes"].items()
    }


def differences(fit: glimm.Fit, model: dict[str, Any], peer: dict[str, Any]) -> dict[str, float]:
    """Return the largest difference per quantity, in the unit its tolerance is stated in."""
    sizes = {
        "loglik": abs(fit.loglik - peer["loglik"]),
        "estimates": estimate_difference(fit, peer),
        "se": se_difference(fit, peer),
        "sds": sd_difference(fit, model, peer),
        "correlations": correlation_difference(fit, model, peer),
        "dispersion": dispersion_difference(fit, model, peer),
        "variance_errors": variance_error_difference(fit, peer),
        "modes": mode_difference(fit, peer, "mode"),
        "cond_sd": mode_difference(fit, peer, "cond_sd"),
    }
    return {name: size for name, size in sizes.items() if size is not None}


def estimate_difference(fit: glimm.Fit, peer: dict[str, Any]) -> float | None:
    """Fixed effects, in the peer's standard errors; None where the peer has no standard errors."""
    fixed = peer["fixed"]
    if None in fixed["se"]:
        return None
    ours = np.array([fit.coef[name] for name in fixed["names"]])
    return largest(ours - np.array(fixed["estimate"]), np.array(fixed["se"]))


def se_difference(fit: glimm.Fit, peer: dict[str, Any]) -> float | None:
    """Return the difference of standard errors of the fixed effects, relative to the peer's."""
    fixed = peer["fixed"]
    if None in fixed["se"]:
        return None
    ours = standard_errors(fit, peer["se_definition"])
    theirs = np.array(fixed["se"])
    return largest(np.array([ours[name] for name in fixed["names"]]) - theirs, theirs)


def standard_errors(fit: glimm.Fit, definition: str) -> dict[str, float]:
    """Return standard errors of the fixed effects by either definition."""
    if definition == "joint_observed":
        return dict(fit.se)
    # With the variances held fixed the information about the fixed effects is its own block.
    names = [name for name, value in fit.coef.items() if math.isfinite(value)]
    everything = fit.vcov("all")
    known = np.isfinite(np.diag(everything))
    information = np.linalg.inv(everything[np.ix_(known, known)])
    block = information[: len(names), : len(names)]
    return dict(zip(names, np.sqrt(np.diag(np.linalg.inv(block))), strict=True))


def random_terms(fit: glimm.Fit) -> dict[tuple[str, str], float]:
    """Return the standard deviations by group and column name."""
    frame = fit.varcorr()
    rows = zip(frame["group"], frame["name"], frame["sd"], strict=True)
    return {(str(group), str(name)): float(sd) for group, name, sd in rows}


def sd_difference(fit: glimm.Fit, model: dict[str, Any], peer: dict[str, Any]) -> float | None:
    """Return the difference of random-effect standard deviations, in their standard errors."""
    ours = random_terms(fit)
    errors = sd_errors(model)
    floor = BOUNDARY_SHARE * scale(fit)
    gaps, units = [], []
    for term in peer["random"]:
        for name, sd in zip(term["names"], term["sd"], strict=True):
            gaps.append(ours[term["group"], name] - sd)
            error = errors.get((term["group"], name), TYPICAL_SD_ERROR * sd)
            units.append(max(error, floor, BOUNDARY_SHARE * sd))
    return largest(np.array(gaps), np.array(units))


def scale(fit: glimm.Fit) -> float:
    """Return the size of an effect that matters: the largest sd, or that of single rows."""
    single = fit.dispersion["sigma"] if fit.dispersion and fit.model.link == "identity" else 1.0
    return max(single, *random_terms(fit).values())


def sd_errors(model: dict[str, Any]) -> dict[tuple[str, str], float]:
    """Collect the standard errors of standard deviations that any peer of a model states."""
    errors = {}
    for peer in model["peers"]:
        for term in peer["random"]:
            for name, sd, error in zip(term["names"], term["sd"], term["sd_se"], strict=True):
                # An error larger than the value marks the boundary, where it has no meaning.
                if error is not None and error < max(sd, 1e-12):
                    errors[term["group"], name] = error
    return errors


def correlation_difference(
    fit: glimm.Fit, model: dict[str, Any], peer: dict[str, Any]
) -> float | None:
    """Return the difference of correlations, in standard errors where a peer states them."""
    ours = correlations(fit)
    sizes = []
    for term in peer["random"]:
        if term["corr"] is None:
            continue
        stated = [
            t["corr_se"] for p in model["peers"] for t in p["random"] if t["group"] == term["group"]
        ]
        unit = max([error for error in stated if error is not None], default=TYPICAL_SD_ERROR)
        gap = abs(ours[term["group"]] - term["corr"])
        sizes.append(gap / max(unit, BOUNDARY_SHARE))
    return max(sizes, default=None)


def correlations(fit: glimm.Fit) -> dict[str, float]:
    """Return the correlation of each two-column term by group."""
    frame = fit.varcorr()
    found = {}
    for group, text in zip(frame["group"], frame["corr"], strict=True):
        if isinstance(text, int | float) and math.isfinite(text):
            found[str(group)] = float(text)
    return found


def dispersion_difference(
    fit: glimm.Fit, model: dict[str, Any], peer: dict[str, Any]
) -> float | None:
    """Return the difference of the dispersion parameter, in its standard error."""
    if "dispersion" not in peer:
        return None
    (name,) = peer["dispersion"]
    stated = [p.get("dispersion_se") for p in model["peers"]]
    theirs = peer["dispersion"][name]
    unit = next((error for error in stated if error), TYPICAL_SD_ERROR * theirs)
    assert fit.dispersion is not None
    return abs(fit.dispersion[name] - theirs) / unit


def variance_error_difference(fit: glimm.Fit, peer: dict[str, Any]) -> float | None:
    """Standard errors of standard deviations and of the dispersion, relative to the peer's."""
    ours = sd_standard_errors(fit)
    sizes = [
        abs(ours[term["group"], name] / error - 1)
        for term in peer["random"]
        for name, sd, error in zip(term["names"], term["sd"], term["sd_se"], strict=True)
        if error is not None and error < sd
    ]
    if peer.get("dispersion_se") is not None:
        ((name, value),) = (fit.dispersion or {}).items()
        at = fit.parameter_names.index(f"log({name})")
        sizes.append(abs(value * math.sqrt(fit.vcov("all")[at, at]) / peer["dispersion_se"] - 1))
    return max(sizes, default=None)


def sd_standard_errors(fit: glimm.Fit) -> dict[tuple[str, str], float]:
    """Return the standard error of each standard deviation, by the delta method."""
    everything = fit.vcov("all")
    at = {name: i for i, name in enumerate(fit.parameter_names)}
    values = dict(zip(fit.parameter_names, fit.estimates.parameters, strict=True))
    errors = {}
    for term in fit.design.terms:
        for column in term.columns:
            start = f"{term.label}: " + ("sd" if term.structure == "diag" else "chol")
            own = (f"{start}[{column}]", f"{start}[{column}, ")
            names = [name for name in fit.parameter_names if name.startswith(own)]
            row = np.array([values[name] for name in names])
            rows = [at[name] for name in names]
            # The sd is the length of its row of the factor; at 0 it has no derivative.
            slope = row / max(float(np.linalg.norm(row)), 1e-300)
            variance = float(slope @ everything[np.ix_(rows, rows)] @ slope)
            errors[term.label, column] = math.sqrt(max(variance, 0.0))
    return errors


def mode_difference(fit: glimm.Fit, peer: dict[str, Any], quantity: str) -> float | None:
    """Modes in units of conditional sds, or conditional sds relative to the peer's."""
    frame = fit.ranef()
    keys = zip(frame["group"], frame["level"], frame["name"], strict=True)
    ours = {tuple(map(str, key)): i for i, key in enumerate(keys)}
    values = np.asarray(frame[quantity], dtype=float)
    sizes = []
    for block in peer.get("modes", []):
        if quantity not in block:
            continue
        rows = [ours[block["group"], level, block["name"]] for level in block["levels"]]
        theirs = np.array(block[quantity])
        units = np.array(block.get("cond_sd", np.abs(theirs)))
        sizes.append(largest(values[rows] - theirs, np.maximum(units, MODE_SHARE * scale(fit))))
    return max(sizes, default=None)


def largest(gaps: np.ndarray, units: np.ndarray) -> float:
    """Return the largest absolute ratio."""
    return float(np.max(np.abs(gaps) / units))
