"""A gaussian mixed model seen from its random effects: what small-sample theory needs, exactly.

With V = sigma^2 W^-1 + Z G Z' and Q random effects in all, every quantity is of size Q or p:
T = Z'V^-1 Z, D = X'V^-1 Z and Phi = (X'V^-1 X)^-1, by Woodbury's identity. A derivative of V
in a variance parameter is a V + Z K Z', with a number a and K of equal blocks for all levels of a
term; sigma^2 has a = 1 / sigma^2 and K = -G / sigma^2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FitError
from ..formula import STRUCTURES
from ..problem import factor_slopes
from ..structures import bare

if TYPE_CHECKING:
    from ..design import DesignTerm
    from ..fit import Fit

Array = NDArray[np.float64]

MOST_EFFECTS = 3_000
"""Random effects in all up to which matrices of their number are formed."""

_NO_VARIANCE = 1e-9
"""Part of all variance below which a direction of random effects counts as having none."""


_NO_MOVE = 1e-4
"""Relative change of a covariance by an angle below which a correlation is at its end."""


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """How G of a structured term moves with its parameters: first derivatives, second ones.

    Parameters
    ----------
    first : ndarray, (k, q, q)
    second : ndarray, (k, k, q, q)
    """

    first: Array
    second: Array


@dataclass(frozen=True, slots=True, eq=False)
class Direction:
    """A derivative of V in one parameter, a V + Z K Z', or a second derivative Z K Z'.

    `blocks` holds the block of K of each term, (q, q).
    """

    a: float
    blocks: tuple[Array, ...]


@dataclass(frozen=True, eq=False)
class Variation:
    """The matrices of the module's first lines, at the estimates.

    Parameters
    ----------
    phi : ndarray, (p, p)
        Covariance of the fixed effects, variances taken as known.
    d : ndarray, (p, Q)
        X'V^-1 Z.
    t : ndarray, (Q, Q)
        Z'V^-1 Z.
    u : ndarray, (Q,)
        Z'V^-1 r of the residuals r = y - X beta.
    s : float
        r'V^-1 r.
    n : float
        Observations: the sum of the frequency weights.
    sigma2 : float
    covariances : tuple of ndarray, (q, q)
        G of each term.
    diagonal : tuple of bool
        Whether a term's effects are independent of each other.
    moves : tuple of Moves or None
        Of terms whose covariance is neither diagonal nor free.
    sizes : tuple of (int, int)
        Levels and effects of each term.
    restricted : bool
        Whether the variances are REML estimates.
    free_sigma : bool
        Whether sigma was estimated.
    spread : tuple of ndarray, (q,)
        Root mean square of each column of Z.
    """

    phi: Array
    d: Array
    t: Array
    u: Array
    s: float
    n: float
    sigma2: float
    covariances: tuple[Array, ...]
    diagonal: tuple[bool, ...]
    moves: tuple[Moves | None, ...]
    sizes: tuple[tuple[int, int], ...]
    restricted: bool
    free_sigma: bool
    spread: tuple[Array, ...]

    @cached_property
    def t_p(self) -> Array:
        """Z'P Z, with P = V^-1 - V^-1 X Phi X'V^-1."""
        found: Array = self.t - self.d.T @ self.phi @ self.d
        return found

    def times(self, matrix: Array, direction: Direction) -> Array:
        """Return `matrix` K, (m, Q)."""
        found = np.empty_like(matrix)
        first = 0
        for (levels, q), block in zip(self.sizes, direction.blocks, strict=True):
            last = first + levels * q
            piece = matrix[:, first:last].reshape(-1, levels, q) @ block
            found[:, first:last] = piece.reshape(-1, levels * q)
            first = last
        return found

    def linear(self) -> list[Direction]:
        """Return derivatives in variances, covariances and sigma^2: V is linear in these.

        Those of a structured term are in its own parameters.
        """
        found = []
        for k, (_, q) in enumerate(self.sizes):
            if (moves := self.moves[k]) is not None:
                found += [self._of_term(k, block) for block in moves.first]
                if not np.any(self.covariances[k]) and len(moves.second):
                    # One variance of zero: V is linear in it.
                    found.append(self._of_term(k, moves.second[0, 0] / 2))
                continue
            for i in range(q):
                for j in range(i, i + 1 if self.diagonal[k] else q):
                    block = np.zeros((q, q))
                    block[i, j] = block[j, i] = 1.0
                    found.append(self._of_term(k, block))
        return found + self._of_sigma()

    def _of_term(self, k: int, block: Array) -> Direction:
        blocks = [np.zeros((q, q)) for _, q in self.sizes]
        blocks[k] = block
        return Direction(0.0, tuple(blocks))

    def _of_sigma(self) -> list[Direction]:
        if not self.free_sigma:
            return []
        return [Direction(1 / self.sigma2, tuple(-g / self.sigma2 for g in self.covariances))]

    def free(self) -> tuple[list[Direction], dict[tuple[int, int], Direction]]:
        """Return derivatives in parameters that are free at the estimates, and second derivatives.

        Covariances of lower rank r keep it: G = F F' with F (q, r), and V moves with the entries
        of F. Variances of zero do not move.
        """
        found: list[Direction] = []
        second: dict[tuple[int, int], Direction] = {}
        for k, (_, q) in enumerate(self.sizes):
            if (moves := self.moves[k]) is not None:
                self._along_parameters(k, moves, found, second)
                continue
            f = self._root(k)
            if self.diagonal[k]:
                units = [np.diag(row) for row in np.eye(q)[np.diag(self.covariances[k]) > 0]]
                found += [self._of_term(k, unit) for unit in units]
            elif f.shape[1] == q:
                found += [d for d in self.linear() if np.any(d.blocks[k]) and d.a == 0.0]
            else:
                self._along_root(k, f, found, second)
        return found + self._of_sigma(), second

    def _along_parameters(
        self,
        k: int,
        moves: Moves,
        found: list[Direction],
        second: dict[tuple[int, int], Direction],
    ) -> None:
        first = len(found)
        found += [self._of_term(k, block) for block in moves.first]
        for i, j in np.ndindex(len(moves.first), len(moves.first)):
            second[first + i, first + j] = self._of_term(k, moves.second[i, j])

    def _root(self, k: int) -> Array:
        """A square root of a term's covariance with as many columns as its rank."""
        scale = self.spread[k]
        values, vectors = np.linalg.eigh(self.covariances[k] * np.outer(scale, scale))
        keep = values > _NO_VARIANCE * (values.max(initial=0.0) + self.sigma2)
        root: Array = vectors[:, keep] * np.sqrt(values[keep]) / scale[:, None]
        return root

    def _along_root(
        self, k: int, f: Array, found: list[Direction], second: dict[tuple[int, int], Direction]
    ) -> None:
        first, entries = len(found), []
        for i, j in np.ndindex(f.shape):
            e = np.zeros_like(f)
            e[i, j] = 1.0
            entries.append(e)
            found.append(self._of_term(k, e @ f.T + f @ e.T))
        for a, one in enumerate(entries):
            for b, other in enumerate(entries):
                block = one @ other.T + other @ one.T
                second[first + a, first + b] = self._of_term(k, block)


