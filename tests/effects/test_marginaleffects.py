"""The package marginaleffects takes a fit, and finds what glimm finds."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose

import glimm
from glimm.effects.adapter import for_marginaleffects

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    me = pytest.importorskip("marginaleffects")
    polars = pytest.importorskip("polars")

OLD_POLARS = int(polars.__version__.split(".")[0]) < 2
# marginaleffects 0.6 calls methods of categorical columns that polars 2 has no more.
CATEGORIES = pytest.mark.skipif(not OLD_POLARS, reason="marginaleffects 0.6 needs polars < 2")
BOTH = pytest.mark.parametrize("effect", ["subject", "population"])
pytestmark = pytest.mark.filterwarnings("ignore")
ESTIMATE = 1e-7
# Theirs are forward differences in the parameters.
SE = 1e-3


@functools.cache
def study() -> glimm.Fit:
    data = glimm.datasets.load("epilepsy")
    return glimm.fit("seizures ~ treatment * period + (1 | patient)", data, family="poisson")


def agree(theirs: object, ours: glimm.Effects) -> None:
    frame = theirs.data if hasattr(theirs, "data") else theirs
    assert_allclose(np.array(frame["estimate"]), ours.estimate, rtol=ESTIMATE)  # type: ignore[index]
    assert_allclose(np.array(frame["std_error"]), ours.se, rtol=SE)  # type: ignore[index]


@BOTH
def test_average_predictions(effect: str) -> None:
    model = for_marginaleffects(study(), effect=effect)
    agree(me.avg_predictions(model), glimm.means(study(), grid="data", effect=effect))


@BOTH
def test_average_slopes(effect: str) -> None:
    model = for_marginaleffects(study(), effect=effect)
    found = me.avg_slopes(model, variables="period")
    frame = found.data if hasattr(found, "data") else found
    ours = glimm.slopes(study(), "period", grid="data", effect=effect)
    assert_allclose(np.array(frame["estimate"]), ours.estimate, rtol=1e-4)  # forward differences
    assert_allclose(np.array(frame["std_error"]), ours.se, rtol=1e-2)


@CATEGORIES
@BOTH
def test_average_predictions_by_and_comparisons(effect: str) -> None:
    model = for_marginaleffects(study(), effect=effect)
    agree(
        me.avg_predictions(model, by="treatment"),
        glimm.means(study(), by="treatment", grid="data", effect=effect),
    )
    agree(
        me.avg_comparisons(model, variables="treatment"),
        glimm.comparisons(study(), "treatment", contrast="reference", grid="data", effect=effect),
    )


def test_refusals() -> None:
    with pytest.raises(glimm.DataError, match="effect="):
        for_marginaleffects(study(), effect="both")
