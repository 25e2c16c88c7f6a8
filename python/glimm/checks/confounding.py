"""Whether covariates act alike within and between clusters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..design import fixed_terms
from ..errors import DataError, listed
from ..fit import Fit
from ..inference.boundary import chi2_tail
from ..inference.joint import linear_test
from ..problem import make_problem, solve
from ..tables import Column, Framed, Table, format_p

if TYPE_CHECKING:
    from ..design import DesignTerm

Array = NDArray[np.float64]

_VARIES = 1e-8
"""Part of a column's variance, within or between clusters, that counts as none."""


@dataclass(frozen=True, slots=True)
class Slopes:
    """One column of the model and its cluster means.

    Parameters
    ----------
    name, group : str
    within, between : float
        Slopes on the link scale of the column itself and of its cluster means.
    within_se, between_se : float
    difference : float
        Between less within: the coefficient of the means.
    difference_se, p : float
        Wald, with the degrees of freedom of `Fit.test`.
    """

    name: str
    group: str
    within: float
    within_se: float
    between: float
    between_se: float
    difference: float
    difference_se: float
    p: float

    @property
    def words(self) -> str:
        """The finding in a line."""
        return (
            f"{self.name}: slope {self.between:.3g} between, {self.within:.3g} within {self.group} "
            f"(difference {self.difference:.2g}, SE {self.difference_se:.2g})"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Confounding(Framed):
    """A test of within- against between-cluster slopes; made by `glimm.checks.confounding`.

    Parameters
    ----------
    slopes : tuple of Slopes
        Empty where no covariate varies both within and between clusters.
    statistic, p : float
        Of all differences together; NaN where there are none.
    df : float
        Number of differences.
    null : str
        The distribution that the statistic was held against.
    fit : Fit
        The model with the cluster means.
    """

    slopes: tuple[Slopes, ...]
    statistic: float
    df: int
    p: float
    null: str
    fit: Fit

    @property
    def frame_kind(self) -> Any:
        """The kind of frame that the fit was given."""
        return self.fit.design.frame_kind

    @property
    def words(self) -> str:
        """The finding in a sentence."""
        if not self.slopes:
            return "No covariate varies both within and between clusters: nothing to confound."
        worst = min(self.slopes, key=lambda s: s.p)
        if self.p < 0.05:
            return f"Slopes differ within and between clusters: {worst.words}."
        return f"Slopes agree within and between clusters (p {format_p(self.p)})."

    @property
    def table(self) -> Table:
        """The slopes, as they are printed."""
        columns = (
            Column("covariate", key="name"), Column("clusters", key="group"),
            Column("within", "number"), Column("SE", "number", "within_se"),
            Column("between", "number"), Column("SE", "number", "between_se"),
            Column("difference", "number"), Column("p", "p"),
        )  # fmt: skip
        rows = tuple(
            (s.name, s.group, s.within, s.within_se, s.between, s.between_se, s.difference, s.p)
            for s in self.slopes
        )
        notes = [self.words]
        if self.slopes:
            notes.append(f"Joint test: {self.null}, statistic {self.statistic:.3g}, "
                         f"p {format_p(self.p)}.")  # fmt: skip
        return Table("Slopes within and between clusters", columns, rows, tuple(notes))


def confounding(fit: Fit, group: str | None = None) -> Confounding:
    """Test whether covariates have the same slope within clusters as between them.

    The mean of each covariate over each cluster joins the model. Its coefficient is the slope
    between clusters less that within. A random-effects model takes both as one; where they differ,
    its slope is a mixture of the two, and that within clusters is the one free of whatever
    distinguishes clusters.

    Parameters
    ----------
    fit : Fit
        With random effects.
    group : str, optional
        One grouping; all by default.

    Returns
    -------
    Confounding

    Raises
    ------
    DataError
        For a group that the fit does not have, or a fit without groups.

    References
    ----------
    Mundlak, Y. (1978). On the pooling of time series and cross section data. Econometrica 46,
    69-85. Neuhaus, J. M. and Kalbfleisch, J. D. (1998). Between- and within-cluster covariate
    effects in the analysis of clustered data. Biometrics 54, 638-645.

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("toenail")
    >>> fit = glimm.fit("infection ~ treatment + month + (1 | patient)", data, family="binomial")
    >>> [s.name for s in glimm.checks.confounding(fit).slopes]
    ['month']
    """
    labels = list(dict.fromkeys(term.label for term in fit.design.terms if not term.also))
    if not labels or (group is not None and group not in labels):
        message = f"group={group!r}; the fit has {listed(labels) if labels else 'no groups'}"
        raise DataError(message, code="unknown_option")
    found = [pair for pair in _means(fit) if group in (None, pair[1])]
    if not found:
        return Confounding((), np.nan, 0, np.nan, "none", fit)
    larger, places = _larger(fit, found)
    kept = [(pair, at) for pair, at in zip(found, places, strict=True) if at is not None]
    if not kept:
        return Confounding((), np.nan, 0, np.nan, "none", fit)
    slopes = tuple(_slopes(fit, larger, j, label, at) for (j, label, _), at in kept)
    statistic, p, null = _joint(fit, larger, [at for _, at in kept])
    return Confounding(slopes, statistic, len(kept), p, null, larger)


def _means(fit: Fit) -> Iterator[tuple[int, str, Array]]:
    """(Column kept, group, cluster means by row) of main effects that vary within and between."""
    design = fit.design
    freq = np.ones(design.n) if design.freq is None else design.freq
    main = {j for term in fixed_terms(design) if len(term.factors) == 1 for j in term.columns}
    seen: set[str] = set()
    for term in design.terms:
        if term.label in seen or term.also:
            continue
        seen.add(term.label)
        for k, j in enumerate(fit.estimates.kept[0]):
            if j in main:
                x = design.x[:, j]
                mean = _by_level(x, term, freq)
                total = np.average((x - np.average(x, weights=freq)) ** 2, weights=freq)
                within = np.average((x - mean) ** 2, weights=freq)
                if min(within, total - within) > _VARIES * total:
                    yield k, term.label, mean


def _by_level(x: Array, term: DesignTerm, freq: Array) -> Array:
    count = np.bincount(term.codes, freq, len(term.levels))
    sums = np.bincount(term.codes, freq * x, len(term.levels))
    found: Array = (sums / np.where(count > 0, count, 1.0))[term.codes]
    return found


def _larger(fit: Fit, found: list[tuple[int, str, Array]]) -> tuple[Fit, list[int | None]]:
    """The fit with the means, and the places of their coefficients; None where they are aliased."""
    design, kept = fit.design, list(fit.estimates.kept[0])
    names = tuple(f"mean of {fit.names[k]} over {label}" for k, label, _ in found)
    x = np.column_stack([design.x[:, kept], *(mean for *_, mean in found)])
    made = replace(design, x=np.asfortranarray(x), x_names=(*fit.names, *names))
    model = replace(fit.model, compress=False)
    problem = make_problem(model, made)
    larger = Fit(model, made, solve(problem, model, made, progress=False), problem)
    at = {name: j for j, name in enumerate(larger.names)}
    return larger, [at.get(name) for name in names]


def _slopes(fit: Fit, larger: Fit, k: int, label: str, at: int) -> Slopes:
    own = larger.names.index(fit.names[k])
    b, v = larger.estimates.parameters, larger.vcov()
    both = v[own, own] + v[at, at] + 2 * v[own, at]
    row = np.eye(len(larger.names))[[at]]
    p = linear_test(larger, row, "auto", "model").tests[0].p
    return Slopes(
        fit.names[k], label, float(b[own]), float(np.sqrt(v[own, own])), float(b[own] + b[at]),
        float(np.sqrt(both)), float(b[at]), float(np.sqrt(v[at, at])), p,
    )  # fmt: skip


def _joint(fit: Fit, larger: Fit, at: list[int]) -> tuple[float, float, str]:
    """Likelihood ratio; after REML, whose likelihoods do not compare, a Wald F."""
    if fit.model.reml or fit.model.penalty is not None:
        test = linear_test(larger, np.eye(len(larger.names))[at], "auto", "model").tests[0]
        shape = f"F({len(at)}, {test.df:.3g})" if np.isfinite(test.df) else f"chi-square {len(at)}"
        return test.statistic, test.p, f"Wald, {shape}"
    chisq = max(2 * (larger.loglik - fit.loglik), 0.0)
    return chisq, chi2_tail(chisq, len(at)), f"likelihood ratio, chi-square {len(at)}"
