"""Times that the effects of a term belong to."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..data import Column
from ..errors import DataError
from ..formula import STRUCTURES, Formula, RandomTerm
from .rows import Rows

_NUMERIC = ("number", "integer")
# Steps that differ by less, relative to the longest, are equal.
_EQUAL = 1e-6


def with_times(
    term: RandomTerm, formula: Formula, columns: Mapping[str, Column], rows: Rows
) -> str:
    """Return the name of a term's structure, with the times behind it where it needs them.

    Raises
    ------
    DataError
        When it needs numbers and has categories, or equal steps and has others.
    """
    words = STRUCTURES.get(term.structure.partition("(")[0])
    if words is None or not words.timed:
        return term.structure
    name = term.columns.removeprefix("0 + C(").removesuffix(")").strip("`")
    column = columns[name]
    if column.kind not in _NUMERIC:
        if term.structure == "ou":
            message = f"ou() needs times as numbers; column {name!r} holds {column.described()}"
            raise DataError(f"{message}. Use ar1() for categories in equal steps")
        return term.structure
    times = np.unique(np.asarray(column.values, dtype=np.float64))
    if times.size < 2:
        message = f"{term.structure}() needs two times or more; column {name!r} has {times.size}"
        raise DataError(f"{message}. Use (1 | {':'.join(term.group)})")
    if term.structure == "ou":
        return f"ou({','.join(map(repr, times.tolist()))})"
    steps = np.diff(times)
    if np.ptp(steps) > _EQUAL * steps.max():
        at = int(np.argmax(steps))
        message = (
            f"{term.structure}() needs times in equal steps; column {name!r} goes from "
            f"{times[at]:g} to {times[at + 1]:g} and elsewhere by {steps.min():g}. Use ou(), or "
            "make it a categorical column with all times as levels"
        )
        raise DataError(message)
    return term.structure
