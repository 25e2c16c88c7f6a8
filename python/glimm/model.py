"""`fit`: from a formula and data to a Fit."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from .design import Design, build
from .errors import FitWarning
from .families import Family, choose
from .fit import Fit
from .formula import Formula, parse
from .problem import make_problem, solve


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
    engine : str
        ``"auto"``, ``"dense"``, ``"sparse"`` or ``"iterative"``.
    """

    formula: Formula
    family: Family
    link: str
    missing: str = "drop"
    threads: int | None = None
    engine: str = "auto"


def fit(
    formula: str,
    data: Any,
    family: str | Family = "gaussian",
    *,
    link: str | None = None,
    trials: str | ArrayLike | None = None,
    freq: str | ArrayLike | None = None,
    offset: str | ArrayLike | None = None,
    missing: str = "drop",
    threads: int | None = None,
    engine: str = "auto",
) -> Fit:
    """Fit a generalized linear mixed model by maximum likelihood.

    The marginal likelihood is integrated over the random effects by the Laplace approximation with
    the observed information (exact for gaussian responses with the identity link), and maximised
    jointly over fixed effects, covariances and dispersion with exact derivatives.

    Parameters
    ----------
    formula : str
        ``"y ~ x + (1 + x | group)"``. Fixed effects in the syntax of formulaic; random effects
        ``(1 | g)``, ``(1 + x | g)``, ``(x || g)``, ``(1 | a/b)``, ``(1 | a:b)``; ``offset(...)``.
        Responses: a column, ``cbind(successes, failures)`` or ``successes / trials``.
    data : frame
        A pandas or polars frame, a pyarrow Table, or a dict of columns, of n rows.
    family : str or Family
        See `families`.
    link : str, optional
        The family's usual one by default.
    trials : str or array_like, (n,), optional
        Number of trials of a binomial response that counts successes.
    freq : str or array_like, (n,), optional
        How often each row occurs: a row of weight 2 is the row twice.
    offset : str or array_like, (n,), optional
        Added to the linear predictor, on the link scale.
    missing : str
        ``"drop"`` leaves rows with missing values out and reports them; ``"error"`` refuses them.
    threads : int, optional
        Number of threads; all cores by default. Results are the same bits for any number.
    engine : str
        Linear algebra for crossed and nested factors. ``"auto"`` predicts the cheapest: the largest
        factor is eliminated exactly, and the rest by a dense (``"dense"``) or everything by a
        sparse Cholesky factor (``"sparse"``), which agree to rounding. Where both would take too
        long, ``"iterative"`` solves by conjugate gradients and takes posterior variances from
        draws with a fixed seed: `Diagnostics.draws_se` and `Diagnostics.loglik_se` state the
        error, and standard errors are those of the average information.

    Returns
    -------
    Fit

    Raises
    ------
    FormulaError, DataError, FamilyError
        When the formula, the data or the family cannot be used, with the column, row or level.
    FitError
        When the likelihood has no value at any starting point.

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
    -92.0263
    """
    chosen, link = choose(family, link)
    model = Model(parse(formula), chosen, link, missing, threads, engine)
    design = build(
        model.formula,
        data,
        family=chosen,
        trials=trials,
        freq=freq,
        offset=offset,
        missing=missing,
    )
    result = fit_design(model, design)
    _warn(result)
    return result


def fit_design(model: Model, design: Design) -> Fit:
    """Fit a model to a design."""
    problem = make_problem(model, design)
    return Fit(model, design, solve(problem, model, design), problem)


def _warn(fit: Fit) -> None:
    serious = [finding for finding in fit.diagnostics.findings if finding.serious]
    if serious:
        first = serious[0]
        more = f" ({len(serious) - 1} more in fit.diagnostics)" if len(serious) > 1 else ""
        text = f"{first.message} {first.remedy}{more} See docs/{first.anchor}."
        warnings.warn(text, FitWarning, stacklevel=3)
