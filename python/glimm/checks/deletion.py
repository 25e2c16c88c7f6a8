"""A fit without some of its rows: which rows, their design, and derivatives of what is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from ..data import values_of
from ..errors import DataError, FitError, listed, nearest_first
from ..inference.robust import unit_scores
from ..problem import explain, make_problem

if TYPE_CHECKING:
    from ..design import Design, DesignTerm
    from ..fit import Fit
    from ..model import Model

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
Rest = Callable[[Array], tuple[Array, Array]]
"""From parameters to gradients (m, P) and informations (m, P, P) of the rows left, per deletion."""

ROWS = "rows"
_TOGETHER = 1_000_000
"""Rows of copies of units that are handed to the core at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Deletions:
    """What is left out, one group of rows at a time.

    Parameters
    ----------
    by : str
        A name for the groups.
    labels : tuple
        Of the groups, (m,).
    codes : ndarray of int, (n,)
        The group of each row.
    """

    by: str
    labels: tuple[Any, ...]
    codes: Codes

    @property
    def sizes(self) -> Codes:
        """Rows of each group, (m,)."""
        return np.bincount(self.codes, minlength=len(self.labels)).astype(np.int64)


def deletions(fit: Fit, groups: str | ArrayLike | None) -> Deletions:
    """Return the groups of rows to leave out in turn; see `glimm.influence`.

    Raises
    ------
    DataError
        For a column that the fit did not use, or an array of another length.
    """
    design = fit.design
    if groups is None and design.terms:
        groups = min(design.terms, key=lambda term: len(term.levels)).label
    if groups is None or (isinstance(groups, str) and groups == ROWS):
        return Deletions(ROWS, tuple(design.rows.tolist()), np.arange(design.n))
    name = groups if isinstance(groups, str) else "groups="
    labels, codes = np.unique(_values(fit, groups), return_inverse=True)
    if labels.size < 2:
        message = f"{name} has one group; leaving it out leaves no rows"
        raise DataError(message, code="unknown_option")
    return Deletions(name, tuple(labels.tolist()), codes.ravel().astype(np.int64))


def _values(fit: Fit, groups: str | ArrayLike) -> NDArray[Any]:
    design = fit.design
    if isinstance(groups, str):
        known = {term.label: term for term in design.terms}
        if groups in known:
            levels = np.array(known[groups].levels)
            found: NDArray[Any] = levels[known[groups].codes]
            return found
        if groups in design.used_columns:
            values = values_of(design.used_columns[groups])
            return values.astype(str) if values.dtype == object else values
        names = listed(nearest_first(groups, [ROWS, *known, *design.used_columns]))
        message = f"groups={groups!r} is no column that the fit used; use {names}, or an array"
        raise DataError(message, code="unknown_column")
    labels = np.asarray(groups)
    if labels.shape == (design.n_input,):
        labels = labels[design.rows]
    if labels.shape != (design.n,):
        message = (
            f"groups= has shape {labels.shape}; it needs one value for each of "
            f"{design.n_input:,} rows"
        )
        raise DataError(message, code="array_shape")
    return labels.astype(str) if labels.dtype == object else labels


def part_of(fit: Fit, rows: Codes, copy: Codes | None = None) -> Design:
    """Return the design of some rows, with the columns that are estimated.

    Parameters
    ----------
    rows : ndarray of int, (k,)
        May repeat.
    copy : ndarray of int, (k,), optional
        Rows with different numbers share no random effect.
    """
    design, kept = fit.design, fit.estimates.kept

    def at(values: Array | None) -> Array | None:
        return None if values is None else values[rows]

    parts = tuple(
        replace(part, x=_columns(part.x, rows, kept[part.predictor]), offset=at(part.offset),
                x_names=tuple(part.x_names[j] for j in kept[part.predictor]))
        for part in design.parts
    )  # fmt: skip
    return replace(
        design, y=design.y[rows], trials=at(design.trials), freq=at(design.freq),
        offset=at(design.offset), precision=at(design.precision),
        x=_columns(design.x, rows, kept[0]), x_names=fit.names, parts=parts,
        terms=tuple(_term(term, rows, copy) for term in design.terms), rows=design.rows[rows],
    )  # fmt: skip


def _columns(x: Array, rows: Codes, kept: tuple[int, ...]) -> Array:
    columns = np.array(kept, dtype=np.int64)
    return np.asfortranarray(x[rows[:, None], columns])


def _term(term: DesignTerm, rows: Codes, copy: Codes | None) -> DesignTerm:
    codes, levels = term.codes[rows], term.levels
    if copy is not None:
        joined = copy * len(levels) + codes
        found, codes = np.unique(joined, return_inverse=True)
        levels = tuple(range(found.size))
    return replace(term, codes=codes.ravel(), z=np.asfortranarray(term.z[rows]), levels=levels)


