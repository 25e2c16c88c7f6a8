"""The law of responses averaged over new random effects."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import simulate
from .law import FamilyLaw, fit_law

if TYPE_CHECKING:
    from ..fit import Fit

Array = NDArray[np.float64]


class Mixture:
    """Responses averaged over n draws of all random effects, one draw in memory at a time.

    Parameters
    ----------
    fit : Fit
    rows : ndarray of int, (N,), or None
        Row of each response where rows stand for several.
    draws, seed : int
    """

    def __init__(self, fit: Fit, rows: NDArray[np.intp] | None, draws: int, seed: int) -> None:
        self.fit, self.rows, self.draws, self.seed = fit, rows, draws, seed
        self.n = fit.design.n if rows is None else int(rows.size)

    def _laws(self) -> Iterator[FamilyLaw]:
        for replicate in range(self.draws):
            effects = simulate.effects(self.fit, self.seed, replicate)
            yield fit_law(self.fit, effects, self.rows)

    @cached_property
    def _moments(self) -> tuple[Array, Array]:
        mean, square, within = np.zeros(self.n), np.zeros(self.n), np.zeros(self.n)
        for law in self._laws():
            mean += law.mean / self.draws
            square += law.mean**2 / self.draws
            within += law.variance / self.draws
        return mean, within + np.maximum(square - mean**2, 0.0)

    @property
    def mean(self) -> Array:
        """Expected responses."""
        return self._moments[0]

    @property
    def variance(self) -> Array:
        """Their variances, between the draws included."""
        return self._moments[1]

    def quantile(self, y: Array, seed: int, replicate: int) -> tuple[Array, Array]:
        """By the mean of the distribution functions, all with the same random numbers."""
        from .law import with_scores

        total = np.zeros(self.n)
        for law in self._laws():
            total += law.quantile(y, seed, replicate)[0]
        return with_scores(total / self.draws)

    def simulate(self, seed: int, replicate: int) -> Array:
        """One response each, with new random effects."""
        if self.rows is None:
            return simulate.draw(self.fit, seed, replicate)
        effects = simulate.effects(self.fit, seed, replicate)
        return fit_law(self.fit, effects, self.rows).simulate(seed, replicate)
