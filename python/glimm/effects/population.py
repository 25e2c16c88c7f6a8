"""Population-averaged coefficients beside the subject-specific ones."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..confidence import level_checked, normal_reach
from ..data import frame_like
from ..errors import DataError
from ..mixed import MIXED
from ..predict.integrated import require_finite, state_of
from ..predict.points import training_rows
from ..tables import Cell, Column, Printed, Table

if TYPE_CHECKING:
    from ..fit import Fit
    from ..predict.integrated import State

Array = NDArray[np.float64]

RATIOS = {"logit": "odds ratio", "log": "ratio of means", "cloglog": "hazard ratio"}
"""What exp(coefficient) is under a link."""


@dataclass(frozen=True, eq=False)
class PopulationAveraged(Printed):
    """Coefficients of the population mean, beside those of the model.

    Attributes
    ----------
    names : tuple of str, (p,)
        Fixed effects; for ordered classes the thresholds after them.
    subject, estimates : ndarray, (p,)
        Subject-specific and population-averaged coefficients, on the link scale.
    subject_covariance, covariance : ndarray, (p, p)
    level : float
        Of the intervals.
    link : str
    baseline : float or None
        Under a log link with random intercepts alone: exp(variance / 2), by which averaging
        multiplies every mean.
    """

    names: tuple[str, ...]
    subject: Array
    subject_covariance: Array
    estimates: Array
    covariance: Array
    level: float
    link: str
    baseline: float | None
    frame_kind: Any = field(repr=False)

    @property
    def coef(self) -> dict[str, float]:
        """Population-averaged coefficients by name."""
        return dict(zip(self.names, self.estimates.tolist(), strict=True))

    @property
    def se(self) -> dict[str, float]:
        """Their standard errors by name."""
        return dict(zip(self.names, np.sqrt(np.diag(self.covariance)).tolist(), strict=True))

    def to_frame(self) -> Any:
        """Return the numbers as a frame of the user's kind.

        One row per coefficient and `effect` (``"subject"``, ``"population"``): `estimate`, `se`,
        `lower`, `upper` on the link scale, and where exp of them has a name `ratio`,
        `ratio_lower`, `ratio_upper`.
        """
        columns: dict[str, list[Any]] = {"name": [], "effect": []}
        for effect, estimates, covariance in self._both():
            lines = self._lines(estimates, covariance)
            columns["name"] += self.names
            columns["effect"] += [effect] * len(self.names)
            for key, j in (("estimate", 0), ("se", 1), ("lower", 2), ("upper", 3)):
                columns.setdefault(key, []).extend(lines[:, j].tolist())
            if self.link in RATIOS:
                for key, j in (("ratio", 0), ("ratio_lower", 2), ("ratio_upper", 3)):
                    columns.setdefault(key, []).extend(np.exp(lines[:, j]).tolist())
        return frame_like(self.frame_kind, columns)

    @property
    def table(self) -> Table:
        """Both sets of coefficients side by side."""
        word = RATIOS.get(self.link)
        percent = f"{100 * self.level:g}%"
        (_, b, c), (_, a, d) = self._both()
        subject, population = self._lines(b, c), self._lines(a, d)
        columns = [Column(""), Column("subject", "number"), Column("SE", "number", "subject_se")]
        if word:
            columns.append(Column("exp", "number", "subject_ratio"))
        columns += [Column("population", "number"), Column("SE", "number", "population_se")]
        if word:
            columns.append(Column("exp", "number", "population_ratio"))
        columns += [Column(f"{percent} lower", "number", "lower"), Column("upper", "number")]
        rows: list[tuple[Cell, ...]] = []
        for name, own, averaged in zip(self.names, subject, population, strict=True):
            cells: list[Cell] = [name, *own[:2].tolist()]
            cells += [float(np.exp(own[0]))] if word else []
            cells += averaged[:2].tolist()
            ends = np.exp(averaged[2:]) if word else averaged[2:]
            cells += [float(np.exp(averaged[0]))] if word else []
            rows.append((*cells, *ends.tolist()))
        title = f"Subject-specific and population-averaged effects ({self.link} scale)"
        return Table(title, tuple(columns), tuple(rows), self._notes())

    def _notes(self) -> tuple[str, ...]:
        notes = [
            "subject: between two rows of one group, its random effects held fixed.",
            "population: between the means of all groups, random effects averaged over.",
        ]
        if word := RATIOS.get(self.link):
            notes.append(f"exp: {word}; the interval is that of the population's.")
        if self.link == "log" and self.baseline is not None:
            notes.append(
                "Ratios agree under the log link; averaging multiplies the baseline by "
                f"exp(variance / 2) = {self.baseline:.4g}."
            )
        return tuple(notes)

    def _both(self) -> tuple[tuple[str, Array, Array], ...]:
        return (
            ("subject", self.subject, self.subject_covariance),
            ("population", self.estimates, self.covariance),
        )

    def _lines(self, estimates: Array, covariance: Array) -> Array:
        """Estimate, standard error, lower, upper, (p, 4)."""
        se = np.sqrt(np.diag(covariance))
        half = normal_reach(self.level) * se
        return np.column_stack([estimates, se, estimates - half, estimates + half])


def population_averaged(fit: Fit, level: float = 0.95) -> PopulationAveraged:
    """Return population-averaged coefficients; see `Fit.population_averaged`."""
    level_checked(level)
    if fit.model.link == MIXED:
        message = (
            "rows have families with different links, so there is no one scale of the link for "
            "population-averaged coefficients; predict(kind='population') averages each row"
        )
        raise DataError(message, code="no_interval")
    rows = training_rows(fit)
    everywhere = tuple(np.ones(rows.n, dtype=bool) for _ in rows.terms)
    state = state_of(fit, rows, fit.estimates.modes, everywhere)
    x, values, slopes, places = _stacked(state) if fit.model.family.ordered else _rows(state)
    freq = fit.design.freq
    weights = np.ones(len(x)) if freq is None else np.tile(freq, len(x) // rows.n)
    # Least squares of g(mean) on x: (X'WX)^-1 X'W g, with the same map of the derivatives of g.
    weighted = x * weights[:, None]
    project = np.linalg.solve(weighted.T @ x, weighted.T)
    estimates, jacobian = project @ values, project @ slopes
    whole = fit.estimates.covariance
    unknown = ~np.isfinite(np.diag(whole))
    known = np.where(unknown[:, None] | unknown[None, :], 0.0, whole)
    names = fit.names + (fit.part("thresholds").names if fit.model.family.ordered else ())
    return PopulationAveraged(
        names=names,
        subject=fit.estimates.parameters[places],
        subject_covariance=whole[np.ix_(places, places)],
        estimates=estimates,
        covariance=_lost(jacobian @ known @ jacobian.T, jacobian, unknown),
        level=level,
        link=fit.model.link,
        baseline=_baseline(fit, state),
        frame_kind=fit.design.frame_kind,
    )


def _lost(covariance: Array, jacobian: Array, unknown: NDArray[np.bool_]) -> Array:
    """NaN for coefficients that move with parameters which the data do not tell."""
    size = np.abs(jacobian).max(axis=1, keepdims=True)
    lost = (np.abs(jacobian[:, unknown]) > 1e-9 * size).any(axis=1)
    return np.where(lost[:, None] | lost[None, :], np.nan, covariance)


def _rows(state: State) -> tuple[Array, Array, Array, list[int]]:
    """(x, g(mean) less the offset, its derivatives in all parameters, places of coefficients)."""
    fit = state.fit
    matrix, offset = state.rows.matrices[0]
    x = matrix[:, list(fit.estimates.kept[0])]
    value, slopes = _linked(state, state.eta[0])
    start, end = fit.estimates.fixed[0]
    by_eta, by_theta = slopes
    gradient = np.zeros((state.rows.n, fit.estimates.parameters.size))
    gradient[:, start:end] = by_eta[:, None] * x
    for j, slope in by_theta:
        gradient[:, j] += slope
    return x, value if offset is None else value - offset, gradient, list(range(start, end))


def _stacked(state: State) -> tuple[Array, Array, Array, list[int]]:
    """The same for ordered classes: g(P(Y <= c)) = threshold_c - x beta, all c under each other."""
    fit = state.fit
    matrix, offset = state.rows.matrices[0]
    x = matrix[:, list(fit.estimates.kept[0])]
    thresholds = fit.part("thresholds")
    start, end = fit.estimates.fixed[0]
    count, n = thresholds.estimates.size, state.rows.n
    columns, values, gradients = [], [], []
    for c, threshold in enumerate(thresholds.estimates.tolist()):
        picks = np.zeros((n, count))
        picks[:, c] = 1.0
        value, (by_eta, by_theta) = _linked(state, threshold - state.eta[0])
        gradient = np.zeros((n, fit.estimates.parameters.size))
        gradient[:, start:end] = -by_eta[:, None] * x
        gradient[:, thresholds.first + c] = by_eta
        for j, slope in by_theta:
            gradient[:, j] += slope
        columns.append(np.hstack([-x, picks]))
        values.append(value if offset is None else value + offset)
        gradients.append(gradient)
    places = [*range(start, end), *range(thresholds.first, thresholds.first + count)]
    return np.vstack(columns), np.concatenate(values), np.vstack(gradients), places


def _linked(state: State, eta: Array) -> tuple[Array, tuple[Array, list[tuple[int, Array]]]]:
    """Return g(E g^-1(eta + e)) with its derivatives in eta and in the parameters of Sigma."""
    link = state.fit.model.link
    sd = np.sqrt(state.spread(0, 0))
    mean, d_eta, d_sd = _core.population(link, eta, sd)
    require_finite(mean, link)
    value = _core.link(link, mean)
    slope = 1.0 / _core.population(link, value, np.zeros(value.size))[1]
    half = np.divide(slope * d_sd, 2.0 * sd, out=np.zeros_like(sd), where=sd > 0)
    by_theta = [(j, half * moved) for j, moved in state.spread_slopes(0, 0)]
    return value, (slope * d_eta, by_theta)


def _baseline(fit: Fit, state: State) -> float | None:
    """Under a log link, exp(variance / 2) where that is one number."""
    own = [t for t in fit.design.terms if 0 in t.predictors]
    if fit.model.link != "log" or any(t.columns != ("(Intercept)",) for t in own) or not own:
        return None
    return math.exp(0.5 * float(state.spread(0, 0)[0]))
