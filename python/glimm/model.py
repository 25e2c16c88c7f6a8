"""`fit`: from a formula and data to a Fit."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from .design import Design, build
from .errors import DataError, FitWarning
from .families import Family, choose
from .fit import Fit
from .formula import Formula, parse, parse_side
from .mixed import FamilyBy
from .penalty import Penalty
from .problem import make_problem, solve
from .relations import Relation
from .restrictions import is_random
from .suits import check_parts


@dataclass(frozen=True, slots=True)
class Model:
    """What was asked: no data, no estimates.

    Parameters
    ----------
    formula : Formula
    family : Family
    link : str
    missing : str
        ``"drop"`` or ``"error"``.
    threads : int, optional
        None uses all cores. Results do not depend on it.
    compress : bool, optional
        None merges equal rows and groups where that pays. Results do not depend on it.
    reml : bool
        Restricted maximum likelihood.
    engine : str
        ``"auto"``, ``"dense"``, ``"sparse"`` or ``"iterative"``.
    disp, zi : Formula, optional
        Formulas of the dispersion and of extra zeros.
    hold : tuple of (str, float)
        Parameters of the family that are held at a value.
    penalty : Penalty, optional
    integration : str
        ``"auto"``, ``"laplace"``, ``"agq:k"``, ``"exact"``, ``"importance:n"`` or ``"ep"``.
    random_hold, share : tuple of pairs
        Parameters of random effects that are held at a value, or equal another one.
    """

    formula: Formula
    family: Family
    link: str
    missing: str = "drop"
    threads: int | None = None
    compress: bool | None = None
    reml: bool = False
    engine: str = "auto"
    disp: Formula | None = None
    zi: Formula | None = None
    hold: tuple[tuple[str, float], ...] = ()
    penalty: Penalty | None = None
    integration: str = "auto"
    random_hold: tuple[tuple[str, float], ...] = ()
    share: tuple[tuple[str, str], ...] = ()

    @property
    def tied_names(self) -> frozenset[str]:
        """Names of random effects' parameters that are not estimated for themselves."""
        return frozenset(name for name, _ in self.random_hold) | {name for _, name in self.share}

    @property
    def held(self) -> dict[str, float]:
        """Parameters of the family that are held at a value."""
        return dict(self.hold)

    @property
    def core_name(self) -> Any:
        """The family as the core knows it."""
        if isinstance(self.family, FamilyBy):
            return self.family.core_name
        name, program = (self.family.name, self.link, self.zi is not None), self.family.program
        return name if program is None else (*name, program)

    @property
    def others(self) -> tuple[tuple[str, int, Formula], ...]:
        """Formulas besides that of the mean: name, number of the predictor, formula."""
        last = 1 + len(self.family.parameters)
        if isinstance(self.family, FamilyBy):
            side = parse_side(self.family.side)
            member = ("member", last - 1, side)
            return (("dispersion", 1, self.disp or side), member)[last == 2 :]
        disp = self.disp
        if self.formula.residual is not None:
            disp = parse_side(f"~ {self.formula.residual.columns}")
        found = (("dispersion", 1, disp), ("zi", last, self.zi))
        return tuple((name, k, side) for name, k, side in found if side is not None)


