"""A fit's residuals beside those of data simulated from it: where p-values come from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..custom import CustomFamily
from ..errors import DataError, FitError
from ..fit import Fit, one_of
from ..inference.bootstrap import Refits, batches, refit_many
from ..progress import Counting
from ..simulate import draws
from .base import Check, p_two_sided, p_upper
from .posterior import Drawn, Posterior, at
from .residuals import Residuals, observe, repeats, residuals

if TYPE_CHECKING:
    from ..gee import GEEFit

Array = NDArray[np.float64]

NULLS = ("auto", "refit", "exact")
SMALL = 5000
"""Observations up to which the model is refitted to its own simulations."""

_TOGETHER = 25
"""Refits from which on progress is told."""

_WORDS = {
    "refit": "{n} refits to simulations",
    "exact": "exact for uniform residuals",
    "simulated": "{n} simulations",
    "none": "none: rows of a cluster are dependent",
}


@dataclass(frozen=True)
class Test:
    """One check in parts, so that many are made in one pass over simulated data.

    Parameters
    ----------
    name : str
    statistic : callable
        Of residuals: a number.
    describe : callable
        Of residuals, the statistic and its draws under the null (maybe none): effect, words and
        further numbers.
    upper : bool
        Whether only large values speak against the model.
    p : callable, optional
        Of residuals and the statistic: its p-value when residuals are independent and uniform.
    """

    __test__ = False

    name: str
    statistic: Callable[[Residuals], float]
    describe: Callable[[Residuals, float, Array], tuple[float, str, Mapping[str, Any]]]
    upper: bool = True
    p: Callable[[Residuals, float], float] | None = None


class Study:
    """Residuals of a fit, and of data simulated from it; made by `study`.

    Attributes
    ----------
    residuals : Residuals
        Of the data.
    null : str
        ``"refit"``, ``"exact"`` or ``"none"``.
    n, seed : int
        Simulated data sets under the null, and their seed.
    """

    def __init__(
        self, source: Any, null: str, n: int, seed: int, progress: bool | None = None
    ) -> None:
        self.n, self.seed, self.source, self.progress = n, seed, source, progress
        self.null = null
        self._refits: dict[int, Refits] = {}
        self.parameters = "drawn" if null == "exact" and isinstance(source, Fit) else "estimates"

    @cached_property
    def residuals(self) -> Residuals:
        """Residuals of the data."""
        if isinstance(self.source, Residuals):
            return self.source
        return residuals(self.source, parameters=self.parameters, seed=self.seed)

    def replicates(self) -> Iterator[Residuals]:
        """Residuals of simulated data sets, one at a time."""
        if self.null == "refit":
            yield from self._refitted()
        else:
            yield from self._again()

    def _refitted(self) -> Iterator[Residuals]:
        fit, posterior = self.source, Posterior(self.source)
        most = max(_TOGETHER, 2 * (fit.model.threads or os.cpu_count() or 1))
        for batch in batches(self.n, fit.design.n, most):
            ys = draws(fit, range(1 + batch.start, 1 + batch.stop), self.seed)
            if batch.start not in self._refits:
                self._refits[batch.start] = refit_many(fit, ys, fit.model.threads, False)
            refits = self._refits[batch.start]
            for k in np.flatnonzero(refits.good):
                again = at(fit, ys[k], refits.parameters[k])
                try:
                    yield observe(again, posterior, self.seed, 1 + batch.start + int(k))
                except FitError:
                    continue

    def _again(self) -> Iterator[Residuals]:
        """Other responses of the same law: exact, for they are independent given the effects."""
        r = self.residuals
        u = z = np.full(r.n, np.nan)
        plain = np.isfinite(r.law.variance).all()
        for k in range(1, self.n + 1):
            y = r.law.simulate(self.seed, k)
            if not plain:  # Pearson residuals will do for what has no null of its own
                u, z = r.law.quantile(y, self.seed, k)
            effects = None if r.effects is None else _prior(r.effects, self.seed, k)
            yield replace(r, values=u, normal=z, observed=y, effects=effects)

    def run(self, tests: Sequence[Test]) -> list[Check]:
        """Make checks, all in one pass over the simulated data sets."""
        r = self.residuals
        observed = [test.statistic(r) for test in tests]
        if self.null == "none":
            return [
                self._check(test, t, np.zeros(0)) for test, t in zip(tests, observed, strict=True)
            ]
        simulated = [self.null == "refit" or test.p is None for test in tests]
        found: list[list[float]] = [[] for _ in tests]
        if any(simulated):
            with Counting(self.progress, "simulated data sets", self.n) as show:
                for count, again in enumerate(self.replicates(), 1):
                    for k, test in enumerate(tests):
                        if simulated[k]:
                            found[k].append(test.statistic(again))
                    show.done(count)
        return [
            self._check(test, t, np.array(d, dtype=np.float64))
            for test, t, d in zip(tests, observed, found, strict=True)
        ]

    def _check(self, test: Test, statistic: float, null_draws: Array) -> Check:
        r = self.residuals
        effect, words, details = test.describe(r, statistic, null_draws)
        kind, p = self.null, float("nan")
        if self.null != "none":
            if null_draws.size:
                kind = "refit" if self.null == "refit" else "simulated"
                p = (p_upper if test.upper else p_two_sided)(statistic, null_draws)
            elif test.p is not None:
                p = test.p(r, statistic)
        null = _WORDS[kind].format(n=null_draws.size)
        if self.parameters == "drawn":
            null += ", parameters drawn"
        return Check(test.name, statistic, p, effect, words, null, details, r.frame_kind)


def _prior(effects: Drawn, seed: int, replicate: int) -> Drawn:
    """New effects of the shapes of others; only their standard normal form is of use."""
    rng = np.random.default_rng([seed, replicate, 5])
    spherical = tuple(rng.standard_normal(u.shape) for u in effects.spherical)
    return Drawn(spherical, ())


Source: TypeAlias = "Fit | GEEFit | Residuals | Study"


def study(
    source: Source,
    *,
    null: str = "auto",
    n: int = 199,
    seed: int = 0,
    progress: bool | None = None,
) -> Study:
    """Return the residuals of a fit beside those of data simulated from it.

    Parameters
    ----------
    source : Fit, GEEFit, Residuals or Study
        A study is returned as it is.
    null : str
        ``"refit"``: the model is refitted to data simulated from it, and everything is done again
        with each; p-values hold whatever the size of the data. ``"exact"``: residuals at
        parameters drawn in proportion to their likelihood, which are independent and uniform to
        first order, compared with the statistic's distribution for such numbers, or with
        simulations of the same responses. ``"auto"``: refits up to 5000 observations.
    n : int
        Simulated data sets.
    seed : int
    progress : bool, optional
        As in `glimm.fit`.

    Returns
    -------
    Study
        Which every function of `glimm.checks` takes in place of a fit, so that simulated data are
        fitted once for many checks.

    References
    ----------
    Johnson, V. E. (2004). A Bayesian chi-squared test for goodness-of-fit. Ann. Stat. 32,
    2361-2384. Stute, W., Gonzales Manteiga, W. and Presedo Quindimil, M. (1993). Bootstrap based
    goodness-of-fit tests. Metrika 40, 243-256.

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("epilepsy")
    >>> fit = glimm.fit("seizures ~ treatment + (1 | patient)", data, family="poisson")
    >>> study = glimm.checks.study(fit, n=39)
    >>> glimm.checks.dispersion(study).p < 0.05
    True
    """
    if isinstance(source, Study):
        return source
    one_of("null", null, NULLS)
    if not isinstance(n, int | np.integer) or n < 19:
        raise DataError(f"n={n!r}; at least 19", code="unknown_option")
    if isinstance(source, Residuals):
        return Study(source, "exact", min(n, _most(source)), seed, progress)
    if not isinstance(source, Fit):
        return Study(source, "none", n, seed, progress)
    can = repeats(source) is None and _draws(source)
    if null == "refit" and not can:
        message = (
            "null='refit' needs simulated data: a row of a frequency weight stands for several "
            "responses, and a user's family needs draw=; use null='exact'"
        )
        raise DataError(message, code="unknown_option")
    if null == "auto":
        null = "refit" if can and source.nobs <= SMALL else "exact"
    return Study(source, null, n, seed, progress)


def _most(r: Residuals) -> int:
    """Simulations that there can be: a foreign model has those that were given."""
    draws = getattr(r.law, "draws", None)
    return len(draws) - 1 if isinstance(draws, np.ndarray) else 10**9


def _draws(fit: Fit) -> bool:
    family = fit.model.family
    return not isinstance(family, CustomFamily) or family.draw is not None


def one(source: Source, test: Test, null: str, n: int, seed: int) -> Check:
    """Make one check."""
    return study(source, null=null, n=n, seed=seed).run([test])[0]
