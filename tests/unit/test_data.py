"""Frames in and out: every kind of frame gives the same columns; what cannot be used is said."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from glimm.data import Column, Frame, frame_like, read_values
from glimm.errors import DataError

NUMBERS = {"x": [1.5, 2.5, -1.0], "i": [3, 1, 2], "b": [True, False, True], "s": ["b", "a", "b"]}


def as_arrow(columns: dict[str, Any]) -> Any:
    return pa.table(columns)


KINDS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "pandas": pd.DataFrame,
    "polars": pl.DataFrame,
    "lazy": pl.LazyFrame,
    "pyarrow": as_arrow,
    "dict": dict,
    "arrays": lambda columns: {name: np.array(values) for name, values in columns.items()},
}
READ_AS = {"lazy": "polars", "arrays": "dict"}


def same(a: Column, b: Column) -> bool:
    missing = np.array_equal(a.missing, b.missing) if a.missing is not None else b.missing is None
    equal = np.array_equal(a.values, b.values, equal_nan=a.values.dtype.kind == "f")
    return equal and missing and (a.kind, a.levels) == (b.kind, b.levels)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_frame_gives_the_same_columns(kind: str) -> None:
    frame = Frame(KINDS[kind](NUMBERS))
    columns, n = frame.read(["x", "i", "b", "s"])
    assert frame.names == ("x", "i", "b", "s")
    assert (frame.kind, n) == (READ_AS.get(kind, kind), 3)
    assert same(columns["x"], Column("x", "number", np.array([1.5, 2.5, -1.0])))
    assert same(columns["i"], Column("i", "integer", np.array([3, 1, 2])))
    assert same(columns["b"], Column("b", "boolean", np.array([True, False, True])))
    assert same(columns["s"], Column("s", "text", np.array([1, 0, 1]), ("a", "b")))


@pytest.mark.parametrize("kind", ["pandas", "polars", "lazy", "pyarrow", "dict"])
@pytest.mark.parametrize(
    ("values", "as_kind"),
    [
        ([1.0, None, 3.0], "number"),
        ([True, None, False], "boolean"),
        (["a", None, "b"], "text"),
    ],
)
def test_missing_values_are_found_in_every_kind(kind: str, values: list[Any], as_kind: str) -> None:
    column = Frame(KINDS[kind]({"v": values})).column("v")
    assert column.kind == as_kind
    assert column.missing is not None
    assert column.missing.tolist() == [False, True, False]


@pytest.mark.parametrize(
    "series",
    [
        pd.Series([1, None, 2**60 + 1], dtype="Int64"),
        pl.Series("v", [1, None, 2**60 + 1]),
        pd.Series([1, None, 2**60 + 1], dtype=object),
    ],
)
def test_whole_numbers_stay_exact_beside_missing_ones(series: Any) -> None:
    column = read_values("v", series)
    assert column.kind == "integer"
    assert column.values[2] == 2**60 + 1
    assert column.missing is not None
    assert column.missing.tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("series", "kind", "values"),
    [
        (pd.Series([1, 2], dtype="uint8"), "integer", [1, 2]),
        (pd.Series([1.5, np.nan], dtype="Float64"), "number", [1.5, np.nan]),
        (pd.Series([1.5, 2], dtype="float32"), "number", [1.5, 2.0]),
        (pd.Series([Decimal("1.5"), None], dtype=object), "number", [1.5, np.nan]),
        (pl.Series("v", [Decimal("1.5"), Decimal("2.0")]), "number", [1.5, 2.0]),
        (pd.Series([1, 2.5], dtype=object), "number", [1.0, 2.5]),
        (pd.Series([True, False], dtype="boolean"), "boolean", [True, False]),
        (pl.Series("v", [None, None]), "number", [np.nan, np.nan]),
        (pd.Series([None, None], dtype=object), "number", [np.nan, np.nan]),
        (np.array([2**64 - 1, 1], dtype=np.uint64), "number", [2.0**64, 1.0]),
        (pl.Series("v", [2**64 - 1, None], dtype=pl.UInt64), "number", [2.0**64, np.nan]),
        ((1, 2), "integer", [1, 2]),
    ],
)
def test_types(series: Any, kind: str, values: list[Any]) -> None:
    column = read_values("v", series)
    assert column.kind == kind
    assert column.values.dtype in (np.float64, np.int64, np.bool_)
    assert np.array_equal(column.values, values, equal_nan=kind == "number")


def test_categories_keep_their_order_where_the_frame_has_one() -> None:
    ordered = ["low", "mid", "high"]
    values = ["high", "low", "high"]
    pandas = pd.Series(pd.Categorical(values, categories=ordered))
    arrow = pa.chunked_array([pa.Array.from_pandas(pandas)])
    enum = pl.Series("v", values, dtype=pl.Enum(ordered))
    for series in (pandas, arrow, enum, pandas.array):
        column = read_values("v", series)
        assert (column.kind, column.levels) == ("category", ("low", "mid", "high"))
        assert column.values.tolist() == [2, 0, 2]
        used = column.without_unused_levels()
        assert (used.levels, used.values.tolist()) == (("low", "high"), [1, 0, 1])


def test_categories_of_polars_have_no_order_and_are_sorted() -> None:
    column = read_values("v", pl.Series(["b", "a", None], dtype=pl.Categorical))
    assert (column.levels, column.values.tolist()) == (("a", "b"), [1, 0, -1])


def test_levels_are_plain_values() -> None:
    cut = pd.Series(pd.cut([1, 5], [0, 2, 6]))
    assert read_values("v", cut).levels == ("(0, 2]", "(2, 6]")
    assert read_values("v", pd.Series(pd.Categorical([3, 1]))).levels == (1, 3)


def test_chunks_of_arrow_are_one_column() -> None:
    text = pa.chunked_array([["a", "c"], ["b", None]])
    column = Frame(pa.table({"v": text})).column("v")
    assert (column.levels, column.values.tolist()) == (("a", "b", "c"), [0, 2, 1, -1])


def test_text_is_sorted_alike_everywhere() -> None:
    words = ["é", "z", "Z", "a b", "", "10", "9"]
    found = {Frame(make({"v": words})).column("v").levels for make in KINDS.values()}
    assert found == {tuple(sorted(words))}


def test_level_at_gives_the_users_value() -> None:
    assert read_values("v", ["b", "a"]).level_at(0) == "b"
    assert read_values("v", [4, 5]).level_at(1) == 5


MIXED = ["a", 1, 2.5, None]
BAD_COLUMNS = [
    (pd.DataFrame({"v": MIXED}), "mixed_column", ["'v'", "str in row 0 ('a')", "int in row 1 (1)"]),
    ({"v": MIXED}, "mixed_column", ["'v'", "row 0", "row 1"]),
    (pd.DataFrame({"v": ["a"] * 200 + [1]}), "mixed_column", ["int in row 200 (1)"]),
    ({"v": [b"a", b"b"]}, "column_type", ["'v'", "bytes"]),
    (pl.DataFrame({"v": [[1], [2]]}), "column_type", ["'v'", "ndarray"]),
    ({"v": [1.0, np.inf, -np.inf]}, "infinite_values", ["'v'", "rows 1, 2 (counted from 0)"]),
    (pd.DataFrame({"v": pd.to_datetime(["2020-01-01"])}), "column_type", ["'v'", "dates"]),
    ({"v": [date(2020, 1, 1)]}, "column_type", ["'v'", "dates"]),
    (pl.DataFrame({"v": [date(2020, 1, 1)]}), "column_type", ["'v'", "dates"]),
    ({"v": 5}, "array_shape", ["v has the single value 5"]),
    ({"v": np.ones((2, 3))}, "array_shape", ["v has shape (2, 3)"]),
    ({"w": [1]}, "unknown_column", ["'v' is not in the data", "'w'"]),
]


@pytest.mark.parametrize(("data", "code", "words"), BAD_COLUMNS)
def test_columns_that_cannot_be_used(data: Any, code: str, words: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        Frame(data).column("v")
    assert caught.value.code == code
    assert all(word in str(caught.value) for word in words), str(caught.value)


BAD_FRAMES = [
    (5, "unknown_frame", ["int", "pandas", "polars", "pyarrow", "dict"]),
    ([1, 2], "unknown_frame", ["list"]),
    (np.ones((2, 2)), "unknown_frame", ["numpy.ndarray"]),
    (pd.DataFrame(np.ones((1, 3)), columns=["a", "b", "a"]), "duplicate_columns", ["'a'"]),
    (pd.DataFrame(np.ones((1, 2)), columns=[1, "1"]), "duplicate_columns", ["'1'"]),
    (pa.table([[1], [2]], names=["a", "a"]), "duplicate_columns", ["'a'"]),
]


@pytest.mark.parametrize(("data", "code", "words"), BAD_FRAMES)
def test_frames_that_cannot_be_used(data: Any, code: str, words: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        Frame(data)
    assert caught.value.code == code
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_columns_of_a_dict_need_one_length() -> None:
    with pytest.raises(DataError, match=r"'x' 2, 'y' 3"):
        Frame({"x": [1, 2], "y": [1, 2, 3]}).read(["x", "y"])


def test_arrays_need_the_length_of_the_data() -> None:
    with pytest.raises(DataError, match="freq has 2 values but the data have 3 rows"):
        read_values("freq", [1, 2], 3)


def test_misspelt_columns_get_the_nearest_names_first() -> None:
    frame = Frame({"age": [1], "treatment": [1], "time": [1]})
    with pytest.raises(DataError, match="the data have 'treatment', 'age', 'time'"):
        frame.check("treatmnt")


def test_a_name_of_the_index_gets_a_hint() -> None:
    frame = Frame(pd.DataFrame({"x": [1.0]}, index=pd.Index(["a"], name="person")))
    with pytest.raises(DataError, match="reset_index"):
        frame.check("person")


def test_names_that_are_not_text() -> None:
    frame = Frame(pd.DataFrame({0: [1.0], ("a", 1): [2.0]}))
    assert frame.names == ("0", "('a', 1)")
    assert frame.column("0").values.tolist() == [1.0]


def test_lazy_frames_compute_only_what_is_asked_for() -> None:
    lazy = pl.LazyFrame({"x": [1.0, 2.0]}).with_columns(
        boom=pl.col("x").map_elements(lambda _: 1 / 0, return_dtype=pl.Float64)
    )
    assert Frame(lazy).column("x").values.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("kind", "cls"),
    [("pandas", pd.DataFrame), ("polars", pl.DataFrame), ("pyarrow", pa.Table), ("dict", dict)],
)
def test_results_come_in_the_users_kind_of_frame(kind: Any, cls: type) -> None:
    columns = {"name": ["a", "b"], "value": np.array([1.5, np.nan]), "n": np.array([1, 2])}
    made = frame_like(kind, columns)
    assert isinstance(made, cls)
    frame = Frame(made)
    assert frame.names == ("name", "value", "n")
    assert [frame.column(c).kind for c in frame.names] == ["text", "number", "integer"]
    assert np.array_equal(frame.column("value").values, columns["value"], equal_nan=True)


def test_other_kinds_of_frame_are_refused() -> None:
    with pytest.raises(DataError, match=r"'panda' is not a kind of frame; use 'pandas'"):
        frame_like("panda", {})  # type: ignore[arg-type]
