"""Expected responses at the modes of the random effects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core
from .errors import DataError
from .fit import one_of

if TYPE_CHECKING:
    from .fit import Fit

Array = NDArray[np.float64]


def predict(
    fit: Fit,
    new: Any = None,
    *,
    kind: str = "subject",
    scale: str = "response",
    new_levels: str = "error",
    offset: str | ArrayLike | None = None,
) -> Array:
    """See `Fit.predict`."""
    one_of("kind", kind, ("subject",))
    one_of("scale", scale, ("response", "link"))
    one_of("new_levels", new_levels, ("zero", "error"))
    if new is None and offset is not None:
        message = "offset= goes with new rows; the rows of the fit have theirs"
        raise DataError(message, code="unknown_option")
    if new is None:
        eta = training_predictor(fit, fit.estimates.modes)
    else:
        rows = fit.design.apply(new, new_levels=new_levels, offset=offset)
        eta = linear_predictor(fit, rows.x, rows.offset, rows.terms, fit.estimates.modes)
    return eta if scale == "link" else _core.inverse_link(fit.model.link, eta)


def fitted(fit: Fit) -> Array:
    """See `Fit.fitted`."""
    values = predict(fit)
    values.flags.writeable = False
    return values


def training_predictor(fit: Fit, effects: tuple[Array, ...]) -> Array:
    """Return the linear predictor of the rows used, at the random effects given, (n,)."""
    terms = tuple((term.codes, term.z) for term in fit.design.terms)
    return linear_predictor(fit, fit.design.x, fit.design.offset, terms, effects)


def linear_predictor(
    fit: Fit,
    x: Array,
    offset: Array | None,
    terms: tuple[tuple[NDArray[np.int64], Array], ...],
    effects: tuple[Array, ...],
) -> Array:
    """Return x beta + offset + sum of z b; effects (levels, q) by term, none at code -1."""
    kept = list(fit.estimates.kept)
    eta = x[:, kept] @ fit.estimates.parameters[: len(kept)]
    if offset is not None:
        eta = eta + offset
    for (codes, z), b in zip(terms, effects, strict=True):
        rows = np.einsum("ij,ij->i", z, b[codes])
        eta = eta + np.where(codes >= 0, rows, 0.0)
    return np.asarray(eta, dtype=np.float64)
