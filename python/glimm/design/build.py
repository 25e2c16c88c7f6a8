"""Formula + frame -> Design."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data import Column, Frame, Kind, read_values
from ..errors import DataError, listed, nearest_first, rows_text
from ..formula import Formula, parse
from ..formula.expressions import single_column
from ..relations import Relation
from .design import Design, Request
from .members import optional, optional_columns
from .residual import check_weights, floored, floors_of
from .response import FamilyLike, alone, columns_of, read_response
from .rows import Drop, Rows, keep_rows
from .sides import joined, other_parts, split_parts, terms_of
from .traits import check_trials

if TYPE_CHECKING:
    from .matrices import Learned, Matrix

_MISSING = ("drop", "error")
_TEXT_LEVELS = 10
"""Text with more levels than this, all of them numbers, is taken for a mistake."""
_HALF = 2**30
"""Half the range of a whole number of four bytes."""


def build(
    formula: str | Formula,
    data: Any,
    *,
    family: FamilyLike,
    trials: str | ArrayLike | None = None,
    freq: str | ArrayLike | None = None,
    offset: str | ArrayLike | None = None,
    precision: str | ArrayLike | None = None,
    others: tuple[tuple[str, int, Formula], ...] = (),
    extra: Mapping[str, str | ArrayLike] | None = None,
    relations: Mapping[str, Relation] | None = None,
    missing: str = "drop",
) -> Design:
    """Make the arrays of a model from a formula and data.

    Parameters
    ----------
    formula : str or Formula
    data : frame
        A pandas or polars frame (also lazy), a pyarrow Table, or a dict of columns.
    family : FamilyLike
        Its name, and whether its response counts successes among trials.
    trials, freq, offset, precision : str or array_like, (n_input,), optional
        A column of the data, or one value for each row: number of trials; how often a row occurs
        (0 or more, not necessarily whole; rows with 0 are dropped); known part of the linear
        predictor; how precise a row is.
    others : tuple of (name, predictor, Formula)
        Formulas of further linear predictors.
    extra : mapping of str to (str or array_like)
        Further columns by what they are for; rows without them are not used. They are among
        `Design.used_columns`, and `Request.extra` has their keys.
    relations : mapping of str to Relation
        Known relations among groups, by the names that the formulas use.
    missing : str
        ``"drop"`` leaves rows with missing values out and reports them; ``"error"`` refuses them.

    Returns
    -------
    Design

    Raises
    ------
    FormulaError
        When the formula cannot be read, or does not suit the family.
    DataError
        When a column is not there, of a type that cannot be used, infinite, or has one level only;
        when an array has another length than the data; when no row is left.
    """
    if missing not in _MISSING:
        allowed = listed(nearest_first(str(missing), _MISSING))
        raise DataError(f"missing={missing!r}; use {allowed}", code="unknown_option")
    frame = Frame(data)
    given = {"trials": trials, "freq": freq, "offset": offset, "precision": precision}
    formula = parse(formula) if isinstance(formula, str) else formula
    request = _request(formula, family, frame, given, others)
    given |= extra or {}
    request = replace(_with_extra(request, extra or {}, frame), relations=dict(relations or {}))
    columns, n = frame.read(_wanted(request))
    for name, values in given.items():
        if values is not None and not isinstance(values, str):
            columns[f"{name}="] = read_values(name, values, n)
    for name in optional_names(request) & columns.keys():
        columns[name] = optional(columns[name])
    kept, rows, dropped = keep_rows(columns, n, request.freq, missing)
    return assemble(request, kept, rows, n, dropped, frame.kind)


def assemble(
    request: Request,
    columns: Mapping[str, Column],
    rows: Rows,
    n_input: int,
    dropped: tuple[Drop, ...],
    kind: Kind,
) -> Design:
    """Make a design from columns at the rows kept; raises as `build` does."""
    formula = request.formula
    answers = {single_column(expression) for expression in formula.response.expressions}
    columns = {
        name: column if name in answers else column.without_unused_levels()
        for name, column in columns.items()
    }
    answer = read_response(formula, request.family, columns, request.trials, rows)
    made, learned = _matrices(request, columns, rows)
    sides = split_parts(request, made, rows)
    check_trials(request, sides, answer.trials, rows)
    floors = floors_of(sides, columns, answer.y, rows)
    sides = floored(sides, floors)
    if floors and request.freq is not None:
        check_weights(columns[request.freq], rows)
    found = [met for side in sides for met in terms_of(side, columns, rows, request.relations)]
    x, offsets = sides[0].x, sides[0].offsets
    freq = None if request.freq is None else columns[request.freq].values.astype(np.float64)
    terms = joined([met for met, _ in found])
    design = Design(
        formula=formula, y=_own(answer.y, columns), trials=answer.trials, freq=freq,
        offset=offset_of(request, columns, offsets), precision=_precision(request, columns, rows),
        x=x.values, x_names=x.names, terms=tuple(terms),
        parts=other_parts(request, sides[1:]), rows=rows, n_input=n_input, dropped=dropped,
        response_name=formula.response.text, response_levels=answer.levels, frame_kind=kind,
        used_columns=_owned(columns, request, x), request=request, learned=learned,
        sources=tuple(source for _, source in found), floors=floors,
    )  # fmt: skip
    _freeze(design)
    return design


def _matrices(
    request: Request, columns: Mapping[str, Column], rows: Rows
) -> tuple[list[Matrix], Learned]:
    from . import matrices

    covariates = {name: columns[name] for name in part_columns(request)}
    _check_covariates(request, covariates)
    parts = [part for part, _ in _parts(request)]
    made, learned = matrices.learn(parts, covariates, rows.size, request.available)
    return made, learned


def _precision(
    request: Request, columns: Mapping[str, Column], rows: Rows
) -> NDArray[np.float64] | None:
    """Precision weights, all above zero."""
    if request.precision is None:
        return None
    column = columns[request.precision]
    if column.is_coded:
        message = f"precision {column.name!r} holds {column.described()}; it must hold numbers"
        raise DataError(message)
    values = column.values.astype(np.float64)
    wrong = np.flatnonzero(~(values > 0))
    if wrong.size:
        where = rows_text(rows[wrong].tolist())
        message = (
            f"precision {column.name!r} is {values[wrong[0]]:g} in {where}; it must be above 0. "
            "A row without information is left out by freq= 0"
        )
        raise DataError(message, code="outside_domain")
    return values


def part_columns(request: Request) -> tuple[str, ...]:
    """Return the columns of the fixed part, the random-effect columns and the formula's offsets."""
    from . import matrices

    names: dict[str, None] = {}
    for part, text in _parts(request):
        names.update(dict.fromkeys(matrices.needs(part, text, request.available).columns))
    return tuple(names)


