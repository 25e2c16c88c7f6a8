"""Heritability and its relatives on the latent, the expected and the observed scale."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..data import frame_like
from ..effects.shares import LATENT
from ..errors import DataError, FitError
from ..inference.delta import delta
from ..tables import Column, Printed, Table
from .parts import Latent, Piece, Trait
from .transform import Latent as Population
from .transform import observed, shared

if TYPE_CHECKING:
    from ..fit import Fit

Array = NDArray[np.float64]

MOST_ROWS = 20_000
"""Rows over which fixed effects are averaged; beyond, every k-th in the order of the predictor."""
SLOPE_ROWS = 300
"""The same for derivatives in the parameters, of which standard errors need few digits."""
SCALES = ("latent", "liability", "expected", "observed")


@dataclass(frozen=True, slots=True)
class Line:
    """One number of a heritability analysis.

    Attributes
    ----------
    trait : str
        Empty where there is one.
    scale : str
        ``"latent"``, ``"liability"``, ``"expected"`` or ``"observed"``.
    kind : str
        ``"variance"``, ``"covariance"``, ``"share"``, ``"correlation"``, ``"size"`` or ``"mean"``.
    name : str
    estimate, se, lower, upper : float
    note : str
        Of profile intervals: why an end is where it is.
    """

    trait: str
    scale: str
    kind: str
    name: str
    estimate: float
    se: float
    lower: float
    upper: float
    note: str = ""


@dataclass(frozen=True, eq=False)
class Heritability(Printed):
    """Shares of the variance that are inherited; made by `Fit.heritability`.

    Attributes
    ----------
    lines : tuple of Line
    level : float
    method : str
    notes : tuple of str
    """

    lines: tuple[Line, ...]
    level: float
    method: str
    notes: tuple[str, ...]
    frame_kind: Any = field(repr=False)

    def __getitem__(self, key: str | tuple[str, ...]) -> float:
        """Return an estimate by name; or by (name, scale), or (name, scale, trait)."""
        return self.line(*((key,) if isinstance(key, str) else key)).estimate

    def line(self, name: str, scale: str = "", trait: str = "") -> Line:
        """Return a number with its interval; without a scale on the first that has it."""
        for line in self.lines:
            if line.name == name and scale in ("", line.scale) and trait in ("", line.trait):
                return line
        known = ", ".join(dict.fromkeys(f"{x.name} ({x.scale})" for x in self.lines))
        raise KeyError(f"{name!r} {scale} {trait}; there are {known}")

    def to_frame(self) -> Any:
        """Return all numbers as a frame of the user's kind."""
        keys = ("trait", "scale", "kind", "name", "estimate", "se", "lower", "upper")
        columns = {key: [getattr(line, key) for line in self.lines] for key in keys}
        return frame_like(self.frame_kind, columns)

    @property
    def tables(self) -> tuple[Table, ...]:
        """Variances, shares, and the rest, as they are printed."""
        percent = f"{100 * self.level:g}%"
        numbers = (
            Column("estimate", "number"),
            Column("se", "number"),
            Column(f"{percent} lower", "number", "lower"),
            Column("upper", "number"),
        )
        traits = len({line.trait for line in self.lines}) > 1
        found = []
        for title, kinds in (
            ("Variances", ("variance", "covariance", "mean")),
            ("Shares of the phenotypic variance", ("share",)),
            ("Genetic correlations", ("correlation",)),
            ("Evolvability", ("size",)),
        ):
            lines = [line for line in self.lines if line.kind in kinds]
            if not lines:
                continue
            heads = ((Column("trait"),) if traits else ()) + (Column("scale"), Column("", key="name"))
            rows = tuple(
                ((x.trait,) if traits else ())
                + (x.scale, x.name, x.estimate, x.se, x.lower, x.upper)
                for x in lines
            )
            found.append(Table(title, heads + numbers, rows))
        last = found[-1]
        found[-1] = Table(last.title, last.columns, last.rows, self.notes)
        return tuple(found)

    def plot(self, ax: Any = None, scale: str = "") -> Any:
        """Draw the shares; see `glimm.plots.shares`."""
        from ..plots import shares

        return shares(self, ax=ax, scale=scale)


