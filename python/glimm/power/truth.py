"""A model with parameters that are given instead of estimated, to simulate from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..certificate import certificate
from ..data import Frame, values_of, with_columns
from ..design.response import columns_of
from ..errors import DataError, listed, nearest_first
from ..fit import Fit
from ..problem import Estimates, order
from ..structures import bare

if TYPE_CHECKING:
    from ..design import Design, DesignTerm
    from ..model import Model

Array = NDArray[np.float64]
Random: TypeAlias = float | Mapping[Any, float] | Sequence[Sequence[float]] | Array
"""A standard deviation, several by effect with correlations by pair, or a covariance matrix."""


def fit_at(
    model: Model,
    design: Design,
    coefficients: Mapping[str, float],
    random: Mapping[str, Random],
    parameters: Mapping[str, Any],
) -> Fit:
    """Return a Fit whose estimates are given values, with no problem behind it.

    Parameters
    ----------
    model : Model
    design : Design
        Its response is not looked at.
    coefficients : mapping of str to float
        Of all linear predictors with a formula, on their scales, by the names of a fit; those of
        zeros and dispersion as ``"zi: x"`` and ``"dispersion: x"``.
    random : mapping of str to Random
        By group: a standard deviation on the link scale; ``{"(Intercept)": 1.0, "x": 0.5}`` with
        ``("(Intercept)", "x"): 0.3`` for a correlation, 0 where there is none; or a covariance
        matrix in the order of the term's columns.
    parameters : mapping of str to float
        Those of the family that are one number, by name, such as ``{"sigma": 2.0}``;
        ``"thresholds"`` for ordered classes.

    Raises
    ------
    DataError
        Listing what is missing and what is not known.
    """
    blank = Fit(model, design, blank_estimates(model, design))
    values = np.concatenate(
        [_coefficients(blank, coefficients, parameters), *_thetas(blank, random)]
    )
    values.flags.writeable = False
    return Fit(model, design, blank_estimates(model, design, values))


def changed(
    fit: Fit,
    design: Any,
    effects: Mapping[str, float],
    random: Mapping[str, Random],
    parameters: Mapping[str, Any],
) -> Fit:
    """Return a fit with some of its parameters changed, on another design if given.

    Raises
    ------
    DataError
        For names that the fit has not, and a design whose columns differ from those of the fit.
    """
    names = list(fit.parameter_names)
    values = fit.estimates.parameters.copy()
    modelled = [label for part in fit.parts if part.modelled for label in part.labels]
    check_names("effects", {**dict.fromkeys(modelled), **effects}, modelled)
    for label, value in effects.items():
        values[names.index(label)] = _number(label, value)
    single = {part.part: part for part in fit.parts if not part.modelled and part.names}
    check_names("parameters", {**dict.fromkeys(single), **parameters}, list(single))
    for name, value in parameters.items():
        part = single[name]
        new = (
            _thresholds(value, len(part.names))
            if part.parameter is None
            else [part.parameter.predictor(_number(name, value))]
        )
        values[part.first : part.first + len(new)] = new
    if random:
        labels = dict(zip((t.label for t in fit.design.terms), fit.covariances, strict=True))
        for (start, end), theta, term in zip(
            fit.estimates.thetas, _thetas(fit, {**labels, **random}), fit.design.terms, strict=True
        ):
            if term.label in random:
                values[start:end] = theta
    made = fit.design if design is None else _rebuilt(fit, design)
    values.flags.writeable = False
    return Fit(fit.model, made, blank_estimates(fit.model, made, values, fit.estimates.kept))


def _rebuilt(fit: Fit, frame: Any) -> Design:
    """The design of a fit made from another frame."""
    from ..design import build

    request, columns = fit.design.request, fit.design.used_columns
    given = {name: getattr(request, name) for name in ("trials", "freq", "offset", "precision")}
    for name, key in given.items():
        if key == f"{name}=":
            message = f"{name}= was an array when fitted; name a column to simulate another design"
            raise DataError(message, code="unknown_option")
    needed = [name for name in columns if name not in Frame(frame).names]
    answers = {c for e in request.formula.response.expressions for c in columns_of(e)}
    fill = {name: np.resize(values_of(columns[name]), _length(frame)) for name in needed
            if name in answers}  # fmt: skip
    made = build(
        request.formula, with_columns(frame, fill), family=fit.model.family,
        others=request.others, relations=request.relations, missing="error", **given,
    )  # fmt: skip
    for old, new in ((fit.design.x_names, made.x_names),):
        if old != new:
            message = f"the new design has the columns {listed(new)}; the fit has {listed(old)}"
            raise DataError(message, code="new_levels")
    return made


def _length(frame: Any) -> int:
    opened = Frame(frame)
    return opened.read([opened.names[0]])[1]


def frame_of(fit: Fit) -> Any:
    """Return the columns that a fit used, at the rows used, as a frame of the user's kind."""
    columns = fit.design.used_columns.items()
    return fit.frame({name: values_of(column) for name, column in columns if name[-1] != "="})