def plain_model(fit: Fit, **changes: Any) -> Model:
    """Return the model of a fit for work on its parts: by likelihood, rows as they are."""
    return replace(fit.model, **({"reml": False, "compress": False} | changes))


def rest_of(fit: Fit, what: Deletions) -> Rest:
    """Return derivatives of the log-likelihood of the rows left, for each deletion.

    From the exact scores and informations of independent units, where the fit has such; a unit of
    which some rows are left out is a unit of its own. Else (crossed factors that connect all rows)
    the likelihood of the rows left is taken anew for each deletion. Always that of maximum
    likelihood, after REML too.
    """
    if fit.estimates.path == "iterative":
        message = "influence needs exact derivatives; fit with engine='sparse' or 'dense'"
        raise FitError(message, code="no_scores")
    try:
        *_, unit = unit_scores(fit)
    except FitError:
        return _anew(fit, what)
    problem = make_problem(plain_model(fit), fit.design)

    def rest(psi: Array) -> tuple[Array, Array]:
        scores, information, _ = _scores(problem, psi)
        total = scores.sum(axis=0), information.sum(axis=0)
        lost, less = _lost(fit, psi, what, unit, scores, information)
        return total[0] - lost, total[1] - less

    return rest


def _scores(problem: _core.Problem, psi: Array) -> tuple[Array, Array, Codes]:
    gradients, hessians, unit = problem.scores(psi, True)
    assert hessians is not None
    square = (-1, psi.size, psi.size)
    return gradients.reshape(-1, psi.size), -hessians.reshape(square), unit.astype(np.int64)


def _lost(
    fit: Fit, psi: Array, what: Deletions, unit: Codes, scores: Array, information: Array
) -> tuple[Array, Array]:
    """What each deletion takes away: whole units, and of others the difference to what is left."""
    m, p = len(what.labels), psi.size
    pairs = np.unique(np.column_stack([unit, what.codes]), axis=0)
    lost, less = np.zeros((m, p)), np.zeros((m, p, p))
    np.add.at(lost, pairs[:, 1], scores[pairs[:, 0]])
    np.add.at(less, pairs[:, 1], information[pairs[:, 0]])
    split = np.bincount(pairs[:, 0]) > 1
    for these, rows, copy in _copies(unit, what.codes, pairs[split[pairs[:, 0]]]):
        problem = make_problem(plain_model(fit, compress=False), part_of(fit, rows, copy))
        left, still, parts = _scores(problem, psi)
        # A unit may fall apart when rows are left out.
        first = np.unique(parts, return_index=True)[1]
        group = these[copy[first], 1]
        np.add.at(lost, group, -left)
        np.add.at(less, group, -still)
    return lost, less


def _copies(unit: Codes, codes: Codes, pairs: Codes) -> Iterator[tuple[Codes, Codes, Codes]]:
    """Units without one of their groups: pairs (unit, group), rows, and the copy of each row."""
    order = np.argsort(unit, kind="stable")
    bounds = np.searchsorted(unit[order], np.arange(unit.max() + 2))
    start = 0
    while start < len(pairs):
        rows, copy, taken, k = [], [], 0, start
        # One copy alone is no set of units.
        while k < len(pairs) and (taken < _TOGETHER or k < start + 2 or k == len(pairs) - 1):
            u, g = pairs[k]
            whole = order[bounds[u] : bounds[u + 1]]
            left = whole[codes[whole] != g]
            rows.append(left)
            copy.append(np.full(left.size, k - start))
            taken += left.size
            k += 1
        yield pairs[start:k], np.concatenate(rows), np.concatenate(copy)
        start = k


def _anew(fit: Fit, what: Deletions) -> Rest:
    model = plain_model(fit)
    problems = [
        make_problem(model, part_of(fit, np.flatnonzero(what.codes != g)))
        for g in range(len(what.labels))
    ]

    def rest(psi: Array) -> tuple[Array, Array]:
        gradient = np.full((len(problems), psi.size), np.nan)
        information = np.full((len(problems), psi.size, psi.size), np.nan)
        for g, problem in enumerate(problems):
            if sum(map(len, problem.kept)) != sum(b - a for a, b in fit.estimates.fixed):
                continue
            try:
                found = problem.evaluate_twice(psi)
            except _core.CoreError as error:
                raise explain(error, fit.model, fit.design) from None
            if found is not None:
                gradient[g] = found[1]
                information[g] = -found[2].reshape(psi.size, psi.size)
        return gradient, information

    return rest
