"""The left-hand side met data: the response as numbers, and the number of trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..data import Column, Level
from ..errors import DataError, FormulaError, listed, rows_text
from ..formula import Formula
from ..formula.expressions import single_column, uses
from .rows import Rows

Values = NDArray[np.float64]
_MOST_CLASSES = 100
Evaluate = Callable[[str], Values]


class FamilyLike(Protocol):
    """What a design needs to know of a family."""

    @property
    def name(self) -> str:
        """Its name, for messages."""

    @property
    def trials(self) -> bool:
        """Whether the response counts successes among trials."""

    @property
    def ordered(self) -> bool:
        """Whether the response is one of several ordered classes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The response: y (n,), trials (n,) or None, and (failure, success) or all ordered classes."""

    y: Values
    trials: Values | None
    levels: tuple[Level, ...] | None


def read_response(
    formula: Formula,
    family: FamilyLike,
    columns: Mapping[str, Column],
    trials: str | None,
    rows: Rows,
) -> Answer:
    """Return the response as numbers.

    Parameters
    ----------
    formula : Formula
    family : FamilyLike
    columns : mapping of str to Column
        Columns at the rows kept.
    trials : str, optional
        Key of the column given as ``trials=``.
    rows : ndarray of int, (n,)
        Positions of the rows kept in the user's frame, for messages.

    Raises
    ------
    FormulaError, DataError
        When the response does not suit the family, or its values cannot be used.
    """
    _check_family(formula, family, trials)
    response = formula.response
    evaluate = _evaluator(columns, rows)
    if response.kind == "plain":
        column = columns.get(single_column(response.expressions[0]) or "")
        if family.ordered:
            return _classes(column, evaluate, response.expressions[0])
        if column is not None and column.levels is not None:
            return _two_levels(column, family, trials)
        y = evaluate(response.expressions[0])
        levels = (False, True) if column is not None and column.kind == "boolean" else None
        size = None if trials is None else _trials_column(columns[trials], rows)
        return Answer(y, size, levels)
    first, second = map(evaluate, response.expressions)
    if response.kind == "ratio":
        return Answer(first, _trials(second, response.expressions[1], rows), None)
    for expression, values in zip(response.expressions, (first, second), strict=True):
        wrong = (values < 0) | (values != np.floor(values))
        _refuse(wrong, expression, values, rows, "cbind() counts successes and failures: 0, 1, ...")
    return Answer(first, _trials(first + second, response.text, rows), None)


def trials_of(
    formula: Formula, columns: Mapping[str, Column], trials: str | None, rows: Rows
) -> Values | None:
    """Return the number of trials in new data, (n,), or None when their columns are not there."""
    response = formula.response
    evaluate = _evaluator(columns, rows)
    if trials is not None:
        column = columns.get(trials)
        return None if column is None else _trials_column(column, rows)
    if response.kind == "plain":
        return None
    try:
        parts = [evaluate(e) for e in response.expressions[response.kind == "ratio" :]]
    except KeyError:
        return None
    return _trials(np.sum(parts, axis=0), response.text, rows)


def columns_of(expression: str) -> tuple[str, ...]:
    """Return the columns that an expression uses."""
    name = single_column(expression)
    return uses(expression).columns if name is None else (name,)


def alone(expression: str) -> str:
    """Return the right-hand side, for formulaic, that has one expression as its only column."""
    return f"0 + `{name}`" if (name := single_column(expression)) else f"0 + {{{expression}}}"


def _evaluator(columns: Mapping[str, Column], rows: Rows) -> Evaluate:
    def evaluate(expression: str) -> Values:
        name = single_column(expression)
        if name is not None:
            return _numbers(columns[name])
        from . import matrices

        needed = {name: columns[name] for name in columns_of(expression)}
        (matrix,), _ = matrices.learn([alone(expression)], needed, len(rows))
        if matrix.values.shape[1] != 1:
            message = f"{expression!r} makes {matrix.values.shape[1]} columns; it must make one"
            raise DataError(message, code="formula_response")
        values = matrix.values[:, 0]
        _refuse(~np.isfinite(values), expression, values, rows, "it must be finite",
                code="infinite_values")  # fmt: skip
        return values

    return evaluate


def _numbers(column: Column) -> Values:
    if column.is_coded:
        message = f"column {column.name!r} holds {column.described()}; it must hold numbers here"
        raise DataError(message)
    return column.values.astype(np.float64, copy=False)


def _check_family(formula: Formula, family: FamilyLike, trials: str | None) -> None:
    response = formula.response
    if family.trials:
        if trials is not None and response.kind != "plain":
            message = f"trials= is given, and {response.text!r} says the number of trials too"
            raise DataError(f"{message}; use one of them", code="formula_response")
        return
    if response.kind != "plain":
        start = formula.text.find(response.text)
        ratio = f"I({response.text}) for a plain ratio, or " if response.kind == "ratio" else ""
        raise FormulaError(
            f"{response.text!r} means successes among trials, which family {family.name!r} has not",
            formula.text,
            start,
            start + len(response.text),
            f"{ratio}a family that counts successes, such as binomial",
            code="formula_response",
        )
    if trials is not None:
        message = f"trials= is given but family {family.name!r} has no trials; leave it out"
        raise DataError(message, code="formula_response")


def _classes(column: Column | None, evaluate: Evaluate, expression: str) -> Answer:
    """Ordered classes as 1, 2, ...: categories in their order, or the distinct numbers."""
    if column is None or column.levels is None:
        values = evaluate(expression) if column is None else column.values.astype(np.float64)
        found, codes = np.unique(values, return_inverse=True)
        of = bool if column is not None and column.kind == "boolean" else _whole
        levels: tuple[Level, ...] = tuple(of(value) for value in found.tolist())
    else:
        levels, codes = column.levels, column.values
        if column.kind == "text" and len(levels) > 2:
            names = listed([str(level) for level in levels], 6)
            message = (
                f"the response {column.name!r} holds text ({names}), which has no order; convert "
                "it to a category with its levels in order"
            )
            raise DataError(message, code="outside_domain")
        empty = np.flatnonzero(np.bincount(codes, minlength=len(levels)) == 0)
        if empty.size:
            message = (
                f"class {levels[empty[0]]!r} of the response {column.name!r} has no row, so its "
                "threshold cannot be estimated; remove the category, or merge it with another"
            )
            raise DataError(message, code="outside_domain")
    if len(levels) > _MOST_CLASSES:
        message = (
            f"the response {expression!r} has {len(levels)} distinct values; an ordinal response "
            f"has at most {_MOST_CLASSES} classes. For numbers use another family"
        )
        raise DataError(message, code="outside_domain")
    return Answer(np.asarray(codes + 1, dtype=np.float64), None, levels)


def _whole(value: float) -> Level:
    return int(value) if value == int(value) else value


def _two_levels(column: Column, family: FamilyLike, trials: str | None) -> Answer:
    assert column.levels is not None
    if not family.trials or trials is not None:
        needs = f"family {family.name!r} needs numbers"
        if family.trials:
            needs = "with trials= it must hold the number of successes"
        message = f"the response {column.name!r} holds {column.described()}; {needs}"
        raise DataError(message, code="outside_domain")
    used = column if len(column.levels) == 2 else column.without_unused_levels()
    assert used.levels is not None
    if len(used.levels) != 2:
        found = listed([str(level) for level in used.levels], 6)
        count = len(used.levels)
        word = "level" if count == 1 else "levels"
        message = f"the response {column.name!r} has {count} {word} ({found}); it must have two"
        raise DataError(message, code="outside_domain")
    return Answer(used.values.astype(np.float64), None, (used.levels[0], used.levels[1]))


def _trials_column(column: Column, rows: Rows) -> Values:
    return _trials(_numbers(column), column.name, rows)


def _trials(values: Values, name: str, rows: Rows) -> Values:
    wrong = (values < 1) | (values != np.floor(values))
    _refuse(wrong, name, values, rows, "the number of trials must be a whole number, 1 or more")
    return np.array(values)


def _refuse(
    wrong: NDArray[np.bool_],
    name: str,
    values: Values,
    rows: Rows,
    allowed: str,
    code: str = "outside_domain",
) -> None:
    if wrong.any():
        at = np.flatnonzero(wrong)
        where = rows_text(rows[at].tolist())
        message = f"{name!r} is {values[at[0]]:g} in {where}; {allowed}"
        raise DataError(message, code=code)
