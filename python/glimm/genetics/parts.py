"""What a fit says about each component of the variance of a trait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..effects.shares import Components
from ..errors import FitError, listed
from ..problem import factor_of

if TYPE_CHECKING:
    from ..design import DesignTerm
    from ..fit import Fit

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

RELATIVES = ("pedigree", "phylogeny", "known")
"""Words of relations whose terms may be the additive one, the likeliest first."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One source of variance: columns of a term that share a level.

    Parameters
    ----------
    name : str
    term : int
        Number of the term in the design.
    columns : tuple of int
        Of the term.
    codes : ndarray, (n,)
        The level of each row, the first where there are several.
    z : ndarray, (m, n, q)
        All columns of the term for each of the levels of a row, zero in those of other pieces.
    relation : str
        The word of the relation of its levels; empty for independent ones.
    """

    name: str
    term: int
    columns: tuple[int, ...]
    codes: Codes
    z: Array
    relation: str

    @property
    def genetic(self) -> bool:
        """Whether its levels are animals of a pedigree."""
        return self.relation == "pedigree"

    def variance(self, covariance: Array) -> Array:
        """Z'Sigma z of each row, (n,), summed over its levels."""
        return np.asarray(np.einsum("mia,ab,mib->i", self.z, covariance, self.z))


@dataclass(frozen=True, slots=True)
class Trait:
    """Rows of one trait, and the column of the additive term that is theirs.

    `name` is empty where the model has one trait.
    """

    name: str
    rows: NDArray[np.int64]


def pieces_of(fit: Fit) -> list[Piece]:
    """The sources of variance of the mean's predictor, term by term."""
    found = []
    for t, term in enumerate(fit.design.terms):
        own = (np.array(term.predictors) == 0) & (not term.residual)
        by_columns: dict[tuple[int, ...], list[tuple[Codes, Array]]] = {}
        for codes, z in term.memberships:
            z = z * own * (codes >= 0)[:, None]
            columns = tuple(np.flatnonzero((z != 0).any(axis=0)).tolist())
            if columns:
                by_columns.setdefault(columns, []).append((codes, z))
        labels = _labels(term, len(by_columns))
        for label, (columns, pairs) in zip(labels, by_columns.items(), strict=True):
            z = np.array([z for _, z in pairs])
            word = "" if term.relation is None else term.relation.word
            found.append(Piece(label, t, columns, pairs[0][0], z, word))
    return found


def _labels(term: DesignTerm, count: int) -> list[str]:
    """Names of the groups that a term's rows belong to."""
    label = term.label
    if term.relation is not None:
        label = label.removesuffix(f" ({term.relation.word} {term.named})")
    split = label.split("+")
    return split if len(split) == count else [label] * count


def additive_piece(fit: Fit, pieces: list[Piece], label: str | None) -> Piece:
    """The piece whose variance is the additive one.

    Raises
    ------
    FitError
        When there is none, or none of that name.
    """
    if label is not None:
        same = [p for p in pieces if p.name == label]
        if not same:
            names = listed([p.name for p in pieces])
            message = f"term={label!r} is no grouping of the mean's random effects; use {names}"
            raise FitError(message, code="no_heritability")
        return next((p for p in same if p.relation in RELATIVES), same[0])
    for word in RELATIVES:
        for piece in pieces:
            if piece.relation == word:
                return piece
    message = (
        "no random effect of the mean has relatives as levels: write (1 | animal, pedigree=ped), "
        "or name the term whose variance is additive (of clones or strains, say) by term="
    )
    raise FitError(message, code="no_heritability")


def traits_of(fit: Fit, piece: Piece) -> list[Trait]:
    """One trait, or one for each column where exactly one column is 1 in each row."""
    z, n = piece.z[0][:, list(piece.columns)], fit.design.n
    alone = z.shape[1] > 1 and np.isin(z, (0.0, 1.0)).all() and (z.sum(axis=1) == 1).all()
    if not alone:
        return [Trait("", np.arange(n))]
    names = fit.design.terms[piece.term].columns
    return [Trait(names[c], np.flatnonzero(z[:, k] == 1)) for k, c in enumerate(piece.columns)]


class Latent:
    """Variances on the scale of the linear predictor as functions of all parameters."""

    def __init__(self, fit: Fit, term: str | None) -> None:
        self.fit = fit
        self.rows = Components(fit)
        self.pieces = pieces_of(fit)
        self.additive = additive_piece(fit, self.pieces, term)
        self.traits = traits_of(fit, self.additive)
        self.pairs = [
            (a, b)
            for i, a in enumerate(self.pieces)
            for b in self.pieces[:i]
            if a.term == b.term and a is not b
        ]

    def covariance(self, psi: Array, t: int) -> Array:
        """Sigma of a term, (q, q)."""
        start, end = self.fit.estimates.thetas[t]
        factor = factor_of(self.fit.design.terms[t], psi[start:end])
        return np.asarray(factor @ factor.T)

    def meets(self, a: Piece, b: Piece) -> float:
        """Relationship of two levels of a row in one term: of parent and offspring 1/2."""
        relation = self.fit.design.terms[a.term].relation
        return 0.5 if relation is not None and relation.word == "pedigree" else 0.0

    def crossing(self, psi: Array, a: Piece, b: Piece) -> Array:
        """z_a'Sigma z_b of each row, (n,)."""
        covariance = self.covariance(psi, a.term)
        return np.asarray(np.einsum("ia,ab,ib->i", a.z[0], covariance, b.z[0]))

    def spread(self, psi: Array, rows: Codes) -> Array:
        """Covariance of all linear predictors by all random effects, (m, K, K)."""
        count = len(self.fit.parts)
        found = np.zeros((rows.size, count, count))
        for t, term in enumerate(self.fit.design.terms):
            if term.residual:
                continue
            covariance, of = self.covariance(psi, t), np.array(term.predictors)
            for codes, z in term.memberships:
                seen = z[rows] * (codes[rows] >= 0)[:, None]
                split = [seen * (of == k) for k in range(count)]
                for k, j in np.ndindex(count, count):
                    found[:, k, j] += np.einsum("ia,ab,ib->i", split[k], covariance, split[j])
        for a, b in self.pairs:
            found[:, 0, 0] += 2 * self.meets(a, b) * self.crossing(psi, a, b)[rows]
        return found

    def residual(self, psi: Array, rows: Codes) -> Array:
        """The part of the residual variance that is by the covariance of a record, (m,)."""
        found = np.zeros(rows.size)
        for t, term in enumerate(self.fit.design.terms):
            if term.residual:
                z = term.z[rows]
                found += np.einsum("ia,ab,ib->i", z, self.covariance(psi, t), z)
        return found

    def predictors(self, psi: Array, rows: Codes) -> Array:
        """Fixed parts of all linear predictors, (m, K)."""
        count = len(self.fit.parts)
        return np.column_stack([self.rows.predictor(psi, k)[rows] for k in range(count)])

    def repeats(self, piece: Piece, rows: Codes) -> bool:
        """Whether the levels of a piece stay the same in all records of an individual."""
        own, other = self.additive.codes[rows], piece.codes[rows]
        order = np.lexsort((other, own))
        same = own[order][1:] == own[order][:-1]
        return bool((other[order][1:] == other[order][:-1])[same].all())

    def repeated(self, rows: Codes) -> bool:
        """Whether some individual has several records."""
        return np.unique(self.additive.codes[rows]).size < rows.size
