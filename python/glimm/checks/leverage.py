"""Leverage: how far each row's fitted value follows its own response."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import FitError
from ..predict import predictors, training_rows
from ..predict.joint import conditional_at
from ..problem import sizes

if TYPE_CHECKING:
    from ..fit import Fit

Array = NDArray[np.float64]

_STEP = 1e-5
"""Change of a linear predictor by which the slope of the mean is taken."""


def leverage(fit: Fit) -> Array:
    r"""Return the hat values of the mixed model at its working weights, (n,).

    With C = [X, Z Lambda], working weights W = (d mean / d eta)^2 / variance at the modes, and the
    variance parameters as estimated,

        h_i = w_i c_i' (C'W C + diag(0, I))^-1 c_i,

    the diagonal of the matrix that takes working responses to fitted ones (for linear models the
    responses themselves). The sum is the effective number of parameters: between the number of
    fixed effects and that of all effects.

    Raises
    ------
    FitError
        For ordered classes, which have no working response, and after the iterative engine.

    References
    ----------
    Hodges, J. S. and Sargent, D. J. (2001). Biometrika 88, 367-379. Demidenko, E. and Stukel, T. A.
    (2005). Influence analysis for linear mixed-effects models. Statistics in Medicine 24, 893-909.

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("sleepstudy")
    >>> fit = glimm.fit("reaction ~ days + (1 + days | subject)", data)
    >>> round(float(glimm.checks.leverage(fit).sum()), 1)
    31.2
    """
    w = working_weights(fit)
    joint, p = conditional_at(fit, w), len(fit.names)
    x = fit.design.x[:, list(fit.estimates.kept[0])]
    terms = tuple((term.codes, term.z) for term in fit.design.terms)
    if not terms:
        return _quadratic(x, w)
    # Given the coefficients, eta moves with them by a = x + z'db/dbeta.
    a = x + joint.along(terms, 0)[:, :p]
    s = x.T @ (w[:, None] * a)
    fixed = np.einsum("ij,ij->i", a, np.linalg.solve(s, a.T).T)
    found: Array = w * (joint.conditional(terms, 0, 0) + fixed)
    return found


def _quadratic(x: Array, w: Array) -> Array:
    inverse = np.linalg.inv(x.T @ (w[:, None] * x))
    found: Array = w * np.einsum("ij,jk,ik->i", x, inverse, x)
    return found


def working_weights(fit: Fit) -> Array:
    """Return (d mean / d eta)^2 / variance of each row at the modes, times its frequency, (n,)."""
    if fit.model.family.ordered:
        message = "ordered classes have no working response, so that rows have no leverage"
        raise FitError(message, code="no_scores")
    eta = predictors(fit, training_rows(fit), fit.estimates.modes)
    name, size = fit.model.core_name, sizes(fit.model, fit.design)
    up, down = (_core.means(name, [eta[0] + step, *eta[1:]]) for step in (_STEP, -_STEP))
    slope = (up - down) / (2 * _STEP)
    variance = _core.variances(name, eta, size)
    w = slope**2 / np.maximum(variance, np.finfo(float).tiny)
    return w if fit.design.freq is None else w * fit.design.freq