def variation(fit: Fit) -> Variation:
    """Return the matrices of a gaussian mixed model at its estimates.

    Raises
    ------
    FitError
        When the fit is of another kind, or has too many random effects; see `refusal`.
    """
    if reason := refusal(fit):
        raise FitError(f"no degrees of freedom for this fit: {reason}", code="no_freedom")
    sigma2 = _residual_variance(fit)
    weight, x, residual = _rows(fit, sigma2)
    phi, d, t, u, s = _woodbury(fit, weight, x, residual)
    freq = fit.design.freq
    start, end = fit.estimates.fixed[1]
    return Variation(
        phi=phi, d=d, t=t, u=u, s=s, sigma2=sigma2,
        n=float(fit.design.n if freq is None else freq.sum()),
        covariances=fit.covariances,
        diagonal=tuple(term.structure == "diag" for term in fit.design.terms),
        moves=tuple(_moves(fit, t) for t in range(len(fit.design.terms))),
        sizes=tuple((len(term.levels), len(term.columns)) for term in fit.design.terms),
        restricted=fit.model.reml, free_sigma=end > start,
        spread=tuple(_spread(term) for term in fit.design.terms),
    )  # fmt: skip


def _moves(fit: Fit, t: int) -> Moves | None:
    """Derivatives of G = L L' in the parameters that move it; None for terms without a structure.

    dG_i = E_i L' + L E_i',   ddG_ij = E_ij L' + E_i E_j' + transposed.
    """
    term, name = fit.design.terms[t], bare(fit.design.terms[t].structure)
    if name in ("us", "diag"):
        return None
    start, end = fit.estimates.thetas[t]
    e, ee = factor_slopes(term, fit.estimates.parameters[start:end])
    root = fit.factors[t]
    first, second = e @ root.T, ee @ root.T + np.einsum("iab,jcb->ijac", e, e)
    first, second = first + first.swapaxes(1, 2), second + second.swapaxes(2, 3)
    if not np.any(root):
        return Moves(first[:0], second[:1, :1] if STRUCTURES[name].common else second[:0, :0])
    sd = np.sqrt(np.diag(fit.covariances[t]))
    unit = np.where(sd > 0, sd, np.inf)
    size = np.abs(first / np.outer(unit, unit)).max(axis=(1, 2))
    scales = len(e) if name == "rr" else 1 if STRUCTURES[name].common else len(sd)
    keep = np.flatnonzero(size > np.where(np.arange(len(e)) < scales, 0.0, _NO_MOVE))
    return Moves(first[keep], second[np.ix_(keep, keep)])


