"""Confidence levels: whether one is valid, and how far it reaches."""

from __future__ import annotations

import math
from statistics import NormalDist

from .errors import DataError


def level_checked(level: float) -> float:
    """Return a confidence level; raises DataError unless it is between 0 and 1."""
    if not 0 < level < 1:
        raise DataError(f"level={level}; it must be between 0 and 1", code="unknown_option")
    return level


def normal_reach(level: float) -> float:
    """Return how many standard errors a normal interval extends to either side.

    Examples
    --------
    >>> round(normal_reach(0.95), 4)
    1.96
    """
    return NormalDist().inv_cdf((1 + level_checked(level)) / 2)


MOST = 709.0
"""Beyond it the exponential function has no value."""


def log_interval(value: float, half: float) -> tuple[float, float]:
    """Return the ends `half` to either side on the log scale; 0 and infinity if that is far.

    Examples
    --------
    >>> log_interval(2.0, 0.0)
    (2.0, 2.0)
    >>> log_interval(1e-9, 5000.0)
    (0.0, inf)
    """
    return value * math.exp(-half), value * math.exp(half) if half < MOST else math.inf


def logit_interval(value: float, half: float) -> tuple[float, float]:
    """Return the ends `half` to either side on the logit scale, of a value between 0 and 1.

    Examples
    --------
    >>> logit_interval(0.5, 0.0)
    (0.5, 0.5)
    >>> logit_interval(1e-9, 5000.0)
    (0.0, 1.0)
    """
    odds = log_interval(value / (1 - value), half)
    return odds[0] / (1 + odds[0]), 1 / (1 + 1 / odds[1])
