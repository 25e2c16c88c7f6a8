"""Profile likelihood: curves and intervals.

The profile of a number g is the log-likelihood maximised over all else. An interval holds the values that a
likelihood-ratio test does not reject: those with 2 (l_max - l(g)) below a quantile of chi-square.
"""  # noqa: E501

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..confidence import normal_reach
from ..errors import DataError, FitError, listed, nearest_first
from ..problem import explain
from ..progress import Progress
from ..tables import Column, Printed, Table
from .goals import Goal, goals_of
from .ml import by_likelihood, problem_of

if TYPE_CHECKING:
    from ..fit import Fit

Array = NDArray[np.float64]

POINTS = 6
"""Points of a curve on each side of the estimate."""

_NOTES = {
    "flat": "the likelihood does not fall far enough, however far one goes",
    "no value": "the likelihood has no value, or no maximum can be found, on the way",
    "undefined": "not defined at the estimates",
}


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """The profile of one number.

    Attributes
    ----------
    name : str
    estimate : float
    value : ndarray, (k,)
        Ascending values, the estimate among them: coefficients on the link scale, standard
        deviations, correlations.
    zeta : ndarray, (k,)
        Signed root of twice the fall of the log-likelihood; straight where it is quadratic.
    parameters : ndarray, (k, P)
        All parameters at the constrained maxima.
    notes : tuple of str
        Why a side ends early.
    """

    name: str
    estimate: float
    value: Array
    zeta: Array
    parameters: Array
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Profile(Printed):
    """Profiles of several numbers of a fit; made by `Fit.profile`.

    Attributes
    ----------
    curves : tuple of Curve
    likelihood : str
        Which likelihood is profiled: for a fit by REML that of maximum likelihood.
    fit : Fit
        The fit by maximum likelihood about which the profiles are.
    """

    curves: tuple[Curve, ...]
    likelihood: str
    fit: Fit
    goals: tuple[Goal, ...] = field(repr=False)

    def to_frame(self) -> Any:
        """Return `name`, `value`, `zeta`, one row for each point."""
        return self.fit.frame(
            {
                "name": [c.name for c in self.curves for _ in c.value],
                "value": [float(v) for c in self.curves for v in c.value],
                "zeta": [float(z) for c in self.curves for z in c.zeta],
            }
        )

    def confint(self, level: float = 0.95) -> Any:
        """Return intervals, solved for exactly rather than interpolated; see `Fit.confint`."""
        return self.fit.frame(solve_intervals(self.fit, list(self.goals), level)[0])

    @property
    def table(self) -> Table:
        """The numbers, as they are printed."""
        found, _ = solve_intervals(self.fit, list(self.goals), 0.95)
        columns = tuple(Column(k, "text" if k in ("name", "note") else "number") for k in found)
        return Table(
            f"Profile of the {self.likelihood}, 95 %",
            columns,
            tuple(zip(*found.values(), strict=True)),
        )  # noqa: E501

    def plot(self, ax: Any = None) -> Any:
        """Draw it; see `glimm.plots.profile`."""
        from ..plots import profile

        return profile(self, ax=ax)


def profile(
    fit: Fit, names: str | Sequence[str] | None, level: float, part: str, progress: bool | None
) -> Profile:
    """See `Fit.profile`."""
    about, reach = by_likelihood(fit), normal_reach(level)
    goals = chosen(goals_of(about, part), names)
    roots = [reach * (k + 1) / POINTS for k in range(POINTS)]
    found = walk(about, goals, [roots] * len(goals), progress=progress)
    curves = tuple(_curve(about, goal, points) for goal, points in zip(goals, found, strict=True))
    return Profile(curves, likelihood_of(fit, found), about, tuple(goals))


_FIRST_ORDER = "corrected to first order about the estimates"
_SURFACES = {
    "own": "",
    "tilted": f" ({_FIRST_ORDER})",
    "propagation": " (by expectation propagation)",
    "propagation, tilted": f" (by expectation propagation, {_FIRST_ORDER})",
}
"""What the core walked over, in words."""


def likelihood_of(fit: Fit, found: list[Points]) -> str:
    """Name the likelihood that was profiled."""
    if fit.model.reml:
        return "likelihood (maximum likelihood; the fit itself is REML)"
    if fit.model.penalty is not None:
        return "penalised likelihood"
    return "likelihood" + next(
        (_SURFACES[points.surface] for points in found if points.surface), ""
    )


def chosen(goals: list[Goal], names: str | Sequence[str] | None) -> list[Goal]:
    """Pick goals by name.

    Raises
    ------
    DataError
    """
    if names is None:
        return goals
    wanted = [names] if isinstance(names, str) else list(names)
    known = {goal.name: goal for goal in goals}
    for name in wanted:
        if name not in known:
            options = listed(nearest_first(str(name), known))
            raise DataError(f"names has {name!r}; use {options}", code="unknown_option")
    return [known[name] for name in wanted]


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """What the core found of one goal, in its own scale."""

    ending: list[str]
    value: Array
    root: Array
    parameters: Array
    surface: str = ""


