"""Likelihood-ratio tests of nested fits.

Where several variances are zero under the null, the statistic is distributed like a mixture of
chi-squares whose weights depend on the data. Those of odd and of even degrees of freedom sum to one
half each (Shapiro 1988, Int. Statistical Review 56, 49-62), so that its tail is at most half
that of r - 1 and half that of r degrees of freedom, r the number of parameters added.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..structures import bare, constants
from .boundary import chi2_tail, mixture_tail, null_of

if TYPE_CHECKING:
    from ..design import DesignTerm
    from ..fit import Fit

# What a term is, whatever the order of its columns.
_Effects = tuple[str, str, frozenset[tuple[int, str]]]


@dataclass(frozen=True, slots=True)
class Ratio:
    """A likelihood-ratio test.

    Attributes
    ----------
    chisq : float
        Twice the difference of the log-likelihoods.
    df : int
        Parameters that the larger fit has more.
    null : str
        ``"chi-square"``, ``"mixture a:b"`` (half a chi-square of a and half one of b degrees of
        freedom), ``"at most mixture a:b"`` (several variances at once), or ``"unknown"``:
        parameters without meaning under the null, to be had by simulation.
    p : float
        An upper bound where the null says "at most", NaN where it is not known.
    """

    chisq: float
    df: int
    null: str
    p: float


def lrt(small: Fit, large: Fit) -> Ratio | None:
    """Test a fit against a larger one; None where it is not nested in it.

    Both are of the same responses.
    """
    df = large.df_model - small.df_model
    if df <= 0 or not _alike(small, large) or not _fixed_nested(small, large):
        return None
    random = _random_null(small, large)
    if random is None:
        return None
    chisq = max(2 * (large.loglik - small.loglik), 0.0)
    fixed = len(large.names) - len(small.names) + _other(large) - _other(small)
    if random == "equal":
        return Ratio(chisq, df, "chi-square", chi2_tail(chisq, df))
    if isinstance(random, str):
        if random == "several":
            p = mixture_tail(chisq, df - 1, df)
            return Ratio(chisq, df, f"at most mixture {df - 1}:{df}", p)
        inside = random == "inside"
        return Ratio(chisq, df, "chi-square" if inside else "unknown",
                     chi2_tail(chisq, df) if inside else math.nan)  # fmt: skip
    low, high = (d + fixed for d in random)
    return Ratio(chisq, df, f"mixture {low}:{high}", mixture_tail(chisq, low, high))


def _alike(small: Fit, large: Fit) -> bool:
    one, other = small.model, large.model
    return (
        one.family == other.family
        and one.link == other.link
        and one.reml == other.reml
        and one.integration == other.integration
        and one.held == other.held
        and (one.penalty is None) == (other.penalty is None)
    )


def _fixed_nested(small: Fit, large: Fit) -> bool:
    def names(fit: Fit) -> dict[str, set[str]]:
        return {part.part: set(part.names) for part in fit.parts}

    one, other = names(small), names(large)
    return all(part in other and own <= other[part] for part, own in one.items())


def _other(fit: Fit) -> int:
    return sum(len(part.names) for part in fit.parts[1:])


def _effects(term: DesignTerm) -> _Effects:
    columns = frozenset(zip(term.predictors, term.columns, strict=True))
    if term.structure == "rr":
        return term.label + term.named, "rr(2)", columns
    return term.label + term.named, term.structure if len(columns) > 1 else "us", columns


def _random_null(small: Fit, large: Fit) -> str | tuple[int, int] | None:
    """How the random effects differ.

    "equal"; "inside" where correlations alone are added; the halves of the mixture for one effect;
    "several" variances; "unknown"; None where they are not nested.
    """
    one = Counter(_effects(term) for term in small.design.terms)
    other = Counter(_effects(term) for term in large.design.terms)
    less, more = list((one - other).elements()), list((other - one).elements())
    if not less and not more:
        return "equal"
    if any(not any(_within(a, b) for b in more) for a in less):
        return None
    gained = _count(more) - _count(less)
    if gained == 0:
        # A rank of the covariance is an end of its range.
        return "unknown" if any(bare(a[1]) == "rr" for a in less) else "inside"
    if gained == 1 and len(more) == 1 and len(less) <= 1:
        _, structure, columns = more[0]
        plain = structure in ("us", "diag")
        if plain and (not less or less[0][1] == structure or len(less[0][2]) == 1):
            return null_of(structure, len(columns)) or "several"
    if not less and len(more) == 1 and more[0][1] == "homdiag":
        return 0, 1
    plain = all(bare(effects[1]) in ("us", "diag", "homdiag") for effects in (*less, *more))
    return "several" if plain else "unknown"


def _count(effects: list[_Effects]) -> int:
    return sum(len(columns) for _, _, columns in effects)


def _within(a: _Effects, b: _Effects) -> bool:
    """Whether the covariances of `a` are among those of `b`."""
    if a[0] != b[0] or not a[2] <= b[2]:
        return False
    if a[2] == b[2]:
        if bare(a[1]) == bare(b[1]) == "rr":
            return bool(constants(a[1])[0] <= constants(b[1])[0])
        return a[1] == b[1] or b[1] in _RICHER.get(bare(a[1]), ())
    # Variances of zero leave effects out, where each effect has its own.
    return b[1] == "us" or b[1] in ("diag", "cs") and (a[1] == b[1] or len(a[2]) == 1)


# Structures whose correlations and variances, inside their range, contain those of another.
_RICHER = {
    "homdiag": ("diag", "ar1", "homcs", "homtoep", "cs", "hetar1", "toep", "us"),
    "diag": ("cs", "hetar1", "toep", "us"),
    "ar1": ("hetar1", "homtoep", "toep", "us"),
    "homcs": ("cs", "homtoep", "toep", "us"),
    "homtoep": ("toep", "us"),
    "cs": ("toep", "us"),
    "hetar1": ("toep", "us"),
    "toep": ("us",),
    "ou": ("us",),
    "rr": ("us",),
}
