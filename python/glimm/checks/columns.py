"""Columns that checks are made against: by name or given, one value per residual."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.column import values_of
from ..errors import DataError, listed, nearest_first

if TYPE_CHECKING:
    from ..design import DesignTerm
    from .residuals import Residuals

Array = NDArray[np.float64]


def values(r: Residuals, column: str | ArrayLike) -> NDArray[Any]:
    """Return a column at the rows of the residuals, (N,).

    Parameters
    ----------
    r : Residuals
    column : str or array_like
        A grouping factor or another column that the fit used, ``"fitted"``, or one value for each
        row used, each row of the data, or each residual.

    Raises
    ------
    DataError
        For a name that is not known, or values of another length.
    """
    if isinstance(column, str):
        found: NDArray[Any] = np.asarray(r.fitted) if column == "fitted" else _named(r, column)
        return found if column == "fitted" else np.asarray(found[r.rows])
    given: NDArray[Any] = np.asarray(column)
    if given.ndim != 1:
        raise DataError(f"a column of shape {given.shape}; one dimension", code="array_shape")
    design = getattr(r.fit, "design", None)
    if design is not None and r.labels is None:
        if given.size == design.n:
            return np.asarray(given[r.rows])
        if given.size == design.n_input:
            return np.asarray(given[design.rows][r.rows])
    if given.size == r.n:
        return given
    rows = f" or {design.n:,} rows used" if design is not None else ""
    message = f"a column of {given.size:,} values for {r.n:,} residuals{rows}"
    raise DataError(message, code="array_shape")


def _named(r: Residuals, name: str) -> NDArray[Any]:
    design = getattr(r.fit, "design", None)
    if design is None or r.labels is not None:
        message = f"column {name!r}: these residuals have no columns; give its values"
        raise DataError(message, code="unknown_column")
    term = _term(r, name)
    if term is not None:
        return np.asarray(np.array(term.levels, dtype=object)[term.codes])
    by_name = {column.name: column for column in design.used_columns.values()}
    if name in by_name:
        return values_of(by_name[name])
    groups = getattr(getattr(r.fit, "model", None), "groups", None)
    if name == groups and hasattr(r.fit.estimates, "codes"):
        return np.asarray(r.fit.estimates.codes)
    known = listed(nearest_first(name, ["fitted", *by_name, *(t.label for t in design.terms)]), 12)
    message = f"column {name!r} was not used by the fit; it used {known}. Others: give the values"
    raise DataError(message, code="unknown_column")


def numbers(r: Residuals, column: str | ArrayLike) -> Array:
    """Return a column of finite numbers, (N,).

    Raises
    ------
    DataError
        For text, or values that are missing.
    """
    found = values(r, column)
    name = repr(column) if isinstance(column, str) else "the column given"
    try:
        made = found.astype(np.float64)
    except (TypeError, ValueError):
        message = f"{name} does not hold numbers; glimm.checks.groups takes categories"
        raise DataError(message, code="column_type") from None
    if not np.isfinite(made).all():
        raise DataError(f"{name} has values that are not finite", code="missing_values")
    return made


def groups_of(r: Residuals, column: str | ArrayLike) -> tuple[NDArray[np.intp], list[Any]]:
    """Return a group's number for each residual, (N,), and the groups in their order."""
    term = _term(r, column) if isinstance(column, str) else None
    if term is not None:  # its levels are numbered already
        used, codes = np.unique(term.codes[r.rows], return_inverse=True)
        return codes.ravel(), [term.levels[k] for k in used]
    labels, codes = np.unique(values(r, column), return_inverse=True)
    return codes.ravel(), labels.tolist()


def _term(r: Residuals, name: str) -> DesignTerm | None:
    """The term whose groups have a name; sums over groups have no rows of a design."""
    if r.labels is not None:
        return None
    terms = getattr(getattr(r.fit, "design", None), "terms", ())
    return next((term for term in terms if term.label == name and not term.also), None)


def label(column: str | ArrayLike) -> str:
    """Return what a column is called in words."""
    return column if isinstance(column, str) else "the values given"
