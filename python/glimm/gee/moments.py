"""Scale and working correlation: their standard errors, and the matrix they make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..inference.delta import jacobian

if TYPE_CHECKING:
    from .fit import GEEFit

Array = NDArray[np.float64]


def working(fit: GEEFit) -> dict[str, Any]:
    """Columns of `GEEFit.working`."""
    e = fit.estimates
    scales = fit.scale
    names: list[str] = (
        [f"scale: {name}" for name in scales] if isinstance(scales, dict) else ["scale"]
    )
    errors = standard_errors(fit)
    alpha, errors_alpha = fit._alpha, errors[e.scale.size :]
    if fit.model.corr.name == "ar1" and e.unit != 1:
        errors_alpha = errors_alpha * np.abs(alpha / (e.unit * e.alpha))
    return {
        "name": [*names, *e.alpha_names],
        "estimate": [*e.scale.tolist(), *alpha.tolist()],
        "se": [*errors[: e.scale.size].tolist(), *errors_alpha.tolist()],
    }


def standard_errors(fit: GEEFit) -> Array:
    """Standard errors of scale and correlations, by the sandwich of all equations together.

    With s_i what cluster i adds to the equations of theta = (beta, phi, alpha): A^-1 sum s_i s_i'
    A^-T, where A is minus the derivative of sum s_i: D'V^-1 D for the mean, differences for the
    others.
    """
    e, p = fit.estimates, len(fit.names)
    held = e.scale.size if isinstance(fit.model.scale, float) else 0
    theta = np.concatenate([e.beta, e.scale, e.alpha])
    count = theta.size - p
    copies = np.ones(len(e.levels)) if e.copies is None else e.copies
    told = np.ones(count, dtype=bool)
    told[:held] = False
    if e.pairs.size:
        told[e.scale.size :] = e.pairs > 0
    if fit.model.corr.structure.core == "local_odds":  # told by the responses before the fit
        told[e.scale.size :] = False

    def added(at: Array) -> Array:
        cut = p + e.scale.size
        state = at[:p].tolist(), at[p:cut].tolist(), at[cut:].tolist()
        return fit.problem.moments(state).reshape(-1, count)[:, told]

    def total(at: Array) -> Array:
        return np.asarray(copies @ added(at))

    free = np.concatenate([np.ones(p, dtype=bool), told])
    step = np.concatenate([np.sqrt(np.diag(e.covariance)), np.full(count, 1e-3)])
    derivative = jacobian(total, theta, np.where(free, step, 0.0))[:, free]
    bread = np.zeros((free.sum(), free.sum()))
    bread[:p, :p] = np.linalg.inv(e.covariance)
    bread[p:] = -derivative
    root = np.sqrt(copies)[:, None]
    scores = np.hstack([fit.scores(), root * added(theta)])
    inverse = np.linalg.inv(bread)
    variance: Array = np.diag(inverse @ (scores.T @ scores) @ inverse.T)[p:]
    errors: Array = np.full(count, np.nan)
    errors[told] = np.sqrt(variance)
    return errors


def matrix(fit: GEEFit) -> Array:
    """See `GEEFit.correlation`."""
    e, corr = fit.estimates, fit.model.corr
    if corr.name == "pairwise":
        message = "a regression of the correlation on pairs has no one matrix; see fit.alpha"
        raise DataError(message, code="unknown_option")
    if corr.name == "nested":
        message = "a nested correlation has a matrix for each cluster; see fit.alpha"
        raise DataError(message, code="unknown_option")
    if corr.structure.core == "local_odds":
        message = "local odds ratios make a matrix for each cluster, by its classes' probabilities"
        raise DataError(f"{message}; see fit.alpha", code="unknown_option")
    if not corr.structure.time:
        n = int(e.sizes.max())
        same = float(e.alpha[0]) if e.alpha.size else 0.0
        return np.asarray(np.eye(n) * (1 - same) + same)
    if corr.name == "fixed":
        return np.array(corr.matrix)
    lags = np.abs(np.subtract.outer(e.points, e.points)) / e.unit
    if corr.name == "ar1":
        return np.asarray(float(e.alpha[0]) ** lags)
    alpha = fit._alpha
    found = np.eye(e.points.size)
    if corr.name == "unstructured":
        below = np.tril_indices(e.points.size, -1)
        found[below] = alpha
        found.T[below] = alpha
        return found
    steps = np.round(lags).astype(int)
    known = np.concatenate([[1.0], alpha, np.zeros(max(0, int(steps.max()) - alpha.size))])
    return np.asarray(known[steps])
