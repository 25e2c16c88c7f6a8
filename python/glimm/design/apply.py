"""A design applied to new data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data import Column, Frame, read_values
from ..errors import DataError, listed, nearest_first, rows_text
from .build import offset_of, part_columns
from .design import Design, NewRows, Request
from .levels import apply_groups, check_levels, coded
from .places import at_places, is_placed
from .response import columns_of, trials_of
from .sides import Side, split_parts, sum_of

_POLICIES = ("error", "zero", "number", "none")


def apply_design(
    design: Design, new: Any, *, new_levels: str, offset: str | ArrayLike | None
) -> NewRows:
    """Return the matrices of a design for new data; see `Design.apply`."""
    from . import matrices

    if new_levels not in _POLICIES:
        allowed = listed(nearest_first(str(new_levels), _POLICIES))
        raise DataError(f"new_levels={new_levels!r}; use {allowed}", code="unknown_option")
    columns, n, request = _read(design, new, offset, new_levels != "none")
    rows = np.arange(n)
    covariates = {name: _covariate(design, columns[name]) for name in part_columns(design.request)}
    made = matrices.apply(design.learned, covariates, n)
    sides = split_parts(design.request, made, rows)
    none = np.full(n, -1, dtype=np.int64)
    codes = [
        none if new_levels == "none" else apply_groups(g, columns, new_levels)
        for g in design.groupings
    ]
    z = _columns_of_terms(design, sides, codes)
    return NewRows(
        x=sides[0].x.values,
        offset=offset_of(request, columns, sides[0].offsets),
        trials=trials_of(design.formula, columns, request.trials, rows),
        terms=tuple(zip(codes, z, strict=True)),
        parts=tuple((side.x.values, sum_of(side.offsets)) for side in sides[1:]),
        n=n,
    )


def _columns_of_terms(
    design: Design, sides: list[Side], codes: list[NDArray[np.int64]]
) -> list[NDArray[np.float64]]:
    """The columns of each term of the design, (n, q), found again by predictor and name."""
    known, fields = {}, {}
    for side in sides:
        for term, matrix in zip(side.formula.random, side.z, strict=True):
            if is_placed(term.structure):
                fields[frozenset(term.group), side.predictor, matrix.names] = matrix.values
                continue
            for j, name in enumerate(matrix.names):
                known[frozenset(term.group), side.predictor, name] = matrix.values[:, j]
    found = []
    for met, grouping, code in zip(design.terms, design.groupings, codes, strict=True):
        group = frozenset(grouping.columns)
        if is_placed(met.structure):
            names = tuple(met.columns[0].partition("(")[2].partition(")")[0].split(", "))
            values = fields[group, met.predictors[0], names]
            found.append(at_places(met.structure, values, code >= 0))
            continue
        pairs = zip(met.predictors, met.columns, strict=True)
        found.append(np.column_stack([known[group, k, name] for k, name in pairs]))
    return found


def _read(
    design: Design, new: Any, offset: str | ArrayLike | None, groups: bool
) -> tuple[dict[str, Column], int, Request]:
    """The columns of new data that the design needs, and those of the trials if there."""
    request = design.request
    frame = Frame(new)
    if offset is not None:
        request = replace(request, offset=offset if isinstance(offset, str) else "offset=")
    elif request.offset == "offset=":
        message = (
            "offset= was an array when fitted, so new rows have no offset yet; give offset= for "
            "the new rows, or name a column when fitting"
        )
        raise DataError(message, code="missing_values")
    names = dict.fromkeys(part_columns(request))
    for grouping in design.groupings if groups else ():
        names.update(dict.fromkeys(grouping.columns))
    if isinstance(request.offset, str) and request.offset != "offset=":
        names[request.offset] = None
    columns, n = frame.read(list(names))
    if request.offset == "offset=":
        columns["offset="] = read_values("offset", offset, n)
    for column in columns.values():
        if column.missing is not None:
            where = rows_text(np.flatnonzero(column.missing).tolist())
            message = (
                f"column {column.name!r} of the new data is missing in {where}; every row needs "
                "all values. Drop these rows first"
            )
            raise DataError(message, code="missing_values")
    return columns | _trial_columns(request, frame), n, request


def _trial_columns(request: Request, frame: Frame) -> dict[str, Column]:
    """The columns that give the number of trials, where new data have them in full."""
    response = request.formula.response
    wanted: tuple[str, ...] = ()
    if request.trials is not None:
        wanted = (request.trials,)
    elif response.kind != "plain":
        expressions = response.expressions[response.kind == "ratio" :]
        wanted = tuple(c for e in expressions for c in columns_of(e))
    if not set(wanted) <= set(frame.names):
        return {}
    columns, _ = frame.read(wanted)
    return {} if any(c.missing is not None for c in columns.values()) else columns


def _covariate(design: Design, column: Column) -> Column:
    """A covariate of new data, with the levels learned."""
    learned = design.used_columns[column.name]
    categories = design.learned.categories
    if learned.is_coded or column.name in categories:
        levels = coded(learned)[1]
        codes = check_levels(column, learned, levels)
        if learned.is_coded:
            return replace(column, kind="category", values=codes, levels=levels)
        return replace(column, kind="integer")
    if column.is_coded:
        message = (
            f"column {column.name!r} held {learned.described()} when fitted, and holds "
            f"{column.described()} now"
        )
        raise DataError(message)
    return column
