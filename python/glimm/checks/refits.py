"""Fits to the rows that are left when groups of rows are gone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import DataError, GlimmError
from ..inference.bootstrap import nodes_of
from ..problem import explain, make_problem
from ..progress import Counting
from .deletion import Deletions, part_of, plain_model

if TYPE_CHECKING:
    from ..fit import Fit

Array = NDArray[np.float64]

_BATCH = 8
"""Problems of one thread that are held at once."""


def refits(
    fit: Fit, what: Deletions, threads: int | None, progress: bool | None
) -> tuple[Array, Array, Array]:
    """Return what `one_step` does, by fits that start from the estimates.

    The same numbers for any number of threads.
    """
    if threads is not None and threads < 1:
        message = f"threads={threads}; at least 1, or None for all cores"
        raise DataError(message, code="unknown_option")
    count, m, k = threads or os.cpu_count() or 1, len(what.labels), fit.df_model
    parameters, covariance = np.full((m, k), np.nan), np.full((m, k, k), np.nan)
    with Counting(progress, "refits", m) as show:
        for start in range(0, m, _BATCH * count):
            these = range(start, min(start + _BATCH * count, m))
            found = _batch(fit, what, these, count)
            for g, (psi, v) in found.items():
                parameters[g], covariance[g] = psi, v
            show.done(these[-1] + 1)
    p = len(fit.names)
    mean = np.isfinite(np.diag(fit.vcov()))
    block = covariance[:, :p, :p][:, mean][:, :, mean]
    errors = np.full((m, p), np.nan)
    with np.errstate(invalid="ignore"):
        errors[:, mean] = np.sqrt(np.einsum("gii->gi", block))
        return parameters, np.linalg.slogdet(block)[1], errors


def _batch(fit: Fit, what: Deletions, these: range, threads: int) -> dict[int, tuple[Array, Array]]:
    model = plain_model(fit, reml=fit.model.reml, threads=1)
    made = {}
    for g in these:
        design = part_of(fit, np.flatnonzero(what.codes != g))
        try:
            problem = make_problem(model, design)
        except GlimmError:
            continue
        if sum(map(len, problem.kept)) == sum(b - a for a, b in fit.estimates.fixed):
            made[g] = problem, np.ascontiguousarray(design.y)
    if not made:
        return {}
    try:
        found = _core.refit_each(
            [problem for problem, _ in made.values()], [y for _, y in made.values()],
            fit.estimates.parameters, nodes_of(fit), threads,
        )  # fmt: skip
    except _core.CoreError as error:
        raise explain(error, fit.model, fit.design) from None
    k = fit.df_model
    square = found["parameters"].reshape(-1, k), found["covariance"].reshape(-1, k, k)
    good = [state == "converged" for state in found["state"]]
    return {g: (square[0][i], square[1][i]) for i, g in enumerate(made) if good[i]}
