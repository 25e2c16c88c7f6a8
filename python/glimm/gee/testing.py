"""Intervals, Wald tests and score tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError, listed, nearest_first
from ..tables import Column, Printed, Table
from .solve import ITERATIONS, TOLERANCE, rebuilt

if TYPE_CHECKING:
    from .fit import GEEFit

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class WaldTest(Printed):
    """A test that m combinations of coefficients are zero.

    Parameters
    ----------
    method : str
        ``"wald"`` or ``"score"``.
    statistic : float
        F for finite `df`, chi-square otherwise.
    m : int
        Number of combinations.
    df : float
        Denominator degrees of freedom; infinite for chi-square.
    p : float
    words : str
        What was tested, and by which covariance.
    """

    method: str
    statistic: float
    m: int
    df: float
    p: float
    words: str

    @property
    def table(self) -> Table:
        """The test as a table of one row."""
        name = "F" if math.isfinite(self.df) else "chi-square"
        columns = (
            Column("test"),
            Column(name, "ratio", "statistic"),
            Column("df", "integer"),
            Column("denominator", "ratio"),
            Column("p", "p"),
        )
        below = self.df if math.isfinite(self.df) else None
        row = (self.method, self.statistic, self.m, below, self.p)
        return Table(self.words, columns, (row,))


def quantile(p: float, df: float) -> float:
    """Return the quantile of t."""
    from scipy import stats

    return float(stats.norm.ppf(p) if math.isinf(df) else stats.t.ppf(p, df))


def two_sided(t: float, df: float) -> float:
    """Return the two-sided p-value of t."""
    from scipy import stats

    if math.isinf(df):
        return math.erfc(abs(t) / math.sqrt(2))
    return float(2 * stats.t.sf(abs(t), df))


def intervals(fit: GEEFit, level: float, df: str | None) -> dict[str, list[Any]]:
    """Columns of `GEEFit.confint`."""
    if not 0 < level < 1:
        raise DataError(f"level={level}; it must be between 0 and 1", code="unknown_option")
    reach = [quantile((1 + level) / 2, v) for v in fit.freedom(df=df).tolist()]
    estimates, errors = list(fit.coef.values()), list(fit.se.values())
    each = list(zip(estimates, errors, reach, strict=True))
    return {
        "name": list(fit.names),
        "estimate": estimates,
        "lower": [b - r * s for b, s, r in each],
        "upper": [b + r * s for b, s, r in each],
    }


def test(fit: GEEFit, hypothesis: str | ArrayLike, method: str, df: str | None) -> WaldTest:
    """See `GEEFit.test`."""
    rows, said = _combinations(fit, hypothesis)
    if method == "wald":
        return _wald(fit, rows, said, df)
    if method == "score":
        return _score(fit, rows, said)
    raise DataError(f"method={method!r}; use 'wald' or 'score'", code="unknown_option")


def _wald(fit: GEEFit, rows: Array, said: str, df: str | None) -> WaldTest:
    """(C b)' (C V C')^-1 (C b), as F with the least degrees of freedom of the combinations."""
    from scipy import stats

    value = rows @ fit.estimates.beta
    chi = float(value @ np.linalg.solve(rows @ fit.vcov() @ rows.T, value))
    below = float(fit.freedom(rows, df).min())
    m = len(rows)
    words = f"{said}; {fit.covariance_used} covariance"
    if math.isinf(below):
        return WaldTest("wald", chi, m, below, float(stats.chi2.sf(chi, m)), words)
    return WaldTest("wald", chi / m, m, below, float(stats.f.sf(chi / m, m, below)), words)


def _score(fit: GEEFit, rows: Array, said: str) -> WaldTest:
    """At the solution under the hypothesis u'AC' (C A (sum u_i u_i') A C')^-1 CAu (Boos 1992)."""
    from scipy import linalg, stats

    model, design = fit.model, fit.design
    first = len(fit.names) - len(fit.estimates.kept)
    if bool((rows[:, :first] != 0).any()):
        message = "a score test of thresholds is not available; use method='wald'"
        raise DataError(message, code="unknown_option")
    x = design.x[:, list(fit.estimates.kept)]
    free = linalg.null_space(rows[:, first:])
    smaller = rebuilt(model, design, np.asfortranarray(x @ free))
    fixed = model.scale if isinstance(model.scale, float) else None
    found = smaller.fit(fixed, model.less, ITERATIONS, TOLERANCE)
    beta = np.concatenate([found["beta"][:first], free @ found["beta"][first:]])
    state = beta.tolist(), found["scale"].tolist(), found["alpha"].tolist()
    p = len(fit.names)
    each = fit.problem.scores(state).reshape(-1, p)
    a = fit.problem.covariance(state, "model").reshape(p, p)
    weights = np.ones(len(each)) if fit.estimates.copies is None else fit.estimates.copies
    lacking = rows @ a @ (np.sqrt(weights) @ each)
    spread = rows @ a @ (each.T @ each) @ a @ rows.T
    chi = float(lacking @ np.linalg.solve(spread, lacking))
    words = f"{said}; generalized score test"
    m = len(rows)
    return WaldTest("score", chi, m, math.inf, float(stats.chi2.sf(chi, m)), words)


def _combinations(fit: GEEFit, hypothesis: str | ArrayLike) -> tuple[Array, str]:
    """The rows of combinations, and the hypothesis in words."""
    names = [hypothesis] if isinstance(hypothesis, str) else hypothesis
    if isinstance(names, Sequence) and all(isinstance(name, str) for name in names):
        for name in names:
            if name not in fit.names:
                near = listed(nearest_first(str(name), fit.names))
                message = f"the fit has no coefficient {name!r}; it has {near}"
                raise DataError(message, code="unknown_option")
        rows = np.eye(len(fit.names))[[fit.names.index(str(name)) for name in names]]
        return rows, f"{' = '.join(map(str, names))} = 0"
    rows = np.atleast_2d(np.asarray(hypothesis, dtype=np.float64))
    if rows.ndim != 2 or rows.shape[1] != len(fit.names):
        message = f"the hypothesis has shape {rows.shape}; it needs {len(fit.names)} columns"
        raise DataError(message, code="array_shape")
    if np.linalg.matrix_rank(rows) < len(rows):
        message = "the hypothesis has rows that repeat each other; leave out those"
        raise DataError(message, code="unknown_option")
    return rows, f"{len(rows)} combinations of coefficients = 0"