def refusal(fit: Fit) -> str | None:
    """Why a fit has no small-sample degrees of freedom, with what to do; None where it has."""
    model = fit.model
    normal = 'use df="normal"'
    if model.family.name != "gaussian" or model.link != "identity":
        family = f"{model.family.name} with the {model.link} link"
        return f"they need gaussian responses with the identity link, not {family}; {normal}"
    if model.disp is not None:
        return f"disp= gives every row a variance of its own; {normal}"
    if model.penalty is not None:
        return f"a penalty moves the estimates; {normal}"
    if np.isnan(fit.parts[0].covariance).any():
        return f"the data do not tell all fixed effects; {normal}"
    if (effects := effects_of(fit)) > MOST_EFFECTS:
        return f"{effects:,} random effects are more than {MOST_EFFECTS:,}; {normal}"
    return None


def effects_of(fit: Fit) -> int:
    """Return the number Q of all random effects."""
    return sum(len(term.levels) * len(term.columns) for term in fit.design.terms)


def _residual_variance(fit: Fit) -> float:
    """That of a row of weight one; beside a covariance of residuals the smallest that is fixed."""
    floors = fit.design.floors
    return (min(floors) if floors else (fit.dispersion or {})["sigma"]) ** 2


def _rows(fit: Fit, sigma2: float) -> tuple[Array, Array, Array]:
    """Weights of the rows over sigma^2, (n,); columns of X, (n, p); residuals, (n,)."""
    design = fit.design
    weight = np.full(design.n, 1 / sigma2)
    for known in (design.freq, design.precision):
        if known is not None:
            weight = weight * known
    if design.floors:
        log_sd = design.parts[0].offset
        assert log_sd is not None
        weight = weight * np.exp(-2 * log_sd) * sigma2
    x = design.x[:, list(fit.estimates.kept[0])]
    residual = design.y - x @ fit.estimates.parameters[: x.shape[1]]
    if design.offset is not None:
        residual = residual - design.offset
    return weight, x, residual


