"""Breeding values with what is known of their errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..data import frame_like
from ..errors import DataError, FitError
from ..predict.joint import joint_covariance
from ..tables import Column, Printed, Table
from .parts import Latent

if TYPE_CHECKING:
    from ..fit import Fit

Array = NDArray[np.float64]

SHOWN = 10
"""Animals printed: those with the largest values."""


@dataclass(frozen=True, eq=False)
class BreedingValues(Printed):
    """Breeding values of all animals of the relation; made by `Fit.breeding_values`.

    Attributes
    ----------
    animals : tuple
        Levels of the relation, with records or without.
    columns : tuple of str, (q,)
        Effects: one, or one for each trait.
    values, se : ndarray, (animals, q)
        On the scale of the linear predictor; `se` is the root of the prediction error variance.
    reliability, accuracy : ndarray, (animals, q)
        1 - PEV / ((1 + F) V_A), and its root: the squared correlation of value and truth.
    inbreeding : ndarray, (animals,)
    method : str
        What the prediction error variance accounts for.
    """

    animals: tuple[Any, ...]
    columns: tuple[str, ...]
    values: Array
    se: Array
    reliability: Array
    inbreeding: Array
    method: str
    frame_kind: Any = field(repr=False)

    @property
    def accuracy(self) -> Array:
        """Root of the reliability."""
        return np.sqrt(np.maximum(self.reliability, 0.0))

    def to_frame(self) -> Any:
        """Return `animal`, `effect` (with several), `value`, `se`, `accuracy`, `reliability`, F."""
        q = len(self.columns)
        columns: dict[str, Any] = {"animal": [a for a in self.animals for _ in range(q)]}
        if q > 1:
            columns["effect"] = list(self.columns) * len(self.animals)
        columns |= {
            "value": self.values.ravel(),
            "se": self.se.ravel(),
            "accuracy": self.accuracy.ravel(),
            "reliability": self.reliability.ravel(),
            "inbreeding": np.repeat(self.inbreeding, q),
        }
        return frame_like(self.frame_kind, columns)

    @property
    def table(self) -> Table:
        """The largest values, as they are printed."""
        order = np.argsort(-self.values[:, 0], kind="stable")[:SHOWN]
        rows = []
        for i in order.tolist():
            for j, name in enumerate(self.columns):
                accuracy = float(self.accuracy[i, j])
                cells = (float(self.values[i, j]), float(self.se[i, j]), accuracy)
                rows.append((str(self.animals[i]), name, *cells, float(self.inbreeding[i])))
        heads = (
            Column("animal"),
            Column("effect"),
            Column("value", "number"),
            Column("se", "number"),
            Column("accuracy", "ratio"),
            Column("inbreeding", "ratio"),
        )
        many = len(self.animals)
        title = f"Breeding values: {min(SHOWN, many)} of {many:,} animals, the largest first"
        return Table(title, heads, tuple(rows), (f"Errors: {self.method}.",))


def breeding_values(fit: Fit, term: str | None, parameters: str) -> BreedingValues:
    """See `Fit.breeding_values`."""
    if parameters not in ("fixed", "all", "none"):
        message = f"parameters={parameters!r}; use 'fixed', 'all', 'none'"
        raise DataError(message, code="unknown_option")
    piece = Latent(fit, term).additive
    design = fit.design.terms[piece.term]
    if design.relation is None:
        message = (
            f"the levels of {piece.name!r} are no relatives; give the term pedigree= or known="
        )
        raise FitError(message, code="no_heritability")
    columns = _columns(fit, piece.term)
    values = fit.estimates.modes[piece.term][:, columns]
    own = np.diagonal(fit.estimates.covariances[piece.term], axis1=1, axis2=2)[:, columns]
    variance = own + _moved(fit, piece.term, columns, parameters)
    k = np.asarray(design.relation.variances)
    sigma = np.diag(fit.covariances[piece.term])[columns]
    with np.errstate(divide="ignore", invalid="ignore"):
        reliability = 1 - variance / (k[:, None] * sigma)
    return BreedingValues(
        animals=tuple(design.levels),
        columns=tuple(fit.effect_names(design)[c] for c in columns),
        values=values,
        se=np.sqrt(np.maximum(variance, 0.0)),
        reliability=reliability,
        inbreeding=k - 1,
        method=_method(parameters),
        frame_kind=fit.design.frame_kind,
    )


def _columns(fit: Fit, t: int) -> list[int]:
    return [j for j, k in enumerate(fit.design.terms[t].predictors) if k == 0]


def _moved(fit: Fit, t: int, columns: list[int], parameters: str) -> Array:
    """D V D' of the modes: what the estimates of the parameters add, (levels, q).

    For Gaussian responses and the fixed effects C + D V D' is the block C22 of the inverse of
    Henderson's mixed model equations.
    """
    if parameters == "none":
        return np.zeros((len(fit.design.terms[t].levels), len(columns)))
    slopes = joint_covariance(fit).slopes[t][:, columns]
    v = np.where(np.isfinite(fit.estimates.covariance), fit.estimates.covariance, 0.0)
    if parameters == "fixed":
        v = _given_variances(v, *fit.estimates.fixed[0])
    return np.asarray(np.einsum("lai,ij,laj->la", slopes, v, slopes))


def _given_variances(v: Array, start: int, end: int) -> Array:
    """The covariance of the mean's coefficients when all other parameters are known."""
    own = np.zeros(len(v), dtype=bool)
    own[start:end] = True
    known = ~own & (np.diag(v) > 0)
    across = v[np.ix_(own, known)]
    found = np.zeros_like(v)
    less = across @ np.linalg.pinv(v[np.ix_(known, known)]) @ across.T
    found[np.ix_(own, own)] = v[np.ix_(own, own)] - less
    return found


def _method(parameters: str) -> str:
    return {
        "none": "given all parameters",
        "fixed": "given the variances, with the uncertainty of the fixed effects",
        "all": "with the uncertainty of all parameters, to first order",
    }[parameters]