def heritability(
    fit: Fit, term: str | None, level: float, method: str, average: bool, fixed_variance: bool
) -> Heritability:
    """See `Fit.heritability`."""
    if not 0 < level < 1:
        raise DataError(f"level={level}; it must be between 0 and 1", code="unknown_option")
    if method not in ("delta", "profile"):
        raise DataError(f"method={method!r}; use 'delta', 'profile'", code="unknown_option")
    at = _Analysis(fit, term, average, fixed_variance)
    psi, covariance = fit.estimates.parameters, fit.estimates.covariance
    names = at.names()
    values = at.numbers(psi, MOST_ROWS)
    _, spread = delta(lambda p: at.numbers(p, SLOPE_ROWS), psi, covariance)
    unknown = ~np.isfinite(np.diag(covariance))[[i for i, _ in enumerate(psi)]]
    errors = np.sqrt(np.maximum(np.diag(spread), 0.0))
    if unknown[at.random_places()].any():
        errors = np.full_like(errors, np.nan)
    reach = NormalDist().inv_cdf((1 + level) / 2)
    lines = tuple(
        Line(*name, float(v), float(s), *bounds(name[2], float(v), float(s), reach))
        for name, v, s in zip(names, values, errors, strict=True)
    )
    notes = at.notes()
    if method == "profile":
        from .profiled import with_profiles

        lines, more = with_profiles(at, lines, level)
        notes = (*notes, *more)
    return Heritability(lines, level, method, notes, fit.design.frame_kind)


def bounds(kind: str, value: float, error: float, reach: float) -> tuple[float, float]:
    """Lower and upper: on the logit of a share, the log of a variance, atanh of a correlation."""
    half = reach * error
    if not math.isfinite(value) or not math.isfinite(error):
        return math.nan, math.nan
    if kind in ("variance", "size"):
        if value <= 0:
            return math.nan, math.nan
        return value * math.exp(-half / value), value * math.exp(half / value)
    if kind == "share":
        if not 0 < value < 1:
            return math.nan, math.nan
        half /= value * (1 - value)
        return _expit(_logit(value) - half), _expit(_logit(value) + half)
    if kind == "correlation":
        if not abs(value) < 1:
            return math.nan, math.nan
        half /= 1 - value * value
        return math.tanh(math.atanh(value) - half), math.tanh(math.atanh(value) + half)
    return value - half, value + half


def _logit(x: float) -> float:
    return math.log(x / (1 - x))


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


Name = tuple[str, str, str, str]
"""(trait, scale, kind, name)."""


