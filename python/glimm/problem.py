"""The seam: a Design crosses into the core once, and estimates come back."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _core
from .certificate import Certificate, certificate
from .errors import (
    DataError,
    FamilyError,
    FitError,
    GlimmError,
    listed,
    nearest_first,
    rows_text,
)
from .memory import available, size_text
from .mixed import FamilyBy
from .penalty import core_penalty
from .progress import Progress
from .restrictions import ties_of
from .structures import order as order

if TYPE_CHECKING:
    from .design import Design, DesignTerm
    from .model import Model

Array = NDArray[np.float64]
_Predictor = tuple[Array | None, Array | None, float | None]
_Arrays = tuple[Any, Array, Array | None, Array | None, list[_Predictor], list[Any]]

_log = logging.getLogger("glimm")

_SMALLER = "Use fewer rows or columns, or a machine with more memory"
ENGINES = ("auto", "dense", "sparse", "iterative")
"""Linear algebra for the random effects; see `glimm.fit`."""

_REASONS = {
    "Converged": "converged",
    "NoProgress": "no step raises the log-likelihood any further",
    "IterationLimit": "the limit of iterations was reached",
    "Runaway": "a coefficient runs to infinity",
    "Saddle": "the log-likelihood still bends upwards where the climb ended",
}


@dataclass(frozen=True, slots=True)
class Estimates:
    """What the core found.

    Parameters
    ----------
    parameters : ndarray, (P,)
        Coefficients of the columns kept, of one linear predictor after the other, then each term's
        parameters.
    covariance : ndarray, (P, P)
        Joint covariance; NaN for parameters the data do not tell.
    identified : tuple of str, (P,)
        ``"yes"``, ``"no"`` (the likelihood is flat) or ``"runaway"`` (it rises for ever).
    kept : tuple of tuple of int
        Columns of each predictor's x that are estimated.
    aliased : tuple of (int, int, str)
        (predictor, column of its x, why) of those that are not.
    fixed : tuple of (int, int)
        First and last + 1 of each predictor's coefficients.
    thetas : tuple of (int, int)
        First and last + 1 of each term's parameters.
    modes, covariances : tuple of ndarray
        Per term: modes (levels, q) and conditional covariances (levels, q, q) of the effects.
    loglik : float
        With all constants; that of the residuals for restricted maximum likelihood.
    converged, reason, loglik_left, se_moved
        How far from the maximum, in nats and in standard errors.
    iterations, evaluations, passes, path, threads
        What it took; a pass is one evaluation of all rows.
    draws_se, loglik_se : float
        Of an iterative engine: the largest error of an estimate due to its draws, in standard
        errors, and the standard error of the log-likelihood. Zero for exact ones.
    certificate : Certificate
        How the integral over the random effects was taken, and how wrong it can be.
    compressed_rows : (int, int), optional
        Rows before and after lossless compression, if it was used.
    compressed_groups : (int, int), optional
        Groups before and after, if equal groups were merged too.
    """

    parameters: Array
    covariance: Array
    identified: tuple[str, ...]
    kept: tuple[tuple[int, ...], ...]
    aliased: tuple[tuple[int, int, str], ...]
    fixed: tuple[tuple[int, int], ...]
    thetas: tuple[tuple[int, int], ...]
    modes: tuple[Array, ...]
    covariances: tuple[Array, ...]
    loglik: float
    converged: bool
    reason: str
    loglik_left: float
    se_moved: float
    iterations: int
    evaluations: int
    passes: float
    path: str
    threads: int
    draws_se: float
    loglik_se: float
    certificate: Certificate
    compressed_rows: tuple[int, int] | None = None
    compressed_groups: tuple[int, int] | None = None


def _places(term: DesignTerm) -> list[int]:
    """Where each column of a term stands in the order of the core."""
    return [int(place) for place in np.argsort(order(term))]


def make_problem(model: Model, design: Design) -> _core.Problem:
    """Hand the arrays of a design to the core.

    Raises
    ------
    DataError, FamilyError, FitError
    """
    if model.threads is not None and model.threads < 1:
        message = f"threads={model.threads}; at least 1, or None for all cores"
        raise DataError(message, code="unknown_option")
    if model.engine not in ENGINES:
        names = listed(nearest_first(model.engine, ENGINES))
        raise DataError(f"engine={model.engine!r}; use {names}", code="unknown_option")
    try:
        return _core.Problem(
            *core_arrays(model, design),
            reml=model.reml,
            threads=model.threads,
            engine=model.engine,
            integration=model.integration,
            compress=model.compress,
            memory=available(),
            penalty=core_penalty(model, design),
            ties=ties_of(design, model.random_hold, model.share),
        )
    except _core.CoreError as error:
        raise explain(error, model, design) from None


def core_arrays(model: Model, design: Design) -> _Arrays:
    """Return what the core calls a problem: family, responses, predictors and terms."""
    terms = [
        (t.structure, t.codes, len(t.levels), t.z, order(t), list(t.predictors), _ties(t))
        for t in design.terms
    ]
    size, predictors = sizes(model, design), _predictors(model, design)
    return model.core_name, design.y, size, design.freq, predictors, terms


def _ties(term: DesignTerm) -> tuple[_core.Precision | None, list[Any]]:
    """What ties the levels of a term: their precision, and further memberships of each row."""
    return (None if term.relation is None else term.relation.core), list(term.also)


def sizes(model: Model, design: Design) -> Array | None:
    """Return the trials of each row, or the number of ordered classes."""
    if not model.family.ordered:
        return design.trials
    assert design.response_levels is not None
    return np.full(design.n, float(len(design.response_levels)))


def _predictors(model: Model, design: Design) -> list[_Predictor]:
    """(x, offset, value) of each linear predictor: x of None is an intercept."""
    found: list[_Predictor] = [(design.x, design.offset, None)]
    parts = {part.predictor: part for part in design.parts}
    for k, parameter in enumerate(model.family.parameters, 1):
        part = parts.get(k)
        x, offset = (None, None) if part is None else (part.x, part.offset)
        if design.precision is not None and parameter.precision:
            weights = parameter.precision * np.log(design.precision)
            offset = weights if offset is None else offset + weights
        held = model.held.get(parameter.name)
        found.append((x, offset, None if held is None else parameter.predictor(held)))
    if model.zi is not None:
        part = parts[len(found)]
        found.append((part.x, part.offset, None))
    return found


def factor_of(term: DesignTerm, theta: Array) -> Array:
    """Return a square root (q, q) of a term's covariance, rows in the order of its columns."""
    q = len(term.columns)
    rows = np.array(_core.factor(term.structure, q, theta.tolist())).reshape(q, q)
    return np.ascontiguousarray(rows[_places(term)])


