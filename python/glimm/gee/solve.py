"""The seam: a Design and a working correlation cross into the core, and estimates come back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..data import Column, Level
from ..errors import DataError, FitError, GlimmError, rows_text
from ..problem import explain as explain_plain
from .working import MOST_PARAMETERS, Times, parameter_names, times

if TYPE_CHECKING:
    from ..design import Design
    from .model import GEEModel

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

FAMILIES: dict[str, str | None] = {
    "gaussian": None,
    "binomial": None,
    "poisson": None,
    "gamma": None,
    "inverse_gaussian": None,
    "nbinom2": "theta",
    "tweedie": "power",
    "beta": None,
    "ordinal": None,
}
"""Families whose variance follows from the mean, and the parameter that must be held."""

ITERATIONS = 200
TOLERANCE = 1e-10
_INFINITE = 25.0  # what a covariate adds to a linear predictor that no study could tell
_NO_PRECISION = -700.0  # log(phi) of a beta response whose variance is mean (1 - mean)


@dataclass(frozen=True, slots=True)
class GEEEstimates:
    """What the core found.

    Parameters
    ----------
    beta : ndarray, (p,)
        Thresholds of ordered classes, then coefficients of the columns kept.
    covariance : ndarray, (p, p)
        Inverse of the sum of D'V^-1 D: as if the working correlation were true.
    names : tuple of str, (p,)
    kept : tuple of int
        Columns of x that are estimated.
    scale : ndarray
        The scale, or the coefficients of its logarithm.
    alpha : ndarray, (q,)
        Correlations, as the core has them.
    alpha_names : tuple of str, (q,)
    pairs : ndarray, (q,)
        Pairs of rows (by weight) behind each, where each is a mean; else empty.
    levels : tuple
        The clusters.
    sizes : ndarray of int
        Their numbers of rows.
    copies : ndarray or None
        How often each occurs.
    points : ndarray
        All different times; empty without.
    unit : float
        The unit of distances in time.
    converged, iterations, moved
        How it went; the last step is in standard errors.
    """

    beta: Array
    covariance: Array
    names: tuple[str, ...]
    kept: tuple[int, ...]
    scale: Array
    alpha: Array
    alpha_names: tuple[str, ...]
    pairs: Array
    levels: tuple[Level, ...]
    sizes: Codes
    copies: Array | None
    points: Array
    unit: float
    converged: bool
    iterations: int
    moved: float

    @property
    def state(self) -> tuple[list[float], list[float], list[float]]:
        """The parameters as the core takes them."""
        return self.beta.tolist(), self.scale.tolist(), self.alpha.tolist()


def solve(model: GEEModel, design: Design) -> tuple[_core.Gee, GEEEstimates]:
    """Solve the equations.

    Raises
    ------
    DataError, FamilyError, FitError
    """
    codes, levels = _clusters(model, design)
    clock = _times(model, design, codes, levels)
    problem = make(model, design, codes, levels, clock)
    fixed, less = (model.scale if isinstance(model.scale, float) else None), model.less
    try:
        found = problem.fit(fixed, less, ITERATIONS, TOLERANCE)
    except _core.CoreError as error:
        raise explain(error, model, design, levels) from None
    _check_finite(model, design, problem.kept, found)
    copies = None
    if design.freq is not None:
        copies = np.zeros(len(levels))
        copies[codes] = design.freq
    kept = tuple(problem.kept)
    names = tuple(design.x_names[j] for j in kept)
    if model.family.ordered:
        assert design.response_levels is not None
        words = [str(level) for level in design.response_levels]
        names = tuple(f"{a}|{b}" for a, b in zip(words, words[1:], strict=False)) + names
    alpha = found["alpha"]
    points = np.zeros(0) if clock is None else clock.points
    unit = 1.0 if clock is None else clock.unit
    estimates = GEEEstimates(
        beta=found["beta"],
        covariance=found["covariance"].reshape(len(names), -1),
        names=names,
        kept=kept,
        scale=found["scale"],
        alpha=alpha,
        alpha_names=tuple(parameter_names(model.corr, points.tolist(), unit, alpha.size)),
        pairs=found["pairs"],
        levels=levels,
        sizes=np.bincount(codes, minlength=len(levels)),
        copies=copies,
        points=points,
        unit=unit,
        converged=found["converged"],
        iterations=found["iterations"],
        moved=found["moved"],
    )
    for array in (estimates.beta, estimates.covariance, estimates.scale, estimates.alpha):
        array.flags.writeable = False
    return problem, estimates


def _check_finite(model: GEEModel, design: Design, kept: list[int], found: dict[str, Any]) -> None:
    """Refuse coefficients that run to infinity."""
    if found["converged"] or model.link == "identity":
        return
    beta = found["beta"][found["beta"].size - len(kept) :]
    parts = np.abs(design.x[:, kept] * beta).max(axis=0)
    if parts.max() < _INFINITE:
        return
    name = design.x_names[kept[int(parts.argmax())]]
    message = (
        f"the coefficient of {name!r} runs to infinity: it separates the responses perfectly, or "
        "nearly so. Leave it out or merge its levels; glimm.fit(penalty=) holds such coefficients"
    )
    raise FitError(message, code="separation")


def make(
    model: GEEModel,
    design: Design,
    codes: Codes,
    levels: tuple[Level, ...],
    clock: Times | None,
    x: Array | None = None,
    offset: Array | None = None,
) -> _core.Gee:
    """Hand the arrays of a design to the core, perhaps with another x and offset."""
    corr = model.corr
    size, matrix = corr.lags, []
    if clock is not None and corr.name in ("toeplitz", "unstructured", "fixed"):
        size = clock.points.size if corr.name != "toeplitz" else int(clock.units.max())
    if corr.matrix is not None:
        matrix = corr.matrix.ravel().tolist()
    columns, covariates = _pair_columns(model, design, clock)
    by_lag = corr.name in ("toeplitz", "m_dependent")
    places = None
    if clock is not None:
        places = clock.units.astype(np.int64) if by_lag else clock.places
    sub = None
    if corr.structure.subgroups:
        sub = _coded(column(design, "subgroups"))[0]
    whole = clock is None or (clock.whole and clock.unit == 1)
    classes = len(design.response_levels or ()) if model.family.ordered else 0
    scale = design.parts[0].x if design.parts else None
    try:
        return _core.Gee(
            model.core_name,
            _extra(model),
            design.y,
            design.trials,
            classes,
            design.x if x is None else x,
            design.offset if offset is None else offset,
            design.precision,
            _weights(model, design, codes, levels),
            _copies(design, codes, levels),
            codes,
            len(levels),
            corr.structure.core,
            (size, matrix, covariates, corr.bounded, whole),
            time=None if clock is None else clock.units,
            place=places,
            sub=sub,
            columns=columns,
            scale=scale,
            threads=model.threads,
        )
    except _core.CoreError as error:
        raise explain(error, model, design, levels) from None


def rebuilt(
    model: GEEModel, design: Design, x: Array | None = None, offset: Array | None = None
) -> _core.Gee:
    """The problem of a design again, perhaps with another x and offset."""
    codes, levels = _clusters(model, design)
    return make(model, design, codes, levels, _times(model, design, codes, levels), x, offset)


def column(design: Design, what: str) -> Column:
    """The column that was given for something."""
    return design.used_columns[dict(design.request.extra)[what]]


def numbers(design: Design, what: str) -> Array | None:
    """The numbers given for something, None if nothing was."""
    if what not in dict(design.request.extra):
        return None
    found = column(design, what)
    if found.is_coded:
        message = f"{what}= column {found.name!r} holds {found.described()}; it must hold numbers"
        raise DataError(message)
    return found.values.astype(np.float64)


def _coded(found: Column) -> tuple[Codes, tuple[Level, ...]]:
    from ..design.levels import coded

    codes, levels = coded(found.without_unused_levels())
    return np.ascontiguousarray(codes, dtype=np.int64), levels


def _clusters(model: GEEModel, design: Design) -> tuple[Codes, tuple[Level, ...]]:
    codes, levels = _coded(column(design, "groups"))
    if len(levels) < 2:
        message = (
            f"groups={model.groups!r} has one cluster only ({levels[0]!r}); robust standard errors "
            "compare clusters, so that at least two are needed. Use glimm.fit for independent "
            "rows, or another column"
        )
        raise DataError(message, code="few_clusters")
    return codes, levels


def _times(
    model: GEEModel, design: Design, codes: Codes, levels: tuple[Level, ...]
) -> Times | None:
    values = numbers(design, "time")
    if values is None:
        return None
    clock = times(values)
    corr = model.corr
    if not corr.structure.time:
        return clock
    _check_twice(design, codes, levels, clock)
    count = clock.points.size
    if corr.name == "fixed" and count != len(corr.matrix):
        message = (
            f"corr= is a matrix of {len(corr.matrix)} rows, but the column "
            f"{column(design, 'time').name!r} has {count} different values; it needs one "
            "row for each of them, in their order"
        )
        raise DataError(message, code="working_size")
    if corr.name == "unstructured" and count * (count - 1) // 2 > MOST_PARAMETERS:
        message = (
            f"an unstructured correlation of {count} different times has "
            f"{count * (count - 1) // 2:,} parameters; the limit is {MOST_PARAMETERS:,}. Round the "
            "times, or use corr='toeplitz', 'ar1' or 'exchangeable'"
        )
        raise DataError(message, code="working_size")
    if corr.name in ("toeplitz", "m_dependent") and not clock.whole:
        message = (
            f"corr={corr.text!r} has one correlation for each lag, but the times in "
            f"{column(design, 'time').name!r} are not multiples of their smallest distance; "
            "corr='ar1' takes any spacing, or give the number of the visit"
        )
        raise DataError(message, code="working_size")
    if corr.name == "toeplitz" and clock.units.max() > MOST_PARAMETERS:
        message = (
            f"a toeplitz correlation has {int(clock.units.max()):,} lags here; the limit is "
            f"{MOST_PARAMETERS:,}. Use corr='m_dependent:k' or 'ar1'"
        )
        raise DataError(message, code="working_size")
    return clock


def _check_twice(design: Design, codes: Codes, levels: tuple[Level, ...], clock: Times) -> None:
    """No cluster has two rows of one time."""
    order = np.lexsort((clock.places, codes))
    same = (np.diff(codes[order]) == 0) & (np.diff(clock.places[order]) == 0)
    if not same.any():
        return
    at = int(np.flatnonzero(same)[0])
    first, second = order[at], order[at + 1]
    rows = design.rows[[first, second]].tolist()
    message = (
        f"cluster {levels[codes[first]]!r} has two rows of time {clock.values[first]:g}, "
        f"{rows_text(sorted(rows))}; {int(same.sum())} such pairs in all. Rows of one time cannot "
        "be told apart by a correlation in time: correct the times, aggregate, or use "
        "corr='exchangeable'"
    )
    raise DataError(message, code="duplicate_times")


def _pair_columns(
    model: GEEModel, design: Design, clock: Times | None
) -> tuple[Array | None, list[tuple[str, int]]]:
    """The columns that pairs are compared by, (n, k), and the covariates with theirs."""
    if not model.corr.terms:
        return None, []
    columns: list[Array] = []
    covariates = []
    for kind, name in model.corr.terms:
        covariates.append((kind, len(columns)))
        if kind == "1":
            continue
        if name == "time" and clock is not None:
            columns.append(clock.values)
        elif kind == "same":
            columns.append(_coded(column(design, f"pair {name}"))[0].astype(np.float64))
        else:
            values = numbers(design, f"pair {name}")
            assert values is not None
            columns.append(values)
    if not columns:
        return None, covariates
    return np.asfortranarray(np.column_stack(columns)), covariates


def _extra(model: GEEModel) -> list[float]:
    """Predictors of the family's parameters, such that the variance is v(mean)."""
    held = dict(model.hold)
    if model.family.ordered:
        return []
    if model.family.name == "beta":
        return [_NO_PRECISION]
    return [p.predictor(held[p.name]) if p.name in held else 0.0 for p in model.family.parameters]


