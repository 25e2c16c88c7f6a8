"""Effects: subject-specific, population-averaged, and shares of the variance."""

from __future__ import annotations

from .population import PopulationAveraged, population_averaged
from .shares import VarianceShares, variance_shares

__all__ = ["PopulationAveraged", "VarianceShares", "population_averaged", "variance_shares"]