def factor_slopes(term: DesignTerm, theta: Array) -> tuple[Array, Array]:
    """Return derivatives of `factor_of` in theta: first (k, q, q), and second ones (k, k, q, q)."""
    q, k, places = len(term.columns), theta.size, _places(term)
    found = _core.factor_derivatives(term.structure, q, theta.tolist())
    assert found is not None
    first, second = (np.array(part) for part in found)
    return first.reshape(k, q, q)[:, places], second.reshape(k, k, q, q)[:, :, places]


def solve(
    problem: _core.Problem,
    model: Model,
    design: Design,
    y: Array | None = None,
    start: Array | None = None,
    progress: bool | None = None,
) -> Estimates:
    """Maximise the likelihood, of new responses if given."""
    needed = size_text(problem.memory)
    _log.info("fitting %s rows takes about %s of memory", f"{design.n:,}", needed)
    try:
        with Progress(progress, problem.memory) as show:
            found = problem.fit(start, show) if y is None else problem.refit(y, start, show)
    except _core.CoreError as error:
        raise explain(error, model, design) from None
    return _estimates(problem, design, found)


def solve_again(
    problem: _core.Problem | None, model: Model, design: Design, before: Estimates
) -> tuple[_core.Problem, Estimates]:
    """Maximise the likelihood of a design whose responses alone are new.

    Compression merges rows by their responses, and thresholds of ordered classes are picked out by
    them, so that such a problem is made anew.
    """
    if problem is None or problem.compressed is not None or model.family.ordered:
        problem = make_problem(model, design)
        known = tuple(map(tuple, problem.kept)) == before.kept
        start = before.parameters if known else None
        return problem, solve(problem, model, design, start=start)
    return problem, solve(problem, model, design, design.y, before.parameters)


