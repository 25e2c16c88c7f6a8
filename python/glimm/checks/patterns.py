"""Checks of residuals against predictors: quantile trends, spread, categories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .base import Check, percent
from .columns import groups_of, label, numbers
from .residuals import Residuals
from .study import Source, Test, one

Array = NDArray[np.float64]
Said = tuple[float, str, Mapping[str, Any]]

QUANTILES = (0.25, 0.5, 0.75)
_DEGREE = 3
_SPREAD_DEGREE = 2


def midranks(x: Array) -> Array:
    """Return ranks between 0 and 1, equal values sharing theirs.

    Examples
    --------
    >>> import numpy as np
    >>> midranks(np.array([3.0, 1.0, 3.0, 7.0])).tolist()
    [0.5, 0.125, 0.5, 0.875]
    """
    _, back, count = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return np.asarray(((last - 0.5 * count) / x.size)[back.ravel()])


def curves(x: Array, degree: int) -> Array:
    """Return smooth curves in the ranks of x, (N, k), orthonormal and orthogonal to a constant."""
    k = min(degree, np.unique(x).size - 1)
    powers = np.polynomial.legendre.legvander(2 * midranks(x) - 1, k)
    return np.asarray(np.linalg.qr(powers)[0][:, 1:])


class _Basis:
    """Values and curves of a column, which are the same in every simulated data set."""

    def __init__(self, column: str | ArrayLike, degree: int) -> None:
        self.column, self.degree = column, degree
        self._last: tuple[Array, Array] | None = None

    def __call__(self, r: Residuals) -> tuple[Array, Array]:
        """Return the values (N,) and curves (N, k) at the rows of the residuals."""
        x = numbers(r, self.column)
        if self._last is None or not np.array_equal(self._last[0], x):
            self._last = x, curves(x, self.degree)
        return self._last


def trend_test(column: str | ArrayLike = "fitted") -> Test:
    """Return the test of `trend`."""
    tau = np.array(QUANTILES)
    weight = np.linalg.inv(np.minimum.outer(tau, tau) - np.outer(tau, tau))
    made = _Basis(column, _DEGREE)

    def shares(r: Residuals) -> tuple[Array, Array, Array]:
        x, basis = made(r)
        below = (r.values[:, None] < tau).astype(np.float64) - tau
        return x, basis, basis.T @ below

    def statistic(r: Residuals) -> float:
        _, _, sums = shares(r)
        return float(np.einsum("ks,st,kt->", sums, weight, sums))

    def p(r: Residuals, t: float) -> float:
        from scipy.stats import chi2

        basis = made(r)[1]
        return float(chi2.sf(t, tau.size * basis.shape[1])) if basis.shape[1] else 1.0

    def describe(r: Residuals, t: float, draws: Array) -> Said:
        x, basis, sums = shares(r)
        moved = basis @ sums
        inner = (midranks(x) > 0.05) & (midranks(x) < 0.95)
        size = np.where(inner[:, None], np.abs(moved) / np.sqrt(tau * (1 - tau)), 0.0)
        i, j = np.unravel_index(int(np.argmax(size)), size.shape)
        effect = float(moved[i, j])
        found = min(max(tau[j] + effect, 0.0), 1.0)
        words = (
            f"where {label(column)} is {x[i]:.3g}, {100 * found:.0f} % of responses lie below the "
            f"model's {100 * tau[j]:.0f} % quantile"
        )
        return effect, words, {"at": float(x[i]), "quantile": float(tau[j])}

    return Test(f"trend in {label(column)}", statistic, describe, p=p)


def trend(
    source: Source,
    column: str | ArrayLike = "fitted",
    *,
    null: str = "auto",
    n: int = 199,
    seed: int = 0,
) -> Check:
    """Check whether quantiles of the residuals move with a predictor or the fitted values.

    The rank-score test of quantile regression, at 0.25, 0.5 and 0.75 together, of a constant
    against a smooth curve (a cubic) in the ranks of the column: with B the curves, orthonormal, and
    I the indicators u < tau less tau, it is the sum of (B'I) T^-1 (B'I)', T = min(s, t) - s t.

    Parameters
    ----------
    source : Fit, GEEFit, Residuals or Study
    column : str or array_like
        A column that the fit used, ``"fitted"`` (the expected responses at the random effects
        drawn), or one value for each row.
    null, n, seed
        As in `glimm.checks.study`.

    Returns
    -------
    Check
        Its effect is the largest change of the share of responses below a quantile of the model.

    References
    ----------
    Gutenbrunner, C., Jureckova, J., Koenker, R. and Portnoy, S. (1993). Tests of linear hypotheses
    based on regression rank scores. J. Nonparametr. Stat. 2, 307-331.

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("sleepstudy")
    >>> fit = glimm.fit("reaction ~ days + (1 + days | subject)", data)
    >>> glimm.checks.trend(fit, "days", n=39).p > 0.001
    True
    """
    return one(source, trend_test(column), null, n, seed)


def _wide(u: Array) -> Array:
    """How far out a residual lies: mean 0 and variance 1 under the model."""
    return np.asarray(np.sqrt(180.0) * ((u - 0.5) ** 2 - 1 / 12))


def heteroscedasticity_test(column: str | ArrayLike = "fitted") -> Test:
    """Return the test of `heteroscedasticity`."""
    made = _Basis(column, _SPREAD_DEGREE)

    def statistic(r: Residuals) -> float:
        sums = made(r)[1].T @ _wide(r.values)
        return float(sums @ sums)

    def p(r: Residuals, t: float) -> float:
        from scipy.stats import chi2

        k = made(r)[1].shape[1]
        return float(chi2.sf(t, k)) if k else 1.0

    def describe(r: Residuals, t: float, draws: Array) -> Said:
        rank = midranks(numbers(r, column))
        low, high = r.normal[rank < 1 / 3], r.normal[rank > 2 / 3]
        if not (low.size and high.size):
            return float("nan"), "too few values of the column to compare", {}
        ratio = float(np.mean(high**2) / max(float(np.mean(low**2)), 1e-300))
        words = f"variance at high {label(column)} {percent(ratio)} that at low"
        return ratio, words, {}

    return Test(f"spread over {label(column)}", statistic, describe, p=p)


def heteroscedasticity(
    source: Source,
    column: str | ArrayLike = "fitted",
    *,
    null: str = "auto",
    n: int = 199,
    seed: int = 0,
) -> Check:
    """Check whether the spread of the residuals changes with a predictor or the fitted values.

    A score test: h = sqrt(180) ((u - 1/2)^2 - 1/12), of mean 0 and variance 1, is projected on a
    parabola in the ranks of the column.

    Parameters
    ----------
    source : Fit, GEEFit, Residuals or Study
    column : str or array_like
        As in `trend`.
    null, n, seed
        As in `glimm.checks.study`.

    Returns
    -------
    Check
        Its effect is the ratio of the variances of normal scores in the upper and lower third.

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("sleepstudy")
    >>> fit = glimm.fit("reaction ~ days + (1 | subject)", data)
    >>> glimm.checks.heteroscedasticity(fit, "days", n=39).effect > 0
    True
    """
    return one(source, heteroscedasticity_test(column), null, n, seed)


def groups_test(column: str | ArrayLike) -> Test:
    """Return the test of `groups`."""

    def sums(r: Residuals) -> tuple[Array, Array, Array, list[Any]]:
        codes, labels = groups_of(r, column)
        count = np.bincount(codes, minlength=len(labels)).astype(np.float64)
        moved = np.bincount(codes, np.sqrt(12.0) * (r.values - 0.5), len(labels))
        wide = np.bincount(codes, _wide(r.values), len(labels))
        return count, moved.astype(np.float64), wide.astype(np.float64), labels

    def statistic(r: Residuals) -> float:
        count, moved, wide, _ = sums(r)
        return float(np.sum((moved**2 + wide**2) / count))

    def p(r: Residuals, t: float) -> float:
        from scipy.stats import chi2

        return float(chi2.sf(t, 2 * len(sums(r)[3])))

    def describe(r: Residuals, t: float, draws: Array) -> Said:
        count, moved, wide, labels = sums(r)
        worst = int(np.argmax((moved**2 + wide**2) / count))
        codes, _ = groups_of(r, column)
        own = r.normal[codes == worst]
        effect, spread = float(np.mean(own)), float(np.mean(own**2) - np.mean(own) ** 2)
        side = "above" if effect > 0 else "below"
        words = (
            f"most in {label(column)} {labels[worst]}: {abs(effect):.2f} sd {side} the model, "
            f"variance {percent(max(spread, 1e-12))} it"
        )
        return effect, words, {"group": labels[worst], "variance": spread}

    return Test(f"groups of {label(column)}", statistic, describe, p=p)


def groups(
    source: Source, column: str | ArrayLike, *, null: str = "auto", n: int = 199, seed: int = 0
) -> Check:
    """Check whether residuals differ between the groups of a category, in place or in spread.

    The statistic is the sum over groups of the squared means of the first two orthonormal
    polynomials of u, times the groups' sizes.

    Parameters
    ----------
    source : Fit, GEEFit, Residuals or Study
    column : str or array_like
        A column that the fit used, or one value for each row.
    null, n, seed
        As in `glimm.checks.study`.

    Returns
    -------
    Check
        Its effect is the mean normal score of the group that departs most.

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("epilepsy")
    >>> fit = glimm.fit("seizures ~ treatment + (1 | patient)", data, family="nbinom2")
    >>> glimm.checks.groups(fit, "treatment", n=39).p > 0.001
    True
    """
    return one(source, groups_test(column), null, n, seed)