def fit(
    formula: str,
    data: Any,
    family: str | Family = "gaussian",
    *,
    link: str | None = None,
    zi: str | None = None,
    disp: str | None = None,
    hold: Mapping[str, float] | None = None,
    share: Sequence[tuple[str, str]] | None = None,
    penalty: Penalty | None = None,
    reml: bool | None = None,
    trials: str | ArrayLike | None = None,
    freq: str | ArrayLike | None = None,
    precision: str | ArrayLike | None = None,
    offset: str | ArrayLike | None = None,
    missing: str = "drop",
    threads: int | None = None,
    compress: bool | None = None,
    progress: bool | None = None,
    integration: str = "auto",
    engine: str = "auto",
    relations: Mapping[str, Relation] | None = None,
) -> Fit:
    """Fit a linear or generalized linear mixed model by (restricted) maximum likelihood.

    The marginal likelihood is integrated over the random effects by quadrature or draws until the
    error, which is measured and printed, is negligible (`integration`), and maximised jointly
    over fixed effects, covariances and dispersion with exact derivatives. For gaussian responses
    with the identity link it has a closed form; the fit then costs one pass over the rows, and is
    restricted (REML) unless told otherwise.

    Parameters
    ----------
    formula : str
        ``"y ~ x + (1 + x | group)"``. Fixed effects in the syntax of formulaic; random effects
        ``(1 | g)``, ``(1 + x | g)``, ``(x || g)``, ``(1 | a/b)``, ``(1 | a:b)``; ``offset(...)``.
        Responses: a column, ``cbind(successes, failures)`` or ``successes / trials``. For gaussian
        responses ``residual(0 + trait | record)`` is the covariance of the residuals of a record.
    data : frame
        A pandas or polars frame, a pyarrow Table, or a dict of columns, of n rows.
    family : str or Family
        See `families`. `FamilyBy` has a family for each level of a column, and `CustomFamily` one
        of your own.
    link : str, optional
        The family's usual one by default.
    zi : str, optional
        A formula for extra zeros, such as ``"~ 1"`` or ``"~ x + (1 | g)"``: with a probability p
        whose logit this is a response is zero, otherwise it comes from the family. With a family
        that has no zeros (truncated counts, gamma, lognormal, beta ...) this is a hurdle model.
    disp : str, optional
        A formula for the dispersion parameter of the family, on its scale (see `families`).
        Random effects of one group in several formulas are correlated when they share a label:
        ``(1 |a| g)`` here and there.
    hold : mapping of str to float, optional
        Parameters of the family besides the mean that are not estimated but held at a value, such
        as ``{"df": 4}`` or, with `FamilyBy`, ``{"sigma[weight]": 1}``; and parameters of random
        effects by the names that `Fit.confint` prints, on the scale printed, such as
        ``{"subject: sd[(Intercept)]": 1.5}``. They count as known: they have no standard errors
        and are no parameters of `Fit.aic`.
    share : sequence of (str, str), optional
        Pairs of such names: the second parameter equals the first, as in
        ``[("a: sd[(Intercept)]", "b: sd[(Intercept)]")]``. Fits with parameters of random effects
        that are held or shared are by maximum likelihood.
    penalty : Penalty, optional
        A weak prior density on coefficients or covariances, against separation and variances of
        zero. Estimates are then posterior modes, and `Fit.loglik` is the log-likelihood there.
    reml : bool, optional
        Restricted maximum likelihood: the coefficients of the mean are integrated out under a flat
        prior, with the random effects, which takes off the downward bias of variances by maximum
        likelihood; those of `zi` and `disp` stay parameters. By default for gaussian responses
        with the identity link and random effects, unless `engine` names one; for other families
        on request, by the Laplace approximation as in glmmTMB. Not with `penalty` or ordered
        classes. Likelihoods of two REML fits compare only when their fixed effects are the same.
    trials : str or array_like, (n,), optional
        Number of trials of a binomial response that counts successes.
    freq : str or array_like, (n,), optional
        How often each row occurs: a row of weight 2 is the row twice.
    precision : str or array_like, (n,), optional
        How precise each row is: the dispersion of a row of weight 2 is that of a mean of two
        observations (gaussian: variance sigma^2 / weight). For families whose dispersion is a
        parameter; the page of each says what it does there.
    offset : str or array_like, (n,), optional
        Added to the linear predictor, on the link scale.
    missing : str
        ``"drop"`` leaves rows with missing values out and reports them; ``"error"`` refuses them.
    threads : int, optional
        Number of threads; all cores by default. Results are the same bits for any number.
    compress : bool, optional
        Whether equal rows, and groups of equal rows, are merged before the fit; the likelihood
        stays the same, to rounding. By default where that makes a large problem smaller.
    progress : bool, optional
        Whether the progress of a fit of more than two seconds is shown on standard error. By
        default if that is a terminal or a notebook.
    integration : str
        How the integral over the random effects is taken. ``"auto"``: as exactly as is
        affordable, by adaptive quadrature for one grouping factor or nested ones (on a sample of
        the groups where there are very many) and by importance sampling for crossed ones.
        ``"laplace"``: one node. ``"agq:k"``: k Gauss-Hermite nodes per random effect.
        ``"exact"``: as auto, whatever it costs; for one grouping factor or nested ones.
        ``"importance:n"``: n draws, for crossed ones. ``"ep"``: expectation propagation corrected
        to second order, for crossed ones and known relations; auto takes it where draws would be
        too many. `Fit.certificate` states how wrong the result can be, whichever was asked for.
    engine : str
        Linear algebra for crossed and nested factors. ``"auto"`` predicts the cheapest: the largest
        factor is eliminated exactly, and the rest by a dense (``"dense"``) or everything by a
        sparse Cholesky factor (``"sparse"``), which agree to rounding. Where both would take too
        long, ``"iterative"`` solves by conjugate gradients and takes posterior variances from
        draws with a fixed seed: `Diagnostics.draws_se` and `Diagnostics.loglik_se` state the
        error, and standard errors are those of the average information.
    relations : mapping of str to Relation, optional
        Known relations among groups, by the names that the formulas use: with ``{"K":
        glimm.Relationship(matrix, labels)}`` the effects of ``(1 | line, known=K)`` have the
        covariance s^2 K.

    Returns
    -------
    Fit

    Raises
    ------
    FormulaError, DataError, FamilyError
        When the formula, the data or the family cannot be used, with the column, row or level.
    FitError
        When the likelihood has no value at any starting point, or the fit takes more memory than
        there is.
    KeyboardInterrupt
        Soon after Ctrl-C, wherever the fit is.

    Warns
    -----
    FitWarning
        Once, when the estimates cannot be taken at face value; `Fit.diagnostics` has the findings.

    References
    ----------
    Skaug, H. J. and Fournier, D. A. (2006). Automatic approximation of the marginal likelihood in
    non-Gaussian hierarchical models. Computational Statistics & Data Analysis 51, 699-709.

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("cbpp")
    >>> fit = glimm.fit("incidence / size ~ C(period) + (1 | herd)", data, family="binomial")
    >>> round(fit.loglik, 4)
    -91.9834
    """
    model, design = specify(
        formula, data, family, link=link, zi=zi, disp=disp, hold=hold, share=share,
        penalty=penalty, reml=reml, trials=trials, freq=freq, precision=precision, offset=offset,
        missing=missing, threads=threads, compress=compress, integration=integration,
        engine=engine, relations=relations,
    )  # fmt: skip
    result = fit_design(model, design, progress)
    _warn(result)
    return result


