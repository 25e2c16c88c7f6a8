"""Read the shipped studies from the package's own CSV files."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Kind, frame_like
from ..errors import DataError, listed, nearest_first
from .catalog import CATALOG, Description


def names() -> tuple[str, ...]:
    """Names of the shipped studies, in alphabetical order.

    Examples
    --------
    >>> import glimm
    >>> glimm.datasets.names()
    ('bcg', 'cbpp', 'epilepsy', 'sleepstudy', 'toenail')
    """
    return tuple(entry.name for entry in CATALOG)


def describe(name: str) -> Description:
    """What a shipped study is: source, columns with their units, a sensible first model.

    Parameters
    ----------
    name : str
        One of `glimm.datasets.names()`.

    Raises
    ------
    DataError
        When no study has this name.

    Examples
    --------
    >>> import glimm
    >>> glimm.datasets.describe("cbpp").formula
    'incidence / size ~ C(period) + (1 | herd)'
    """
    for entry in CATALOG:
        if entry.name == name:
            return entry
    known = listed(nearest_first(name, names()))
    raise DataError(
        f"there is no shipped study named {name!r}; there are {known}", code="unknown_option"
    )


def text(name: str) -> str:
    """The CSV text of a shipped study, as it lies in the package.

    Examples
    --------
    >>> import glimm
    >>> print(glimm.datasets.text("cbpp").splitlines()[0])
    herd,period,incidence,size
    """
    file = Path(__file__).parent / "data" / f"{describe(name).name}.csv"
    return file.read_text(encoding="utf-8")


def load(name: str, kind: Kind = "pandas") -> Any:
    """A shipped study as a frame.

    Parameters
    ----------
    name : str
        One of `glimm.datasets.names()`.
    kind : {"pandas", "polars", "pyarrow", "dict"}
        The kind of frame wanted; "dict" gives a dictionary of arrays.

    Returns
    -------
    frame
        One row per observation; `describe(name)` explains the columns.

    Raises
    ------
    DataError
        When no study has this name, or the library for this kind is not installed.

    Examples
    --------
    >>> import glimm
    >>> glimm.datasets.load("sleepstudy", kind="dict")["reaction"][:3]
    array([249.56  , 258.7047, 250.8006])
    """
    head, *rows = csv.reader(text(name).splitlines())
    columns = {
        label: _typed(values) for label, values in zip(head, zip(*rows, strict=True), strict=True)
    }
    return frame_like(kind, columns)


def _typed(values: tuple[str, ...]) -> np.ndarray[Any, Any]:
    """Integers where all values are integers, else floats, else strings."""
    for kind in (np.int64, np.float64):
        try:
            return np.array(values, dtype=kind)
        except ValueError:
            continue
    return np.array(values)
