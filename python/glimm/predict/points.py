"""All linear predictors, and expected responses, at given random effects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import _core

if TYPE_CHECKING:
    from ..design import DesignTerm
    from ..fit import Fit

Array = NDArray[np.float64]
Terms = tuple[tuple[NDArray[np.int64], Array], ...]


@dataclass(frozen=True, slots=True)
class Kriged:
    """Effects of a field at places that the fit has not seen, given those at places that it has.

    Parameters
    ----------
    predictor : int
        The linear predictor that they enter.
    variance : ndarray, (n,)
        Of such an effect, given the others; zero in other rows.
    parameter : int
        The log of the field's range.
    slope : ndarray, (n,)
        Derivative in it of such an effect, given the others.
    """

    predictor: int
    variance: Array
    parameter: int
    slope: Array


@dataclass(frozen=True, slots=True)
class Rows:
    """The matrices of some rows.

    Parameters
    ----------
    matrices : mapping of int to (ndarray, ndarray or None)
        x (n, p) and offset (n,) of each predictor with a formula.
    terms : tuple of (codes, z)
        As in `Design.apply`, by membership.
    precision : ndarray, (n,), or None
    n : int
    trials : ndarray, (n,), or None
    kriged : tuple of Kriged
        For memberships with places that were not seen; their columns z are weights of the effects.
    """

    matrices: dict[int, tuple[Array, Array | None]]
    terms: Terms
    precision: Array | None
    n: int
    trials: Array | None = None
    kriged: tuple[Kriged, ...] = ()


def typical(term: DesignTerm) -> Array:
    """Return the covariance among the groups of a row that nothing is known of, over Sigma.

    (memberships, memberships): for independent groups the identity; with a known relation its
    typical variance, and the mean of its covariances between the groups of the rows of the fit.
    """
    found = np.eye(len(term.memberships))
    if term.relation is None:
        return found
    found *= term.relation.typical
    for i, (first, _) in enumerate(term.memberships):
        for j, (second, _) in enumerate(term.memberships[:i]):
            both = (first >= 0) & (second >= 0)
            found[i, j] = found[j, i] = term.relation.mean_between(first[both], second[both])
    return found


def expected(fit: Fit, eta: list[Array]) -> Array:
    """Return the expected response, or the probabilities of classes, at all predictors."""
    if fit.model.family.ordered:
        thresholds = fit.part("thresholds").estimates.tolist()
        flat = _core.class_probabilities(fit.model.link, eta[0], thresholds)
        return flat.reshape(eta[0].size, -1)
    return _core.means(fit.model.core_name, eta)


def training_rows(fit: Fit) -> Rows:
    """Return the matrices of the rows used."""
    design = fit.design
    matrices = {0: (design.x, design.offset)}
    matrices |= {part.predictor: (part.x, part.offset) for part in design.parts}
    terms = tuple(pair for term in design.terms for pair in term.memberships)
    return Rows(matrices, terms, design.precision, design.n, design.trials)


def predictors(fit: Fit, rows: Rows, effects: tuple[Array, ...]) -> list[Array]:
    """Return all linear predictors of a family, each (n,), as its functions in the core take them.

    For ordered classes the thresholds follow that of the mean.
    """
    if fit.model.family.ordered:
        thresholds = fit.part("thresholds").estimates.tolist()
        constant = [np.full(rows.n, value) for value in thresholds]
        return [linear_predictor(fit, rows, 0, effects), *constant]
    return [linear_predictor(fit, rows, k, effects) for k in range(len(fit.parts))]


def linear_predictor(fit: Fit, rows: Rows, k: int, effects: tuple[Array, ...]) -> Array:
    """Return x beta + offset + sum of z b; effects (levels, q) by term, none below code 0."""
    part = fit.parts[k]
    if k in rows.matrices:
        x, offset = rows.matrices[k]
        eta = x[:, list(fit.estimates.kept[k])] @ part.estimates
        eta = eta if offset is None else eta + offset
    else:
        eta = np.full(rows.n, _constant(fit, k))
    if part.parameter is not None and part.parameter.precision and rows.precision is not None:
        eta = eta + part.parameter.precision * np.log(rows.precision)
    for t, (codes, z) in zip(fit.design.members, rows.terms, strict=True):
        term, b = fit.design.terms[t], effects[t]
        columns = [j for j, predictor in enumerate(term.predictors) if predictor == k]
        if columns:
            values = np.einsum("ij,ij->i", z[:, columns], b[np.maximum(codes, 0)][:, columns])
            eta = eta + np.where(codes >= 0, values, 0.0)
    return np.asarray(eta, dtype=np.float64)


def _constant(fit: Fit, k: int) -> float:
    part = fit.parts[k]
    held = fit.model.held.get(part.part)
    if held is not None and part.parameter is not None:
        return part.parameter.predictor(held)
    return float(part.estimates[0])
