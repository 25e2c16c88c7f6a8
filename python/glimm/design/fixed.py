"""Which columns of the fixed effects belong to which term of the formula."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .build import part_columns
from .design import Design

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FixedTerm:
    """A term of the mean's fixed effects.

    Parameters
    ----------
    label : str
        As in the formula: ``"period"``, ``"a:b"``; ``"(Intercept)"``.
    factors : frozenset of str
        What it is a product of; empty for the intercept.
    columns : tuple of int
        Its columns of `Design.x`.
    """

    label: str
    factors: frozenset[str]
    columns: tuple[int, ...]


def fixed_terms(design: Design) -> tuple[FixedTerm, ...]:
    """Return the terms of the mean's fixed effects, in the order of their columns."""
    from . import matrices

    found, first = [], 0
    for label, factors, width in matrices.terms(design.learned):
        found.append(FixedTerm(label, frozenset(factors), tuple(range(first, first + width))))
        first += width
    return tuple(found)


def balanced(design: Design) -> tuple[Array, ...]:
    """Return the columns (n, k) of each term with categories coded to sum to zero."""
    from . import matrices

    columns = {name: design.used_columns[name] for name in part_columns(design.request)}
    made = matrices.sum_to_zero(design.learned, columns, design.n)
    if made is None:
        return tuple(design.x[:, list(term.columns)] for term in fixed_terms(design))
    return tuple(matrix.values for matrix in made)
