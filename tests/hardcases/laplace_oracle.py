"""The Laplace approximation and the exact integral, to hold fits against: slow and independent.

For y | b from a family with eta = X beta + offset + Z b, and b = L u with u ~ N(0, I):

    loglik = sum_i w_i log p(y_i | eta_i) - u'u / 2 - log det(I + L'Z'WZL) / 2   at the mode of u,

W the weights times the negative second derivative of log p in eta (observed information).

For one random intercept a group, the exact value is a product of integrals, by the trapezoid rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from scipy import special

import glimm

NEWTON_STEPS = 200
# Twice the nats left at the mode; Newton squares the error, so the value is exact to rounding.
MODE_DECREMENT = 1e-18
# A shorter step than this no longer changes the value.
SMALLEST_STEP = 1e-9
# Nats below the top at which an integrand ends, and points from one end to the other.
DEPTH, POINTS = 46.0, 601
# Halvings of the interval that the top, or an end, is in; all integrands here are log-concave.
HALVINGS = 60
FARTHEST = 60.0


@dataclass(frozen=True, slots=True)
class Rows:
    """What the rows of a model hold: response, trials, frequency weights, designs, offset."""

    y: np.ndarray
    x: np.ndarray
    z: np.ndarray
    offset: np.ndarray
    trials: np.ndarray
    freq: np.ndarray


def gaussian(rows: Rows, eta: np.ndarray, sigma: float) -> tuple[np.ndarray, ...]:
    gap = (rows.y - eta) / sigma
    value = -0.5 * gap**2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)
    return value, gap / sigma, np.full_like(eta, 1 / sigma**2)


def binomial(rows: Rows, eta: np.ndarray, _: float) -> tuple[np.ndarray, ...]:
    y, m = rows.y, rows.trials
    p = special.expit(eta)
    choose = special.gammaln(m + 1) - special.gammaln(y + 1) - special.gammaln(m - y + 1)
    value = y * special.log_expit(eta) + (m - y) * special.log_expit(-eta) + choose
    return value, y - m * p, m * p * special.expit(-eta)


def poisson(rows: Rows, eta: np.ndarray, _: float) -> tuple[np.ndarray, ...]:
    mean = np.exp(eta)
    return rows.y * eta - mean - special.gammaln(rows.y + 1), rows.y - mean, mean


def nbinom2(rows: Rows, eta: np.ndarray, theta: float) -> tuple[np.ndarray, ...]:
    y = rows.y
    p = special.expit(eta - np.log(theta))
    value = special.gammaln(y + theta) - special.gammaln(theta) - special.gammaln(y + 1)
    value = value + y * special.log_expit(eta - np.log(theta))
    value = value + theta * special.log_expit(np.log(theta) - eta)
    return value, y - (y + theta) * p, (y + theta) * p * (1 - p)


def gamma(rows: Rows, eta: np.ndarray, cv: float) -> tuple[np.ndarray, ...]:
    shape, scaled = cv**-2, rows.y * np.exp(-eta)
    log_y = np.log(rows.y)
    value = shape * (np.log(shape) + log_y - eta - scaled) - log_y - special.gammaln(shape)
    return value, shape * (scaled - 1), shape * scaled


# That Laplace's approximation is said to be too coarse is no matter here: its value is known.
COARSE = pytest.mark.filterwarnings("ignore:The integral over the random effects")
BOTH = pytest.mark.parametrize("integration", [pytest.param("laplace", marks=COARSE), "auto"])

FAMILIES = {
    "gaussian": gaussian,
    "binomial": binomial,
    "poisson": poisson,
    "nbinom2": nbinom2,
    "gamma": gamma,
}


def laplace(family: str, rows: Rows, beta: np.ndarray, factor: np.ndarray, extra: float) -> float:
    """Return the Laplace log-likelihood.

    Parameters
    ----------
    beta : ndarray, shape (p,)
    factor : ndarray, shape (q, q)
        L with cov(b) = L L'.
    extra : float
        sigma, theta or the coefficient of variation; ignored by binomial and poisson.

    """
    derivatives = FAMILIES[family]
    zl = rows.z @ factor
    fixed = rows.x @ beta + rows.offset

    def value_at_effects(u: np.ndarray) -> float:
        value = derivatives(rows, fixed + zl @ u, extra)[0]
        return float(rows.freq @ value - 0.5 * u @ u)

    def slopes(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        _, slope, bend = derivatives(rows, fixed + zl @ u, extra)
        hessian = np.eye(len(u)) + zl.T @ (zl * (rows.freq * bend)[:, None])
        return zl.T @ (rows.freq * slope) - u, hessian

    u = np.zeros(zl.shape[1])
    best = value_at_effects(u)
    for _ in range(NEWTON_STEPS):
        gradient, hessian = slopes(u)
        step = np.linalg.solve(hessian, gradient)
        if gradient @ step < MODE_DECREMENT:
            break
        shrink = 1.0
        while shrink > SMALLEST_STEP and not value_at_effects(u + shrink * step) >= best:
            shrink /= 2
        if shrink <= SMALLEST_STEP:
            break
        u = u + shrink * step
        best = value_at_effects(u)
    return best - 0.5 * float(np.linalg.slogdet(slopes(u)[1])[1])


def exact(family: str, rows: Rows, beta: np.ndarray, sd: float, extra: float) -> float:
    """Return the log-likelihood with one random intercept for each group, integrated exactly."""
    derivatives = FAMILIES[family]
    fixed = rows.x @ beta + rows.offset

    def value(u: np.ndarray) -> np.ndarray:
        density = derivatives(rows, fixed + sd * (rows.z @ u), extra)[0]
        return rows.z.T @ (rows.freq * density) - 0.5 * u**2

    def slope(u: np.ndarray) -> np.ndarray:
        first = derivatives(rows, fixed + sd * (rows.z @ u), extra)[1]
        return sd * (rows.z.T @ (rows.freq * first)) - u

    def last(start: np.ndarray, step: float, holds: Callable[..., np.ndarray]) -> np.ndarray:
        """Return the place beyond `start` until which a condition holds, in each group."""
        low, high = start, start + step
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            inside = holds(middle)
            low, high = np.where(inside, middle, low), np.where(inside, high, middle)
        return low

    start = np.full(rows.z.shape[1], -FARTHEST)
    mode = last(start, 2 * FARTHEST, lambda u: slope(u) > 0)
    top = value(mode)
    left, right = (
        last(mode, step, lambda u: value(u) > top - DEPTH) for step in (-FARTHEST, FARTHEST)
    )
    steps = (right - left) / (POINTS - 1)
    total = sum(np.exp(value(left + k * steps) - top) for k in range(POINTS))
    return float(np.sum(top + np.log(total * steps))) - 0.5 * len(top) * np.log(2 * np.pi)


def intercept_rows(frame: pd.DataFrame, group: str, fixed: tuple[str, ...]) -> Rows:
    """Build the rows of ``y ~ fixed + (1 | group)``; optional columns trials, freq, offset."""
    n = len(frame)
    codes = pd.factorize(frame[group])[0]
    columns = [np.ones(n), *(frame[name].to_numpy(float) for name in fixed)]

    def optional(name: str, default: float) -> np.ndarray:
        return frame[name].to_numpy(float) if name in frame else np.full(n, default)

    return Rows(
        y=frame["y"].to_numpy(float),
        x=np.column_stack(columns),
        z=np.eye(codes.max() + 1)[codes],
        offset=optional("offset", 0.0),
        trials=optional("trials", 1.0),
        freq=optional("freq", 1.0),
    )


def parameters(fit: glimm.Fit) -> np.ndarray:
    """Return fixed effects, the one standard deviation, and the dispersion or a placeholder."""
    extra = next(iter(fit.dispersion.values())) if fit.dispersion else 1.0
    return np.array([*fit.coef.values(), fit.varcorr()["sd"].iloc[0], extra])


def value_at(family: str, rows: Rows, point: np.ndarray, integration: str) -> float:
    """Return the log-likelihood at fixed effects, one standard deviation, dispersion."""
    beta, sd, extra = point[:-2], point[-2], point[-1]
    if integration != "laplace":
        return exact(family, rows, beta, abs(sd), extra)
    return laplace(family, rows, beta, sd * np.eye(rows.z.shape[1]), extra)


def assert_at_the_optimum(fit: glimm.Fit, family: str, rows: Rows, rtol: float = 1e-9) -> None:
    """Check the reported log-likelihood at the reported parameters, and that no move improves it.

    Parameters
    ----------
    rtol : float
        Rounding allowed, relative to the sum of the rows' log densities in absolute value.

    """
    point = parameters(fit)
    best = value_at(family, rows, point, fit.model.integration)
    slack = rtol * max(1.0, abs(best), float(rows.trials.max()), float(np.abs(rows.y).max()))
    assert fit.diagnostics.converged, fit.diagnostics.reason
    assert abs(fit.loglik - best) <= slack, (fit.loglik, best)
    steps = np.array([*fit.se.values(), 0.1 * point[-2], 0.1 * point[-1]])
    free = [*range(len(point) - 1), *([len(point) - 1] if fit.dispersion else [])]
    for k in free:
        for sign in (1.0, -1.0):
            moved = point.copy()
            # A tenth of a standard error costs about 0.005 nats at a maximum.
            moved[k] += sign * 0.1 * steps[k]
            moved_value = value_at(family, rows, moved, fit.model.integration)
            assert moved_value <= best + slack, (k, sign)
