"""Neighbours: intrinsic autoregressions on a graph."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from .errors import DataError, listed
from .relations import Label, Places, Relation, Triangle, checked_labels, entries_of, triangle


class Graph(Relation):
    """Neighbours: the effect of each level is near the mean of its neighbours'.

    The intrinsic autoregression of Besag: differences between neighbours i and j are normal with
    variance s^2 / w_ij, as far as they are consistent with each other, which says nothing of the
    level of a connected part of the graph. The effects of each part sum to zero, so that an
    intercept is told from them; several parts with levels of their own need a column that tells
    them apart. A level without neighbours has an independent effect with variance s^2. In a
    formula: ``(1 | district, graph=map)``, often beside an independent ``(1 | district)``.

    Parameters
    ----------
    adjacency : array_like or sparse matrix, (levels, levels), optional
        Weights w_ij of the edges, symmetric, 0 or more: 1 for neighbours, 0 for others. The
        diagonal is not used.
    labels : sequence, optional
        The levels, in the order of the rows. By default those of a pandas frame, or those that
        occur in `edges`, in order; else 0, 1, ...
    edges : iterable of pairs, optional
        In place of a matrix: the labels of neighbours, each pair once or twice.

    Raises
    ------
    DataError
        When the matrix is not square, symmetric, finite and 0 or more, when an edge has a label
        that is not among the labels or joins a level to itself, or there is no edge.

    References
    ----------
    Besag, J. (1974). Spatial interaction and the statistical analysis of lattice systems. Journal
    of the Royal Statistical Society B 36, 192-236.
    Rue, H. and Held, L. (2005). Gaussian Markov Random Fields, sections 2.3 and 3.3. Chapman and
    Hall.

    Examples
    --------
    >>> import glimm
    >>> glimm.Graph(edges=[("north", "middle"), ("middle", "south")])
    Graph of 3 levels, 2 edges, 1 part
    """

    word: ClassVar[str] = "graph"

    def __init__(
        self,
        adjacency: Any = None,
        labels: Sequence[Label] | None = None,
        *,
        edges: Iterable[tuple[Label, Label]] | None = None,
    ) -> None:
        from scipy import sparse

        if (adjacency is None) == (edges is None):
            message = "a graph takes adjacency= or edges=, one of them"
            raise DataError(message, code="relation_matrix")
        if edges is not None:
            weights, labels = _of_edges(list(edges), labels)
        else:
            own = getattr(adjacency, "index", None)
            if labels is None and own is not None and not callable(own):
                labels = own.tolist()
            weights = sparse.csr_array(entries_of(adjacency))
        size = weights.shape[0]
        self.labels = checked_labels(range(size) if labels is None else labels, size)
        weights = _checked(weights, self.labels)
        self.edges = weights.nnz // 2
        self._sets = _parts(weights)
        self._triangle = triangle(_definite(weights, self._sets))
        _ = self.core

    def precision(self) -> Triangle:
        """Return the lower triangle of P by columns: starts, rows, values.

        That of differences between neighbours, w_+ - w, with an addition to one row and column of
        each part that makes it positive definite and changes nothing where effects sum to zero.
        """
        return self._triangle

    @property
    def sets(self) -> tuple[Places, ...]:
        """The connected parts of the graph; the effects of each sum to zero."""
        return self._sets

    def __repr__(self) -> str:
        count = len(self._sets)
        word = "part" if count == 1 else "parts"
        alone = len(self.labels) - sum(map(len, self._sets))
        more = f", {alone} without neighbours" if alone else ""
        return f"Graph of {len(self.labels)} levels, {self.edges} edges, {count} {word}{more}"


def _of_edges(
    edges: list[tuple[Label, Label]], labels: Sequence[Label] | None
) -> tuple[Any, Sequence[Label]]:
    """Weights of one for each edge, and the labels."""
    from scipy import sparse

    for edge in edges:
        if len(edge) != 2:
            message = f"edge {edge!r} has {len(edge)} ends; an edge is a pair of labels"
            raise DataError(message, code="relation_matrix")
    found = dict.fromkeys(label for edge in edges for label in edge)
    if labels is None:
        labels = sorted(found, key=lambda label: (isinstance(label, str), label))
    place = {label: at for at, label in enumerate(labels)}
    lost = [label for label in found if label not in place]
    if lost:
        message = f"edges name {listed(list(map(str, lost)))}, which are not among the labels"
        raise DataError(message, code="relation_labels")
    i = np.array([place[a] for a, _ in edges], dtype=np.int64)
    j = np.array([place[b] for _, b in edges], dtype=np.int64)
    if (i == j).any():
        message = f"edge {edges[int(np.argmax(i == j))]!r} joins a level to itself"
        raise DataError(message, code="relation_matrix")
    pairs = np.unique(np.column_stack([np.minimum(i, j), np.maximum(i, j)]), axis=0)
    ones, size = np.ones(len(pairs)), len(place)
    upper = sparse.csr_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(size, size))
    return sparse.csr_array(upper + upper.T), list(labels)


def _checked(weights: Any, labels: tuple[Label, ...]) -> Any:
    from scipy import sparse

    weights = sparse.csr_array(weights - sparse.diags_array(weights.diagonal()))
    weights.eliminate_zeros()
    apart = abs(weights - weights.T)
    if apart.max() > 0:
        i, j = (int(k) for k in np.unravel_index(apart.argmax(), apart.shape))
        message = (
            f"the graph is not symmetric: {weights[i, j]:g} from {labels[i]!r} to {labels[j]!r}, "
            f"{weights[j, i]:g} the other way round"
        )
        raise DataError(message, code="relation_matrix")
    if weights.nnz == 0:
        raise DataError("the graph has no edges", code="relation_matrix")
    if weights.data.min() < 0:
        message = f"the graph has a weight of {weights.data.min():g}; weights are 0 or more"
        raise DataError(message, code="relation_matrix")
    return weights


def _parts(weights: Any) -> tuple[Places, ...]:
    """The connected parts of more than one level."""
    from scipy.sparse.csgraph import connected_components

    _, part = connected_components(weights, directed=False)
    order = np.argsort(part, kind="stable")
    ends = np.flatnonzero(np.diff(part[order])) + 1
    return tuple(set_ for set_ in np.split(order.astype(np.int64), ends) if len(set_) > 1)


def _definite(weights: Any, sets: tuple[Places, ...]) -> Any:
    """P with a (e 1' + 1 e') for each part, e at its first level; 1 for levels without neighbours.

    Effects that sum to zero do not see the addition. With a = 1 / (n v), v the variance of the
    first level, P is positive definite: a (2 n - a n^2 v) > 0.
    """
    from scipy import sparse
    from scipy.sparse.linalg import spsolve

    degree = np.asarray(weights.sum(axis=1)).ravel()
    p = sparse.csc_array(sparse.diags_array(np.where(degree > 0, degree, 1.0)) - weights)
    laplacian = sparse.csc_array(sparse.diags_array(degree) - weights)
    for levels in sets:
        first, rest = levels[0], levels[1:]
        grounded = sparse.csc_array(laplacian[rest, :][:, rest])
        solved = np.atleast_1d(spsolve(grounded, np.ones(len(rest))))
        size = len(levels)
        a = 1.0 / (size * (solved.sum() / size**2))
        values, column = np.full(size, a), np.full(size, first)
        one = sparse.csc_array((values, (levels, column)), shape=p.shape)
        p = p + one + one.T
    return p
