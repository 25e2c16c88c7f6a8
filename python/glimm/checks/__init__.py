"""Does the model fit? Residuals, tests of known size, influence, and a page of verdicts."""

from __future__ import annotations

from .confounding import Confounding, Slopes, confounding
from .influence import Influence, influence
from .leverage import leverage

__all__ = [
    "Confounding",
    "Influence",
    "Slopes",
    "confounding",
    "influence",
    "leverage",
]
