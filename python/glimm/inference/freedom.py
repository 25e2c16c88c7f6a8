"""Degrees of freedom: what stands between a standard error and a p-value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from ..fit import one_of
from .variation import Variation, effects_of, refusal, traces, variation

if TYPE_CHECKING:
    from ..fit import Fit

Array = NDArray[np.float64]

CHOICES = ("auto", "normal", "satterthwaite", "kenward-roger")

_INSTANT_EFFECTS, _INSTANT_ROWS = 500, 20_000
_FLAT = 1e-8
_ALL_EQUAL = 1e-8


class Freedom(Protocol):
    """A covariance of the fixed effects with the degrees of freedom of what is made of them."""

    @property
    def covariance(self) -> Array:
        """Covariance of the fixed effects, (p, p)."""

    @property
    def source(self) -> str:
        """Where the degrees of freedom come from, in words."""

    def df(self, contrast: Array) -> float:
        """Degrees of freedom of ``contrast @ coefficients``, contrast (p,); inf for none."""

    def joint(self, rows: Array, distance: Array) -> tuple[float, float]:
        """F and its denominator df for ``rows @ coefficients`` at `distance`, (q,), from the null.

        For rows (q, p) of full rank. With df of inf, q F is chi-square.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Normal:
    """The normal distribution: no allowance for small samples."""

    covariance: Array
    source: str = "normal distribution (no small-sample df)"

    def df(self, contrast: Array) -> float:
        """Return infinity."""
        return float("inf")

    def joint(self, rows: Array, distance: Array) -> tuple[float, float]:
        """Return the Wald statistic over q, and infinity."""
        return wald(rows @ self.covariance @ rows.T, distance), float("inf")


@dataclass(frozen=True, slots=True, eq=False)
class Satterthwaite:
    """Satterthwaite's approximation: the variance of an estimated variance, to first order.

    Parameters
    ----------
    covariance : ndarray, (p, p)
        Phi, variances taken as known.
    gradient : ndarray, (k, p, p)
        Derivatives of Phi in the k variance parameters.
    spread : ndarray, (k, k)
        Covariance of the estimated variance parameters, from the exact second derivatives of the
        (restricted) log-likelihood at the estimates.
    """

    covariance: Array
    gradient: Array
    spread: Array
    source: str = "Satterthwaite df"

    def df(self, contrast: Array) -> float:
        r"""Return 2 f^2 / (g'A g) with f = l'Phi l and g its gradient (Giesbrecht and Burns)."""
        f = float(contrast @ self.covariance @ contrast)
        g = contrast @ self.gradient @ contrast
        variance = float(g @ self.spread @ g)
        return 2 * f**2 / variance if variance > 0 else float("inf")

    def joint(self, rows: Array, distance: Array) -> tuple[float, float]:
        """Return F and df: squared t of orthogonal contrasts, their expectation matched to F's."""
        phi = rows @ self.covariance @ rows.T
        _, vectors = np.linalg.eigh(phi)
        each = np.array([self.df(row) for row in vectors.T @ rows])
        return wald(phi, distance), _matched(each)


def wald(covariance: Array, distance: Array) -> float:
    """Return d'C^-1 d / q."""
    return float(distance @ np.linalg.solve(covariance, distance)) / len(distance)


def _matched(each: Array) -> float:
    """The df of an F whose expectation is the mean of those of squared t, v / (v - 2).

    Fai and Cornelius (1996); where an expectation is infinite the df is 2.
    """
    q = len(each)
    if np.all(np.isinf(each)) or np.ptp(each) <= _ALL_EQUAL * each.min():
        return float(each.min())
    if np.any(each <= 2):
        return 2.0
    finite = np.where(np.isinf(each), 1.0, each / (each - 2))
    total = float(finite.sum())
    return 2 * total / (total - q)


def satterthwaite(fit: Fit) -> Satterthwaite:
    """Return Satterthwaite's approximation for a gaussian mixed model, by ML or REML.

    The variance parameters' covariance is the inverse of the exact observed information, as in
    lmerTest. Covariances on the boundary keep their rank: variances of zero add no uncertainty.

    Raises
    ------
    FitError
        With the reason where a fit has no such degrees of freedom; code ``"no_freedom"``.

    References
    ----------
    Giesbrecht, F. G. and Burns, J. C. (1985). Two-stage analysis based on a mixed model.
    Biometrics 41, 477-486.
    Fai, A. H.-T. and Cornelius, P. L. (1996). Approximate F-tests of multiple degree of freedom
    hypotheses in generalized least squares analyses of unbalanced split-plot experiments. Journal
    of Statistical Computation and Simulation 54, 363-378.

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("sleepstudy")
    >>> fit = glimm.fit("reaction ~ days + (1 + days | subject)", data)
    >>> round(satterthwaite(fit).df(np.array([0.0, 1.0])), 3)
    17.0
    """
    v = variation(fit)
    directions, _ = v.free()
    edge = v.d.T @ v.phi
    gradient = [d.a * v.phi + v.times(edge.T, d) @ edge for d in directions]
    p = len(v.phi)
    return Satterthwaite(v.phi, np.array(gradient).reshape(-1, p, p), _observed(v))


