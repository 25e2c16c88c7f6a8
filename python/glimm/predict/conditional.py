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


@dataclass(frozen=True)
class OneFactor:
    """C of terms that share one grouping factor: (levels, Q, Q)."""

    blocks: Array

    def quadratic(self, codes: list[Codes], first: list[Array], second: list[Array]) -> Array:
        """Return z'C w of each row's columns z and w, (n,)."""
        if not codes:
            return np.zeros(0)
        level = np.max(np.column_stack(codes), axis=1)
        blocks = self.blocks[level]
        return np.asarray(np.einsum("ia,iab,ib->i", np.hstack(first), blocks, np.hstack(second)))


@dataclass(frozen=True)
class Dense:
    """C of crossed factors as one matrix; effects of level l of term t begin at first + l q."""

    matrix: Array
    starts: tuple[int, ...]

    def quadratic(self, codes: list[Codes], first: list[Array], second: list[Array]) -> Array:
        """Return z'C w of each row's columns z and w, (n,)."""
        total = np.zeros(codes[0].size)
        places = [
            start + code * z.shape[1]
            for start, code, z in zip(self.starts, codes, first, strict=True)
        ]
        for at, z in zip(places, first, strict=True):
            for there, w in zip(places, second, strict=True):
                for a in range(z.shape[1]):
                    for b in range(w.shape[1]):
                        total += z[:, a] * self.matrix[at + a, there + b] * w[:, b]
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
