"""Shares of the variance: decomposition, ICC, R2, median odds ratios."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..confidence import MOST, log_interval, logit_interval, normal_reach
from ..data import frame_like
from ..errors import DataError
from ..inference.delta import jacobian
from ..mixed import FamilyBy
from ..predict.integrated import roots
from ..predict.points import training_rows, typical
from ..problem import explain, factor_of, factor_slopes
from ..tables import Cell, Column, Printed, Table

if TYPE_CHECKING:
    from ..design import DesignTerm
    from ..fit import Fit

Array = NDArray[np.float64]
Line = tuple[str, float, float, float]

LATENT = {
    "logit": math.pi**2 / 3,
    "probit": 1.0,
    "cloglog": math.pi**2 / 6,
    "loglog": math.pi**2 / 6,
}
"""Variance of the latent variable whose distribution function is the inverse link."""
MEDIAN = {"logit": "median odds ratio", "log": "median ratio", "cloglog": "median hazard ratio"}
MOST_ROWS = 20_000
"""Rows of the observation scale beyond which every k-th is taken."""
UNKNOWN = 0.1
"""Step of the differences in a parameter that has no standard error."""
MATTERS = 1e-9
"""Derivative, relative to the largest, from which a parameter is involved."""


@dataclass(frozen=True, eq=False)
class VarianceShares(Printed):
    """Where the variance of the response comes from.

    Attributes
    ----------
    latent : tuple of (name, variance, lower, upper)
        Components on the scale of the linear predictor.
    observed : tuple of (name, variance, lower, upper)
        Components on the scale of the response; random effects together, since they do not add up.
    measures : tuple of (name, value, lower, upper)
        R2, ICC and median ratios, on the latent scale unless they say otherwise.
    level : float
    """

    latent: tuple[Line, ...]
    observed: tuple[Line, ...]
    measures: tuple[Line, ...]
    level: float
    notes: tuple[str, ...]
    frame_kind: Any = field(repr=False)

    def __getitem__(self, name: str) -> float:
        """Return a measure, or a component of the latent scale, by name."""
        found = {line[0]: line[1] for line in (*self.latent, *self.measures)}
        if name not in found:
            raise KeyError(f"{name!r}; there are {', '.join(found)}")
        return found[name]

    def to_frame(self) -> Any:
        """Return all numbers as a frame of the user's kind: `scale`, `name`, `value`, bounds."""
        lines = [
            (scale, *line)
            for scale, group in (
                ("latent", self.latent),
                ("observation", self.observed),
                ("measure", self.measures),
            )
            for line in group
        ]
        keys = ("scale", "name", "value", "lower", "upper")
        columns = zip(*lines, strict=True)
        return frame_like(self.frame_kind, {k: list(c) for k, c in zip(keys, columns, strict=True)})

    @property
    def tables(self) -> tuple[Table, ...]:
        """Decompositions on both scales, and the measures."""
        percent = f"{100 * self.level:g}%"
        bounds = (Column(f"{percent} lower", "number", "lower"), Column("upper", "number"))
        parts = (
            ("Variance on the scale of the linear predictor", self.latent),
            ("Variance on the scale of the response", self.observed),
        )
        found = []
        for title, lines in parts:
            total = sum(line[1] for line in lines)
            rows: list[tuple[Cell, ...]] = [
                (name, value, value / total, low, high) for name, value, low, high in lines
            ]
            columns = (Column(""), Column("variance", "number"), Column("share", "ratio"), *bounds)
            found.append(Table(title, columns, tuple(rows)))
        heads = (Column(""), Column("value", "number"), *bounds)
        found.append(Table("Measures", heads, tuple(self.measures), self.notes))
        return tuple(found)