class _Analysis:
    """All numbers as one function of all parameters."""

    def __init__(self, fit: Fit, term: str | None, average: bool, fixed_variance: bool) -> None:
        self.fit, self.average, self.fixed_variance = fit, average, fixed_variance
        self.latent = Latent(fit, term)
        model = fit.model
        self.plain = model.link == "identity" and not model.family.ordered
        binary = model.family.ordered or model.family.trials
        self.liability = LATENT.get(model.link) if binary else None
        self.has_response = not model.family.ordered
        self.weights = self.latent.rows.weights
        self._chosen: dict[tuple[str, int], Array] = {}
        if self.has_response and not self.plain:
            self._check()

    def _check(self) -> None:
        latent, rows = self.latent, np.arange(1)
        eta = latent.predictors(self.fit.estimates.parameters, rows)
        try:
            _core.variances(self.fit.model.core_name, [np.ascontiguousarray(c) for c in eta.T], None)
        except _core.CoreError:
            message = (
                f"family {self.fit.model.family.name!r} states no variance of a response, which the "
                "expected and observed scales need; give the family a variance="
            )
            raise FitError(message, code="no_heritability") from None

    def random_places(self) -> list[int]:
        """Places of all parameters of random effects."""
        return [j for start, end in self.fit.estimates.thetas for j in range(start, end)]

    def label(self, piece: Piece) -> str:
        """The name of a component."""
        additive = self.latent.additive
        if piece is additive:
            word = self.fit.design.terms[piece.term].relation
            return "phylogenetic" if word is not None and word.word == "phylogeny" else "additive"
        if piece.genetic:
            return f"genetic ({piece.name})"
        if piece.name == additive.name:
            return f"permanent ({piece.name})"
        return piece.name

    def share(self, piece: Piece) -> str:
        """The name of a component's share."""
        label = self.label(piece)
        return {"additive": "h2", "phylogenetic": "lambda"}.get(label, label)

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
            t = trait.name
            first = "observed" if self.plain else "latent"
            found += [(t, first, "variance", self.label(p)) for p in self._pieces()]
            found += [(t, first, "covariance", f"additive, {p.name}") for p in self._maternal()]
            if self.plain:
                found.append((t, first, "variance", "residual"))
            found.append((t, first, "variance", "phenotypic"))
            shares = [self.share(p) for p in self._pieces()]
            if self._maternal():
                shares.append("total heritability")
            if self.latent.repeated(trait.rows):
                shares.append("repeatability")
            found += [(t, first, "share", name) for name in shares]
            if self.plain:
                found.append((t, first, "mean", "mean"))
            elif self.has_response:
                found += [(t, "observed", "mean", "mean")]
                words = ("additive", "phenotypic, expected", "phenotypic")
                found += [
                    (t, "expected" if "expected" in w else "observed", "variance", w.split(",")[0])
                    for w in words
                ]
                found += [(t, "expected", "share", name) for name in shares]
                found += [(t, "observed", "share", name) for name in shares]
            if self.liability is not None:
                found += [(t, "liability", "share", name) for name in shares]
            if self.plain or self.has_response:
                found += [(t, "observed", "size", name) for name in ("I_A", "CV_A (%)")]
        return found + self._correlation_names()

    def _correlation_names(self) -> list[Name]:
        terms = dict.fromkeys(p.term for p in self.latent.pieces if p.genetic)
        found = []
        for t in terms:
            names = self._effects(t)
            for i in range(len(names)):
                found += [("", "latent", "correlation", f"{names[j]}, {names[i]}") for j in range(i)]
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

    def _rows(self, trait: Trait, most: int) -> NDArray[np.int64]:
        """Rows that stand for a trait: evenly spaced in the order of their predictor."""
        key = (trait.name, most)
        if key not in self._chosen:
            rows = trait.rows
            if rows.size > most:
                eta = self.latent.predictors(self.fit.estimates.parameters, rows)[:, 0]
                order = np.argsort(eta, kind="stable")
                rows = rows[order[np.linspace(0, rows.size - 1, most).round().astype(np.int64)]]
            self._chosen[key] = rows  # type: ignore[assignment]
        return self._chosen[key]  # type: ignore[return-value]

    def _of_trait(self, psi: Array, trait: Trait, rows: NDArray[np.int64]) -> list[float]:
        latent, weights = self.latent, self.weights[rows] / self.weights[rows].sum()
        covariances = {p.term: latent.covariance(psi, p.term) for p in latent.pieces}
        of_rows = {id(p): p.variance(covariances[p.term])[rows] for p in latent.pieces}
        each = [float(weights @ of_rows[id(p)]) for p in self._pieces()]
        maternal = self._maternal()
        crossed = [
            float(weights @ latent.crossing(psi, latent.additive, p)[rows]) for p in maternal
        ]
        spread = latent.spread(psi, rows)
        total = float(weights @ spread[:, 0, 0])
        eta = latent.predictors(psi, rows)
        if not self.average:
            eta = np.broadcast_to(weights @ eta, eta.shape).copy()
        center = float(weights @ eta[:, 0])
        between = float(weights @ (eta[:, 0] - center) ** 2) if self.fixed_variance else 0.0
        found = each + crossed
        residual = 0.0
        if self.plain:
            residual = float(weights @ self._variances(eta, rows, spread))
            found.append(residual)
        phenotypic = total + residual + between
        found.append(phenotypic)
        stays = [
            p for p in self._pieces() if p is latent.additive or latent.repeats(p, trait.rows)
        ]
        kept = sum(each[k] for k, p in enumerate(self._pieces()) if p in stays) + sum(
            2 * latent.meets(latent.additive, p) * c for p, c in zip(maternal, crossed, strict=True)
        )
        numerators = list(each)
        if maternal:
            # Willham (1972): direct, half of the maternal variance, one and a half covariances.
            half = sum(each[self._pieces().index(p)] for p in maternal) / 2
            numerators.append(each[0] + 1.5 * sum(crossed) + half)
        if latent.repeated(trait.rows):
            numerators.append(kept)
        found += [x / phenotypic for x in numerators]
        mean, additive = center, each[0]
        if self.plain:
            found.append(mean)
        elif self.has_response:
            more, mean, additive = self._transformed(
                Population(self.fit.model.core_name, eta, spread, weights, self._dilution(eta, rows)),
                each, of_rows, stays, numerators, maternal, crossed,
            )  # fmt: skip
            found += more
        if self.liability is not None:
            found += [x / (phenotypic + self.liability) for x in numerators]
        if self.plain or self.has_response:
            found += [additive / mean**2, 100 * math.sqrt(max(additive, 0.0)) / abs(mean)]
        return found

    def _transformed(
        self,
        population: Population,
        each: list[float],
        of_rows: dict[int, Array],
        stays: list[Piece],
        numerators: list[float],
        maternal: list[Piece],
        crossed: list[float],
    ) -> tuple[list[float], float, float]:
        """Numbers of the expected and observed scales; the mean and V_A of both."""
        at = observed(population)
        gain = at.slope**2
        between = at.between if self.fixed_variance else 0.0
        expected = at.expected + between
        total = expected + at.distribution
        tops = [gain * each[0]]
        rows_of = self._subset(of_rows, population)
        for p in self._others():
            # What is inherited counts by its breeding value, all else as two records share it.
            k = self._pieces().index(p)
            value = gain * each[k] if p.genetic else shared(population, rows_of[id(p)])
            tops.append(value)
        if maternal:
            tops.append(gain * numerators[len(each)])
        if len(numerators) > len(tops):
            together = np.sum([rows_of[id(p)] for p in stays], axis=0) + sum(
                2 * self.latent.meets(self.latent.additive, p) * c
                for p, c in zip(maternal, crossed, strict=True)
            )
            tops.append(shared(population, together))
        found = [at.mean, gain * each[0], expected, total]
        found += [top / expected for top in tops] + [top / total for top in tops]
        return found, at.mean, gain * each[0]

    @staticmethod
    def _subset(of_rows: dict[int, Array], population: Population) -> dict[int, Array]:
        assert all(v.size == len(population.eta) for v in of_rows.values())
        return of_rows

    def _variances(self, eta: Array, rows: NDArray[np.int64], spread: Array) -> Array:
        """Variance of a response given the effects, averaged over them: the residual."""
        model = self.fit.model
        if model.family.name == "gaussian" and not np.any(spread[:, 1:, 1:]):
            return np.exp(2 * eta[:, 1])
        population = Population(
            model.core_name, eta, spread, np.full(rows.size, 1 / rows.size), np.ones(rows.size)
        )
        return np.full(rows.size, observed(population).distribution)

    def _dilution(self, eta: Array, rows: NDArray[np.int64]) -> Array:
        """Variance of a proportion of the row's trials, in units of that of one trial."""
        trials, name = self.fit.design.trials, self.fit.model.core_name
        if trials is None or not self.fit.model.family.trials:
            return np.ones(rows.size)
        size, columns = trials[rows], [np.ascontiguousarray(c) for c in eta.T]
        many = _core.variances(name, columns, np.ascontiguousarray(size))
        one = _core.variances(name, columns, np.ones(rows.size))
        return np.asarray(many / (one * size * size))

    def _correlations(self, psi: Array) -> list[float]:
        found = []
        for t in dict.fromkeys(p.term for p in self.latent.pieces if p.genetic):
            columns = [c for p in self.latent.pieces if p.term == t for c in p.columns]
            sigma = self.latent.covariance(psi, t)[np.ix_(columns, columns)]
            sd = np.sqrt(np.diag(sigma))
            for i in range(len(columns)):
                found += [
                    float(sigma[j, i] / (sd[i] * sd[j])) if sd[i] * sd[j] > 0 else math.nan
                    for j in range(i)
                ]
        return found

    def notes(self) -> tuple[str, ...]:
        """What the numbers mean."""
        fixed = "included in" if self.fixed_variance else "left out of"
        found = [
            f"Variance of the fixed effects: {fixed} the phenotypic variance. V_A is that of the base "
            "population.",
        ]
        if not self.plain and self.has_response:
            how = "averaged over the fixed parts of the rows" if self.average else "at the mean predictor"
            found.append(f"Expected and observed scale (de Villemereuil et al. 2016): {how}.")
        if not self.has_response:
            found.append("Ordered classes have no mean: latent and liability scale only.")
        elif self.fit.model.family.trials and self.fit.design.trials is not None:
            found.append("Observed scale: the proportion of successes among the trials of a record.")
        return tuple(found)
