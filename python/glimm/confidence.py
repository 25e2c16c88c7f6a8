"""Confidence levels: whether one is valid, and how far it reaches."""

from __future__ import annotations

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
