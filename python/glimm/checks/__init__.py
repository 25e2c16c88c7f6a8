"""Does the model fit? Residuals that are uniform under it, and checks of known size."""

from __future__ import annotations

from .advice import Advice
from .assess import page
from .base import Check
from .confounding import Confounding, confounding
from .dependence import clusters, related, spatial, temporal
from .dharma import Dharma, dharma
from .distribution import dispersion, outliers, statistic, uniformity, zeros
from .foreign import foreign
from .influence import Influence, influence
from .leverage import leverage
from .page import CheckPage, Verdict
from .patterns import groups, heteroscedasticity, trend
from .random import normality
from .residuals import Residuals, residuals
from .slopes import slopes
from .study import Study, study

__all__ = [
    "Advice",
    "Check",
    "CheckPage",
    "Confounding",
    "Dharma",
    "Influence",
    "Residuals",
    "Study",
    "Verdict",
    "clusters",
    "confounding",
    "dharma",
    "dispersion",
    "foreign",
    "groups",
    "heteroscedasticity",
    "influence",
    "leverage",
    "normality",
    "outliers",
    "page",
    "related",
    "residuals",
    "slopes",
    "spatial",
    "statistic",
    "study",
    "temporal",
    "trend",
    "uniformity",
    "zeros",
]
