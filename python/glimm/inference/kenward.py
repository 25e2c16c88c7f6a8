"""Kenward and Roger's adjusted covariance and scaled F for gaussian mixed models by REML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import FitError
from .freedom import inverse, wald
from .variation import traces, variation

if TYPE_CHECKING:
    from ..fit import Fit

Array = NDArray[np.float64]

_SCALE_OF_ONE = 1e-2
_ZERO = 1e-14


@dataclass(frozen=True, slots=True, eq=False)
class KenwardRoger:
    """Covariance of the fixed effects with the uncertainty of the variances, and df.

    Parameters
    ----------
    covariance : ndarray, (p, p)
        The adjusted one.
    phi : ndarray, (p, p)
        The one that takes variances as known.
    moves : ndarray, (k, p, p)
        Phi P_i Phi = -dPhi / d sigma_i.
    spread : ndarray, (k, k)
        Covariance W of the variance parameters, from the expected information.
    """

    covariance: Array
    phi: Array
    moves: Array
    spread: Array
    source: str = "Kenward-Roger df and standard errors"

    def df(self, contrast: Array) -> float:
        """Return the df of one contrast."""
        return self._scaled(contrast[None])[0]

    def joint(self, rows: Array, distance: Array) -> tuple[float, float]:
        """Return the scaled F and its df."""
        df, scale = self._scaled(rows)
        return scale * wald(rows @ self.covariance @ rows.T, distance), df

    def _scaled(self, rows: Array) -> tuple[float, float]:
        """The df m and the scale lambda of F of Kenward and Roger (1997), section 3.2.

        Two moments of F are matched: E* = 1 / (1 - A2/q) and V* = (2/q) (1 + c1 B) /
        ((1 - c2 B)^2 (1 - c3 B)); then rho = V* / (2 E*^2), m = 4 + (q + 2) / (q rho - 1) and
        lambda = m / (E* (m - 2)).
        """
        q = len(rows)
        inner = np.linalg.inv(rows @ self.phi @ rows.T)
        each = np.array([inner @ rows @ move @ rows.T for move in self.moves]).reshape(-1, q, q)
        own = np.trace(each, axis1=1, axis2=2)
        a1 = float(own @ self.spread @ own)
        a2 = float(np.einsum("ij,iab,jba->", self.spread, each, each))
        if a2 <= 0:
            return float("inf"), 1.0
        b = (a1 + 6 * a2) / (2 * q)
        g = ((q + 1) * a1 - (q + 4) * a2) / ((q + 2) * a2)
        common = 3 * q + 2 * (1 - g)
        c1, c2, c3 = g / common, (q - g) / common, (q + 2 - g) / common
        ratio = _ratio(1 - a2 / q, 1 - c2 * b)
        rho = ratio**2 * (1 + c1 * b) / (1 - c3 * b) / q
        m = 4 + (q + 2) / (q * rho - 1)
        scale = 1.0 if abs(m - 2) < _SCALE_OF_ONE else m * (1 - a2 / q) / (m - 2)
        return m, scale


def _ratio(x: float, y: float) -> float:
    """Ratio x / y, whose limit is one where both vanish."""
    return 1.0 if abs(x) < _ZERO and abs(y) < _ZERO else x / y


def kenward_roger(fit: Fit) -> KenwardRoger:
    """Return Kenward and Roger's approximation for a gaussian mixed model by REML.

    V is linear in its variances and covariances (of structures such as ar1 it is not; second
    derivatives are left out, which makes the result the same however V is parametrised), so that
    Phi_A = Phi + 2 Phi (sum_ij W_ij (Q_ij - P_i Phi P_j)) Phi, where
    Q_ij - P_i Phi P_j = D K_i (Z'P Z) K_j D'. W is twice the inverse of
    tr(P V_i P V_j), the expected information of the restricted likelihood; all of it at the
    estimates, variances of zero included.

    Raises
    ------
    FitError
        For fits by maximum likelihood and where there is no such theory; code ``"no_freedom"``.

    References
    ----------
    Kenward, M. G. and Roger, J. H. (1997). Small sample inference for fixed effects from
    restricted maximum likelihood. Biometrics 53, 983-997.

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("sleepstudy")
    >>> fit = glimm.fit("reaction ~ days + (1 + days | subject)", data)
    >>> round(kenward_roger(fit).df(np.array([0.0, 1.0])), 3)
    17.0
    """
    v = variation(fit)
    if not v.restricted:
        message = "Kenward-Roger is defined for restricted maximum likelihood: fit with reml=True"
        raise FitError(f'{message}, or use df="satterthwaite"', code="no_freedom")
    directions = v.linear()
    _, pairs = traces(v, directions, v.t_p, v.n - len(v.phi))
    w = 2 * inverse(pairs)
    dk = np.array([v.times(v.d, d) for d in directions])
    inner = np.einsum("ij,iaq,qr,jbr->ab", w, dk, v.t_p, dk, optimize=True)
    adjusted = v.phi + 2 * v.phi @ inner @ v.phi
    a = np.array([d.a for d in directions])
    moves = -(a[:, None, None] * v.phi + v.phi @ (dk @ v.d.T) @ v.phi)
    return KenwardRoger((adjusted + adjusted.T) / 2, v.phi, moves, w)
