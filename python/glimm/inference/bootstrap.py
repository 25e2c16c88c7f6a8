"""The parametric bootstrap: refits to responses simulated from the fit."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..confidence import level_checked
from ..errors import DataError, GlimmError
from ..fit import Fit, one_of
from ..problem import explain, make_problem
from ..progress import Counting, Progress
from ..simulate import draws
from ..tables import Column, Printed, Table
from .goals import Goal, goals_of

if TYPE_CHECKING:
    from ..model import Model

Array = NDArray[np.float64]
Statistic = Callable[[Fit], float | Mapping[str, float]]

KINDS = ("percentile", "basic", "studentized", "bias-corrected", "bca")
HELD = 2**26
"""Simulated responses that are held at a time, half a gigabyte."""
_PROBLEMS = 8
"""Problems of one thread that are held at once, where each refit has its own."""
_MORE_NODES = 2
_MOST_NODES = 51


@dataclass(frozen=True, slots=True, eq=False)
class Refits:
    """Refits of one model to many responses.

    Attributes
    ----------
    parameters : ndarray, (n, P)
        NaN where a refit failed.
    covariance : ndarray, (n, P, P)
    loglik : ndarray, (n,)
    states : tuple of str, (n,)
        ``"converged"``, ``"not_converged"``, or the code of an error.
    """

    parameters: Array
    covariance: Array
    loglik: Array
    states: tuple[str, ...]

    @property
    def good(self) -> NDArray[np.bool_]:
        """Which refits reached their maximum, (n,)."""
        return np.array([state == "converged" for state in self.states])


@dataclass(frozen=True, slots=True, eq=False)
class Bootstrap(Printed):
    """Estimates from simulated responses; made by `Fit.bootstrap`.

    Attributes
    ----------
    names : tuple of str, (m,)
    estimates : ndarray, (m,)
        Of the fit itself.
    replicates : ndarray, (n, m)
        Of the refits; NaN where one failed.
    states : tuple of str, (n,)
        What became of each refit: ``"converged"``, ``"not_converged"``, or the code of an error.
    refits : Refits
    """

    names: tuple[str, ...]
    estimates: Array
    replicates: Array
    refits: Refits
    fit: Fit
    goals: tuple[Goal, ...]

    @property
    def states(self) -> tuple[str, ...]:
        """What became of each refit."""
        return self.refits.states

    @property
    def failed(self) -> dict[str, int]:
        """Refits that did not converge, by the reason; intervals leave them out."""
        return dict(Counter(state for state in self.states if state != "converged"))

    @property
    def se(self) -> Array:
        """Standard deviation of the refits that converged, (m,)."""
        return np.asarray(np.nanstd(self.replicates[self.refits.good], axis=0, ddof=1))

    @property
    def bias(self) -> Array:
        """Mean of the refits that converged less the estimate, (m,)."""
        return np.asarray(np.nanmean(self.replicates[self.refits.good], axis=0) - self.estimates)

    def to_frame(self) -> Any:
        """Return one row for each refit: the numbers, and `state`."""
        columns = {name: self.replicates[:, j].tolist() for j, name in enumerate(self.names)}
        return self.fit.frame(columns | {"state": list(self.states)})

    def confint(self, level: float = 0.95, *, kind: str = "percentile") -> Any:
        """Return intervals.

        Parameters
        ----------
        level : float
        kind : str
            ``"percentile"``: quantiles of the refits. ``"basic"``: those mirrored at the
            estimate. ``"studentized"``: quantiles of the refits' errors in their own standard
            errors, on the log scale for standard deviations and that of atanh for correlations;
            refits with a standard deviation of zero have none and are left out of it.
            ``"bias-corrected"``: percentiles shifted by the median bias. ``"bca"``: and by the
            acceleration, the skewness of the influence that each independent unit of the data has
            on the number (Efron 1987); for fits with scores, as `Fit.robust`.

        Returns
        -------
        frame
            `name`, `estimate`, `lower`, `upper`, `used`, the number of refits.

        References
        ----------
        Davison, A. C. and Hinkley, D. V. (1997). Bootstrap Methods and their Application,
        chapter 5. Cambridge University Press.
        Efron, B. (1987). Better bootstrap confidence intervals. Journal of the American Statistical
        Association 82, 171-185.
        """
        return self.fit.frame(self.intervals(level, kind))

    def intervals(self, level: float, kind: str) -> dict[str, list[Any]]:
        """Return the columns of `confint`."""
        one_of("kind", kind, KINDS)
        level_checked(level)
        rows = [self._interval(j, level, kind) for j in range(len(self.names))]
        keys = ("name", "estimate", "lower", "upper", "used")
        return {key: [row[k] for row in rows] for k, key in enumerate(keys)}

    def _interval(self, j: int, level: float, kind: str) -> tuple[str, float, float, float, int]:
        estimate, tails = float(self.estimates[j]), ((1 - level) / 2, (1 + level) / 2)
        if kind == "studentized":
            return (self.names[j], estimate, *self._studentized(j, tails))
        column = self.replicates[self.refits.good, j]
        known = column[np.isfinite(column)]
        if known.size < 2:
            return self.names[j], estimate, math.nan, math.nan, int(known.size)
        if kind in ("bias-corrected", "bca"):
            tails = _shifted(known, estimate, tails, self._acceleration(j) if kind == "bca" else 0)
        low, high = (float(x) for x in np.quantile(known, tails))
        if kind == "basic":
            low, high = 2 * estimate - high, 2 * estimate - low
        return self.names[j], estimate, low, high, int(known.size)

    def _acceleration(self, j: int) -> float:
        """Sum l^3 / (6 (sum l^2)^(3/2)) of the influences l = s'V g of units with scores s."""
        from .delta import jacobian
        from .robust import unit_scores

        if not self.goals:
            message = "kind='bca' needs the influence of the data on a number; a statistic has none"
            raise DataError(message, code="unknown_option")
        e, goal = self.fit.estimates, self.goals[j]
        v = np.where(np.isfinite(e.covariance), e.covariance, 0.0)
        errors = np.sqrt(np.diag(v))
        slope = jacobian(lambda psi: np.array([goal.value(psi)]), e.parameters, errors)[0]
        influence = unit_scores(self.fit)[0] @ (v @ slope)
        size = float(influence @ influence)
        return float((influence**3).sum()) / (6 * size**1.5) if size > 0 else 0.0

    def _studentized(self, j: int, tails: tuple[float, float]) -> tuple[float, float, int]:
        from .confint import free_error

        if not self.goals:
            message = "kind='studentized' needs standard errors; a statistic has none"
            raise DataError(message, code="unknown_option")
        goal, e = self.goals[j], self.fit.estimates
        center, error = goal.free(e.parameters), free_error(goal, e.parameters, e.covariance)
        roots = []
        for k in np.flatnonzero(self.refits.good):
            psi = self.refits.parameters[k]
            root = (goal.free(psi) - center) / free_error(goal, psi, self.refits.covariance[k])
            if math.isfinite(root):
                roots.append(root)
        if len(roots) < 2 or not math.isfinite(error):
            return math.nan, math.nan, len(roots)
        low, high = (float(x) for x in np.quantile(roots, tails))
        return goal.bound(center - high * error), goal.bound(center - low * error), len(roots)

    @property
    def table(self) -> Table:
        """The numbers, as they are printed."""
        found = self.intervals(0.95, "percentile")
        rows = zip(found["name"], found["estimate"], self.bias.tolist(), self.se.tolist(),
                   found["lower"], found["upper"], strict=True)  # fmt: skip
        heads = ("name", "estimate", "bias", "se", "lower", "upper")
        columns = tuple(Column(h, "text" if h == "name" else "number") for h in heads)
        bad = ", ".join(f"{count} {state}" for state, count in self.failed.items())
        notes = (f"{sum(self.failed.values())} refits left out: {bad}",) if bad else ()
        title = f"Parametric bootstrap, {len(self.states)} refits, 95 % percentile intervals"
        return Table(title, columns, tuple(rows), notes)

    def plot(self, ax: Any = None) -> Any:
        """Draw it; see `glimm.plots.bootstrap`."""
        from ..plots import bootstrap

        return bootstrap(self, ax=ax)


