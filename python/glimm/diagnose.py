"""What a fit should tell its reader besides its estimates: typed findings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .certificate import SMALL
from .errors import CODES, listed
from .mixed import FamilyBy
from .structures import bare, least_eigenvalue

if TYPE_CHECKING:
    from .design import DesignTerm, Drop
    from .fit import Fit
    from .problem import Estimates

Array = NDArray[np.float64]

_ZERO_SD = 1e-4
"""A random effect moves no row by more than this part of one unit of the linear predictor."""
_ONE_CORR = 1e-6
"""Smallest eigenvalue of a correlation matrix that counts as zero."""
_NOISY = 0.05
"""Monte Carlo error, in standard errors, that a reader should know of."""
_FEW = 5
_NO_ZEROS = math.log(1e-4)
_WITHOUT_UNITS = frozenset({"log", "logit", "probit", "cloglog", "loglog", "cauchit"})
_SERIOUS = frozenset({"not_converged", "separation", "unidentified", "integral_bias"})


@dataclass(frozen=True, slots=True)
class Finding:
    """Something the reader of a fit should know.

    Parameters
    ----------
    code : str
        A row of `glimm.errors.CODES`.
    message : str
        What was found and where.
    remedy : str
        The smallest change that helps.
    """

    code: str
    message: str
    remedy: str

    @property
    def anchor(self) -> str:
        """Address of the explanation, relative to the root of the docs."""
        return CODES[self.code].anchor

    @property
    def serious(self) -> bool:
        """Whether some estimates cannot be taken at face value."""
        return self.code in _SERIOUS


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """How a fit went.

    Parameters
    ----------
    converged : bool
    reason : str
        Why the climb ended.
    loglik_left : float
        Log-likelihood still to gain by the quadratic model at the end, in nats.
    se_moved : float
        Distance to the maximum in standard errors; what Newton's method leaves, where the last step
        over many rows was taken without an evaluation.
    singular : tuple of str
        Terms whose covariance is on the boundary.
    aliased : tuple of str
        Fixed effects left out because others, or the intercept, already say the same.
    dropped : tuple of Drop
        Rows left out, with the reason, their number and the first of them.
    findings : tuple of Finding
    iterations, evaluations : int
        Steps taken; evaluations of the log-likelihood with its derivatives.
    passes : float
        Evaluations of all rows, the unit of cost.
    path : str
        ``"lmm"`` (closed form), ``"glm"`` (no random effects), ``"block"`` (one grouping factor),
        or the engine for several, or for REML: ``"dense"``, ``"sparse"`` or ``"iterative"``; see
        `glimm.fit`.
    threads : int
    draws_se : float
        Of an iterative engine: the largest error of an estimate due to its draws, in standard
        errors; zero when exact.
    loglik_se : float
        Of an iterative engine: the standard error of the log-likelihood; zero when exact.
    compression : str, optional
        Rows and what they were merged to, when the data were compressed.
    """

    converged: bool
    reason: str
    loglik_left: float
    se_moved: float
    singular: tuple[str, ...]
    aliased: tuple[str, ...]
    dropped: tuple[Drop, ...]
    findings: tuple[Finding, ...]
    iterations: int
    evaluations: int
    passes: float
    path: str
    threads: int
    draws_se: float
    loglik_se: float
    compression: str | None = None


def diagnose(fit: Fit) -> Diagnostics:
    """Collect what is known of how a fit went."""
    e = fit.estimates
    singular = tuple(
        term.label
        for term, covariance in zip(fit.design.terms, fit.covariances, strict=True)
        if _is_singular(fit, term, covariance)
    )
    aliased = tuple(name for name, _ in _aliased(fit))
    return Diagnostics(
        converged=e.converged,
        reason=e.reason,
        loglik_left=e.loglik_left,
        se_moved=e.se_moved,
        singular=singular,
        aliased=aliased,
        dropped=fit.design.dropped,
        findings=tuple(_findings(fit, singular)),
        iterations=e.iterations,
        evaluations=e.evaluations,
        passes=e.passes,
        path=e.path,
        threads=e.threads,
        compression=_compression(e),
        draws_se=e.draws_se,
        loglik_se=e.loglik_se,
    )


def _compression(e: Estimates) -> str | None:
    if e.compressed_rows is None:
        return None
    rows, left = e.compressed_rows
    groups, distinct = e.compressed_groups or (0, 0)
    if distinct < groups:
        return f"{rows:,} rows -> {distinct:,} distinct groups, exact"
    return f"{rows:,} rows -> {left:,} distinct rows, exact"


def _findings(fit: Fit, singular: tuple[str, ...]) -> Iterator[Finding]:
    runaway = "runaway" in fit.estimates.identified[len(fit.names) :]
    if not fit.estimates.converged and runaway:
        yield Finding(
            "not_converged",
            "The likelihood has no maximum: a coefficient of the extra zeros runs to infinity, so "
            "that their probability is 0 in some rows or 1 in others.",
            "Simplify zi=, or leave it out; penalty=glimm.Penalty() keeps coefficients finite.",
        )
    elif not fit.estimates.converged:
        yield Finding(
            "not_converged",
            f"The maximum was not reached: {fit.estimates.reason}; an estimated "
            f"{fit.estimates.loglik_left:.2g} nats are left.",
            "Simplify the random effects, or look for columns on very different scales.",
        )
    if fit.estimates.draws_se > _NOISY:
        yield Finding(
            "monte_carlo",
            f"The draws of the iterative engine leave estimates uncertain by up to "
            f"{fit.estimates.draws_se:.2g} of their standard errors.",
            "engine='dense' or 'sparse' is exact, if there is time and memory for it.",
        )
    yield from _integral(fit)
    yield from _separation(fit)
    yield from _unidentified(fit)
    for name, reason in _aliased(fit):
        said = "is constant" if reason == "constant" else "is a combination of other columns"
        message = f"Column {name!r} {said} and was left out."
        yield Finding("aliased", message, "Its effect is part of theirs; leave it out.")
    for label in singular:
        yield Finding(
            "singular",
            f"The covariance of the effects of {label!r} is on the boundary: a variance is 0 or a "
            "correlation is -1 or 1.",
            "The other estimates and their errors hold; a simpler term fits as well.",
        )
    yield from _dispersion(fit)
    yield from _zeros(fit)
    for term in fit.design.terms:
        yield from _levels(fit, term)
    for drop in fit.design.dropped:
        yield Finding("rows_dropped", f"{drop}.", "missing='error' refuses such data.")


def _better(fit: Fit) -> str:
    """Name the ways of integration that are worth a try."""
    ways = ("auto", "exact") if fit.estimates.path == "block" else ("auto", "ep")
    return " or ".join(f"integration={way!r}" for way in ways if way != fit.model.integration)


def _integral(fit: Fit) -> Iterator[Finding]:
    """An integral over the random effects that is too wrong, or not known to be right."""
    found = fit.certificate
    if not found.measured:
        yield Finding(
            "integral_unknown",
            "How far the Laplace approximation of the integral over the random effects is from the "
            "truth is not known for this model.",
            "It is good where every level has many rows or large counts, and poor for binary rows "
            "in small groups. integration='ep' looks, whatever it costs.",
        )
    elif found.worst > SMALL:
        worst = int(np.nanargmax(np.abs(found.bias) + 2 * found.bias_se))
        yield Finding(
            "integral_bias",
            f"The integral over the random effects ({fit.model.integration}) is too coarse: "
            f"estimates are off by up to {found.worst:.2g} of their standard errors "
            f"({fit.parameter_names[worst]}).",
            f"{_better(fit)} removes that error.",
        )
    if found.runaway:
        yield Finding(
            "laplace_runaway",
            "The Laplace approximation alone has its maximum far from that of the likelihood, "
            f"which it misstates by {abs(found.laplace_error):.2g} nats at these estimates.",
            "None: this fit went on by quadrature from its start. Programs without quadrature "
            "will report something else.",
        )


def _aliased(fit: Fit) -> Iterator[tuple[str, str]]:
    """Columns left out and why; those of other parts than the mean say so."""
    known = {part.predictor: part for part in fit.design.parts}
    for k, j, why in fit.estimates.aliased:
        yield (f"{known[k].name}: {known[k].x_names[j]}" if k else fit.design.x_names[j]), why


def _separation(fit: Fit) -> Iterator[Finding]:
    states = fit.estimates.identified[: len(fit.names)]
    names = [name for name, state in zip(fit.names, states, strict=True) if state == "runaway"]
    if names:
        yield Finding(
            "separation",
            f"The data predict the response perfectly (separation) along {listed(names)}; the "
            "likelihood rises for ever there, so estimate and standard error have no meaning.",
            "Merge the levels concerned, leave the column out, or give penalty=glimm.Penalty().",
        )


def _unidentified(fit: Fit) -> Iterator[Finding]:
    states = zip(fit.parameter_names, fit.estimates.identified, strict=True)
    names = [name for name, state in states if state == "no"]
    if names:
        yield Finding(
            "unidentified",
            f"The likelihood is flat in {listed(names)}: the data do not tell these parameters.",
            "Their standard errors are NaN; simplify the model.",
        )


_VARIES = "The response hardly varies around its mean; look at the data."
# Family and parameter: the end of the range that says something, and what it says.
_ENDS: dict[tuple[str, str], tuple[str, float, str]] = {
    ("nbinom2", "theta"): ("above", 1e6, "poisson"),
    ("nbinom1", "phi"): ("below", 1e-6, "poisson"),
    ("truncated_nbinom2", "theta"): ("above", 1e6, "truncated_poisson"),
    ("truncated_nbinom1", "phi"): ("below", 1e-6, "truncated_poisson"),
    ("betabinomial", "phi"): ("above", 1e6, "binomial"),
    ("student_t", "df"): ("above", 1e4, "gaussian"),
    ("gamma", "cv"): ("below", 1e-6, ""),
    ("inverse_gaussian", "phi"): ("below", 1e-12, ""),
    ("tweedie", "phi"): ("below", 1e-12, ""),
    ("beta", "phi"): ("above", 1e12, ""),
}


def _dispersion(fit: Fit) -> Iterator[Finding]:
    for name, value in ((fit.dispersion or {}) | fit.shape).items():
        family, held = fit.model.family.name, set(fit.model.held)
        own = name
        if isinstance(fit.model.family, FamilyBy):
            member = next(m for m in fit.model.family.members if m.label == name)
            family, own, held = (
                member.family.name,
                name.partition("[")[0],
                set(dict(fit.model.family.held)),
            )
        side, end, simpler = _ENDS.get((family, own), ("above", math.inf, ""))
        if name in held or not (value > end if side == "above" else value < end):
            continue
        remedy = (
            f"Family {simpler!r} says the same with one parameter less." if simpler else _VARIES
        )
        message = f"{name} is {value:.3g}, the end of its range."
        yield Finding("boundary_dispersion", message, remedy)


def _zeros(fit: Fit) -> Iterator[Finding]:
    """Zero inflation that the data do not ask for."""
    if fit.model.zi is None:
        return
    part = fit.part("zi")
    if part.names == ("(Intercept)",) and part.estimates[0] < _NO_ZEROS:
        yield Finding(
            "no_extra_zeros",
            f"The probability of an extra zero is estimated at {math.exp(part.estimates[0]):.1g}: "
            f"family {fit.model.family.name!r} has all the zeros there are.",
            "Leave zi= out: the fit says the same with one parameter less.",
        )


def _levels(fit: Fit, term: DesignTerm) -> Iterator[Finding]:
    levels = len(term.levels) if not term.tied else len(np.unique(term.codes))
    if levels < _FEW:
        yield Finding(
            "few_levels",
            f"{term.label!r} has {levels} levels: their variance is hardly known.",
            "Consider the levels as a fixed effect.",
        )
    alone = levels == fit.design.n and "(Intercept)" in term.columns and not term.tied
    if alone and not _rows_carry_variance(fit):
        yield Finding(
            "one_row_per_level",
            f"Every level of {term.label!r} has one row: its variance cannot be told from the "
            "variation of single observations.",
            "Leave the term out, or use a grouping with repeated rows.",
        )


def _rows_carry_variance(fit: Fit) -> bool:
    """Whether the family fixes the variance of single rows, so that extra variance can be seen."""
    name, family = fit.model.family.name, fit.model.family
    many_trials = fit.design.trials is not None and bool((fit.design.trials > 1).any())
    if family.program is not None and not family.trials:
        return not family.parameters
    return name in ("poisson", "truncated_poisson") or (family.trials and many_trials)


def _units(fit: Fit, term: DesignTerm) -> Array | float:
    """The size of a notable change of the mean's linear predictor, by column of a term."""
    family, codes, z = fit.model.family, None, term.z != 0
    if fit.residual_covariance is not None:
        own = next(t for t in fit.design.terms if t.residual)
        rows = np.sqrt(own.z @ np.diag(fit.residual_covariance))
    elif isinstance(family, FamilyBy):
        codes = fit.design.parts[-1].offset
        assert codes is not None
        eta = np.abs(fit.predict(scale="link"))
        each = [
            _unit_of_member(fit, code, eta[codes == code]) for code in range(len(family.members))
        ]
        rows = np.array(each)[codes.astype(np.int64)]
    else:
        return _unit(fit)
    return np.asarray(np.min(np.where(z, rows[:, None], np.inf), axis=0))


