"""Columns besides those of the formula: clusters, times, weights, what pairs are compared by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..data import Column, Level
from ..errors import DataError, rows_text
from .working import MOST_PARAMETERS, Times, times

if TYPE_CHECKING:
    from ..design import Design
    from .fit import GEEFit
    from .model import GEEModel

Array = NDArray[np.float64]
Codes = NDArray[np.int64]


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


def coded(found: Column) -> tuple[Codes, tuple[Level, ...]]:
    """Return a column as codes and the levels that occur."""
    from ..design.levels import coded as as_codes

    codes, levels = as_codes(found.without_unused_levels())
    return np.ascontiguousarray(codes, dtype=np.int64), levels


def clusters(model: GEEModel, design: Design) -> tuple[Codes, tuple[Level, ...]]:
    """Return the cluster of each row, and all clusters; raises `DataError` where there is one."""
    codes, levels = coded(column(design, "groups"))
    if len(levels) < 2:
        message = (
            f"groups={model.groups!r} has one cluster only ({levels[0]!r}); robust standard errors "
            "compare clusters, so that at least two are needed. Use glimm.fit for independent "
            "rows, or another column"
        )
        raise DataError(message, code="few_clusters")
    return codes, levels


def clock_of(
    model: GEEModel, design: Design, codes: Codes, levels: tuple[Level, ...]
) -> Times | None:
    """Return when rows were seen, such as the working correlation can use it."""
    values = numbers(design, "time")
    if values is None:
        return None
    clock = times(values)
    corr = model.corr
    if not corr.structure.time and corr.structure.core != "local_odds":
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
    pairwise = corr.name == "unstructured" or corr.structure.core == "local_odds"
    if pairwise and count * (count - 1) // 2 > MOST_PARAMETERS:
        message = (
            f"corr={corr.text!r} looks at each pair of times; {count} different times have "
            f"{count * (count - 1) // 2:,} pairs, and the limit is {MOST_PARAMETERS:,}. Round the "
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


def pair_columns(
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
            columns.append(coded(column(design, f"pair {name}"))[0].astype(np.float64))
        else:
            values = numbers(design, f"pair {name}")
            assert values is not None
            columns.append(values)
    if not columns:
        return None, covariates
    return np.asfortranarray(np.column_stack(columns)), covariates


def weights_of(
    model: GEEModel, design: Design, codes: Codes, levels: tuple[Level, ...]
) -> Array | None:
    """Sampling weights, scaled to a mean of one, by how often a row occurs within its cluster."""
    often = None if copies_of(model, design, codes, levels) is not None else design.freq
    values = numbers(design, "weights")
    if values is None:
        return often
    wrong = np.flatnonzero(~(values > 0))
    if wrong.size:
        where = rows_text(design.rows[wrong].tolist())
        message = f"weights are {values[wrong[0]]:g} in {where}; they must be above 0"
        raise DataError(message, code="outside_domain")
    values = values / float(values.mean())
    return values if often is None else values * often


def weights_differ(fit: GEEFit) -> bool:
    """Whether sampling weights differ within a cluster."""
    values = numbers(fit.design, "weights")
    return values is not None and _changes(values, clusters(fit.model, fit.design)[0]) is not None


def copies_of(
    model: GEEModel, design: Design, codes: Codes, levels: tuple[Level, ...]
) -> Array | None:
    """Return how often the cluster of each row occurs, None where its rows differ in that."""
    if design.freq is None:
        return None
    changes = _changes(design.freq, codes)
    if changes is not None and model.corr.name != "independence":
        message = (
            f"freq differs within cluster {levels[changes]!r}. A row that occurs twice has a "
            f"correlation with itself, which corr={model.corr.text!r} and the row's freq do not "
            "say: repeat the rows, use corr='independence', or weights="
        )
        raise DataError(message, code="weights_within")
    return None if changes is not None else design.freq


def copies_by_cluster(
    model: GEEModel, design: Design, codes: Codes, levels: tuple[Level, ...]
) -> Array | None:
    """Return how often each cluster occurs, None where all do once."""
    copies = copies_of(model, design, codes, levels)
    if copies is None:
        return None
    found = np.zeros(len(levels))
    found[codes] = copies
    return found


def _changes(values: Array, codes: Codes) -> int | None:
    """The first cluster within which values differ."""
    first = np.empty(int(codes.max()) + 1)
    first[codes[::-1]] = values[::-1]
    wrong = np.flatnonzero(values != first[codes])
    return int(codes[wrong[0]]) if wrong.size else None