def bootstrap(
    fit: Fit,
    n: int,
    seed: int,
    statistic: Statistic | None,
    threads: int | None,
    progress: bool | None,
    goals: list[Goal] | None = None,
) -> Bootstrap:
    """See `Fit.bootstrap`."""
    if not isinstance(n, int) or n < 2:
        raise DataError(f"n={n!r}; at least 2", code="unknown_option")
    parts, statistics = [], []
    for batch in batches(n, fit.design.n):
        ys = draws(fit, batch, seed)
        parts.append(refit_many(fit, ys, threads, progress))
        if statistic is not None:
            statistics += _statistics(fit, ys, parts[-1], statistic)
    refits = _joined(parts)
    if statistic is not None:
        own = _named(statistic(fit))
        values = np.array(list(own.values()))
        return Bootstrap(tuple(own), values, np.array(statistics), refits, fit, ())
    goals = goals_of(fit, "all") + _sigma(fit) if goals is None else goals
    names = tuple(goal.name for goal in goals)
    rows = [[goal.value(psi) for goal in goals] for psi in refits.parameters]
    estimates = np.array([goal.value(fit.estimates.parameters) for goal in goals])
    return Bootstrap(names, estimates, np.array(rows), refits, fit, tuple(goals))


def batches(n: int, rows: int, most: int | None = None) -> list[range]:
    """Split n data sets into batches of at most `HELD` responses, so that memory has a bound.

    Parameters
    ----------
    n, rows : int
    most : int, optional
        Data sets of one batch.

    Examples
    --------
    >>> batches(5, HELD // 2)
    [range(0, 2), range(2, 4), range(4, 5)]
    """
    step = min(max(HELD // rows, 1), most or n)
    return [range(k, min(k + step, n)) for k in range(0, n, step)]


def _joined(parts: Sequence[Refits]) -> Refits:
    return Refits(
        np.concatenate([part.parameters for part in parts]),
        np.concatenate([part.covariance for part in parts]),
        np.concatenate([part.loglik for part in parts]),
        tuple(state for part in parts for state in part.states),
    )


def _sigma(fit: Fit) -> list[Goal]:
    return [goal for goal in goals_of(fit, "random") if goal.kind == "sigma"]


def refit_many(
    fit: Fit, ys: Array, threads: int | None = None, progress: bool | None = None
) -> Refits:
    """Refit a model to each row of `ys`, (n, rows), starting from its estimates.

    The same numbers for any number of threads. One grouping factor is integrated with the
    largest number of nodes per effect that the fit needed and two more; certificates, modes and
    conditional covariances are not computed.
    """
    if threads is not None and threads < 1:
        message = f"threads={threads}; at least 1, or None for all cores"
        raise DataError(message, code="unknown_option")
    model = replace(fit.model, threads=1, compress=False)
    count = min(threads or os.cpu_count() or 1, len(ys))
    try:
        if model.family.ordered:
            return _each_anew(fit, model, ys, count, progress)
        problems = [make_problem(model, fit.design) for _ in range(count)]
        with Progress(progress, sum(p.memory for p in problems)) as show:
            found = _core.refit_many(
                problems, ys.ravel(), ys.shape[1], fit.estimates.parameters, nodes_of(fit), show
            )
    except _core.CoreError as error:
        raise explain(error, fit.model, fit.design) from None
    p = fit.estimates.parameters.size
    return Refits(found["parameters"].reshape(-1, p), found["covariance"].reshape(-1, p, p),
                  found["loglik"], tuple(found["state"]))  # fmt: skip


def nodes_of(fit: Fit) -> int:
    """Return nodes per random effect for all groups of a refit."""
    if fit.certificate.method != "quadrature":
        return 1
    effects = sum(len(term.columns) for term in fit.design.terms)
    root = math.pow(fit.certificate.nodes[2], 1 / effects)
    return min(math.ceil(root - 1e-9) + _MORE_NODES, _MOST_NODES)


def _each_anew(fit: Fit, model: Model, ys: Array, threads: int, progress: bool | None) -> Refits:
    """Thresholds are picked out by the responses, so that each refit has a problem of its own."""
    p, count, step = fit.estimates.parameters.size, len(ys), _PROBLEMS * threads
    parameters, covariance = np.full((count, p), np.nan), np.full((count, p, p), np.nan)
    loglik, states = np.full(count, np.nan), [""] * count
    with Counting(progress, "refits", count) as show:
        for start in range(0, count, step):
            these = range(start, min(start + step, count))
            made = _problems(fit, model, ys, these, states)
            if not made:
                continue
            found = _core.refit_each(
                list(made.values()), [ys[k] for k in made], fit.estimates.parameters, nodes_of(fit),
                threads,
            )  # fmt: skip
            places = list(made)
            parameters[places] = found["parameters"].reshape(-1, p)
            covariance[places] = found["covariance"].reshape(-1, p, p)
            loglik[places] = found["loglik"]
            for k, state in zip(places, found["state"], strict=True):
                states[k] = state
            show.done(these.stop)
    return Refits(parameters, covariance, loglik, tuple(states))


def _problems(
    fit: Fit, model: Model, ys: Array, these: Iterable[int], states: list[str]
) -> dict[int, _core.Problem]:
    """Problems of some responses; the state of those that have none is written down."""
    made = {}
    for k in these:
        try:
            made[k] = make_problem(model, fit.design.with_response(ys[k]))
        except GlimmError as error:
            states[k] = error.code
    return made


def _statistics(fit: Fit, ys: Array, refits: Refits, statistic: Statistic) -> list[list[float]]:
    """The statistic of each refit; NaN where there is none."""
    rows = []
    for k, y in enumerate(ys):
        if not refits.good[k]:
            rows.append([math.nan] * len(_named(statistic(fit))))
            continue
        estimates = replace(
            fit.estimates,
            parameters=refits.parameters[k],
            covariance=refits.covariance[k],
            loglik=float(refits.loglik[k]),
        )
        made = Fit(fit.model, fit.design.with_response(y), estimates)
        rows.append(list(_named(statistic(made)).values()))
    return rows


def _named(value: float | Mapping[str, float]) -> dict[str, float]:
    return dict(value) if isinstance(value, Mapping) else {"statistic": float(value)}


def _shifted(
    known: Array, estimate: float, tails: tuple[float, float], acceleration: float
) -> tuple[float, float]:
    """Tails Phi(b + (b + z) / (1 - a (b + z))), b the quantile of the share below the estimate."""
    normal = NormalDist()
    below = (np.sum(known < estimate) + 0.5 * np.sum(known == estimate)) / known.size
    bias = normal.inv_cdf(min(max(float(below), 0.5 / known.size), 1 - 0.5 / known.size))
    moved = [bias + normal.inv_cdf(t) for t in tails]
    low, high = (normal.cdf(bias + m / (1 - acceleration * m)) for m in moved)
    return low, high
