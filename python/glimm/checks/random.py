"""Checks of the random effects themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .base import Check
from .distribution import anderson_darling, anderson_darling_p
from .residuals import Residuals
from .study import Source, Test, one

Array = NDArray[np.float64]
Said = tuple[float, str, Mapping[str, Any]]

_FEW = 8
"""Levels below which a distribution shows nothing."""


def _columns(r: Residuals) -> Iterator[tuple[str, Array]]:
    """Effects drawn, one name at a time, standard normal under the model."""
    fit = r.fit
    if r.effects is None or not r.effects.spherical:
        message = "a check of random effects needs a fit that has some, and residuals drawn at them"
        raise DataError(message, code="no_residuals")
    for term, u, factor in zip(fit.design.terms, r.effects.spherical, fit.factors, strict=True):
        sds = np.sqrt(np.sum(factor**2, axis=1))
        b = u @ factor.T
        if len(u) < _FEW:
            continue
        for j, name in enumerate(fit.effect_names(term)):
            if sds[j] > 0:
                yield f"{term.label} {name}", b[:, j] / sds[j]


def normality_test() -> Test:
    """Return the test of `normality`."""

    def distances(r: Residuals) -> dict[str, float]:
        from scipy.special import ndtr

        return {
            name: anderson_darling(np.clip(ndtr(b), 1e-300, 1 - 2**-53)) for name, b in _columns(r)
        }

    def statistic(r: Residuals) -> float:
        return max(distances(r).values(), default=math.nan)

    def p(r: Residuals, t: float) -> float:
        count = len(distances(r))
        return 1 - (1 - anderson_darling_p(t)) ** count if count else math.nan

    def describe(r: Residuals, t: float, draws: Array) -> Said:
        found = distances(r)
        if not found:
            return math.nan, f"fewer than {_FEW} levels, or no variance", {}
        name = max(found, key=lambda key: found[key])
        b = dict(_columns(r))[name]
        skewness, tails = float(np.mean(b**3)), float(np.mean(b**4) - 3)
        words = f"furthest: {name}, skewness {skewness:.2f}, excess kurtosis {tails:.2f}"
        return skewness, words, {"distances": found, "kurtosis": tails}

    return Test("normal random effects", statistic, describe, p=p)


def normality(source: Source, *, null: str = "auto", n: int = 199, seed: int = 0) -> Check:
    """Check whether the random effects are normal.

    Effects are drawn given the responses: under the model such draws are normal and independent
    among levels exactly, which modes are not. They stay near normal where levels have few rows, so
    that little is seen then. The statistic is the largest Anderson-Darling distance of any column.

    Parameters
    ----------
    source : Fit, Residuals or Study
    null, n, seed
        As in `glimm.checks.study`.

    Returns
    -------
    Check
        Its effect is the skewness of the column furthest from normal.

    Raises
    ------
    DataError
        For a model without random effects.

    References
    ----------
    Waagepetersen, R. (2006). A simulation-based goodness-of-fit test for random effects in
    generalized linear mixed models. Scand. J. Stat. 33, 721-731.

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("sleepstudy")
    >>> fit = glimm.fit("reaction ~ days + (1 | subject)", data)
    >>> glimm.checks.normality(fit, n=39).p > 0.001
    True
    """
    return one(source, normality_test(), null, n, seed)
