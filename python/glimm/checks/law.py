"""The distribution of every response, as checks see it: a fit's, or that of given simulations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..custom import CustomFamily, draw_responses
from ..errors import DataError
from ..predict import predictors, training_rows
from ..problem import sizes

if TYPE_CHECKING:
    from ..fit import Fit
    from ..gee import GEEFit

Array = NDArray[np.float64]

SIMULATIONS = 250
"""Simulations by which responses are ranked where a family has no distribution function."""


class Law(Protocol):
    """The distribution of N responses, independent given the random effects it stands at."""

    @property
    def n(self) -> int:
        """Number of responses N."""

    @property
    def mean(self) -> Array:
        """Expected responses, (N,)."""

    @property
    def variance(self) -> Array:
        """Their variances, (N,); NaN where they are not known."""

    def quantile(self, y: Array, seed: int, replicate: int) -> tuple[Array, Array]:
        """Return where each response falls between 0 and 1, and its normal score, (N,) each."""

    def simulate(self, seed: int, replicate: int) -> Array:
        """Return one response each, (N,)."""


def with_scores(u: Array) -> tuple[Array, Array]:
    """Return residuals kept off 0 and 1, and their normal scores."""
    from scipy.special import ndtri

    u = np.clip(u, 1e-300, 1 - 2**-53)
    return u, np.asarray(ndtri(u))


def ranked(below: Array, equal: Array, n: int, uniform: Array) -> Array:
    """Return the randomised rank of responses among n simulations; uniform under the model.

    Examples
    --------
    >>> import numpy as np
    >>> ranked(np.array([1.0]), np.array([2.0]), 4, np.array([0.5])).tolist()
    [0.5]
    """
    return np.asarray((below + uniform * (equal + 1)) / (n + 1))


@dataclass(frozen=True)
class FamilyLaw:
    """Responses of a family at given linear predictors.

    Parameters
    ----------
    family : Family
    name : tuple
        The family as the core knows it.
    zero_inflated : bool
    eta : list of ndarray, (N,)
        All linear predictors; for ordered classes that of the mean and all thresholds.
    size : ndarray, (N,), or None
        Trials, or the number of ordered classes.
    """

    family: object
    name: tuple[object, ...]
    zero_inflated: bool
    eta: list[Array]
    size: Array | None

    @property
    def n(self) -> int:
        """Number of responses."""
        return int(self.eta[0].size)

    @property
    def trials(self) -> Array | float:
        """What proportions are multiplied by to get responses."""
        ordered = getattr(self.family, "ordered", False)
        return 1.0 if self.size is None or ordered else self.size

    @cached_property
    def mean(self) -> Array:
        """Expected responses."""
        return np.asarray(_core.means(self.name, self.eta) * self.trials)

    @cached_property
    def variance(self) -> Array:
        """Variances of the responses; NaN for a user's family that has none."""
        try:
            found = _core.variances(self.name, self.eta, self.size)
        except _core.CoreError:
            return np.full(self.n, np.nan)
        return np.asarray(found * self.trials * self.trials)

    @property
    def exact(self) -> bool:
        """Whether the family has a distribution function."""
        if not isinstance(self.family, CustomFamily):
            return True
        return any(name == "cdf" for name, _ in self.family.tapes)

    def quantile(self, y: Array, seed: int, replicate: int) -> tuple[Array, Array]:
        """By the distribution function, or by rank among simulations where there is none."""
        if self.exact:
            y = np.ascontiguousarray(y)
            return _core.quantile_residuals(self.name, y, self.eta, self.size, seed, replicate)
        rng = np.random.default_rng([seed, replicate, 1])
        below, equal = counts(self, y, SIMULATIONS, seed + 1)
        return with_scores(ranked(below, equal, SIMULATIONS, rng.random(self.n)))

    @cached_property
    def zero(self) -> Array | None:
        """Probability that a response is zero, (N,); None for a user's family without cdf."""
        if not self.exact:
            return None
        below, at = (
            _core.cdf(self.name, np.full(self.n, y), self.eta, self.size)[0] for y in (-5e-324, 0.0)
        )
        return np.asarray(at - below)

    def simulate(self, seed: int, replicate: int) -> Array:
        """One response each."""
        if isinstance(self.family, CustomFamily):
            return draw_responses(
                self.family, self.zero_inflated, self.eta, self.size, seed, replicate
            )
        return _core.draw_responses(self.name, self.eta, self.size, seed, replicate)


