"""Designs come back the same: from another kind of frame, from a record, from a pickle."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from designs import BINOMIAL, DATA, FORMULAS, GAUSSIAN, equal, make

from glimm.design import record, restore
from glimm.errors import DataError

PLAIN = DATA.drop(columns=["mix", "when", "cat"])
KINDS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "polars": pl.from_pandas,
    "lazy": lambda frame: pl.from_pandas(frame).lazy(),
    "pyarrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
    "dict": lambda frame: {name: frame[name].to_numpy() for name in frame},
    "shuffled index": lambda frame: frame.set_axis([9, 1, 1, 7, 0, 3]),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "formula", [f for f in FORMULAS if "cat" not in f] + ["y ~ hole + (1 | mark)"]
)
def test_kinds_of_frame_give_equal_designs(kind: str, formula: str) -> None:
    assert equal(make(formula, KINDS[kind](PLAIN)), make(formula, PLAIN))


@pytest.mark.parametrize("formula", FORMULAS)
def test_applied_to_its_own_data_a_design_gives_itself(formula: str) -> None:
    design = make(formula)
    new = design.apply(DATA)
    assert np.array_equal(new.x, design.x)
    assert (new.n, new.trials) == (6, None)
    assert (new.offset is None) == (design.offset is None)
    assert new.offset is None or np.array_equal(new.offset, design.offset)
    for (codes, z), term in zip(new.terms, design.terms, strict=True):
        assert np.array_equal(codes, term.codes)
        assert np.array_equal(z, term.z)


@pytest.mark.parametrize("formula", FORMULAS)
def test_new_rows_are_computed_one_by_one(formula: str) -> None:
    """What a row gets must not depend on the rows beside it: codings and knots are remembered."""
    design = make(formula)
    for row in range(6):
        new = design.apply(DATA.drop(columns="y").iloc[[row]])
        assert np.array_equal(new.x, design.x[[row]])
        for (codes, z), term in zip(new.terms, design.terms, strict=True):
            assert np.array_equal(codes, term.codes[[row]])
            assert np.array_equal(z, term.z[[row]])


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_design_is_restored_from_plain_data(formula: str) -> None:
    design = make(formula)
    header, arrays = record(design)
    again = restore(json.loads(json.dumps(header)), arrays, family=GAUSSIAN)
    assert equal(again, design)
    assert np.array_equal(again.apply(DATA).x, design.apply(DATA).x)
    assert all(array.dtype.kind in "fib" for array in arrays.values())


def test_a_restored_design_keeps_what_was_dropped_and_given() -> None:
    trials, weights = np.array([9, 8, 7, 6, 5, 4]), DATA.w.to_numpy()
    design = make("s ~ hole + (1 | g)", family=BINOMIAL, trials=trials, freq=weights, offset="x")
    header, arrays = record(design)
    again = restore(json.loads(json.dumps(header)), arrays, family=BINOMIAL)
    assert equal(again, design)
    assert (again.dropped, again.n_input) == (design.dropped, 6)
    assert np.array_equal(again.rows, design.rows)


def test_a_restored_design_keeps_another_response() -> None:
    design = make("answer ~ x", family=BINOMIAL).with_response([0, 0, 0, 1, 1, 1])
    again = restore(*record(design), family=BINOMIAL)
    assert np.array_equal(again.y, [0, 0, 0, 1, 1, 1])
    assert again.response_levels == ("no", "yes")


def test_a_damaged_record_is_said_to_be_so() -> None:
    header, arrays = record(make("y ~ x"))
    del arrays["column1"]
    with pytest.raises(DataError, match="column1"):
        restore(header, arrays, family=GAUSSIAN)


@pytest.mark.parametrize("formula", FORMULAS)
def test_designs_pickle(formula: str) -> None:
    design = make(formula)
    again = pickle.loads(pickle.dumps(design))
    assert equal(again, design)
    assert np.array_equal(again.apply(DATA).x, design.x)
