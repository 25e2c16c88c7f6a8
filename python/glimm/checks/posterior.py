"""Draws of a fit's random effects given the responses, and of its parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..fit import Fit
from ..inference.ml import by_likelihood, problem_of
from ..problem import core_arrays, explain, factor_of

if TYPE_CHECKING:
    from ..design import Design

Array = NDArray[np.float64]
Effects = tuple[Array, ...]

_PROPOSALS = 20
_LARGE = 20_000
"""Rows up to which the likelihood itself is drawn from; beyond, its normal approximation."""


@dataclass(frozen=True)
class Drawn:
    """Random effects of a fit, by term.

    Parameters
    ----------
    spherical : tuple of ndarray, (levels, q)
        Standard normal and independent before the responses are known.
    effects : tuple of ndarray, (levels, q)
        In units of the linear predictor, in the order of the term's columns.
    """

    spherical: Effects
    effects: Effects


class Posterior:
    """The posterior of the random effects of one model and design, at any responses and parameters.

    Levels of one grouping factor are independent, and each is drawn by its own Metropolis chain
    from proposals that hold its tails. Effects of several factors are drawn jointly from the
    normal approximation at their modes, with the inverse of H; sweeps over the factors then
    correct it level by level. Gaussian responses are exact.
    """

    def __init__(self, fit: Fit) -> None:
        self.fit = fit
        self._core: _core.Posterior | None = None

    def draw(self, fit: Fit, seed: int, replicate: int) -> Drawn:
        """Draw given the responses and the parameters of `fit`, which is of this model."""
        if not fit.design.terms:
            return Drawn((), ())
        core = self._made(fit)
        psi = np.ascontiguousarray(fit.estimates.parameters)
        y = np.ascontiguousarray(fit.design.y)
        try:
            flat = core.draw(y, psi, seed, replicate)
        except _core.CoreError as error:
            raise explain(error, fit.model, fit.design) from None
        spherical = tuple(
            u.reshape(-1, len(term.columns)) for u, term in zip(flat, fit.design.terms, strict=True)
        )
        return Drawn(spherical, scaled(fit, spherical))

    def _made(self, fit: Fit) -> _core.Posterior:
        # The thresholds of ordered classes are picked out by the responses.
        if self._core is None or fit.model.family.ordered:
            arrays = core_arrays(fit.model, _kept(fit))
            engine, threads = fit.model.engine, fit.model.threads
            self._core = _core.Posterior(*arrays, engine=engine, threads=threads)
        return self._core


def scaled(fit: Fit, spherical: Effects) -> Effects:
    """Return effects in units of the linear predictor, b = Lambda u."""
    found = []
    parts = zip(fit.design.terms, fit.estimates.thetas, spherical, strict=True)
    for term, (start, end), u in parts:
        factor = factor_of(term, fit.estimates.parameters[start:end])
        found.append(np.ascontiguousarray(u @ factor.T))
    return tuple(found)


def _kept(fit: Fit) -> Design:
    """The design with the columns that are estimated."""
    design, kept = fit.design, fit.estimates.kept
    parts = tuple(
        part
        if len(kept[part.predictor]) == part.x.shape[1]
        else replace(part, x=np.asfortranarray(part.x[:, list(kept[part.predictor])]))
        for part in design.parts
    )
    x = design.x
    if len(kept[0]) < x.shape[1]:
        x = np.asfortranarray(x[:, list(kept[0])])
    return replace(design, x=x, parts=parts)


def at(fit: Fit, y: Array | None = None, parameters: Array | None = None) -> Fit:
    """Return the fit at other responses or parameters, without fitting anything."""
    design = fit.design if y is None else replace(fit.design, y=y)
    estimates = fit.estimates
    if parameters is not None:
        estimates = replace(estimates, parameters=parameters)
    return Fit(fit.model, design, estimates)


def free_parameters(fit: Fit) -> NDArray[np.bool_]:
    """Return which parameters the data tell that are not of a covariance on its boundary, (P,)."""
    variance = np.diag(fit.estimates.covariance)
    free = np.isfinite(variance) & (variance > 0)
    singular = fit.diagnostics.singular
    for term, (start, end) in zip(fit.design.terms, fit.estimates.thetas, strict=True):
        if term.label in singular:
            free[start:end] = False
    return np.asarray(free)


def drawn_parameters(fit: Fit, seed: int) -> Array:
    """Return one draw of all parameters in proportion to their likelihood.

    Residuals at such a draw are uniform to first order although parameters were estimated: what
    the estimates take out of the residuals' variation the draw puts back (Johnson 2004, Ann. Stat.
    32, 2361-2384). The draw is one of 20 from Student's t around the estimates, chosen by its
    likelihood over its density (sampling, importance, resampling: Rubin 1988), for that of a
    variance told by few groups is skewed; of more than 20,000 rows it is from the normal
    approximation. Parameters that the data do not tell stay at their estimates, and so do
    covariances on the boundary of their range.
    """
    e, known = fit.estimates, free_parameters(fit)
    values, vectors = np.linalg.eigh(e.covariance[np.ix_(known, known)])
    rng, k = np.random.default_rng([seed, 2]), int(known.sum())
    few = fit.design.n <= _LARGE
    freedom = 8.0 + 2 * k  # tails that suit the number of parameters
    z = rng.standard_normal((_PROPOSALS if few else 1, k))
    if few:
        z /= np.sqrt(rng.chisquare(freedom, _PROPOSALS) / freedom)[:, None]
    out = np.tile(e.parameters, (len(z), 1))
    out[:, known] += z @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
    if not few:
        return np.asarray(out[0])
    density = -0.5 * (freedom + k) * np.log1p(np.sum(z**2, axis=1) / freedom)
    return np.asarray(out[_chosen(_logliks(fit, out) - density, rng)])


def _logliks(fit: Fit, parameters: Array) -> Array:
    """Log-likelihoods, (m,): of restricted fits too, for theirs is an average of it over means."""
    problem = problem_of(by_likelihood(fit))
    found = [problem.evaluate(np.ascontiguousarray(psi)) for psi in parameters]
    return np.array([-math.inf if one is None else one[0] for one in found])


def _chosen(logs: Array, rng: np.random.Generator) -> int:
    """One of some, in proportion to weights of which the logs are given."""
    logs = np.where(np.isfinite(logs), logs, -math.inf)
    if np.isneginf(logs).all():
        return 0
    weights = np.exp(logs - logs.max())
    return int(rng.choice(logs.size, p=weights / weights.sum()))