def blank_estimates(
    model: Model,
    design: Design,
    values: Array | None = None,
    kept: tuple[tuple[int, ...], ...] | None = None,
) -> Estimates:
    """Return estimates of the right shape: all columns kept unless told, effects at zero."""
    widths = _widths(model, design)
    kept = tuple(tuple(range(width)) for width in widths) if kept is None else kept[: len(widths)]
    ends = np.cumsum([0, *map(len, kept)]).tolist()
    fixed = tuple(zip(ends, ends[1:], strict=False))
    if model.family.ordered:  # both thresholds of a class are predictors that share coefficients
        kept, fixed = (*kept, kept[-1]), (*fixed, fixed[-1])
    sizes = [len(_lower(t)) for t in design.terms]
    last = np.cumsum([ends[-1], *sizes]).tolist()
    count = last[-1]
    qs = [(len(t.levels), len(t.columns)) for t in design.terms]
    nothing = {"method": "none", "units": 0, "checked": 0, "nodes": [0, 0, 0], "loglik_error": 0.0,
               "laplace_error": 0.0, "bias": [], "bias_se": [], "effective_size": None,
               "runaway": False}  # fmt: skip
    return Estimates(
        parameters=np.zeros(count) if values is None else values,
        covariance=np.full((count, count), math.nan), identified=("yes",) * count,
        kept=kept, aliased=(), fixed=fixed,
        thetas=tuple(zip(last, last[1:], strict=False)),
        modes=tuple(np.zeros(shape) for shape in qs),
        covariances=tuple(np.zeros((n, q, q)) for n, q in qs),
        loglik=math.nan, converged=True, reason="given", loglik_left=0.0, se_moved=0.0,
        iterations=0, evaluations=0, passes=0.0, path="given", threads=1, draws_se=0.0,
        loglik_se=0.0, certificate=certificate(nothing),
    )  # fmt: skip


def _widths(model: Model, design: Design) -> list[int]:
    """Number of coefficients of each linear predictor, in the order of the parameters."""
    parts = {part.predictor: part.x.shape[1] for part in design.parts}
    widths = [design.x.shape[1]]
    for k, parameter in enumerate(model.family.parameters, 1):
        widths.append(0 if parameter.name in model.held else parts.get(k, 1))
    if model.zi is not None:
        widths.append(parts[len(widths)])
    if model.family.ordered:
        assert design.response_levels is not None
        widths.append(len(design.response_levels) - 1)
    return widths


def _lower(term: DesignTerm) -> list[tuple[int, int]]:
    """Places of a term's parameters in its factor, in the order of the core."""
    q = len(term.columns)
    if term.structure == "diag":
        return [(i, i) for i in range(q)]
    return [(i, j) for i in range(q) for j in range(i + 1)]


def _coefficients(blank: Fit, given: Mapping[str, float], parameters: Mapping[str, Any]) -> Array:
    """The coefficients of all linear predictors."""
    wanted = [label for part in blank.parts if part.modelled for label in part.labels]
    check_names("effects", given, wanted)
    single = [part.part for part in blank.parts if not part.modelled and part.names]
    check_names("parameters", parameters, single)
    found: list[float] = []
    for part in blank.parts:
        if part.modelled:
            found += [_number(label, given[label]) for label in part.labels]
        elif part.part == "thresholds":
            found += _thresholds(parameters["thresholds"], len(part.names))
        elif part.names:
            assert part.parameter is not None
            found.append(part.parameter.predictor(_number(part.part, parameters[part.part])))
    return np.array(found, dtype=np.float64)


def _thresholds(given: Any, count: int) -> list[float]:
    values = np.atleast_1d(np.asarray(given, dtype=np.float64))
    if values.shape != (count,) or (np.diff(values) <= 0).any():
        message = (
            f"thresholds={given!r}; they must be {count} rising numbers, one less than classes"
        )
        raise DataError(message, code="unknown_option")
    return [float(v) for v in values]


