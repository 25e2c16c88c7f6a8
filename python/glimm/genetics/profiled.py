"""Profile intervals of shares of the latent variance.

A share is profiled by its signed root |r| / sqrt(Q), r the row of the factor whose squared length
is the component, and Q the phenotypic variance as a function of all parameters: linear in their
products where rows have the same z, and in exp(2 log sigma).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..inference.goals import Goal, row_of
from ..inference.ml import by_likelihood
from ..inference.profile import likelihood_of, solve_intervals
from ..problem import order
from ..structures import bare

if TYPE_CHECKING:
    from .analysis import Analysis
    from .heritability import Line
    from .parts import Piece, Trait

Array = NDArray[np.float64]
Entries = dict[tuple[int, int], float]


@dataclass(frozen=True, slots=True, eq=False)
class Share(Goal):
    """A share of the phenotypic variance as something to profile.

    Parameters
    ----------
    products : dict of (int, int) to float
        Q's products of two parameters.
    logs : dict of int to float
        Q's terms w exp(2 psi_j).
    constant : float
    """

    products: tuple[tuple[int, int, float], ...] = ()
    logs: tuple[tuple[int, float], ...] = ()
    constant: float = 0.0

    @property
    def core(self) -> tuple[str, list[float], list[int], list[int]]:
        """The goal as the core knows it."""
        weights = [self.constant, *(w for *_, w in self.products), *(w for _, w in self.logs)]
        places = [j for a, b, _ in self.products for j in (a, b)] + [j for j, _ in self.logs]
        return "share", weights, list(self.first), [len(self.products), *places]

    def value(self, parameters: Array) -> float:
        """The share at the parameters, (P,)."""
        row = parameters[list(self.first)]
        total = self.constant + sum(w * parameters[a] * parameters[b] for a, b, w in self.products)
        total += sum(w * np.exp(2 * parameters[j]) for j, w in self.logs)
        return float(row @ row / total)


def with_profiles(
    at: Analysis, lines: tuple[Line, ...], level: float
) -> tuple[tuple[Line, ...], tuple[str, ...]]:
    """Put profile intervals in the place of those that can be had; say what was done."""
    goals: dict[tuple[str, str, str], Share] = {}
    for trait in at.latent.traits:
        if (total := _total(at, trait)) is None:
            continue
        products, logs, fixed = total
        kind = at.kinds[trait.name]
        scales = [("observed" if kind.plain else "latent", 0.0)]
        scales += [] if kind.liability is None else [("liability", kind.liability)]
        for piece in at._pieces():
            row = _row(at, piece, trait)
            for scale, constant in scales if row else ():
                if not constant and not logs and set(products) == {(j, j) for j in row}:
                    continue  # All of the variance, whatever it is.
                name = (trait.name, scale, at.share(piece))
                goals[name] = Share(
                    " ".join(filter(None, name)), "root", row, (), at.fit.df_model, 1.0,
                    tuple((a, b, w) for (a, b), w in products.items()), tuple(logs.items()),
                    constant + fixed,
                )  # fmt: skip
    if not goals:
        return lines, ("No profile intervals: rows differ in the sizes of their random effects.",)
    about = by_likelihood(at.fit)
    found, points = solve_intervals(about, list(goals.values()), level)
    ends = dict(
        zip(goals, zip(found["lower"], found["upper"], found["note"], strict=True), strict=True)
    )
    changed = []
    for line in lines:
        key = (line.trait, line.scale, line.name)
        if line.kind == "share" and key in ends:
            lower, upper, note = ends[key]
            line = replace(line, lower=lower, upper=upper, note=note)
        changed.append(line)
    note = (
        f"Intervals of {len(goals)} shares ({', '.join(dict.fromkeys(s for _, s, _ in goals))} "
        f"scale): profile {likelihood_of(at.fit, points)}; all others by the delta method."
    )
    return tuple(changed), (note,)


def _row(at: Analysis, piece: Piece, trait: Trait) -> tuple[int, ...]:
    """Parameters whose squares sum to a component's variance; none where it is not so."""
    term = at.fit.design.terms[piece.term]
    column = _column(piece, trait)
    if bare(term.structure) not in ("us", "diag") or column is None:
        return ()
    start = at.fit.estimates.thetas[piece.term][0]
    return row_of(bare(term.structure), order(term).index(column), start)


def _column(piece: Piece, trait: Trait) -> int | None:
    """The column that alone is 1 in all rows of a trait."""
    if len(piece.z) != 1:
        return None
    z = piece.z[0][trait.rows]
    columns = np.flatnonzero((z != 0).any(axis=0))
    return int(columns[0]) if columns.size == 1 and (z[:, columns[0]] == 1).all() else None


def _total(at: Analysis, trait: Trait) -> tuple[Entries, dict[int, float], float] | None:
    """Q as products of parameters, exponentials and a constant; None where it is no such sum."""
    products: Entries = {}
    for piece in at._pieces():
        row = _row(at, piece, trait)
        if not row:
            return None
        for j in row:
            products[j, j] = products.get((j, j), 0.0) + 1.0
    for a, b in at.latent.pairs:
        rows = _row(at, a, trait), _row(at, b, trait)
        meets = 2 * at.latent.meets(a, b)
        for j, k in zip(*rows, strict=False):
            products[j, k] = products.get((j, k), 0.0) + meets
    if not at.kinds[trait.name].plain:
        return products, {}, 0.0
    if at.fit.design.floors:
        return _with_residuals(at, trait, products)
    place = _sigma(at, trait)
    return None if place is None else (products, {place: 1.0}, 0.0)


def _with_residuals(
    at: Analysis, trait: Trait, products: Entries
) -> tuple[Entries, dict[int, float], float] | None:
    """Q where the residuals of a record have a covariance."""
    design = at.fit.design
    t = next(t for t, term in enumerate(design.terms) if term.residual)
    term, start = design.terms[t], at.fit.estimates.thetas[t][0]
    columns = np.flatnonzero((term.z[trait.rows] != 0).any(axis=0))
    if columns.size != 1:
        return None
    column = int(columns[0])
    for j in row_of("us", order(term).index(column), start):
        products[j, j] = products.get((j, j), 0.0) + 1.0
    return products, {}, design.floors[column] ** 2


def _sigma(at: Analysis, trait: Trait) -> int | None:
    """The parameter that is the log of the residual standard deviation of a trait."""
    fit = at.fit
    if at.kinds[trait.name].family != "gaussian":
        return None
    start, end = fit.estimates.fixed[1]
    if end - start == 1 and 1 not in at.latent.rows.matrices:
        return start
    if 1 not in at.latent.rows.matrices:
        return None
    x = at.latent.rows.matrices[1][0][trait.rows]
    columns = np.flatnonzero((x != 0).any(axis=0))
    alone = columns.size == 1 and (x[:, columns[0]] == 1).all()
    return start + int(columns[0]) if alone else None