def counts(law: Law, y: Array, n: int, seed: int) -> tuple[Array, Array]:
    """Return how many of n simulations lie below each response, and how many equal it, (N,)."""
    below, equal = np.zeros(law.n), np.zeros(law.n)
    for replicate in range(n):
        drawn = law.simulate(seed, replicate)
        below += drawn < y
        equal += drawn == y
    return below, equal


@dataclass(frozen=True)
class Simulated:
    """Responses of which only simulations are known: the adapter of models made elsewhere.

    Parameters
    ----------
    draws : ndarray, (n, N)
        One simulated data set per row.
    fitted : ndarray, (N,), optional
        Expected responses; the mean of the simulations when not given.
    """

    draws: Array
    fitted: Array | None = None

    @property
    def n(self) -> int:
        """Number of responses."""
        return int(self.draws.shape[1])

    @cached_property
    def mean(self) -> Array:
        """Expected responses."""
        return np.asarray(self.draws.mean(axis=0) if self.fitted is None else self.fitted)

    @cached_property
    def variance(self) -> Array:
        """Variances of the simulations."""
        return np.asarray(self.draws.var(axis=0, ddof=1))

    @cached_property
    def zero(self) -> Array:
        """Share of simulations that are zero."""
        return np.asarray(np.mean(self.draws == 0, axis=0))

    def quantile(self, y: Array, seed: int, replicate: int) -> tuple[Array, Array]:
        """By rank among the simulations, ties broken at random."""
        rng = np.random.default_rng([seed, replicate, 1])
        below = np.sum(self.draws < y, axis=0).astype(np.float64)
        equal = np.sum(self.draws == y, axis=0).astype(np.float64)
        return with_scores(ranked(below, equal, len(self.draws), rng.random(self.n)))

    def simulate(self, seed: int, replicate: int) -> Array:
        """Simulation number `replicate`."""
        if replicate >= len(self.draws):
            message = f"simulation {replicate} of {len(self.draws)}; give more simulations"
            raise DataError(message, code="unknown_option")
        return np.asarray(self.draws[replicate])


def fit_law(fit: Fit, effects: tuple[Array, ...], rows: NDArray[np.intp] | None) -> FamilyLaw:
    """Return the law of a fit's responses at random effects; `rows` repeats rows."""
    eta = predictors(fit, training_rows(fit), effects)
    size, model = sizes(fit.model, fit.design), fit.model
    if rows is not None:
        eta = [e[rows] for e in eta]
        size = None if size is None else size[rows]
    eta = [np.ascontiguousarray(e) for e in eta]
    return FamilyLaw(model.family, model.core_name, model.zi is not None, eta, size)


def gee_law(fit: GEEFit) -> FamilyLaw:
    """Return the marginal law that estimating equations name: the family at the mean and scale.

    Raises
    ------
    DataError
        Where the family's law is not that of the working mean and variance.
    """
    name, n = fit.family, fit.design.n
    eta, size = [fit.predict(scale="link")], fit.design.trials
    if name == "ordinal":
        count = len(fit.names) - len(fit.estimates.kept)
        eta += [np.full(n, value) for value in fit.estimates.beta[:count]]
        assert fit.design.response_levels is not None
        size = np.full(n, float(len(fit.design.response_levels)))
    elif name in ("gaussian", "gamma", "inverse_gaussian"):
        power = 1.0 if name == "inverse_gaussian" else 0.5
        eta.append(power * np.log(_scale(fit)))
    elif name not in ("poisson", "binomial"):
        message = (
            f"a gee fit of family {name!r} states a mean and a variance but no distribution of the "
            "response; use gaussian, gamma, inverse_gaussian, poisson, binomial or ordinal"
        )
        raise DataError(message, code="no_residuals")
    eta = [np.ascontiguousarray(e) for e in eta]
    return FamilyLaw(fit.model.family, fit.model.core_name, False, eta, size)


def _scale(fit: GEEFit) -> Array:
    """The scale of every row."""
    if fit.design.parts:
        part = fit.design.parts[0]
        logs = part.x @ fit.estimates.scale + (0.0 if part.offset is None else part.offset)
        scale = np.exp(logs)
    else:
        scale = np.full(fit.design.n, float(fit.estimates.scale[0]))
    weights = fit.design.precision
    return np.asarray(scale if weights is None else scale / weights)
