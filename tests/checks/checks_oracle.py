"""Data from known truths, and fits that stand at them: nothing is estimated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import glimm

Array = NDArray[np.float64]


def clustered(
    family: str, groups: int, rows: int, sd: float, seed: int
) -> tuple[dict[str, Any], Array]:
    """Return data of y ~ 1 + (1 | g), and the parameters that they come from."""
    rng = np.random.default_rng([seed, 21])
    g = np.repeat(np.arange(groups), rows)
    eta = 0.3 + sd * rng.normal(size=groups)[g]
    extra: list[float] = []
    if family == "poisson":
        y = rng.poisson(np.exp(eta)).astype(float)
    elif family == "binomial":
        y = (rng.random(eta.size) < 1 / (1 + np.exp(-eta))).astype(float)
    elif family == "gamma":
        y, extra = np.exp(eta) * rng.gamma(4.0, 0.25, eta.size), [np.log(0.5)]
    else:
        y, extra = eta + rng.normal(size=eta.size), [0.0]
    return {"g": g, "y": y}, np.array([0.3, *extra, sd])


def at_truth(data: dict[str, Any], family: str, truth: Array, formula: str) -> glimm.Fit:
    """Return a fit whose parameters are the true ones."""
    fit = glimm.fit(formula, data, family=family, threads=1, progress=False)
    return glimm.Fit(fit.model, fit.design, replace(fit.estimates, parameters=truth))
