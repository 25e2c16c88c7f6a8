"""Does the model fit? Residuals that are uniform under it, and checks of known size."""

from __future__ import annotations

from .base import Check
from .dependence import clusters, related, spatial, temporal
from .dharma import Dharma, dharma
from .distribution import dispersion, outliers, statistic, uniformity, zeros
from .patterns import groups, heteroscedasticity, trend
from .random import normality
from .residuals import Residuals, residuals
from .study import Study, study

__all__ = [
    "Check",
    "Dharma",
    "Residuals",
    "Study",
    "clusters",
    "dharma",
    "dispersion",
    "groups",
    "heteroscedasticity",
    "normality",
    "outliers",
    "related",
    "residuals",
    "spatial",
    "statistic",
    "study",
    "temporal",
    "trend",
    "uniformity",
    "zeros",
]