def _thetas(blank: Fit, random: Mapping[str, Random]) -> list[Array]:
    """The parameters of each term: entries of a factor of its covariance."""
    labels = list(dict.fromkeys(term.label for term in blank.design.terms))
    check_names("random", random, labels)
    known: dict[str, set[str]] = {label: set() for label in labels}
    found = []
    for term in blank.design.terms:
        names = blank.effect_names(term)
        known[term.label] |= set(names)
        if bare(term.structure) not in ("us", "diag"):
            message = (
                f"random={{{term.label!r}: ...}} gives standard deviations and correlations, which "
                f"{bare(term.structure)}(...) does not have one by one; simulate from a fit with "
                "that structure, or use us or diag"
            )
            raise DataError(message, code="unknown_structure")
        covariance = _covariance(term, names, random[term.label])
        places = order(term)
        factor = cholesky(covariance[np.ix_(places, places)], term.label)
        found.append(np.array([factor[i, j] for i, j in _lower(term)]))
    for label, given in random.items():
        if isinstance(given, Mapping):
            single = [name for name in given if not isinstance(name, tuple)]
            check_names(f"random[{label!r}]", single, sorted(known[label]))
    return found


def _covariance(term: DesignTerm, names: tuple[str, ...], given: Random) -> Array:
    """The covariance (q, q) of a term in the order of its columns."""
    q = len(names)
    if not isinstance(given, Mapping) and np.ndim(given) == 2:
        matrix = np.array(given, dtype=np.float64)
        if matrix.shape != (q, q) or not np.allclose(matrix, matrix.T):
            message = (
                f"random[{term.label!r}] has shape {matrix.shape}; it must be a symmetric "
                f"({q}, {q}) covariance of {listed(names)}"
            )
            raise DataError(message, code="array_shape")
        return matrix
    if not isinstance(given, Mapping):
        if q > 1:
            message = (
                f"random[{term.label!r}] is one number, but the term has the effects "
                f"{listed(names)}; give a dict of their standard deviations"
            )
            raise DataError(message, code="unknown_option")
        given = {names[0]: float(given)}  # type: ignore[arg-type]
    if missing := [name for name in names if name not in given]:
        message = f"random[{term.label!r}] lacks the standard deviation of {listed(missing)}"
        raise DataError(message, code="unknown_option")
    sd = np.array([_number(f"sd of {name}", given[name]) for name in names])
    if (sd < 0).any():
        raise DataError(f"random[{term.label!r}]: an sd is below 0", code="outside_domain")
    corr = np.eye(q)
    for i, a in enumerate(names):
        for j, b in enumerate(names[:i]):
            corr[i, j] = corr[j, i] = float(given.get((a, b), given.get((b, a), 0.0)))
    return np.asarray(sd[:, None] * corr * sd)


def cholesky(covariance: Array, label: str) -> Array:
    """Return a lower factor of a covariance that may be singular.

    Examples
    --------
    >>> cholesky(np.array([[4.0, 0.0], [0.0, 0.0]]), "g").tolist()
    [[2.0, 0.0], [0.0, 0.0]]
    """
    a, q = np.array(covariance, dtype=np.float64), len(covariance)
    factor = np.zeros((q, q))
    floor = 1e-12 * max(float(np.abs(np.diag(a)).max()), 1e-300)
    for j in range(q):
        rest = a[j:, j] - factor[j:, :j] @ factor[j, :j]
        coupled = np.abs(rest[1:]).max(initial=0.0) > 1e6 * floor
        if rest[0] < -floor or (rest[0] <= floor and coupled):
            message = f"random[{label!r}]: these variances and correlations cannot occur together"
            raise DataError(message, code="outside_domain")
        if rest[0] > floor:
            factor[j:, j] = rest / math.sqrt(rest[0])
    return factor


def _number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{name} is {value!r}; it must be a number", code="unknown_option")
    return number


def check_names(what: str, given: Any, wanted: Sequence[str]) -> None:
    """Raise a DataError unless the names given are those wanted, listing both kinds of mistake."""
    unknown = [name for name in given if name not in wanted]
    missing = [name for name in wanted if name not in given]
    if not unknown and not missing:
        return
    problems = []
    if unknown:
        near = nearest_first(str(unknown[0]), missing or wanted)
        problems.append(f"names {listed([str(u) for u in unknown])}, which the model has not")
        problems[-1] += f" (it has {listed(near)})" if near else " (it has none)"
    if missing:
        problems.append(f"lacks {listed(missing)}")
    raise DataError(f"{what} {', and '.join(problems)}", code="unknown_option")
