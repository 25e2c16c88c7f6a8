"""Tests of several coefficients at once: the terms of a formula, and hypotheses in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..design import FixedTerm, balanced, fixed_terms
from ..errors import DataError, listed
from ..fit import one_of
from ..tables import Framed
from .freedom import Freedom, Normal, f_tail, freedom
from .hypothesis import read

if TYPE_CHECKING:
    from ..fit import Fit
    from ..tables import Table
    from .robust import Robust

Array = NDArray[np.float64]

TYPES = ("I", "II", "III")

_RANK = 1e-9
_ROUNDING = 1e-10

_WORDS = {
    "I": "each term after those before it in the formula",
    "II": "each term after all others that do not contain it",
    "III": (
        "each term after all others, averaged with equal weights over the levels of the categories "
        "it is crossed with, at zero of the covariates it is crossed with"
    ),
}


@dataclass(frozen=True, slots=True, eq=False)
class Tested:
    """A linear hypothesis L b = m and its test.

    Parameters
    ----------
    label : str
    rows : ndarray, (q, p)
        L, of full rank.
    value : ndarray, (q,)
        m.
    estimate : ndarray, (q,)
        L b.
    statistic : float
        F, or the Wald chi-square where `df` is infinite.
    df : float
        Denominator degrees of freedom.
    p : float
    """

    label: str
    rows: Array
    value: Array
    estimate: Array
    statistic: float
    df: float
    p: float


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Tests(Framed):
    """Tests of linear hypotheses. Made by `Fit.joint_tests` and `Fit.test`.

    Parameters
    ----------
    tests : tuple of Tested
    title, meaning, source : str
        What was tested, what that means, and where the degrees of freedom come from.
    """

    tests: tuple[Tested, ...]
    title: str
    meaning: str
    source: str
    frame_kind: Any = field(repr=False)

    @property
    def p(self) -> dict[str, float]:
        """P-values by label."""
        return {test.label: test.p for test in self.tests}

    @property
    def table(self) -> Table:
        """Label, df, statistic, p; for single hypotheses the estimate as well."""
        from ..tables import Column, Table

        columns = [Column("hypothesis", key="label"), Column("df", "integer", "df1")]
        finite = any(np.isfinite(test.df) for test in self.tests)
        head = "F" if finite else "chi-square"
        if finite:
            columns.append(Column("den. df", "ratio", "df2"))
        columns += [Column(head, "ratio", "statistic"), Column("p", "p")]
        rows = [
            (t.label, len(t.rows), *((t.df,) if finite else ()), t.statistic, t.p)
            for t in self.tests
        ]
        notes = tuple(f"{_upper(words)}." for words in (self.meaning, self.source) if words)
        return Table(self.title, tuple(columns), tuple(rows), notes)

    def __repr__(self) -> str:
        return str(self)


def joint_tests(
    fit: Fit, type: str = "III", df: str = "auto", covariance: str | Robust = "model"
) -> Tests:
    """Test every term of the mean's fixed effects; see `Fit.joint_tests`.

    References
    ----------
    Fox, J. (2016). Applied Regression Analysis and Generalized Linear Models. Sage. Chapter 8.
    """
    one_of("type", type, TYPES)
    known = _known(fit, df, covariance)
    makers = {"I": _reduced, "II": _reduced, "III": _averaged}
    found, coefficients = [], fit.parts[0].estimates
    for label, rows in makers[type](fit, type):
        basis = _independent(rows)
        if len(basis):
            found.append(tested(label, basis, np.zeros(len(basis)), coefficients, known))
    title = f"Tests of terms, type {type}"
    return Tests(tuple(found), title, _WORDS[type], known.source, fit.design.frame_kind)


def linear_test(
    fit: Fit,
    hypothesis: str | Sequence[str] | ArrayLike,
    df: str = "auto",
    covariance: str | Robust = "model",
    *,
    value: float | ArrayLike = 0.0,
) -> Tests:
    """Test linear hypotheses about the mean's fixed effects; see `Fit.test`."""
    known = _known(fit, df, covariance)
    rows, values, label = stated(hypothesis, fit.names, value)
    made = tested(label, rows, values, fit.parts[0].estimates, known)
    title = "Linear hypothesis"
    return Tests((made,), title, "", known.source, fit.design.frame_kind)