def _estimates(problem: _core.Problem, design: Design, found: dict[str, Any]) -> Estimates:
    parameters = found["parameters"]
    count = parameters.size
    widths = [len(term.columns) for term in design.terms]
    places = [_places(term) for term in design.terms]
    modes = [
        m.reshape(-1, q) if p == sorted(p) else np.ascontiguousarray(m.reshape(-1, q)[:, p])
        for m, q, p in zip(found["modes"], widths, places, strict=True)
    ]
    blocks = [
        c.reshape(-1, q, q)
        if p == sorted(p)
        else np.ascontiguousarray(c.reshape(-1, q, q)[:, p][:, :, p])
        for c, q, p in zip(found["covariances"], widths, places, strict=True)
    ]
    rows, groups = problem.compressed or (None, None)
    estimates = Estimates(
        parameters=parameters,
        covariance=found["covariance"].reshape(count, count),
        identified=tuple(found["identified"]),
        kept=tuple(map(tuple, problem.kept)),
        aliased=tuple(problem.aliased),
        fixed=tuple(found["fixed"]),
        thetas=tuple(found["theta"]),
        modes=tuple(modes),
        covariances=tuple(blocks),
        loglik=found["loglik"],
        converged=found["converged"],
        reason=_REASONS.get(found["reason"], found["reason"]),
        loglik_left=found["loglik_left"],
        se_moved=found["se_moved"],
        iterations=found["iterations"],
        evaluations=found["evaluations"],
        passes=found["passes"],
        path=problem.path,
        threads=problem.threads,
        compressed_rows=rows,
        compressed_groups=groups,
        draws_se=found["draws_se"],
        loglik_se=found["loglik_se"],
        certificate=certificate(found["certificate"]),
    )
    for array in (estimates.parameters, estimates.covariance, *modes, *blocks):
        array.flags.writeable = False
    return estimates


def _outside_domain(model: Model, design: Design, message: str, row: int) -> DataError:
    """The first rows that the family cannot have, and the families that could."""
    name, size, own, of = model.core_name, sizes(model, design), np.arange(design.n), ""
    if isinstance(model.family, FamilyBy):
        codes = design.parts[-1].offset
        assert codes is not None
        member = model.family.members[int(codes[row])]
        name, own = member.core_name, np.flatnonzero(codes == codes[row])
        of = f" where {model.family.column!r} is {member.level!r}"
    size = None if size is None else np.ascontiguousarray(size[own])
    families, wrong = _core.accepting(name, np.ascontiguousarray(design.y[own]), size)
    where = rows_text(design.rows[own[wrong]].tolist())
    text = message.replace(f"in row {row}", f"in {where}{of}")
    text = text.replace("response", f"response {design.response_name!r}:", 1)
    if families:
        text += f"; families that accept all its values: {listed(families, 12)}"
    return DataError(text, code="outside_domain")


def explain(error: _core.CoreError, model: Model, design: Design) -> GlimmError:
    """Say an error of the core in terms of the user's data."""
    code, message, row = error.args
    name = repr(design.response_name)
    if code == "response_domain":
        return _outside_domain(model, design, message, row)
    if code == "not_finite":
        return DataError(message, code="infinite_values")
    if code == "degenerate":
        text = message.replace("the response", f"the response {name}", 1)
        if "search ended" in text and model.zi is not None:
            text += "; zi= may ask for more than the zeros can tell: simplify it, or leave it out"
        return DataError(text, code="degenerate")
    if code == "memory":
        return FitError(f"{message}. {_SMALLER}", code="memory")
    if code == "engine":
        return DataError(message, code="unknown_option")
    if code == "unknown_name":
        return FamilyError(message)
    return FitError(message)
