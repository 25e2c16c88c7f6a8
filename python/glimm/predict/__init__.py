"""Predictions with their uncertainty."""

from __future__ import annotations

from .joint import Joint, joint_covariance
from .points import (
    Rows,
    expected,
    fitted,
    linear_predictor,
    predict,
    predictors,
    training_rows,
)

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
