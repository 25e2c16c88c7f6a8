"""Known relations among the levels of a grouping factor: a covariance or precision given.

The effects of a term with a relation have the covariance K (x) Sigma: K, over the levels, is known
up to a factor, and Sigma, over the columns of the term, is estimated. What crosses into the core is
P, the inverse of K, which is sparse for relatives and neighbours.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import _core
from .errors import DataError, listed

Array: TypeAlias = NDArray[np.float64]
Places: TypeAlias = NDArray[np.int64]
Label: TypeAlias = str | int | float | bool
Triangle: TypeAlias = tuple[Places, Places, Array]

_PAIRS = 256
"""Pairs of levels of which a mean covariance is taken."""
_SYMMETRIC = 1e-8
"""Largest difference between mirrored entries, relative to the largest entry."""


class Relation(ABC):
    """Base of all known relations; what a model needs of one.

    A relation of a kind of its own gives `labels` and `precision`, and the `word` by which formulas
    call it: ``(1 | animal, word=name)``.

    Attributes
    ----------
    labels : tuple, (levels,)
        The levels, each once.
    word : str
        The word before ``=`` in a formula.
    """

    word: ClassVar[str] = "known"
    labels: tuple[Label, ...]

    @abstractmethod
    def precision(self) -> Triangle:
        """Return the lower triangle of P by columns: starts, rows, values.

        Rows ascend within a column, so that its diagonal entry comes first.
        """

    @cached_property
    def core(self) -> _core.Precision:
        """The precision in the core, factorised.

        Raises
        ------
        DataError
            When it is not positive definite.
        """
        starts, rows, values = self.precision()
        try:
            return _core.Precision(starts, rows, values, [part.tolist() for part in self.sets])
        except _core.CoreError as error:
            message = f"the relation cannot be used: {error.args[1]}"
            raise DataError(message, code="relation_matrix") from None

    @property
    def sets(self) -> tuple[Places, ...]:
        """Sets of levels over which effects sum to zero; none but for graphs."""
        return ()

    def matrix(self) -> Any:
        """Return P as a sparse array, (levels, levels)."""
        from scipy import sparse

        starts, rows, values = self.precision()
        size = len(self.labels)
        lower = sparse.csc_array((values, rows, starts), shape=(size, size))
        return sparse.csr_array(lower + sparse.tril(lower, -1).T)

    @property
    def log_determinant(self) -> float:
        """Logarithm of the determinant of P."""
        return self.core.log_determinant

    @cached_property
    def variances(self) -> Array:
        """Diagonal of K, (levels,): 1 + inbreeding for relatives."""
        return self.core.variances()

    @property
    def typical(self) -> float:
        """Variance of the effect of a level that nothing is known of, in units of s^2.

        The mean of `variances`; averages over the distribution of the effects, and shares of the
        variance, are those of such a level.
        """
        return float(np.mean(self.variances))

    def mean_between(self, first: Places, second: Places) -> float:
        """Return the mean covariance K between pairs of levels, of a sample of many."""
        pairs = np.unique(np.column_stack([first, second]), axis=0)
        pairs = pairs[:: -(-len(pairs) // _PAIRS)] if len(pairs) else pairs
        units = np.zeros((len(self.labels), len(pairs)))
        units[pairs[:, 0], np.arange(len(pairs))] = 1.0
        found = (
            self.core.solve(units.ravel(), len(pairs)).reshape(units.shape) if len(pairs) else units
        )
        return float(np.sum(found[pairs[:, 1], np.arange(len(pairs))]) / max(len(pairs), 1))

    def root(self) -> Array:
        """Return a square root R of K, K = R R', (levels, levels)."""
        size = len(self.labels)
        inverse = self.core.solve(np.eye(size).ravel(), size).reshape(size, size)
        if not self.sets:
            return np.asarray(np.linalg.cholesky((inverse + inverse.T) / 2))
        values, vectors = np.linalg.eigh((inverse + inverse.T) / 2)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))

    def record(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return plain values and arrays for a file, of which `restored` makes it again."""
        starts, rows, values = self.precision()
        header = {"kind": "known", "word": self.word, "labels": list(self.labels)}
        arrays = {f"set{i}": part for i, part in enumerate(self.sets)}
        return header, arrays | {"starts": starts, "rows": rows, "values": values}

    def __len__(self) -> int:
        return len(self.labels)


class Relationship(Relation):
    """A known covariance, or precision, among the levels of a grouping factor.

    The effects of the levels have the covariance s^2 K, with K the matrix given, and s estimated:
    in a formula ``(1 | line, known=K)``. A genomic relationship matrix is one, or distances turned
    into correlations. Columns as in ``(1 + x | line, known=K)`` have the covariance K (x) Sigma.

    Parameters
    ----------
    matrix : array_like or sparse matrix, (levels, levels)
        Symmetric and positive definite; in any units, which those of the estimated variance follow.
    labels : sequence, optional
        The levels in the order of the rows, as they stand in the data. By default those of a pandas
        frame, else 0, 1, ...
    precision : bool
        Whether the matrix is the inverse of the covariance. A sparse precision makes large problems
        feasible; the inverse of a sparse covariance is dense.

    Raises
    ------
    DataError
        When the matrix is not square, not finite, not symmetric or not positive definite, or a
        label stands twice.

    References
    ----------
    Henderson, C. R. (1976). A simple method for computing the inverse of a numerator relationship
    matrix used in prediction of breeding values. Biometrics 32, 69-83.

    Examples
    --------
    >>> import glimm
    >>> glimm.Relationship([[1.0, 0.5], [0.5, 1.0]], labels=["a", "b"])
    Relationship of 2 levels
    """

    def __init__(
        self, matrix: Any, labels: Sequence[Label] | None = None, *, precision: bool = False
    ) -> None:
        own = getattr(matrix, "index", None)
        if labels is None and own is not None and not callable(own):
            labels = own.tolist()
        entries = entries_of(matrix)
        size = entries.shape[0]
        self.labels = checked_labels(range(size) if labels is None else labels, size)
        _check_symmetric(entries, self.labels)
        self._triangle = triangle(entries if precision else _inverse(entries))
        _ = self.core

    def precision(self) -> Triangle:
        """Return the lower triangle of P by columns: starts, rows, values."""
        return self._triangle

    def __repr__(self) -> str:
        return f"Relationship of {len(self.labels)} levels"


class _Restored(Relation):
    """A relation from a file."""

    def __init__(
        self, word: str, labels: tuple[Label, ...], parts: Triangle, sets: tuple[Places, ...]
    ) -> None:
        self.word, self.labels = word, labels  # type: ignore[misc]
        self._triangle, self._sets = parts, sets

    def precision(self) -> Triangle:
        return self._triangle

    @property
    def sets(self) -> tuple[Places, ...]:
        return self._sets

    def __repr__(self) -> str:
        return f"Relation of {len(self.labels)} levels"


def restored(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Relation:
    """Return the relation of a header and arrays made by `Relation.record`."""
    parts = (arrays["starts"], arrays["rows"], arrays["values"])
    sets = tuple(arrays[f"set{i}"] for i in range(len(arrays) - len(parts)))
    return _Restored(header["word"], tuple(header["labels"]), parts, sets)


def checked_labels(labels: Sequence[Label], size: int) -> tuple[Label, ...]:
    """Return labels as plain values, each once.

    Raises
    ------
    DataError
        When there are more or fewer than `size`, or one stands twice.
    """
    plain = tuple(x.item() if isinstance(x, np.generic) else x for x in labels)
    if len(plain) != size:
        message = f"the relation has {size} levels and {len(plain)} labels; one for each level"
        raise DataError(message, code="relation_labels")
    seen: dict[Label, int] = {}
    for at, label in enumerate(plain):
        if seen.setdefault(label, at) != at:
            message = f"label {label!r} stands twice, in places {seen[label]} and {at}"
            message += " (counted from 0); each level has one"
            raise DataError(message, code="relation_labels")
    return plain


def triangle(matrix: Any) -> Triangle:
    """Return the lower triangle by columns of a symmetric sparse matrix, with a full diagonal."""
    from scipy import sparse

    lower = sparse.csc_array(sparse.tril(sparse.coo_array(matrix)))
    lower.sort_indices()
    starts, rows = lower.indptr.astype(np.int64), lower.indices.astype(np.int64)
    return starts, rows, np.ascontiguousarray(lower.data, dtype=np.float64)


def entries_of(matrix: Any) -> Any:
    """Return a matrix as a dense or sparse array of finite numbers, square.

    Raises
    ------
    DataError
    """
    from scipy import sparse

    try:
        if sparse.issparse(matrix):
            entries = sparse.csc_array(matrix, dtype=np.float64)
            numbers = entries.data
        else:
            entries = numbers = np.array(matrix, dtype=np.float64)
    except (TypeError, ValueError) as error:
        message = f"the relation must hold numbers: {error}"
        raise DataError(message, code="relation_matrix") from None
    if entries.ndim != 2 or entries.shape[0] != entries.shape[1] or entries.shape[0] < 2:
        message = f"the relation has shape {entries.shape}; a square of two levels or more is one"
        raise DataError(message, code="relation_matrix")
    if not np.isfinite(numbers).all():
        raise DataError("the relation has entries that are not finite", code="relation_matrix")
    return entries


def _check_symmetric(entries: Any, labels: tuple[Label, ...]) -> None:
    apart = abs(entries - entries.T)
    largest = apart.max()
    if largest <= _SYMMETRIC * abs(entries).max():
        return
    place = np.unravel_index(apart.argmax(), apart.shape)
    i, j = int(place[0]), int(place[1])
    message = (
        f"the relation is not symmetric: {entries[i, j]:g} for levels {labels[i]!r} and "
        f"{labels[j]!r}, {entries[j, i]:g} the other way round"
    )
    raise DataError(message, code="relation_matrix")


def _inverse(entries: Any) -> Array:
    """The inverse of a covariance.

    Raises
    ------
    DataError
        When it is not positive definite.
    """
    from scipy import linalg, sparse

    dense = entries.toarray() if sparse.issparse(entries) else entries
    try:
        factor = linalg.cho_factor(dense, lower=True)
    except linalg.LinAlgError:
        least = float(linalg.eigvalsh(dense, subset_by_index=[0, 0])[0])
        message = (
            f"the covariance is not positive definite: its least eigenvalue is {least:.3g}. Levels "
            "that are copies of each other need one level between them; a genomic relationship "
            "matrix needs a small number added to its diagonal, which is for you to state"
        )
        raise DataError(message, code="relation_matrix") from None
    inverse = linalg.cho_solve(factor, np.eye(dense.shape[0]))
    return np.asarray((inverse + inverse.T) / 2, dtype=np.float64)


def matched(relation: Relation, levels: Sequence[Label]) -> dict[Label, int]:
    """Return the place in a relation of each of the levels of a column that it has.

    Numbers and text that look alike are the same level where they meet: 7 and ``"7"``.
    """
    place = {label: at for at, label in enumerate(relation.labels)}
    by_text = {str(label): at for label, at in place.items()}
    found = {}
    for level in levels:
        at = place.get(level, by_text.get(str(level)))
        if at is not None:
            found[level] = at
    return found


def chosen(word: str, name: str, relations: Mapping[str, Any]) -> Relation:
    """Return the relation that a formula names.

    Raises
    ------
    DataError
        When there is none of that name, or it is not of the kind the formula says.
    """
    if name not in relations:
        known = listed(sorted(map(str, relations))) if relations else "none"
        message = (
            f"the formula names the relation {name!r}, and relations= has {known}; give "
            f"relations={{{name!r}: ...}}"
        )
        raise DataError(message, code="unknown_relation")
    relation = relations[name]
    if not isinstance(relation, Relation):
        message = (
            f"relations[{name!r}] is a {type(relation).__name__}; a matrix goes into "
            "glimm.Relationship(matrix, labels)"
        )
        raise DataError(message, code="unknown_relation")
    if relation.word != word:
        message = (
            f"the formula takes {name!r} for {word}=, but it is for {relation.word}=; write "
            f"{relation.word}={name}"
        )
        raise DataError(message, code="unknown_relation")
    return relation
