"""Do slopes of a covariate differ between groups, where the model has one for all?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..design import fixed_terms
from ..inference.freedom import f_tail

if TYPE_CHECKING:
    from ..design import DesignTerm
    from ..fit import Fit

Array = NDArray[np.float64]

_VARIES = 1e-8
_LEAST = 3
"""Groups in which a covariate must vary."""


@dataclass(frozen=True, slots=True)
class GroupSlopes:
    """A test that the slope of a covariate is the same in all groups.

    Parameters
    ----------
    name, group : str
    statistic : float
    df : tuple of float
        Groups in which the covariate varies; rows less two for each of them.
    p : float
    sd : float
        Standard deviation of the slopes between groups that the residuals suggest, link scale per
        unit of the covariate; 0 where they suggest none.
    """

    name: str
    group: str
    statistic: float
    df: tuple[int, int]
    p: float
    sd: float


def group_slopes(fit: Fit, z: Array, weights: Array) -> tuple[GroupSlopes, ...]:
    """Test for slopes that differ between groups, for every covariate that has no such term.

    With residuals z, independent and standard normal if the model holds (quantile residuals at
    posterior draws of the random effects), and v_i = sqrt(w_i) (x_i - mean of x in the group), the
    mean over groups of (sum z v)^2 / sum v^2 is held against the variance of z that group means and
    slopes leave: F. So a wrong variance of the family, which is another test's matter, is no sign.

    Parameters
    ----------
    z : ndarray, (n,)
    weights : ndarray, (n,)
        Working weights: the square of the change of z per unit of the linear predictor.
    """
    found = (_test(fit, z, weights, k, term) for term, k in candidates(fit, weights))
    return tuple(test for test in found if test is not None)


def candidates(fit: Fit, weights: Array) -> Iterator[tuple[DesignTerm, int]]:
    """Terms and columns kept (main effects) that vary within groups and have no slope there."""
    design = fit.design
    main = {j for term in fixed_terms(design) if len(term.factors) == 1 for j in term.columns}
    labels = list(dict.fromkeys(term.label for term in design.terms))
    for label in labels:
        mine = [term for term in design.terms if term.label == label]
        have = {name for term in mine for name in term.columns}
        for k, j in enumerate(fit.estimates.kept[0]):
            if j in main and design.x_names[j] not in have:
                v2 = _spread(design.x[:, j], weights, mine[0])[1]
                if np.count_nonzero(v2 > _VARIES * max(float(v2.max()), 1e-300)) >= _LEAST:
                    yield mine[0], k


def _spread(x: Array, weights: Array, term: DesignTerm) -> tuple[Array, Array]:
    """v of each row, and the sum of v^2 of each group."""
    levels = len(term.levels)
    total = np.bincount(term.codes, weights, levels)
    mean = np.bincount(term.codes, weights * x, levels) / np.where(total > 0, total, 1.0)
    v = np.sqrt(weights) * (x - mean[term.codes])
    square = np.bincount(term.codes, v**2, levels)
    scale = float(np.average(x**2, weights=weights)) * total
    return v, np.where(square > _VARIES * scale, square, 0.0)


def _test(fit: Fit, z: Array, weights: Array, k: int, term: DesignTerm) -> GroupSlopes | None:
    j, levels = fit.estimates.kept[0][k], len(term.levels)
    v, v2 = _spread(fit.design.x[:, j], weights, term)

    def sums(values: Array) -> Array:
        return np.bincount(term.codes, values, levels).astype(np.float64)

    count, good = sums(np.ones(z.size)), np.where(np.isfinite(z), z, 0.0)
    told = (v2 > _VARIES * float(v2.max())) & (count > 1)
    groups, rest = int(told.sum()), int(count[told].sum()) - 2 * int(told.sum())
    if rest < _LEAST:
        return None
    slope = sums(good * v)[told] ** 2 / v2[told]
    level = sums(good * np.sqrt(weights))[told] ** 2 / sums(weights)[told]
    left = float(np.sum(sums(good**2)[told] - slope - level)) / rest
    statistic = float(slope.mean()) / left
    variance = (float(slope.sum()) - groups * left) / float(v2[told].sum())
    p = f_tail(statistic, groups, float(rest))
    return GroupSlopes(fit.names[k], term.label, statistic, (groups, rest), p,
                       float(np.sqrt(max(variance, 0.0))))  # fmt: skip
