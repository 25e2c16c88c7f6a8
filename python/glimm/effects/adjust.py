"""Multiplicity."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..fit import one_of
from ..inference.freedom import t_quantile

Array = NDArray[np.float64]
METHODS = ("none", "tukey", "bonferroni", "sidak", "holm", "fdr", "single-step")


def adjusted(p: Array, method: str, t: Array, df: Array, covariance: Array, many: int) -> Array:
    """Return adjusted p values of one family."""
    one_of("adjust", method, METHODS)
    m = p.size
    if method == "none" or m == 1:
        return p
    if method == "bonferroni":
        return np.minimum(m * p, 1.0)
    if method == "sidak":
        return np.asarray(-np.expm1(m * np.log1p(-p)))
    if method == "tukey":
        from scipy.stats import studentized_range

        return np.array([studentized_range.sf(abs(a) * math.sqrt(2), many, d)
                         for a, d in zip(t, df, strict=True)])  # fmt: skip
    order = np.argsort(p)
    if method == "holm":
        steps = np.maximum.accumulate((m - np.arange(m)) * p[order])
    else:
        ranked = p[order] * m / np.arange(1, m + 1)
        steps = np.minimum.accumulate(ranked[::-1])[::-1]
    found = np.empty(m)
    found[order] = np.minimum(steps, 1.0)
    return found


def reach(level: float, method: str, df: Array, covariance: Array, many: int, m: int) -> Array:
    """Return the half widths of intervals in standard errors."""
    if method == "tukey" and m > 1:
        from scipy.stats import studentized_range

        return np.array([studentized_range.ppf(level, many, d) / math.sqrt(2) for d in df])
    if method == "bonferroni":
        return t_quantile(1 - (1 - level) / m, df)
    if method == "sidak":
        return t_quantile(level ** (1 / m), df)
    return t_quantile(level, df)
