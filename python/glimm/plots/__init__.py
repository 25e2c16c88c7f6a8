"""Pictures of results, by matplotlib: each function returns the axes that it drew on."""

from .curves import curves
from .forest import caterpillar, effects, estimates
from .genetics import shares
from .inference import bootstrap, power, profile

__all__ = [
    "bootstrap",
    "caterpillar",
    "curves",
    "effects",
    "estimates",
    "power",
    "profile",
    "shares",
]
