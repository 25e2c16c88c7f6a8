"""Means of the response where some random effects are integrated out, with all derivatives.

With eta the linear predictors at the modes of the effects that are kept, and R = sum of z'Sigma z
over those that are not, the mean is E m(eta + e), e ~ N(0, R); groups of a known relation have the
covariances of `typical`. Its derivatives in R are half the mean second derivatives of m, which is
how it moves with the parameters of Sigma.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import FitError
from ..mixed import FamilyBy
from ..problem import factor_slopes
from .points import Rows, linear_predictor, typical

if TYPE_CHECKING:
    from ..fit import Fit

Array = NDArray[np.float64]
Masks = tuple[NDArray[np.bool_], ...]


@dataclass(frozen=True)
class State:
    """Linear predictors of some rows and what is integrated out of them.

    Parameters
    ----------
    rows : Rows
    eta : list of ndarray, (n,)
        All predictors at the modes of the effects kept; thresholds of ordered classes left out.
    masks : tuple of ndarray of bool, (n,)
        For each membership of each term the rows in which its effects are integrated out.
    """

    fit: Fit
    rows: Rows
    eta: list[Array]
    masks: Masks

    @property
    def integrates(self) -> bool:
        """Whether anything is integrated out."""
        return any(mask.any() for mask in self.masks)

    def spread(self, k: int, other: int) -> Array:
        """Return z'Sigma z of predictors k and other over the effects integrated out, (n,)."""
        total = np.zeros(self.rows.n)
        for a, b, size, mask in self._pairs:
            left, right = self._whitened(a, k), self._whitened(b, other)
            total += np.where(mask, size * np.einsum("ia,ia->i", left, right), 0.0)
        return total

    def spread_slopes(self, k: int, other: int) -> list[tuple[int, Array]]:
        """Return (parameter, derivative of `spread`, (n,)) of all parameters of covariances."""
        found = []
        for a, b, size, mask in self._pairs:
            t = self.fit.design.members[a]
            term, (start, end) = self.fit.design.terms[t], self.fit.estimates.thetas[t]
            left, right = self._whitened(a, k), self._whitened(b, other)
            slopes, _ = factor_slopes(term, self.fit.estimates.parameters[start:end])
            for j, moved in enumerate(slopes):
                slope = np.einsum("ia,ia->i", self._part(a, k) @ moved, right)
                slope += np.einsum("ia,ia->i", left, self._part(b, other) @ moved)
                found.append((start + j, np.where(mask, size * slope, 0.0)))
        return found

    @cached_property
    def _pairs(self) -> list[tuple[int, int, float, NDArray[np.bool_]]]:
        """Memberships a and b of one term, the covariance of their groups over Sigma, its rows."""
        design, found = self.fit.design, []
        first = 0
        for term in design.terms:
            sizes, count = typical(term), len(term.memberships)
            for i, j in np.ndindex(count, count):
                mask = self.masks[first + i] & self.masks[first + j]
                if sizes[i, j] != 0.0 and mask.any():
                    found.append((first + i, first + j, float(sizes[i, j]), mask))
            first += count
        return found

    def _whitened(self, t: int, k: int) -> Array:
        """Lambda'z of each row, (n, q)."""
        own = self.fit.design.members[t]
        return self._part(t, k) @ self.fit.factors[own]

    def _part(self, t: int, k: int) -> Array:
        own = np.array(self.fit.design.terms[self.fit.design.members[t]].predictors) == k
        return np.asarray(self.rows.terms[t][1] * own, dtype=np.float64)


@dataclass(frozen=True)
class Mean:
    """A mean of each row and how it moves.

    Parameters
    ----------
    value : ndarray, (n,)
    by_eta : dict of int to ndarray, (n,)
        Derivative in each linear predictor.
    direct : list of (int, ndarray)
        (parameter, derivative) where it is not by a linear predictor.
    """

    value: Array
    by_eta: dict[int, Array]
    direct: list[tuple[int, Array]]


def state_of(fit: Fit, rows: Rows, effects: tuple[Array, ...], masks: Masks) -> State:
    """Return the linear predictors with the effects integrated out set to zero."""
    pairs = zip(rows.terms, masks, strict=True)
    kept = tuple((np.where(mask, -1, codes), z) for (codes, z), mask in pairs)
    bare = replace(rows, terms=kept)
    count = 1 if fit.model.family.ordered else len(fit.parts)
    eta = [linear_predictor(fit, bare, k, effects) for k in range(count)]
    return State(fit, rows, eta, masks)


def mean_of_link(state: State, k: int, link: str, low: float = 0.0, high: float = 1.0) -> Mean:
    """Return the mean of low + (high - low) g^-1 of predictor k."""
    variance = state.spread(k, k)
    sd = np.sqrt(variance)
    value, d_eta, d_sd = _core.population(link, state.eta[k], sd)
    plain = variance == 0
    if plain.any():
        value[plain] = _core.inverse_link(link, state.eta[k][plain])
    require_finite(value, link)
    half = np.divide(d_sd, 2.0 * sd, out=np.zeros_like(sd), where=~plain)
    direct = [(j, (high - low) * half * slope) for j, slope in state.spread_slopes(k, k)]
    return Mean(low + (high - low) * value, {k: (high - low) * d_eta}, direct)


