"""The seam: a Design and a working correlation cross into the core, and estimates come back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..data import Level
from ..errors import FitError, GlimmError
from ..problem import explain as explain_plain
from .columns import (
    clock_of,
    clusters,
    coded,
    column,
    copies_by_cluster,
    copies_of,
    pair_columns,
    weights_of,
)
from .working import Times, parameter_names

if TYPE_CHECKING:
    from ..design import Design
    from .model import GEEModel

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

FAMILIES: dict[str, str | None] = {
    "gaussian": None,
    "binomial": None,
    "poisson": None,
    "gamma": None,
    "inverse_gaussian": None,
    "nbinom2": "theta",
    "tweedie": "power",
    "beta": None,
    "ordinal": None,
}
"""Families whose variance follows from the mean, and the parameter that must be held."""

ITERATIONS = 200
TOLERANCE = 1e-10
_INFINITE = 25.0  # what a covariate adds to a linear predictor that no study could tell
_NO_PRECISION = -700.0  # log(phi) of a beta response whose variance is mean (1 - mean)


@dataclass(frozen=True, slots=True)
class GEEEstimates:
    """What the core found.

    Parameters
    ----------
    beta : ndarray, (p,)
        Thresholds of ordered classes, then coefficients of the columns kept.
    covariance : ndarray, (p, p)
        Inverse of the sum of D'V^-1 D: as if the working correlation were true.
    names : tuple of str, (p,)
    kept : tuple of int
        Columns of x that are estimated.
    scale : ndarray
        The scale, or the coefficients of its logarithm.
    alpha : ndarray, (q,)
        Correlations, as the core has them.
    alpha_names : tuple of str, (q,)
    pairs : ndarray, (q,)
        Pairs of rows (by weight) behind each, where each is a mean; else empty.
    levels : tuple
        The clusters.
    sizes : ndarray of int
        Their numbers of rows.
    copies : ndarray or None
        How often each occurs.
    points : ndarray
        All different times; empty without.
    unit : float
        The unit of distances in time.
    converged, iterations, left
        How it went, and what is left to go in standard errors, as the last steps tell.
    """

    beta: Array
    covariance: Array
    names: tuple[str, ...]
    kept: tuple[int, ...]
    scale: Array
    alpha: Array
    alpha_names: tuple[str, ...]
    pairs: Array
    levels: tuple[Level, ...]
    sizes: Codes
    copies: Array | None
    points: Array
    unit: float
    converged: bool
    iterations: int
    left: float

    @property
    def state(self) -> tuple[list[float], list[float], list[float]]:
        """The parameters as the core takes them."""
        return self.beta.tolist(), self.scale.tolist(), self.alpha.tolist()


def solve(model: GEEModel, design: Design) -> tuple[_core.Gee, GEEEstimates]:
    """Solve the equations.

    Raises
    ------
    DataError, FamilyError, FitError
    """
    codes, levels = clusters(model, design)
    clock = clock_of(model, design, codes, levels)
    problem = make(model, design, codes, levels, clock)
    fixed, less = (model.scale if isinstance(model.scale, float) else None), model.less
    try:
        found = problem.fit(fixed, less, ITERATIONS, TOLERANCE)
    except _core.CoreError as error:
        raise explain(error, model, design, levels) from None
    _check_finite(model, design, problem.kept, found)
    kept = tuple(problem.kept)
    names = tuple(design.x_names[j] for j in kept)
    if model.family.ordered:
        assert design.response_levels is not None
        words = [str(level) for level in design.response_levels]
        names = tuple(f"{a}|{b}" for a, b in zip(words, words[1:], strict=False)) + names
    alpha = found["alpha"]
    points = np.zeros(0) if clock is None else clock.points
    unit = 1.0 if clock is None else clock.unit
    estimates = GEEEstimates(
        beta=found["beta"],
        covariance=found["covariance"].reshape(len(names), -1),
        names=names,
        kept=kept,
        scale=found["scale"],
        alpha=alpha,
        alpha_names=tuple(parameter_names(model.corr, points.tolist(), unit, alpha.size)),
        pairs=found["pairs"],
        levels=levels,
        sizes=np.bincount(codes, minlength=len(levels)),
        copies=copies_by_cluster(model, design, codes, levels),
        points=points,
        unit=unit,
        converged=found["converged"],
        iterations=found["iterations"],
        left=found["left"],
    )
    for array in (estimates.beta, estimates.covariance, estimates.scale, estimates.alpha):
        array.flags.writeable = False
    return problem, estimates


def _check_finite(model: GEEModel, design: Design, kept: list[int], found: dict[str, Any]) -> None:
    """Refuse coefficients that run to infinity."""
    if found["converged"] or model.link == "identity":
        return
    beta = found["beta"][found["beta"].size - len(kept) :]
    parts = np.abs(design.x[:, kept] * beta).max(axis=0)
    if parts.max() < _INFINITE:
        return
    name = design.x_names[kept[int(parts.argmax())]]
    message = (
        f"the coefficient of {name!r} runs to infinity: it separates the responses perfectly, or "
        "nearly so. Leave it out or merge its levels; glimm.fit(penalty=) holds such coefficients"
    )
    raise FitError(message, code="separation")


def make(
    model: GEEModel,
    design: Design,
    codes: Codes,
    levels: tuple[Level, ...],
    clock: Times | None,
    x: Array | None = None,
    offset: Array | None = None,
) -> _core.Gee:
    """Hand the arrays of a design to the core, perhaps with another x and offset."""
    corr = model.corr
    size, matrix = corr.lags, []
    if clock is not None and corr.name in ("toeplitz", "unstructured", "fixed", "local_odds:times"):
        size = clock.points.size if corr.name != "toeplitz" else int(clock.units.max())
    if corr.matrix is not None:
        matrix = corr.matrix.ravel().tolist()
    columns, covariates = pair_columns(model, design, clock)
    by_lag = corr.name in ("toeplitz", "m_dependent")
    places = None
    if clock is not None:
        places = clock.units.astype(np.int64) if by_lag else clock.places
    sub = None
    if corr.structure.subgroups:
        sub = coded(column(design, "subgroups"))[0]
    whole = clock is None or (clock.whole and clock.unit == 1)
    classes = len(design.response_levels or ()) if model.family.ordered else 0
    scale = design.parts[0].x if design.parts else None
    try:
        return _core.Gee(
            model.core_name,
            _extra(model),
            design.y,
            design.trials,
            classes,
            design.x if x is None else x,
            design.offset if offset is None else offset,
            design.precision,
            weights_of(model, design, codes, levels),
            copies_of(model, design, codes, levels),
            codes,
            len(levels),
            corr.structure.core,
            (size, matrix, covariates, corr.bounded, whole),
            time=None if clock is None else clock.units,
            place=places,
            sub=sub,
            columns=columns,
            scale=scale,
            threads=model.threads,
        )
    except _core.CoreError as error:
        raise explain(error, model, design, levels) from None


def rebuilt(
    model: GEEModel, design: Design, x: Array | None = None, offset: Array | None = None
) -> _core.Gee:
    """The problem of a design again, perhaps with another x and offset."""
    codes, levels = clusters(model, design)
    return make(model, design, codes, levels, clock_of(model, design, codes, levels), x, offset)


def _extra(model: GEEModel) -> list[float]:
    """Predictors of the family's parameters, such that the variance is v(mean)."""
    held = dict(model.hold)
    if model.family.ordered:
        return []
    if model.family.name == "beta":
        return [_NO_PRECISION]
    return [p.predictor(held[p.name]) if p.name in held else 0.0 for p in model.family.parameters]


def explain(
    error: _core.CoreError, model: GEEModel, design: Design, levels: tuple[Level, ...]
) -> GlimmError:
    """Say an error of the core in terms of the user's data."""
    code, message, place = error.args
    if code == "working":
        text = (
            f"the working correlation {model.corr.text!r} is not positive definite for cluster "
            f"{levels[place]!r} at the correlations that the residuals have. Use a simpler one, "
            "such as corr='exchangeable', 'ar1' or 'independence': the estimates stay consistent"
        )
        return FitError(text, code="working_correlation")
    if code == "degenerate":
        return FitError(f"{message}. corr={model.corr.text!r}", code="degenerate")
    plain: Any = model
    return explain_plain(error, plain, design)
