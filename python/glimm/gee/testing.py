"""Wald tests and score tests of linear hypotheses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError
from ..fit import one_of
from ..inference.freedom import f_tail
from ..inference.joint import Tested, Tests, stated, tested
from .law import law
from .solve import ITERATIONS, TOLERANCE, rebuilt

if TYPE_CHECKING:
    from .fit import GEEFit

Array = NDArray[np.float64]


def test(
    fit: GEEFit,
    hypothesis: str | Sequence[str] | ArrayLike,
    method: str,
    df: str | None,
    value: float | ArrayLike,
) -> Tests:
    """See `GEEFit.test`."""
    one_of("method", method, ("wald", "score"))
    rows, values, label = stated(hypothesis, fit.names, value)
    if method == "wald":
        known = law(fit, df)
        made, source = tested(label, rows, values, fit.estimates.beta, known), known.source
    else:
        made, source = _score(fit, label, rows, values), "generalized score test, chi-square"
    return Tests((made,), "Linear hypothesis", "", source, fit.design.frame_kind)


def _score(fit: GEEFit, label: str, rows: Array, values: Array) -> Tested:
    """At the solution under C b = m: u'AC' (C A (sum u_i u_i') A C')^-1 CAu (Boos 1992).

    With b = b_m + N g, C b_m = m and C N = 0, the equations are solved for g; x b_m is an offset.
    """
    from scipy import linalg

    model, design = fit.model, fit.design
    first = len(fit.names) - len(fit.estimates.kept)
    if bool((rows[:, :first] != 0).any()):
        message = "a score test of thresholds is not available; use method='wald'"
        raise DataError(message, code="unknown_option")
    x = design.x[:, list(fit.estimates.kept)]
    free, held = linalg.null_space(rows[:, first:]), np.linalg.pinv(rows[:, first:]) @ values
    offset = x @ held + (0.0 if design.offset is None else design.offset)
    smaller = rebuilt(model, design, np.asfortranarray(x @ free), offset)
    fixed = model.scale if isinstance(model.scale, float) else None
    found = smaller.fit(fixed, model.less, ITERATIONS, TOLERANCE)
    beta = np.concatenate([found["beta"][:first], held + free @ found["beta"][first:]])
    state = beta.tolist(), found["scale"].tolist(), found["alpha"].tolist()
    p = len(fit.names)
    each = fit.problem.scores(state).reshape(-1, p)
    a = fit.problem.covariance(state, "model").reshape(p, p)
    weights = np.ones(len(each)) if fit.estimates.copies is None else fit.estimates.copies
    lacking = rows @ a @ (np.sqrt(weights) @ each)
    spread = rows @ a @ (each.T @ each) @ a @ rows.T
    chi = float(lacking @ np.linalg.solve(spread, lacking))
    estimate, m = rows @ fit.estimates.beta, len(rows)
    return Tested(label, rows, values, estimate, chi, math.inf, f_tail(chi / m, m, math.inf))
