"""From the scale of the linear predictor to that of the expected and of the observed response.

With eta = x'beta + a + other effects, mu = g^-1(eta) and means over the latent distribution,
averaged over the rows' fixed parts (de Villemereuil, Schielzeth, Nakagawa and Morrissey 2016,
Genetics 204, 1281-1294):

    mean        zbar    = E mu
    slope       Psi     = E d mu / d eta
    additive    V_A,obs = Psi^2 V_A                       (eq. 6; of both scales)
    phenotypic  V_exp   = Var mu,   V_obs = Var mu + E Var(z | eta)     (eqs. 3 to 5)

Any other component c enters as the covariance of two responses that share it and nothing else,
Var_c E(mu | c), by nodes of Gauss and Hermite.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import _core

Array = NDArray[np.float64]

NODES = 24
"""Of the integral over one shared component."""


@dataclass(frozen=True, slots=True)
class Latent:
    """The distribution of the linear predictors of the rows.

    Parameters
    ----------
    name : tuple
        The family, as the core knows it.
    eta : ndarray, (n, K)
        Fixed parts.
    covariance : ndarray, (n, K, K)
        Of all random effects.
    weights : ndarray, (n,)
        Shares of the rows, with sum 1.
    dilution : ndarray, (n,)
        Variance of the response in units of that of one trial: 1 / N for binomial proportions.
    """

    name: tuple[object, ...]
    eta: Array
    covariance: Array
    weights: Array
    dilution: Array


@dataclass(frozen=True, slots=True)
class Observed:
    """Moments of the response.

    Parameters
    ----------
    mean : float
    slope : float
        Psi.
    between : float
        Variance of the rows' means: of the fixed effects.
    expected, distribution : float
        Mean over rows of the variance of mu about the row's mean, and of that of the response.
    """

    mean: float
    slope: float
    between: float
    expected: float
    distribution: float


def observed(latent: Latent) -> Observed:
    """Return the moments of the response over the population."""
    eta, root, back = _distinct(latent)
    mean, by_eta, _, _ = _core.population_joint(latent.name, "mean", eta, root)
    square = _core.population_joint(latent.name, "squared", eta, root, False)[0][back]
    within = _core.population_joint(latent.name, "variance", eta, root, False)[0][back]
    means, share = mean[back], latent.weights
    center = float(share @ means)
    return Observed(
        mean=center,
        slope=float(share @ by_eta[back, 0]),
        between=float(share @ (means - center) ** 2),
        expected=float(share @ (square - means**2)),
        distribution=float(share @ (within * latent.dilution)),
    )


def shared(latent: Latent, variance: Array) -> float:
    """Return the covariance of two responses that share a component of the mean's predictor.

    Parameters
    ----------
    latent : Latent
    variance : ndarray, (n,)
        Of the component in each row; part of the covariance of `latent`.

    Returns
    -------
    float
        Var over the component of the mean over rows of E(mu | component).
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    weights = weights / weights.sum()
    rest = latent.covariance.copy()
    rest[:, 0, 0] = np.maximum(rest[:, 0, 0] - variance, 0.0)
    means = np.empty(NODES)
    for k, node in enumerate(nodes):
        eta = latent.eta.copy()
        eta[:, 0] += np.sqrt(variance) * node
        given = Latent(latent.name, eta, rest, latent.weights, latent.dilution)
        at, root, back = _distinct(given)
        found = _core.population_joint(latent.name, "mean", at, root, False)[0]
        means[k] = latent.weights @ found[back]
    center = weights @ means
    return float(weights @ (means - center) ** 2)


def _distinct(latent: Latent) -> tuple[Array, Array, NDArray[np.int64]]:
    """Rows that are alike once: predictors, roots of their covariance, and the way back."""
    from ..predict.integrated import roots

    count = latent.eta.shape[1]
    joined = np.hstack([latent.eta, latent.covariance.reshape(len(latent.eta), -1)])
    rows, back = np.unique(joined, axis=0, return_inverse=True)
    covariance = np.ascontiguousarray(rows[:, count:].reshape(-1, count, count))
    return np.ascontiguousarray(rows[:, :count]), roots(covariance), back.ravel()
