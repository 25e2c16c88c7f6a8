"""The user's words for working correlations, and the columns they need."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError, FormulaError, listed, nearest_first

Array = NDArray[np.float64]

MOST_PARAMETERS = 2000
"""An unstructured matrix has no more correlations than this."""


@dataclass(frozen=True, slots=True)
class Structure:
    """A working correlation the core has.

    Parameters
    ----------
    core : str
        Its name in the core.
    time, subgroups : bool
        Whether it needs the column.
    words : str
        What it says, for the printout.
    """

    core: str
    time: bool
    subgroups: bool
    words: str


STRUCTURES = {
    "independence": Structure("independence", False, False, "rows of a cluster uncorrelated"),
    "exchangeable": Structure("exchangeable", False, False, "one correlation for all pairs"),
    "ar1": Structure("ar1", True, False, "alpha^|t - s|"),
    "m_dependent": Structure("m_dependent", True, False, "one for each lag up to {m}, 0 beyond"),
    "toeplitz": Structure("toeplitz", True, False, "one for each lag"),
    "unstructured": Structure("unstructured", True, False, "one for each pair of times"),
    "nested": Structure("nested", False, True, "one within subgroups, one between them"),
    "fixed": Structure("fixed", True, False, "given"),
    "local_odds": Structure(
        "local_odds", False, False, "one local odds ratio of all pairs' classes"
    ),
    "local_odds:times": Structure(
        "local_odds", True, False, "a local odds ratio of classes for each pair of times"
    ),
    "pairwise": Structure("pairwise", False, False, "a regression on covariates of pairs"),
}
_USABLE = tuple(name for name in STRUCTURES if name not in ("fixed", "pairwise"))
_TERM = re.compile(r"(?:(distance|same|mean)\(\s*([^()]+?)\s*\)|(lag)|([01]))")


@dataclass(frozen=True, slots=True)
class Correlation:
    """A working correlation as asked for.

    Parameters
    ----------
    name : str
        A key of `STRUCTURES`.
    lags : int
        Of an m-dependent one.
    matrix : ndarray, (k, k), optional
        Of a fixed one.
    terms : tuple of (str, str)
        Covariates of pairs: ``"1"``, ``"distance"``, ``"same"`` or ``"mean"``, and the column.
    bounded : bool
        Whether a pairwise correlation is the hyperbolic tangent of its predictor.
    text : str
        As the user wrote it.
    """

    name: str
    lags: int = 0
    matrix: Any = None
    terms: tuple[tuple[str, str], ...] = ()
    bounded: bool = True
    text: str = ""

    @property
    def structure(self) -> Structure:
        """What the core calls it and needs."""
        return STRUCTURES[self.name]

    @property
    def words(self) -> str:
        """What it says."""
        if self.name == "pairwise":
            link = "atanh(corr)" if self.bounded else "corr"
            return f"{link} {self.text}"
        shown = self.text or self.name
        return f"{shown}: {self.structure.words.format(m=self.lags)}"


def correlation(corr: str | ArrayLike, corr_formula: str | None, corr_link: str) -> Correlation:
    """Return the working correlation asked for.

    Raises
    ------
    DataError, FormulaError
    """
    if corr_formula is not None:
        if not (isinstance(corr, str) and corr == "exchangeable"):
            message = "corr= and corr_formula= are both given; use one of them"
            raise DataError(message, code="unknown_option")
        if corr_link not in ("atanh", "identity"):
            message = f"corr_link={corr_link!r}; use 'atanh' or 'identity'"
            raise DataError(message, code="unknown_option")
        terms = pair_terms(corr_formula)
        return Correlation("pairwise", terms=terms, bounded=corr_link == "atanh", text=corr_formula)
    if not isinstance(corr, str):
        return Correlation("fixed", matrix=_matrix(corr), text="fixed")
    if corr in _USABLE and corr != "m_dependent":
        return Correlation(corr, text=corr)
    name, _, lags = corr.partition(":")
    if name == "m_dependent" and lags.strip().isdigit() and int(lags) > 0:
        return Correlation(name, lags=int(lags), text=corr)
    words = [*nearest_first(name, [n for n in _USABLE if n != "m_dependent"]), "m_dependent:1"]
    message = f"corr={corr!r}; use {listed(words)}, or a correlation matrix"
    raise DataError(message, code="unknown_option")


def pair_terms(text: str) -> tuple[tuple[str, str], ...]:
    """Return the covariates of pairs in a formula such as ``"~ lag + same(ward)"``.

    Raises
    ------
    FormulaError

    Examples
    --------
    >>> pair_terms("~ lag + same(ward)")
    (('1', ''), ('distance', 'time'), ('same', 'ward'))
    """
    body = text.strip()
    start = text.find("~") + 1
    if not body.startswith("~"):
        message = "corr_formula= begins with ~"
        raise FormulaError(message, text, 0, len(text), "~ lag + same(ward)")
    found: dict[tuple[str, str], None] = {("1", ""): None}
    at = start
    for piece in text[start:].split("+"):
        term = piece.strip()
        match = _TERM.fullmatch(term)
        first = at + len(piece) - len(piece.lstrip())
        at += len(piece) + 1
        if match is None:
            allowed = "1, 0, lag, distance(column), same(column) or mean(column), joined by +"
            message = f"{term!r} does not describe a pair of rows"
            raise FormulaError(message, text, first, first + len(term), allowed)
        kind, column, lag, number = match.groups()
        if number == "0":
            found.pop(("1", ""), None)
        elif lag:
            found["distance", "time"] = None
        elif kind:
            found[kind, column] = None
    return tuple(found)


def _matrix(corr: ArrayLike) -> Array:
    matrix = np.array(corr, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        message = f"corr= has shape {matrix.shape}; a working correlation is a square matrix"
        raise DataError(message, code="array_shape")
    if not (np.allclose(matrix, matrix.T) and np.allclose(np.diag(matrix), 1)):
        message = (
            "corr= is not a correlation matrix: it must be symmetric, with ones on its diagonal"
        )
        raise DataError(message, code="working_correlation")
    if float(np.linalg.eigvalsh(matrix)[0]) <= 0:
        least = float(np.linalg.eigvalsh(matrix)[0])
        message = (
            f"corr= is not positive definite: its smallest eigenvalue is {least:.3g}. Shrink its "
            "correlations towards 0, or use an estimated structure"
        )
        raise DataError(message, code="working_correlation")
    matrix.flags.writeable = False
    return matrix


@dataclass(frozen=True, slots=True)
class Times:
    """When the rows of a problem were seen.

    Parameters
    ----------
    values : ndarray, (n,)
    unit : float
        What distances are counted in: the largest number, or the smallest distance, that all are
        multiples of.
    whole : bool
        Whether they are.
    points : ndarray, (T,)
        All different times in their order.
    places : ndarray of int, (n,)
        Where each row stands among `points`.
    """

    values: Array
    unit: float
    whole: bool
    points: Array
    places: NDArray[np.int64]

    @property
    def units(self) -> Array:
        """Times in units from the first, (n,)."""
        units: Array = (self.values - self.points[0]) / self.unit
        return np.round(units) if self.whole else units


def times(values: Array) -> Times:
    """Return times with their unit.

    Examples
    --------
    >>> found = times(np.array([0.0, 1.5, 0.5]))
    >>> found.unit, found.units.tolist(), found.whole
    (0.5, [0.0, 3.0, 1.0], True)
    """
    points, places = np.unique(values, return_inverse=True)
    if points.size < 2:
        return Times(values, 1.0, True, points, places.astype(np.int64))
    steps = np.diff(points)
    counted = bool((points == np.round(points)).all())
    unit = float(np.gcd.reduce(steps.astype(np.int64))) if counted else float(steps.min())
    multiples = (points - points[0]) / unit
    whole = bool(np.abs(multiples - np.round(multiples)).max() < 1e-6)
    if not whole:
        unit = float(np.median(steps))
    return Times(values, unit, whole, points, places.astype(np.int64))


def parameter_names(
    correlation: Correlation, points: Sequence[Any], unit: float, count: int
) -> list[str]:
    """Return the names of the correlations estimated."""
    if correlation.name == "nested":
        return ["within subgroups", "between subgroups"]
    if correlation.name in ("toeplitz", "m_dependent"):
        return [f"lag {(k + 1) * unit:g}" for k in range(count)]
    if correlation.name == "local_odds":
        return ["log local odds ratio"]
    if correlation.name in ("unstructured", "local_odds:times"):
        return [f"{points[j]:g}, {points[i]:g}" for i in range(len(points)) for j in range(i)]
    if correlation.name == "pairwise":
        words = {"1": "(Intercept)", "distance": "distance({})", "same": "same({})"}
        return [
            words.get(kind, f"{kind}({{}})").format(column) for kind, column in correlation.terms
        ]
    return ["alpha"] * count
