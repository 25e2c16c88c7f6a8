"""Effects of a field at places that the fit has not seen, given those at the places that it has.

With C the correlations of the fit's places and c those of another place with them, the effect there
is normal given the effects b, with mean w'b, w = C^-1 c, and variance sd^2 (1 - w'c): simple
kriging of the effects. With the uncertainty of coefficients and effects it is universal kriging
(Cressie 1993, Statistics for Spatial Data, section 3.4). The weights move with the log of the
range, r: dw'b/dr = (dc/dr - dC/dr w)'C^-1 b.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import DataError
from ..structures import bare, positions
from .points import Kriged, Rows

if TYPE_CHECKING:
    from ..design import DesignTerm
    from ..fit import Fit

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Weights:
    """What the effects at a field's places say of those at other points.

    Parameters
    ----------
    values : ndarray, (points, q)
        The weights w.
    left : ndarray, (points,)
        Variance that they leave open, over the field's.
    moved : ndarray, (points, q)
        dc/dr - dC/dr w.
    whitened : ndarray, (levels, q)
        C^-1 b of each group.
    """

    values: Array
    left: Array
    moved: Array
    whitened: Array


def at_new_places(fit: Fit, rows: Rows, beyond: Sequence[Array | None]) -> Rows:
    """Return the rows with weights for columns where groups are known and their places are not.

    Parameters
    ----------
    fit : Fit
    rows : Rows
    beyond : sequence of ndarray or None
        As in `NewRows`.

    Raises
    ------
    DataError
        When the field does not tell of other places.
    """
    terms, kriged = list(rows.terms), []
    for member, points in enumerate(beyond):
        codes, z = terms[member]
        if points is None:
            continue
        at = np.flatnonzero((codes >= 0) & ~np.isnan(points[:, 0]))
        if at.size:
            z = z.copy()
            z[at], found = _kriged(fit, fit.design.members[member], codes[at], z[at], points[at])
            terms[member] = (codes, z)
            kriged.append(_among(rows.n, at, found))
    return replace(rows, terms=tuple(terms), kriged=tuple(kriged))


def _kriged(
    fit: Fit, t: int, codes: NDArray[np.int64], z: Array, points: Array
) -> tuple[Array, Kriged]:
    """The columns of rows of term t at new points (n, d), and what they leave open."""
    term = fit.design.terms[t]
    distinct, back = np.unique(points, axis=0, return_inverse=True)
    found, back = _weights(fit, t, distinct), back.ravel()
    # One column is not zero: the share of the row's group.
    share = z.sum(axis=1)
    size = share**2 * fit.covariances[t][0, 0] * _sizes(term, codes)
    slope = share * np.einsum("ij,ij->i", found.moved[back], found.whitened[codes])
    range_at = fit.estimates.thetas[t][1] - 1
    effect = Kriged(term.predictors[0], size * found.left[back], range_at, slope)
    return share[:, None] * found.values[back], effect


def _among(n: int, at: NDArray[np.int64], found: Kriged) -> Kriged:
    """The same among n rows, of which these are at."""
    variance, slope = np.zeros((2, n))
    variance[at], slope[at] = found.variance, found.slope
    return replace(found, variance=variance, slope=slope)


def _weights(fit: Fit, t: int, points: Array) -> Weights:
    """The weights of term t at points (points, d) that are not its places."""
    from scipy.linalg import cho_factor, cho_solve

    term, (start, end) = fit.design.terms[t], fit.estimates.thetas[t]
    theta = fit.estimates.parameters[start:end]
    near, near_slope = _correlations(term, theta, points)
    own, own_slope = _correlations(term, theta, positions(term.structure))
    # A nugget is a place's own: it has all of its variance in common with itself alone.
    np.fill_diagonal(own, 1.0)
    try:
        root = cho_factor(own, lower=True)
    except np.linalg.LinAlgError:
        message = (
            f"{bare(term.structure)}() of {term.label!r} says nothing of places that the fit has "
            "not seen: its range is so long that all places are as one. Predict at the places of "
            "the fit, or hold the range"
        )
        raise DataError(message, code="new_levels") from None
    values = cho_solve(root, near.T).T
    left = np.maximum(1.0 - np.einsum("ij,ij->i", values, near), 0.0)
    whitened = cho_solve(root, fit.estimates.modes[t].T).T
    return Weights(values, left, near_slope - values @ own_slope, whitened)


def _correlations(term: DesignTerm, theta: Array, points: Array) -> tuple[Array, Array]:
    """Correlations of a field at points with its places, (points, q), and derivatives in r."""
    q = len(term.columns)
    given = np.ascontiguousarray(points.ravel())
    found = _core.field_correlations(term.structure, q, theta.tolist(), given)
    assert found is not None
    value, slope = (part.reshape(-1, q) for part in found)
    return value, slope


def _sizes(term: DesignTerm, codes: NDArray[np.int64]) -> Array:
    """The variance of each row's group over that of independent ones.

    Raises
    ------
    DataError
        For rows with several related groups, whose covariances are not held.
    """
    if term.relation is None:
        return np.ones(codes.size)
    if term.also:
        message = (
            f"{bare(term.structure)}() of {term.label!r} is known at the places of the fit alone: "
            "its rows have several groups that are related"
        )
        raise DataError(message, code="new_levels")
    return np.asarray(term.relation.variances[codes])
