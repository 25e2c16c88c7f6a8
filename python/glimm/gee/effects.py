"""Means, comparisons and slopes of estimating equations: what `glimm.effects` asks of a fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..effects.infer import Errors, errors
from ..effects.values import Values, effect_of, evaluate_frame
from ..effects.words import estimand
from ..errors import DataError
from ..fit import one_of
from .covariance import FREEDOMS
from .fit import GEEFit
from .law import law

Array = NDArray[np.float64]


@effect_of.register
def _(fit: GEEFit, effect: str | None) -> str:
    if effect not in (None, "population"):
        message = (
            f"effect={effect!r}, but estimating equations have no random effects: they estimate "
            "the population's mean. Use effect='population', or glimm.fit"
        )
        raise DataError(message, code="unknown_option")
    return "population"


@evaluate_frame.register
def _(fit: GEEFit, frame: Any, offset: Array | None, effect: str, scale: str) -> Values:
    x, eta = fit.linear(frame, offset)
    slope = np.ones(eta.size)
    if scale == "response":
        if fit.model.family.ordered:
            message = "an ordered response has classes, no mean; use scale='link'"
            raise DataError(message, code="unknown_option")
        eta, slope, _ = _core.population(fit.model.link, eta, np.zeros(eta.size))
    jacobian = np.zeros((eta.size, len(fit.names)))
    jacobian[:, len(fit.names) - x.shape[1] :] = x * slope[:, None]
    return Values(eta, jacobian)


@errors.register
def _(fit: GEEFit, values: Values, df: str) -> Errors:
    one_of("df", df, ("auto", *FREEDOMS))
    known = law(fit, None if df == "auto" else df)
    j = values.jacobian
    return Errors(j @ known.covariance @ j.T, fit.freedom(j, known.kind), known.source)


@estimand.register
def _(fit: GEEFit, effect: str) -> str:
    return f"population-averaged: the mean over all {fit.model.groups}, estimated directly"
