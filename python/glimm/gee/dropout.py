"""Weights for dropout: the inverse of the probability of still being there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import Frame
from ..errors import DataError
from ..model import fit

Array = NDArray[np.float64]


def dropout_weights(
    formula: str, data: Any, *, groups: str, time: str, stabilise: str | None = None
) -> Array:
    """Return inverse-probability weights of rows for data with dropout.

    A cluster that is seen at one time and not at the next has dropped out. The probability of being
    seen at the next time is modelled by logistic regression on what was seen so far; a row's weight
    is the inverse of the product of these probabilities at the times before it. If dropout depends
    on nothing but what the formula names, the weighted equations are consistent where the
    unweighted ones are not. Use them with ``corr="independence"``.

    Parameters
    ----------
    formula : str
        ``"~ y + x"``: what staying depends on, in columns of the same row, the response included.
    data : frame
        One row for each time at which a cluster was seen; complete in the columns named.
    groups, time : str
        Columns.
    stabilise : str, optional
        A formula of baseline covariates, such as ``"~ x"``: weights are multiplied by the
        probability it gives, which makes them less variable.

    Returns
    -------
    ndarray, (n,)
        In the order of the rows; 1 at the first time.

    Raises
    ------
    DataError
        When a cluster comes late, has gaps, or two rows of one time: that is not dropout.

    Notes
    -----
    The sandwich takes these weights for known. As they are estimated, its standard errors are
    usually a little too large (Robins, Rotnitzky and Zhao 1995); a bootstrap of clusters that
    estimates them again is not.

    References
    ----------
    Robins, J. M., Rotnitzky, A. and Zhao, L. P. (1995). Analysis of semiparametric regression
    models for repeated outcomes in the presence of missing data. JASA 90, 106-121.

    Examples
    --------
    >>> import glimm
    >>> data = {"id": [1, 1, 2, 3, 3, 4], "t": [0, 1, 0, 0, 1, 0], "y": [1., 2., 0., 0., 1., 1.]}
    >>> glimm.dropout_weights("~ y", data, groups="id", time="t").round(2).tolist()
    [1.0, 2.0, 1.0, 1.0, 2.0, 1.0]
    """
    frame = Frame(data)
    columns, n = frame.read(frame.names)
    for name in (groups, time):
        frame.check(name)
        if columns[name].missing is not None:
            message = f"column {name!r} has missing values; every row needs its cluster and time"
            raise DataError(message, code="missing_values")
    places = np.unique(columns[time].values, return_inverse=True)[1]
    clusters = np.unique(columns[groups].values, return_inverse=True)[1]
    order = np.lexsort((places, clusters))
    _check_monotone(clusters[order], places[order], columns[groups], order)
    stays = np.zeros(n)
    same = np.diff(clusters[order]) == 0
    stays[order[:-1][same]] = 1.0
    at_risk = np.flatnonzero(places < places.max())
    chance = _chances(formula, data, columns, stays, at_risk, n)
    if stabilise is not None:
        chance = chance / _chances(stabilise, data, columns, stays, at_risk, n)
    return _inverse_products(chance, order, clusters)


def _inverse_products(chance: Array, order: NDArray[np.int64], clusters: NDArray[Any]) -> Array:
    """1 over the product of the chances at the earlier rows of the same cluster."""
    weights = np.ones(chance.size)
    for before, row in zip(order, order[1:], strict=False):
        if clusters[before] == clusters[row]:
            weights[row] = weights[before] / chance[before]
    return weights


def _chances(
    formula: str,
    data: Any,
    columns: dict[str, Any],
    stays: Array,
    at_risk: NDArray[np.int64],
    n: int,
) -> Array:
    """Probabilities of staying, (n,); 1 where there is no next time."""
    name = "stays_"
    taken = {key: _values(column, at_risk) for key, column in columns.items()}
    staying = fit(f"{name} {formula}", {**taken, name: stays[at_risk]}, family="binomial")
    chance = np.ones(n)
    if staying.design.n != at_risk.size:
        message = f"{formula!r} names columns with missing values; every row at risk needs them all"
        raise DataError(message, code="missing_values")
    chance[at_risk] = staying.fitted
    return chance


def _values(column: Any, rows: NDArray[np.int64]) -> Any:
    values = column.values[rows]
    if column.levels is None:
        return values if column.missing is None else np.where(column.missing[rows], np.nan, values)
    return [None if code < 0 else column.levels[code] for code in values.tolist()]


def _check_monotone(
    clusters: NDArray[Any], places: NDArray[Any], column: Any, order: NDArray[np.int64]
) -> None:
    """Every cluster is seen from the first time on, once each, without gaps."""
    starts = np.concatenate([[True], np.diff(clusters) != 0])
    wrong = np.where(starts, places != 0, np.concatenate([[0], np.diff(places)]) != 1)
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        level = column.level_at(int(order[at]))
        message = (
            f"cluster {level!r} is not seen at every time from the first until it drops out; "
            "weights for dropout need rows without gaps, one for each time. Drop what "
            "comes after a gap"
        )
        raise DataError(message, code="not_dropout")
