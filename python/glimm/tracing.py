"""Recording a vectorised function as a list of operations.

The function is called once with symbolic arguments. NumPy hands every ufunc that meets one to
`Traced.__array_ufunc__`, and `numpy.where` to `Traced.__array_function__`; each adds a step to the
tape. Equal steps are recorded once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from .errors import FamilyError, listed

Step = tuple[str, list[int], float]
Tape = list[Step]
"""Steps (operation, places of its arguments, number of a leaf); the last is the value."""

_LN2 = math.log(2.0)
_LN10 = math.log(10.0)
_SQRT2 = math.sqrt(2.0)

# Names of ufuncs of NumPy and SciPy that are one operation of the core.
_DIRECT = {
    "absolute": "absolute", "add": "add", "arctan": "arctan", "cos": "cos", "divide": "divide",
    "equal": "equal", "exp": "exp", "expit": "expit", "expm1": "expm1", "fabs": "absolute",
    "float_power": "power", "floor": "floor", "gammaln": "lgamma", "greater": "greater",
    "greater_equal": "greater_equal", "log": "log", "log1p": "log1p", "log_expit": "log_expit",
    "log_ndtr": "log_ndtr", "logaddexp": "logaddexp", "logical_and": "both",
    "logical_not": "not", "logical_or": "either", "bitwise_and": "both", "bitwise_or": "either",
    "invert": "not", "loggamma": "lgamma", "maximum": "maximum", "fmax": "maximum",
    "minimum": "minimum", "fmin": "minimum", "multiply": "multiply", "ndtr": "ndtr",
    "negative": "negative", "power": "power", "psi": "digamma", "reciprocal": "reciprocal",
    "sin": "sin", "sqrt": "sqrt", "square": "square", "subtract": "subtract", "tanh": "tanh",
}  # fmt: skip

_COMMUTE = {"add", "multiply", "equal", "both", "either"}

# Those that are several.
_COMPOSED: dict[str, Callable[..., Any]] = {
    "positive": lambda x: x,
    "less": lambda x, y: np.greater(y, x),
    "less_equal": lambda x, y: np.greater_equal(y, x),
    "not_equal": lambda x, y: np.logical_not(np.equal(x, y)),
    "exp2": lambda x: np.exp(_LN2 * x),
    "log2": lambda x: np.log(x) / _LN2,
    "log10": lambda x: np.log(x) / _LN10,
    "sinh": lambda x: 0.5 * (np.expm1(x) - np.expm1(-x)),
    "cosh": lambda x: 0.5 * (np.exp(x) + np.exp(-x)),
    "tan": lambda x: np.sin(x) / np.cos(x),
    "cbrt": lambda x: np.where(x < 0, -((-x) ** (1 / 3)), x ** (1 / 3)),
    "isfinite": lambda x: np.abs(x) <= np.finfo(float).max,
    "rint": lambda x: np.floor(x + 0.5),
    "ceil": lambda x: -np.floor(-x),
    "logit": lambda x: np.log(x) - np.log1p(-x),
    "erf": lambda x: _call("ndtr", _SQRT2 * x) - _call("ndtr", -_SQRT2 * x),
    "erfc": lambda x: 2.0 * _call("ndtr", -_SQRT2 * x),
    "betaln": lambda a, b: _call("lgamma", a) + _call("lgamma", b) - _call("lgamma", a + b),
    "xlogy": lambda x, y: np.where(_traced(x, y) == 0.0, 0.0, x * np.log(y)),
    "xlog1py": lambda x, y: np.where(_traced(x, y) == 0.0, 0.0, x * np.log1p(y)),
}

RECORDABLE = tuple(sorted((*_DIRECT, *_COMPOSED, "where", "clip")))
"""Functions of NumPy and scipy.special that can be recorded, by the names of their ufuncs."""


class Recorder:
    """The tape being written.

    Parameters
    ----------
    subject : str
        What is recorded, for messages.

    Examples
    --------
    >>> recorder = Recorder("the density")
    >>> y = recorder.leaf("y")
    >>> recorder.tape(np.exp(y) + 1.0)
    [('y', [], 0.0), ('exp', [0], 0.0), ('constant', [], 1.0), ('add', [1, 2], 0.0)]
    """

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.steps: Tape = []
        self._known: dict[tuple[str, tuple[int, ...], float], int] = {}

    def leaf(self, name: str, value: float = 0.0) -> Traced:
        """Return a symbolic argument: ``"y"``, ``"size"``, or ``"predictor"`` number `value`."""
        return self._step(name, (), value)

    def call(self, operation: str, *args: Any) -> Traced:
        """Record an operation of the core."""
        places = tuple(self.place(arg) for arg in args)
        if operation in _COMMUTE:
            places = tuple(sorted(places))
        return self._step(operation, places, 0.0)

    def place(self, value: Any) -> int:
        """Return the place of a traced value or of a number."""
        if isinstance(value, Traced):
            if value.recorder is not self:
                raise self.error("mixes values of two recordings")
            return value.index
        number = np.asarray(value)
        if number.dtype.kind not in "biuf":
            raise self.error(f"uses a {type(value).__name__} as a number")
        if number.ndim:
            raise self.error(
                f"uses an array of shape {number.shape}; of constants it may use single numbers"
            )
        return self._step("constant", (), float(number)).index

    def tape(self, value: Any) -> Tape:
        """Return the steps that lead to a value, which is the last of them."""
        needed = {self.place(value)}
        for index in range(len(self.steps) - 1, -1, -1):
            if index in needed:
                needed.update(self.steps[index][1])
        kept = [index for index in range(len(self.steps)) if index in needed]
        kept = [index for index in kept if index <= self.place(value)]
        renumbered = {old: new for new, old in enumerate(kept)}
        steps = [self.steps[index] for index in kept]
        return [(name, [renumbered[a] for a in args], number) for name, args, number in steps]

    def error(self, what: str) -> FamilyError:
        """Return the error that says what could not be recorded and what can be."""
        return FamilyError(
            f"{self.subject} {what}. It is recorded once with symbolic values; it can use "
            "arithmetic, comparisons combined with & and |, numpy.where, and these functions of "
            f"numpy and scipy.special: {', '.join(RECORDABLE)}. Write it in terms of these "
            "(numpy.where in place of if, numpy.exp in place of math.exp)"
        )

    def _step(self, name: str, places: tuple[int, ...], value: float) -> Traced:
        key = (name, places, value)
        if key not in self._known or value != value:
            self._known[key] = len(self.steps)
            self.steps.append((name, list(places), value))
        return Traced(self, self._known[key])


class Traced(NDArrayOperatorsMixin):
    """A symbolic number: what is done with it is recorded."""

    __slots__ = ("index", "recorder")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, recorder: Recorder, index: int) -> None:
        self.recorder = recorder
        self.index = index

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **options: Any) -> Any:
        """Record a ufunc."""
        name = ufunc.__name__
        if method != "__call__":
            raise self.recorder.error(f"calls {name}.{method}, which mixes rows")
        if any(value is not None for value in options.values()):
            raise self.recorder.error(f"calls {name} with {listed(list(options))}")
        return record_call(self.recorder, name, args)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        """Record numpy.where and numpy.clip."""
        name = getattr(function, "__name__", str(function))
        if name == "where" and len(args) == 3 and not options:
            return self.recorder.call("where", *args)
        if name == "clip":
            return self._clip(*args[1:], **options)
        raise self.recorder.error(f"calls numpy.{name}, which cannot be recorded")

    def _clip(self, a_min: Any = None, a_max: Any = None, **options: Any) -> Any:
        low, high = options.pop("min", a_min), options.pop("max", a_max)
        if options:
            raise self.recorder.error(f"calls clip with {listed(list(options))}")
        found = self if low is None else np.maximum(self, low)
        return found if high is None else np.minimum(found, high)

    clip = _clip

    def _refuse(self, what: str) -> Any:
        raise self.recorder.error(what)

    def __array__(self, *args: Any, **options: Any) -> Any:
        return self._refuse("calls a function that takes arrays alone")

    def __bool__(self) -> bool:
        return bool(self._refuse("asks whether a symbolic value is true (if, and, or, not, max)"))

    def __float__(self) -> float:
        return float(self._refuse("turns a symbolic value into a number (math functions, float)"))

    __int__ = __index__ = __complex__ = __float__

    def __len__(self) -> int:
        return int(self._refuse("asks for the length of a symbolic value"))

    def __iter__(self) -> Any:
        return self._refuse("runs over the elements of a symbolic value")

    def __getitem__(self, key: Any) -> Any:
        return self._refuse("takes elements of a symbolic value")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._refuse(f"uses the attribute {name!r} of a symbolic value")


def record_call(recorder: Recorder, name: str, args: Sequence[Any]) -> Any:
    """Record a ufunc by name."""
    if name in _DIRECT:
        return recorder.call(_DIRECT[name], *args)
    if name in _COMPOSED:
        return _COMPOSED[name](*args)
    raise recorder.error(f"calls {name}, which cannot be recorded")


def _call(operation: str, x: Any) -> Any:
    """An operation that has no ufunc in NumPy; of a number, the number."""
    if isinstance(x, Traced):
        return x.recorder.call(operation, x)
    from scipy import special

    ufunc = {"ndtr": special.ndtr, "lgamma": special.gammaln}[operation]
    return ufunc(x)


def _traced(x: Any, y: Any) -> Traced:
    """The first of two arguments as a traced value."""
    if isinstance(x, Traced):
        return x
    recorder: Recorder = y.recorder
    return Traced(recorder, recorder.place(x))


def record(function: Callable[..., Any], subject: str, names: Sequence[str], size: bool) -> Tape:
    """Return the tape of a function.

    Parameters
    ----------
    function : callable
    subject : str
        What it is, for messages.
    names : sequence of str
        Its positional arguments: ``"y"`` or ``"predictor"``, which are numbered.
    size : bool
        Whether it takes the trials, as the keyword ``size``.

    Raises
    ------
    FamilyError
        When something it does cannot be recorded.

    Examples
    --------
    >>> len(record(lambda y, eta: y * eta - np.exp(eta), "f", ["y", "predictor"], False))
    5
    """
    recorder = Recorder(subject)
    count = iter(range(len(names)))
    args = [
        recorder.leaf(name, float(next(count)) if name == "predictor" else 0.0) for name in names
    ]
    keywords = {"size": recorder.leaf("size")} if size else {}
    with np.errstate(all="ignore"):
        value = function(*args, **keywords)
    if value is None:
        raise FamilyError(f"{subject} returns nothing")
    return recorder.tape(value)


def depends(tape: Tape) -> set[str]:
    """Return the leaves that a tape looks at, predictors as ``"predictor 0"`` and so on.

    Examples
    --------
    >>> sorted(depends(record(lambda y, eta: y * eta, "f", ["y", "predictor"], False)))
    ['predictor 0', 'y']
    """
    leaves = [(name, value) for name, args, value in tape if not args]
    return {f"predictor {int(v)}" if name == "predictor" else name for name, v in leaves}