def variance_shares(fit: Fit, level: float = 0.95) -> VarianceShares:
    """Return the decomposition of the variance; see `Fit.variance_shares`."""
    if isinstance(fit.model.family, FamilyBy):
        message = (
            f"the families differ by {fit.model.family.column!r}, so that variances of different "
            "rows are on different scales and have no sum; Fit.heritability(term=...) has the "
            "shares of each trait"
        )
        raise DataError(message, code="no_interval")
    if fit.model.family.ordered and fit.model.link not in LATENT:
        raise DataError("no latent variance under this link", code="no_interval")
    _require_variance(fit)
    at = Components(fit)
    reach = normal_reach(level)
    errors = np.sqrt(np.diag(fit.estimates.covariance))
    scale = np.where(np.isfinite(errors), errors, UNKNOWN)

    def lines(names: list[str], of: Callable[[Array], Array]) -> tuple[Line, ...]:
        psi = fit.estimates.parameters
        return given(names, of(psi), jacobian(of, psi, scale))

    def given(names: list[str], values: Array, moved: Array) -> tuple[Line, ...]:
        errors = _errors(fit, moved)
        return tuple(
            (name, *_bounds(name, float(v), float(s), reach))
            for name, v, s in zip(names, values, errors, strict=True)
        )

    observed: tuple[Line, ...] = ()
    if not fit.model.family.ordered:
        observed = given(["fixed effects", "random effects", "distribution"], *at.observed())
    return VarianceShares(
        lines(at.names, at.latent),
        observed,
        lines(at.measure_names, at.measures),
        level,
        at.notes(),
        fit.design.frame_kind,
    )


def _errors(fit: Fit, moved: Array) -> Array:
    """Standard errors (m,) by the delta method; NaN where a parameter without one moves them."""
    covariance = fit.estimates.covariance
    known = np.isfinite(np.diag(covariance))
    variance = np.where(np.isfinite(covariance), covariance, 0.0)
    errors = np.sqrt(np.maximum(np.einsum("mi,ij,mj->m", moved, variance, moved), 0.0))
    size = np.abs(moved).max(axis=1, initial=0.0, keepdims=True)
    lost = (np.abs(moved) > MATTERS * size) & ~known
    return np.where(lost.any(axis=1), np.nan, errors)


def _bounds(name: str, value: float, error: float, reach: float) -> tuple[float, float, float]:
    """Value, lower, upper: symmetric in the logit of a share, in the log of a variance."""
    if not math.isfinite(value) or value <= 0:
        return value, math.nan, math.nan
    if error == 0.0:
        return value, value, value
    if name.startswith("median"):
        size = math.log(value)
        if size <= 0:
            return value, math.nan, math.nan
        half = reach * error / value / size
        low, high = log_interval(size, half)
        return value, math.exp(low), math.exp(high) if high < MOST else math.inf
    if name.startswith(("R2", "ICC")):
        if value >= 1:
            return value, math.nan, math.nan
        return value, *logit_interval(value, reach * error / (value * (1 - value)))
    return value, *log_interval(value, reach * error / value)


def _require_variance(fit: Fit) -> None:
    """Raise an error where a family written by the user has no variance."""
    if fit.model.family.ordered:
        return
    eta = [np.zeros(1) for _ in fit.parts]
    try:
        _core.variances(fit.model.core_name, eta, None)
    except _core.CoreError as failure:
        raise explain(failure, fit.model, fit.design) from None


class _Integral:
    """Means over the random effects with derivatives, of rows that are alike once."""

    def __init__(self, name: tuple[Any, ...], eta: Array, root: Array) -> None:
        count = eta.shape[1]
        joined = np.hstack([eta, root.reshape(len(root), -1)])
        distinct, back = np.unique(joined, axis=0, return_inverse=True)
        self.name, self.back = name, back.ravel()
        self.eta = np.ascontiguousarray(distinct[:, :count])
        self.root = np.ascontiguousarray(distinct[:, count:].reshape(-1, count, count))

    def __call__(self, what: str) -> tuple[Array, Array, Array]:
        """Value (n,), derivatives in the predictors (n, K) and their covariance (n, K, K)."""
        value, d_eta, d_root, _ = _core.population_joint(self.name, what, self.eta, self.root)
        # With d root = F root and F the mean curvature, dm / dR = F / 2.
        half = 0.25 * (d_root @ np.linalg.pinv(self.root))
        half = half + half.transpose(0, 2, 1)
        return value[self.back], d_eta[self.back], half[self.back]


