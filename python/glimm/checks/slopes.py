"""Whether slopes of covariates differ between groups where the model has one for all."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..design import fixed_terms
from ..errors import DataError, listed
from ..fit import Fit
from ..inference.freedom import f_tail
from .base import Check
from .leverage import working_weights
from .residuals import Residuals
from .study import Source, Test, one, study

if TYPE_CHECKING:
    from ..design import DesignTerm

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

_VARIES = 1e-8
_LEAST = 3
"""Groups in which a covariate must vary, and rows left to judge by."""


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums by group for one covariate: (sum z v)^2 / sum v^2 and what else z varies."""

    slope: float
    v2: float
    left: float
    groups: int
    rest: int

    @property
    def ratio(self) -> float:
        """Mean over groups against the variance that is left: F."""
        return self.slope / self.groups / self.left

    @property
    def sd(self) -> float:
        """Standard deviation of the slopes that the excess suggests, by moments."""
        return math.sqrt(max(self.slope - self.groups * self.left, 0.0) / self.v2)


def slopes(
    source: Source, group: str | None = None, *, null: str = "auto", n: int = 199, seed: int = 0
) -> Check:
    """Check whether slopes of covariates differ between groups where the model has one for all.

    For each covariate that varies within groups and has no random slope there, with residuals z,
    independent and standard normal if the model holds, and v_i = sqrt(w_i) (x_i - mean of x in the
    group), w the working weights, the mean over groups of (sum z v)^2 / sum v^2 is held against the
    variance of z that group means and slopes leave: F. So a wrong variance of the family, which is
    another check's matter, is no sign. The statistic is -log10 of the smallest p of all covariates.

    Parameters
    ----------
    source : Fit or Study
    group : str, optional
        A grouping of the fit; the only or first one by default.
    null, n, seed
        As in `glimm.checks.study`.

    Returns
    -------
    Check
        Its effect is the standard deviation of the slopes that the residuals suggest, link scale;
        `details` has the covariate and the group.

    Raises
    ------
    DataError
        When there is no such group, or no covariate to test.

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("sleepstudy")
    >>> fit = glimm.fit("reaction ~ days + (1 | subject)", data)
    >>> found = glimm.checks.slopes(fit, n=39)
    >>> found.details["covariate"], found.p < 0.001, round(found.effect)
    ('days', True, 6)
    """
    made = study(source, null=null, n=n, seed=seed)
    fit = made.residuals.fit
    if not isinstance(fit, Fit):
        message = "slopes of groups are checked for fits with random effects"
        raise DataError(message, code="no_residuals")
    labels = list(dict.fromkeys(term.label for term in fit.design.terms))
    if not labels or (group is not None and group not in labels):
        message = f"group={group!r}; the fit has {listed(labels) if labels else 'no groups'}"
        raise DataError(message, code="unknown_option")
    return one(made, slopes_test(fit, group or labels[0]), null, n, seed)


def slopes_test(fit: Fit, group: str) -> Test:
    """Return the test of `slopes`."""
    # The change of z per unit of the linear predictor is the root of a single row's weight.
    freq = 1.0 if fit.design.freq is None else fit.design.freq
    weights = working_weights(fit) / freq
    term = next(term for term in fit.design.terms if term.label == group)
    columns = dict(_candidates(fit, weights, group))
    if not columns:
        message = f"no covariate varies within {group} and has no slope there"
        raise DataError(message, code="no_residuals")

    def sums(r: Residuals) -> dict[str, _Sums]:
        codes, w = term.codes[r.rows], weights[r.rows]
        return {
            name: _sums(x[r.rows], r.normal, w, codes, len(term.levels))
            for name, x in columns.items()
        }

    def best(r: Residuals) -> tuple[str, float]:
        tails = {k: f_tail(s.ratio, s.groups, float(s.rest)) for k, s in sums(r).items()}
        name = min(tails, key=lambda k: tails[k])
        return name, tails[name]

    def statistic(r: Residuals) -> float:
        return -math.log10(max(best(r)[1], 1e-300))

    def p(r: Residuals, t: float) -> float:
        return float(1 - (1 - 10.0**-t) ** len(columns)) if t < 8 else len(columns) * 10.0**-t

    def describe(r: Residuals, t: float, draws: Array) -> tuple[float, str, dict[str, Any]]:
        name = best(r)[0]
        sd = sums(r)[name].sd
        words = f"slopes of {name} differ by a standard deviation of about {sd:.2g}"
        return sd, words, {"covariate": name, "group": group}

    return Test(f"slopes of {group}", statistic, describe, p=p)


def _candidates(fit: Fit, weights: Array, group: str) -> Iterator[tuple[str, Array]]:
    """Columns kept (main effects) that vary within groups and have no slope there."""
    design = fit.design
    main = {j for term in fixed_terms(design) if len(term.factors) == 1 for j in term.columns}
    mine = [term for term in design.terms if term.label == group]
    have = {name for term in mine for name in term.columns}
    for k, j in enumerate(fit.estimates.kept[0]):
        if j in main and design.x_names[j] not in have and _told(design.x[:, j], weights, mine[0]):
            yield fit.names[k], design.x[:, j]


def _told(x: Array, weights: Array, term: DesignTerm) -> bool:
    """Whether enough groups have rows from which a slope can be told."""
    found = _sums(x, np.zeros(x.size), weights, term.codes, len(term.levels))
    return found.groups >= _LEAST and found.rest >= _LEAST


def _sums(x: Array, z: Array, weights: Array, codes: Codes, levels: int) -> _Sums:
    def total(values: Array) -> Array:
        return np.bincount(codes, values, levels).astype(np.float64)

    z = np.where(np.isfinite(z), z, 0.0)
    mass, count = total(weights), np.bincount(codes, minlength=levels)
    mean = total(weights * x) / np.where(mass > 0, mass, 1.0)
    v = np.sqrt(weights) * (x - mean[codes])
    v2 = total(v**2)
    scale = float(np.average(x**2, weights=weights)) * mass
    told = (v2 > _VARIES * scale) & (v2 > _VARIES * float(v2.max(initial=0.0))) & (count > 1)
    groups = int(told.sum())
    rest = int(count[told].sum()) - 2 * groups
    if groups == 0 or rest <= 0:
        return _Sums(0.0, 1.0, 1.0, groups, rest)
    slope = total(z * v)[told] ** 2 / v2[told]
    level = total(z * np.sqrt(weights))[told] ** 2 / mass[told]
    left = float(np.sum(total(z**2)[told] - slope - level)) / rest
    return _Sums(float(slope.sum()), float(v2[told].sum()), max(left, 1e-300), groups, rest)
