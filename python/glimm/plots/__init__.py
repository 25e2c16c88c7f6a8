"""Pictures of results, by matplotlib: each function returns the axes that it drew on."""

from .checks import against, checks, influence, normal_quantiles, under_model
from .curves import curves
from .forest import caterpillar, effects, estimates
from .genetics import shares
from .inference import bootstrap, power, profile

__all__ = [
    "against",
    "bootstrap",
    "caterpillar",
    "checks",
    "curves",
    "effects",
    "estimates",
    "influence",
    "normal_quantiles",
    "power",
    "profile",
    "shares",
    "under_model",
]
