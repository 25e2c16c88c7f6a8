"""The page's verdicts: each assumption by one test, what it suggests, and in what order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..design import fixed_terms
from ..errors import GlimmError
from ..fit import Fit
from ..mixed import FamilyBy
from . import advice as advise
from .advice import Advice
from .base import Check
from .confounding import confounding
from .dependence import clusters_test, temporal_test
from .distribution import dispersion_test, outliers_test, uniformity_test, zeros_test
from .influence import influence
from .link import bend
from .page import CheckPage, Verdict, first_things_first, settled
from .patterns import groups_test, heteroscedasticity_test, trend_test
from .random import normality_test
from .residuals import Residuals
from .slopes import slopes_test
from .study import Study, Test, study

if TYPE_CHECKING:
    from ..gee import GEEFit

Array = NDArray[np.float64]
Suggest = Callable[[Check], Iterable[Advice]]

_MANY = 20_000
"""Rows up to which advice is tried and single clusters are left out."""
_MOST = 8
"""Predictors with a line of their own."""
_LEVELS = 30
_MOVED = 1.0
"""Standard errors by which one cluster may move a coefficient without being named."""
_WORTH = -2.0
"""Difference of AIC from which a change that was tried is advised."""
_SHOWN = 4


@dataclass(frozen=True)
class _Item:
    """A line of the page that a test of residuals makes.

    Parameters
    ----------
    topic, label : str
    rank : int
        Lower ones matter first.
    test : callable
        Makes the test; a GlimmError says that it does not apply.
    suggest : callable, optional
        From the check to what to try next.
    """

    topic: str
    label: str
    rank: int
    test: Callable[[], Test]
    suggest: Suggest | None = None


def page(
    source: Fit | GEEFit | Residuals | Study,
    *,
    seed: int = 0,
    n: int = 199,
    null: str = "auto",
    time: str | ArrayLike | None = None,
    try_next: bool | None = None,
    progress: bool | None = None,
) -> CheckPage:
    """Return verdicts on every assumption of a model; see `Fit.check`.

    Parameters
    ----------
    source : Fit, GEEFit, Residuals or Study
        Residuals of a foreign model have fewer checks, and no advice; fits of estimating equations
        have no p-values, for rows of a cluster are dependent.
    seed, n, null, time, try_next, progress
        As in `Fit.check`.

    Returns
    -------
    CheckPage

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("sleepstudy")
    >>> fit = glimm.fit("reaction ~ days + (1 | subject)", data)
    >>> page = glimm.checks.page(fit, seed=1, n=39)
    >>> page.found[0], page.advice[0].code
    ('slopes: subject', '(1 + days | subject)')
    """
    made = study(source, null=null, n=n, seed=seed, progress=progress)
    r = made.residuals
    fit = made.source if isinstance(made.source, Fit) else None
    # Fits without a maximum have parameters without bounds.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        verdicts, suggestions = _measured(made, list(_items(fit, r, time)))
    if fit is not None:
        more = [*_climb(fit), *_link(fit, suggestions), *_confounding(fit, suggestions)]
        verdicts += [*more, *_single(fit)]
    done = settled(verdicts)
    tries = r.n <= _MANY if try_next is None else try_next
    advice = () if fit is None else _advice(fit, done, suggestions, tries)
    done = first_things_first(done, advice)
    return CheckPage(_title(made.source), done, advice, r, fit, seed, made.null)


def _measured(
    made: Study, items: list[_Item]
) -> tuple[list[Verdict], dict[str, Callable[[], Iterable[Advice]]]]:
    """Verdicts of all tests that apply, in one pass over simulated data."""
    used: list[tuple[_Item, Test]] = []
    for item in items:
        try:
            test = item.test()
            if np.isfinite(test.statistic(made.residuals)):
                used.append((item, _with_draws(test)))
        except GlimmError:
            continue
    verdicts, suggestions = [], {}
    for (item, _), check in zip(used, made.run([test for _, test in used]), strict=True):
        verdicts.append(Verdict(item.topic, item.label, check.words, check.p, check=check,
                                rank=item.rank))  # fmt: skip
        if item.suggest is not None:
            suggestions[item.topic] = _later(item.suggest, check)
    return verdicts, suggestions


def _later(suggest: Suggest, check: Check) -> Callable[[], Iterable[Advice]]:
    return lambda: suggest(check)


def _with_draws(test: Test) -> Test:
    """A test that also gives its statistic's draws, for pictures."""

    def describe(r: Residuals, t: float, draws: Array) -> Any:
        effect, words, details = test.describe(r, t, draws)
        return effect, words, {**details, "draws": draws, "observed": t}

    return replace(test, describe=describe)


