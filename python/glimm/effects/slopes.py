"""Slopes: derivatives of mean responses in a numeric covariate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..confidence import level_checked
from ..errors import DataError
from .comparisons import TYPES, tested
from .grid import (
    At,
    Grid,
    Names,
    Settings,
    at_values,
    base_grid,
    combinations,
    covariates,
    is_factor,
    names_of,
)
from .means import check_names, labels_of, split
from .result import Effects
from .values import Values, check_scale, effect_of, evaluate, stacked
from .words import averaged, estimand, held_words, scale_words

if TYPE_CHECKING:
    from ..fit import Fit

Array = NDArray[np.float64]
_STEP = 1e-4
"""Half the width of a difference, in standard deviations of the covariate: the error is of the
second order in it, and rounding of 1e-16 over it."""


def slopes(
    fit: Fit,
    variable: str,
    *,
    by: Names = None,
    at: At = None,
    grid: str = "balanced",
    effect: str | None = None,
    scale: str = "response",
    offset: float | None = None,
    level: float = 0.95,
    df: str = "auto",
) -> Effects:
    """Estimate slopes: how fast mean responses change with a numeric covariate.

    Derivatives are central differences of the formula applied to new values, so that splines,
    polynomials, interactions and transformations are included, averaged over the rows.

    Parameters
    ----------
    fit : Fit or GEEFit
    variable : str
        A numeric covariate.
    by, at, grid, effect, offset, level, df
        As in `means`. Values of the variable in `at` give a slope at each.
    scale : str
        ``"response"`` or ``"link"``, per unit of the variable.

    Returns
    -------
    Effects

    Raises
    ------
    DataError
        When the variable is a factor, and for options that are not known.

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("sleepstudy")
    >>> fit = glimm.fit("reaction ~ days + (1 + days | subject)", data)
    >>> glimm.slopes(fit, "days").estimate.round(3).tolist()
    [10.467]
    """
    level_checked(level)
    check_scale(scale)
    effect = effect_of(fit, effect)
    by_, at_ = names_of(by), dict(at or {})
    check_names(fit, (variable,), by_, at_)
    if is_factor(fit, variable):
        message = f"{variable!r} is a factor and has no slope; use comparisons()"
        raise DataError(message, code="unknown_option")
    setting = (*(n for n in by_ if grid != "data"), *(n for n in at_ if n not in by_))
    base = base_grid(fit, grid, setting, offset)
    parts = split(fit, base, by_) if grid == "data" and by_ else [base]
    cells = [(part, s) for part in parts for s in combinations(fit, setting, at_)]
    values = stacked([_slope(fit, g, s, variable, effect, scale) for g, s in cells])
    labels = labels_of([{**{n: g.columns[n][0] for n in by_ if n not in s}, **s} for g, s in cells])
    labels = labels or {"variable": [variable] * len(cells)}
    single = {n: at_values(v)[0] for n, v in at_.items() if len(at_values(v)) == 1}
    within = by_ if grid == "data" else ()
    facts = [("Estimand", estimand(fit, effect)),
             ("Scale", f"{scale_words(fit, scale)} per unit of {variable}"),
             ("Averaged", averaged(fit, base, "response", within))]  # fmt: skip
    facts += held_words(fit, base, {n: v for n, v in single.items() if n not in (*by_, variable)})
    families = np.arange(len(cells)) * 0
    return tested(fit, "slopes", values, labels, families, facts, TYPES["difference"], "none", 2,
                  level, df)  # fmt: skip


def _slope(
    fit: Fit, grid: Grid, settings: Settings, variable: str, effect: str, scale: str
) -> Values:
    """The weighted mean of (f(x + h) - f(x - h)) / 2h over the rows."""
    own = covariates(fit)[variable].values.astype(np.float64)
    h = _STEP * float(own.std() or 1.0)
    x = settings.get(variable, grid.columns[variable])
    x = np.broadcast_to(np.asarray(x, dtype=np.float64), (grid.rows,))
    low, high = own.min() + h, own.max() - h
    # At the ends of the data splines have no value outside: the difference is taken next to them.
    x = np.where((x >= low - h) & (x <= high + h), np.clip(x, low, high), x)
    up, down = (
        evaluate(fit, grid, {**settings, variable: x + sign * h}, effect, scale).mean(grid.weights)
        for sign in (1, -1)
    )
    return Values((up.value - down.value) / (2 * h), (up.jacobian - down.jacobian) / (2 * h))
