"""Comparisons of mean responses between values of one covariate."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..confidence import level_checked
from ..errors import DataError
from ..fit import one_of
from ..inference.contrasts import JOINT_METHODS, adjusted
from .grid import (
    At,
    Grid,
    Names,
    Settings,
    at_values,
    base_grid,
    combinations,
    is_factor,
    names_of,
    values_at,
)
from .infer import errors
from .means import average_of, check_names, labels_of, split
from .result import Effects
from .values import Values, check_scale, effect_of, evaluate, stacked, unlinked
from .words import averaged, estimand, held_words, scale_words, shown

if TYPE_CHECKING:
    from ..fit import Fit

Array = NDArray[np.float64]
CONTRASTS = ("pairwise", "reference", "sequential")
_WORDS = {"pairwise": "all pairs", "reference": "each with the first", "sequential": "neighbours"}


@dataclass(frozen=True, slots=True)
class Type:
    """A comparison of two means: a difference of what `transform` makes of them.

    `transform` returns the transformed value and its derivative; `back` undoes a difference.
    """

    sign: str
    transform: Callable[[Array], tuple[Array, Array]]
    back: Callable[[Array], Array]
    null: float


TYPES = {
    "difference": Type("-", lambda v: (v, np.ones_like(v)), lambda d: d, 0.0),
    "ratio": Type("/", lambda v: (np.log(v), 1 / v), np.exp, 1.0),
    "odds ratio": Type("/", lambda v: (np.log(v) - np.log1p(-v), 1 / (v * (1 - v))), np.exp, 1.0),
}


def comparisons(
    fit: Fit,
    variable: str,
    *,
    contrast: str | float | None = None,
    type: str = "difference",
    by: Names = None,
    at: At = None,
    grid: str = "balanced",
    effect: str | None = None,
    scale: str = "response",
    average: str | None = None,
    adjust: str = "none",
    offset: float | None = None,
    level: float = 0.95,
    df: str = "auto",
) -> Effects:
    """Compare mean responses between values of a covariate, the others the same.

    Parameters
    ----------
    fit : Fit or GEEFit
    variable : str
        The covariate that is set to different values.
    contrast : str or float, optional
        ``"pairwise"``: all pairs, the first less the second. ``"reference"``: each value less the
        first. ``"sequential"``: each less the one before. A number: so many units more, from the
        values in the grid on. By default pairwise for factors and 1 for numbers.
    type : str
        ``"difference"``, ``"ratio"`` or ``"odds ratio"`` of the means. Ratios are of averages, not
        averages of ratios; their tests and intervals are on the log scale.
    by, at, grid, effect, average, offset, level, df
        As in `means`; the means compared are those that it returns, and each value of `by` has its
        comparisons, which are adjusted by themselves.
    scale : str
        ``"response"``, or ``"link"`` for differences of linear predictors.
    adjust : str
        How p values allow for their number, and intervals where that method has any: ``"none"``;
        ``"tukey"`` (all pairs); ``"max-t"``, from the joint distribution of the estimates
        (with ``contrast="reference"`` Dunnett's test); ``"holm"``, ``"bonferroni"``, ``"sidak"``;
        ``"bh"`` and ``"by"`` for the share of false rejections.

    Returns
    -------
    Effects

    Raises
    ------
    DataError
        For options that do not go together, and odds ratios of what is no probability.

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("cbpp")
    >>> fit = glimm.fit("incidence / size ~ C(period) + (1 | herd)", data, family="binomial")
    >>> found = glimm.comparisons(fit, "period", contrast="reference", type="odds ratio")
    >>> found.estimate.round(3).tolist()
    [0.371, 0.324, 0.206]
    """
    level_checked(level)
    check_scale(scale)
    effect = effect_of(fit, effect)
    one_of("type", type, tuple(TYPES))
    one_of("adjust", adjust, JOINT_METHODS)
    if scale == "link" and type != "difference":
        message = f"type={type!r} compares responses; on the scale of the link use 'difference'"
        raise DataError(message, code="unknown_option")
    by_, at_ = names_of(by), dict(at or {})
    check_names(fit, (variable,), by_, at_)
    average = average_of(fit, average, effect, grid)
    pairs = _pairs(fit, variable, contrast, at_)
    if adjust == "tukey" and pairs.words != _WORDS["pairwise"]:
        message = "adjust='tukey' is for contrast='pairwise'; use 'max-t' for other contrasts"
        raise DataError(message, code="unknown_option")
    outer = (*(n for n in by_ if grid != "data"), *(n for n in at_ if n not in (variable, *by_)))
    base = base_grid(fit, grid, (*outer, variable) if pairs.values else outer, offset)
    parts = split(fit, base, by_) if grid == "data" and by_ else [base]
    cells = [(part, s) for part in parts for s in combinations(fit, outer, at_)]
    found, labels, families = [], [], []
    for number, (part, settings) in enumerate(cells):
        means = pairs.means(fit, part, settings, effect, average, scale)
        compared = _differences(fit, means, pairs.places, TYPES[type])
        found.append(compared)
        own = {name: part.columns[name][0] for name in by_ if name not in settings}
        labels += [{**own, **settings, "contrast": text} for text in pairs.texts(TYPES[type].sign)]
        families += [number] * len(pairs.places)
    facts = [("Estimand", estimand(fit, effect)), ("Scale", _scale_words(fit, scale, type))]
    facts.append(("Compared", f"{variable}: {pairs.words}"))
    facts.append(("Averaged", averaged(fit, base, average, by_ if grid == "data" else ())))
    single = {n: at_values(at_[n])[0] for n in at_ if n != variable and len(at_values(at_[n])) == 1}
    facts += held_words(fit, base, {n: v for n, v in single.items() if n not in by_})
    columns = {k: v for k, v in labels_of(labels).items() if k not in single or k in by_}
    many = max(len(pairs.values), 2)
    return tested(fit, "comparisons", stacked(found), columns, np.array(families), facts,
                  TYPES[type], adjust, many, level, df)  # fmt: skip


def tested(
    fit: Fit, kind: str, values: Values, labels: dict[str, list[Any]],
    families: NDArray[np.int64], facts: list[tuple[str, str]], made: Type, adjust: str,
    many: int, level: float, df: str,
) -> Effects:  # fmt: skip
    """Return estimates with tests of no difference and intervals, adjusted within families."""
    e = errors(fit, values, df)
    count = values.value.size
    p, lower, upper = np.empty(count), np.empty(count), np.empty(count)
    simultaneous = True
    for family in np.unique(families):
        mine = np.flatnonzero(families == family)
        block = e.covariance[np.ix_(mine, mine)]
        with np.errstate(divide="ignore", invalid="ignore"):
            found = adjusted(values.value[mine], block, e.df[mine], adjust, level, means=many)
        p[mine], lower[mine], upper[mine] = found.p, found.lower, found.upper
        simultaneous = simultaneous and found.simultaneous and mine.size > 1
    with np.errstate(divide="ignore", invalid="ignore"):
        t = values.value / e.se
    estimate = made.back(values.value)
    se = e.se * estimate if made.null else e.se
    scale = "; on the log scale, transformed back" if made.null else ""
    facts = [*facts, ("Tests", f"of {made.null:g}; {e.source}{scale}"),
             ("Adjusted", _adjust_words(adjust, int(np.bincount(families).max())))]  # fmt: skip
    facts.append(("Intervals", f"{100 * level:g} %, {_interval_words(adjust, simultaneous)}"))
    return Effects(kind, labels, estimate, se, e.df, t, p, made.back(lower), made.back(upper),
                   e.covariance, tuple(facts), fit)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pairs:
    """Which values of the variable are compared: values set, or a step from each row's own."""

    variable: str
    values: tuple[Any, ...]
    step: float
    places: tuple[tuple[int, int], ...]
    words: str

    def texts(self, sign: str) -> list[str]:
        """The comparisons in words."""
        if not self.values:
            return [f"+{self.step:g}"]
        return [f"{shown(self.values[a])} {sign} {shown(self.values[b])}" for a, b in self.places]

    def means(
        self, fit: Fit, grid: Grid, settings: Settings, effect: str, average: str, scale: str
    ) -> Values:
        """Return the means compared, on the scale of the comparison."""
        own = grid.columns[self.variable]
        chosen: list[Any] = list(self.values)
        if not self.values:
            start = np.full(grid.rows, settings.get(self.variable, 0.0)) + (
                0.0 if self.variable in settings else own.astype(np.float64)
            )
            chosen = [start, start + self.step]
        found = stacked([
            evaluate(fit, grid, {**settings, self.variable: v}, effect, _on(average, scale))
            .mean(grid.weights) for v in chosen
        ])  # fmt: skip
        return unlinked(fit, found) if average == "link" and scale == "response" else found


def _on(average: str, scale: str) -> str:
    """The scale on which rows are averaged."""
    return "link" if average == "link" or scale == "link" else "response"


def _pairs(fit: Fit, variable: str, contrast: str | float | None, at: dict[str, Any]) -> Pairs:
    factor = is_factor(fit, variable)
    if contrast is None:
        contrast = "pairwise" if factor or variable in at else 1.0
    if not isinstance(contrast, str):
        if factor:
            message = f"contrast={contrast!r} is a step, but {variable!r} is a factor; use a name"
            raise DataError(message, code="unknown_option")
        step = float(contrast)
        return Pairs(variable, (), step, ((1, 0),), f"{step:g} more, from each row's own value on"
                     if not factor else "")  # fmt: skip
    one_of("contrast", contrast, CONTRASTS)
    values = tuple(values_at(fit, variable, at))
    if len(values) < 2:
        message = f"{variable!r} is read at one value; give at={{{variable!r}: [...]}} two or more"
        raise DataError(message, code="unknown_option")
    places = {
        "pairwise": tuple(itertools.combinations(range(len(values)), 2)),
        "reference": tuple((j, 0) for j in range(1, len(values))),
        "sequential": tuple((j, j - 1) for j in range(1, len(values))),
    }[contrast]
    return Pairs(variable, values, 0.0, places, _WORDS[contrast])


def _differences(
    fit: Fit, means: Values, places: tuple[tuple[int, int], ...], made: Type
) -> Values:
    """Differences of the transformed means."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value, slope = made.transform(means.value)
    if not np.isfinite(value).all():
        words = "probabilities" if made is TYPES["odds ratio"] else "means above zero"
        message = f"this type of comparison is of {words}; the means of the fit are not"
        raise DataError(message, code="unknown_option")
    first, second = ([pair[i] for pair in places] for i in (0, 1))
    j = means.jacobian * slope[:, None]
    return Values(value[first] - value[second], j[first] - j[second])


def _scale_words(fit: Fit, scale: str, type: str) -> str:
    return f"{type} on the {scale_words(fit, scale)}" if scale == "link" else (
        f"{type}, {scale_words(fit, scale)}")  # fmt: skip


def _adjust_words(adjust: str, count: int) -> str:
    if adjust == "none":
        return f"p values not adjusted for {count} comparisons" if count > 1 else "one comparison"
    return f"p values by {adjust}, {count} comparisons at a time"


def _interval_words(adjust: str, simultaneous: bool) -> str:
    return f"simultaneous by {adjust}" if simultaneous else "each by itself"
