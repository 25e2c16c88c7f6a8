"""A dense Laplace approximation from scipy's densities alone: slow, short, independent.

For rows of log density l(y, eta), eta = X beta + offset + sum of Z b, b = L u and u ~ N(0, I):

    loglik = sum l - u'u / 2 - log det(I + L'Z'WZL) / 2    at the mode of u,

with W the negative second derivatives of l in eta. Derivatives are differences of l.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

import glimm
from glimm.design import Design

Array = NDArray[np.float64]

# Of the differences: the error of the third extrapolation is of the order of STEP^6.
STEP = 0.006
NEWTON_STEPS = 5
# Twice the nats left at the mode; beyond this, rounding.
DECREMENT = 1e-18

INVERSES: dict[str, Any] = {
    "identity": lambda e: e,
    "log": np.exp,
    "inverse": lambda e: 1 / e,
    "logit": special.expit,
    "probit": special.ndtr,
    "cloglog": lambda e: -np.expm1(-np.exp(e)),
    "cauchit": stats.cauchy.cdf,
}


def log_density(model: glimm.Model, design: Design, eta: Array, dispersion: float) -> Array:
    """Return the log density of each row's response, (n,)."""
    y, mean = design.y, INVERSES[model.link](eta)
    trials = np.ones(design.n) if design.trials is None else design.trials
    made = {
        "gaussian": lambda: stats.norm.logpdf(y, mean, dispersion),
        "binomial": lambda: stats.binom.logpmf(y, trials, mean),
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
        return float(rows(u).sum() - u @ u / 2)

    def downhill(u: Array) -> Array:
        return u - zl.T @ bends(u)[0]

    # Far from the mode the log density need not be concave, so Newton steps only end the search.
    u = optimize.minimize(lambda u: -value(u), np.zeros(zl.shape[1]), jac=downhill).x
    for _ in range(NEWTON_STEPS):
        weight = bends(u)[1]
        gradient = -downhill(u)
        step = np.linalg.solve(np.eye(len(u)) + zl.T @ (zl * weight[:, None]), gradient)
        if gradient @ step < DECREMENT:
            break
        u = u + step
    curvature = np.eye(len(u)) + zl.T @ (zl * bends(u)[1][:, None])
    return value(u) - 0.5 * float(np.linalg.slogdet(curvature)[1])


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
