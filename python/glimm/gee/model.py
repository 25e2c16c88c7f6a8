"""`gee`: from a formula and data to a GEEFit."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from ..design import Design, build
from ..errors import DataError, FamilyError, FitWarning, FormulaError, listed, nearest_first
from ..families import Family, choose
from ..formula import Formula, parse, parse_side
from ..mixed import FamilyBy
from .columns import weights_differ
from .covariance import COVARIANCES, FEW, FREEDOMS
from .fit import GEEFit
from .solve import FAMILIES, solve
from .working import Correlation, correlation


@dataclass(frozen=True, slots=True)
class GEEModel:
    """What was asked: no data, no estimates.

    Parameters
    ----------
    formula : Formula
    family : Family
    link : str
    groups : str
        What the clusters are called.
    corr : Correlation
    scale : float or Formula, optional
        A number it is held at, or the formula of its logarithm; None estimates one number.
    less : bool
        Whether moments are divided by their number less the number of coefficients.
    hold : tuple of (str, float)
    covariance, df : str
        As asked for, ``"auto"`` included.
    missing : str
    threads : int, optional
    """

    formula: Formula
    family: Family
    link: str
    groups: str
    corr: Correlation
    scale: float | Formula | None = None
    less: bool = False
    hold: tuple[tuple[str, float], ...] = ()
    covariance: str = "auto"
    df: str = "auto"
    missing: str = "drop"
    threads: int | None = None

    @property
    def core_name(self) -> tuple[Any, ...]:
        """The family as the core knows it."""
        return self.family.name, self.link, False


def gee(
    formula: str,
    data: Any,
    *,
    groups: str | ArrayLike,
    family: str | Family = "gaussian",
    link: str | None = None,
    corr: str | ArrayLike = "exchangeable",
    time: str | ArrayLike | None = None,
    subgroups: str | ArrayLike | None = None,
    corr_formula: str | None = None,
    corr_link: str = "atanh",
    scale: float | str | None = None,
    moments: str = "n",
    covariance: str = "auto",
    df: str = "auto",
    hold: Mapping[str, float] | None = None,
    trials: str | ArrayLike | None = None,
    freq: str | ArrayLike | None = None,
    precision: str | ArrayLike | None = None,
    weights: str | ArrayLike | None = None,
    offset: str | ArrayLike | None = None,
    missing: str = "drop",
    threads: int | None = None,
) -> GEEFit:
    """Estimate population-averaged effects by generalized estimating equations (GEE).

    The mean of each response follows the formula; nothing is assumed of the distribution but how
    the variance depends on the mean. Rows of a cluster may be correlated in any way: the estimates
    are consistent whatever the working correlation, which only makes them more precise the nearer
    it is to the truth, and the standard errors (robust, or "sandwich") allow for it being wrong.

    Parameters
    ----------
    formula : str
        ``"y ~ x + offset(log(t))"``, as in `glimm.fit` without random effects.
    data : frame
        A pandas or polars frame, a pyarrow Table, or a dict of columns, of n rows. Rows may stand
        in any order.
    groups : str or array_like, (n,)
        The cluster of each row; clusters are independent of each other.
    family : str or Family
        gaussian, binomial, poisson, gamma, inverse_gaussian, nbinom2 (with
        ``hold={"theta": ...}``), tweedie (with ``hold={"power": ...}``), beta or ordinal. Only its
        mean and variance function are used.
    link : str, optional
        The family's usual one by default.
    corr : str or array_like, (T, T)
        Working correlation: ``"independence"``, ``"exchangeable"``, ``"ar1"`` (alpha^distance in
        time, any spacing), ``"m_dependent:k"``, ``"toeplitz"``, ``"unstructured"``, ``"nested"``
        (with `subgroups`), or a fixed matrix for the T different times in their order. For ordinal
        responses also ``"local_odds"``: one local odds ratio of the classes of two rows (with
        `time`, margins of each two times), and ``"local_odds:times"``: one for each pair of times.
    time : str or array_like, (n,), optional
        When each row was seen: numbers. Needed where the correlation depends on it.
    subgroups : str or array_like, (n,), optional
        Groups within clusters, for ``corr="nested"``.
    corr_formula : str, optional
        In place of `corr`: a regression of the correlation on covariates of pairs of rows, of
        ``lag`` (distance in time), ``distance(x)``, ``same(x)`` and ``mean(x)`` of columns.
    corr_link : str
        ``"atanh"``: correlations are the hyperbolic tangent of the predictor; or ``"identity"``.
    scale : float or str, optional
        The scale phi, variance = phi v(mean): one number estimated by default (1 for ordinal), a
        number it is held at, or a formula of its logarithm such as ``"~ x"``.
    moments : str
        ``"n"``: sums of squares and products of residuals are divided by their number (geepack);
        ``"n-p"``: by that less the number of coefficients (Liang and Zeger; gee, statsmodels). Of
        correlations only where each is a mean over pairs: not ar1 and `corr_formula`.
    covariance : str
        ``"robust"``: the sandwich of Liang and Zeger; corrected for few clusters:
        ``"kauermann-carroll"``, ``"mancl-derouen"``, ``"fay-graubard"``, ``"morel"``,
        ``"jackknife-onestep"``, ``"jackknife"``; ``"model"``: as if the working correlation
        were true.
        ``"auto"``: robust from 40 clusters on, below them kauermann-carroll.
    df : str
        Of tests and intervals: ``"normal"``; t with ``"clusters"`` (their number less that of
        coefficients), ``"satterthwaite"``, ``"pan-wall"`` or ``"fay-graubard"`` degrees of freedom.
        ``"auto"``: normal from 40 clusters on, below them clusters.
    hold : mapping of str to float, optional
        Parameters of the family, such as ``{"theta": 2}``.
    trials : str or array_like, (n,), optional
        Number of trials of a binomial response that counts successes.
    freq : str or array_like, (n,), optional
        How often each cluster occurs; the same for all its rows. With ``corr="independence"``
        how often each row does.
    precision : str or array_like, (n,), optional
        The variance of a row is phi v(mean) / precision.
    weights : str or array_like, (n,), optional
        Sampling weights, or inverse probabilities of being observed (`glimm.dropout_weights`).
        Equations have W^(1/2) R^-1 W^(1/2) in place of R^-1, moments the weight of a row, or the
        root of the product of a pair's. Inverse probabilities of rows go with
        ``corr="independence"`` only.
    offset : str or array_like, (n,), optional
        Added to the linear predictor.
    missing : str
        ``"drop"`` leaves rows with missing values out and reports them; ``"error"`` refuses them.
    threads : int, optional
        All cores by default. Results are the same bits for any number.

    Returns
    -------
    GEEFit

    Raises
    ------
    FormulaError, DataError, FamilyError
        When the formula, the data or the family cannot be used.
    FitError
        When the equations have no solution, or a working correlation is not positive definite.

    Warns
    -----
    FitWarning
        When the equations were not solved, an uncorrected covariance is used with few clusters,
        or weights differ within clusters whose rows are taken for correlated.

    Notes
    -----
    Ordinal responses of K classes are K - 1 indicators of y <= k. Their covariance within a row is
    the multinomial one; the residuals made uncorrelated by it, component by component, have the
    working correlation among the rows of a cluster (Lipsitz, Kim and Zhao 1994). With
    independence this is the maximum-likelihood equation of the proportional-odds model. With local
    odds ratios the covariance of the indicators of two rows is that of the table of classes which
    has the fitted probabilities as margins and these odds ratios (Touloumis, Agresti and Kateri
    2013).

    References
    ----------
    Liang, K.-Y. and Zeger, S. L. (1986). Longitudinal data analysis using generalized linear
    models. Biometrika 73, 13-22.
    Lipsitz, S. R., Kim, K. and Zhao, L. (1994). Analysis of repeated categorical data using
    generalized estimating equations. Statistics in Medicine 13, 1149-1163.
    Touloumis, A., Agresti, A. and Kateri, M. (2013). GEE for multinomial responses using a local
    odds ratios parameterization. Biometrics 69, 633-640.

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("epilepsy")
    >>> fit = glimm.gee("seizures ~ treatment", data, groups="patient", family="poisson")
    >>> len(fit.names), fit.groups
    (2, {'patient': 59})
    """
    chosen, link = choose(family, link)
    if isinstance(chosen, FamilyBy):
        message = "an estimating equation has one mean and variance function for all rows"
        raise FamilyError(f"{message}; FamilyBy is for glimm.fit")
    parsed = _parsed(formula)
    working = correlation(corr, corr_formula, corr_link)
    model = GEEModel(
        parsed,
        chosen,
        link,
        groups if isinstance(groups, str) else "groups",
        working,
        _scale(scale, chosen),
        _less(moments),
        tuple((hold or {}).items()),
        _one_of("covariance", covariance, ("auto", *COVARIANCES)),
        _one_of("df", df, ("auto", *FREEDOMS)),
        missing,
        threads,
    )
    _check_family(model)
    if working.structure.core == "local_odds" and not chosen.ordered:
        message = f"corr={working.text!r} is of ordered classes; family {chosen.name!r} has none"
        raise DataError(message, code="unknown_option")
    extra = {"groups": groups, "time": time, "subgroups": subgroups, "weights": weights}
    extra |= {
        f"pair {name}": name for kind, name in working.terms if kind != "1" and name != "time"
    }
    _check_columns(working, extra)
    others = (("scale", 1, model.scale),) if isinstance(model.scale, Formula) else ()
    design = build(
        parsed,
        data,
        family=chosen,
        trials=trials,
        freq=freq,
        offset=offset,
        precision=precision,
        others=others,
        extra={name: column for name, column in extra.items() if column is not None},
        missing=missing,
    )
    result = fit_design(model, design)
    _warn(result)
    return result


def fit_design(model: GEEModel, design: Design) -> GEEFit:
    """Solve the equations of a model for a design."""
    problem, found = solve(model, design)
    return GEEFit(model, design, found, problem)


def _parsed(formula: str) -> Formula:
    parsed = parse(formula)
    if parsed.random:
        term = parsed.random[0].text
        start = parsed.text.find(term)
        message = "an estimating equation has no random effects; groups= names the clusters"
        allowed = "fixed effects, and glimm.fit for random effects"
        code = "formula_random_term"
        raise FormulaError(message, parsed.text, start, start + len(term), allowed, code=code)
    return parsed


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        names = listed(nearest_first(str(value), allowed))
        raise DataError(f"{name}={value!r}; use {names}", code="unknown_option")
    return value


def _less(moments: str) -> bool:
    return _one_of("moments", moments, ("n", "n-p")) == "n-p"


def _scale(scale: float | str | None, family: Family) -> float | Formula | None:
    if scale is None:
        return 1.0 if family.ordered else None
    if isinstance(scale, str):
        if family.ordered:
            message = "scale= is a formula, but ordered classes have the multinomial covariance"
            raise FamilyError(message)
        side = parse_side(scale)
        if side.random:
            message = "scale= has random effects; an estimating equation has none"
            raise DataError(message, code="unknown_option")
        return side
    if not scale > 0:
        raise DataError(f"scale={scale!r}; it must be above 0", code="unknown_option")
    return float(scale)


def _check_family(model: GEEModel) -> None:
    name = model.family.name
    if name not in FAMILIES:
        names = listed(nearest_first(name, FAMILIES))
        message = (
            f"family {name!r} has no variance function that follows from the mean; use {names}"
        )
        raise FamilyError(message)
    needed, held = FAMILIES[name], dict(model.hold)
    if needed is not None and set(held) != {needed}:
        message = f"family {name!r} of an estimating equation needs hold={{{needed!r}: value}}"
        raise FamilyError(message)
    if needed is None and held:
        raise FamilyError(f"hold= is given, but family {name!r} has no parameter to hold here")


def _check_columns(working: Correlation, extra: Mapping[str, Any]) -> None:
    """Refuse columns that are needed and not given, or given and not used."""
    uses_time = working.structure.time or ("distance", "time") in working.terms
    for name, used, why in (
        ("time", uses_time, "says when each row was seen; the order of the rows is never used"),
        ("subgroups", working.structure.subgroups, "says which rows of a cluster belong together"),
    ):
        if used and extra[name] is None:
            message = f"corr={working.text!r} needs {name}=, which {why}"
            raise DataError(message, code="unknown_option")
    if extra["subgroups"] is not None and not working.structure.subgroups:
        message = f"subgroups= goes with corr='nested', not with corr={working.text!r}"
        raise DataError(message, code="unknown_option")


def _warn(fit: GEEFit) -> None:
    if not fit.estimates.converged:
        text = (
            f"the equations were not solved after {fit.estimates.iterations} iterations (still "
            f"{fit.estimates.left:.2g} standard errors to go). Try corr='independence', and look "
            "for separation. See docs/troubleshooting.md#not_converged."
        )
        warnings.warn(text, FitWarning, stacklevel=3)
    if fit.model.corr.name != "independence" and weights_differ(fit):
        text = (
            "weights differ within clusters, and the correlation lets the weight of one row act on "
            "others: the estimates are biased where weights depend on the response, as inverse "
            "probabilities of being observed do. corr='independence' is right for those. See "
            "docs/troubleshooting.md#weights_within."
        )
        warnings.warn(text, FitWarning, stacklevel=3)
    plain = fit.covariance_used == "robust" or fit.df_used == "normal"
    if fit.estimates.converged and fit.clusters < FEW and plain:
        text = (
            f"with {fit.clusters:g} clusters the {fit.covariance_used} covariance with df="
            f"{fit.df_used!r} gives p-values that are too small. covariance='auto' and df='auto' "
            "correct for it. See docs/troubleshooting.md#few_clusters."
        )
        warnings.warn(text, FitWarning, stacklevel=3)