class Components:
    """The components as functions of all parameters."""

    def __init__(self, fit: Fit) -> None:
        self.fit = fit
        rows = training_rows(fit)
        self.matrices = {
            k: (x[:, list(fit.estimates.kept[k])], offset)
            for k, (x, offset) in rows.matrices.items()
        }
        design = fit.design
        self.weights = np.ones(design.n) if design.freq is None else design.freq
        self.terms = [t for t in design.terms if 0 in t.predictors and not t.residual]
        self.own = [np.array(t.predictors) == 0 for t in self.terms]
        # Effects of single rows are dispersion, not similarity of rows (Nakagawa et al. 2017).
        self.single = [len(t.levels) == design.n and not t.tied for t in self.terms]
        self.typical = {id(t): typical(t) for t in design.terms}

    def average(self, values: Array) -> float:
        """The mean over rows, with frequency weights."""
        return float(self.weights @ values / self.weights.sum())

    def variance(self, values: Array) -> float:
        """The sample variance over rows."""
        squares = self.weights @ (values - self.average(values)) ** 2
        return float(squares / (self.weights.sum() - 1))

    @property
    def names(self) -> list[str]:
        """Of the components on the latent scale."""
        labels = [f"{t.label}: {' + '.join(t.columns)}" for t in self.terms]
        marked = [
            f"{label} (dispersion)" if single else label
            for label, single in zip(labels, self.single, strict=True)
        ]
        return ["fixed effects", *marked, "distribution"]

    @property
    def measure_names(self) -> list[str]:
        """Of R2, ICC and median ratios."""
        found = ["R2 marginal", "R2 conditional", "ICC adjusted", "ICC unadjusted"]
        groups = dict.fromkeys(
            t.label for t, s in zip(self.terms, self.single, strict=True) if not s
        )
        found += [f"ICC {label}" for label in groups]
        word = MEDIAN.get(self.fit.model.link)
        return found + ([f"{word} {label}" for label in groups] if word else [])

    def predictor(self, psi: Array, k: int) -> Array:
        """The fixed part of linear predictor k, offset included."""
        fit = self.fit
        start, end = fit.estimates.fixed[k]
        n = fit.design.n
        if k in self.matrices:
            x, offset = self.matrices[k]
            eta = x @ psi[start:end]
            eta = eta if offset is None else eta + offset
        elif start == end:
            held = fit.model.held[fit.parts[k].part]
            parameter = fit.parts[k].parameter
            assert parameter is not None
            eta = np.full(n, parameter.predictor(held))
        else:
            eta = np.full(n, psi[start])
        parameter = fit.parts[k].parameter
        if parameter is not None and parameter.precision and fit.design.precision is not None:
            eta = eta + parameter.precision * np.log(fit.design.precision)
        return np.asarray(eta, dtype=np.float64)

    def spreads(self, psi: Array) -> list[Array]:
        """Variance z'Sigma z of the mean's predictor for each of its terms."""
        fit, found = self.fit, []
        places = {id(t): at for t, at in zip(fit.design.terms, fit.estimates.thetas, strict=True)}
        for term, own in zip(self.terms, self.own, strict=True):
            start, end = places[id(term)]
            root = factor_of(term, psi[start:end])
            white = [(z * own) @ root for _, z in term.memberships]
            found.append(self._bilinear(term, white, white))
        return found

    def _bilinear(self, term: DesignTerm, left: list[Array], right: list[Array]) -> Array:
        """Sum over memberships a and b of K_ab left_a'right_b for each row, (n,)."""
        sizes = self.typical[id(term)]
        pairs = [(i, j) for i, j in np.ndindex(*sizes.shape) if sizes[i, j] != 0.0]
        products = [sizes[i, j] * np.einsum("ia,ia->i", left[i], right[j]) for i, j in pairs]
        return np.asarray(np.sum(products, axis=0))

    def latent(self, psi: Array) -> Array:
        """Variances on the scale of the linear predictor."""
        start, end = self.fit.estimates.fixed[0]
        fixed = self.variance(self.matrices[0][0] @ psi[start:end])
        spreads = self.spreads(psi)
        terms = [self.average(spread) for spread in spreads]
        return np.array([fixed, *terms, self.distribution(psi, spreads)])

    def distribution(self, psi: Array, spreads: list[Array]) -> float:
        """The variance of the response given all effects, carried to the link scale."""
        fit = self.fit
        link, name = fit.model.link, (fit.model.core_name[0], fit.model.link, False)
        name = (*name, *fit.model.core_name[3:])
        if link in LATENT and (fit.model.family.ordered or fit.model.family.trials):
            return LATENT[link]
        count = 1 + len(fit.model.family.parameters)
        eta = [self.predictor(psi, k) for k in range(count)]
        if link == "identity":
            return self.average(_core.variances(name, eta, None) + self.residual(psi))
        total = np.sqrt(np.sum(spreads, axis=0)) if spreads else np.zeros(fit.design.n)
        mean = self.average(_core.population(link, eta[0], total)[0])
        point = _core.link(link, np.array([mean]))
        there = [point, *(np.array([self.average(e)]) for e in eta[1:])]
        variance = float(_core.variances(name, there, None)[0])
        if link == "log":
            return math.log1p(variance / mean**2)
        return variance / float(_core.population(link, point, np.zeros(1))[1][0]) ** 2

    def measures(self, psi: Array) -> Array:
        """R2 and ICC of Nakagawa, Johnson and Schielzeth (2017), and median ratios."""
        fixed, *terms, distribution = self.latent(psi).tolist()
        groups: dict[str, float] = {}
        for term, value, single in zip(self.terms, terms, self.single, strict=True):
            if not single:
                groups[term.label] = groups.get(term.label, 0.0) + value
        random, total = sum(groups.values()), fixed + sum(terms) + distribution
        found = [fixed / total, (fixed + random) / total]
        found += [random / (total - fixed), random / total]
        found += [value / (total - fixed) for value in groups.values()]
        if self.fit.model.link in MEDIAN:
            quartile = NormalDist().inv_cdf(0.75)
            found += [math.exp(math.sqrt(2 * value) * quartile) for value in groups.values()]
        return np.array(found)

    def observed(self) -> tuple[Array, Array]:
        """Var over rows of E(mean), mean over rows of Var(mean), of E(variance), with Jacobian."""
        fit, psi = self.fit, self.fit.estimates.parameters
        taken = slice(None, None, -(-fit.design.n // MOST_ROWS))
        eta = np.column_stack([self.predictor(psi, k) for k in range(len(fit.parts))])[taken]
        integral = _Integral(fit.model.core_name, eta, roots(self.spread_matrices(psi)[taken]))
        weights = self.weights[taken]
        share = weights / weights.sum()
        (mean, *by_mean), (square, *by_square), (within, *by_within) = (
            integral(what) for what in ("mean", "squared", "variance")
        )
        off = 2.0 * weights * (mean - share @ mean) / (weights.sum() - 1)
        within = within + self.residual(psi)[taken]
        values = [0.5 * off @ (mean - share @ mean), share @ (square - mean**2), share @ within]
        moved = [
            [(off, by_mean)],
            [(share, by_square), (-2.0 * share * mean, by_mean)],
            [(share, by_within)],
        ]
        rows = [
            self._pulled(
                sum(weight[:, None] * by[0] for weight, by in pairs),
                sum(weight[:, None, None] * by[1] for weight, by in pairs),
                taken,
            )
            for pairs in moved
        ]
        rows[2] += self._residual_slopes(share, taken)
        return np.array(values), np.array(rows)

    def residual(self, psi: Array) -> Array:
        """What the covariance of a record's residuals adds to the variance of each row, (n,)."""
        found = np.zeros(self.fit.design.n)
        for term, (start, end) in self._residual_terms():
            found += np.square(term.z @ factor_of(term, psi[start:end])).sum(axis=1)
        return found

    def _residual_terms(self) -> list[tuple[DesignTerm, tuple[int, int]]]:
        pairs = zip(self.fit.design.terms, self.fit.estimates.thetas, strict=True)
        return [(term, place) for term, place in pairs if term.residual]

    def _residual_slopes(self, share: Array, taken: slice) -> Array:
        """Derivatives (P,) of the mean of `residual` with weights."""
        psi = self.fit.estimates.parameters
        total = np.zeros(psi.size)
        for term, (start, end) in self._residual_terms():
            z, factor = term.z[taken], factor_of(term, psi[start:end])
            outer = z.T @ (share[:, None] * z)
            for j, moved in enumerate(factor_slopes(term, psi[start:end])[0]):
                total[start + j] = 2.0 * float(np.sum(outer * (moved @ factor.T)))
        return total

    def _pulled(self, by_eta: Array, by_covariance: Array, taken: slice) -> Array:
        """Derivatives (P,) from those in each row's predictors and their covariance."""
        fit = self.fit
        psi = fit.estimates.parameters
        total = np.zeros(psi.size)
        for k, (start, end) in enumerate(fit.estimates.fixed[: len(fit.parts)]):
            x = self.matrices[k][0][taken] if k in self.matrices else 1.0
            total[start:end] += (by_eta[:, k, None] * x).sum(axis=0)[: end - start]
        for term, (start, end) in zip(fit.design.terms, fit.estimates.thetas, strict=True):
            if term.residual:
                continue
            factor, of = factor_of(term, psi[start:end]), np.array(term.predictors)
            # Of z'L L'z: sum of C z z' over rows once, whatever the number of parameters.
            curvature, outer = by_covariance[:, of][:, :, of], np.zeros((of.size, of.size))
            for (i, j), size in np.ndenumerate(self.typical[id(term)]):
                first, second = (term.memberships[m][1][taken] for m in (i, j))
                if size != 0.0:
                    outer += size * np.einsum("ia,iab,ib->ab", first, curvature, second)
            slopes, _ = factor_slopes(term, psi[start:end])
            for j, moved in enumerate(slopes):
                total[start + j] += 2.0 * float(np.sum(outer * (moved @ factor.T)))
        return total

    def spread_matrices(self, psi: Array) -> Array:
        """The covariance of all linear predictors by the random effects, (n, K, K)."""
        fit, count = self.fit, len(self.fit.parts)
        out = np.zeros((fit.design.n, count, count))
        for term, (start, end) in zip(fit.design.terms, fit.estimates.thetas, strict=True):
            if term.residual:
                continue
            factor, of = factor_of(term, psi[start:end]), np.array(term.predictors)
            white = [[(z * (of == k)) @ factor for _, z in term.memberships] for k in range(count)]
            for k in range(count):
                for j in range(count):
                    out[:, k, j] += self._bilinear(term, white[k], white[j])
        return out

    def notes(self) -> tuple[str, ...]:
        """What the numbers mean."""
        link = self.fit.model.link
        if link in LATENT and (self.fit.model.family.trials or self.fit.model.family.ordered):
            source = f"that of the latent variable under the {link} link"
        elif link == "identity":
            source = "the mean variance of a response"
        elif link == "log":
            source = "ln(1 + variance / mean^2) at the mean response"
        else:
            source = "that of a response at the mean, by the slope of the link"
        return (
            f"Distribution: {source}. Terms: mean of z'Sigma z over the rows.",
            "R2 and ICC after Nakagawa, Johnson and Schielzeth (2017); ICC is the repeatability.",
        )
