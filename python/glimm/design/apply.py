"""A design applied to new data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..data import Column, Frame, read_values
from ..errors import DataError, listed, nearest_first, rows_text
from .build import offset_of, optional_names, part_columns
from .design import Design, NewRows, Request
from .levels import check_levels, coded
from .members import Several, optional
from .residual import floored
from .response import columns_of, trials_of
from .sides import Met, Side, applied_terms, joined, split_parts, sum_of

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
    sides = floored(split_parts(design.request, made, rows), design.floors)
    terms = joined(_met(design, sides, columns, new_levels))
    return NewRows(
        x=sides[0].x.values,
        offset=offset_of(request, columns, sides[0].offsets),
        trials=trials_of(design.formula, columns, request.trials, rows),
        terms=tuple(pair for term in terms for pair in term.memberships),
        parts=tuple((side.x.values, sum_of(side.offsets)) for side in sides[1:]),
        n=n,
        beyond=tuple(term.beyond for term in terms for _ in term.memberships),
    )


def _met(
    design: Design, sides: list[Side], columns: Mapping[str, Column], policy: str
) -> list[Met]:
    """The terms of all formulas for the new rows."""
    sources, found = list(design.sources), []
    for side in sides:
        own, sources = sources[: len(side.z)], sources[len(side.z) :]
        found += applied_terms(side, own, columns, policy, design.terms)
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
    written = [term for _, formula in request.formulas for term in formula.random]
    pairs = zip(written, design.sources, strict=True)
    for source in [source for term, source in pairs if groups and not term.residual]:
        names.update(dict.fromkeys(source.columns))
        names.update(dict.fromkeys(source.weights if isinstance(source, Several) else ()))
    if isinstance(request.offset, str) and request.offset != "offset=":
        names[request.offset] = None
    columns, n = frame.read(list(names))
    if request.offset == "offset=":
        columns["offset="] = read_values("offset", offset, n)
    for name in optional_names(design.request) & columns.keys():
        columns[name] = optional(columns[name])
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
