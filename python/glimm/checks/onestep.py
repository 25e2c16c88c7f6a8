"""One step of Newton's method from the estimates when some rows are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..problem import make_problem
from .deletion import Rest, plain_model
from .posterior import free_parameters

if TYPE_CHECKING:
    from ..fit import Fit

Array = NDArray[np.float64]

_STEP = 1e-3
"""Part of a standard error by which variances are moved to see how the information changes."""
_FAR = 100.0
"""Squared length of a step, in standard errors, beyond which the quadratic says nothing."""
_TOLD = 1e-10
"""Smallest eigenvalue of a scaled information that still tells its parameters."""


def one_step(fit: Fit, rest: Rest) -> tuple[Array, Array, Array]:
    """Return parameters (m, P), log det of the mean's covariance, and its standard errors (m, p).

    psi + J^-1 U, with U the gradient and J the information of the rows left, at psi. Parameters
    that the data do not tell, and covariances on their boundary, are held (NaN); where the rows
    left tell the coefficients and not all else, everything else is held.
    """
    e, p = fit.estimates, len(fit.names)
    u, j = rest(e.parameters)
    free = free_parameters(fit)
    at = np.flatnonzero(free)
    if is_linear(fit):
        return _linear(fit, rest, u, j, at)
    b = at[at < p]
    inverse, step = _newton(u, j, at)
    mean = inverse[:, : b.size, : b.size]
    lost = ~np.isfinite(step).all(axis=1)
    if lost.any():
        mean[lost], alone = _newton(u[lost], j[lost], b)
        step[lost] = np.nan
        step[np.ix_(lost, np.arange(b.size))] = alone
    moved = np.full(u.shape, np.nan)
    moved[:, at] = step
    return e.parameters + moved, _logdet(mean), _errors(mean, free[:p])


def _newton(u: Array, j: Array, at: NDArray[np.int64]) -> tuple[Array, Array]:
    """J^-1 and J^-1 U of the parameters `at`; NaN where J does not tell them, or U is far off."""
    inverse = _inverses(j[:, at[:, None], at])
    step = np.einsum("gij,gj->gi", inverse, u[:, at])
    step[np.einsum("gi,gi->g", u[:, at], step) > _FAR] = np.nan
    return inverse, step


def is_linear(fit: Fit) -> bool:
    """Whether the log-likelihood is quadratic in the coefficients of the mean."""
    plain = fit.model.family.name == "gaussian" and fit.model.link == "identity"
    on_mean = all(k == 0 for term in fit.design.terms for k in term.predictors)
    return plain and fit.model.zi is None and on_mean and fit.model.penalty is None


def _linear(
    fit: Fit, rest: Rest, u: Array, j: Array, at: NDArray[np.int64]
) -> tuple[Array, Array, Array]:
    r"""Coefficients b exactly given the variances t, then a step in t, and b after it.

    d = J_bb^-1 U_b;  the log-likelihood is quadratic in b, so that at b + d
    U_t becomes U_t - J_tb d - d'J_bb,t d / 2 (less tr(J_bb^-1 J_bb,t) / 2 for REML)
    and J_tb becomes J_tb + J_bb,t d, with J_bb,t the derivative of J_bb in t, by differences.
    """
    p, psi = len(fit.names), fit.estimates.parameters
    b, t = at[at < p], at[at >= p]
    slopes = _slopes(fit, rest, b, t)
    inverse = _inverses(j[:, b[:, None], b])
    d = np.einsum("gij,gj->gi", inverse, u[:, b])
    turned = np.einsum("gtij,gj->gti", slopes, d)
    tb, tt = j[:, t[:, None], b], j[:, t[:, None], t]
    score = u[:, t] - np.einsum("gti,gi->gt", tb, d) - np.einsum("gti,gi->gt", turned, d) / 2
    traces = np.einsum("gij,gtji->gt", inverse, slopes)
    if fit.model.reml:
        score -= traces / 2
    tb = tb + turned
    profile = tt - np.einsum("gti,gij,gsj->gts", tb, inverse, tb) + _restricted(fit, b, t)
    step = _newton(score, profile, np.arange(t.size))[1] if t.size else score
    moved = np.full(u.shape, np.nan)
    moved[:, t] = step
    step = np.nan_to_num(step)
    moved[:, b] = d - np.einsum("gij,gtj,gt->gi", inverse, tb, step)
    # log det J_bb at the moved variances, to first order.
    logdet = _logdet(inverse) - np.einsum("gt,gt->g", traces, step)
    errors = _errors(inverse, np.isin(np.arange(p), b))
    return psi + moved, logdet, errors


def _slopes(fit: Fit, rest: Rest, b: NDArray[np.int64], t: NDArray[np.int64]) -> Array:
    """Derivatives of J_bb in the parameters t, (m, t, b, b)."""
    psi, se = fit.estimates.parameters, np.sqrt(np.diag(fit.estimates.covariance))
    found = []
    for k in t:
        ends = []
        for sign in (1, -1):
            moved = psi.copy()
            moved[k] += sign * _STEP * se[k]
            ends.append(rest(moved)[1][:, b[:, None], b])
        found.append((ends[0] - ends[1]) / (2 * _STEP * se[k]))
    m = len(rest(psi)[0]) if not found else len(found[0])
    return np.stack(found, axis=1) if found else np.zeros((m, 0, b.size, b.size))


def _restricted(fit: Fit, b: NDArray[np.int64], t: NDArray[np.int64]) -> Array | float:
    """What REML adds to the information of t: that of the fit less that by likelihood."""
    if not fit.model.reml or not t.size:
        return 0.0
    e = fit.estimates
    found = make_problem(plain_model(fit), fit.design).evaluate_twice(e.parameters)
    if found is None:
        return 0.0
    j = -found[2].reshape(e.covariance.shape)
    tb = j[np.ix_(t, b)]
    profile = j[np.ix_(t, t)] - tb @ np.linalg.solve(j[np.ix_(b, b)], tb.T)
    added: Array = np.linalg.inv(e.covariance[np.ix_(t, t)]) - profile
    return added


def _inverses(blocks: Array) -> Array:
    """Inverses (m, k, k); NaN where a block is not positive definite."""
    k = blocks.shape[-1]
    if k == 0:
        return blocks
    size = np.sqrt(np.abs(np.einsum("gii->gi", blocks)))
    size = np.where(np.isfinite(size) & (size > 0), size, 1.0)
    scaled = blocks / (size[:, :, None] * size[:, None, :])
    good = np.isfinite(scaled).all(axis=(1, 2))
    safe = np.where(good[:, None, None], scaled, np.eye(k))
    good &= np.linalg.eigvalsh(safe)[:, 0] > _TOLD
    inverse = np.linalg.inv(np.where(good[:, None, None], safe, np.eye(k)))
    inverse /= size[:, :, None] * size[:, None, :]
    inverse[~good] = np.nan
    return inverse


def _logdet(blocks: Array) -> Array:
    with np.errstate(invalid="ignore"):
        found: Array = np.linalg.slogdet(blocks)[1]
    return found


def _errors(mean: Array, known: NDArray[np.bool_]) -> Array:
    found = np.full((len(mean), known.size), np.nan)
    with np.errstate(invalid="ignore"):
        found[:, known] = np.sqrt(np.einsum("gii->gi", mean))
    return found
