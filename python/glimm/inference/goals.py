"""Numbers of a fit that intervals are for, each as a function of the parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, listed, nearest_first
from ..problem import order

if TYPE_CHECKING:
    from ..design import DesignTerm
    from ..fit import Fit

Array = NDArray[np.float64]
CoreGoal = tuple[str, list[float], list[int], list[int]]


def _same(x: float) -> float:
    return x


@dataclass(frozen=True, slots=True, eq=False)
class Goal:
    """A number of a fit in readable form.

    Parameters
    ----------
    name : str
    kind : {"coefficient", "sd", "correlation", "sigma"}
    first, second : tuple of int
        Parameters it depends on: a coefficient, or one or two rows of a factor.
    size : int
        Number of parameters of the fit.
    """

    name: str
    kind: str
    first: tuple[int, ...]
    second: tuple[int, ...]
    size: int

    @property
    def core(self) -> CoreGoal:
        """The goal as the core knows it."""
        if self.kind == "sd":
            return "sd", [], list(self.first), []
        if self.kind == "correlation":
            return "angle", [], list(self.first), list(self.second)
        weights = [0.0] * self.size
        weights[self.first[0]] = 1.0
        return "linear", weights, [], []

    @property
    def read(self) -> Callable[[float], float]:
        """From the core's scale (log, angle) to the readable one."""
        return {"correlation": math.cos, "sigma": math.exp}.get(self.kind, _same)

    @property
    def write(self) -> Callable[[float], float]:
        """From the readable scale to the core's."""
        return {"correlation": math.acos, "sigma": math.log}.get(self.kind, _same)

    @property
    def falls(self) -> bool:
        """Whether the readable number falls as the core's rises."""
        return self.kind == "correlation"

    def value(self, parameters: Array) -> float:
        """The number at the parameters, (P,); NaN for the correlation of an effect that is zero."""
        row = parameters[list(self.first)]
        if self.kind == "coefficient":
            return float(row[0])
        if self.kind == "sigma":
            return math.exp(row[0])
        length = float(np.sqrt(row @ row))
        if self.kind == "sd":
            return length
        other = parameters[list(self.second)]
        both, shared = length * float(np.sqrt(other @ other)), min(row.size, other.size)
        return float(row[:shared] @ other[:shared]) / both if both > 0 else math.nan

    def free(self, parameters: Array) -> float:
        """The number on a scale without ends: log of an sd, atanh of a correlation."""
        value = self.value(parameters)
        if self.kind in ("sd", "sigma"):
            return math.log(value) if value > 0 else -math.inf
        if self.kind == "correlation":
            return math.atanh(min(max(value, -1.0), 1.0)) if abs(value) < 1 else math.nan
        return value

    @property
    def bound(self) -> Callable[[float], float]:
        """From the scale without ends to the readable one."""
        if self.kind in ("sd", "sigma"):
            return math.exp
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
    size = fit.df_model
    return [Goal(name, "coefficient", (first + j,), (), size) for j, name in enumerate(names)]


def random_goals(fit: Fit) -> list[Goal]:
    """Standard deviations and correlations of the random effects, and a residual sd."""
    found: list[Goal] = []
    for term, (start, _) in zip(fit.design.terms, fit.estimates.thetas, strict=True):
        found += _of_term(fit, term, start)
    for part in fit.parts[1:2]:
        if fit.model.family.name == "gaussian" and part.value is not None:
            found.append(Goal("sigma", "sigma", (part.first,), (), fit.df_model))
    return found


def _of_term(fit: Fit, term: DesignTerm, start: int) -> list[Goal]:
    names, places, size = fit.effect_names(term), order(term), fit.df_model
    rows = [row_of(term.structure, places.index(j), start) for j in range(len(names))]
    found = [
        Goal(f"{term.label}: sd[{name}]", "sd", row, (), size)
        for name, row in zip(names, rows, strict=True)
    ]
    if term.structure != "diag":
        for j in range(len(names)):
            for k in range(j):
                name = f"{term.label}: cor[{names[k]}, {names[j]}]"
                found.append(Goal(name, "correlation", rows[k], rows[j], size))
    return found


def row_of(structure: str, place: int, start: int) -> tuple[int, ...]:
    """Places of the parameters of one row of a factor."""
    if structure == "diag":
        return (start + place,)
    first = start + place * (place + 1) // 2
    return tuple(range(first, first + place + 1))
