"""Estimating equations by their definition: a dense V for every cluster, in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Cluster:
    """D = d mu / d beta (n, p), V (n, n) and r = y - mu (n,)."""

    d: Array
    v: Array
    r: Array

    @property
    def score(self) -> Array:
        """D' V^-1 r."""
        return np.asarray(self.d.T @ np.linalg.solve(self.v, self.r))

    @property
    def information(self) -> Array:
        """D' V^-1 D."""
        return np.asarray(self.d.T @ np.linalg.solve(self.v, self.d))


def power(a: Array, exponent: float) -> Array:
    """Power of a matrix with real eigenvalues."""
    values, vectors = np.linalg.eig(a)
    found: Array = (vectors @ np.diag(values**exponent) @ np.linalg.inv(vectors)).real
    return found


def sandwich(clusters: list[Cluster], correction: Callable[[Array, Cluster], Array]) -> Array:
    """A (sum u u') A with the residuals of each cluster corrected, given H = D A D' V^-1."""
    a = np.linalg.inv(sum(c.information for c in clusters))
    meat = np.zeros_like(a)
    for c in clusters:
        h = c.d @ a @ c.d.T @ np.linalg.inv(c.v)
        u = c.d.T @ np.linalg.solve(c.v, correction(h, c))
        meat += np.outer(u, u)
    return np.asarray(a @ meat @ a)


def fay_graubard(clusters: list[Cluster], bound: float = 0.75) -> Array:
    """The correction of the scores by the diagonal of M A."""
    a = np.linalg.inv(sum(c.information for c in clusters))
    meat = np.zeros_like(a)
    for c in clusters:
        u = c.score / np.sqrt(1 - np.minimum(bound, np.diag(c.information @ a)))
        meat += np.outer(u, u)
    return np.asarray(a @ meat @ a)


def satterthwaite(clusters: list[Cluster], contrast: Array, half: bool) -> float:
    """2 E(V)^2 / var(V) of V = sum (a_i'P_i r)^2 for normal r with covariances V_i, by brute force.

    The whole residual vector is (I - D A D'V^-1) times the whole response.
    """
    a = np.linalg.inv(sum(c.information for c in clusters))
    d = np.vstack([c.d for c in clusters])
    n = len(d)
    v = np.zeros((n, n))
    rows, at = [], 0
    for c in clusters:
        v[at : at + len(c.r), at : at + len(c.r)] = c.v
        rows.append(slice(at, at + len(c.r)))
        at += len(c.r)
    residual = np.eye(n) - d @ a @ d.T @ np.linalg.inv(v)
    forms = np.zeros((len(clusters), n))
    for i, (c, where) in enumerate(zip(clusters, rows, strict=True)):
        h = c.d @ a @ c.d.T @ np.linalg.inv(c.v)
        root = power(np.eye(len(h)) - h, -0.5 if half else 0.0)
        forms[i] = (contrast @ a @ c.d.T @ np.linalg.inv(c.v) @ root) @ residual[where]
    c = forms @ v @ forms.T
    return float(np.trace(c) ** 2 / np.trace(c @ c))