def require_finite(value: Array, link: str) -> None:
    """Raise FitError where a mean does not exist."""
    if np.isnan(value).any():
        row = int(np.flatnonzero(np.isnan(value))[0])
        message = (
            f"the average over the random effects has no value in row {row} (counted from 0): "
            f"under the link {link!r} the linear predictor leaves the link's domain with a "
            "probability that matters. Use another link, such as 'log'"
        )
        raise FitError(message, code="no_interval")


def mean_of_response(state: State) -> Mean:
    """Return the mean of the response, extra zeros and truncation included."""
    fit = state.fit
    if is_plain(fit):
        found = mean_of_link(state, 0, fit.model.link)
        if not state.integrates:
            exact = _core.means(fit.model.core_name, predictors_of(state))
            return Mean(exact, found.by_eta, found.direct)
        return found
    return joint_mean(state, "mean")


def joint_mean(state: State, what: str) -> Mean:
    """Return a mean that depends on several predictors, by nodes over their distribution."""
    fit, count = state.fit, len(state.eta)
    eta = np.column_stack(state.eta)
    covariance = np.empty((state.rows.n, count, count))
    for k in range(count):
        for j in range(k + 1):
            covariance[:, k, j] = covariance[:, j, k] = state.spread(k, j)
    root = roots(covariance)
    value, d_eta, d_root, _ = _core.population_joint(fit.model.core_name, what, eta, root)
    # dm / dR = F / 2 with F = E m'' and d root = F root.
    curvature = d_root @ np.linalg.pinv(root) if state.integrates else np.zeros_like(covariance)
    direct: dict[int, Array] = {}
    for k in range(count):
        for j in range(count):
            for at, slope in state.spread_slopes(k, j):
                moved = 0.25 * (curvature[:, k, j] + curvature[:, j, k]) * slope
                direct[at] = direct[at] + moved if at in direct else moved
    if not state.integrates:
        value = _core.means(fit.model.core_name, state.eta) if what == "mean" else value
    return Mean(value, {k: d_eta[:, k] for k in range(count)}, list(direct.items()))


def roots(covariance: Array) -> Array:
    """Return a square root of each matrix, (n, k, k), with columns of zero where it has none."""
    diagonal = np.eye(covariance.shape[1], dtype=bool)
    if not covariance[:, ~diagonal].any():
        return np.sqrt(np.maximum(covariance, 0.0))
    values, vectors = np.linalg.eigh(covariance)
    top = np.maximum(values.max(axis=1, keepdims=True), 0.0)
    clean = np.where(values > 1e-14 * top, values, 0.0)
    return np.ascontiguousarray(vectors * np.sqrt(clean)[:, None, :])


def class_means(state: State) -> list[Mean]:
    """Return the mean probability of each ordered class."""
    fit = state.fit
    thresholds = fit.part("thresholds")
    sd = np.sqrt(state.spread(0, 0))
    slopes = state.spread_slopes(0, 0)
    zero = np.zeros(state.rows.n)
    below, found = (zero, zero, zero), []
    for c in range(thresholds.estimates.size + 1):
        last = c == thresholds.estimates.size
        above = (
            (zero + 1.0, zero, zero)
            if last
            else _core.population(fit.model.link, thresholds.estimates[c] - state.eta[0], sd)
        )
        half = np.divide(above[2] - below[2], 2.0 * sd, out=zero.copy(), where=sd > 0)
        direct = [(j, half * slope) for j, slope in slopes]
        if not last:
            direct.append((thresholds.first + c, above[1]))
        if c > 0:
            direct.append((thresholds.first + c - 1, -below[1]))
        found.append(Mean(above[0] - below[0], {0: below[1] - above[1]}, direct))
        below = above
    return found


def predictors_of(state: State) -> list[Array]:
    """Return the predictors as the family's functions in the core take them."""
    if not state.fit.model.family.ordered:
        return state.eta
    thresholds = state.fit.part("thresholds").estimates.tolist()
    return [state.eta[0], *(np.full(state.rows.n, value) for value in thresholds)]


def is_plain(fit: Fit) -> bool:
    """Whether the mean of the response is the inverse link of the first predictor alone."""
    family = fit.model.family
    if fit.model.zi is not None or family.ordered or isinstance(family, FamilyBy):
        return False
    probe = np.array([0.3, 0.7])
    others = [np.array([0.1, -0.4]) for _ in fit.parts[1:]]
    mean = _core.means(fit.model.core_name, [probe, *others])
    return bool(np.allclose(mean, _core.inverse_link(fit.model.link, probe), rtol=1e-12))
