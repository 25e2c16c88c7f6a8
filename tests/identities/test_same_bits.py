"""Frames of any kind, any number of threads and any repetition give the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from studies import LAWS, fit, fitted, study, text

import glimm

# More than the rows from which the block path uses threads.
MANY = 12_000
KINDS = {
    "polars": pl.from_pandas,
    "lazy": lambda frame: pl.from_pandas(frame).lazy(),
    "pyarrow": pa.Table.from_pandas,
    "dict": lambda frame: {name: frame[name].to_numpy() for name in frame},
}


def _same_bits(a: glimm.Fit, b: glimm.Fit) -> None:
    assert a.loglik == b.loglik
    np.testing.assert_array_equal(a.estimates.parameters, b.estimates.parameters)
    np.testing.assert_array_equal(a.estimates.covariance, b.estimates.covariance)
    for name in ("modes", "covariances"):
        pairs = zip(getattr(a.estimates, name), getattr(b.estimates, name), strict=True)
        for one, other in pairs:
            np.testing.assert_array_equal(one, other)
    assert a.parameter_names == b.parameter_names
    assert [t.levels for t in a.design.terms] == [t.levels for t in b.design.terms]
    assert a.estimates.evaluations == b.estimates.evaluations
    assert a.estimates.loglik_left == b.estimates.loglik_left


@pytest.mark.parametrize("structure", ["slopes", "nested"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_frame(kind: str, structure: str) -> None:
    frame = study("logit", structure)
    _same_bits(fit("logit", text(structure), KINDS[kind](frame)), fitted("logit", structure))


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("structure", ["slopes", "crossed"])
def test_the_same_call_again(law: str, structure: str) -> None:
    _same_bits(fit(law, text(structure), study(law, structure)), fitted(law, structure))


def test_an_index_of_pandas_is_not_data() -> None:
    frame = study("poisson", "slopes")
    odd = frame.set_index(np.arange(len(frame))[::-1])
    duplicate = frame.set_index(np.zeros(len(frame), dtype=int))
    for other in (odd, duplicate):
        _same_bits(fit("poisson", text("slopes"), other), fitted("poisson", "slopes"))


def _many() -> pd.DataFrame:
    rng = np.random.default_rng(31)
    g = rng.integers(0, 300, MANY)
    x = rng.normal(size=MANY)
    k = rng.integers(0, 50, MANY)
    effects = rng.normal(scale=0.6, size=(300, 2))
    eta = 0.5 + 0.3 * x + effects[g, 0] + effects[g, 1] * x
    y = rng.poisson(np.exp(np.minimum(eta, 5)))
    return pd.DataFrame({"y": y, "hit": (y > 1).astype(float), "x": x, "g": g, "h": g % 40, "k": k})


@pytest.mark.parametrize(
    ("formula", "family", "path"),
    [
        ("y ~ x + (1 + x | g)", "nbinom2", "block"),
        ("hit ~ x + (1 + x | g)", "binomial", "block"),
        ("y ~ x + (1 | g) + (1 | h)", "poisson", "dense"),
        ("hit ~ x + (1 + x | g) + (1 | k)", "binomial", "dense"),
    ],
)
def test_any_number_of_threads(formula: str, family: str, path: str) -> None:
    frame: Any = _many()
    fits = [glimm.fit(formula, frame, family, threads=k) for k in (1, 2, 3)]
    assert fits[0].diagnostics.path == path
    if path == "block":
        assert [made.diagnostics.threads for made in fits] == [1, 2, 3]
    for other in fits[1:]:
        _same_bits(other, fits[0])
        np.testing.assert_array_equal(other.simulate(1, seed=3), fits[0].simulate(1, seed=3))
