"""Criteria for choosing a mean and a working correlation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, FamilyError
from ..tables import Cell, Column, Framed, Table
from .columns import numbers
from .fit import GEEFit

if TYPE_CHECKING:
    from .model import GEEModel

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class QIC:
    """Quasi-likelihood information criteria; smaller is better.

    Parameters
    ----------
    quasi : float
        Quasi-likelihood under independence, Q, at `scale`.
    qic : float
        -2 Q + 2 cic: for choosing covariates and working correlations (Pan 2001).
    qicu : float
        -2 Q + 2 p: for choosing covariates.
    cic : float
        tr(I V): I the information under independence at the same coefficients and scale, V the
        robust covariance. For choosing working correlations (Hin and Wang 2009).
    p : int
        Number of coefficients.
    scale : float

    References
    ----------
    Pan, W. (2001). Akaike's information criterion in generalized estimating equations. Biometrics
    57, 120-125.
    Hin, L.-Y. and Wang, Y.-G. (2009). Working-correlation-structure identification in generalized
    estimating equations. Statistics in Medicine 28, 642-658.
    """

    quasi: float
    qic: float
    qicu: float
    cic: float
    p: int
    scale: float


@dataclass(frozen=True, slots=True)
class GEEComparison(Framed):
    """Solved equations of the same responses, the best by QIC first.

    Attributes
    ----------
    table : Table
        Name, mean, working correlation, coefficients, QIC, its difference to the best, QICu, CIC.
    """

    table: Table
    frame_kind: Any


def qic(fit: GEEFit, scale: float | None = None) -> QIC:
    """See `GEEFit.qic`."""
    if scale is not None and not scale > 0:
        raise DataError(f"scale={scale!r}; it must be above 0", code="unknown_option")
    if scale is None:
        if fit.design.parts:
            message = "the scale has a formula, so that there is no one scale; give qic(scale=)"
            raise DataError(message, code="unknown_option")
        scale = float(fit.estimates.scale[0])
    p = len(fit.names)
    state = fit.estimates.state
    independent = fit.problem.covariance(state, "independence").reshape(p, p)
    cic = float(np.trace(np.linalg.solve(independent, fit.vcov("robust"))))
    quasi = _quasi(fit) / scale
    return QIC(quasi, -2 * quasi + 2 * cic, -2 * quasi + 2 * p, cic, p, scale)


def _quasi(fit: GEEFit) -> float:
    """Sum over rows of the integral of (y - t) / v(t) dt up to the mean, at scale 1."""
    design, model = fit.design, fit.model
    size = np.ones(design.n) if design.trials is None else design.trials
    weight = np.ones(design.n) if design.freq is None else design.freq
    if design.precision is not None:
        weight = weight * design.precision
    if (sampling := numbers(design, "weights")) is not None:
        weight = weight * sampling / sampling.mean()
    if model.family.ordered:
        probabilities = fit.fitted[np.arange(design.n), design.y.astype(int) - 1]
        return float(weight @ np.log(probabilities))
    return float(weight @ (size * _row(model, design.y / size, fit.fitted)))


def _row(model: GEEModel, y: Array, mu: Array) -> Array:
    """The quasi-likelihood of rows (McCullagh and Nelder 1989, table 9.1)."""
    name, held = model.family.name, dict(model.hold)
    if name == "gaussian":
        return -0.5 * (y - mu) ** 2
    if name == "poisson":
        return y * np.log(mu) - mu
    if name in ("binomial", "beta"):
        return y * np.log(mu) + (1 - y) * np.log1p(-mu)
    if name == "gamma":
        return -y / mu - np.log(mu)
    if name == "inverse_gaussian":
        return -y / (2 * mu**2) + 1 / mu
    if name == "nbinom2":
        theta = held["theta"]
        return y * np.log(mu / (mu + theta)) + theta * np.log(theta / (mu + theta))
    if name == "tweedie":
        power = held["power"]
        return y * mu ** (1 - power) / (1 - power) - mu ** (2 - power) / (2 - power)
    raise FamilyError(f"family {name!r} has no quasi-likelihood")


def compared(fits: Mapping[str, Any]) -> GEEComparison:
    """Solved equations side by side; see `glimm.compare`.

    The scale of all quasi-likelihoods is that of the fit with most coefficients (Pan 2001).
    """
    for name, fit in fits.items():
        if not isinstance(fit, GEEFit):
            message = f"fit {name!r} has a likelihood and others are estimating equations"
            raise DataError(message, code="not_comparable")
    first = next(iter(fits.values()))
    for name, fit in fits.items():
        if reason := _incomparable(first, fit):
            message = f"fits {next(iter(fits))!r} and {name!r} do not compare: {reason}"
            raise DataError(message, code="not_comparable")
    largest = max(fits.values(), key=lambda fit: len(fit.names))
    scale = float(largest.estimates.scale[0]) if not largest.design.parts else 1.0
    found = {name: qic(fit, scale) for name, fit in fits.items()}
    best = min(criterion.qic for criterion in found.values())
    rows: list[tuple[Cell, ...]] = [
        (
            name,
            fits[name].model.corr.text,
            c.p,
            c.qic,
            c.qic - best,
            c.qicu,
            c.cic,
            fits[name].model.formula.text,
        )
        for name, c in sorted(found.items(), key=lambda item: item[1].qic)
    ]
    columns = (
        Column("fit"),
        Column("correlation"),
        Column("p", "integer"),
        Column("QIC", "ratio", "qic"),
        Column("difference", "ratio"),
        Column("QICu", "ratio", "qicu"),
        Column("CIC", "ratio", "cic"),
        Column("mean"),
    )
    notes = (
        f"All quasi-likelihoods at scale {scale:.4g}. QIC and QICu: choice of covariates; CIC: "
        "choice of the correlation, of equal means.",
    )
    table = Table("Estimating equations, best by QIC first", columns, tuple(rows), notes)
    return GEEComparison(table, first.design.frame_kind)


def _incomparable(a: GEEFit, b: GEEFit) -> str | None:
    one, other = a.design, b.design
    if not np.array_equal(one.rows, other.rows):
        return f"they use different rows ({one.n:,} and {other.n:,}); drop missing values first"
    if not np.array_equal(one.y, other.y):
        return "their responses have different values"
    if a.model.family.name != b.model.family.name or a.model.hold != b.model.hold:
        return "their variance functions differ, and with them the quasi-likelihoods"
    return None
