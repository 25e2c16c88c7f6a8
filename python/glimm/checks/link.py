"""Whether the linear predictor bends: a wrong link, or covariates that act in curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import FitError
from .scores import score_of

if TYPE_CHECKING:
    from ..fit import Fit

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bend:
    """A test of curvature in the linear predictor.

    Parameters
    ----------
    statistic, p : float
        Chi-square with one degree of freedom.
    ends : float
        What the square adds to the linear predictor at its 2.5 % and 97.5 % points, on average,
        less what it adds in the middle: link scale.
    """

    statistic: float
    p: float
    ends: float


def bend(fit: Fit) -> Bend | None:
    """Test the square of the fixed part of the linear predictor as one more covariate.

    It is notable when the link is wrong or covariates act in curves. None where the fixed part
    takes fewer than three values, whose square says nothing new.

    References
    ----------
    Tukey, J. W. (1949). One degree of freedom for non-additivity. Biometrics 5, 232-242.
    Pregibon, D. (1980). Goodness of link tests for generalized linear models. Applied Statistics
    29, 15-24.
    """
    b = fit.part("mean").estimates
    eta = fit.design.x[:, list(fit.estimates.kept[0])] @ b
    if np.unique(eta.round(10)).size < 3:
        return None
    center, spread = float(eta.mean()), float(eta.std())
    square = ((eta - center) / spread) ** 2
    try:
        found = score_of(fit, square[:, None], ("square",))
    except FitError:
        return None
    low, middle, high = np.quantile(eta, (0.025, 0.5, 0.975))
    curve = float(found.step[0]) * ((np.array([low, middle, high]) - center) / spread) ** 2
    line = np.interp(middle, (low, high), (curve[0], curve[2]))
    return Bend(found.statistic, found.p, float(line - curve[1]))