def specify(
    formula: str,
    data: Any,
    family: str | Family = "gaussian",
    *,
    link: str | None = None,
    zi: str | None = None,
    disp: str | None = None,
    hold: Mapping[str, float] | None = None,
    share: Sequence[tuple[str, str]] | None = None,
    penalty: Penalty | None = None,
    reml: bool | None = None,
    trials: str | ArrayLike | None = None,
    freq: str | ArrayLike | None = None,
    precision: str | ArrayLike | None = None,
    offset: str | ArrayLike | None = None,
    missing: str = "drop",
    threads: int | None = None,
    compress: bool | None = None,
    integration: str = "auto",
    engine: str = "auto",
    relations: Mapping[str, Relation] | None = None,
) -> tuple[Model, Design]:
    """Return what `fit` would maximise the likelihood of; its arguments and errors."""
    chosen, link = choose(family, link)
    parsed = parse(formula)
    disp_side, zi_side = (None if side is None else parse_side(side) for side in (disp, zi))
    if penalty is not None and not isinstance(penalty, Penalty):
        message = f"penalty is a {type(penalty).__name__}; it must be a glimm.Penalty"
        raise DataError(message, code="unknown_option")
    plain = engine == "auto" and disp is None and zi is None and penalty is None and not hold
    plain = plain and not share
    restricted = _restricted(
        reml, plain and chosen.name == "gaussian" and link == "identity", parsed
    )
    held = tuple((n, v) for n, v in (hold or {}).items() if not is_random(n))
    if isinstance(chosen, FamilyBy):
        chosen, held = chosen.holding(dict(held)), ()
    random_hold = tuple((n, float(v)) for n, v in (hold or {}).items() if is_random(n))
    shared = tuple((str(a), str(b)) for a, b in share or ())
    if reml and (random_hold or shared):
        message = "reml=True goes without parameters of random effects that are held or shared"
        raise DataError(f"{message}; leave it out for maximum likelihood", code="unknown_option")
    model = Model(
        parsed,
        chosen,
        link,
        missing,
        threads,
        compress,
        restricted,
        engine,
        disp_side,
        zi_side,
        held,
        penalty,
        integration,
        random_hold,
        shared,
    )
    check_parts(model, precision is not None)
    design = build(
        model.formula,
        data,
        family=chosen,
        trials=trials,
        freq=freq,
        offset=offset,
        precision=precision,
        others=model.others,
        relations=relations,
        missing=missing,
    )
    return model, design


def fit_design(model: Model, design: Design, progress: bool | None = None) -> Fit:
    """Fit a model to a design."""
    problem = make_problem(model, design)
    return Fit(model, design, solve(problem, model, design, progress=progress), problem)


def _restricted(reml: bool | None, linear: bool, formula: Formula) -> bool:
    """Whether to fit by restricted maximum likelihood."""
    if reml not in (None, True, False):
        raise DataError(f"reml={reml!r}; use True, False or None", code="unknown_option")
    return linear and bool(formula.random) if reml is None else bool(reml)


def _warn(fit: Fit) -> None:
    serious = [finding for finding in fit.diagnostics.findings if finding.serious]
    if serious:
        first = serious[0]
        more = f" ({len(serious) - 1} more in fit.diagnostics)" if len(serious) > 1 else ""
        text = f"{first.message} {first.remedy}{more} See docs/{first.anchor}."
        warnings.warn(text, FitWarning, stacklevel=3)
