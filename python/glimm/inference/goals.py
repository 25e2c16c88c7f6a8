"""Numbers of a fit that intervals are for, each as a function of the parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, listed, nearest_first
from ..formula import STRUCTURES
from ..problem import order
from ..structures import bare, constants, range_unit

if TYPE_CHECKING:
    from ..design import DesignTerm
    from ..fit import Fit

Array = NDArray[np.float64]
CoreGoal = tuple[str, list[float], list[int], list[int]]


LOGS = ("sd", "sigma", "root", "range")
"""Kinds of numbers above zero."""


def _same(x: float) -> float:
    return x


@dataclass(frozen=True, slots=True, eq=False)
class Goal:
    """A number of a fit in readable form.

    Parameters
    ----------
    name : str
    kind : str
        ``"coefficient"``, ``"sd"``, ``"correlation"``, ``"sigma"``; of structures with parameters
        of their own ``"root"`` (of an sd), ``"angle"`` (of a correlation), ``"range"`` (its log).
    first, second : tuple of int
        Parameters it depends on: a coefficient, or one or two rows of a factor.
    size : int
        Number of parameters of the fit.
    scale : float
        Of an angle phi, k in rho = 1 - k (1 - sin phi); of a range, its unit.
    """

    name: str
    kind: str
    first: tuple[int, ...]
    second: tuple[int, ...]
    size: int
    scale: float = 1.0

    @property
    def core(self) -> CoreGoal:
        """The goal as the core knows it."""
        if self.kind in ("sd", "root"):
            return "sd", [], list(self.first), []
        if self.kind == "correlation":
            return "angle", [], list(self.first), list(self.second)
        weights = [0.0] * self.size
        weights[self.first[0]] = 1.0
        return "linear", weights, [], []

    @property
    def read(self) -> Callable[[float], float]:
        """From the core's scale (log, angle) to the readable one."""
        return {
            "correlation": math.cos,
            "sigma": math.exp,
            "root": lambda x: x * x,
            "angle": lambda x: self._turned(math.sin(x)),
            "range": lambda x: self.scale * math.exp(x),
        }.get(self.kind, _same)

    @property
    def write(self) -> Callable[[float], float]:
        """From the readable scale to the core's."""
        return {
            "correlation": math.acos,
            "sigma": math.log,
            "root": math.sqrt,
            "angle": lambda x: math.asin(1 - (1 - x) / self.scale),
            "range": lambda x: math.log(x / self.scale),
        }.get(self.kind, _same)

    def _turned(self, sine: float) -> float:
        return 1 - self.scale * (1 - sine)

    @property
    def falls(self) -> bool:
        """Whether the readable number falls as the core's rises."""
        return self.kind == "correlation"

    def beyond(self, x: float) -> bool:
        """Whether x on the core's scale lies behind an end of the range, where angles turn back."""
        return self.kind == "angle" and abs(x) > math.pi / 2

    def value(self, parameters: Array) -> float:
        """The number at the parameters, (P,); NaN for the correlation of an effect that is zero."""
        row = parameters[list(self.first)]
        if self.kind == "coefficient":
            return float(row[0])
        if self.kind in ("sigma", "root", "angle", "range"):
            return self.read(float(row[0]))
        length = float(np.sqrt(row @ row))
        if self.kind == "sd":
            return length
        other = parameters[list(self.second)]
        both, shared = length * float(np.sqrt(other @ other)), min(row.size, other.size)
        return float(row[:shared] @ other[:shared]) / both if both > 0 else math.nan

    def free(self, parameters: Array) -> float:
        """The number on a scale without ends: log of an sd, atanh of a correlation."""
        value = self.value(parameters)
        if self.kind == "angle":
            sine = math.sin(parameters[self.first[0]])
            return math.atanh(sine) if abs(sine) < 1 else math.nan
        if self.kind in LOGS:
            return math.log(value) if value > 0 else -math.inf
        if self.kind == "correlation":
            return math.atanh(min(max(value, -1.0), 1.0)) if abs(value) < 1 else math.nan
        return value

    def free_slope(self, parameters: Array) -> float | None:
        """The derivative of `free` in the one parameter of a number that has a formula for it."""
        x = float(parameters[self.first[0]])
        if self.kind == "angle":
            return 1 / math.cos(x)
        return {"root": 2 / x if x else math.inf, "range": 1.0}.get(self.kind)

    @property
    def bound(self) -> Callable[[float], float]:
        """From the scale without ends to the readable one."""
        if self.kind in LOGS:
            return math.exp
        if self.kind == "angle":
            return lambda x: self._turned(math.tanh(x))
        return math.tanh if self.kind == "correlation" else _same


