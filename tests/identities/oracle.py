"""A dense Laplace approximation from scipy's densities alone: slow, short, independent.

For rows of log density l(y, eta), eta = X beta + offset + sum of Z b, b = L u and u ~ N(0, I):

    loglik = sum l - u'u / 2 - log det(I + L'Z'WZL) / 2    at the mode of u,

with W the negative second derivatives of l in eta. Derivatives are differences of l.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

import glimm
from glimm.design import Design

Array = NDArray[np.float64]

# Of the differences: the error of the third extrapolation is of the order of STEP^6.
STEP = 0.006
NEWTON_STEPS = 100
# Slope that counts as zero at the mode; the determinant is off by as much.
FLAT = 1e-9
# Nats by which a value of some hundred may be off.
ROUNDING = 1e-10

INVERSES: dict[str, Any] = {
    "identity": lambda e: e,
    "log": np.exp,
    "inverse": lambda e: 1 / e,
}

# Logarithms of the chances of success and failure; 1 - p would lose the digits of small ones.
LOG_CHANCES: dict[str, Any] = {
    "logit": lambda e: (special.log_expit(e), special.log_expit(-e)),
    "probit": lambda e: (special.log_ndtr(e), special.log_ndtr(-e)),
    "cloglog": lambda e: (np.log(-np.expm1(-np.exp(e))), -np.exp(e)),
    "cauchit": lambda e: (stats.cauchy.logcdf(e), stats.cauchy.logsf(e)),
}


def log_density(model: glimm.Model, design: Design, eta: Array, dispersion: float) -> Array:
    """Return the log density of each row's response, (n,)."""
    y = design.y
    if model.family.name == "binomial":
        trials = np.ones(design.n) if design.trials is None else design.trials
        success, failure = LOG_CHANCES[model.link](eta)
        ways = stats.binom.logpmf(y, trials, 0.5) - trials * np.log(0.5)
        return np.asarray(ways + y * success + (trials - y) * failure)
    mean = INVERSES[model.link](eta)
    made = {
        "gaussian": lambda: stats.norm.logpdf(y, mean, dispersion),
        "poisson": lambda: stats.poisson.logpmf(y, mean),
        "nbinom2": lambda: stats.nbinom.logpmf(y, dispersion, dispersion / (dispersion + mean)),
        "gamma": lambda: stats.gamma.logpdf(y, dispersion**-2, scale=mean * dispersion**2),
    }
    return np.asarray(made[model.family.name]())


def indicator(design: Design, factors: list[Array]) -> Array:
    """Return all columns of Z L side by side, (n, number of effects)."""
    blocks = []
    for term, factor in zip(design.terms, factors, strict=True):
        rows = term.z @ factor
        block = np.zeros((design.n, len(term.levels), factor.shape[1]))
        block[np.arange(design.n), term.codes] = rows
        blocks.append(block.reshape(design.n, -1))
    return np.hstack(blocks)


def laplace(
    model: glimm.Model, design: Design, beta: Array, factors: list[Array], dispersion: float
) -> float:
    """Return the Laplace log-likelihood; `factors` are square roots of the covariances."""
    zl = indicator(design, factors)
    freq = np.ones(design.n) if design.freq is None else design.freq
    fixed = design.x @ beta + (0 if design.offset is None else design.offset)

    def rows(u: Array, step: float = 0.0) -> Array:
        return freq * log_density(model, design, fixed + zl @ u + step, dispersion)

    def bends(u: Array) -> tuple[Array, Array]:
        """First and negative second derivatives by row, from differences at h, 2h and 3h."""
        near, far, last = ((rows(u, k * STEP), rows(u, -k * STEP)) for k in (1, 2, 3))
        slope = (45 * (near[0] - near[1]) - 9 * (far[0] - far[1]) + last[0] - last[1]) / 60
        total = 270 * sum(near) - 27 * sum(far) + 2 * sum(last) - 490 * rows(u)
        return slope / STEP, -total / (180 * STEP**2)

    def value(u: Array) -> float:
        with np.errstate(invalid="ignore"):
            return float(rows(u).sum() - u @ u / 2)

    def slopes(u: Array) -> tuple[Array, Array]:
        slope, weight = bends(u)
        return zl.T @ slope - u, np.eye(len(u)) + zl.T @ (zl * weight[:, None])

    u, damping = np.zeros(zl.shape[1]), 0.0
    for _ in range(NEWTON_STEPS):
        gradient, curvature = slopes(u)
        if abs(gradient).max() < FLAT:
            break
        moved = u + np.linalg.solve(curvature + damping * np.eye(len(u)), gradient)
        # Far from the mode the log density need not be concave, nor have a value.
        if value(moved) >= value(u) - ROUNDING:
            u, damping = moved, damping / 10
        else:
            damping = max(10 * damping, 1.0)
    else:
        raise AssertionError("the mode was not found")
    return value(u) - 0.5 * float(np.linalg.slogdet(slopes(u)[1])[1])


def square_root(term: Any, theta: Array) -> Array:
    """Return the factor that the names of the parameters describe: rows of the Cholesky factor.

    Its rows stand for the columns of the term with the intercept last, as the names say.
    """
    q = len(term.columns)
    if term.structure == "diag":
        lower = np.diag(theta)
    else:
        lower = np.zeros((q, q))
        lower[np.tril_indices(q)] = theta
    last = [j for j, name in enumerate(term.columns) if name == "(Intercept)"]
    order = [j for j in range(q) if j not in last] + last
    factor = np.zeros((q, q))
    factor[order] = lower
    return factor


def split(fit: glimm.Fit, parameters: Array) -> tuple[Array, list[Array], float]:
    """Return fixed effects, factors of the covariances and dispersion of a parameter vector."""
    p = len(fit.names)
    beta, rest = parameters[:p], parameters[p:]
    dispersion = 1.0
    if fit.dispersion is not None:
        dispersion, rest = float(np.exp(rest[0])), rest[1:]
    factors = []
    for term in fit.design.terms:
        q = len(term.columns)
        count = q if term.structure == "diag" else q * (q + 1) // 2
        factors.append(square_root(term, rest[:count]))
        rest = rest[count:]
    assert rest.size == 0
    return beta, factors, dispersion
