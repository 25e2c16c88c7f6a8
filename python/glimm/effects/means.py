"""Marginal means: the expected response at values of some covariates, averaged over the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..confidence import level_checked
from ..errors import DataError
from ..fit import one_of
from .grid import (
    At,
    Grid,
    Names,
    Settings,
    at_values,
    base_grid,
    check_covariate,
    combinations,
    is_factor,
    levels,
    names_of,
)
from .infer import LINKED, Errors, errors, mean_intervals, reach_of
from .result import Effects
from .values import Values, check_scale, effect_of, evaluate, linked, stacked, unlinked
from .words import averaged, estimand, held_words, scale_words

if TYPE_CHECKING:
    from ..fit import Fit

AVERAGES = ("link", "response")


def means(
    fit: Fit,
    over: Names = None,
    *,
    by: Names = None,
    at: At = None,
    grid: str = "balanced",
    effect: str | None = None,
    scale: str = "response",
    average: str | None = None,
    offset: float | None = None,
    level: float = 0.95,
    df: str = "auto",
) -> Effects:
    """Estimate mean responses at values of some covariates, averaged over the others.

    Parameters
    ----------
    fit : Fit or GEEFit
    over : str or sequence of str, optional
        Covariates that are set to each of their values: all levels of a factor; the values of a
        number that has few, otherwise its quartiles; those in `at` where given.
    by : str or sequence of str, optional
        Covariates within whose values to average: with ``grid="data"`` the rows that have them;
        otherwise as `over`.
    at : mapping of str to value or sequence of values, optional
        Values at which covariates are set; several make a mean each.
    grid : str
        What is averaged over. ``"balanced"``: all combinations of the other factors, equally, as
        in a designed study; numbers at their means. ``"data"``: the rows of the fit with the
        covariates set in each of them, so that the mean is that of the sample's mixture.
        ``"typical"``: nothing; factors at their most frequent level.
    effect : str
        ``"subject"``, the default of a `Fit`: for a typical level of the groups, random effects at
        zero. ``"population"``: averaged over the random effects, integrated exactly; what a
        `GEEFit` estimates directly, with its robust covariance.
    scale : str
        ``"response"`` or ``"link"``.
    average : str, optional
        ``"link"``: linear predictors are averaged, then transformed back: estimated marginal
        means. ``"response"``: responses are averaged. By default on the link for subject-specific
        means over a balanced grid, otherwise on the response.
    offset : float, optional
        Replaces what was given as ``offset=`` to the fit; by default its mean, with
        ``grid="data"`` each row's own.
    level : float
        Of the intervals. Those of probabilities and of positive means are taken on the scale of
        the link and transformed back.
    df : str
        ``"normal"``, ``"satterthwaite"``, ``"kenward-roger"`` (gaussian mixed models), or
        ``"auto"``, as in `Fit.summary`; of a `GEEFit` as in `glimm.gee`.

    Returns
    -------
    Effects

    Raises
    ------
    DataError
        For covariates that are not in the fit and options that are not known.

    References
    ----------
    Searle, S. R., Speed, F. M. and Milliken, G. A. (1980). Population marginal means in the linear
    model: an alternative to least squares means. American Statistician 34, 216-221.

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("cbpp")
    >>> fit = glimm.fit("incidence / size ~ C(period) + (1 | herd)", data, family="binomial")
    >>> found = glimm.means(fit, "period", effect="population")
    >>> found.estimate.round(3).tolist()
    [0.216, 0.097, 0.086, 0.057]
    """
    level_checked(level)
    check_scale(scale)
    effect = effect_of(fit, effect)
    over_, by_, at_ = names_of(over), names_of(by), dict(at or {})
    check_names(fit, over_, by_, at_)
    average = average_of(fit, average, effect, grid)
    cells, base = cells_of(fit, over_, by_, at_, grid, offset)
    values = stacked([_mean(fit, g, s, effect, average) for g, s in cells])
    labels = labels_of([{**s, **{n: g.columns[n][0] for n in by_ if n not in s}} for g, s in cells])
    found = errors(fit, values, df)
    reach = reach_of(level, found.df)
    single = {n: at_values(v)[0] for n, v in at_.items() if len(at_values(v)) == 1}
    for name in single:
        if name not in (*over_, *by_):
            labels.pop(name, None)
    facts = [("Estimand", estimand(fit, effect)), ("Scale", scale_words(fit, scale))]
    facts.append(("Averaged", averaged(fit, base, average, by_ if grid == "data" else ())))
    facts += held_words(fit, base, {n: v for n, v in single.items() if n not in (*over_, *by_)})
    return _result(fit, values, found, reach, labels, facts, average, scale, level)


def _mean(fit: Fit, grid: Grid, settings: Settings, effect: str, average: str) -> Values:
    """The weighted mean of one cell, on the scale on which it is averaged."""
    return evaluate(fit, grid, settings, effect, average).mean(grid.weights)


def _result(
    fit: Fit, values: Values, found: Errors, reach: Any, labels: dict[str, list[Any]],
    facts: list[tuple[str, str]], average: str, scale: str, level: float,
) -> Effects:  # fmt: skip
    """Means on the scale asked for, with intervals taken on the scale that suits them."""
    shown, lower, upper = values, values.value - reach * found.se, values.value + reach * found.se
    how = "on the scale shown"
    if scale == "response" and average == "link":
        shown, ends = unlinked(fit, values), [unlinked(fit, Values(e, values.jacobian)).value
                                              for e in (lower, upper)]  # fmt: skip
        lower, upper = np.minimum(*ends), np.maximum(*ends)
        how = f"on the {fit.model.link} scale, transformed back" if _bends(fit) else how
    elif scale == "link" and average == "response":
        shown = linked(fit, values)
    elif scale == "response":
        lower, upper = mean_intervals(fit, values, found, reach)
        how = (
            f"on the {fit.model.link} scale, transformed back" if fit.model.link in LINKED else how
        )
    final = found if shown is values else errors_of(fit, shown, found)
    if scale == "link" and average == "response":
        lower, upper = shown.value - reach * final.se, shown.value + reach * final.se
    facts = [*facts, ("Intervals", f"{100 * level:g} %, {found.source}; {how}")]
    nothing = np.full(shown.value.size, np.nan)
    return Effects("means", labels, shown.value, final.se, found.df, nothing, nothing, lower, upper,
                   final.covariance, tuple(facts), fit)  # fmt: skip


def errors_of(fit: Fit, values: Values, like: Errors) -> Errors:
    """Return errors of transformed values; degrees of freedom stay."""
    if fit.model.link == "identity":  # nothing was transformed
        return like
    return Errors(errors(fit, values, "normal").covariance, like.df, like.source)


def _bends(fit: Fit) -> bool:
    return fit.model.link != "identity"


def check_names(fit: Fit, over: tuple[str, ...], by: tuple[str, ...], at: dict[str, Any]) -> None:
    """Raise a DataError unless all are covariates, none in two places."""
    for what, names in (("over=", over), ("by=", by), ("at=", tuple(at))):
        check_covariate(fit, names, what)
    twice = sorted(set(over) & set(by))
    if twice:
        raise DataError(f"{twice[0]!r} is in both over= and by=", code="unknown_option")


def average_of(fit: Fit, average: str | None, effect: str, grid: str) -> str:
    """Return the scale on which cells are averaged."""
    if average is None:
        return "link" if effect == "subject" and grid != "data" else "response"
    one_of("average", average, AVERAGES)
    if average == "link" and effect == "population" and fit.design.terms:
        message = (
            "average='link' averages linear predictors, which a mean over random effects has not; "
            "use average='response', or effect='subject'"
        )
        raise DataError(message, code="unknown_option")
    return average


def cells_of(
    fit: Fit,
    over: tuple[str, ...],
    by: tuple[str, ...],
    at: dict[str, Any],
    kind: str,
    offset: float | None,
) -> tuple[list[tuple[Grid, Settings]], Grid]:
    """Return each mean's grid with what is set in it, and the grid before."""
    setting = (*(n for n in by if kind != "data"), *over, *(n for n in at if n not in over + by))
    base = base_grid(fit, kind, setting, offset)
    chosen = combinations(fit, setting, at)
    if kind != "data" or not by:
        return [(base, s) for s in chosen], base
    parts = split(fit, base, by)
    return [(part, s) for part in parts for s in chosen], base


def split(fit: Fit, grid: Grid, by: tuple[str, ...]) -> list[Grid]:
    """Return the rows of a grid by the values of some of its columns, in the order of levels."""
    codes = np.zeros(grid.rows, dtype=np.int64)
    for name in by:
        values = grid.columns[name]
        known = levels(fit, name) if is_factor(fit, name) else np.unique(values).tolist()
        place = {value: i for i, value in enumerate(known)}
        codes = codes * len(known) + np.array([place[value] for value in values.tolist()])
    return [grid.where(codes == code) for code in np.unique(codes)]


def labels_of(cells: list[Settings]) -> dict[str, list[Any]]:
    """Return what was set, column by column."""
    plain = [
        {k: v.item() if isinstance(v, np.generic) else v for k, v in cell.items()} for cell in cells
    ]
    return {name: [cell[name] for cell in plain] for name in (plain[0] if plain else ())}
