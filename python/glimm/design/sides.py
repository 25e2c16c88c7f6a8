"""The matrices of each formula of a model, and the random-effect terms they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..data import Column, all_finite
from ..errors import DataError, FormulaError, rows_text
from ..formula import Formula, RandomTerm
from ..relations import Relation, chosen
from .design import DesignTerm, Part, Request
from .members import Shares, Source, apply_source, learn_source
from .places import at_places, is_placed, with_places
from .rows import Rows
from .times import with_times
from .traits import by_row

if TYPE_CHECKING:
    from .matrices import Matrix


@dataclass(frozen=True, slots=True)
class Side:
    """The matrices of one formula, and the number of its predictor."""

    predictor: int
    formula: Formula
    x: Matrix
    z: list[Matrix]
    offsets: list[Matrix]


Met = tuple[DesignTerm, RandomTerm]


def terms_of(
    side: Side, columns: Mapping[str, Column], rows: Rows, relations: Mapping[str, Relation]
) -> list[tuple[Met, Source]]:
    """The terms of one formula, and what was learned of their groups."""
    _check_columns(side.formula, side.z)
    found = []
    for term, matrix in zip(side.formula.random, side.z, strict=True):
        relation = None if term.relation is None else chosen(*term.relation, relations)
        source, shares = learn_source(term, relation, columns, rows)
        if is_placed(term.structure):
            structure, matrix = with_places(term, matrix)
        else:
            structure = with_times(term, side.formula, columns, rows)
        met = _met(side, matrix, source, shares, term)
        met = replace(met, structure=structure, relation=relation)
        found.append(((met, term), source))
    return found


def applied_terms(
    side: Side,
    sources: Sequence[Source],
    columns: Mapping[str, Column],
    policy: str,
    learned: Sequence[DesignTerm],
) -> list[Met]:
    """The terms of one formula for new data, with the groups and places learned."""
    found = []
    for term, matrix, source in zip(side.formula.random, side.z, sources, strict=True):
        own = "none" if term.residual else policy
        shares, beyond = apply_source(source, columns, own, len(side.x.values)), None
        if is_placed(term.structure):
            same = (t for t in learned if t.text == term.text and side.predictor in t.predictors)
            matrix, beyond = at_places(next(same), matrix)
        met = _met(side, matrix, source, shares, term)
        found.append((replace(met, beyond=beyond), term))
    return found


def _met(
    side: Side, matrix: Matrix, source: Source, shares: Shares, term: RandomTerm
) -> DesignTerm:
    z = matrix.values
    pairs = [
        (codes, z if share is None else np.asfortranarray(z * share[:, None]))
        for codes, share in shares
    ]
    return DesignTerm(
        label=source.label,
        columns=matrix.names,
        predictors=(side.predictor,) * len(matrix.names),
        structure=term.structure,
        levels=source.levels,
        codes=pairs[0][0],
        z=pairs[0][1],
        text=term.text,
        named="" if term.relation is None else term.relation[1],
        also=tuple(pairs[1:]),
        residual=term.residual,
    )


def joined(found: Sequence[Met]) -> list[DesignTerm]:
    """Terms of one label are one, with a covariance between all their columns.

    They share their group, or a known relation: then each group of a row is a membership.
    """
    sets: dict[object, list[Met]] = {}
    for at, (term, written) in enumerate(found):
        group = term.named or frozenset(written.group)
        key = at if written.label is None or written.several else (written.label, group)
        sets.setdefault(key, []).append((term, written))
    return _told_apart([_join(same) for same in sets.values()])


def _join(same: Sequence[Met]) -> DesignTerm:
    first = same[0][0]
    if len(same) == 1:
        return first
    labels = list(dict.fromkeys(term.label for term, _ in same))
    names = [
        [_own_name(name, term.label) if len(labels) > 1 else name for name in term.columns]
        for term, _ in same
    ]
    pairs = []
    for label in labels:
        z = [term.z if term.label == label else np.zeros_like(term.z) for term, _ in same]
        codes = next(term.codes for term, _ in same if term.label == label)
        pairs.append((codes, np.asfortranarray(np.hstack(z))))
    return replace(
        first,
        label="+".join(labels),
        columns=tuple(name for own in names for name in own),
        predictors=tuple(k for term, _ in same for k in term.predictors),
        codes=pairs[0][0],
        z=pairs[0][1],
        also=tuple(pairs[1:]),
        text=" and ".join(term.text for term, _ in same),
    )


def _told_apart(terms: list[DesignTerm]) -> list[DesignTerm]:
    """Terms of one group, with and without a relation, by different labels."""
    kinds: dict[str, set[str]] = {}
    for term in terms:
        kinds.setdefault(term.label, set()).add(term.named)
    return [
        replace(term, label=f"{term.label} ({term.relation.word} {term.named})")
        if term.relation is not None and len(kinds[term.label]) > 1
        else term
        for term in terms
    ]


def _own_name(column: str, label: str) -> str:
    """A column of a term whose rows have several groups: ``animal``, ``x:animal``."""
    return label if column == "(Intercept)" else f"{column}:{label}"


def other_parts(request: Request, sides: Sequence[Side]) -> tuple[Part, ...]:
    """Return the predictors besides that of the mean that have a formula."""
    parts = []
    for (name, predictor, formula), side in zip(request.others, sides, strict=True):
        offset = sum_of(side.offsets)
        parts.append(Part(name, predictor, formula, side.x.values, side.x.names, offset))
    return tuple(parts)


def split_parts(request: Request, made: Sequence[Matrix], rows: Rows) -> list[Side]:
    """Return the matrices by formula, all finite.

    Raises
    ------
    DataError
        When an expression gave NaN or infinity, with the rows concerned.
    """
    rest, sides = list(made), []
    for predictor, formula in request.formulas:
        x, rest = rest[0], rest[1:]
        if request.family.ordered:
            x = _without_intercept(x)
        z, rest = rest[: len(formula.random)], rest[len(formula.random) :]
        offsets, rest = rest[: len(formula.offsets)], rest[len(formula.offsets) :]
        for matrix in (x, *(m for m in z if not _begins(x, m))):
            _check_finite(matrix, rows)
        for text, matrix in zip(formula.offsets, offsets, strict=True):
            _check_finite(matrix, rows, f"offset({text})")
            if matrix.values.shape[1] != 1:
                found = f"{matrix.values.shape[1]} columns"
                raise DataError(f"offset({text}) makes {found}; it must be one column of numbers")
        sides.append(Side(predictor, formula, x, z, offsets))
    return by_row(request, sides, rows)


def _begins(x: Matrix, z: Matrix) -> bool:
    """Whether one matrix is a view of the first columns of another."""
    there = x.values.base is not None and z.values.base is x.values.base
    return there and z.names == x.names[: len(z.names)]


def _without_intercept(x: Matrix) -> Matrix:
    """The thresholds of ordered classes are the intercepts."""
    keep = [j for j, name in enumerate(x.names) if name != "(Intercept)"]
    return replace(x, values=x.values[:, keep], names=tuple(x.names[j] for j in keep))


def sum_of(made: Sequence[Matrix]) -> NDArray[np.float64] | None:
    """Return the sum of the offsets of a formula, (n,), or None when there is none."""
    return np.sum([matrix.values[:, 0] for matrix in made], axis=0) if made else None


def _check_finite(matrix: Matrix, rows: Rows, text: str | None = None) -> None:
    if all_finite(matrix.values):
        return
    finite = np.isfinite(matrix.values)
    column = int(np.flatnonzero(~finite.all(axis=0))[0])
    at = np.flatnonzero(~finite[:, column])
    name, value = text or matrix.names[column], matrix.values[at[0], column]
    message = (
        f"{name!r} is {value:g} in {rows_text(rows[at].tolist())}; it must be finite. Look at the "
        "values there: a logarithm needs positive numbers"
    )
    raise DataError(message, code="infinite_values")


def _check_columns(formula: Formula, z: Sequence[Matrix]) -> None:
    """A term needs columns, and two terms of a group must not share one."""
    for term, matrix in zip(formula.random, z, strict=True):
        if not matrix.names:
            raise _term_error(formula, term.text, "the term has no columns", "1, or columns")
    for (a, za), (b, zb) in combinations(zip(formula.random, z, strict=True), 2):
        if is_placed(a.structure) or is_placed(b.structure):
            continue
        shared = [name for name in za.names if name in zb.names]
        if shared and set(a.group) == set(b.group) and a.relation == b.relation:
            label = ":".join(b.group)
            message = f"group {label!r} gets the column {shared[0]!r} twice, here and in {a.text}"
            allowed = "each column once for a group: 0 + leaves the intercept out of a term"
            raise _term_error(formula, b.text, message, allowed, "formula_duplicate_term")


def _term_error(
    formula: Formula, term: str, message: str, allowed: str, code: str = "formula_random_term"
) -> FormulaError:
    start = formula.text.rfind(term)
    return FormulaError(message, formula.text, start, start + len(term), allowed, code=code)
