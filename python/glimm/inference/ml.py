"""The same model by maximum likelihood, and problems made anew."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..fit import Fit
from ..problem import make_problem, solve

if TYPE_CHECKING:
    from .. import _core


def by_likelihood(fit: Fit) -> Fit:
    """Return the fit by maximum likelihood: itself, or a refit where it is restricted (REML)."""
    if not fit.model.reml:
        return fit
    model = replace(fit.model, reml=False)
    problem = make_problem(model, fit.design)
    return Fit(model, fit.design, solve(problem, model, fit.design, progress=False), problem)


def problem_of(fit: Fit) -> _core.Problem:
    """Return the problem of a fit; that of a loaded one is made."""
    problem = fit._problem
    if problem is None:
        problem = make_problem(fit.model, fit.design)
        object.__setattr__(fit, "_problem", problem)
    return problem
