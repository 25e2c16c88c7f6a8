"""Tails of quadratic forms of normal numbers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

_AT_MEAN = 1e-4
_STEPS = 200


def form_p(value: float, weights: ArrayLike, freedoms: ArrayLike | float = 1.0) -> float:
    """Return the two-sided p-value of a sum of chi-squares, twice the smaller tail.

    By the saddlepoint approximation, whose relative error stays small in the tails.

    Parameters
    ----------
    value : float
    weights : array_like, (k,)
        Of the chi-squares, of either sign: eigenvalues of the form.
    freedoms : array_like, (k,), optional
        Degrees of freedom of each; 1 by default.

    References
    ----------
    Kuonen, D. (1999). Saddlepoint approximations for distributions of quadratic forms in normal
    variables. Biometrika 86, 929-935.

    Examples
    --------
    >>> from scipy.stats import chi2
    >>> round(form_p(chi2.isf(0.025, 6), [1.0], [6.0]), 3)
    0.05
    """
    from scipy.special import ndtr

    w, d = np.atleast_1d(np.asarray(weights, dtype=np.float64)), np.asarray(freedoms, dtype=float)
    scale = float(np.abs(w).max(initial=0.0))
    if scale == 0 or not d.any() or not math.isfinite(value):
        return math.nan
    root = _signed_root(value / scale, w / scale, np.broadcast_to(d, w.shape))
    return 2 * float(ndtr(-abs(root)))


def _signed_root(q: float, w: Array, d: Array) -> float:
    """The normal score of q among sums of w chi-squared_d; infinite outside of their range."""
    if (q <= 0 and w.min() >= 0) or (q >= 0 and w.max() <= 0):
        return math.inf
    s = _saddlepoint(q, w, d)
    left = 1 - 2 * s * w
    second = float(np.sum(2 * d * (w / left) ** 2))
    generating = -0.5 * float(np.sum(d * np.log(left)))
    root = math.copysign(math.sqrt(max(2 * (s * q - generating), 0.0)), s)
    if abs(root) < _AT_MEAN:
        skewness = 8 * float(np.sum(d * w**3)) / (2 * float(np.sum(d * w**2))) ** 1.5
        return float(root + skewness / 6)
    return float(root + math.log(s * math.sqrt(second) / root) / root)


def _saddlepoint(q: float, w: Array, d: Array) -> float:
    """Where the slope sum d w / (1 - 2 s w) of the cumulant generating function is q."""
    low = 0.5 / w.min() if w.min() < 0 else -math.inf
    high = 0.5 / w.max() if w.max() > 0 else math.inf

    def excess(s: float) -> float:
        return float(np.sum(d * w / (1 - 2 * s * w))) - q

    s, gap = 0.0, excess(0.0)
    for _ in range(_STEPS):
        if abs(gap) <= 1e-12 * (1 + abs(q)):
            break
        low, high = (s, high) if gap < 0 else (low, s)
        step = s - gap / float(np.sum(2 * d * (w / (1 - 2 * s * w)) ** 2))
        if not low < step < high:
            # An end without a bound is never left: the Newton step stays finite.
            step = 0.5 * (low + high) if math.isfinite(low + high) else 2 * s - gap / abs(gap)
        s, gap = step, excess(step)
    return s
