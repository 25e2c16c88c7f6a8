"""Intervals by any method for any part of a fit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..confidence import normal_reach
from ..fit import one_of
from .delta import jacobian
from .freedom import freedom
from .goals import Goal, goals_of
from .ml import by_likelihood
from .profile import solve_intervals
from .wald import intervals

if TYPE_CHECKING:
    from ..fit import Fit

METHODS = ("wald", "profile", "boot")
# Logarithm of what is no number any more: an sd near zero has next to no information.
_LARGEST = 700.0


def confint(
    fit: Fit,
    level: float,
    method: str,
    part: str,
    df: str,
    n: int,
    seed: int,
    progress: bool | None,
) -> dict[str, list[Any]]:
    """Return the columns of `Fit.confint`."""
    one_of("method", method, METHODS)
    known = freedom(fit, df) if method == "wald" and part in ("mean", "all") else None
    if method == "wald" and part not in ("random", "all"):
        return intervals(fit.part(part), level, known)
    goals = goals_of(fit, part)
    if method == "profile":
        return solve_intervals(by_likelihood(fit), goals, level, progress)[0]
    if method == "boot":
        from .bootstrap import bootstrap

        return bootstrap(fit, n, seed, None, None, progress, goals).intervals(level, "percentile")
    rows = [_wald(fit, goal, normal_reach(level)) for goal in goals]
    keys = ("name", "estimate", "lower", "upper")
    found = {key: [row[k] for row in rows] for k, key in enumerate(keys)}
    if known is not None:
        mean = intervals(fit.part("mean"), level, known)
        for key in ("lower", "upper"):
            found[key][: len(fit.names)] = mean[key]
    return found


def _wald(fit: Fit, goal: Goal, reach: float) -> tuple[str, float, float, float]:
    """On the log scale for standard deviations, on that of atanh for correlations."""
    parameters, covariance = fit.estimates.parameters, fit.estimates.covariance
    free, error = goal.free(parameters), free_error(goal, parameters, covariance)
    estimate = goal.value(parameters)
    if not (math.isfinite(free) and math.isfinite(error)):
        return goal.name, estimate, math.nan, math.nan
    ends = (free - reach * error, free + reach * error)
    lower, upper = (math.inf if end > _LARGEST else goal.bound(end) for end in ends)
    return goal.name, estimate, lower, upper


def free_error(goal: Goal, parameters: Any, covariance: Any) -> float:
    """Standard error of a goal on its scale without ends, by the delta method; NaN if unknown."""
    places = list(goal.first + goal.second)
    block = covariance[np.ix_(places, places)]
    if not np.isfinite(block).all() or not math.isfinite(goal.free(parameters)):
        return math.nan
    if (known := goal.free_slope(parameters)) is not None:
        return abs(known) * float(np.sqrt(block[0, 0]))
    scale = np.zeros(parameters.size)
    scale[places] = np.sqrt(np.diag(block)).clip(max=np.abs(parameters[places]) + 1e-8)

    def free(psi: Any) -> Any:
        return np.array([goal.free(psi)])

    slope = jacobian(free, parameters, scale)[0, places]
    return float(np.sqrt(slope @ block @ slope))