def _observed(v: Variation) -> Array:
    """Twice the inverse of the second derivatives of -2 log-likelihood in the free parameters.

    tr(M V_ij) - tr(M V_i M V_j) - y'P V_ij P y + 2 y'P V_i P V_j P y, M = P for REML, V^-1 for ML.
    """
    directions, second = v.free()
    p = len(v.phi)
    matrix, rank = (v.t_p, v.n - p) if v.restricted else (v.t, v.n)
    _, pairs = traces(v, directions, matrix, rank)
    a = np.array([d.a for d in directions])
    ku = np.array([v.times(v.u[None], d)[0] for d in directions]).reshape(len(a), -1)
    uku = ku @ v.u
    quadratic = v.s * np.outer(a, a) + np.outer(a, uku) + np.outer(uku, a) + ku @ v.t_p @ ku.T
    hessian = 2 * quadratic - pairs
    for (i, j), d in second.items():
        hessian[i, j] += np.trace(v.times(matrix, d)) - v.times(v.u[None], d)[0] @ v.u
    return 2 * inverse(hessian)


def inverse(matrix: Array) -> Array:
    """Return the inverse of a symmetric matrix over the directions in which it is not flat."""
    if not len(matrix):
        return matrix
    scale = np.sqrt(np.abs(np.diag(matrix)))
    scale = np.where(scale > 0, scale, 1.0)
    values, vectors = np.linalg.eigh(matrix / np.outer(scale, scale))
    keep = values > _FLAT * values.max()
    found: Array = (vectors[:, keep] / values[keep]) @ vectors[:, keep].T / np.outer(scale, scale)
    return found


def freedom(fit: Fit, df: str = "auto") -> Freedom:
    """Return the covariance of the fixed effects and their degrees of freedom.

    Parameters
    ----------
    fit : Fit
    df : str
        ``"normal"``, ``"satterthwaite"``, ``"kenward-roger"``, or ``"auto"``: Satterthwaite for
        gaussian mixed models by REML of up to 500 random effects and 20,000 rows, else normal.

    Raises
    ------
    DataError, FitError
        For a name not in this list; for fits that have no such degrees of freedom.
    """
    one_of("df", df, CHOICES)
    if df == "auto":
        df = automatic(fit)
    if df == "satterthwaite":
        return satterthwaite(fit)
    if df == "kenward-roger":
        from .kenward import kenward_roger

        return kenward_roger(fit)
    return Normal(fit.parts[0].covariance)


def automatic(fit: Fit) -> str:
    """Return what ``df="auto"`` stands for."""
    if not fit.model.reml or not fit.parts[0].names or fit.design.n > _INSTANT_ROWS:
        return "normal"
    suits = refusal(fit) is None and effects_of(fit) <= _INSTANT_EFFECTS
    return "satterthwaite" if suits else "normal"


def t_quantile(level: float, df: Array) -> Array:
    """Return how many standard errors an interval of this level reaches, by df (inf: normal)."""
    from scipy.special import ndtri, stdtrit

    finite = np.where(np.isinf(df), 1.0, df)
    tail = (1 + level) / 2
    found: Array = np.where(np.isinf(df), ndtri(tail), stdtrit(finite, tail))
    return found


def t_tail(t: Array, df: Array) -> Array:
    """Return two-sided p-values, accurate in the far tail too."""
    from scipy.special import ndtr, stdtr

    finite = np.where(np.isinf(df), 1.0, df)
    found: Array = 2 * np.where(np.isinf(df), ndtr(-np.abs(t)), stdtr(finite, -np.abs(t)))
    return found


def f_tail(f: float, q: int, df: float) -> float:
    """Return the p-value of an F statistic; with df of inf that of chi-square q F."""
    from scipy.special import chdtrc, fdtrc

    return float(chdtrc(q, q * f) if np.isinf(df) else fdtrc(q, df, f))
