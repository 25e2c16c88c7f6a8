"""Rao's score test of fixed effects that a model lacks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..design import build
from ..errors import DataError, FitError
from ..formula import parse
from ..problem import make_problem
from ..tables import Column, Printed, Table, format_p
from .boundary import chi2_tail
from .ml import by_likelihood

if TYPE_CHECKING:
    from ..design import Design
    from ..fit import Fit

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ScoreTest(Printed):
    """A score test; made by `Fit.score_test`.

    Attributes
    ----------
    names : tuple of str, (k,)
        Columns added.
    statistic : float
        U'(I^-1)U with the observed information of the larger model.
    df : int
    p : float
    scores : ndarray, (k,)
        Derivatives of the log-likelihood in the coefficients added, at zero.
    """

    names: tuple[str, ...]
    statistic: float
    df: int
    p: float
    scores: Array
    frame_kind: Any

    def to_frame(self) -> Any:
        """Return `name`, `score`, one row for each column added."""
        from ..data import frame_like

        return frame_like(
            self.frame_kind, {"name": list(self.names), "score": self.scores.tolist()}
        )

    @property
    def table(self) -> Table:
        """The numbers, as they are printed."""
        columns = (Column("column added"), Column("score", "number"))
        rows = tuple(zip(self.names, self.scores.tolist(), strict=True))
        text = f"chi-square {self.statistic:.4g} on {self.df} df, p {format_p(self.p)}"
        return Table(f"Score test: {text}", columns, rows)


def score_test(fit: Fit, add: str, data: Any) -> ScoreTest:
    """See `Fit.score_test`."""
    null = by_likelihood(fit)
    design = _larger(null, add, data)
    problem = make_problem(null.model, design)
    names = [design.x_names[j] for j in problem.kept[0]]
    parameters, added = _embed(null, names, len(problem.kept[0]))
    if not added:
        message = f"add={add!r} adds no column that the model has not"
        raise DataError(message, code="unknown_option")
    found = problem.evaluate_twice(parameters)
    if found is None:
        raise FitError("the likelihood of the larger model has no value at the estimates")
    _, gradient, hessian = found
    information = -hessian.reshape(parameters.size, parameters.size)
    statistic, df = quadratic(gradient, information, added)
    scores = gradient[added]
    labels = tuple(names[j] for j in added)
    kind = fit.design.frame_kind
    return ScoreTest(labels, statistic, df, chi2_tail(statistic, df), scores, kind)


def quadratic(gradient: Array, information: Array, added: list[int]) -> tuple[float, int]:
    """Return U' (I_aa - I_ab I_bb^-1 I_ba)^-1 U and its degrees of freedom."""
    u, free = efficient(gradient, information, added)
    return float(u @ np.linalg.solve(free, u)), len(added)


def efficient(gradient: Array, information: Array, added: list[int]) -> tuple[Array, Array]:
    """Return the score of parameters added and its information, the others adjusted for.

    Parameters without information, such as a variance of zero, are held.
    """
    size = np.sqrt(np.abs(np.diag(information)))
    held = set(np.flatnonzero(size <= 1e-8 * max(float(size.max()), 1e-300)).tolist())
    rest = [j for j in range(gradient.size) if j not in added and j not in held]
    aa, ab = information[np.ix_(added, added)], information[np.ix_(added, rest)]
    bb = information[np.ix_(rest, rest)]
    free = aa - ab @ np.linalg.solve(bb, ab.T)
    # The null's own gradient is zero up to where its climb ended.
    u = gradient[added] - ab @ np.linalg.solve(bb, gradient[rest])
    return u, free


def _larger(fit: Fit, add: str, data: Any) -> Design:
    """The design of the formula with terms added.

    Raises
    ------
    DataError
        When its rows are not those of the fit.
    """
    design, request = fit.design, fit.design.request
    left, right = fit.model.formula.text.split("~", 1)
    made = build(
        parse(f"{left}~ {add} + {right}"),
        data,
        family=fit.model.family,
        trials=_given(design, "trials", request.trials),
        freq=_given(design, "freq", request.freq),
        offset=_given(design, "offset", request.offset),
        precision=_given(design, "precision", request.precision),
        others=fit.model.others,
        relations=request.relations,
        missing=fit.model.missing,
    )
    if not np.array_equal(made.rows, design.rows) or not np.array_equal(made.y, design.y):
        message = "the data of a score test must give the rows of the fit; some are missing in what is added"  # noqa: E501
        raise DataError(message, code="not_comparable")
    known = {name: j for j, name in enumerate(made.x_names)}
    if any(name not in known for name in fit.names):
        missing = [name for name in fit.names if name not in known]
        message = f"add={add!r} recodes columns of the model: {missing} are no longer there"
        raise DataError(message, code="unknown_option")
    # The columns of the fit first: what is added must not push them out.
    order = [known[n] for n in fit.names] + [j for n, j in known.items() if n not in design.x_names]
    return replace(
        made,
        x=np.asfortranarray(made.x[:, order]),
        x_names=tuple(made.x_names[j] for j in order),
    )


def _given(design: Design, name: str, key: str | None) -> str | Array | None:
    """The column that was named, or the array that was given, at its rows of the data."""
    if key is None or key != f"{name}=":
        return key
    full = np.full(design.n_input, np.nan)
    full[design.rows] = design.used_columns[key].values
    return full


def _embed(fit: Fit, names: list[str], count: int) -> tuple[Array, list[int]]:
    """Parameters of the larger model at the estimates, and the places of those added."""
    own, p = fit.coef, len(fit.names)
    first = np.array([own.get(name, 0.0) for name in names])
    added = [j for j, name in enumerate(names) if name not in own]
    rest = fit.estimates.parameters[p:]
    assert first.size == count
    return np.concatenate([first, rest]), added