def offset_of(
    request: Request, columns: Mapping[str, Column], made: Sequence[Matrix]
) -> NDArray[np.float64] | None:
    """Return the sum of all offsets, (n,), or None when there is none.

    Raises
    ------
    DataError
        When the column given as ``offset=`` does not hold numbers.
    """
    parts = [matrix.values[:, 0] for matrix in made]
    if request.offset is not None:
        column = columns[request.offset]
        if column.is_coded:
            message = f"offset {column.name!r} holds {column.described()}; it must hold numbers"
            raise DataError(message)
        parts.append(column.values.astype(np.float64))
    return np.sum(parts, axis=0) if parts else None


def _request(
    formula: Formula,
    family: FamilyLike,
    frame: Frame,
    given: Mapping[str, Any],
    others: tuple[tuple[str, int, Formula], ...],
) -> Request:
    keys: dict[str, str | None] = {}
    for name, values in given.items():
        keys[name] = None if values is None else _key(name, values, frame)
    available: tuple[str, ...] = ()
    formulas = (formula, *(other for _, _, other in others))
    if any("." in f.fixed.split() for f in formulas):
        terms = [term for f in formulas for term in f.random]
        used = {name for term in terms for name in (*term.group, *term.weights)}
        used |= {key for key in keys.values() if key is not None}
        for expression in (
            *formula.response.expressions,
            *(o for f in formulas for o in f.offsets),
        ):
            used |= set(columns_of(expression))
        available = tuple(name for name in frame.names if name not in used)
    return Request(
        formula, family, keys["trials"], keys["freq"], keys["offset"], available,
        keys["precision"], others,
    )  # fmt: skip


def _with_extra(request: Request, extra: Mapping[str, Any], frame: Frame) -> Request:
    keys = tuple((name, _key(name, values, frame)) for name, values in extra.items())
    taken = {key for _, key in keys}
    available = tuple(name for name in request.available if name not in taken)
    return replace(request, extra=keys, available=available)


def _key(name: str, values: str | ArrayLike, frame: Frame) -> str:
    """The column named, or a key for the array given."""
    if not isinstance(values, str):
        return f"{name}="
    frame.check(values)
    return values


