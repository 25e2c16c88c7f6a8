"""Effects: subject-specific and population-averaged, in coefficients and in responses."""

from __future__ import annotations

from .comparisons import comparisons
from .means import means
from .population import PopulationAveraged, population_averaged
from .result import Effects
from .shares import VarianceShares, variance_shares
from .slopes import slopes

__all__ = [
    "Effects",
    "PopulationAveraged",
    "VarianceShares",
    "comparisons",
    "means",
    "population_averaged",
    "slopes",
    "variance_shares",
]
