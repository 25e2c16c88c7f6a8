"""Power by simulation: draw, fit, test, count."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data import Frame, with_columns
from ..errors import DataError, FitError, GlimmError, listed
from ..families import Family, choose
from ..fit import Fit
from ..formula import Formula, parse
from ..formula.expressions import single_column, uses
from ..inference.freedom import automatic
from ..memory import available
from ..mixed import FamilyBy
from ..model import specify
from ..problem import make_problem, solve_again
from ..progress import Counting
from ..simulate import draw
from .result import Power
from .tests import Target, Test, Wanted, likelihood_ratio, targets, wald, without
from .truth import Random, blank_estimates, changed, fit_at

if TYPE_CHECKING:
    from .. import _core

Array = NDArray[np.float64]
_FIRST = 10
"""Data sets after which a simulation stops if all of them failed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One simulated data set: estimates and p values by target, or why there are none."""

    estimates: Array
    p: Array
    converged: bool
    failure: str | None = None


def power(
    formula: str | Fit,
    design: Any = None,
    effects: Mapping[str, float] | None = None,
    *,
    random: Mapping[str, Random] | None = None,
    parameters: Mapping[str, Any] | None = None,
    family: str | Family = "gaussian",
    link: str | None = None,
    test: Test = "wald",
    df: str = "auto",
    target: Wanted = None,
    n: int = 500,
    seed: int = 0,
    alpha: float = 0.05,
    level: float = 0.95,
    threads: int | None = None,
    progress: bool | None = None,
    zi: str | None = None,
    disp: str | None = None,
    hold: Mapping[str, float] | None = None,
    reml: bool | None = None,
    trials: str | ArrayLike | None = None,
    precision: str | ArrayLike | None = None,
    offset: str | ArrayLike | None = None,
    integration: str = "auto",
) -> Power:
    """Estimate the power of a study by simulating it.

    Responses are drawn from the model with the effects given, new random effects each time, and
    the model is fitted to each of them, from the true parameters on. What a fit that fails would
    have shown is not known: it counts as no rejection, and how many failed is reported. When the
    first ten all fail, the simulation stops with the reason.

    Parameters
    ----------
    formula : str or Fit
        As in `fit`, with a name for the response to be; or a Fit, whose estimates are then the
        truth where nothing else is given.
    design : frame, optional
        Covariates and groups, without the response; see `extend` for more groups or rows. With a
        Fit its own rows by default.
    effects : mapping of str to float
        Coefficients on the link scale by the names they have in a fit, the intercept included;
        those of other formulas as ``"zi: x"`` and ``"dispersion: x"``. With a Fit those that
        differ from its estimates.
    random : mapping of str to float, mapping or (q, q) array_like
        By group: a standard deviation on the link scale; several by effect,
        ``{"(Intercept)": 1.0, "x": 0.5, ("(Intercept)", "x"): 0.3}``, with correlations by pair;
        or a covariance matrix.
    parameters : mapping of str to float, optional
        Parameters of the family by name: ``{"sigma": 2.0}``; ``{"thresholds": [...]}`` for ordered
        classes.
    test : str or callable
        ``"wald"``: the estimate by its standard error, several jointly. ``"lrt"``: the
        likelihood ratio, by maximum likelihood. Or a function from a Fit to a p value.
    df : str
        Degrees of freedom of Wald tests: ``"normal"``, ``"satterthwaite"``, ``"kenward-roger"`` or
        ``"auto"``, as in `Fit.summary`.
    target : str, sequence of str, or mapping of str to sequence of str, optional
        Coefficients to test, each by itself; a mapping names sets that are tested jointly. By
        default all of the mean besides the intercept.
    n : int
        Number of data sets.
    seed : int
        Equal seeds give equal results, whatever the number of threads.
    alpha : float
        A p value at most this rejects.
    level : float
        Of the confidence interval of the power.
    threads : int, optional
        Data sets that are fitted at a time; all cores by default.
    progress : bool, optional
        As in `fit`.
    family, link, zi, disp, hold, reml, trials, precision, offset, integration
        As in `fit`; with a Fit they are those of the fit.

    Returns
    -------
    Power

    Raises
    ------
    DataError
        For effects that are missing or not known, and values that cannot be.
    FitError
        When the first data sets all fail, with the reason.

    References
    ----------
    Gelman, A. and Carlin, J. (2014). Beyond power calculations: assessing type S (sign) and type M
    (magnitude) errors. Perspectives on Psychological Science 9, 641-651.

    Examples
    --------
    >>> import glimm
    >>> design = {"subject": [i // 4 for i in range(80)], "drug": [i // 4 % 2 for i in range(80)]}
    >>> found = glimm.power("y ~ drug + (1 | subject)", design, {"(Intercept)": 0, "drug": 1.5},
    ...     random={"subject": 1.0}, parameters={"sigma": 1.0}, n=20, seed=1)
    >>> found.rejections
    {'drug': 15}
    """
    _check(n, seed, alpha, level, threads)
    if isinstance(formula, Fit):
        truth = changed(formula, design, effects or {}, random or {}, parameters or {})
        kind = formula.design.frame_kind
    else:
        options = {"link": link, "zi": zi, "disp": disp, "hold": hold, "reml": reml,
                   "trials": trials, "precision": precision, "offset": offset,
                   "integration": integration}  # fmt: skip
        if design is None:
            raise DataError("a formula needs a design= to simulate", code="empty_data")
        parsed = parse(formula)
        if isinstance(family, FamilyBy) or parsed.residual is not None:
            message = (
                "the power of a model of several traits (FamilyBy, residual()) starts from a fit: "
                "give power() a fit to real or made-up data in place of the formula"
            )
            raise DataError(message, code="unknown_option")
        frame = with_response(parsed, design, choose(family, link)[0], parameters or {})
        model, made = specify(formula, frame, family, missing="error", **options)  # type: ignore[arg-type]
        truth = fit_at(model, made, effects or {}, random or {}, parameters or {})
        kind = Frame(design).kind
    if test == "lrt":
        truth = replace(truth, model=replace(truth.model, reml=False))
    wanted = targets(truth, target, test)
    df = automatic(truth) if df == "auto" else df
    start = time.perf_counter()
    outcomes = _simulate(truth, wanted, test, df, n, seed, threads, progress)
    return Power(
        targets=wanted,
        estimates=np.array([o.estimates for o in outcomes]),
        p=np.array([o.p for o in outcomes]),
        converged=np.array([o.converged for o in outcomes]),
        failures=tuple(o.failure for o in outcomes),
        test=test if isinstance(test, str) else "function",
        df=df,
        alpha=alpha,
        level=level,
        rows=truth.design.n,
        groups=tuple(truth.groups.items()),
        seconds=time.perf_counter() - start,
        frame_kind=kind,
    )


def _check(n: int, seed: int, alpha: float, level: float, threads: int | None) -> None:
    counts = [("n", n, 1), ("seed", seed, 0), ("threads", 1 if threads is None else threads, 1)]
    for name, value, least in counts:
        if not isinstance(value, int | np.integer) or value < least:
            message = f"{name}={value!r}; a whole number of at least {least}"
            raise DataError(message, code="unknown_option")
    for name, share in (("alpha", alpha), ("level", level)):
        if not 0 < share < 1:
            message = f"{name}={share!r}; it must be between 0 and 1"
            raise DataError(message, code="unknown_option")


def with_response(
    formula: Formula, design: Any, family: Family, parameters: Mapping[str, Any]
) -> Any:
    """Return the design with a response to be filled by draws."""
    response = formula.response
    names = set(Frame(design).names)
    if response.kind == "cbind":
        needed = {c for e in response.expressions for c in _columns(e)}
        if not needed <= names:
            message = (
                f"{response.text} does not say how many trials there are; write the response as "
                "successes / trials, with a column of trials in the design"
            )
            raise DataError(message, code="unknown_column")
        return design
    n = Frame(design).read([next(iter(names))])[1] if names else 0
    values: NDArray[Any] = np.ones(n) if not family.trials else np.zeros(n)
    if family.ordered:
        classes = np.size(parameters.get("thresholds", 1)) + 1
        values = np.arange(n) % classes
    return with_columns(design, dict.fromkeys(_columns(response.expressions[0]), values))


def _columns(expression: str) -> tuple[str, ...]:
    name = single_column(expression)
    return uses(expression).columns if name is None else (name,)


class _Bench:
    """The problems that one thread works with, made from one data set."""

    def __init__(
        self, truth: Fit, wanted: tuple[Target, ...], test: tuple[Test, str], y: Array
    ) -> None:
        model = replace(truth.model, threads=1)
        self.truth = Fit(model, truth.design, truth.estimates)
        self.wanted, (self.test, self.df) = wanted, test
        self.full = make_problem(model, truth.design.with_response(y))
        self.reduced: list[tuple[Fit, _core.Problem]] = []
        if self.test == "lrt":
            self.reduced = [self._without(target, y) for target in wanted]

    def _without(self, target: Target, y: Array) -> tuple[Fit, _core.Problem]:
        e, model = self.truth.estimates, self.truth.model
        design = without(self.truth.design, target, e.kept[0])
        start = np.delete(e.parameters, list(target.places))
        fit = Fit(model, design, blank_estimates(model, design, start))
        return fit, make_problem(model, design.with_response(y))

    def run(self, seed: int, replicate: int) -> Outcome:
        """Draw, fit and test one data set."""
        nothing = np.full(len(self.wanted), math.nan)
        try:
            y = draw(self.truth, seed, replicate)
            fit = self._fit(self.truth, self.full, y)
            p = np.array([self._p(fit, k, y) for k in range(len(self.wanted))])
        except GlimmError as error:
            return Outcome(nothing, nothing, False, str(error))
        estimates = [
            fit.estimates.parameters[t.places[0]] if len(t.places) == 1 else math.nan
            for t in self.wanted
        ]
        return Outcome(np.array(estimates), p, fit.estimates.converged)

    def _fit(self, truth: Fit, problem: _core.Problem, y: Array) -> Fit:
        design = truth.design.with_response(y)
        _, found = solve_again(problem, truth.model, design, truth.estimates)
        if found.kept != truth.estimates.kept:
            names = [truth.design.x_names[j] for k, j, _ in found.aliased if k == 0]
            message = f"the design does not tell {listed(names)} from its other columns"
            raise DataError(message, code="aliased")
        return Fit(truth.model, design, found, problem)

    def _p(self, fit: Fit, k: int, y: Array) -> float:
        target = self.wanted[k]
        if callable(self.test):
            return _checked(self.test, fit)
        if self.test == "wald":
            return wald(fit, target, self.df)
        truth, problem = self.reduced[k]
        reduced = self._fit(truth, problem, y)
        return likelihood_ratio(fit.loglik, reduced.loglik, len(target.places))


def _checked(test: Any, fit: Fit) -> float:
    """The p value of a user's function; whatever goes wrong in it becomes a FitError."""
    try:
        p = float(test(fit))
    except Exception as error:
        raise FitError(f"the test failed: {type(error).__name__}: {error}") from error
    if not 0 <= p <= 1:
        raise FitError(f"the test returned {p!r}; it must be a p value")
    return p


def _simulate(
    truth: Fit,
    wanted: tuple[Target, ...],
    test: Test,
    df: str,
    n: int,
    seed: int,
    threads: int | None,
    progress: bool | None,
) -> list[Outcome]:
    """The outcomes of all data sets in their order; stops when the first all fail."""
    first = _bench(truth, wanted, (test, df), n, seed)
    with Counting(progress, "simulated data sets", n) as show:
        found: list[Outcome] = []
        for replicate in range(min(_FIRST, n)):
            found.append(first[0].run(seed, replicate))
            show.done(len(found))
        if all(outcome.failure for outcome in found):
            message = (
                f"all of the first {len(found)} simulated data sets failed, so the simulation "
                f"stopped. The first failure: {found[0].failure}"
            )
            raise FitError(message, code="simulation_failed")
        rest = range(len(found), n)
        count = min(threads or os.cpu_count() or 1, max(len(rest), 1), _that_fit(first[0]))
        if count == 1:
            for replicate in rest:
                found.append(first[0].run(seed, replicate))
                show.done(len(found))
            return found
        return found + _parallel(first, count, rest, seed, show)


def _bench(
    truth: Fit, wanted: tuple[Target, ...], test: tuple[Test, str], n: int, seed: int
) -> tuple[_Bench, Any]:
    """The first data set that makes a problem, and a maker of further benches from it."""
    failure: GlimmError | None = None
    for replicate in range(min(_FIRST, n)):
        y = draw(truth, seed, replicate)
        try:
            return _Bench(truth, wanted, test, y), lambda y=y: _Bench(truth, wanted, test, y)
        except GlimmError as error:
            failure = failure or error
    message = f"no model can be set up for the data sets simulated: {failure}"
    raise FitError(message, code="simulation_failed")


def _that_fit(bench: _Bench) -> int:
    """How many benches the memory holds."""
    free = available()
    return 10**6 if free is None else max(1, int(free // max(2 * bench.full.memory, 1)))


def _parallel(
    first: tuple[_Bench, Any], count: int, rest: range, seed: int, show: Counting
) -> list[Outcome]:
    """The outcomes of further data sets, several at a time, each bench one at a time."""
    from concurrent.futures import ThreadPoolExecutor

    benches: SimpleQueue[_Bench] = SimpleQueue()
    for k in range(count):
        benches.put(first[0] if k == 0 else first[1]())

    def work(replicate: int) -> Outcome:
        bench = benches.get()
        try:
            return bench.run(seed, replicate)
        finally:
            benches.put(bench)

    pool = ThreadPoolExecutor(count)
    try:
        found = []
        for outcome in pool.map(work, rest):
            found.append(outcome)
            show.done(rest.start + len(found))
        return found
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
