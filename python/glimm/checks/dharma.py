"""The statistics of DHARMa by its definitions, for comparison."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..fit import Fit, one_of
from ..simulate import draw
from ..tables import Column, Framed, Table
from .distribution import kolmogorov
from .law import Law
from .residuals import EFFECTS, Residuals, residuals

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Dharma(Framed):
    """What DHARMa would say; made by `glimm.checks.dharma`.

    Attributes
    ----------
    values : ndarray, (N,)
        Scaled residuals, drawn uniformly between `lower` and `upper`.
    lower, upper : ndarray, (N,)
        Shares of simulations below the response, and not above it.
    statistics : mapping
        (statistic, p) of ``"uniformity"``, ``"dispersion"``, ``"zeros"`` and ``"outliers"``.
    """

    values: Array
    lower: Array
    upper: Array
    statistics: dict[str, tuple[float, float]]
    n: int
    random_effects: str
    frame_kind: Any = "dict"

    @property
    def table(self) -> Table:
        """One row per test."""
        columns = (Column("test"), Column("statistic", "ratio"), Column("p", "p"))
        title = f"Tests as DHARMa defines them, {self.n} simulations, {self.random_effects}"
        rows = tuple((name, t, p) for name, (t, p) in self.statistics.items())
        return Table(title, columns, rows)


def dharma(
    source: Any, *, random_effects: str = "conditional", n: int = 250, seed: int = 0
) -> Dharma:
    """Return scaled residuals and tests by the definitions of DHARMa 0.5.

    For comparison with R: conditional residuals reject true models where groups are small, and
    none of the p-values knows that parameters were estimated. The checks of `glimm.checks` are
    made for use.

    Parameters
    ----------
    source : Fit, GEEFit or Residuals
        Of residuals the law that they were made with.
    random_effects : str
        ``"conditional"``, DHARMa's default since 0.5; ``"marginal"``, which it calls unconditional;
        ``"posterior"``.
    n : int
        Simulations; one at a time in memory.
    seed : int

    Returns
    -------
    Dharma

    References
    ----------
    Hartig, F. (2016). DHARMa: residual diagnostics for hierarchical (multi-level / mixed)
    regression models. R package.

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("epilepsy")
    >>> fit = glimm.fit("seizures ~ treatment + (1 | patient)", data, family="poisson")
    >>> glimm.checks.dharma(fit, n=50).statistics["dispersion"][0] > 1
    True
    """
    one_of("random_effects", random_effects, EFFECTS)
    if isinstance(source, Residuals):
        r, fitted = source, source.law.mean
        draws = _of_law(r.law, n, seed)
    else:
        which = "conditional" if random_effects == "marginal" else random_effects
        r = residuals(source, random_effects=which, seed=seed)
        fitted = _population(source, r)
        plain = random_effects == "marginal" and isinstance(source, Fit)
        draws = _anew(source, n, seed) if plain else _of_law(r.law, n, seed)
    return _of_draws(r, draws, fitted, n, seed, random_effects)


def _of_law(law: Law, n: int, seed: int) -> Iterator[Array]:
    return (law.simulate(seed, k) for k in range(n))


def _anew(fit: Fit, n: int, seed: int) -> Iterator[Array]:
    return (draw(fit, seed, k) for k in range(n))


def _population(source: Any, r: Residuals) -> Array:
    """Expected responses with all random effects at zero."""
    if not isinstance(source, Fit) or not source.design.terms or source.model.family.ordered:
        return r.law.mean
    from .law import fit_law

    zero = tuple(np.zeros_like(modes) for modes in source.estimates.modes)
    rows = None if r.n == source.design.n else r.rows
    return fit_law(source, zero, rows).mean


def _of_draws(
    r: Residuals, draws: Iterator[Array], fitted: Array, n: int, seed: int, effects: str
) -> Dharma:
    y = r.observed
    below, least, equal = np.zeros(r.n), np.zeros(r.n), np.zeros(r.n)
    most = np.zeros(r.n)
    spread, zeros = [], []
    for drawn in draws:
        below += drawn < y
        equal += drawn == y
        least += y < drawn
        most += y > drawn
        spread.append(float(np.var(drawn - fitted, ddof=1)))
        zeros.append(int(np.sum(drawn == 0)))
    lower, upper = below / n, (below + equal) / n
    values = lower + np.random.default_rng([seed, 3]).random(r.n) * (upper - lower)
    outside = int(np.sum((least == n) | (most == n)))
    statistics = {
        "uniformity": _uniform(values),
        "dispersion": _beside(float(np.var(y - fitted, ddof=1)), np.array(spread)),
        "zeros": _beside(float(np.sum(y == 0)), np.array(zeros, dtype=np.float64)),
        "outliers": (float(outside), _outliers(outside, r.n, n)),
    }
    return Dharma(values, lower, upper, statistics, n, effects, r.frame_kind)


def _uniform(values: Array) -> tuple[float, float]:
    from scipy.stats import kstwo

    distance = kolmogorov(values)
    return distance, float(kstwo.sf(distance, values.size))


def _beside(observed: float, draws: Array) -> tuple[float, float]:
    """Observed over the mean of the draws; p by its place among them."""
    mean = float(draws.mean())
    p = min(1.0, 2 * min(float(np.mean(draws <= observed)), float(np.mean(draws >= observed))))
    return (observed / mean if mean > 0 else math.nan), p


def _outliers(count: int, rows: int, n: int) -> float:
    from scipy.stats import binomtest

    return float(binomtest(count, rows, 2 / (n + 1)).pvalue)
