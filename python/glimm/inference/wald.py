"""Wald intervals."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from ..errors import DataError
from ..fit import one_of

if TYPE_CHECKING:
    from ..parts import Coefficients


def intervals(part: Coefficients, level: float, method: str) -> dict[str, list[Any]]:
    """Return columns `name`, `estimate`, `lower`, `upper`; see `Fit.confint`."""
    one_of("method", method, ("wald",))
    if not 0 < level < 1:
        raise DataError(f"level={level}; it must be between 0 and 1", code="unknown_option")
    reach = NormalDist().inv_cdf((1 + level) / 2)
    estimates, errors = part.coef, part.se
    return {
        "name": list(estimates),
        "estimate": list(estimates.values()),
        "lower": [estimates[name] - reach * errors[name] for name in estimates],
        "upper": [estimates[name] + reach * errors[name] for name in estimates],
    }
