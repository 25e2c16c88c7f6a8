"""Intervals and tests: functions of a Fit."""

from .wald import intervals

__all__ = ["intervals"]
