"""Score tests of columns that the mean lacks, without another fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import FitError
from ..inference.boundary import chi2_tail
from ..inference.ml import by_likelihood
from ..inference.score import efficient
from ..problem import make_problem

if TYPE_CHECKING:
    from ..fit import Fit

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Added:
    """A score test of columns.

    Parameters
    ----------
    statistic : float
    df : int
    p : float
    step : ndarray, (k,)
        Coefficients that one step of Newton's method gives them.
    fit : Fit
        The fit by maximum likelihood at which it was taken.
    """

    statistic: float
    df: int
    p: float
    step: Array
    fit: Fit


def score_of(fit: Fit, columns: Array, names: tuple[str, ...]) -> Added:
    """Test columns (n, k) that join the mean; see `Fit.score_test`.

    Raises
    ------
    FitError
        When the columns say what others already say, or the likelihood has no value with them.
    """
    null = by_likelihood(fit)
    design, kept = null.design, list(null.estimates.kept[0])
    p, k = len(kept), columns.shape[1]
    x = np.asfortranarray(np.column_stack([design.x[:, kept], columns]))
    larger = replace(design, x=x, x_names=(*null.names, *names))
    problem = make_problem(replace(null.model, compress=False), larger)
    if len(problem.kept[0]) != p + k:
        raise FitError("the columns are combinations of those of the model", code="unidentified")
    own = null.estimates.parameters
    found = problem.evaluate_twice(np.concatenate([own[:p], np.zeros(k), own[p:]]))
    if found is None:
        raise FitError("the likelihood of the larger model has no value at the estimates")
    _, gradient, hessian = found
    information = -hessian.reshape(gradient.size, gradient.size)
    u, free = efficient(gradient, information, list(range(p, p + k)))
    step = np.linalg.solve(free, u).astype(np.float64)
    return Added(float(u @ step), k, chi2_tail(float(u @ step), k), step, null)
