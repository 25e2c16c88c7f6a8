"""Expected responses at rows of covariates, with derivatives in all parameters."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import DataError
from ..fit import one_of
from ..mixed import MIXED
from ..predict import Rows
from ..predict.integrated import State, mean_of_response, state_of
from .grid import Grid, Settings, set_columns

if TYPE_CHECKING:
    from ..fit import Fit

Array = NDArray[np.float64]
EFFECTS = ("subject", "population")
SCALES = ("response", "link")


@dataclass(frozen=True, slots=True)
class Values:
    """Values (m,) and their derivatives in all parameters (m, P)."""

    value: Array
    jacobian: Array

    def mean(self, weights: Array) -> Values:
        """Return their weighted mean, one value."""
        return Values(np.array([weights @ self.value]), (weights @ self.jacobian)[None])


def stacked(found: list[Values]) -> Values:
    """Return several as one."""
    return Values(
        np.concatenate([v.value for v in found]), np.concatenate([v.jacobian for v in found])
    )


def evaluate(fit: Fit, grid: Grid, settings: Settings, effect: str, scale: str) -> Values:
    """Return the expected response at the rows of a grid with some covariates set.

    With random effects b ~ N(0, G) and link g, ``"subject"`` is the response at b = 0 and
    ``"population"`` its mean over b; where one predictor alone decides,
    E g^-1(eta + s t) with t ~ N(0, 1) and s^2 = z'Gz, by the core's quadrature.
    """
    return evaluate_frame(fit, set_columns(grid, settings), grid.offset, effect, scale)


@singledispatch
def evaluate_frame(fit: Any, frame: Any, offset: Array | None, effect: str, scale: str) -> Values:
    """Return the same for the rows of a frame; other estimators register how."""
    rows = _rows(fit, frame, offset)
    state = _state(fit, rows, effect)
    if scale == "link" and effect == "subject":
        return Values(state.eta[0], _spread(fit, rows, 0, np.ones(rows.n)))
    if fit.model.family.ordered:
        message = "an ordered response has classes, no mean; use scale='link' with effect='subject'"
        raise DataError(message, code="unknown_option")
    mean = mean_of_response(state)
    found = np.zeros((rows.n, fit.estimates.parameters.size))
    for k, slope in mean.by_eta.items():
        found += _spread(fit, rows, k, slope)
    for place, slope in mean.direct:
        found[:, place] += slope
    values = Values(mean.value, found)
    return linked(fit, values) if scale == "link" else values


def linked(fit: Fit, values: Values) -> Values:
    """Return the values on the scale of the link."""
    link = _one_link(fit)
    eta = _core.link(link, values.value)
    slope = _core.population(link, eta, np.zeros(eta.size))[1]
    return Values(eta, values.jacobian / slope[:, None])


def unlinked(fit: Fit, values: Values) -> Values:
    """Return values of the scale of the link on that of the response."""
    mean, slope, _ = _core.population(_one_link(fit), values.value, np.zeros(values.value.size))
    return Values(mean, values.jacobian * slope[:, None])


def _one_link(fit: Any) -> str:
    """The link of all rows."""
    link = str(fit.model.link)
    if link == MIXED:
        message = "rows have families with different links, so there is no one scale of the link"
        raise DataError(f"{message}; use scale='response', average='response'", code="no_interval")
    return link


@singledispatch
def effect_of(fit: Any, effect: str | None) -> str:
    """Return whom the estimates are for, by default subjects; raise a DataError if not known."""
    one_of("effect", effect or "subject", EFFECTS)
    return effect or "subject"


def check_scale(scale: str) -> None:
    """Raise a DataError unless the scale is known."""
    one_of("scale", scale, SCALES)


def _rows(fit: Fit, frame: Any, offset: Array | None) -> Rows:
    """The matrices of new rows, all of them of levels that were not seen."""
    made = fit.design.apply(frame, new_levels="zero", offset=offset)
    others = zip(fit.design.parts, made.parts, strict=True)
    matrices = {0: (made.x, made.offset)} | {part.predictor: found for part, found in others}
    terms = tuple((np.full(made.n, -1), z) for _, z in made.terms)
    return Rows(matrices, terms, None, made.n)


def _state(fit: Fit, rows: Rows, effect: str) -> State:
    """Linear predictors at b = 0, with all effects to be integrated out, or none."""
    typical = tuple(np.zeros((len(t.levels), len(t.columns))) for t in fit.design.terms)
    integrated = np.full(rows.n, effect == "population")
    return state_of(fit, rows, typical, (integrated,) * len(typical))


def _spread(fit: Fit, rows: Rows, k: int, slope: Array) -> Array:
    """Derivatives (m, P) of values whose derivative in linear predictor k is `slope`, (m,)."""
    e = fit.estimates
    found = np.zeros((rows.n, e.parameters.size))
    start, end = e.fixed[k]
    if k in rows.matrices:
        found[:, start:end] = rows.matrices[k][0][:, list(e.kept[k])] * slope[:, None]
    else:
        found[:, start:end] = slope[:, None]
    return found
