"""Answers of quantitative genetics: heritability on three scales, breeding values."""

from __future__ import annotations

from .breeding import BreedingValues, breeding_values
from .heritability import Heritability, heritability

__all__ = ["BreedingValues", "Heritability", "breeding_values", "heritability"]
