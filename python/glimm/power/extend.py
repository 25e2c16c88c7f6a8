"""A design with more groups, or more rows in each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import Frame, take_rows, with_columns
from ..errors import DataError

Places = NDArray[np.int64]


def extend(
    data: Any,
    groups: Mapping[str, int] | None = None,
    rows: Mapping[str, int] | None = None,
) -> Any:
    """Return a design with another number of groups, or of rows in each group.

    Whole groups are repeated under new names until there are enough. Where a number is no multiple
    of what is there, and where groups are left out, those taken are spread evenly over the groups
    sorted by their covariates, so that treatments and strata keep their shares.

    Parameters
    ----------
    data : frame
        Covariates and groups.
    groups : mapping of str to int, optional
        Number of levels of a grouping column: ``{"subject": 60}``.
    rows : mapping of str to int, optional
        Number of rows of each level of a grouping column; its rows are repeated in their order.

    Returns
    -------
    frame
        Of the same kind. Levels of a column that is extended are text if it needs new names and
        held text, otherwise whole numbers.

    Raises
    ------
    DataError
        For a column that is not there, or a number below 1.

    Examples
    --------
    >>> import glimm
    >>> design = {"subject": ["a", "a", "b", "b"], "drug": [0, 0, 1, 1]}
    >>> more = glimm.extend(design, groups={"subject": 4})
    >>> more["subject"].tolist(), more["drug"].tolist()
    (['a', 'a', 'a (2)', 'a (2)', 'b', 'b', 'b (2)', 'b (2)'], [0, 0, 0, 0, 1, 1, 1, 1])
    """
    for name, count in (groups or {}).items():
        data = _with_levels(data, name, _whole("groups", name, count))
    for name, count in (rows or {}).items():
        data = _with_rows(data, name, _whole("rows", name, count))
    return data


def _whole(what: str, name: str, count: Any) -> int:
    if not isinstance(count, int | np.integer) or count < 1:
        message = f"{what}={{{name!r}: {count!r}}}; a whole number of at least 1"
        raise DataError(message, code="unknown_option")
    return int(count)


def _codes(data: Any, name: str) -> tuple[Places, list[Any]]:
    """Level of each row and the levels in the order in which they appear."""
    column = Frame(data).column(name)
    _, first, inverse = np.unique(column.values, return_index=True, return_inverse=True)
    place = np.argsort(np.argsort(first))
    return place[inverse].astype(np.int64), [column.level_at(i) for i in np.sort(first).tolist()]


def _with_levels(data: Any, name: str, count: int) -> Any:
    codes, levels = _codes(data, name)
    order = _by_covariates(data, name, codes, len(levels))
    taken = np.sort((np.arange(count) * len(levels)) // count)
    chosen = order[taken]
    copy = np.arange(count) - np.searchsorted(taken, taken)
    members = [np.flatnonzero(codes == level) for level in range(len(levels))]
    rows = np.concatenate([members[level] for level in chosen])
    sizes = [members[level].size for level in chosen]
    names = _names(levels, chosen, copy)
    return with_columns(take_rows(data, rows), {name: np.repeat(names, sizes)})


def _names(levels: list[Any], chosen: Places, copy: Places) -> NDArray[Any]:
    """New names of the levels: text with the number of the copy, or the next whole numbers."""
    if all(isinstance(level, str) for level in levels):
        pairs = zip(chosen.tolist(), copy.tolist(), strict=True)
        texts = [levels[i] if c == 0 else f"{levels[i]} ({c + 1})" for i, c in pairs]
        return np.array(texts, dtype=object)
    if copy.any():
        return np.arange(1, len(chosen) + 1)
    return np.array([levels[i] for i in chosen])


def _with_rows(data: Any, name: str, count: int) -> Any:
    codes, levels = _codes(data, name)
    members = [np.flatnonzero(codes == level) for level in range(len(levels))]
    return take_rows(data, np.concatenate([np.resize(m, count) for m in members]))


def _by_covariates(data: Any, name: str, codes: Places, count: int) -> Places:
    """Levels sorted by the covariates of their rows, those of few values first."""
    frame = Frame(data)
    found = []
    for other in frame.names:
        if other == name:
            continue
        try:
            values = np.unique(frame.column(other).values, return_inverse=True)[1]
        except DataError:  # of a type that no model uses
            continue
        found.append((int(values.max(initial=0)), values))
    found.sort(key=lambda pair: pair[0])
    members = [np.flatnonzero(codes == level) for level in range(count)]
    keys = [tuple(tuple(values[m].tolist()) for _, values in found) for m in members]
    return np.array(sorted(range(count), key=keys.__getitem__), dtype=np.int64)
