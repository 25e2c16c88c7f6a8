"""Some rows of a prediction: chunks that bound the memory, and the rows of one family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..mixed import FamilyBy, Member
from .integrated import State
from .points import Rows

Array = NDArray[np.float64]
Columns = dict[str, Any]

CHUNK = 65_536
"""Rows that are taken at a time, so that memory does not grow with the rows."""


def joined(state: State, of: Callable[[State], Columns]) -> Columns:
    """Return columns of all rows, made chunk by chunk."""
    chunks = [slice(start, start + CHUNK) for start in range(0, max(state.rows.n, 1), CHUNK)]
    pieces = [of(piece(state, at)) for at in chunks]
    return {key: np.concatenate([piece[key] for piece in pieces]) for key in pieces[0]}


def by_member(state: State, of: Callable[[State], Columns]) -> Columns:
    """Return columns of all rows, made from the rows of one family at a time."""
    if not isinstance(state.fit.model.family, FamilyBy) or not state.rows.n:
        return of(state)
    codes = state.eta[-1]
    places = [np.flatnonzero(codes == code) for code in np.unique(codes)]
    pieces = [of(piece(state, at)) for at in places]
    back = np.argsort(np.concatenate(places))
    return {key: np.concatenate([piece[key] for piece in pieces])[back] for key in pieces[0]}


def without_parameter(state: State, k: int, found: Columns) -> Columns:
    """Return columns of predictor k with NaN in rows whose family has no such parameter."""
    family = state.fit.model.family
    if k == 0 or not isinstance(family, FamilyBy):
        return found
    has = np.array([member.label is not None for member in family.members])
    own = has[state.eta[-1].astype(np.int64)]
    return {key: np.where(own, column, np.nan) for key, column in found.items()}


def member_of(state: State) -> Member | None:
    """Return the family of rows that have one of several; None where the model has one."""
    family = state.fit.model.family
    return family.members[int(state.eta[-1][0])] if isinstance(family, FamilyBy) else None


def link_of(state: State) -> str:
    """Return the link of the mean of rows of one family."""
    member = member_of(state) if state.rows.n else None
    return state.fit.model.link if member is None else member.link


def piece(state: State, at: slice | NDArray[np.int64]) -> State:
    """Return the state of some rows."""

    def cut(v: Array | None) -> Array | None:
        return None if v is None else v[at]

    rows = state.rows
    matrices = {k: (x[at], cut(offset)) for k, (x, offset) in rows.matrices.items()}
    terms = tuple((codes[at], z[at]) for codes, z in rows.terms)
    n = len(np.arange(rows.n)[at])
    kriged = tuple(replace(e, variance=e.variance[at], slope=e.slope[at]) for e in rows.kriged)
    cut_rows = Rows(matrices, terms, cut(rows.precision), n, cut(rows.trials), kriged)
    eta = [np.ascontiguousarray(e[at]) for e in state.eta]
    return State(state.fit, cut_rows, eta, tuple(mask[at] for mask in state.masks))
