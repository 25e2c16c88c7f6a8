"""What a fit would be without single rows or clusters."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import FitError
from ..fit import one_of
from ..inference.delta import delta
from ..inference.goals import Goal, goals_of
from ..tables import Cell, Column, Framed, Table
from .deletion import Deletions, deletions, rest_of
from .leverage import leverage
from .onestep import one_step
from .posterior import free_parameters
from .refits import refits

if TYPE_CHECKING:
    from ..fit import Fit

Array = NDArray[np.float64]

METHODS = ("one-step", "refit")
_SHOWN = 10


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Influence(Framed):
    """How estimates change without each group of rows. Made by `glimm.influence`.

    Groups stand in the order of `labels`, (m,); numbers in that of `names`, (k,): coefficients of
    all linear predictors, then standard deviations and correlations of the random effects.

    Parameters
    ----------
    by, method : str
        What was left out, and how the estimates without it were found.
    labels : tuple
        Of the groups: levels, or positions of rows in the data.
    sizes : ndarray of int, (m,)
        Rows of each group.
    names : tuple of str
    estimates : ndarray, (k,)
        With all rows.
    change : ndarray, (m, k)
        Estimates without the group less those with it; NaN where the rows left do not tell.
    scaled : ndarray, (m, k)
        `change` in standard errors of the fit.
    cooks : ndarray, (m,)
        Cook's distance: d'V^-1 d / p for the change d of the p coefficients of the mean.
    displacement : ndarray, (m,)
        Likelihood displacement: twice the log-likelihood that is lost, with all rows, at the
        estimates without the group; its quadratic form for one-step estimates and after REML.
    covariance_ratio : ndarray, (m,)
        det of the coefficients' covariance without the group over that with it: below one, the
        group makes estimates less precise.
    leverage : ndarray, (m,)
        Sum over the group's rows of `glimm.checks.leverage`; NaN where that is not defined.
    states : tuple of str, (m,)
        ``"ok"``; ``"variances held"``: the rows left tell the coefficients but no step of the
        other parameters, which are held; ``"not told"``: no numbers. Covariances on their boundary
        are held by one-step estimates, and have no numbers.
    """

    by: str
    method: str
    labels: tuple[Any, ...]
    sizes: NDArray[np.int64]
    names: tuple[str, ...]
    estimates: Array
    change: Array
    scaled: Array
    cooks: Array
    displacement: Array
    covariance_ratio: Array
    leverage: Array
    states: tuple[str, ...]
    turned: tuple[tuple[str, ...], ...]
    frame_kind: Any

    @property
    def order(self) -> NDArray[np.int64]:
        """Groups by their displacement, the largest first, (m,)."""
        return np.argsort(-np.nan_to_num(self.displacement, nan=np.inf), kind="stable")

    def to_frame(self) -> Any:
        """Return one row for each group: all numbers, and the scaled change of each estimate."""
        from ..data import frame_like

        columns: dict[str, Any] = {
            "group": list(self.labels),
            "rows": self.sizes.tolist(),
            "cooks_distance": self.cooks.tolist(),
            "displacement": self.displacement.tolist(),
            "covariance_ratio": self.covariance_ratio.tolist(),
            "leverage": self.leverage.tolist(),
            "state": list(self.states),
        }
        columns |= {name: self.scaled[:, j].tolist() for j, name in enumerate(self.names)}
        return frame_like(self.frame_kind, columns)

    @property
    def table(self) -> Table:
        """The groups that matter most."""
        columns = (
            Column(self._one, key="group"), Column("rows", "integer"), Column("Cook's D", "number"),
            Column("displacement", "number"), Column("cov. ratio", "number"),
            Column("leverage", "number"), Column("moves most"), Column("by SE", "ratio"),
        )  # fmt: skip
        first = self.order[:_SHOWN]
        rows = tuple(self._row(int(g)) for g in first)
        title = f"Influence of {self.by} ({len(self.labels):,}), {self.method}"
        if len(self.labels) > _SHOWN:
            title += f"; the {_SHOWN} that move the estimates most"
        return Table(title, columns, rows, tuple(self._notes()))

    def _row(self, g: int) -> tuple[Cell, ...]:
        j = self._most(g)
        numbers = (self.cooks[g], self.displacement[g], self.covariance_ratio[g], self.leverage[g])
        moved = ("", None) if j is None else (self.names[j], float(self.scaled[g, j]))
        label = str(self.labels[g])
        return (
            label,
            int(self.sizes[g]),
            *(None if math.isnan(x) else float(x) for x in numbers),
            *moved,
        )  # noqa: E501

    @property
    def _one(self) -> str:
        return "row" if self.by == "rows" else self.by

    def _most(self, g: int) -> int | None:
        """The estimate that moves most without a group."""
        if not np.isfinite(self.scaled[g]).any():
            return None
        return int(np.nanargmax(np.abs(self.scaled[g])))

    def _notes(self) -> list[str]:
        found = []
        known = [int(g) for g in self.order if self.states[g] != "not told"]
        if known and (j := self._most(known[0])) is not None:
            g = known[0]
            without = self.estimates[j] + self.change[g, j]
            found.append(
                f"Without {self._one} {self.labels[g]}, {self.names[j]} would be {without:.3g} "
                f"instead of {self.estimates[j]:.3g} ({self.scaled[g, j]:+.2f} SE)."
            )
        turned = [g for g in known if self.turned[g]]
        if turned:
            names = sorted({name for g in turned for name in self.turned[g]})
            some = ", ".join(str(self.labels[g]) for g in turned[:5])
            more = f" and {len(turned) - 5} more" if len(turned) > 5 else ""
            found.append(
                f"Whether {', '.join(names)} differ{'s' if len(names) == 1 else ''} from 0 "
                f"at 5 % (Wald) depends on {self._one} {some}{more}."
            )
        lost = sum(state == "not told" for state in self.states)
        if lost:
            found.append(f"{lost} without numbers: the rows left do not tell all parameters.")
        return found

    def plot(self, ax: Any = None) -> Any:
        """Draw it; see `glimm.plots.influence`."""
        from ..plots import influence

        return influence(self, ax=ax)

    def __repr__(self) -> str:
        return f"<Influence of {len(self.labels):,} {self.by}, {self.method}>"


def influence(
    fit: Fit,
    groups: str | ArrayLike | None = None,
    *,
    method: str = "one-step",
    threads: int | None = None,
    progress: bool | None = None,
) -> Influence:
    """Return what the fit would be without each cluster, or each row, in turn.

    Parameters
    ----------
    fit : Fit
    groups : str or array_like, optional
        A grouping of the fit, a column that it used, one value for each row, or ``"rows"``. By
        default the grouping with the fewest levels; rows of a fit without groups. A row with a
        frequency weight is left out as a whole.
    method : str
        ``"one-step"``: the step that Newton's method takes from the estimates when the group
        is gone, from its exact score and information (Pregibon). For gaussian responses with the
        identity link, coefficients are moved to their exact place given the variances first, so
        that those of linear models without random effects are exact. ``"refit"``: fits to the rows
        left, in parallel.
    threads : int, optional
        Of refits; all cores by default.
    progress : bool, optional
        As in `glimm.fit`.

    Returns
    -------
    Influence

    Raises
    ------
    DataError
        For groups that are not there.
    FitError
        After the iterative engine, which has no exact derivatives; code ``"no_scores"``.

    References
    ----------
    Pregibon, D. (1981). Logistic regression diagnostics. Annals of Statistics 9, 705-724.
    Cook, R. D. (1986). Assessment of local influence. JRSS B 48, 133-169.
    Christensen, R., Pearson, L. M. and Johnson, W. (1992). Case-deletion diagnostics for mixed
    models. Technometrics 34, 38-45.
    Belsley, D. A., Kuh, E. and Welsch, R. E. (1980). Regression Diagnostics. Wiley.

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("sleepstudy")
    >>> fit = glimm.fit("reaction ~ days + (1 + days | subject)", data)
    >>> found = glimm.influence(fit)
    >>> found.labels[found.order[0]], round(float(found.cooks.max()), 2)
    (308, 0.15)
    """
    one_of("method", method, METHODS)
    what = deletions(fit, groups)
    psi = fit.estimates.parameters
    if method == "refit":
        moved, logdet, error = refits(fit, what, threads, progress)
    else:
        moved, logdet, error = one_step(fit, rest_of(fit, what))
    return _result(fit, what, method, moved - psi, logdet, error)


def _result(
    fit: Fit, what: Deletions, method: str, step: Array, logdet: Array, error: Array
) -> Influence:
    e, p = fit.estimates, len(fit.names)
    free = free_parameters(fit)
    at, mean = np.flatnonzero(free), np.flatnonzero(free[:p])
    goals = _goals(fit)
    estimates = np.array([goal.value(e.parameters) for goal in goals])
    change = np.array([[goal.value(e.parameters + d) for goal in goals] for d in step]) - estimates
    v = e.covariance[np.ix_(mean, mean)]
    states = tuple(_state(row[mean], row[at]) for row in step)
    # What is held does not move.
    whole = np.asarray(np.isfinite(step[:, mean]).all(axis=1))
    taken = np.where(whole[:, None], np.nan_to_num(step[:, at]), np.nan)
    quadratic = _distance(taken, e.covariance[np.ix_(at, at)])
    return Influence(
        by=what.by, method=method, labels=what.labels, sizes=what.sizes,
        names=tuple(goal.name for goal in goals), estimates=estimates, change=change,
        scaled=change / _goal_errors(fit, goals), cooks=_distance(step[:, mean], v) / mean.size,
        displacement=_displacement(fit, step, quadratic) if method == "refit" else quadratic,
        covariance_ratio=np.exp(logdet - np.linalg.slogdet(v)[1]), leverage=_leverage(fit, what),
        states=states,
        turned=_turned(fit, step, error), frame_kind=fit.design.frame_kind,
    )  # fmt: skip


def _state(mean: Array, all_free: Array) -> str:
    if not np.isfinite(mean).all():
        return "not told"
    return "ok" if np.isfinite(all_free).all() else "variances held"


def _distance(step: Array, covariance: Array) -> Array:
    """d'V^-1 d of each row."""
    size = np.sqrt(np.diag(covariance))
    solved = np.linalg.solve(covariance / np.outer(size, size), (step / size).T).T
    found: Array = np.einsum("gi,gi->g", step / size, solved)
    return found


