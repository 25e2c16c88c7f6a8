"""Covariances of the coefficients, and degrees of freedom of their contrasts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError
from ..fit import one_of
from .solve import ITERATIONS

if TYPE_CHECKING:
    from .fit import GEEFit

Array = NDArray[np.float64]

FEW = 40
"""With fewer clusters the sandwich alone is too small (Li and Redden 2015)."""

_EACH = 1e-7  # tolerance of the estimates without each cluster, in standard errors

COVARIANCES = (
    "robust",
    "model",
    "kauermann-carroll",
    "mancl-derouen",
    "fay-graubard",
    "morel",
    "jackknife-onestep",
    "jackknife",
)
FREEDOMS = ("normal", "clusters", "satterthwaite", "pan-wall", "fay-graubard")


def covariance_of(fit: GEEFit, kind: str) -> Array:
    """Covariance (p, p) of a kind; see `GEEFit.vcov`."""
    one_of("covariance", kind, COVARIANCES)
    if kind == "model":
        return fit.estimates.covariance
    if kind == "jackknife":
        return _jackknife(fit)
    p = len(fit.names)
    return fit.problem.covariance(fit.estimates.state, kind).reshape(p, p)


def _jackknife(fit: GEEFit) -> Array:
    """(G - p) / G times the sum of squares of the changes when each cluster is left out."""
    if fit.estimates.copies is not None:
        message = "the full jackknife leaves rows out, not copies; use 'jackknife-onestep'"
        raise DataError(f"{message} with freq=", code="unknown_option")
    scale = fit.model.scale if isinstance(fit.model.scale, float) else None
    state, less = fit.estimates.state, fit.model.less
    found, _ = fit.problem.without_each(state, scale, less, ITERATIONS, _EACH)
    p = len(fit.names)
    change = found.reshape(-1, p) - fit.estimates.beta
    return np.asarray((fit.clusters - p) / fit.clusters * change.T @ change)


def freedom_of(fit: GEEFit, contrasts: ArrayLike | None, kind: str) -> Array:
    """Degrees of freedom (m,) of contrasts; see `GEEFit.freedom`."""
    p = len(fit.names)
    rows = np.eye(p) if contrasts is None else np.asarray(contrasts, dtype=float).reshape(-1, p)
    one_of("df", kind, FREEDOMS)
    if kind == "normal":
        return np.full(len(rows), math.inf)
    if kind == "clusters":
        return np.full(len(rows), max(fit.clusters - p, 1.0))
    corrected = fit.covariance_used
    if corrected in ("model", "morel"):
        corrected = "robust"
    if corrected == "jackknife":
        corrected = "jackknife-onestep"
    key = (kind, corrected, rows.tobytes())
    if key not in fit._known:
        state, contrast = fit.estimates.state, rows.ravel().tolist()
        fit._known[key] = fit.problem.freedom(state, corrected, kind, contrast)
    found: Array = fit._known[key].copy()
    return found
