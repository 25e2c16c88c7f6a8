"""Confidence intervals of predictions and prediction intervals of new responses.

A prediction moves with the parameters through a = dm/dpsi, which includes how the modes move, and
with the random effects themselves, by g = dm/deta: its variance is a'V a + g'z'C z g, with V and
C of the joint covariance. At places that the fit has not seen z are weights of the effects that it
has, and the variance that those leave open adds to z'C z (`kriging`).
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..confidence import normal_reach
from ..custom import CustomFamily
from ..errors import DataError, FitError
from ..problem import explain
from .ask import from_link, inverse, mean_of, to_link
from .integrated import Mean, State, class_means, predictors_of, roots
from .pieces import Columns, by_member, joined, link_of, member_of
from .points import Terms

if TYPE_CHECKING:
    from .joint import Joint

Array = NDArray[np.float64]


def confidence(state: State, k: int, scale: str, part: str, level: float) -> Columns:
    """Return `estimate`, `se`, `lower`, `upper`; for ordered classes with `row` and `class`."""
    if part == "response" and state.fit.model.family.ordered and scale == "response":
        return _of_classes(state, level)
    reach = normal_reach(level)
    return by_member(
        state, lambda own: joined(own, lambda piece: _confidence(piece, k, scale, part, reach))
    )


def prediction(state: State, level: float) -> Columns:
    """Return `estimate`, `se` of the estimate, and `lower`, `upper` of a new response."""
    fit = state.fit
    if fit.model.family.ordered:
        message = (
            "a prediction interval of ordered classes says no more than their probabilities: use "
            "predict() without interval=, or interval='confidence'"
        )
        raise FitError(message, code="no_interval")
    family = fit.model.family
    if isinstance(family, CustomFamily) and "cdf" not in dict(family.tapes):
        message = (
            f"a prediction interval has the quantiles of new responses, and family {family.name!r} "
            "has no distribution function: give CustomFamily one as cdf="
        )
        raise FitError(message, code="no_interval")
    if fit.design.trials is not None and state.rows.trials is None:
        message = (
            "a prediction interval is of the number of successes, so the new rows need the number "
            "of trials, in the column that the fit had it from"
        )
        raise DataError(message, code="unknown_column")
    tails = [(1 - level) / 2, (1 + level) / 2]
    return by_member(state, lambda own: _of_family(own, tails))


def _of_family(state: State, tails: list[float]) -> Columns:
    """Quantiles of new responses of one family."""
    model, member = state.fit.model, member_of(state)
    name = model.core_name if member is None else member.core_name
    if name[0] == "gaussian" and link_of(state) == "identity":
        return joined(state, lambda piece: _normal(piece, tails))
    found = joined(state, _uncertain)
    eta, root, lost = (found.pop(key) for key in ("eta", "root", "lost"))
    if member is not None:
        count = 1 + len(member.family.parameters)
        eta = np.ascontiguousarray(eta[:, :count])
        root = roots((root @ root.transpose(0, 2, 1))[:, :count, :count])
    trials = state.rows.trials if member is None or member.family.trials else None
    size = None if trials is None else np.ascontiguousarray(trials)
    try:
        # All rows at once: what many have in common is found once.
        both = _core.predictive(name, eta, root, size, tails)
    except _core.CoreError as failure:
        raise explain(failure, model, state.fit.design) from None
    both[lost] = np.nan
    return found | {"lower": both[:, 0].copy(), "upper": both[:, 1].copy()}


def _kept(state: State) -> Terms:
    """The terms with code -1 where effects are integrated out, or drawn, and so have no error."""
    design = state.fit.design
    levels = [len(design.terms[t].levels) for t in design.members]
    parts = zip(state.rows.terms, state.masks, levels, strict=True)
    return tuple((np.where(mask | (c >= m), -1, c), z) for (c, z), mask, m in parts)


def gradients(state: State) -> list[Array]:
    """Return how each linear predictor moves with the parameters, (n, P), by predictor."""
    fit, joint = state.fit, state.fit.joint_covariance
    terms = _kept(state)
    found = []
    for k in range(len(state.eta)):
        total = np.zeros((state.rows.n, fit.estimates.parameters.size))
        start, end = fit.estimates.fixed[k]
        if k in state.rows.matrices:
            total[:, start:end] = state.rows.matrices[k][0][:, list(fit.estimates.kept[k])]
        else:
            total[:, start:end] = 1.0
        if terms:
            total += joint.along(terms, k)
        for effect in state.rows.kriged:
            if effect.predictor == k:
                total[:, effect.parameter] += effect.slope
        found.append(total)
    return found


def standard_error(state: State, mean: Mean, by_parameters: list[Array]) -> Array:
    """Return the standard error of a mean from the joint covariance, (n,)."""
    joint = state.fit.joint_covariance
    total = np.zeros_like(by_parameters[0])
    for k, slope in mean.by_eta.items():
        total += slope[:, None] * by_parameters[k]
    for j, slope in mean.direct:
        total[:, j] += slope
    variance = joint.variance(total)
    terms = _kept(state)
    moving = [k for k in mean.by_eta if _has_effects(state, k)]
    for k in moving:
        for j in moving:
            variance += mean.by_eta[k] * mean.by_eta[j] * joint.conditional(terms, k, j)
        variance += mean.by_eta[k] ** 2 * _between_places(state, k)
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)))


def _between_places(state: State, k: int) -> Array:
    """What the effects at places of the fit leave open of those at others, (n,): a variance."""
    found = [e.variance for e in state.rows.kriged if e.predictor == k]
    return np.sum(found, axis=0) if found else np.zeros(state.rows.n)


def _has_effects(state: State, k: int) -> bool:
    return any(k in term.predictors for term in state.fit.design.terms)


def _confidence(state: State, k: int, scale: str, part: str, reach: float) -> dict[str, Array]:
    """On the link scale, and from there to the response."""
    by = gradients(state)
    whole = part == "response" and not state.fit.model.family.ordered
    if not state.integrates and (scale == "link" or not whole):
        eta = state.eta[k]
        error = standard_error(state, Mean(eta, {k: np.ones_like(eta)}, []), by)
        mean, slope = from_link(state, k, eta)
        value, spread = (eta, error) if scale == "link" else (mean, np.abs(slope) * error)
    else:
        found = mean_of(state, k, part)
        value = found.value
        spread = standard_error(state, found, by)
        eta = to_link(state, k, value)
        error = spread / np.abs(from_link(state, k, eta)[1])
        value, spread = (eta, error) if scale == "link" else (value, spread)
    low, high = eta - reach * error, eta + reach * error
    if scale == "response":
        low, high = inverse(state, k, low), inverse(state, k, high)
    return {
        "estimate": value,
        "se": spread,
        "lower": np.minimum(low, high),
        "upper": np.maximum(low, high),
    }


def _of_classes(state: State, level: float) -> Columns:
    """Probabilities of classes, whose intervals are symmetric in their log odds."""
    reach = normal_reach(level)
    levels = state.fit.design.response_levels or ()
    by = gradients(state)
    rows = []
    for mean in class_means(state):
        error = standard_error(state, mean, by)
        p = np.clip(mean.value, 1e-300, 1 - 1e-16)
        eta, half = np.log(p) - np.log1p(-p), reach * error / (p * (1 - p))
        ends = [_core.inverse_link("logit", eta + sign * half) for sign in (-1.0, 1.0)]
        rows.append([mean.value, error, *ends])
    table = np.array(rows).transpose(2, 0, 1).reshape(-1, 4)
    n = state.rows.n
    names = {"row": np.repeat(np.arange(n), len(levels)), "class": list(levels) * n}
    columns = zip(("estimate", "se", "lower", "upper"), table.T, strict=True)
    return names | {key: np.ascontiguousarray(column) for key, column in columns}


def _normal(state: State, tails: list[float]) -> dict[str, Array]:
    """Quantiles of a gaussian response about an uncertain mean."""
    found = _uncertain(state)
    noise = _core.variances(state.fit.model.core_name, predictors_of(state), None)
    spread = np.sqrt((found["root"][:, 0] ** 2).sum(axis=1) + noise)
    spread[found["lost"]] = np.nan
    ends = [found["estimate"] + NormalDist().inv_cdf(tail) * spread for tail in tails]
    return {"estimate": found["estimate"], "se": found["se"], "lower": ends[0], "upper": ends[1]}


def _uncertain(state: State) -> Columns:
    """Mean of the response, its standard error, and what the linear predictors may be.

    These are `eta` (n, K) and a root of their covariance (n, K, K), zero where `lost`: not known.
    """
    by = gradients(state)
    mean = mean_of(state, 0, "response")
    error = standard_error(state, mean, by)
    covariance = _of_predictors(state, by, state.fit.joint_covariance)
    lost = np.isnan(covariance).any(axis=(1, 2))
    covariance[lost] = 0.0
    unit = 1.0 if state.rows.trials is None else state.rows.trials
    return {
        "estimate": unit * mean.value,
        "se": unit * error,
        "eta": np.column_stack(state.eta),
        "root": roots(covariance),
        "lost": lost,
    }


def _of_predictors(state: State, by: list[Array], joint: Joint) -> Array:
    """The covariance (n, K, K) of the linear predictors: parameters, effects, and new effects.

    Predictors without random effects, that of the mean aside, stand at their estimates.
    """
    count = len(state.eta)
    out = np.zeros((state.rows.n, count, count))
    terms = _kept(state)
    moving = [k for k in range(count) if k == 0 or _has_effects(state, k)]
    for k in moving:
        weighted = by[k] @ joint.covariance
        # Not known where the variance of the predictor is not.
        weighted[np.isnan(joint.variance(by[k]))] = np.nan
        for j in moving:
            out[:, k, j] = np.einsum("ij,ij->i", weighted, by[j]) + state.spread(k, j)
            if terms:
                out[:, k, j] += joint.conditional(terms, k, j)
        out[:, k, k] += _between_places(state, k)
    return out