def _wanted(request: Request) -> list[str]:
    formula = request.formula
    wanted: dict[str, None] = {}
    for expression in formula.response.expressions:
        wanted.update(dict.fromkeys(columns_of(expression)))
    wanted.update(dict.fromkeys(part_columns(request)))
    for term in (term for _, formula in request.formulas for term in formula.random):
        wanted.update(dict.fromkeys((*term.group, *term.weights)))
    keys = [request.trials, request.freq, request.offset, request.precision]
    for key in (*keys, *(key for _, key in request.extra)):
        if key is not None and not key.endswith("="):
            wanted[key] = None
    return list(wanted)


def optional_names(request: Request) -> set[str]:
    """Return the columns in which a missing value is no group."""
    needed = {c for e in request.formula.response.expressions for c in columns_of(e)}
    needed |= set(part_columns(request)) | {key for _, key in request.extra}
    keys = (request.trials, request.freq, request.offset, request.precision)
    needed |= {key for key in keys if key is not None}
    return optional_columns([formula for _, formula in request.formulas], needed)


def _parts(request: Request) -> list[tuple[str, str]]:
    """Right-hand sides for formulaic, and the formulas they are of.

    For each formula its fixed effects, each term's columns, each offset.
    """
    parts = []
    for _, formula in request.formulas:
        offsets = [alone(offset) for offset in formula.offsets]
        sides = [formula.fixed, *(term.columns for term in formula.random), *offsets]
        parts += [(side, formula.text) for side in sides]
    return parts


def _check_covariates(request: Request, columns: Mapping[str, Column]) -> None:
    from . import matrices

    for part, text in _parts(request):
        need = matrices.needs(part, text, request.available)
        for name in need.bare | need.categories:
            _check_covariate(columns[name], name in need.categories)


def _check_covariate(column: Column, as_categories: bool) -> None:
    if column.levels is None:
        if as_categories and (column.values == column.values[0]).all():
            raise _one_level(column)
        return
    if len(column.levels) == 1:
        raise _one_level(column)
    many = len(column.levels) > _TEXT_LEVELS
    if column.kind == "text" and many and not as_categories and all(map(_is_number, column.levels)):
        first = listed([str(level) for level in column.levels], 3)
        message = (
            f"column {column.name!r} holds numbers stored as text ({first}); convert it to numbers,"
            f" or write C({column.name}) to take them as categories"
        )
        raise DataError(message, code="numbers_as_text")


def _one_level(column: Column) -> DataError:
    message = (
        f"column {column.name!r} has one level only ({column.level_at(0)!r}) in the rows used, so "
        "it has no effect to estimate; leave it out of the formula"
    )
    return DataError(message, code="one_level_factor")


def _is_number(level: object) -> bool:
    try:
        float(str(level))
    except ValueError:
        return False
    return True


def _owned(columns: Mapping[str, Column], request: Request, x: Matrix) -> dict[str, Column]:
    """Columns in memory of our own, as the user may change the frame; shared with x if there."""
    from . import matrices

    formula = request.formula
    bare = matrices.needs(formula.fixed, formula.text, request.available).bare
    owned = {}
    for name, column in columns.items():
        if column.kind == "number" and name in bare and name in x.names:
            values = x.values[:, x.names.index(name)]
        else:
            values = column.values if column.is_coded else _compact(column)
        owned[name] = replace(column, values=values)
    return owned


def _own(values: NDArray[np.float64], columns: Mapping[str, Column]) -> NDArray[np.float64]:
    """The values, copied where they may be a column's: the user may change the frame."""
    lent = any(np.may_share_memory(values, column.values) for column in columns.values())
    return np.array(values) if lent else values


def _compact(column: Column) -> NDArray[Any]:
    """A copy of the values; of whole numbers in half the memory where even their sums fit."""
    values = column.values
    if column.kind == "integer" and values.min() > -_HALF and values.max() < _HALF:
        return values.astype(np.int32)
    return np.array(values)


def _freeze(design: Design) -> None:
    arrays: list[NDArray[Any] | None] = [design.y, design.trials, design.freq, design.offset]
    arrays += [design.x, design.rows, design.precision]
    arrays += [array for part in design.parts for array in (part.x, part.offset)]
    for term in design.terms:
        arrays += [array for pair in term.memberships for array in pair]
    arrays += [column.values for column in design.used_columns.values()]
    for array in arrays:
        if array is not None:
            array.flags.writeable = False
