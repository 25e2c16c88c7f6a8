"""Families written by the user: a log density in Python, recorded for the core."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import FamilyError, listed, nearest_first
from .families import Family, Parameter, families
from .supports import SUPPORTS, Support, start_of
from .tracing import Tape, depends, record

Array = NDArray[np.float64]
Function = Callable[..., Any]
Frozen = tuple[tuple[str, tuple[int, ...], float], ...]

LINKS = ("cauchit", "cloglog", "identity", "inverse", "log", "logit", "probit")
SCALES = ("identity", "log", "logit")
_MOST = 3


@dataclass(frozen=True, slots=True, init=False)
class CustomFamily(Family):
    """A family given by its log density.

    The function is called once, with symbolic arguments that record what is done with them; the
    fit evaluates the record with exact derivatives and never calls Python. It can use arithmetic,
    comparisons, ``numpy.where``, and functions of NumPy and ``scipy.special`` such as ``exp``,
    ``log1p``, ``gammaln``, ``logaddexp``, ``expit`` and ``log_ndtr``.

    Parameters
    ----------
    name : str
    log_density : callable
        ``f(y, eta, ...)``: the log density, constants included, of a response y given its linear
        predictors: that of the mean, then one for each further parameter. These are on the link
        scale: a mean with log link is ``exp(eta)``. With an argument ``size`` it gets the number
        of trials.
    parameters : mapping of str to str, or sequence of Parameter
        The parameters besides the mean, at most three: names and the scales of their linear
        predictors, ``"log"``, ``"identity"`` or ``"logit"`` (between 0 and 1). Of a mapping the
        first is the one that ``disp=`` is a formula of.
    link : str
        Link of the mean, for printing, prediction and starting values.
    mean : callable, optional
        ``mean(eta, ...)``: the expected response, of a family with trials the proportion. The
        inverse link of eta by default.
    variance, cdf : callable, optional
        ``variance(eta, ...)`` and ``cdf(y, eta, ...)``, with ``size`` if they have that argument.
    draw : callable, optional
        ``draw(rng, eta, ...)``: responses drawn with a `numpy.random.Generator`, one for each
        element of eta, for `Fit.simulate`. It is not saved with a fit.
    support : str or callable
        What responses can be: ``"count"`` (0, 1, 2, ...), ``"positive"``, ``"real"``,
        ``"proportion"`` (between 0 and 1), or a function of y (and size) that says whether it can.
    start : callable, optional
        ``start(y)``: a first guess of eta from one response.

    Raises
    ------
    FamilyError
        When a function does something that cannot be recorded; the message names it.

    Examples
    --------
    >>> import glimm
    >>> import numpy as np
    >>> from scipy.special import gammaln
    >>> family = glimm.CustomFamily(
    ...     "my_poisson", lambda y, eta: y * eta - np.exp(eta) - gammaln(y + 1), support="count"
    ... )
    >>> data = glimm.datasets.load("epilepsy")
    >>> fit = glimm.fit("seizures ~ treatment + (1 | patient)", data, family=family)
    >>> same = glimm.fit("seizures ~ treatment + (1 | patient)", data, family="poisson")
    >>> abs(fit.loglik - same.loglik) < 1e-8
    True
    """

    tapes: tuple[tuple[str, Frozen], ...]
    allowed: str
    draw: Function | None = field(compare=False)
    loaded: bool = field(compare=False)

    def __init__(
        self,
        name: str,
        log_density: Function,
        parameters: Mapping[str, str] | Sequence[Parameter] = (),
        *,
        link: str = "log",
        mean: Function | None = None,
        variance: Function | None = None,
        cdf: Function | None = None,
        draw: Function | None = None,
        support: str | Function = "real",
        start: Function | None = None,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise FamilyError(f"name={name!r}; a family needs a name that is text")
        if name in families():
            raise FamilyError(f"name={name!r} is that of a family of glimm; use another")
        if link not in LINKS:
            raise FamilyError(f"link={link!r}; use {listed(nearest_first(str(link), LINKS))}")
        made = _parameters(parameters)
        trials = _takes_size(log_density)
        eta = ["predictor"] * (1 + len(made))
        tapes = {"density": _record(name, "log_density", log_density, ["y", *eta])}
        _check_density(name, tapes["density"], made)
        range_ = _support(name, support)
        tapes["check"] = _record(name, "support", range_.holds(trials), ["y"])
        first = start_of(range_, link, trials) if start is None else start
        tapes["start"] = _record(name, "start", first, ["y"])
        others = {"mean": (mean, eta), "variance": (variance, eta), "cdf": (cdf, ["y", *eta])}
        for part, (function, arguments) in others.items():
            if function is not None:
                tapes[part] = _record(name, part, function, arguments)
        if draw is not None:
            _check_arguments(name, "draw", draw, 2 + len(made))
        allowed = f"a response of family {name!r} must be {range_.words(trials)}"
        self._set(
            name, link, made, trials, {k: _frozen(v) for k, v in tapes.items()}, allowed, draw
        )

    def _set(
        self,
        name: str,
        link: str,
        parameters: tuple[Parameter, ...],
        trials: bool,
        tapes: dict[str, Frozen],
        allowed: str,
        draw: Function | None,
        loaded: bool = False,
    ) -> None:
        values = {
            "name": name, "links": (link,), "parameters": parameters, "trials": trials,
            "ordered": False, "tapes": tuple(sorted(tapes.items())), "allowed": allowed,
            "draw": draw, "loaded": loaded,
        }  # fmt: skip
        for key, value in values.items():
            object.__setattr__(self, key, value)

    @property
    def program(self) -> tuple[Any, ...]:
        """What the core needs besides the name and the link."""
        tapes = {name: [(op, list(args), v) for op, args, v in t] for name, t in self.tapes}
        return [astuple(parameter) for parameter in self.parameters], self.allowed, tapes

    def record(self) -> dict[str, Any]:
        """Return all but the function `draw` as plain data.

        Examples
        --------
        >>> family = CustomFamily("normal", lambda y, eta: -0.5 * (y - eta) ** 2, link="identity")
        >>> restored(family.record()) == family
        True
        """
        return {
            "name": self.name,
            "link": self.links[0],
            "parameters": [asdict(parameter) for parameter in self.parameters],
            "trials": self.trials,
            "allowed": self.allowed,
            "tapes": {name: [list(step) for step in tape] for name, tape in self.tapes},
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return restored, (self.record(),)


def restored(record: dict[str, Any]) -> CustomFamily:
    """Return the family of plain data; it has no function `draw`.

    Examples
    --------
    >>> family = CustomFamily("normal", lambda y, eta: -0.5 * (y - eta) ** 2, link="identity")
    >>> restored(family.record()).draw is None
    True
    """
    family = object.__new__(CustomFamily)
    tapes = {name: _frozen(tape) for name, tape in record["tapes"].items()}
    parameters = tuple(Parameter(**parameter) for parameter in record["parameters"])
    family._set(
        record["name"], record["link"], parameters, record["trials"], tapes, record["allowed"],
        None, loaded=True,
    )  # fmt: skip
    return family


def draw_responses(
    family: CustomFamily,
    zero_inflated: bool,
    eta: list[Array],
    size: Array | None,
    seed: int,
    replicate: int,
) -> Array:
    """Return one response per row at the linear predictors given.

    Raises
    ------
    FamilyError
        When the family has no function `draw`, or that returns something else.
    """
    if family.draw is None:
        why = "it came from a file or a pickle, which hold no Python code" if family.loaded else ""
        why = why or "it was made without draw="
        raise FamilyError(
            f"family {family.name!r} has no function draw, as {why}; draws of responses need one: "
            "CustomFamily(..., draw=lambda rng, eta: ...)"
        )
    rng = np.random.default_rng([seed, replicate])
    own = eta[:-1] if zero_inflated else eta
    keywords = {"size": np.ones(own[0].size) if size is None else size}
    found = family.draw(rng, *own, **(keywords if _takes_size(family.draw) else {}))
    y = np.asarray(found, dtype=np.float64)
    if y.shape != own[0].shape:
        raise FamilyError(
            f"draw of family {family.name!r} returned an array of shape {y.shape}; "
            f"it must return one response per row, {own[0].shape}"
        )
    if zero_inflated:
        y = np.where(np.log(rng.random(y.size)) < -np.logaddexp(0.0, -eta[-1]), 0.0, y)
    return y


def _parameters(given: Mapping[str, str] | Sequence[Parameter]) -> tuple[Parameter, ...]:
    if isinstance(given, Mapping):
        made = [_parameter(name, scale, k == 0) for k, (name, scale) in enumerate(given.items())]
    else:
        made = list(given)
    for parameter in made:
        if not isinstance(parameter, Parameter):
            kind = type(parameter).__name__
            message = f"parameters has a {kind}; use a mapping of names to scales, or Parameter"
            raise FamilyError(message)
    names = [parameter.name for parameter in made]
    if len(set(names)) < len(names):
        raise FamilyError(f"parameters has a name twice: {listed(names)}")
    if len(made) > _MOST:
        raise FamilyError(f"parameters has {len(made)}; a family has at most {_MOST} and the mean")
    return tuple(map(_with_bounds, made))


def _parameter(name: str, scale: str, dispersion: bool) -> Parameter:
    return Parameter(str(name), "", scale, 0.0, 1.0, dispersion, 0.0)


def _with_bounds(parameter: Parameter) -> Parameter:
    """The parameter with the bounds that its scale has."""
    if parameter.scale not in SCALES:
        names = listed(nearest_first(str(parameter.scale), SCALES))
        raise FamilyError(f"parameter {parameter.name!r}: scale={parameter.scale!r}; use {names}")
    if parameter.scale == "identity":
        return replace(parameter, low=-np.inf, high=np.inf)
    if parameter.scale == "log":
        return replace(parameter, low=0.0, high=np.inf)
    if not (np.isfinite([parameter.low, parameter.high]).all() and parameter.low < parameter.high):
        raise FamilyError(f"parameter {parameter.name!r}: scale 'logit' needs finite bounds")
    return parameter


def _support(name: str, support: str | Function) -> Support:
    if callable(support):
        return Support("real", f"one for which support of {name!r} is true", support)
    if support not in SUPPORTS:
        names = listed(nearest_first(str(support), SUPPORTS))
        raise FamilyError(f"support={support!r}; use {names} or a function of y")
    return SUPPORTS[support]


def _takes_size(function: Function) -> bool:
    return callable(function) and "size" in inspect.signature(function).parameters


def _check_arguments(name: str, part: str, function: Function, count: int) -> None:
    if not callable(function):
        raise FamilyError(f"{part} of family {name!r} is a {type(function).__name__}, no function")
    keywords = {"size": None} if _takes_size(function) else {}
    try:
        inspect.signature(function).bind(*[None] * count, **keywords)
    except TypeError:
        found = inspect.signature(function)
        raise FamilyError(
            f"{part} of family {name!r} takes {found}; it is called with {count} arguments: "
            + {"draw": "rng, then ", "log_density": "y, then ", "cdf": "y, then "}.get(part, "")
            + ("y" if part in ("start", "support") else "one linear predictor per parameter")
        ) from None


def _record(name: str, part: str, function: Function, arguments: list[str]) -> Tape:
    _check_arguments(name, part, function, len(arguments))
    return record(function, f"{part} of family {name!r}", arguments, _takes_size(function))


def _check_density(name: str, tape: Tape, parameters: tuple[Parameter, ...]) -> None:
    found = depends(tape)
    names = ["eta", *(parameter.name for parameter in parameters)]
    for k, parameter in enumerate(names):
        if f"predictor {k}" not in found:
            message = f"log_density of family {name!r} does not depend on {parameter!r}"
            raise FamilyError(f"{message}; the data could not tell it")


def _frozen(tape: Sequence[Sequence[Any]]) -> Frozen:
    return tuple((str(op), tuple(args), float(value)) for op, args, value in tape)