def stated(
    hypothesis: str | Sequence[str] | ArrayLike,
    names: Sequence[str],
    value: float | ArrayLike = 0.0,
) -> tuple[Array, Array, str]:
    """Return a hypothesis in words, or rows of a matrix, as rows, values and a label.

    Raises
    ------
    DataError, FormulaError
        For words that are no hypothesis, rows of another length, and rows that repeat each other.
    """
    if isinstance(hypothesis, str):
        texts: list[str] = [hypothesis]
    elif isinstance(hypothesis, list | tuple) and all(isinstance(h, str) for h in hypothesis):
        texts = [str(h) for h in hypothesis]
    else:
        texts = []
    if texts:
        lines = [read(text, names) for text in texts]
        rows = np.array([row for row, _ in lines])
        values = np.array([constant for _, constant in lines])
        label = ", ".join(text.strip() for text in texts)
    else:
        rows = np.atleast_2d(np.asarray(hypothesis, dtype=np.float64))
        values = np.broadcast_to(np.asarray(value, dtype=np.float64), (len(rows),))
        label = f"{len(rows)} rows of a matrix"
    _check_rows(rows, names)
    return rows, values, label


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _known(fit: Fit, df: str, covariance: str | Robust) -> Freedom:
    if isinstance(covariance, str):
        one_of("covariance", covariance, ("model",))
        return freedom(fit, df)
    if covariance.fit is not fit:
        message = "covariance= is of another fit; make it by robust() of this one"
        raise DataError(message, code="not_comparable")
    if df == "normal":
        words = f"chi-square; {covariance.kind} over {covariance.clusters:,} clusters"
        return Normal(covariance.covariance, words)
    one_of("df", df, ("auto", "normal"))
    return covariance


def tested(label: str, rows: Array, value: Array, coefficients: Array, known: Freedom) -> Tested:
    """Return the Wald test of ``rows @ coefficients = value``."""
    estimate = rows @ coefficients
    f, df = known.joint(rows, estimate - value)
    p = f_tail(f, len(rows), df)
    statistic = f * len(rows) if np.isinf(df) else f
    return Tested(label, rows, value, estimate, statistic, df, p)


def _independent(rows: Array) -> Array:
    """Orthonormal rows of the same span, none where all vanish."""
    if not rows.size:
        return rows
    _, sizes, vt = np.linalg.svd(rows, full_matrices=False)
    found: Array = vt[sizes > _RANK * max(float(sizes.max()), _ROUNDING)]
    return found


def _kept(fit: Fit) -> list[tuple[FixedTerm, list[int]]]:
    """Terms with the places of their estimated coefficients."""
    place = {column: k for k, column in enumerate(fit.estimates.kept[0])}
    return [
        (term, [place[column] for column in term.columns if column in place])
        for term in fixed_terms(fit.design)
    ]


def _reduced(fit: Fit, type: str) -> list[tuple[str, Array]]:
    """Type I and II: coefficients of a term in the model without those tested later.

    Without its columns R, the others' estimates at the same V are b_1 + A_11^-1 A_12 b_R, with A
    the information of all.
    """
    information = np.linalg.inv(fit.parts[0].covariance)
    terms = _kept(fit)
    found = []
    for k, (term, own) in enumerate(terms):
        if not term.factors or not own:
            continue
        if type == "I":
            left_out = [j for _, places in terms[k + 1 :] for j in places]
        else:
            left_out = [
                j for other, places in terms if term.factors < other.factors for j in places
            ]
        stay = [j for j in range(len(information)) if j not in set(left_out)]
        rows = np.zeros((len(stay), len(information)))
        rows[:, stay] = np.eye(len(stay))
        if left_out:
            block = information[np.ix_(stay, stay)]
            rows[:, left_out] = np.linalg.solve(block, information[np.ix_(stay, left_out)])
        found.append((term.label, rows[[stay.index(j) for j in own]]))
    return found


def _averaged(fit: Fit, type: str) -> list[tuple[str, Array]]:
    """Type III: coefficients of a term when categories are coded to sum to zero, b_s = T b.

    T solves X_s T = X: the hypothesis is about the means of cells, whatever the coding.
    """
    x = fit.design.x[:, list(fit.estimates.kept[0])]
    parts = balanced(fit.design)
    whole = np.hstack(parts)
    basis, triangle = np.linalg.qr(whole)
    size = np.abs(np.diag(triangle))
    if whole.shape[1] != x.shape[1] or size.min() <= _RANK * size.max():
        message = (
            "type III hypotheses cannot be estimated: some combinations of categories have no "
            "rows, or columns of the fixed effects repeat others; use type='II'"
        )
        raise DataError(message, code="unidentified")
    transform = np.linalg.solve(triangle, basis.T @ x)
    transform[np.abs(transform) < _ROUNDING * np.abs(transform).max()] = 0.0
    found, first = [], 0
    for term, part in zip(fixed_terms(fit.design), parts, strict=True):
        last = first + part.shape[1]
        if term.factors:
            found.append((term.label, transform[first:last]))
        first = last
    return found


def _check_rows(rows: Array, names: Sequence[str]) -> None:
    if rows.ndim != 2 or rows.shape[1] != len(names):
        wanted = f"{len(names)} columns, one each for {listed(names)}"
        message = f"hypothesis has shape {rows.shape}; it needs {wanted}"
        raise DataError(message, code="array_shape")
    if np.linalg.matrix_rank(rows) < len(rows):
        message = "the hypotheses repeat each other, or one names no coefficient; leave some out"
        raise DataError(message, code="unidentified")
