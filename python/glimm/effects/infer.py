"""Standard errors, intervals and p values of estimates with known derivatives."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..inference.freedom import freedom, t_quantile
from .values import Values

if TYPE_CHECKING:
    from ..fit import Fit

Array = NDArray[np.float64]

LINKED = ("logit", "probit", "cloglog", "loglog", "cauchit", "log")
"""Links on whose scale an interval of a mean is taken, which keeps it inside its range."""


@dataclass(frozen=True, slots=True)
class Errors:
    """Covariance (k, k) of estimates, their df (k,), and where these come from."""

    covariance: Array
    df: Array
    source: str

    @property
    def se(self) -> Array:
        """Standard errors, (k,)."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0.0))


@singledispatch
def errors(fit: Any, values: Values, df: str) -> Errors:
    """Return the errors of estimates by the delta method, J V J' with V of all parameters.

    Degrees of freedom hold for what is linear in the coefficients of the mean: gaussian models.

    Raises
    ------
    FitError
        When such degrees of freedom are asked for and the fit has none.
    """
    law = freedom(fit, df)
    v = fit.vcov("all")
    v = np.where(np.isfinite(v), v, 0.0)
    p, j = len(fit.names), values.jacobian
    each = np.array([law.df(row[:p]) for row in j])
    if np.isfinite(each).any():
        v[:p, :p] = law.covariance
    return Errors(j @ v @ j.T, each, law.source)


def reach_of(level: float, df: Array) -> Array:
    """Return how many standard errors an interval reaches."""
    return t_quantile(level, df)


def mean_intervals(fit: Fit, values: Values, found: Errors, reach: Array) -> tuple[Array, Array]:
    """Return the ends of intervals of means, taken on the scale of the link where that bounds."""
    link = fit.model.link
    inside = np.isfinite(_core.link(link, values.value)).all() if link in LINKED else False
    if not inside:
        return values.value - reach * found.se, values.value + reach * found.se
    eta = _core.link(link, values.value)
    slope = _core.population(link, eta, np.zeros(eta.size))[1]
    width = reach * found.se / np.abs(slope)
    ends = _core.inverse_link(link, eta - width), _core.inverse_link(link, eta + width)
    return np.minimum(*ends), np.maximum(*ends)
