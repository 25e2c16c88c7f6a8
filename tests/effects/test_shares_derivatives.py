"""Derivatives of the shares on the scale of the response, against differences."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import glimm
from glimm.effects.shares import Components
from glimm.inference.delta import jacobian

CASES = [
    ("seizures ~ treatment + (1 | patient)", "epilepsy", "nbinom2"),
    ("seizures ~ treatment + (1 | patient)", "epilepsy", "poisson"),
    ("incidence / size ~ period + (1 | herd)", "cbpp", "binomial"),
    ("reaction ~ days + (1 + days | subject)", "sleepstudy", "gaussian"),
    ("reaction ~ days + cs(1 + days | subject)", "sleepstudy", "gaussian"),
]


@pytest.mark.parametrize(("formula", "name", "family"), CASES)
def test_against_differences(formula: str, name: str, family: str) -> None:
    """Of structured covariances too, whose factors are not linear in their parameters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = glimm.fit(formula, pd.DataFrame(glimm.datasets.load(name)), family)
    psi, estimates = model.estimates.parameters, model.estimates

    def at(moved: np.ndarray) -> np.ndarray:
        there = replace(estimates, parameters=moved)
        return Components(glimm.Fit(model.model, model.design, there)).observed()[0]

    scale = 0.1 * np.sqrt(np.diag(estimates.covariance))
    expected = jacobian(at, psi, scale)
    found = Components(model).observed()[1]
    size = np.abs(expected).max(axis=0)
    assert (np.abs(found - expected) <= 1e-6 * size + 1e-9 * np.abs(expected).max()).all()