def _weights(
    model: GEEModel, design: Design, codes: Codes, levels: tuple[Level, ...]
) -> Array | None:
    """Sampling weights, scaled to a mean of one."""
    values = numbers(design, "weights")
    if values is None:
        return None
    wrong = np.flatnonzero(~(values > 0))
    if wrong.size:
        where = rows_text(design.rows[wrong].tolist())
        message = f"weights are {values[wrong[0]]:g} in {where}; they must be above 0"
        raise DataError(message, code="outside_domain")
    changes = _changes(values, codes)
    if changes is not None and model.corr.name != "independence":
        message = (
            f"weights differ within cluster {levels[changes]!r}; with corr={model.corr.text!r} a "
            "row's weight would then act on other rows of its cluster and bias the estimates. Use "
            "corr='independence', weights of whole clusters, or precision= for known variances"
        )
        raise DataError(message, code="weights_within")
    return values / float(values.mean())


def _copies(design: Design, codes: Codes, levels: tuple[Level, ...]) -> Array | None:
    if design.freq is None:
        return None
    changes = _changes(design.freq, codes)
    if changes is not None:
        message = (
            f"freq differs within cluster {levels[changes]!r}; it says how often a cluster occurs, "
            "and must be the same for all its rows. Repeat the rows instead, or use weights="
        )
        raise DataError(message, code="weights_within")
    return design.freq


def _changes(values: Array, codes: Codes) -> int | None:
    """The first cluster within which values differ."""
    first = np.empty(int(codes.max()) + 1)
    first[codes[::-1]] = values[::-1]
    wrong = np.flatnonzero(values != first[codes])
    return int(codes[wrong[0]]) if wrong.size else None


def explain(
    error: _core.CoreError, model: GEEModel, design: Design, levels: tuple[Level, ...]
) -> GlimmError:
    """Say an error of the core in terms of the user's data."""
    code, message, place = error.args
    if code == "working":
        text = (
            f"the working correlation {model.corr.text!r} is not positive definite for cluster "
            f"{levels[place]!r} at the correlations that the residuals have. Use a simpler one, "
            "such as corr='exchangeable', 'ar1' or 'independence': the estimates stay consistent"
        )
        return FitError(text, code="working_correlation")
    if code == "degenerate":
        return FitError(f"{message}. corr={model.corr.text!r}", code="degenerate")
    plain: Any = model
    return explain_plain(error, plain, design)
