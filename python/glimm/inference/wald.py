"""Wald intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..confidence import level_checked
from .freedom import Freedom, Normal, t_quantile

if TYPE_CHECKING:
    from ..parts import Coefficients

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """Standard errors, degrees of freedom (inf: normal) and ends of intervals, (p,) each."""

    se: Array
    df: Array
    lower: Array
    upper: Array


def bounds(estimates: Array, known: Freedom, level: float) -> Bounds:
    """Return estimate -+ quantile times standard error for each coefficient."""
    se = np.sqrt(np.diag(known.covariance))
    df = np.array([known.df(unit) for unit in np.eye(len(se))])
    reach = t_quantile(level_checked(level), df) * se
    return Bounds(se, df, estimates - reach, estimates + reach)


def intervals(
    part: Coefficients, level: float, known: Freedom | None = None
) -> dict[str, list[Any]]:
    """Return columns `name`, `estimate`, `lower`, `upper`; see `Fit.confint`."""
    found = bounds(part.estimates, known or Normal(part.covariance), level)
    return {
        "name": list(part.names),
        "estimate": part.estimates.tolist(),
        "lower": found.lower.tolist(),
        "upper": found.upper.tolist(),
    }