def _goals(fit: Fit) -> list[Goal]:
    sigma = [goal for goal in goals_of(fit, "random") if goal.kind == "sigma"]
    places = {goal.first for goal in sigma}
    return [
        g for g in goals_of(fit, "all") if g.kind != "coefficient" or g.first not in places
    ] + sigma  # noqa: E501


def _goal_errors(fit: Fit, goals: list[Goal]) -> Array:
    """Standard errors of the numbers themselves, by the delta method."""
    value: Callable[[Array], Array] = lambda psi: np.array([g.value(psi) for g in goals])  # noqa: E731
    variance = np.diag(delta(value, fit.estimates.parameters, fit.estimates.covariance)[1])
    return np.where(variance > 0, np.sqrt(np.abs(variance)), np.nan)


def _displacement(fit: Fit, step: Array, quadratic: Array) -> Array:
    if fit.model.reml:
        return quadratic
    from ..inference.ml import problem_of

    problem, found = problem_of(fit), np.full(len(step), np.nan)
    for g in np.flatnonzero(np.isfinite(step).all(axis=1)):
        value = problem.evaluate(fit.estimates.parameters + step[g])
        found[g] = math.nan if value is None else 2 * (fit.loglik - value[0])
    return found


def _leverage(fit: Fit, what: Deletions) -> Array:
    try:
        rows = leverage(fit)
    except FitError:
        return np.full(len(what.labels), np.nan)
    return np.bincount(what.codes, rows, len(what.labels)).astype(np.float64)


def _turned(fit: Fit, step: Array, error: Array) -> tuple[tuple[str, ...], ...]:
    """Coefficients whose 95 % Wald interval holds zero with the group and not without, or so."""
    p, psi = len(fit.names), fit.estimates.parameters
    full = np.abs(psi[:p] / np.sqrt(np.diag(fit.vcov()))) > 1.96
    with np.errstate(invalid="ignore"):
        less = np.abs((psi[:p] + step[:, :p]) / error) > 1.96
    told = np.isfinite(error) & np.isfinite(step[:, :p])
    names = np.array(fit.names)
    return tuple(
        tuple(str(name) for name in names[(row != full) & good & (names != "(Intercept)")])
        for row, good in zip(less, told, strict=True)
    )