def _woodbury(
    fit: Fit, weight: Array, x: Array, residual: Array
) -> tuple[Array, Array, Array, Array, float]:
    """Phi, D, T, Z'V^-1 r and r'V^-1 r, from sums over rows."""
    from scipy.linalg import solve_triangular

    # Orthonormal columns: X'V^-1 X of a year loses half of the digits.
    basis, back = np.linalg.qr(np.sqrt(weight)[:, None] * x)
    basis = basis / np.sqrt(weight)[:, None]
    z = _columns(fit)
    zw = z.multiply(weight[:, None]).tocsr()
    a = np.asarray((zw.T @ z).todense())
    b, w = np.asarray(zw.T @ basis), np.asarray(zw.T @ residual)
    root = _block_diagonal(fit)
    r = np.linalg.cholesky(np.eye(len(a)) + root.T @ (root.T @ a).T)

    def half(m: Array) -> Array:
        solved: Array = solve_triangular(r, np.asarray(root.T @ m), lower=True)
        return solved

    sa, sb, h = half(a), half(b), half(w)
    gram = np.eye(x.shape[1]) - sb.T @ sb
    inverse = np.linalg.inv(back)
    phi = inverse @ np.linalg.inv(gram) @ inverse.T
    d = back.T @ (b - sa.T @ sb).T
    s = float(weight @ residual**2 - h @ h)
    return (phi + phi.T) / 2, d, a - sa.T @ sa, w - sa.T @ h, s


def _columns(fit: Fit) -> Any:
    """Z, (n, Q) sparse: the terms in turn, their levels in turn.

    With a known relation K = R R' of the levels it is Z (R (x) I), whose effects are independent.
    """
    from scipy.sparse import csr_array, hstack, kron

    parts = []
    for term in fit.design.terms:
        q, n = len(term.columns), fit.design.n
        rows, shape = np.repeat(np.arange(n), q), (n, len(term.levels) * q)
        part = csr_array(shape)
        for codes, z in term.memberships:
            at = (np.maximum(codes, 0)[:, None] * q + np.arange(q)).ravel()
            values = np.where(codes[:, None] >= 0, z, 0.0).ravel()
            part = part + csr_array((values, (rows, at)), shape=shape)
        if term.relation is not None:
            part = csr_array(part @ kron(term.relation.root(), np.eye(q)))
        parts.append(part)
    return hstack(parts, format="csr") if parts else csr_array((fit.design.n, 0))


def _block_diagonal(fit: Fit) -> Any:
    """Square root of G, (Q, Q) sparse."""
    from scipy.sparse import block_diag, csr_array, kron

    terms = zip(fit.design.terms, fit.factors, strict=True)
    blocks = [kron(np.eye(len(term.levels)), factor) for term, factor in terms]
    return block_diag(blocks, format="csr") if blocks else csr_array((0, 0))


def _spread(term: DesignTerm) -> Array:
    found: Array = np.sqrt(sum(np.mean(z**2, axis=0) for _, z in term.memberships))
    return np.where(found > 0, found, 1.0)


def traces(
    v: Variation, directions: Sequence[Direction], matrix: Array, rank: float
) -> tuple[Array, Array]:
    """Return tr(M V_i), (k,), and tr(M V_i M V_j), (k, k), for M = P or V^-1.

    `matrix` is Z'M Z and `rank` is tr(M V): M V M = M in both cases.
    """
    a = np.array([d.a for d in directions])
    products = [v.times(matrix, d) for d in directions]
    own = np.array([np.trace(m) for m in products])
    pairs = np.array([[np.sum(m * o.T) for o in products] for m in products])
    second = rank * np.outer(a, a) + np.outer(a, own) + np.outer(own, a) + pairs
    return rank * a + own, second