def walk(
    fit: Fit,
    goals: list[Goal],
    numbers: list[list[float]],
    roots: bool = True,
    progress: bool | None = None,
) -> list[Points]:
    """Ask the core for points of profiles.

    Raises
    ------
    FitError
        When the likelihood turns out higher elsewhere than at the fit.
    """
    told = [all(fit.estimates.identified[j] == "yes" for j in g.first + g.second) for g in goals]
    asked = [k for k, known in enumerate(told) if known]
    problem, nothing = problem_of(fit), Points([], np.empty(0), np.empty(0), np.empty((0, 0)))
    found = dict.fromkeys(range(len(goals)), nothing)
    try:
        with Progress(progress, problem.memory) as show:
            raw = problem.profile(
                fit.estimates.parameters,
                [goals[k].core for k in asked],
                [numbers[k] for k in asked],
                roots,
                show,
            )
    except _core.CoreError as error:
        raise explain(error, fit.model, fit.design) from None
    for k, one in zip(asked, raw, strict=True):
        psi = one["parameters"].reshape(-1, fit.estimates.parameters.size)
        found[k] = Points(one["ending"], one["value"], one["root"], psi, one["surface"])
        if "higher" in one["ending"]:
            _refuse_higher(goals[k], found[k])
    return list(found.values())


def _refuse_higher(goal: Goal, points: Points) -> None:
    i = points.ending.index("higher")
    raise FitError(
        f"the likelihood is higher where {goal.name} = {goal.read(float(points.value[i])):.6g} than"
        " at the estimates: the fit is a local maximum; look for another"
        " one by refitting a simpler model first",
        code="higher_elsewhere",
    )


def _curve(fit: Fit, goal: Goal, points: Points) -> Curve:
    estimate = goal.value(fit.estimates.parameters)
    keep = [
        k
        for k, e in enumerate(points.ending)
        if (e == "reached" and not goal.beyond(float(points.value[k])))
        or (e == "limit" and points.root[k])
    ]
    value = [goal.read(float(points.value[k])) for k in keep] + [estimate]
    sign = -1.0 if goal.falls else 1.0
    zeta = [sign * float(points.root[k]) for k in keep] + [0.0]
    psi = np.vstack(
        [
            points.parameters[keep].reshape(-1, fit.estimates.parameters.size),
            fit.estimates.parameters,
        ]
    )
    by_value = np.argsort(np.array(value), kind="stable")
    notes = tuple(_NOTES[e] for e in points.ending if e in _NOTES)
    if not points.ending:
        notes = (_NOTES["undefined"],)
    return Curve(goal.name, estimate, np.array(value)[by_value], np.array(zeta)[by_value],
                 psi[by_value], notes)  # fmt: skip


def solve_intervals(
    fit: Fit, goals: list[Goal], level: float, progress: bool | None = None
) -> tuple[dict[str, list[Any]], list[Points]]:
    """Return columns `name`, `estimate`, `lower`, `upper`, `note`, and what the core found."""
    reach = normal_reach(level)
    found = walk(fit, goals, [[reach]] * len(goals), progress=progress)
    rows = [_interval(fit, goal, points) for goal, points in zip(goals, found, strict=True)]
    keys = ("name", "estimate", "lower", "upper", "note")
    columns = {key: [row[k] for row in rows] for k, key in enumerate(keys)}
    return columns, found


def _interval(fit: Fit, goal: Goal, points: Points) -> tuple[str, float, float, float, str]:
    estimate = goal.value(fit.estimates.parameters)
    if not points.ending:
        word = "undefined" if math.isnan(estimate) else "not told by the data"
        return goal.name, estimate, math.nan, math.nan, _NOTES.get(word, word)
    ends, notes = [math.nan, math.nan], []
    for k, ending in enumerate(points.ending):
        side = 1 - k if goal.falls else k
        if ending == "reached" and goal.beyond(float(points.value[k])):
            ends[side] = goal.read(math.copysign(math.pi / 2, points.value[k]))
            notes.append(f"{('lower', 'upper')[side]} end at the limit")
        elif ending == "reached":
            ends[side] = goal.read(float(points.value[k]))
        elif ending == "limit":
            ends[side] = _limit(goal, k)
            notes.append(f"{('lower', 'upper')[side]} end at the limit, zeta {points.root[k]:.2f}")
        else:
            notes.append(f"{('lower', 'upper')[side]}: {_NOTES[ending]}")
    return goal.name, estimate, ends[0], ends[1], "; ".join(notes)


def _limit(goal: Goal, side: int) -> float:
    """The end of the range: a standard deviation of zero, a correlation of one in size."""
    if goal.kind == "correlation":
        return 1.0 if side == 0 else -1.0
    return 0.0
