"""Conditional covariances of random effects given the parameters, C, by how they hang together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

SOLVED = 256
"""Right-hand sides of one solve."""
FEW = 8
"""Effects of a level up to which each row is taken by itself; rows with more are taken together."""


@dataclass(frozen=True)
class OneFactor:
    """C of terms that share one grouping factor: (levels, Q, Q)."""

    blocks: Array

    def quadratic(self, codes: list[Codes], first: list[Array], second: list[Array]) -> Array:
        """Return z'C w of each row's columns z and w, (n,)."""
        if not codes:
            return np.zeros(0)
        level = np.max(np.column_stack(codes), axis=1)
        left, right = np.hstack(first), np.hstack(second)
        if left.shape[1] <= FEW:
            return np.asarray(np.einsum("ia,iab,ib->i", left, self.blocks[level], right))
        found = np.empty(level.size)
        for rows in _alike(level):
            block = self.blocks[level[rows[0]]]
            found[rows] = np.einsum("ia,ia->i", left[rows] @ block, right[rows])
        return found


@dataclass(frozen=True)
class Dense:
    """C of crossed factors as one matrix; effects of level l of term t begin at first + l q."""

    matrix: Array
    starts: tuple[int, ...]

    def quadratic(self, codes: list[Codes], first: list[Array], second: list[Array]) -> Array:
        """Return z'C w of each row's columns z and w, (n,)."""
        total = np.zeros(codes[0].size)
        places = [
            start + np.maximum(code, 0) * z.shape[1]
            for start, code, z in zip(self.starts, codes, first, strict=True)
        ]
        for at, z in zip(places, first, strict=True):
            for there, w in zip(places, second, strict=True):
                wide = z.shape[1] * w.shape[1] > FEW**2
                of = self._by_blocks if wide else self._by_columns
                total += of(at, z, there, w)
        return total

    def _by_columns(self, at: Codes, z: Array, there: Codes, w: Array) -> Array:
        total = np.zeros(at.size)
        for a in range(z.shape[1]):
            for b in range(w.shape[1]):
                total += z[:, a] * self.matrix[at + a, there + b] * w[:, b]
        return total

    def _by_blocks(self, at: Codes, z: Array, there: Codes, w: Array) -> Array:
        """One product for the rows that share their levels."""
        total, q, other = np.zeros(at.size), z.shape[1], w.shape[1]
        for rows in _alike(at, there):
            i, j = at[rows[0]], there[rows[0]]
            block = self.matrix[i : i + q, j : j + other]
            total[rows] = np.einsum("ia,ia->i", z[rows] @ block, w[rows])
        return total


@dataclass(frozen=True)
class Sparse:
    """C of crossed factors by solves with a sparse factor of H, once per distinct row."""

    solver: Any
    factor: Any
    starts: tuple[int, ...]

    def quadratic(self, codes: list[Codes], first: list[Array], second: list[Array]) -> Array:
        """Return z'C w of each row's columns z and w, (n,)."""
        from scipy.sparse import csr_array

        joined = np.column_stack([*codes, *first, *second])
        rows, back = np.unique(joined, axis=0, return_index=True, return_inverse=True)[1:]
        n = self.factor.shape[0]
        places = [
            start + c * z.shape[1] for start, c, z in zip(self.starts, codes, first, strict=True)
        ]

        def matrix(z: list[Array], at: NDArray[np.int64]) -> Any:
            columns = [
                np.maximum(p, 0) + j for p, w in zip(places, z, strict=True)
                for j in range(w.shape[1])
            ]  # fmt: skip
            index = np.column_stack([c[at] for c in columns]).ravel()
            pointer = np.arange(at.size + 1) * len(columns)
            return csr_array((np.hstack(z)[at].ravel(), index, pointer), shape=(at.size, n))

        found = np.empty(rows.size)
        for start in range(0, rows.size, SOLVED):
            at = rows[start : start + SOLVED]
            left = matrix(first, at) @ self.factor
            right = (matrix(second, at) @ self.factor).toarray()
            found[start : start + SOLVED] = np.sum(left.toarray() * self.solver(right.T).T, axis=1)
        return found[back.ravel()]


def _alike(*codes: Codes) -> list[Codes]:
    """The rows that have the same codes, set by set."""
    order = np.lexsort(codes)
    changes = np.any([np.diff(code[order]) != 0 for code in codes], axis=0)
    return [rows for rows in np.split(order, np.flatnonzero(changes) + 1) if rows.size]