def _unit_of_member(fit: Fit, code: int, eta: Array) -> float:
    """The same in the rows of one of several families."""
    assert isinstance(fit.model.family, FamilyBy)
    member = fit.model.family.members[code]
    if member.family.name == "gaussian" and member.link == "identity":
        return (fit.dispersion or {}).get(str(member.label), 1.0)
    return 1.0 if member.link in _WITHOUT_UNITS else float(eta.mean())


def _unit(fit: Fit) -> float:
    """The size of a notable change of the mean's linear predictor."""
    if fit.model.family.name == "gaussian" and fit.model.link == "identity":
        return (fit.dispersion or {}).get("sigma", 1.0)
    if fit.model.link in _WITHOUT_UNITS:
        return 1.0
    return float(np.abs(fit.predict(scale="link")).mean())


def _is_singular(fit: Fit, term: DesignTerm, covariance: Array) -> bool:
    sd = np.sqrt(np.diag(covariance))
    size = np.sqrt(sum(np.einsum("ij,ij->j", z, z) / len(z) for _, z in term.memberships))
    mean = np.array(term.predictors) == 0
    if bool((sd * size < _ZERO_SD * np.where(mean, _units(fit, term), 1.0)).any()):
        return True
    if bare(term.structure) == "rr" and len(sd) > 1:
        # Of lower rank by intent.
        return False
    correlation = covariance / np.outer(sd, sd)
    return least_eigenvalue(term.structure, correlation) < _ONE_CORR
