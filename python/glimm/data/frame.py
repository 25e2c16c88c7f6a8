"""Frames in and out. The only file that knows narwhals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, listed, nearest_first
from .column import Column, read_series

Kind: TypeAlias = Literal["pandas", "polars", "pyarrow", "dict"]

_KINDS = ("pandas", "polars", "pyarrow")
_FRAMES = "a pandas or polars frame, a pyarrow Table, or a dict of columns"


class Frame:
    """A user's frame, opened for reading.

    Parameters
    ----------
    data : frame
        A pandas or polars frame (lazy ones are collected, used columns only), a pyarrow Table, or
        a dict of columns of one length.

    Raises
    ------
    DataError
        When `data` is something else, or two of its columns have the same name.

    Examples
    --------
    >>> frame = Frame({"x": [1.5, 2.5], "g": ["a", "b"]})
    >>> frame.kind, frame.names
    ('dict', ('x', 'g'))
    >>> frame.column("g").levels
    ('a', 'b')
    """

    def __init__(self, data: Any) -> None:
        self.kind: Kind
        self._columns: Mapping[Any, Any] | None = None
        self._frame: Any = None
        if isinstance(data, Mapping):
            self.kind, self._columns = "dict", data
            keys: Iterable[Any] = data
        else:
            self._frame = _open(data)
            self.kind = "pandas"
            if isinstance(self._frame, nw.LazyFrame):
                keys = self._frame.collect_schema().names()
            else:
                keys, self.kind = self._frame.columns, _kind_of(self._frame)
        self._keys = _by_name(keys)
        self._index_names = _index_names(data)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, as text."""
        return tuple(self._keys)

    def read(self, names: Sequence[str]) -> tuple[dict[str, Column], int]:
        """Return the columns named, and the number of rows of the frame.

        Raises
        ------
        DataError
            For a column that is not there, or holds what cannot be used.
        """
        for name in names:
            self.check(name)
        if self._columns is not None:
            return self._read_mapping(names)
        frame = self._collected(names)
        columns = {}
        for name in names:
            columns[name] = read_series(name, frame.get_column(self._keys[name]))
        return columns, len(frame)

    def column(self, name: str) -> Column:
        """Return one column; raises `DataError` as `read` does."""
        return self.read([name])[0][name]

    def check(self, name: str) -> None:
        """Raise `DataError` with the nearest names unless there is such a column."""
        if name in self._keys:
            return
        near = listed(nearest_first(name, self._keys))
        message = f"column {name!r} is not in the data; the data have {near or 'no columns'}"
        if name in self._index_names:
            message += f". {name!r} is part of the frame's index: use reset_index() first"
        raise DataError(message, code="unknown_column")

    def _collected(self, names: Sequence[str]) -> Any:
        """The frame in memory; of a lazy one only the columns asked for."""
        if not isinstance(self._frame, nw.LazyFrame):
            return self._frame
        keys = [self._keys[name] for name in names] or list(self._keys.values())[:1]
        frame = self._frame.select(keys).collect()
        self.kind = _kind_of(frame)
        return frame

    def _read_mapping(self, names: Sequence[str]) -> tuple[dict[str, Column], int]:
        assert self._columns is not None
        columns = {name: read_values(name, self._columns[self._keys[name]]) for name in names}
        lengths = {name: len(column.values) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            shown = ", ".join(f"{name!r} {n}" for name, n in lengths.items())
            message = f"the columns of the dict differ in length: {shown}; all must have one length"
            raise DataError(message, code="array_shape")
        return columns, next(iter(lengths.values()), self._length())

    def _length(self) -> int:
        """Rows of a dict, by its first column."""
        assert self._columns is not None
        return len(next(iter(self._columns.values()), ()))


def read_values(name: str, values: Any, n: int | None = None) -> Column:
    """Read an array, list or series as a column.

    Parameters
    ----------
    name : str
        What to call it in messages.
    values : array_like, (n,)
    n : int, optional
        The length it must have.

    Raises
    ------
    DataError
        When it is not one-dimensional, or not of length `n`.
    """
    series = nw.from_native(values, series_only=True, pass_through=True)
    if not isinstance(series, nw.Series):
        series = nw.from_native(_as_series(name, values), series_only=True)
    if n is not None and len(series) != n:
        message = (
            f"{name} has {len(series)} values but the data have {n} rows; it needs one value for "
            "each row of the data as given, before rows with missing values are dropped. Naming a "
            "column of the data keeps the two in line"
        )
        raise DataError(message, code="array_shape")
    return read_series(name, series)


def frame_like(kind: Kind, columns: Mapping[str, Any]) -> Any:
    """Return columns as a frame of a kind.

    Parameters
    ----------
    kind : str
        ``"pandas"``, ``"polars"``, ``"pyarrow"`` or ``"dict"``.
    columns : mapping of str to array_like, (n,)

    Raises
    ------
    DataError
        For another kind, or when the library is not installed.

    Examples
    --------
    >>> frame_like("pandas", {"group": ["a", "b"], "mode": [0.5, -0.5]})
      group  mode
    0     a   0.5
    1     b  -0.5
    """
    if kind == "dict":
        return dict(columns)
    if kind not in _KINDS:
        names = listed(nearest_first(str(kind), [*_KINDS, "dict"]))
        raise DataError(f"{kind!r} is not a kind of frame; use {names}", code="unknown_frame")
    try:
        return nw.from_dict(dict(columns), backend=kind).to_native()
    except ModuleNotFoundError as error:
        message = f"a {kind} frame was asked for but {error.name} is not installed"
        raise DataError(message, code="unknown_frame") from error


def with_columns(data: Any, columns: Mapping[str, Any]) -> Any:
    """Return a frame of the same kind with columns added or replaced.

    Examples
    --------
    >>> with_columns({"x": [1, 2]}, {"y": [0.0, 0.0]})
    {'x': [1, 2], 'y': [0.0, 0.0]}
    """
    if isinstance(data, Mapping):
        return dict(data) | dict(columns)
    frame = _open(data)
    frame = frame.collect() if isinstance(frame, nw.LazyFrame) else frame
    backend = frame.implementation
    made = [nw.new_series(name, values, backend=backend) for name, values in columns.items()]
    native = frame.to_native()
    if hasattr(native, "reset_index"):  # pandas lines columns up by its index
        frame = nw.from_native(native.reset_index(drop=True))
    return frame.with_columns(*made).to_native()


def take_rows(data: Any, rows: NDArray[np.int64]) -> Any:
    """Return rows of a frame by position, in a frame of the same kind; they may repeat.

    Examples
    --------
    >>> take_rows({"x": [1, 2]}, np.array([1, 1, 0]))["x"].tolist()
    [2, 2, 1]
    """
    if isinstance(data, Mapping):
        return {name: np.asarray(values)[rows] for name, values in data.items()}
    frame = _open(data)
    frame = frame.collect() if isinstance(frame, nw.LazyFrame) else frame
    return frame[rows.tolist()].to_native()


def _open(data: Any) -> Any:
    try:
        frame = nw.from_native(data)
        if isinstance(frame, nw.LazyFrame):
            frame.collect_schema()
    except TypeError:
        found = f"{type(data).__module__}.{type(data).__qualname__}".removeprefix("builtins.")
        raise DataError(f"data is a {found}; it must be {_FRAMES}", code="unknown_frame") from None
    except nw.exceptions.DuplicateError as error:
        names = [str(name) for name in getattr(data, "columns", [])]
        names = list(getattr(data, "column_names", names))
        raise DataError(_duplicates(names) or str(error), code="duplicate_columns") from None
    return frame


def _kind_of(frame: Any) -> Kind:
    kind = frame.implementation.value
    if kind not in _KINDS:
        message = f"a {kind} frame was given; convert it to {_FRAMES}"
        raise DataError(message, code="unknown_frame")
    return kind  # type: ignore[no-any-return]


def _by_name(keys: Iterable[Any]) -> dict[str, Any]:
    keys = list(keys)
    names = {str(key): key for key in keys}
    if len(names) < len(keys):
        message = _duplicates([str(key) for key in keys])
        raise DataError(message, code="duplicate_columns")
    return names


def _duplicates(names: Sequence[str]) -> str:
    twice = sorted({name for name in names if names.count(name) > 1})
    if not twice:
        return ""
    return f"the data have more than one column named {listed(twice)}; rename or drop the others"


def _index_names(data: Any) -> tuple[str, ...]:
    names = getattr(getattr(data, "index", None), "names", None)
    return tuple(str(name) for name in names) if isinstance(names, Iterable) else ()


def _as_series(name: str, values: Any) -> Any:
    import pandas as pd

    if isinstance(values, pd.Categorical):
        return pd.Series(values)
    array = values if isinstance(values, np.ndarray) else _array_of(values)
    if array.ndim != 1:
        found = f"shape {array.shape}" if array.ndim else f"the single value {values!r}"
        message = f"{name} has {found}; it must be a column name, or hold one value for each row"
        raise DataError(message, code="array_shape")
    return pd.Series(array, copy=False)


def _array_of(values: Any) -> NDArray[Any]:
    """A list as an array; text and mixtures stay objects, so that 1 and "1" stay apart."""
    array = np.asarray(values)
    if array.dtype.kind in "US" and array.ndim == 1:
        return np.array(list(values), dtype=object)
    return array
