"""Standard errors of predictions against the inverse of one dense matrix.

The joint precision of parameters psi and effects b is [V^-1 + G'H^-1 G, G'; G, H], with H and G
minus the second derivatives of log p(y, b) in b and in b with psi: dense here, inverted as a whole.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.linalg import block_diag

import glimm
from glimm.problem import factor_of

Array = NDArray[np.float64]
CLOSE = 1e-6
"""Derivatives of covariances are differences here."""


def study() -> pd.DataFrame:
    rng = np.random.default_rng(8)
    g, h = np.repeat(np.arange(15), 8), rng.integers(0, 7, 120)
    x = rng.normal(size=120)
    eta = 0.3 + 0.5 * x + (0.8 * rng.normal(size=15))[g] + (0.5 * rng.normal(size=15))[g] * x
    eta += (0.6 * rng.normal(size=7))[h]
    yes = rng.binomial(6, 1 / (1 + np.exp(-eta)))
    return pd.DataFrame(
        {"g": g, "h": h, "x": x, "count": rng.poisson(np.exp(eta)), "yes": yes, "six": 6}
    )


MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "poisson slopes": ("count ~ x + (1 + x | g)", {"family": "poisson"}),
    "poisson crossed": ("count ~ x + (1 | g) + (1 | h)", {"family": "poisson"}),
    "binomial crossed": ("yes / six ~ x + (1 + x | g) + (1 | h)", {"family": "binomial"}),
}


def precision_of_effects(fit: glimm.Fit, psi: Array) -> Array:
    """The inverse of the covariance of all effects at parameters, dense."""
    blocks = []
    for term, (start, end) in zip(fit.design.terms, fit.estimates.thetas, strict=True):
        factor = factor_of(term, psi[start:end])
        blocks += [np.linalg.inv(factor @ factor.T)] * len(term.levels)
    found: Array = block_diag(*blocks)
    return found


def design_of_effects(fit: glimm.Fit) -> Array:
    """Z, dense, in the order of the effects."""
    columns = []
    for term in fit.design.terms:
        seen = np.equal.outer(term.codes, np.arange(len(term.levels))).astype(float)
        columns.append(np.einsum("il,iq->ilq", seen, term.z).reshape(fit.design.n, -1))
    return np.hstack(columns)


def weights(fit: glimm.Fit, eta: Array) -> Array:
    """Minus the second derivatives of the row log densities."""
    if fit.model.family.name == "poisson":
        return np.exp(eta)
    p = 1 / (1 + np.exp(-eta))
    return np.asarray(fit.design.trials * p * (1 - p))


@pytest.mark.parametrize("name", MODELS)
def test_standard_errors_are_those_of_the_dense_joint_precision(name: str) -> None:
    formula, given = MODELS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = glimm.fit(formula, study(), integration="laplace", **given)
    e, x, z = fit.estimates, fit.design.x, design_of_effects(fit)
    b = np.concatenate([modes.ravel() for modes in e.modes])
    psi, p = e.parameters, x.shape[1]
    w = weights(fit, x @ psi[:p] + z @ b)
    h = z.T @ (w[:, None] * z) + precision_of_effects(fit, psi)
    g = np.zeros((b.size, psi.size))
    g[:, :p] = z.T @ (w[:, None] * x)
    for j in range(p, psi.size):
        step = np.zeros(psi.size)
        step[j] = 1e-5 * max(1.0, abs(psi[j]))
        change = precision_of_effects(fit, psi + step) - precision_of_effects(fit, psi - step)
        g[:, j] = change @ b / (2 * step[j])
    top = np.linalg.inv(e.covariance) + g.T @ np.linalg.solve(h, g)
    joint = np.linalg.inv(np.block([[top, g.T], [g, h]]))
    rows = np.hstack([x, np.zeros((len(x), psi.size - p)), z])
    se = np.sqrt(np.einsum("ia,ab,ib->i", rows, joint, rows))
    ours = fit.predict(scale="link", interval="confidence")["se"]
    assert np.asarray(ours) == pytest.approx(se, rel=CLOSE)
