"""The joint covariance of parameters and random effects.

Given the parameters psi, the effects are near normal about their modes b(psi) with covariance C;
the estimates of psi have covariance V. With D = db/dpsi the joint covariance of (psi, b) is

    [ V      V D'      ]
    [ D V    C + D V D' ]

(Kass and Steffey 1989, J. Am. Stat. Assoc. 84, 717-726; for linear models the inverse of
Henderson's mixed model equations; the inverse of TMB's joint precision, Kristensen et al. 2016). It
differs from the inverse of the Hessian of log p(y, b) in (psi, b), whose V ignores log|H|.

The modes b = Lambda u maximise l(eta) - u'Pu / 2, where P is the identity but for terms with a
known relation, so that P u = Lambda'Z'l' and, with M = -Z'l''Z and H = P + Lambda'M Lambda,

    C = Lambda H^-1 Lambda',    du/dbeta = H^-1 Lambda'Z'l''X,
    du/dtheta_j = H^-1 (E_j'Z'l' - Lambda'M E_j u),    E_j = dLambda/dtheta_j.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import FitError
from ..problem import factor_slopes, sizes
from .conditional import Dense, OneFactor, Sparse
from .points import Terms, linear_predictor, training_rows

if TYPE_CHECKING:
    from ..fit import Fit

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

DENSE = 4000
"""Effects of several factors up to which C is held as one matrix; beyond, rows are solved for."""
NEGLIGIBLE = 1e-9
"""Relative size of a derivative that counts as none."""


@dataclass(frozen=True)
class Joint:
    """Joint covariance of all parameters and random effects.

    Parameters
    ----------
    covariance : ndarray, (P, P)
        V; zero for parameters that the data do not tell: see `unknown`.
    slopes : tuple of ndarray, (levels, q, P)
        D by term: derivatives of the modes in the parameters.
    predictors : tuple of tuple of int
        The linear predictor of each column of each term.
    members : tuple of int
        The term of each membership, as in `Design.members`.
    unknown : ndarray of bool, (P,)
        Parameters without a variance; what moves with them has no standard error.
    """

    covariance: Array
    slopes: tuple[Array, ...]
    predictors: tuple[tuple[int, ...], ...]
    members: tuple[int, ...]
    unknown: NDArray[np.bool_]
    _conditional: OneFactor | Dense | Sparse

    def along(self, terms: Terms, k: int) -> Array:
        """Return z'D of predictor k for each row, (n, P); nothing at code -1."""
        n = terms[0][0].size if terms else 0
        out = np.zeros((n, self.covariance.shape[0]))
        for (codes, z), t in zip(terms, self.members, strict=True):
            slopes = self.slopes[t]
            columns = [j for j, own in enumerate(self.predictors[t]) if own == k]
            seen = np.flatnonzero(codes >= 0)
            for j in columns:
                out[seen] += z[seen, j, None] * slopes[codes[seen], j]
        return out

    def variance(self, gradient: Array) -> Array:
        """Return a'V a of each row a of (n, P); NaN where it moves with unknown parameters."""
        found = np.einsum("ij,ij->i", gradient @ self.covariance, gradient)
        if self.unknown.any():
            size = np.abs(gradient).max(axis=1, initial=0.0)
            lost = np.abs(gradient[:, self.unknown]).max(axis=1) > NEGLIGIBLE * size
            found = np.where(lost, np.nan, found)
        return np.asarray(found)

    def conditional(self, terms: Terms, k: int, other: int) -> Array:
        """Return z'C z of predictors k and other for each row, (n,)."""
        predictors = [self.predictors[t] for t in self.members]
        first, second = (_masked(terms, predictors, at) for at in (k, other))
        return self._conditional.quadratic([codes for codes, _ in terms], first, second)


def _masked(terms: Terms, predictors: Sequence[Sequence[int]], k: int) -> list[Array]:
    """The columns z of each term, zero where they belong to other predictors or to no level."""
    found = []
    for (codes, z), ks in zip(terms, predictors, strict=True):
        keep = (np.array(ks) == k)[None, :] & (codes >= 0)[:, None]
        found.append(np.where(keep, z, 0.0))
    return found


