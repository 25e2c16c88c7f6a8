"""Expected responses at rows of covariates, with derivatives in all parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import DataError
from ..fit import one_of
from ..predict import Rows, linear_predictor
from ..problem import factor_of
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


def evaluate_frame(fit: Fit, frame: Any, offset: Array | None, effect: str, scale: str) -> Values:
    """Return the same for the rows of a frame."""
    rows = _rows(fit, frame, offset)
    if scale == "link" and effect == "subject":
        return _predictor(fit, rows)
    if fit.model.family.ordered:
        message = "an ordered response has classes, no mean; use scale='link' with effect='subject'"
        raise DataError(message, code="unknown_option")
    values = _responses(fit, rows, effect)
    return linked(fit, values) if scale == "link" else values


def linked(fit: Fit, values: Values) -> Values:
    """Return the values on the scale of the link."""
    link = fit.model.link
    eta = _core.link(link, values.value)
    slope = _core.population(link, eta, np.zeros(eta.size))[1]
    return Values(eta, values.jacobian / slope[:, None])


def unlinked(fit: Fit, values: Values) -> Values:
    """Return values of the scale of the link on that of the response."""
    mean, slope, _ = _core.population(fit.model.link, values.value, np.zeros(values.value.size))
    return Values(mean, values.jacobian * slope[:, None])


def check_scale(effect: str, scale: str) -> None:
    """Raise a DataError unless both are known."""
    one_of("effect", effect, EFFECTS)
    one_of("scale", scale, SCALES)


def _rows(fit: Fit, frame: Any, offset: Array | None) -> Rows:
    made = fit.design.apply(frame, new_levels="zero", offset=offset)
    others = zip(fit.design.parts, made.parts, strict=True)
    matrices = {0: (made.x, made.offset)} | {part.predictor: found for part, found in others}
    return Rows(matrices, made.terms, None, made.n)


def _typical(fit: Fit) -> tuple[Array, ...]:
    """Random effects of a typical level: zero."""
    return tuple(np.zeros((len(term.levels), len(term.columns))) for term in fit.design.terms)


def _predictor(fit: Fit, rows: Rows) -> Values:
    """The linear predictor of the mean at b = 0."""
    eta = linear_predictor(fit, rows, 0, _typical(fit))
    return Values(eta, _spread(fit, rows, 0, np.ones(rows.n)))


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


def _responses(fit: Fit, rows: Rows, effect: str) -> Values:
    etas = [linear_predictor(fit, rows, k, _typical(fit)) for k in range(len(fit.parts))]
    means = np.asarray(_core.means(fit.model.core_name, etas))
    alone = _core.inverse_link(fit.model.link, etas[0])
    if fit.model.zi is None and np.allclose(means, alone, rtol=1e-12, atol=0):
        return _by_mean(fit, rows, etas[0], effect)
    return _by_all(fit, rows, etas, effect)


def _by_mean(fit: Fit, rows: Rows, eta: Array, effect: str) -> Values:
    """Means that the first linear predictor alone decides."""
    roots = _root(fit, rows, 0)
    sd = np.sqrt((roots**2).sum(axis=1))
    used = sd if effect == "population" else np.zeros(rows.n)
    mean, d_eta, d_sd = _core.population(fit.model.link, eta, used)
    found = _spread(fit, rows, 0, d_eta)
    if effect == "population":
        weight = np.divide(d_sd, sd, out=np.zeros(rows.n), where=sd > 0)
        for place, change in _root_changes(fit, rows, 0):
            found[:, place] += weight * (roots * change).sum(axis=1)
    return Values(mean, found)


def _by_all(fit: Fit, rows: Rows, etas: list[Array], effect: str) -> Values:
    """Means that several linear predictors decide: extra zeros, truncation, some families."""
    count = len(etas)
    roots = np.stack([_root(fit, rows, k) for k in range(count)], axis=1)
    if effect == "subject" or roots.shape[2] == 0:
        roots = np.zeros((rows.n, count, 1))
    mean, d_eta, d_root, _ = _core.population_joint(
        fit.model.core_name, "mean", np.column_stack(etas), np.ascontiguousarray(roots)
    )
    found = np.zeros((rows.n, fit.estimates.parameters.size))
    for k in range(count):
        found += _spread(fit, rows, k, d_eta[:, k])
        if effect == "population":
            for place, change in _root_changes(fit, rows, k):
                found[:, place] += (d_root[:, k] * change).sum(axis=1)
    return Values(mean, found)


def _root(fit: Fit, rows: Rows, k: int) -> Array:
    """A square root (m, r) of the variance that random effects give a linear predictor."""
    blocks = [
        _block(term.predictors, z, factor, k)
        for term, (_, z), factor in zip(fit.design.terms, rows.terms, fit.factors, strict=True)
    ]
    return np.concatenate(blocks, axis=1) if blocks else np.zeros((rows.n, 0))


def _block(predictors: tuple[int, ...], z: Array, factor: Array, k: int) -> Array:
    mine = [j for j, predictor in enumerate(predictors) if predictor == k]
    return np.asarray(z[:, mine] @ factor[mine])


def _root_changes(fit: Fit, rows: Rows, k: int) -> list[tuple[int, Array]]:
    """Derivatives (m, r) of that root in the parameters of covariances; it is linear in them."""
    widths = [len(term.columns) for term in fit.design.terms]
    ends = np.cumsum([0, *widths]).tolist()
    found = []
    for t, (term, (start, end)) in enumerate(
        zip(fit.design.terms, fit.estimates.thetas, strict=True)
    ):
        for place in range(start, end):
            unit = np.zeros(end - start)
            unit[place - start] = 1.0
            change = np.zeros((rows.n, ends[-1]))
            block = _block(term.predictors, rows.terms[t][1], factor_of(term, unit), k)
            change[:, ends[t] : ends[t + 1]] = block
            found.append((place, change))
    return found
