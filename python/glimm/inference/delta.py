"""Standard errors of any smooth function of all parameters, from their joint covariance."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

STEP = 0.02
"""First step of a difference, in standard errors of the parameter."""


def delta(
    function: Callable[[Array], Array], parameters: Array, covariance: Array
) -> tuple[Array, Array]:
    """Return the values of a function of the parameters and their covariance.

    To first order, J V J', with J by Richardson-extrapolated central differences. Parameters
    without a known variance count as held at their values.

    Parameters
    ----------
    function : callable
        From parameters (P,) to values (m,).
    parameters : ndarray, (P,)
        As `Estimates.parameters`.
    covariance : ndarray, (P, P)
        As `Fit.vcov("all")`; NaN where the data do not tell a parameter.

    Returns
    -------
    values : ndarray, (m,)
    covariance : ndarray, (m, m)

    References
    ----------
    Oehlert, G. W. (1992). A note on the delta method. American Statistician 46, 27-29.

    Examples
    --------
    >>> import numpy as np
    >>> value, variance = delta(np.exp, np.array([1.0]), np.array([[0.04]]))
    >>> bool(np.isclose(variance[0, 0], np.exp(2.0) * 0.04))
    True
    """
    known = np.where(np.isfinite(covariance), covariance, 0.0)
    j = jacobian(function, parameters, np.sqrt(np.diag(known)))
    return np.asarray(function(parameters), dtype=np.float64), j @ known @ j.T


def jacobian(function: Callable[[Array], Array], parameters: Array, scale: Array) -> Array:
    """Return derivatives (m, P) by differences of steps in proportion to `scale`, (P,).

    Two central differences, extrapolated to a step of zero: the error is of the fourth order.
    Columns of parameters with a scale of zero are zero.
    """
    found = np.zeros((np.asarray(function(parameters)).size, parameters.size))
    for i in np.flatnonzero(scale):
        near, far = (
            _central(function, parameters, int(i), step * scale[i]) for step in (STEP, 2 * STEP)
        )
        found[:, i] = (4 * near - far) / 3
    return found


def _central(function: Callable[[Array], Array], at: Array, i: int, step: float) -> Array:
    up, down = at.copy(), at.copy()
    up[i] += step
    down[i] -= step
    change: Array = np.asarray(function(up)) - np.asarray(function(down))
    return change / float(up[i] - down[i])
