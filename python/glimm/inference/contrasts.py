"""Many tests at once: p-values and intervals adjusted for their number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..confidence import level_checked
from ..errors import DataError
from ..fit import one_of
from .freedom import t_quantile, t_tail

Array = NDArray[np.float64]

METHODS = ("none", "holm", "bonferroni", "sidak", "bh", "by")
"""What `adjust` knows: from p-values alone."""
JOINT_METHODS = (*METHODS, "max-t", "tukey")
"""What `adjusted` knows besides: from the joint distribution of the estimates."""

_POINTS = 2**12
_REPEATS = 8
_SEED = 20_240_901
_RANK = 1e-10


def adjust(p_values: ArrayLike, method: str = "holm") -> Array:
    """Adjust p-values for their number.

    Parameters
    ----------
    p_values : array_like, (m,)
    method : str
        ``"holm"``, ``"bonferroni"`` (any dependence) and ``"sidak"`` (independent or positively
        dependent) bound the chance of any false rejection; ``"bh"`` (Benjamini and Hochberg) and
        ``"by"`` (Benjamini and Yekutieli, any dependence) the expected share of false rejections;
        ``"none"`` returns them as they are.

    Returns
    -------
    ndarray, (m,)

    Raises
    ------
    DataError
        For another method, and for values outside [0, 1].

    Examples
    --------
    >>> adjust([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    one_of("method", method, METHODS)
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or np.any(~((p >= 0) & (p <= 1))):
        raise DataError("p_values must be numbers between 0 and 1", code="outside_domain")
    m = p.size
    if method == "none" or m == 0:
        return p.copy()
    if method == "bonferroni":
        return np.minimum(1.0, m * p)
    if method == "sidak":
        with np.errstate(divide="ignore"):
            together: Array = -np.expm1(m * np.log1p(-p))
        return together
    if method == "holm":
        order = np.argsort(p, kind="stable")
        found = np.empty(m)
        found[order] = np.minimum(1.0, np.maximum.accumulate((m - np.arange(m)) * p[order]))
        return found
    from scipy.stats import false_discovery_control

    return np.asarray(false_discovery_control(p, method=method), dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Adjusted:
    """Estimates with p-values and intervals adjusted for their number.

    Parameters
    ----------
    p : ndarray, (m,)
        Two-sided p-values.
    critical : ndarray, (m,)
        Standard errors to either side of the estimate: simultaneous intervals at the level where
        `simultaneous`, else of each by itself.
    lower, upper : ndarray, (m,)
    simultaneous : bool
        Whether all intervals hold at once with the level's probability.
    error : float
        Standard error of the p-values from quasi-Monte Carlo; 0 where they are exact.
    method : str
    """

    p: Array
    critical: Array
    lower: Array
    upper: Array
    simultaneous: bool
    error: float
    method: str


def adjusted(
    estimates: ArrayLike,
    covariance: ArrayLike,
    df: ArrayLike = np.inf,
    method: str = "max-t",
    level: float = 0.95,
    *,
    means: int | None = None,
) -> Adjusted:
    """Test m estimates against zero, and give their intervals, adjusted for their number.

    Parameters
    ----------
    estimates : array_like, (m,)
    covariance : array_like, (m, m)
    df : float or array_like, (m,)
        Degrees of freedom of each; infinity for the normal distribution. The joint methods take
        the smallest, which is conservative.
    method : str
        A method of `adjust`; ``"max-t"``: single step from the joint normal or t distribution,
        exact for any set of contrasts (Dunnett's test for comparisons with one control);
        ``"tukey"``: the studentized range of `means` means, for all their pairwise differences.
    level : float
        Of the intervals. ``"holm"``, ``"bh"`` and ``"by"`` have none of their own: theirs are
        not adjusted, and `simultaneous` says so.
    means : int, optional
        Number of means compared, for ``"tukey"``; by default that whose pairs are m in number.

    Returns
    -------
    Adjusted
        Equal input gives equal numbers: the quasi-Monte Carlo points are fixed.

    References
    ----------
    Hothorn, T., Bretz, F. and Westfall, P. (2008). Simultaneous inference in general parametric
    models. Biometrical Journal 50, 346-363.
    Genz, A. and Bretz, F. (2009). Computation of Multivariate Normal and t Probabilities. Springer.

    Examples
    --------
    >>> found = adjusted([2.0, 2.5], [[1.0, 0.5], [0.5, 1.0]])
    >>> found.p.round(3).tolist(), found.critical.round(2).tolist()
    ([0.083, 0.023], [2.21, 2.21])
    """
    one_of("method", method, JOINT_METHODS)
    level_checked(level)
    values, v = np.asarray(estimates, dtype=np.float64), np.asarray(covariance, dtype=np.float64)
    m = values.size
    each = np.broadcast_to(np.asarray(df, dtype=np.float64), (m,))
    if v.shape != (m, m):
        message = f"covariance has shape {v.shape}; {m} estimates need ({m}, {m})"
        raise DataError(message, code="array_shape")
    se = np.sqrt(np.diag(v))
    t = np.abs(values) / se
    error, simultaneous = 0.0, True
    reach: float | Array
    if method == "tukey":
        p, reach = _tukey(t, float(each.min()), level, means or _means_of(m))
    elif method == "max-t":
        p, reach, error = _max_t(t, v / np.outer(se, se), float(each.min()), level)
    else:
        p = adjust(t_tail(t, each), method)
        own = {"bonferroni": 1 - (1 - level) / m, "sidak": level ** (1 / m)}.get(method, level)
        reach = t_quantile(own, each)
        simultaneous = method in ("bonferroni", "sidak") or m == 1
    critical = np.broadcast_to(reach, (m,)).astype(np.float64)
    lower, upper = values - critical * se, values + critical * se
    return Adjusted(p, critical, lower, upper, simultaneous, error, method)


def _means_of(m: int) -> int:
    """The number of means that have m pairs."""
    k = round((1 + float(np.sqrt(1 + 8 * m))) / 2)
    if k * (k - 1) // 2 != m:
        message = f"{m} estimates are not all pairs of some means; give means=, or method='max-t'"
        raise DataError(message, code="unknown_option")
    return k


def _tukey(t: Array, df: float, level: float, k: int) -> tuple[Array, float]:
    from scipy.stats import studentized_range

    root2 = float(np.sqrt(2.0))
    df = min(df, 1e5)  # from where the limit agrees to all digits that matter
    p = np.clip(studentized_range.sf(t * root2, k, df), 0.0, 1.0)
    return np.asarray(p, dtype=np.float64), float(studentized_range.ppf(level, k, df)) / root2


def _max_t(t: Array, correlation: Array, df: float, level: float) -> tuple[Array, float, float]:
    """Tail probabilities of max |T| at each |t|, its quantile, and the largest standard error."""
    if t.size == 1:
        return t_tail(t, np.array(df)), float(t_quantile(level, np.array(df))), 0.0
    from scipy.optimize import brentq

    reach, rank = _largest(correlation)
    tails = np.array([_tail(x, reach, rank, df) for x in t])
    error = float((tails.std(axis=1, ddof=1)).max()) / _REPEATS**0.5
    single = t_tail(t, np.array(df))
    p = np.clip(tails.mean(axis=1), single, np.minimum(1.0, t.size * single))
    low, high = (t_quantile(1 - (1 - level) / k, np.array(df)) for k in (1, t.size))
    wanted = 1 - level
    found = brentq(lambda x: _tail(x, reach, rank, df).mean() - wanted, 0.99 * low, 1.01 * high)
    return p, float(found), error


def _tail(t: float, reach: Array, rank: int, df: float) -> Array:
    """P(max |T| >= t) by each repeat of the directions, (repeats,).

    T is a radius times L u of a direction u; given u the squared radius is chi-square of `rank` df,
    or `rank` times F, whose tails are known.
    """
    from scipy.special import chdtrc, fdtrc

    squared = (t / reach) ** 2
    tails = chdtrc(rank, squared) if np.isinf(df) else fdtrc(rank, df, squared / rank)
    found: Array = tails.mean(axis=1)
    return found


def _largest(correlation: Array) -> tuple[Array, int]:
    """The largest |L u| over directions u from scrambled Sobol points, and the rank of L."""
    from scipy.special import ndtri
    from scipy.stats import qmc

    values, vectors = np.linalg.eigh(correlation)
    keep = values > _RANK * values.max()
    root = vectors[:, keep] * np.sqrt(values[keep])
    r = root.shape[1]
    found = np.empty((_REPEATS, _POINTS))
    for k in range(_REPEATS):
        points = qmc.Sobol(r, seed=_SEED + k).random(_POINTS)
        z = ndtri(np.clip(points, 1e-12, 1 - 1e-12))
        u = z / np.linalg.norm(z, axis=1, keepdims=True)
        found[k] = np.abs(u @ root.T).max(axis=1)
    return found, r
