"""Frames that the hard cases are made from, and what it means that two fits agree."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import glimm

GROUPS = 8
PER_GROUP = 6
# Nats: the same optimum reached from another scale or coding.
SAME_LOGLIK = 1e-7
# Standard errors: the same estimate.
SAME_ESTIMATE = 1e-4


def good_frame() -> pd.DataFrame:
    """Return a small frame that every family can be fitted to."""
    rng = np.random.default_rng(20250101)
    g = np.repeat([f"g{i}" for i in range(GROUPS)], PER_GROUP)
    n = len(g)
    x = rng.normal(size=n)
    effect = np.repeat(rng.normal(scale=0.7, size=GROUPS), PER_GROUP)
    counts = rng.poisson(np.exp(1 + 0.3 * x + effect)).astype(float)
    return pd.DataFrame(
        {
            "y": counts,
            "binary": (rng.random(n) < 0.5).astype(float),
            "positive": np.exp(0.3 * x + effect + 0.2 * rng.normal(size=n)),
            "x": x,
            "f": np.tile(["a", "b", "c"], n // 3),
            "g": g,
            "trials": np.full(n, 30.0),
            "weight": np.ones(n),
            "exposure": np.ones(n),
        }
    )


def grouped(seed: int, sizes: list[int], sd: float) -> tuple[np.random.Generator, pd.DataFrame]:
    """Return a generator and a frame with group g, covariate x and linear predictor eta."""
    rng = np.random.default_rng(seed)
    g = np.repeat([f"g{i:03d}" for i in range(len(sizes))], sizes)
    x = rng.normal(size=len(g))
    effects = np.repeat(rng.normal(scale=sd, size=len(sizes)), sizes)
    return rng, pd.DataFrame({"g": g, "x": x, "eta": 0.5 * x + effects})


def counts(seed: int = 1, level: float = 1.0, sd: float = 0.6) -> pd.DataFrame:
    rng, frame = grouped(seed, [8] * 25, sd)
    return frame.assign(y=rng.poisson(np.exp(level + frame["eta"])).astype(float))


def coins(seed: int = 2, sd: float = 1.0, size: int = 8) -> pd.DataFrame:
    rng, frame = grouped(seed, [size] * 30, sd)
    chance = 1 / (1 + np.exp(-frame["eta"]))
    return frame.assign(y=(rng.random(len(frame)) < chance).astype(float))


def lengths(seed: int = 3) -> pd.DataFrame:
    rng, frame = grouped(seed, [8] * 25, 0.8)
    slope = dict(zip(frame["g"].unique(), rng.normal(scale=0.5, size=25), strict=True))
    noise = rng.normal(scale=0.5, size=len(frame))
    return frame.assign(y=frame["eta"] + frame["g"].map(slope) * frame["x"] + noise)


def sds(fit: glimm.Fit) -> np.ndarray:
    return np.asarray(fit.varcorr()["sd"], dtype=float)


def same_estimate(a: glimm.Fit, b: glimm.Fit, name: str, factor: float = 1.0) -> None:
    """Assert that coefficient and standard error of `a` are `factor` times those of `b`."""
    error = factor * b.se[name]
    assert a.coef[name] == pytest.approx(factor * b.coef[name], abs=SAME_ESTIMATE * error)
    assert a.se[name] == pytest.approx(error, rel=1e-5)
