"""Tests of random effects: a variance of zero lies on the boundary of its range.

Twice the difference of the log-likelihoods, with q effects of a group against q + 1, is distributed like a chi-square of
q degrees of freedom half of the time and of q + 1 otherwise (Self and Liang 1987, case 6; Stram and Lee 1994).
"""  # noqa: E501

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, GlimmError
from ..fit import Fit
from ..problem import make_problem, solve
from ..simulate import simulate
from ..structures import bare, shared
from ..tables import Column, Framed, Table
from .bootstrap import refit_many

if TYPE_CHECKING:
    from ..design import Design

Array = NDArray[np.float64]


_UNKNOWN = "unknown"
_NO_NULL = (
    "unknown: without the term its other parameters have no meaning, so that no chi-square is the "
    "null distribution; simulations= gives a p."
)


@dataclass(frozen=True, slots=True, eq=False)
class RandomTests(Framed):
    """Each random effect left out in turn; made by `Fit.test_random`.

    Attributes
    ----------
    table : Table
        Group, effect left out, twice the difference of the log-likelihoods, parameters left out,
        the null distribution, p, the p that ignores the boundary, and one by simulation.
    """

    table: Table
    frame_kind: Any


def chi2_tail(x: float, df: int) -> float:
    """P(chi-square > x); with 0 degrees of freedom it is always 0.

    Examples
    --------
    >>> round(chi2_tail(3.841459, 1), 4), chi2_tail(0.1, 0)
    (0.05, 0.0)
    """
    if math.isnan(x):
        return math.nan
    if df == 0:
        return 1.0 if x <= 0 else 0.0
    from scipy.special import gammaincc

    return float(gammaincc(df / 2, max(x, 0.0) / 2))


def mixture_tail(x: float, low: int, high: int) -> float:
    """P of half a chi-square of `low` and half one of `high` degrees of freedom.

    Examples
    --------
    >>> round(mixture_tail(2.705543, 0, 1), 4)
    0.05
    """
    return 0.5 * chi2_tail(x, low) + 0.5 * chi2_tail(x, high)


def without(design: Design, t: int, j: int | None) -> Design:
    """Return the design with one effect of a term left out, or the term: j of None or the last."""
    term, terms = design.terms[t], list(design.terms)
    keep = [k for k in range(len(term.columns)) if k != j and j is not None]
    if keep:
        terms[t] = replace(
            term,
            columns=tuple(term.columns[k] for k in keep),
            predictors=tuple(term.predictors[k] for k in keep),
            z=np.asfortranarray(term.z[:, keep]),
            also=tuple((codes, np.asfortranarray(z[:, keep])) for codes, z in term.also),
        )
    else:
        del terms[t]
    return replace(design, terms=tuple(terms))


def null_of(structure: str, effects: int) -> tuple[int, int] | None:
    """Degrees of freedom of the two halves of the null when one effect of several is left out.

    For structures other than ``"us"`` and ``"diag"`` of the whole term. Where its correlations
    have no meaning without its variance, or it has several variances, there are no such halves.
    """
    if bare(structure) in ("diag", "homdiag") or effects == 1:
        return 0, 1
    return (effects - 1, effects) if structure == "us" else None


def test_random(fit: Fit, simulations: int, seed: int) -> RandomTests:
    """See `Fit.test_random`."""
    if not isinstance(simulations, int) or simulations < 0:
        raise DataError(f"simulations={simulations!r}; 0 or more", code="unknown_option")
    rows = []
    for t, term in enumerate(fit.design.terms):
        if term.residual:
            continue
        names, null = fit.effect_names(term), null_of(term.structure, len(term.columns))
        if bare(term.structure) not in ("us", "diag"):
            name = f"{shared(names)} ({bare(term.structure)})"
            rows.append((term.label, name, *_row(fit, t, None, null, simulations, seed)))
            continue
        for j, name in enumerate(names):
            rows.append((term.label, name, *_row(fit, t, j, null, simulations, seed)))
    heads = ("group", "effect", "chisq", "df", "null", "p", "p ignoring", "p simulated")
    keys = ("group", "effect", "chisq", "df", "null", "p", "p_naive", "p_simulated")
    formats = ("text", "text", "ratio", "integer", "text", "p", "p", "p")
    columns = tuple(Column(h, f, k) for h, f, k in zip(heads, formats, keys, strict=True))  # type: ignore[arg-type]
    if not simulations:
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    kind = "restricted likelihoods" if fit.model.reml else "likelihoods"
    notes: tuple[str, ...]
    notes = ("'p ignoring' takes the chi-square of a parameter inside its range.",)
    if any(row[4] == _UNKNOWN for row in rows):
        notes += (_NO_NULL,)
    table = Table(f"Random effects left out, by {kind}", columns, tuple(rows), notes)
    return RandomTests(table, fit.design.frame_kind)


def _row(
    fit: Fit, t: int, j: int | None, null: tuple[int, int] | None, simulations: int, seed: int
) -> tuple[Any, ...]:
    start, end = fit.estimates.thetas[t]
    df = end - start if null is None else null[1]
    words = _UNKNOWN if null is None else f"mixture {null[0]}:{null[1]}"
    try:
        smaller = fit_to(fit, without(fit.design, t, j))
    except GlimmError:
        return math.nan, df, words, math.nan, math.nan, math.nan
    chisq = max(2 * (fit.loglik - smaller.loglik), 0.0)
    simulated = simulated_p(smaller, fit, chisq, simulations, seed) if simulations else math.nan
    tails = (math.nan, math.nan)
    if null is not None:
        tails = mixture_tail(chisq, *null), chi2_tail(chisq, df)
    return chisq, df, words, *tails, simulated


def fit_to(fit: Fit, design: Design) -> Fit:
    """Fit the model of a fit to another design."""
    problem = make_problem(fit.model, design)
    return Fit(fit.model, design, solve(problem, fit.model, design, progress=False), problem)


def simulated_p(smaller: Fit, larger: Fit, chisq: float, n: int, seed: int) -> float:
    """Share of responses simulated from the smaller fit with as large a statistic.

    (1 + count) / (1 + refits that converged), as the data themselves are one more draw.
    """
    ys = simulate(smaller, n, seed)
    one, other = refit_many(smaller, ys), refit_many(larger, ys)
    both = one.good & other.good
    draws = 2 * (other.loglik - one.loglik)[both]
    return float((1 + np.sum(draws >= chisq - 1e-9)) / (1 + draws.size))
