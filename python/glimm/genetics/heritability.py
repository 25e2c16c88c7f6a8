"""Heritability and its relatives on the latent, the expected and the observed scale."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..confidence import log_interval, logit_interval, normal_reach
from ..data import frame_like
from ..errors import DataError
from ..inference.delta import delta
from ..tables import Cell, Column, Printed, Table
from .analysis import Analysis

if TYPE_CHECKING:
    from ..fit import Fit

Array = NDArray[np.float64]
Places = NDArray[np.int64]

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
        ``"variance"``, ``"covariance"``, ``"share"``, ``"correlation"``,
        ``"residual correlation"``, ``"size"`` or ``"mean"``.
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
            ("Residual correlations", ("residual correlation",)),
            ("Evolvability", ("size",)),
        ):
            lines = [line for line in self.lines if line.kind in kinds]
            if not lines:
                continue
            heads = ((Column("trait"),) if traits else ()) + (
                Column("scale"),
                Column("", key="name"),
            )
            rows: tuple[tuple[Cell, ...], ...] = tuple(
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
    reach = normal_reach(level)
    if method not in ("delta", "profile"):
        raise DataError(f"method={method!r}; use 'delta', 'profile'", code="unknown_option")
    at = Analysis(fit, term, average, fixed_variance)
    psi, covariance = fit.estimates.parameters, fit.estimates.covariance
    names = at.names()
    values = at.numbers(psi, MOST_ROWS)
    _, spread = delta(lambda p: at.numbers(p, SLOPE_ROWS), psi, covariance)
    unknown = ~np.isfinite(np.diag(covariance))
    errors = np.sqrt(np.maximum(np.diag(spread), 0.0))
    if unknown[at.random_places()].any():
        errors = np.full_like(errors, np.nan)
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
        return log_interval(value, half / value)
    if kind == "share":
        if not 0 < value < 1:
            return math.nan, math.nan
        return logit_interval(value, half / (value * (1 - value)))
    if kind.endswith("correlation"):
        if not abs(value) < 1:
            return math.nan, math.nan
        half /= 1 - value * value
        return math.tanh(math.atanh(value) - half), math.tanh(math.atanh(value) + half)
    return value - half, value + half
