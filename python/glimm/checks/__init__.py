"""Does the model fit? Residuals that are uniform under it, and checks of known size."""

from __future__ import annotations

from .base import Check
from .residuals import Residuals, residuals

__all__ = ["Check", "Residuals", "residuals"]
