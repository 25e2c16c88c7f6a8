"""A column of the user's data as NumPy arrays: numbers, or codes with their levels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, rows_text

Level: TypeAlias = str | int | float | bool

_NUMBERS = {"floating", "mixed-integer-float", "decimal", "empty"}
_TIMES = {"datetime64", "datetime", "date", "timedelta64", "timedelta", "time", "period"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column, read.

    Parameters
    ----------
    name : str
    kind : str
        ``"number"``, ``"integer"``, ``"boolean"``, ``"text"`` or ``"category"``.
    values : ndarray, (n,)
        float64, int64 (int32 in a design, where that does) or bool; for text and categories
        int64 codes into `levels`, -1 for missing.
    levels : tuple, optional
        Values of text (sorted) or categories (in their order).
    missing : ndarray of bool, (n,), optional
        None when no value is missing.
    """

    name: str
    kind: Literal["number", "integer", "boolean", "text", "category"]
    values: NDArray[Any]
    levels: tuple[Level, ...] | None = None
    missing: NDArray[np.bool_] | None = None

    @property
    def is_coded(self) -> bool:
        """Whether the values are codes into levels."""
        return self.levels is not None

    def take(self, rows: NDArray[np.signedinteger[Any]]) -> Column:
        """Return the column at some rows only, none of them missing."""
        return replace(self, values=self.values[rows], missing=None)

    def without_unused_levels(self) -> Column:
        """Return the column with only those levels that occur, in the same order."""
        if self.levels is None:
            return self
        counts = np.bincount(self.values, minlength=len(self.levels))
        if counts.all():
            return self
        used = np.flatnonzero(counts)
        position = np.cumsum(counts > 0) - 1
        levels = tuple(self.levels[i] for i in used)
        return replace(self, values=position[self.values], levels=levels)

    def level_at(self, row: int) -> Level:
        """Return the value in a row, as the user wrote it."""
        value: Level = self.values[row].item()
        return value if self.levels is None else self.levels[int(value)]

    def described(self) -> str:
        """Return the kind in words."""
        words = {"number": "numbers", "integer": "whole numbers", "boolean": "true or false",
                 "text": "text", "category": "categories"}  # fmt: skip
        return words[self.kind]


def values_of(column: Column) -> NDArray[Any]:
    """Return a column's values as the user wrote them, (n,)."""
    if column.levels is None:
        whole = column.kind == "integer"
        return column.values.astype(np.int64, copy=False) if whole else column.values
    found: NDArray[Any] = np.array(column.levels, dtype=object)[column.values]
    return found


def read_series(name: str, series: Any) -> Column:
    """Read a narwhals series.

    Raises
    ------
    DataError
        When it holds infinite values, times, or a mixture of types.
    """
    dtype = series.dtype
    if dtype.is_float():
        return _number(name, series.to_numpy())
    if dtype.is_integer():
        return _integer(name, series)
    if dtype.is_decimal():
        return _objects(name, np.array(series.to_list(), dtype=object))
    if dtype.is_temporal():
        raise _time_error(name)
    kind = type(dtype).__name__
    if kind == "Boolean":
        missing = _missing(series)
        filled = series if missing is None else series.fill_null(False)
        return Column(name, "boolean", filled.to_numpy().astype(bool), None, missing)
    if kind in ("Categorical", "Enum"):
        return _category(name, series)
    if kind == "String" and (found := _encoded(series.to_native())) is not None:
        return _text(name, *found)
    return _objects(name, series.to_numpy())


