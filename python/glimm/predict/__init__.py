"""Predictions with their uncertainty."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .ask import predict
from .joint import Joint, joint_covariance
from .points import Rows, expected, linear_predictor, predictors, training_rows

if TYPE_CHECKING:
    from ..fit import Fit


def fitted(fit: Fit) -> NDArray[np.float64]:
    """See `Fit.fitted`."""
    values: NDArray[np.float64] = predict(fit)
    values.flags.writeable = False
    return values


__all__ = [
    "Joint",
    "Rows",
    "expected",
    "fitted",
    "joint_covariance",
    "linear_predictor",
    "predict",
    "predictors",
    "training_rows",
]
