"""Rows at which effects are read: combinations of covariates, or the data with some of them set."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, listed, nearest_first
from ..fit import one_of

if TYPE_CHECKING:
    from ..data import Column
    from ..fit import Fit

Array = NDArray[np.float64]
Names: TypeAlias = str | Sequence[str] | None
At: TypeAlias = Mapping[str, Any] | None
Settings: TypeAlias = dict[str, Any]

GRIDS = ("balanced", "data", "typical")
_DISTINCT = 6
"""Numeric covariates with more values than this are read at their quartiles."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Rows of covariates before any of them is set.

    Parameters
    ----------
    kind : str
        ``"balanced"``, ``"data"`` or ``"typical"``.
    columns : mapping of str to ndarray, (m,)
        As the user would write them; groups at any level that is known.
    weights : ndarray, (m,)
        With a sum of one.
    offset : ndarray, (m,), or None
        Replaces what was given as ``offset=``.
    free : tuple of str
        Factors whose combinations the rows are.
    held : tuple of (str, object)
        Covariates that are the same in all rows, and their values.
    """

    kind: str
    columns: Mapping[str, NDArray[Any]]
    weights: Array
    offset: Array | None
    free: tuple[str, ...]
    held: tuple[tuple[str, Any], ...]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.weights.size

    def where(self, chosen: NDArray[np.bool_]) -> Grid:
        """Return some of the rows, their weights scaled to a sum of one."""
        weights = self.weights[chosen]
        return Grid(
            self.kind,
            {name: values[chosen] for name, values in self.columns.items()},
            weights / weights.sum(),
            None if self.offset is None else self.offset[chosen],
            self.free,
            self.held,
        )


def names_of(given: Names) -> tuple[str, ...]:
    """Return one name or several as a tuple."""
    if given is None:
        return ()
    return (given,) if isinstance(given, str) else tuple(given)


def covariates(fit: Fit) -> dict[str, Column]:
    """Return the covariates of all formulas of a fit, by name."""
    from ..design.build import part_columns

    design = fit.design
    return {name: design.used_columns[name] for name in part_columns(design.request)}


def check_covariate(fit: Fit, names: Sequence[str], what: str) -> None:
    """Raise a DataError unless all names are covariates of the fit."""
    known = covariates(fit)
    for name in names:
        if name not in known:
            near = listed(nearest_first(name, known)) if known else "none"
            message = f"{what}: {name!r} is not a covariate of the fit; it has {near}"
            raise DataError(message, code="unknown_column")


def is_factor(fit: Fit, name: str) -> bool:
    """Whether the formula takes a covariate as categories."""
    column = covariates(fit)[name]
    categories = name in fit.design.learned.categories
    return column.is_coded or column.kind == "boolean" or categories


def levels(fit: Fit, name: str) -> list[Any]:
    """Return the values of a factor in their order."""
    column = covariates(fit)[name]
    if column.levels is not None:
        return list(column.levels)
    return [value.item() for value in np.unique(column.values)]


def values_at(fit: Fit, name: str, at: Mapping[str, Any]) -> list[Any]:
    """Return the values at which a covariate is read: those asked for, levels, or quartiles."""
    if name in at:
        return at_values(at[name])
    if is_factor(fit, name):
        return levels(fit, name)
    values = covariates(fit)[name].values.astype(np.float64)
    distinct = np.unique(values)
    if distinct.size > _DISTINCT:
        distinct = np.unique(np.quantile(values, [0, 0.25, 0.5, 0.75, 1]))
    return [value.item() for value in distinct]


def at_values(given: Any) -> list[Any]:
    """Return one value or several as a list of plain values."""
    if isinstance(given, str) or np.ndim(given) == 0:
        given = [given]
    return [value.item() if isinstance(value, np.generic) else value for value in given]


def base_grid(fit: Fit, kind: str, apart: Sequence[str], offset: float | None) -> Grid:
    """Return the rows of a grid.

    Parameters
    ----------
    fit : Fit
    kind : str
        ``"balanced"``: all combinations of the factors that are not set `apart`, numeric
        covariates at their means. ``"typical"``: one row, factors at their most frequent level.
        ``"data"``: the rows of the fit.
    apart : sequence of str
        Covariates that will be set to several values.
    offset : float, optional
        Replaces offsets; by default the mean of them, or each row's own with ``"data"``.
    """
    one_of("grid", kind, GRIDS)
    if kind == "data":
        return _data(fit, offset)
    known = covariates(fit)
    free = tuple(n for n in known if n not in apart and kind == "balanced" and is_factor(fit, n))
    held = {n: _typical(fit, n) for n in known if n not in free}
    combinations = list(itertools.product(*(levels(fit, n) for n in free)))
    m = len(combinations)
    columns = {n: _array([row[i] for row in combinations]) for i, n in enumerate(free)}
    columns |= {n: _array([value] * m) for n, value in held.items()}
    columns = _with_groups(fit, columns, m)
    fixed = tuple((n, value) for n, value in held.items() if n not in apart)
    weights = np.full(m, 1 / m)
    return Grid(kind, columns, weights, _offset(fit, np.zeros(m), offset), free, fixed)


def _typical(fit: Fit, name: str) -> Any:
    """The mean of a number, the most frequent level of a factor."""
    column, freq = covariates(fit)[name], fit.design.freq
    if is_factor(fit, name):
        found, codes = np.unique(column.values, return_inverse=True)
        value = found[np.argmax(np.bincount(codes, weights=freq))]
        return value.item() if column.levels is None else column.levels[int(value)]
    return float(np.average(column.values.astype(np.float64), weights=freq))


def _data(fit: Fit, offset: float | None) -> Grid:
    from ..data import values_of

    n, freq = fit.design.n, fit.design.freq
    columns = {name: values_of(column) for name, column in covariates(fit).items()}
    weights = np.full(n, 1 / n) if freq is None else freq / freq.sum()
    return Grid("data", _with_groups(fit, columns, n), weights, _offset(fit, None, offset), (), ())


def _with_groups(fit: Fit, columns: Mapping[str, NDArray[Any]], m: int) -> dict[str, NDArray[Any]]:
    """Columns with the grouping columns, at a level that is known: their effects are not used."""
    found = dict(columns)
    for source in fit.design.sources:
        for name in (*source.columns, *getattr(source, "weights", ())):
            if name not in found:
                column = fit.design.used_columns[name]
                found[name] = _array([column.level_at(0)] * m)
    return found


def _offset(fit: Fit, zeros: Array | None, given: float | None) -> Array | None:
    """What stands for the offset given as ``offset=`` to the fit."""
    key = fit.design.request.offset
    if key is None:
        return None
    own = fit.design.used_columns[key].values.astype(np.float64)
    if zeros is None and given is None:
        return own
    value = float(np.average(own, weights=fit.design.freq)) if given is None else given
    return np.full(own.size if zeros is None else zeros.size, value)


def _array(values: list[Any]) -> NDArray[Any]:
    """Values as an array; text stays objects."""
    if any(isinstance(value, str) for value in values):
        return np.array(values, dtype=object)
    return np.array(values)


def combinations(fit: Fit, names: Sequence[str], at: Mapping[str, Any]) -> list[Settings]:
    """Return all combinations of the values of some covariates, the last running fastest."""
    choices = [values_at(fit, name, at) for name in names]
    return [dict(zip(names, row, strict=True)) for row in itertools.product(*choices)]


def set_columns(grid: Grid, settings: Settings) -> dict[str, NDArray[Any]]:
    """Return the columns of a grid with some covariates set to one value, or shifted values."""
    columns = dict(grid.columns)
    for name, value in settings.items():
        columns[name] = value if isinstance(value, np.ndarray) else _array([value] * grid.rows)
    return columns
