"""All numbers of a heritability analysis as one function of all parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import FitError
from .kinds import Kind, kind_of
from .parts import Latent, Piece, Trait
from .transform import Population, observed, shared

if TYPE_CHECKING:
    from ..fit import Fit

Array = NDArray[np.float64]
Places = NDArray[np.int64]

Name = tuple[str, str, str, str]
"""(trait, scale, kind, name)."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Variances of one trait on the scale of the linear predictor.

    `each` and `of_rows` are by piece, its mean and its rows; `crossed` the covariances with
    the additive one; `tops` the numerators of the shares; `lasting` what all records of an
    individual have in common, by row.
    """

    population: Population
    each: dict[int, float]
    of_rows: dict[int, Array]
    crossed: list[float]
    tops: list[float]
    lasting: Array
    residual: float
    phenotypic: float
    mean: float


def _ratio(part: float, whole: float) -> float:
    """A share; NaN of nothing."""
    return part / whole if whole > 0 else math.nan


def _below(sigma: Array) -> list[float]:
    """Correlations of a covariance, row by row below the diagonal."""
    sd = np.sqrt(np.diag(sigma))
    return [_ratio(float(sigma[j, i]), sd[i] * sd[j]) for i in range(len(sd)) for j in range(i)]


class Analysis:
    """All numbers as one function of all parameters."""

    def __init__(self, fit: Fit, term: str | None, average: bool, fixed_variance: bool) -> None:
        self.fit, self.average, self.fixed_variance = fit, average, fixed_variance
        self.latent = Latent(fit, term)
        self.kinds = {trait.name: kind_of(fit, trait) for trait in self.latent.traits}
        self.weights = self.latent.rows.weights
        self._chosen: dict[tuple[str, int], Places] = {}
        if any(kind.has_response and not kind.plain for kind in self.kinds.values()):
            self._check()

    def _check(self) -> None:
        latent, rows = self.latent, np.arange(1)
        eta = latent.predictors(self.fit.estimates.parameters, rows)
        try:
            _core.variances(
                self.fit.model.core_name, [np.ascontiguousarray(c) for c in eta.T], None
            )
        except _core.CoreError:
            message = (
                f"family {self.fit.model.family.name!r} states no variance of a response, which "
                "the expected and observed scales need; give the family a variance="
            )
            raise FitError(message, code="no_heritability") from None

    def random_places(self) -> list[int]:
        """Places of all parameters of random effects."""
        return [j for start, end in self.fit.estimates.thetas for j in range(start, end)]

    def label(self, piece: Piece) -> str:
        """The name of a component."""
        additive = self.latent.additive
        if piece is additive:
            return "phylogenetic" if piece.relation == "phylogeny" else "additive"
        if piece.genetic:
            return f"genetic ({piece.name})"
        if piece.relation:
            return f"{piece.name} ({self.fit.design.terms[piece.term].named})"
        if piece.name == additive.name:
            return f"{'other' if additive.relation == 'phylogeny' else 'permanent'} ({piece.name})"
        return piece.name

    def share(self, piece: Piece) -> str:
        """The name of a component's share."""
        label = self.label(piece)
        return {"additive": "h2", "phylogenetic": "lambda"}.get(label, f"share[{label}]")

    def _others(self) -> list[Piece]:
        return [p for p in self.latent.pieces if p is not self.latent.additive]

    def _pieces(self) -> list[Piece]:
        return [self.latent.additive, *self._others()]

    def _maternal(self) -> list[Piece]:
        """Other genetic pieces that are correlated with the additive one."""
        pairs = self.latent.pairs
        return [p for p in self._others() if any({p.term, self.latent.additive.term} == {a.term}
                and p in (a, b) for a, b in pairs)]  # fmt: skip

    def names(self) -> list[Name]:
        """What the numbers are, in their order."""
        found: list[Name] = []
        for trait in self.latent.traits:
            t, kind = trait.name, self.kinds[trait.name]
            first = "observed" if kind.plain else "latent"
            found += [(t, first, "variance", self.label(p)) for p in self._pieces()]
            found += [(t, first, "covariance", f"additive, {p.name}") for p in self._maternal()]
            if kind.plain:
                found.append((t, first, "variance", "residual"))
            found.append((t, first, "variance", "phenotypic"))
            shares = [self.share(p) for p in self._pieces()]
            if self._maternal():
                shares.append("total heritability")
            if self.latent.repeated(trait.rows):
                shares.append("repeatability")
            found += [(t, first, "share", name) for name in shares]
            if kind.plain:
                found.append((t, first, "mean", "mean"))
            elif kind.has_response:
                found += [(t, "observed", "mean", "mean")]
                words = ("additive", "phenotypic, expected", "phenotypic")
                found += [
                    (t, "expected" if "expected" in w else "observed", "variance", w.split(",")[0])
                    for w in words
                ]
                found += [(t, "expected", "share", name) for name in shares]
                found += [(t, "observed", "share", name) for name in shares]
            if kind.liability is not None:
                found += [(t, "liability", "share", name) for name in shares]
            if kind.has_response:
                found += [(t, "observed", "size", name) for name in ("I_A", "CV_A (%)")]
        return found + self._correlation_names()

    def _correlated(self) -> list[Piece]:
        """Pieces whose terms have genetic correlations."""
        return [p for p in self.latent.pieces if p.genetic or p is self.latent.additive]

    def _residual_terms(self) -> list[int]:
        return [t for t, term in enumerate(self.fit.design.terms) if term.residual]

    def _correlation_names(self) -> list[Name]:
        terms = dict.fromkeys(p.term for p in self._correlated())
        found = []
        for t in terms:
            names = self._effects(t)
            for i in range(len(names)):
                found += [
                    ("", "latent", "correlation", f"{names[j]}, {names[i]}") for j in range(i)
                ]
        for t in self._residual_terms():
            names = list(self.fit.design.terms[t].columns)
            found += [
                ("", "observed", "residual correlation", f"{names[j]}, {names[i]}")
                for i in range(len(names))
                for j in range(i)
            ]
        return found

    def _effects(self, t: int) -> list[str]:
        """Names of the effects of a genetic term: its columns, or the groups they belong to."""
        pieces = [p for p in self.latent.pieces if p.term == t]
        names = []
        for piece in pieces:
            columns = self.fit.design.terms[t].columns
            for c in piece.columns:
                alone = len(piece.columns) == 1
                names.append(piece.name if alone else f"{piece.name}: {columns[c]}")
        return names

    def numbers(self, psi: Array, most: int) -> Array:
        """All numbers at the parameters."""
        found: list[float] = []
        for trait in self.latent.traits:
            found += self._of_trait(psi, trait, self._rows(trait, most))
        return np.array(found + self._correlations(psi))

    def _rows(self, trait: Trait, most: int) -> Places:
        """Rows that stand for a trait: evenly spaced in the order of their predictor."""
        key = (trait.name, most)
        if key not in self._chosen:
            rows = trait.rows
            if rows.size > most:
                eta = self.latent.predictors(self.fit.estimates.parameters, rows)[:, 0]
                order = np.argsort(eta, kind="stable")
                rows = rows[order[np.linspace(0, rows.size - 1, most).round().astype(np.int64)]]
            self._chosen[key] = rows
        return self._chosen[key]

    def _of_trait(self, psi: Array, trait: Trait, rows: Places) -> list[float]:
        """The numbers of one trait, in the order of `names`."""
        parts, kind = self._parts(psi, trait, rows), self.kinds[trait.name]
        found = [parts.each[id(p)] for p in self._pieces()] + parts.crossed
        found += [parts.residual] if kind.plain else []
        found.append(parts.phenotypic)
        found += [_ratio(top, parts.phenotypic) for top in parts.tops]
        mean, additive = parts.mean, parts.each[id(self.latent.additive)]
        if kind.plain:
            found.append(mean)
        elif kind.has_response:
            more = self._transformed(parts)
            mean, additive = more[:2]
            found += more
        if kind.liability is not None:
            whole = parts.phenotypic + kind.liability
            found += [_ratio(top, whole) for top in parts.tops]
        if kind.has_response:
            found.append(_ratio(additive, mean**2))
            found.append(100 * _ratio(math.sqrt(max(additive, 0.0)), abs(mean)))
        return found

    def _parts(self, psi: Array, trait: Trait, rows: Places) -> Sources:
        """Variances of a trait on the scale of the linear predictor."""
        latent, additive = self.latent, self.latent.additive
        weights = self.weights[rows] / self.weights[rows].sum()
        sigma = {p.term: latent.covariance(psi, p.term) for p in latent.pieces}
        of_rows = {id(p): p.variance(sigma[p.term])[rows] for p in latent.pieces}
        each = {key: float(weights @ values) for key, values in of_rows.items()}
        maternal = self._maternal()
        crossed = [float(weights @ latent.crossing(psi, additive, p)[rows]) for p in maternal]
        spread, eta = latent.spread(psi, rows), latent.predictors(psi, rows)
        if not self.average:
            eta = np.broadcast_to(weights @ eta, eta.shape).copy()
        mean = float(weights @ eta[:, 0])
        between = float(weights @ (eta[:, 0] - mean) ** 2) if self.fixed_variance else 0.0
        kind = self.kinds[trait.name]
        population = Population(
            self.fit.model.core_name, eta, spread, weights, self._dilution(kind, eta, rows)
        )
        residual = self._residual(kind, population) if kind.plain else 0.0
        residual += float(weights @ latent.residual(psi, rows))
        stays = {
            id(p): of_rows[id(p)]
            for p in self._pieces()
            if p is additive or latent.repeats(p, trait.rows)
        }
        both = sum(
            2 * latent.meets(additive, p) * c for p, c in zip(maternal, crossed, strict=True)
        )
        tops = [each[id(p)] for p in self._pieces()]
        if maternal:
            # Willham (1972): direct, half of the maternal variance, one and a half covariances.
            half = sum(each[id(p)] for p in maternal) / 2
            tops.append(each[id(additive)] + 1.5 * sum(crossed) + half)
        lasting = np.sum(list(stays.values()), axis=0) + both
        if latent.repeated(trait.rows):
            tops.append(float(weights @ lasting))
        phenotypic = float(weights @ spread[:, 0, 0]) + residual + between
        return Sources(
            population, each, of_rows, crossed, tops, lasting, residual, phenotypic, mean
        )

    def _transformed(self, parts: Sources) -> list[float]:
        """Numbers of the expected and observed scales: mean, V_A, V_P of both, all shares.

        What is inherited counts by its breeding value, all else by what two records share.
        """
        at = observed(parts.population)
        gain = at.slope**2
        expected = at.expected + (at.between if self.fixed_variance else 0.0)
        total = expected + at.distribution
        tops = [
            gain * parts.each[id(p)]
            if p.genetic or p is self.latent.additive
            else shared(parts.population, parts.of_rows[id(p)])
            for p in self._pieces()
        ]
        more = parts.tops[len(tops) :]
        if self._maternal():
            tops.append(gain * more.pop(0))
        if more:
            tops.append(shared(parts.population, parts.lasting))
        found = [at.mean, gain * parts.each[id(self.latent.additive)], expected, total]
        return found + [_ratio(top, whole) for whole in (expected, total) for top in tops]

    def _residual(self, kind: Kind, population: Population) -> float:
        """Mean variance of a response given the effects."""
        varies = np.any(population.covariance[:, 1:, 1:])
        if kind.family == "gaussian" and not varies:
            return float(population.weights @ np.exp(2 * population.eta[:, 1]))
        return observed(population).distribution

    def _dilution(self, kind: Kind, eta: Array, rows: Places) -> Array:
        """Variance of a proportion of the row's trials, in units of that of one trial."""
        trials, name = self.fit.design.trials, self.fit.model.core_name
        if trials is None or not kind.trials:
            return np.ones(rows.size)
        size, columns = trials[rows], [np.ascontiguousarray(c) for c in eta.T]
        many = _core.variances(name, columns, np.ascontiguousarray(size))
        one = _core.variances(name, columns, np.ones(rows.size))
        return np.asarray(many / (one * size * size))

    def _correlations(self, psi: Array) -> list[float]:
        found = []
        for t in dict.fromkeys(p.term for p in self._correlated()):
            columns = [c for p in self.latent.pieces if p.term == t for c in p.columns]
            found += _below(self.latent.covariance(psi, t)[np.ix_(columns, columns)])
        floors = np.diag(np.square(self.fit.design.floors))
        for t in self._residual_terms():
            found += _below(self.latent.covariance(psi, t) + floors)
        return found

    def notes(self) -> tuple[str, ...]:
        """What the numbers mean."""
        fixed = "included in" if self.fixed_variance else "left out of"
        found = [
            f"Variance of the fixed effects: {fixed} the phenotypic variance. V_A is that of the "
            "base population.",
        ]
        kinds = self.kinds.values()
        if any(kind.has_response and not kind.plain for kind in kinds):
            how = (
                "averaged over the fixed parts of the rows"
                if self.average
                else "at the mean predictor"
            )
            found.append(f"Expected and observed scale (de Villemereuil et al. 2016): {how}.")
        if not all(kind.has_response for kind in kinds):
            found.append("Ordered classes have no mean: latent and liability scale only.")
        elif any(kind.trials for kind in kinds) and self.fit.design.trials is not None:
            found.append("Observed scale: the proportion of successes among a record's trials.")
        return tuple(found)