def _title(source: Any) -> str:
    if isinstance(source, Residuals):
        return f"a model of {source.n:,} responses"
    family = source.model.family
    if isinstance(family, FamilyBy):
        return f"{source.model.formula.text} ({family.words})"
    zeros = ", extra zeros" if getattr(source.model, "zi", None) is not None else ""
    return f"{source.model.formula.text} ({family.name}, {source.model.link}{zeros})"


def _items(fit: Fit | None, r: Residuals, time: str | ArrayLike | None) -> Iterator[_Item]:
    yield from _of_groups(fit)
    if time is not None:
        group = None if fit is None or not fit.design.terms else fit.design.terms[0].label
        yield _Item("time", "Independence in time", 13, lambda: temporal_test(time, group))
    yield from _of_columns(fit, r)
    yield from _of_distribution(fit, r)


def _of_groups(fit: Fit | None) -> Iterator[_Item]:
    if fit is None:
        return
    for label in dict.fromkeys(term.label for term in fit.design.terms if not term.also):
        topic = f"slopes: {label}"
        yield _Item(topic, f"Same slopes in every {label}", 10, _make(slopes_test, fit, label),
                    _slope(fit, topic, label))  # fmt: skip
        topic = f"dependence: {label}"
        yield _Item(topic, f"Independence within {label}", 12, _make(clusters_test, label))
    if fit.design.terms:
        yield _Item("normality", "Normal random effects", 45, normality_test)


def _make(test: Callable[..., Test], *arguments: Any) -> Callable[[], Test]:
    return lambda: test(*arguments)


def _slope(fit: Fit, topic: str, label: str) -> Suggest:
    return lambda check: advise.slope(fit, topic, check.details["covariate"], label)


def _of_columns(fit: Fit | None, r: Residuals) -> Iterator[_Item]:
    f = fit
    yield _Item("trend: fitted", "Trend along fitted values", 17, trend_test,
                _of_fit(f, advise.links, "trend: fitted"))  # fmt: skip
    yield _Item("variance: fitted", "Variance along fitted values", 30, heteroscedasticity_test,
                _of_fit(f, advise.shape, "variance: fitted"))  # fmt: skip
    for label, numeric in predictors_of(r.fit)[:_MOST]:
        if numeric:
            yield _Item(f"trend: {label}", f"Trend along {label}", 15, _make(trend_test, label),
                        _of_predictor(f, advise.curve, f"trend: {label}", label))  # fmt: skip
            yield _Item(f"variance: {label}", f"Variance along {label}", 31,
                        _make(heteroscedasticity_test, label),
                        _of_predictor(f, advise.spread, f"variance: {label}", label))  # fmt: skip
        else:
            yield _Item(f"groups: {label}", f"Distribution by {label}", 16,
                        _make(groups_test, label),
                        _of_predictor(f, advise.spread, f"groups: {label}", label))  # fmt: skip


def _of_predictor(
    fit: Fit | None, suggest: Callable[[Fit, str, str], Iterable[Advice]], topic: str, label: str
) -> Suggest | None:
    return None if fit is None else lambda _: suggest(fit, topic, label)


def _of_distribution(fit: Fit | None, r: Residuals) -> Iterator[_Item]:
    f = fit
    if _has_zeros(r):
        yield _Item("zeros", "Number of zeros", 20, zeros_test,
                    None if f is None else _zeros(f))  # fmt: skip
    yield _Item("dispersion", "Overall variance", 22, dispersion_test,
                None if f is None else _width(f))  # fmt: skip
    yield _Item("uniformity", "Shape of the distribution", 35, uniformity_test,
                _of_fit(f, advise.shape, "uniformity"))  # fmt: skip
    yield _Item("outliers", "No outliers", 40, outliers_test,
                _of_fit(f, advise.tails, "outliers"))  # fmt: skip


def _of_fit(
    fit: Fit | None, suggest: Callable[[Fit, str], Iterable[Advice]], topic: str
) -> Suggest | None:
    return None if fit is None else lambda _: suggest(fit, topic)


def _zeros(fit: Fit) -> Suggest:
    return lambda check: advise.zeros(fit, "zeros", check.effect > 1)


