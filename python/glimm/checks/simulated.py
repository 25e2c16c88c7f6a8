"""Residuals by simulation: sums over groups, and ranks among refits as DHARMa has them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..simulate import draw
from .columns import groups_of
from .law import Simulated, fit_law, ranked, with_scores

if TYPE_CHECKING:
    from ..fit import Fit
    from .residuals import Residuals

Array = NDArray[np.float64]


def summed(r: Residuals, by: str | ArrayLike, kind: str, n: int, seed: int) -> Residuals:
    """Return residuals of the sums of responses over groups, by rank among simulated sums."""
    codes, labels = groups_of(r, by)
    count = len(labels)

    def total(y: Array) -> Array:
        return np.bincount(codes, y, count).astype(np.float64)

    sums = np.array([total(r.law.simulate(seed, replicate)) for replicate in range(n)])
    own = total(r.observed)
    below = np.sum(sums < own, axis=0).astype(np.float64)
    equal = np.sum(sums == own, axis=0).astype(np.float64)
    uniform = np.random.default_rng([seed, 3]).random(count)
    if kind == "simulated":
        values = (below + uniform * equal) / n
        normal = with_scores(values)[1]
    else:
        values, normal = with_scores(ranked(below, equal, n, uniform))
    law = Simulated(sums, total(r.law.mean))
    rows = np.arange(count)
    return replace(r, values=values, normal=normal, observed=own, rows=rows, kind=kind,
                   law=law, labels=tuple(labels))  # fmt: skip


def refitted(fit: Fit, random_effects: str, n: int, seed: int) -> Residuals:
    """Return ranks of response less fitted value among those of refits to simulations.

    Whole responses are spread by a uniform number between -1/2 and 1/2 first.
    """
    from .posterior import Posterior
    from .residuals import observe

    made = observe(fit, Posterior(fit), seed, 0, random_effects, n)
    rng = np.random.default_rng([seed, 4])
    y = fit.design.y
    whole = bool(np.all(y == np.floor(y)))
    trials = _trials(fit)

    def raw(fitted: Fit, response: Array) -> Array:
        spread = rng.uniform(-0.5, 0.5, y.size) if whole else 0.0
        return np.asarray(response + spread - fitted.fitted * trials)

    own, below, used = raw(fit, y), np.zeros(y.size), 0
    for replicate in range(n):
        new = _new(fit, made, random_effects, seed, replicate)
        again = fit.refit(new)
        if again.estimates.converged:
            below += raw(again, new) < own
            used += 1
    values, normal = with_scores((below + rng.random(y.size)) / (used + 1))
    law = fit_law(fit, fit.estimates.modes, None)
    rows = np.arange(y.size)
    return replace(made, values=values, normal=normal, observed=y, rows=rows, kind="refit", law=law)


def _new(fit: Fit, made: Residuals, random_effects: str, seed: int, replicate: int) -> Array:
    if random_effects == "marginal" or made.rows.size != fit.design.n:
        return draw(fit, seed, replicate)
    return made.law.simulate(seed, replicate)


def _trials(fit: Fit) -> Array | float:
    return 1.0 if fit.design.trials is None else fit.design.trials
