"""Intervals and tests: functions of a Fit."""

from .freedom import freedom
from .wald import intervals

__all__ = ["freedom", "intervals"]
