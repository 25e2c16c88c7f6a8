"""Power and the size of studies, by simulation."""

from .curve import power_curve
from .extend import extend
from .result import Power, PowerCurve
from .run import power

__all__ = ["Power", "PowerCurve", "extend", "power", "power_curve"]