def joint_covariance(fit: Fit) -> Joint:
    """Return the joint covariance of parameters and effects; see `Fit.joint_covariance`.

    Raises
    ------
    FitError
        After the iterative engine, whose effects are too many for exact covariances.
    """
    return _made(fit).joint


def conditional_at(fit: Fit, weights: Array) -> Joint:
    """Return the joint covariance with -l'' replaced by working weights of the mean, (n,).

    Its `conditional` and its slopes in the coefficients of the mean are those of the linear mixed
    model that iterated weighted least squares would solve next.

    Raises
    ------
    FitError
        As `joint_covariance`.
    """
    made = _made(fit)
    made.second = np.zeros_like(made.second)
    made.second[:, 0, 0] = -weights
    return made.joint


def _made(fit: Fit) -> _Made:
    if fit.estimates.path == "iterative":
        message = (
            "standard errors of predictions need the joint covariance of all random effects, which "
            "the iterative engine does not have; fit with engine='sparse', or leave interval= out"
        )
        raise FitError(message, code="no_interval")
    return _Made(fit)


class _Made:
    """The pieces of the joint covariance at the estimates."""

    def __init__(self, fit: Fit) -> None:
        self.fit = fit
        design, model = fit.design, fit.model
        self.rows = training_rows(fit)
        modes = fit.estimates.modes
        eta = [linear_predictor(fit, self.rows, 0, modes)]
        if model.family.ordered:
            self.picks = _picks(fit)
            thresholds = fit.part("thresholds").estimates
            eta += [np.ascontiguousarray(pick @ thresholds) for pick in self.picks]
        else:
            eta += [linear_predictor(fit, self.rows, k, modes) for k in range(1, len(fit.parts))]
        y = np.ascontiguousarray(design.y)
        size = sizes(model, design)
        first, second = _core.row_derivatives(model.core_name, y, eta, size)
        freq = np.ones(design.n) if design.freq is None else design.freq
        self.first, self.second = first * freq[:, None], second * freq[:, None, None]

    @cached_property
    def thetas(self) -> list[tuple[int, int, Array]]:
        """(term, parameter, E) of each parameter of a covariance."""
        found = []
        for t, (term, (start, end)) in enumerate(
            zip(self.fit.design.terms, self.fit.estimates.thetas, strict=True)
        ):
            slopes, _ = factor_slopes(term, self.fit.estimates.parameters[start:end])
            found += [(t, start + j, np.ascontiguousarray(e)) for j, e in enumerate(slopes)]
        return found

    def columns(self, k: int) -> tuple[Array, int] | None:
        """(columns, first parameter) of the coefficients of predictor k."""
        fit = self.fit
        if fit.model.family.ordered and k > 0:
            return self.picks[k - 1], fit.estimates.fixed[1][0]
        start, end = fit.estimates.fixed[k]
        if start == end:
            return None
        if k in self.rows.matrices:
            return self.rows.matrices[k][0][:, list(fit.estimates.kept[k])], start
        return np.ones((self.rows.n, 1)), start

    @property
    def joint(self) -> Joint:
        """The joint covariance, by the route that suits the factors."""
        e = self.fit.estimates
        covariance = np.where(np.isfinite(e.covariance), e.covariance, 0.0)
        terms = self.fit.design.terms
        predictors = tuple(term.predictors for term in terms)
        same = all(
            len(t.levels) == len(terms[0].levels) and np.array_equal(t.codes, terms[0].codes)
            for t in terms[1:]
        ) and not any(term.tied for term in terms)
        slopes, conditional = self.one_factor() if same else self.crossed()
        unknown = ~np.isfinite(np.diag(e.covariance))
        members = self.fit.design.members
        return Joint(covariance, slopes, predictors, members, unknown, conditional)

    def one_factor(self) -> tuple[tuple[Array, ...], OneFactor]:
        """Independent small problems, one per level."""
        fit = self.fit
        terms, total = fit.design.terms, fit.estimates.parameters.size
        if not terms:
            return (), OneFactor(np.zeros((0, 0, 0)))
        codes, levels = terms[0].codes, len(terms[0].levels)
        z = np.hstack([term.z for term in terms])
        of = [k for term in terms for k in term.predictors]
        width = z.shape[1]

        def sums(values: Array) -> Array:
            return np.bincount(codes, values, levels).astype(np.float64)

        gradient = np.column_stack([sums(z[:, a] * self.first[:, of[a]]) for a in range(width)])
        m = np.empty((levels, width, width))
        for a in range(width):
            for b in range(a + 1):
                weights = -z[:, a] * z[:, b] * self.second[:, of[a], of[b]]
                m[:, a, b] = m[:, b, a] = sums(weights)
        right = np.zeros((levels, width, total))
        for k in range(self.second.shape[1]):
            if (found := self.columns(k)) is None:
                continue
            x, start = found
            for a in range(width):
                weights = z[:, a] * self.second[:, of[a], k]
                for j in range(x.shape[1]):
                    right[:, a, start + j] += sums(weights * x[:, j])
        lam = _blocks(fit.factors)
        u = gradient @ lam
        inside = lam.T @ right
        direct = np.zeros((levels, width, total))
        offsets = np.cumsum([0, *(len(t.columns) for t in terms)])
        for t, j, e in self.thetas:
            whole = np.zeros((width, width))
            at = slice(offsets[t], offsets[t + 1])
            whole[at, at] = e
            moved = u @ whole.T
            direct[:, :, j] = moved
            inside[:, :, j] = gradient @ whole - np.einsum("lab,lb->la", m, moved) @ lam
        h = np.eye(width) + lam.T @ m @ lam
        inverse = np.linalg.inv(h)
        slopes = direct + lam @ (inverse @ inside)
        blocks = lam @ inverse @ lam.T
        parts = [slopes[:, a:b] for a, b in zip(offsets, offsets[1:], strict=False)]
        return tuple(parts), OneFactor(blocks)

    def crossed(self) -> tuple[tuple[Array, ...], Dense | Sparse]:
        """One problem of all effects."""
        from scipy import sparse

        fit = self.fit
        terms, total = fit.design.terms, fit.estimates.parameters.size
        counts = [len(t.levels) * len(t.columns) for t in terms]
        starts = np.cumsum([0, *counts])
        n_effects = int(starts[-1])
        k_all = sorted({k for t in terms for k in t.predictors})
        z = {k: self._matrix(k, starts) for k in k_all}
        lam = sparse.block_diag(
            [
                sparse.kron(sparse.eye_array(len(t.levels)), factor)
                for t, factor in zip(terms, fit.factors, strict=True)
            ],
            format="csr",
        )
        gradient = np.sum([z[k].T @ self.first[:, k] for k in k_all], axis=0)
        weigh = sparse.diags_array
        m = -sum(z[k].T @ weigh(self.second[:, k, j]) @ z[j] for k in k_all for j in k_all)
        right = np.zeros((n_effects, total))
        for j in range(self.second.shape[1]):
            if (found := self.columns(j)) is not None:
                x, start = found
                for k in k_all:
                    product = z[k].T @ (self.second[:, k, j, None] * x)
                    right[:, start : start + x.shape[1]] += product
        u = self._spherical(lam.T @ gradient, starts)
        inside, direct = lam.T @ right, np.zeros((n_effects, total))
        for t, j, e in self.thetas:
            at = slice(starts[t], starts[t + 1])
            q = len(terms[t].columns)
            direct[at, j] = (u[at].reshape(-1, q) @ e.T).ravel()
            inside[at, j] = (gradient[at].reshape(-1, q) @ e).ravel()
            inside[:, j] -= lam.T @ (m @ direct[:, j])
        h = sparse.csc_array(self._precision() + lam.T @ m @ lam)
        where = tuple(int(starts[t]) for t in fit.design.members)
        conditional: Dense | Sparse
        sums = self._sums(starts)
        if n_effects <= DENSE:
            inverse = np.linalg.inv(h.toarray())
            inverse = inverse - _excluded(sums, inverse @ sums.T)(inverse)
            solved = inverse @ inside
            half = lam @ inverse
            conditional = Dense(np.ascontiguousarray((lam @ half.T).T), where)
        else:
            from scipy.sparse.linalg import splu

            solver = splu(h, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
            excluded = _excluded(sums, solver.solve(sums.T.toarray()))

            def solve(right: Array) -> Array:
                found: Array = solver.solve(right)
                return found - excluded(found)

            solved = solve(inside)
            conditional = Sparse(solve, lam, where)
        slopes = direct + lam @ solved
        shapes = [(len(t.levels), len(t.columns), total) for t in terms]
        return tuple(
            slopes[a:b].reshape(shape)
            for a, b, shape in zip(starts, starts[1:], shapes, strict=False)
        ), conditional

    def _precision(self) -> Any:
        """P, (effects, effects)."""
        from scipy import sparse

        blocks = [
            sparse.kron(
                sparse.eye_array(len(t.levels)) if t.relation is None else t.relation.matrix(),
                sparse.eye_array(len(t.columns)),
            )
            for t in self.fit.design.terms
        ]
        return sparse.block_diag(blocks, format="csr")

    def _sums(self, starts: NDArray[np.int64]) -> Any:
        """A of the effects that must sum to zero, A u = 0, (sums, effects)."""
        from scipy.sparse import csr_array

        groups = []
        for term, start in zip(self.fit.design.terms, starts, strict=False):
            q = len(term.columns)
            for part in () if term.relation is None else term.relation.sets:
                groups += [start + part * q + j for j in range(q)]
        pointer = np.cumsum([0, *map(len, groups)])
        index = np.concatenate(groups) if groups else np.zeros(0, dtype=np.int64)
        shape = (len(groups), int(starts[-1]))
        return csr_array((np.ones(index.size), index, pointer), shape=shape)

    def _spherical(self, right: Array, starts: NDArray[np.int64]) -> Array:
        """P^-1 times a vector of effects."""
        found = right.copy()
        for term, start, end in zip(self.fit.design.terms, starts, starts[1:], strict=False):
            if term.relation is not None:
                part = np.ascontiguousarray(right[start:end])
                found[start:end] = term.relation.core.solve(part, len(term.columns))
        return found

    def _matrix(self, k: int, starts: NDArray[np.int64]) -> Any:
        """Z of predictor k, (n, effects)."""
        from scipy.sparse import csr_array

        n, columns, values = self.rows.n, [], []
        for term, start in zip(self.fit.design.terms, starts, strict=False):
            for j, own in enumerate(term.predictors):
                for codes, z in term.memberships if own == k else ():
                    columns.append(start + np.maximum(codes, 0) * len(term.columns) + j)
                    values.append(np.where(codes >= 0, z[:, j], 0.0))
        index, data = np.column_stack(columns), np.column_stack(values)
        pointer = np.arange(n + 1) * index.shape[1]
        return csr_array((data.ravel(), index.ravel(), pointer), shape=(n, int(starts[-1])))


def _excluded(sums: Any, g: Array) -> Callable[[Array], Array]:
    """What conditioning on A u = 0 takes off H^-1 x: G W^-1 A H^-1 x, G = H^-1 A', W = A G."""
    w = sums @ g

    def of(found: Array) -> Array:
        return np.asarray(g @ np.linalg.solve(w, sums @ found)) if len(w) else 0.0 * found

    return of


def _blocks(factors: Sequence[Array]) -> Array:
    """One matrix with the factors on its diagonal."""
    width = sum(f.shape[0] for f in factors)
    out, at = np.zeros((width, width)), 0
    for f in factors:
        out[at : at + len(f), at : at + len(f)] = f
        at += len(f)
    return out


def _picks(fit: Fit) -> tuple[Array, Array]:
    """Which threshold lies above the class of each row, and which below."""
    count = fit.part("thresholds").estimates.size
    y = fit.design.y.astype(int)
    classes = np.arange(1, count + 1)
    return (y[:, None] == classes).astype(float), (y[:, None] == classes + 1).astype(float)
