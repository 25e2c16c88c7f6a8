"""Draws of the response from a fitted model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import _core
from .custom import CustomFamily, draw_responses
from .errors import DataError
from .predict import predictors, training_rows
from .problem import sizes

if TYPE_CHECKING:
    from .fit import Fit

Array = NDArray[np.float64]


def simulate(fit: Fit, n: int, seed: int) -> Array:
    """See `Fit.simulate`."""
    _check("n", n, 2**31 - 1)
    return draws(fit, range(n), seed)


def draws(fit: Fit, replicates: range, seed: int) -> Array:
    """Return some of the data sets of `simulate`, (replicates, n)."""
    _check("seed", seed, 2**64 - 1)
    found = np.empty((len(replicates), fit.design.n))
    for k, replicate in enumerate(replicates):
        found[k] = draw(fit, seed, replicate)
    return found


def draw(fit: Fit, seed: int, replicate: int) -> Array:
    """Return one of the data sets of `simulate`, (n,)."""
    rows, size = training_rows(fit), sizes(fit.model, fit.design)
    eta = predictors(fit, rows, effects(fit, seed, replicate))
    return _responses(fit, eta, size, seed, replicate)


def _responses(fit: Fit, eta: list[Array], size: Array | None, seed: int, replicate: int) -> Array:
    family = fit.model.family
    if isinstance(family, CustomFamily):
        return draw_responses(family, fit.model.zi is not None, eta, size, seed, replicate)
    return _core.draw_responses(fit.model.core_name, eta, size, seed, replicate)


def _check(name: str, value: int, largest: int) -> None:
    if not isinstance(value, int | np.integer) or not 0 <= value <= largest:
        message = f"{name}={value!r}; a whole number from 0 to {largest}"
        raise DataError(message, code="unknown_option")


def effects(fit: Fit, seed: int, replicate: int) -> tuple[Array, ...]:
    """New random effects of every term, (levels, q)."""
    found = []
    for t, (term, factor) in enumerate(zip(fit.design.terms, fit.factors, strict=True)):
        q, levels = len(term.columns), len(term.levels)
        prior = None if term.relation is None else term.relation.core
        b = _core.draw_effects(factor.ravel().tolist(), q, levels, t, seed, replicate, prior)
        found.append(b.reshape(levels, q))
    return tuple(found)