def _width(fit: Fit) -> Suggest:
    def suggest(check: Check) -> Iterable[Advice]:
        side = advise.wider if check.effect > 1 else advise.narrower
        return side(fit, "dispersion")

    return suggest


def _has_zeros(r: Residuals) -> bool:
    """Whether responses are counts, of more than one, that the model could have at zero."""
    y, family = r.observed, getattr(getattr(r.fit, "model", None), "family", None)
    if family is not None and family.ordered:
        return False
    return bool(np.array_equal(y, y.round())) and float(y.max(initial=0.0)) > 1


def predictors_of(fit: Any) -> list[tuple[str, bool]]:
    """Return the columns that the mean uses, and whether each is a number of many values."""
    if fit is None:
        return []
    found, design = {}, fit.design
    wanted = {factor for term in fixed_terms(design) for factor in term.factors}
    for name, column in design.used_columns.items():
        if any(re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", text) for text in wanted):
            values = np.unique(column.values).size
            numeric = column.levels is None and column.kind != "boolean" and values > 2
            if numeric or values <= _LEVELS:
                found[name] = numeric
    return list(found.items())


def _climb(fit: Fit) -> Iterator[Verdict]:
    """What the fit itself reports: its maximum, its integral, its range."""
    for finding in fit.diagnostics.findings:
        if finding.serious:
            words = f"{finding.message} {finding.remedy}"
            yield Verdict(finding.code, "The fit itself", words, state="found", rank=0)


def _link(fit: Fit, suggestions: dict[str, Callable[[], Iterable[Advice]]]) -> Iterator[Verdict]:
    try:
        found = bend(fit)
    except GlimmError:
        found = None
    if found is not None:
        side = "up" if found.ends > 0 else "down"
        words = f"the mean bends {side}: by {abs(found.ends):.2g} on the {fit.model.link} scale at the ends"  # noqa: E501
        suggestions["link"] = lambda: advise.links(fit, "link")
        yield Verdict("link", "Link and linearity", words, found.p, rank=18)


def _confounding(
    fit: Fit, suggestions: dict[str, Callable[[], Iterable[Advice]]]
) -> Iterator[Verdict]:
    try:
        found = confounding(fit) if fit.design.terms else None
    except GlimmError:
        found = None
    if found is not None and found.slopes:
        worst = min(found.slopes, key=lambda s: s.p)
        topic = "confounding"
        suggestions[topic] = lambda: advise.means(fit, topic, worst.name, worst.group)
        label = "Same slopes within and between"
        yield Verdict(topic, label, worst.words, found.p, rank=14)


def _single(fit: Fit) -> Iterator[Verdict]:
    """Whether one cluster, or one row without clusters, moves a coefficient far."""
    if fit.design.n > _MANY:
        return
    try:
        found = influence(fit)
    except GlimmError:
        return
    sizes = np.abs(np.nan_to_num(found.scaled[:, : len(fit.names)]))
    g, j = (int(k) for k in np.unravel_index(int(np.argmax(sizes)), sizes.shape))
    one = "row" if found.by == "rows" else found.by
    words = (
        f"without {one} {found.labels[g]}, {found.names[j]} moves by {found.scaled[g, j]:+.2f} SE"  # noqa: E501
    )
    state = "note" if sizes[g, j] >= _MOVED else "ok"
    words = words if state == "note" else f"{words} at most"
    yield Verdict("influence", f"No {one} decides alone", words, state=state, rank=50)


def _advice(
    fit: Fit,
    verdicts: Iterable[Verdict],
    suggestions: dict[str, Callable[[], Iterable[Advice]]],
    tries: bool,
) -> tuple[Advice, ...]:
    """Suggestions of what was found; those that were tried and help first, the rest after them."""
    made: dict[str, Advice] = {}
    for verdict in verdicts:
        if verdict.state == "found" and verdict.topic in suggestions:
            for one in suggestions[verdict.topic]():
                made.setdefault(one.code, one)
    if not tries:
        return tuple(made.values())[:_SHOWN]
    found = advise.tried(fit, list(made.values()))
    good = sorted((a for a in found if a.aic is not None and a.aic < _WORTH), key=_aic)
    return (*good, *(a for a in found if a.aic is None))[:_SHOWN]


def _aic(advice: Advice) -> float:
    return 0.0 if advice.aic is None else advice.aic