def goals_of(fit: Fit, part: str) -> list[Goal]:
    """Return the numbers of a part of the fit; see `Fit.confint`.

    Raises
    ------
    DataError
        When the fit has no such part.
    """
    if part == "random":
        return random_goals(fit)
    if part == "all":
        found = [goal for p in fit.parts for goal in _coefficients(fit, p.first, p.labels)]
        return found + [goal for goal in random_goals(fit) if goal.kind != "sigma"]
    known = tuple(p.part for p in fit.parts)
    if part not in known:
        names = listed(nearest_first(part, (*known, "random", "all")))
        raise DataError(f"part={part!r}; use {names}", code="unknown_option")
    chosen = fit.part(part)
    return _coefficients(fit, chosen.first, chosen.names)


def _coefficients(fit: Fit, first: int, names: tuple[str, ...]) -> list[Goal]:
    size = fit.estimates.parameters.size
    return [Goal(name, "coefficient", (first + j,), (), size) for j, name in enumerate(names)]


def random_goals(fit: Fit) -> list[Goal]:
    """Standard deviations and correlations of the random effects, and a residual sd."""
    found: list[Goal] = []
    for term, (start, _) in zip(fit.design.terms, fit.estimates.thetas, strict=True):
        found += _of_term(fit, term, start)
    found = [goal for goal in found if goal.name not in fit.model.tied_names]
    for part in fit.parts[1:2]:
        if fit.model.family.name == "gaussian" and part.value is not None:
            found.append(Goal("sigma", "sigma", (part.first,), (), fit.estimates.parameters.size))
    return found


def _of_term(fit: Fit, term: DesignTerm, start: int) -> list[Goal]:
    structure, names = bare(term.structure), fit.effect_names(term)
    if structure not in ("us", "diag", "rr"):
        return _of_structure(fit, term, start)
    places, size = order(term), fit.estimates.parameters.size
    rank = _rank(term)
    rows = [row_of(structure, places.index(j), start, rank) for j in range(len(names))]
    if rank == 1 and len(names) > 1:
        # The sign of a loading is that of the correlations, all one in size.
        first = places[0]
        return [
            Goal(f"{term.label}: {'sd' if j == first else 'loading'}[{name}]",
                 "sd" if j == first else "coefficient", rows[j], (), size)
            for j, name in enumerate(names)
        ]  # fmt: skip
    found = [
        Goal(f"{term.label}: sd[{name}]", "sd", row, (), size)
        for name, row in zip(names, rows, strict=True)
    ]
    if structure != "diag":
        for j in range(len(names)):
            for k in range(j):
                name = f"{term.label}: cor[{names[k]}, {names[j]}]"
                found.append(Goal(name, "correlation", rows[k], rows[j], size))
    return found


def _rank(term: DesignTerm) -> int | None:
    """The number of factors of a factor model."""
    if bare(term.structure) != "rr":
        return None
    given = constants(term.structure)
    return int(given[0]) if given.size else 2


def _of_structure(fit: Fit, term: DesignTerm, start: int) -> list[Goal]:
    """Standard deviations, then a correlation, those of each lag, or a range."""
    names, places, size = fit.effect_names(term), order(term), fit.estimates.parameters.size
    structure, q, label = bare(term.structure), len(names), term.label
    words = STRUCTURES[structure]
    if words.common:
        found = [Goal(f"{label}: sd", "sd", (start,), (), size)]
    else:
        found = [
            Goal(f"{label}: sd[{name}]", "root", (start + places.index(j),), (), size)
            for j, name in enumerate(names)
        ]
    first = start + len(found)
    if words.shape == ("log range",):
        unit = range_unit(term.structure)
        return [*found, Goal(f"{label}: range", "range", (first,), (), size, unit)]
    if words.shape == ("lag",):
        # Partial autocorrelations, of which the first is the correlation of neighbours.
        lags = ["corr[lag 1]", *(f"partial corr[lag {k}]" for k in range(2, q))]
        return found + [
            Goal(f"{label}: {name}", "angle", (first + k,), (), size) for k, name in enumerate(lags)
        ]
    if words.shape:
        scale = q / (2 * (q - 1)) if structure in ("cs", "homcs") else 1.0
        found.append(Goal(f"{label}: corr", "angle", (first,), (), size, scale))
    return found


def row_of(structure: str, place: int, start: int, rank: int | None = None) -> tuple[int, ...]:
    """Places of the parameters of one row of a factor, of `rank` columns if given."""
    if structure == "diag":
        return (start + place,)
    widths = [min(r + 1, rank or r + 1) for r in range(place + 1)]
    first = start + sum(widths[:-1])
    return tuple(range(first, first + widths[-1]))
