"""One small fit per model, made once, that the tests of results read from."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd

import glimm

GROUPS, EACH = 15, 8


@cache
def frame() -> pd.DataFrame:
    """Return responses of every family, covariates x and w, factor f and groups g and h."""
    rng = np.random.default_rng(41)
    n = GROUPS * EACH
    g, h = np.arange(n) % GROUPS, np.arange(n) // 7 % 6
    x, w = rng.normal(size=n), rng.uniform(-1, 1, n)
    level, slope = rng.normal(scale=0.7, size=GROUPS), rng.normal(scale=0.5, size=GROUPS)
    eta = 0.6 + 0.5 * x - 0.3 * w + level[g] + slope[g] * x + rng.normal(scale=0.5, size=6)[h]
    trials = rng.integers(2, 12, n)
    return pd.DataFrame(
        {
            "length": eta + rng.normal(scale=0.6, size=n),
            "count": rng.poisson(np.exp(eta)),
            "spread": rng.poisson(np.exp(eta) * rng.gamma(2.0, 0.5, n)),
            "hits": rng.binomial(trials, 1 / (1 + np.exp(-eta))),
            "time": rng.gamma(4.0, np.exp(eta) / 4),
            "trials": trials,
            "x": x,
            "w": w,
            "f": np.resize(["u", "v", "z"], n),
            "g": [f"g{k:02d}" for k in g],
            "h": h,
        }
    )


MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gaussian": ("length ~ x + w + (1 + x | g)", "gaussian", {}),
    "intercepts": ("length ~ x + w + (1 | g)", "gaussian", {}),
    "binomial": ("hits ~ x + f + (1 | g)", "binomial", {"trials": "trials"}),
    "probit": ("hits / trials ~ x + (x || g)", "binomial", {"link": "probit"}),
    "poisson": ("count ~ x + w + (1 | g) + (1 | h)", "poisson", {}),
    "slopes": ("count ~ x * f + (1 + x + w | g)", "poisson", {}),
    "nbinom2": ("spread ~ x + offset(0.5 * w) + (1 | g)", "nbinom2", {}),
    "gamma": ("time ~ center(x) + (1 | g:h)", "gamma", {"link": "log"}),
    "plain": ("count ~ x + w", "poisson", {}),
}


@cache
def fit(name: str) -> glimm.Fit:
    """Return the fit of a model by name."""
    formula, family, options = MODELS[name]
    return glimm.fit(formula, frame(), family, **options)
