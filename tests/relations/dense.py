"""Dense likelihoods of models with a known covariance, an oracle in NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def relatives(levels: int, seed: int) -> Array:
    """Return a covariance of relatives: additive relationships of a random pedigree."""
    rng = np.random.default_rng(seed)
    a = np.eye(levels)
    for i in range(4, levels):
        p, q = rng.choice(i, 2, replace=False)
        a[i, :i] = a[:i, i] = (a[p, :i] + a[q, :i]) / 2
        a[i, i] = 1 + a[p, q] / 2
    return a


def gaussian(y: Array, x: Array, z: Array, sigma: Array, noise: float, reml: bool) -> float:
    """Return the (restricted) log-likelihood of y ~ N(x beta, z sigma z' + noise I) at its beta."""
    v = z @ sigma @ z.T + noise * np.eye(y.size)
    w = np.linalg.inv(v)
    information = x.T @ w @ x
    beta = np.linalg.solve(information, x.T @ w @ y)
    rest = y - x @ beta
    value = -0.5 * (np.linalg.slogdet(v)[1] + rest @ w @ rest)
    df = y.size
    if reml:
        value -= 0.5 * np.linalg.slogdet(information)[1]
        df -= x.shape[1]
    return float(value - 0.5 * df * np.log(2 * np.pi))


def poisson(y: Array, x: Array, beta: Array, z: Array, sigma: Array) -> float:
    """Return Laplace's log-likelihood of counts with b ~ N(0, sigma), sigma positive definite."""
    from scipy.special import gammaln

    inverse = np.linalg.inv(sigma)
    b = np.zeros(z.shape[1])
    for _ in range(100):
        mean = np.exp(x @ beta + z @ b)
        hessian = z.T @ (mean[:, None] * z) + inverse
        step = np.linalg.solve(hessian, z.T @ (y - mean) - inverse @ b)
        b = b + step
        if np.abs(step).max() < 1e-13:
            break
    eta = x @ beta + z @ b
    density = np.sum(y * eta - np.exp(eta) - gammaln(y + 1)) - 0.5 * b @ inverse @ b
    mean = np.exp(eta)
    hessian = z.T @ (mean[:, None] * z) + inverse
    logdet = np.linalg.slogdet(hessian)[1] + np.linalg.slogdet(sigma)[1]
    return float(density - 0.5 * logdet)
