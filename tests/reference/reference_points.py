"""The objective itself, at the stated parameters of other programs: no optimiser involved."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from reference_data import fitted

from glimm import _core
from glimm.design import DesignTerm
from glimm.problem import core_arrays


def point_difference(case: str, model: dict[str, Any], peer: dict[str, Any]) -> float | None:
    """Return the largest difference of log-likelihoods at a peer's points, in nats."""
    gaps = [
        abs(value_at(case, model, peer, point) - point["loglik"])
        for point in peer.get("points", [])
    ]
    return max(gaps, default=None)


@functools.cache
def problem(case: str, model_id: str) -> _core.Problem:
    """Return the numerical problem of a fitted model."""
    fit = fitted(case, model_id)
    # The columns of each term in the user's order: covariances are given in it.
    *arrays, terms = core_arrays(fit.model, fit.design)
    plain = [(*t[:4], list(range(t[3].shape[1])), *t[5:]) for t in terms]
    return _core.Problem(*arrays, plain, reml=fit.model.reml, integration="laplace")


def value_at(
    case: str, model: dict[str, Any], peer: dict[str, Any], point: dict[str, Any]
) -> float:
    """Evaluate glimm's log-likelihood at fixed effects, covariances and dispersion."""
    design = fitted(case, model["id"]).design
    fixed = dict(zip(peer["fixed"]["names"], point["fixed"], strict=True))
    parameters = [fixed[name] for name in design.x_names if name in fixed]
    if "dispersion" in point:
        parameters.append(math.log(point["dispersion"]))
    covariances = {c["group"]: np.array(c["cov"]) for c in point["covariances"]}
    names = {t["group"]: t["names"] for t in peer["random"]}
    for term in design.terms:
        order = [names[term.label].index(column) for column in term.columns]
        parameters.extend(raw(term, covariances[term.label][np.ix_(order, order)]))
    found = problem(case, model["id"]).evaluate(np.array(parameters))
    assert found is not None
    return float(found[0])


def raw(term: DesignTerm, covariance: np.ndarray) -> list[float]:
    """Return the entries of the lower Cholesky factor, row by row; the sds of a diagonal term."""
    factor = semidefinite_factor(covariance)
    if term.structure == "diag":
        return list(np.diag(factor))
    return [factor[r, c] for r in range(len(factor)) for c in range(r + 1)]


def semidefinite_factor(covariance: np.ndarray) -> np.ndarray:
    """Return the Cholesky factor, with zeros where a pivot vanishes."""
    size = len(covariance)
    factor = np.zeros((size, size))
    for c in range(size):
        pivot = covariance[c, c] - factor[c, :c] @ factor[c, :c]
        factor[c, c] = math.sqrt(max(pivot, 0.0))
        for r in range(c + 1, size):
            rest = covariance[r, c] - factor[r, :c] @ factor[c, :c]
            factor[r, c] = rest / factor[c, c] if factor[c, c] > 0.0 else 0.0
    return factor