def all_finite(values: NDArray[np.float64]) -> bool:
    """Whether all numbers are finite; their sum, which is soon had, is then finite too."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum())) or bool(np.isfinite(values).all())


def _number(name: str, values: NDArray[Any]) -> Column:
    values = np.asarray(values, dtype=np.float64)
    missing = None
    if not all_finite(values):
        missing = np.isnan(values)
        infinite = np.flatnonzero(np.isinf(values))
        if infinite.size:
            where = rows_text(infinite.tolist())
            message = f"column {name!r} is infinite in {where}; it must hold finite numbers"
            raise DataError(message, code="infinite_values")
    return Column(name, "number", values, None, missing)


def _integer(name: str, series: Any) -> Column:
    values, missing = series.to_numpy(), None
    if values.dtype.kind not in "iu":  # NumPy has no whole number for a missing one
        missing = _missing(series)
        values = (series if missing is None else series.fill_null(0)).to_numpy()
    if values.dtype == np.uint64 and values.size and values.max() > np.iinfo(np.int64).max:
        return _number(name, values if missing is None else np.where(missing, np.nan, values))
    return Column(name, "integer", values.astype(np.int64, copy=False), None, missing)


def _missing(series: Any) -> NDArray[np.bool_] | None:
    if not series.null_count():
        return None
    return np.asarray(series.is_null().to_numpy(), dtype=bool)


def _category(name: str, series: Any) -> Column:
    """Categories in their order; those of polars' Categorical, which has none, sorted."""
    native = series.to_native()
    if hasattr(native, "cat") and hasattr(native, "array"):
        codes, levels = native.cat.codes.to_numpy(), native.cat.categories.tolist()
    elif hasattr(native, "combine_chunks"):
        whole = native.combine_chunks()
        whole = whole if hasattr(whole, "indices") else whole.chunk(0)
        codes = whole.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        levels = whole.dictionary.to_pylist()
    elif type(series.dtype).__name__ == "Enum":
        levels = list(series.dtype.categories)
        codes = native.to_physical().cast(int).fill_null(-1).to_numpy()
    else:
        return replace(_objects(name, series.to_numpy()), kind="category")
    values = codes.astype(np.int64)
    missing = values < 0
    plain = tuple(_plain(level) for level in levels)
    return Column(name, "category", values, plain, missing if missing.any() else None)


def _encoded(native: Any) -> tuple[NDArray[Any], list[Any]] | None:
    """Codes and distinct texts by the frame's own means, where it has a fast one."""
    if hasattr(native, "dictionary_encode"):
        whole = native.dictionary_encode().combine_chunks()
        codes = whole.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        return codes, whole.dictionary.to_pylist()
    if hasattr(native, "to_physical"):
        levels = native.drop_nulls().unique()
        polars = import_module("polars")
        codes = native.cast(polars.Enum(levels)).to_physical().cast(polars.Int64)
        return codes.fill_null(-1).to_numpy(), levels.to_list()
    if native.dtype == object:
        return None
    import pandas as pd

    codes, uniques = pd.factorize(native)
    return codes, list(uniques)


def _text(name: str, codes: NDArray[Any], levels: list[Any]) -> Column:
    """Text, with its levels put in order."""
    order = sorted(range(len(levels)), key=levels.__getitem__)
    place = np.empty(len(levels) + 1, dtype=np.int64)
    place[order] = np.arange(len(levels))
    place[-1] = -1
    values = place[codes]
    missing = values < 0
    found = tuple(str(levels[i]) for i in order)
    return Column(name, "text", values, found, missing if missing.any() else None)


def _plain(level: Any) -> Level:
    """A level as a plain value that a file can hold: intervals, dates and the like as text."""
    return level if isinstance(level, (str, int, float)) else str(level)


def _objects(name: str, values: NDArray[Any]) -> Column:
    """Python objects: text, numbers or truth values, but one kind of them only."""
    import pandas as pd

    found = pd.api.types.infer_dtype(values, skipna=True)
    if found == "string":
        codes, uniques = pd.factorize(values)
        return _text(name, codes, list(uniques))
    missing = np.asarray(pd.isna(values), dtype=bool)
    missing_or_none = missing if missing.any() else None
    if found in ("integer", "boolean"):
        whole = np.where(missing, 0, values).astype(np.int64)
        if found == "boolean":
            return Column(name, "boolean", whole.astype(bool), None, missing_or_none)
        return Column(name, "integer", whole, None, missing_or_none)
    if found in _NUMBERS:
        numbers = np.where(missing, np.nan, values).astype(np.float64)
        return _number(name, numbers)
    if found in _TIMES:
        raise _time_error(name)
    raise _mixed_error(name, values, missing)


def _time_error(name: str) -> DataError:
    return DataError(
        f"column {name!r} holds dates or times; it must hold numbers, text or categories. As a "
        "covariate turn it into a number (days since the start, say), as a group into text"
    )


def _mixed_error(name: str, values: NDArray[Any], missing: NDArray[np.bool_]) -> DataError:
    examples: dict[str, str] = {}
    for row in np.flatnonzero(~missing).tolist():
        kind = type(values[row]).__name__
        if kind not in examples:
            examples[kind] = f"{kind} in row {row} ({values[row]!r})"
    message = (
        f"column {name!r} mixes types: {', '.join(list(examples.values())[:4])} (rows counted from "
        "0); it must hold only numbers or only text. Convert it before the fit"
    )
    if len(examples) == 1:
        message = (
            f"column {name!r} holds objects of type {next(iter(examples))}; it must hold numbers, "
            "text or categories"
        )
    return DataError(message, code="mixed_column" if len(examples) > 1 else None)
