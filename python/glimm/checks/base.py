"""What a check says, and p-values from a null distribution that was simulated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..tables import Column, Framed, Table, format_p

Array = NDArray[np.float64]

_ENOUGH = 5
"""Simulations beyond the observed value from which their share is a p-value good enough."""


@dataclass(frozen=True, slots=True)
class Check(Framed):
    """The answer of one check.

    Attributes
    ----------
    name : str
        What was checked: ``"uniformity"``, ``"dispersion"``.
    statistic : float
        On the scale that its check states.
    p : float
        Two-sided unless the check says otherwise; NaN where the statistic has no null.
    effect : float
        How large the departure is, in units that `words` state.
    words : str
        The effect in words: "variance 8 % above the model's".
    null : str
        Where the p-value comes from.
    details : mapping
        Further numbers, by name.
    """

    name: str
    statistic: float
    p: float
    effect: float
    words: str
    null: str
    details: Mapping[str, Any] = field(default_factory=dict)
    frame_kind: Any = "dict"

    @property
    def table(self) -> Table:
        """The check as a table of one row."""
        columns = (
            Column("check"),
            Column("statistic", "ratio"),
            Column("p", "p"),
            Column("effect", "ratio"),
            Column("in words", "text", "words"),
        )
        row = (self.name, self.statistic, self.p, self.effect, self.words)
        return Table("", columns, (row,), (f"p: {self.null}",))

    def __str__(self) -> str:
        p = "no p-value" if math.isnan(self.p) else f"p {format_p(self.p).strip()}"
        return f"{self.name}: {self.words} ({p}; {self.null})"


def p_two_sided(observed: float, draws: Array) -> float:
    """Return the p-value of a statistic that is near normal under the null.

    The share of draws that lie as far from their mean, which holds whatever the distribution.
    Where fewer than five do, Student's t with one degree of freedom less than draws (the observed
    value is one draw more), at most the share that five would make.

    Parameters
    ----------
    observed : float
    draws : ndarray, (n,)
        The statistic of simulated data; values that are not finite are left out.

    Examples
    --------
    >>> import numpy as np
    >>> draws = np.random.default_rng(1).normal(size=199)
    >>> p_two_sided(0.0, draws) > 0.9, p_two_sided(5.0, draws) < 1e-4
    (True, True)
    """
    known = draws[np.isfinite(draws)]
    if known.size < 2 or not math.isfinite(observed):
        return math.nan
    # The observed value is one of them under the null; equal up to rounding counts as equal.
    center = (float(known.sum()) + observed) / (1 + known.size)
    slack = 1e-9 * max(1e-300, float(np.abs(known - center).max()))
    beyond = int(np.sum(np.abs(known - center) >= abs(observed - center) - slack))
    share = (1 + beyond) / (1 + known.size)
    spread = float(known.std(ddof=1)) * math.sqrt(1 + 1 / known.size)
    if beyond >= _ENOUGH or spread == 0:
        return share
    from scipy.stats import t

    most = _ENOUGH / (1 + known.size)
    distance = abs(observed - float(known.mean())) / spread
    return min(most, 2 * float(t.sf(distance, known.size - 1)))


def p_upper(observed: float, draws: Array) -> float:
    """Return the p-value of a statistic whose large values speak against the null.

    The share of draws that are as large, which holds whatever the distribution. Where fewer than
    five are, the tail goes on beyond the fifth largest like that of an exponential distribution
    with the mean excess of the upper quarter, which suits chi-squares and Anderson-Darling's.

    Examples
    --------
    >>> import numpy as np
    >>> draws = np.random.default_rng(1).exponential(size=199)
    >>> p_upper(0.0, draws), 1e-4 < p_upper(7.0, draws) < 0.01
    (1.0, True)
    """
    known = np.sort(draws[np.isfinite(draws)])
    if known.size < 2 * _ENOUGH or not math.isfinite(observed):
        return math.nan
    slack = 1e-9 * max(1e-300, abs(float(known[-1])))
    beyond = int(np.sum(known >= observed - slack))
    share = (1 + beyond) / (1 + known.size)
    if beyond >= _ENOUGH:
        return share
    top = known[known.size - known.size // 4 :]
    scale = float(np.mean(top - top[0]))
    if scale <= 0:
        return share
    beyond_five = observed - float(known[-_ENOUGH])
    return _ENOUGH / (1 + known.size) * math.exp(-beyond_five / scale)


def percent(ratio: float) -> str:
    """Return a ratio as a change in words.

    Examples
    --------
    >>> percent(1.08), percent(0.5), percent(3.2), percent(1.001)
    ('8 % above', '50 % below', '3.2 times', 'equal to')
    """
    if ratio >= 2:
        return f"{ratio:.2g} times"
    change = round(100 * (ratio - 1))
    if change == 0:
        return "equal to"
    return f"{abs(change)} % {'above' if change > 0 else 'below'}"
