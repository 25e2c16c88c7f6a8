"""What `Fit.predict` answers: values, or values with intervals."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from ..confidence import level_checked
from ..errors import DataError
from ..fit import one_of
from ..mixed import MEMBER
from .integrated import (
    Mean,
    State,
    class_means,
    mean_of_link,
    mean_of_response,
    predictors_of,
    state_of,
)
from .kriging import at_new_places
from .pieces import by_member, link_of, without_parameter
from .points import Rows, expected, training_rows

if TYPE_CHECKING:
    from ..fit import Fit

Array = NDArray[np.float64]

KINDS = ("subject", "population")
LEVELS = ("error", "zero", "integrate", "draw")
INTERVALS = ("confidence", "prediction")


def predict(
    fit: Fit,
    new: Any = None,
    *,
    kind: str = "subject",
    scale: str = "response",
    part: str = "response",
    interval: str | None = None,
    level: float = 0.95,
    new_levels: str = "error",
    seed: int = 0,
    offset: str | ArrayLike | None = None,
) -> Any:
    """See `Fit.predict`."""
    names = [p.part for p in fit.parts if p.part not in ("thresholds", MEMBER.name)]
    one_of("kind", kind, KINDS)
    one_of("scale", scale, ("response", "link"))
    one_of("part", part, ("response", *names))
    one_of("new_levels", new_levels, LEVELS)
    if new is None and offset is not None:
        message = "offset= goes with new rows; the rows of the fit have theirs"
        raise DataError(message, code="unknown_option")
    rows = training_rows(fit) if new is None else _new_rows(fit, new, kind, new_levels, offset)
    k = max(names.index(part), 0) if part != "response" else 0
    if interval is None:
        state = situation(fit, rows, kind, new_levels, seed)
        return without_parameter(state, k, {"value": values(state, k, scale, part)})["value"]
    from .intervals import confidence, prediction

    one_of("interval", interval, INTERVALS)
    level_checked(level)
    state = situation(fit, rows, kind, new_levels, seed)
    if interval == "confidence":
        return fit.frame(without_parameter(state, k, confidence(state, k, scale, part, level)))
    if part != "response" or scale != "response":
        message = "interval='prediction' is of a new response: use part= and scale='response'"
        raise DataError(message, code="unknown_option")
    return fit.frame(prediction(state, level))


def _new_rows(
    fit: Fit, new: Any, kind: str, new_levels: str, offset: str | ArrayLike | None
) -> Rows:
    policies = {"error": "error", "zero": "zero", "integrate": "zero", "draw": "number"}
    policy = "none" if kind == "population" else policies[new_levels]
    made = fit.design.apply(new, new_levels=policy, offset=offset)
    others = zip(fit.design.parts, made.parts, strict=True)
    matrices = {0: (made.x, made.offset)} | {p.predictor: found for p, found in others}
    rows = Rows(matrices, made.terms, None, made.n, made.trials)
    return at_new_places(fit, rows, made.beyond)


def situation(fit: Fit, rows: Rows, kind: str, new_levels: str, seed: int) -> State:
    """Return the linear predictors of rows, and which effects are integrated out of them."""
    everywhere = np.ones(rows.n, dtype=bool)
    effects, rows = fit.estimates.modes, _without_residuals(fit, rows)
    if kind == "population":
        return state_of(fit, rows, effects, tuple(everywhere for _ in rows.terms))
    if new_levels == "draw":
        effects = _drawn(fit, rows, seed)
        counts = [len(fit.estimates.modes[t]) for t in fit.design.members]
        terms = tuple(
            (np.where(codes < 0, count - 1 - codes, codes), z)
            for (codes, z), count in zip(rows.terms, counts, strict=True)
        )
        rows = replace(rows, terms=terms)
    own = [fit.design.terms[t].residual for t in fit.design.members]
    unseen = tuple(
        (codes < 0) & (residual or new_levels == "integrate")
        for (codes, _), residual in zip(rows.terms, own, strict=True)
    )
    return state_of(fit, rows, effects, unseen)


def _without_residuals(fit: Fit, rows: Rows) -> Rows:
    """The rows with records that nothing is known of: residuals are no part of a prediction."""
    own = [fit.design.terms[t].residual for t in fit.design.members]
    pairs = zip(rows.terms, own, strict=True)
    terms = tuple((np.full(rows.n, -1) if gone else codes, z) for (codes, z), gone in pairs)
    return replace(rows, terms=terms)


def _drawn(fit: Fit, rows: Rows, seed: int) -> tuple[Array, ...]:
    """The modes, and after them one draw for each level not seen: -1, -2, ... in turn."""
    found = []
    pairs = zip(fit.estimates.modes, fit.factors, strict=True)
    for t, (modes, factor) in enumerate(pairs):
        own = [c for (c, _), s in zip(rows.terms, fit.design.members, strict=True) if s == t]
        count = -int(min(min(codes.min(initial=0) for codes in own), 0))
        b = _core.draw_effects(factor.ravel().tolist(), len(factor), count, t, seed, 0)
        found.append(np.vstack([modes, b.reshape(count, len(factor))]))
    return tuple(found)


def values(state: State, k: int, scale: str, part: str) -> Array:
    """Return predictions without intervals, (n,), or (n, classes) of ordered classes."""
    fit = state.fit
    if not state.integrates:
        return _plain_values(state, k, scale, part)
    if part == "response" and fit.model.family.ordered and scale == "response":
        return np.column_stack([mean.value for mean in class_means(state)])
    return np.asarray(by_member(state, lambda own: _integrated(own, k, scale, part))["value"])


def _integrated(state: State, k: int, scale: str, part: str) -> dict[str, Array]:
    found = mean_of(state, k, part)
    return {"value": found.value if scale == "response" else to_link(state, k, found.value)}


def _plain_values(state: State, k: int, scale: str, part: str) -> Array:
    fit, eta = state.fit, state.eta[k]
    if part == "response" and scale == "response":
        return expected(fit, predictors_of(state))
    if scale == "link":
        return eta
    if k == 0:
        of = by_member(state, lambda own: {"value": _core.inverse_link(link_of(own), own.eta[0])})
        return np.asarray(of["value"])
    return mean_of(state, k, part).value


def mean_of(state: State, k: int, part: str) -> Mean:
    """Return the mean of the response or of one part."""
    fit = state.fit
    if part == "response" and not fit.model.family.ordered:
        return mean_of_response(state)
    if k == 0:
        return mean_of_link(state, 0, link_of(state))
    parameter = fit.parts[k].parameter
    assert parameter is not None
    if parameter.scale != "logit":
        return mean_of_link(state, k, parameter.scale)
    return mean_of_link(state, k, "logit", parameter.low, parameter.high)


def to_link(state: State, k: int, value: Array) -> Array:
    """Return the linear predictor of a mean of predictor k."""
    if k == 0:
        return _core.link(link_of(state), value)
    parameter = state.fit.parts[k].parameter
    assert parameter is not None
    if parameter.scale != "logit":
        return _core.link(parameter.scale, value)
    return _core.link("logit", (value - parameter.low) / (parameter.high - parameter.low))


def inverse(state: State, k: int, eta: Array) -> Array:
    """Return the mean of a linear predictor."""
    parameter = state.fit.parts[k].parameter if k else None
    mean = _core.inverse_link(link_of(state) if parameter is None else parameter.scale, eta)
    if parameter is not None and parameter.scale == "logit":
        return parameter.low + (parameter.high - parameter.low) * mean
    return mean


def from_link(state: State, k: int, eta: Array) -> tuple[Array, Array]:
    """Return the mean of a linear predictor and its derivative."""
    parameter = state.fit.parts[k].parameter if k else None
    link = link_of(state) if parameter is None else parameter.scale
    mean, slope, _ = _core.population(link, eta, np.zeros(eta.size))
    if parameter is not None and parameter.scale == "logit":
        span = parameter.high - parameter.low
        return parameter.low + span * mean, span * slope
    return mean, slope
