"""P values of one simulated data set."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, FitError, listed, nearest_first
from ..fit import Fit, one_of
from ..inference.freedom import f_tail, freedom

if TYPE_CHECKING:
    from ..design import Design

Array = NDArray[np.float64]
Test: TypeAlias = str | Callable[[Fit], float]
Wanted: TypeAlias = str | Sequence[str] | Mapping[str, Sequence[str]] | None


@dataclass(frozen=True, slots=True)
class Target:
    """What is tested: some parameters, jointly.

    Parameters
    ----------
    name : str
    places : tuple of int
        Among all parameters; none for a test that is a function.
    truth : float
        The parameter simulated with; NaN where there are several, or none.
    """

    name: str
    places: tuple[int, ...]
    truth: float


def targets(truth: Fit, wanted: Wanted, test: Test) -> tuple[Target, ...]:
    """Return what is tested.

    Raises
    ------
    DataError
        For names that the model has not, and tests that are not known.
    """
    if callable(test):
        if wanted is not None:
            message = "target= goes with a named test; a function tests what it computes"
            raise DataError(message, code="unknown_option")
        return (Target(getattr(test, "__name__", "test"), (), math.nan),)
    one_of("test", test, ("wald", "lrt"))
    count = truth.estimates.thetas[0][0] if truth.estimates.thetas else None
    names = list(truth.parameter_names[:count])
    if wanted is None:
        found: dict[str, tuple[str, ...]]
        found = {name: (name,) for name in truth.names if name != "(Intercept)"}
    elif isinstance(wanted, str):
        found = {wanted: (wanted,)}
    elif isinstance(wanted, Mapping):
        found = {key: tuple(value) for key, value in wanted.items()}
    else:
        found = {name: (name,) for name in wanted}
    allowed = names if test == "wald" else list(truth.names)
    for name in (name for group in found.values() for name in group):
        if name not in allowed:
            message = f"target {name!r} is not a coefficient that test={test!r} can be of; use "
            raise DataError(message + listed(nearest_first(name, allowed)), code="unknown_option")
    if not found:
        raise DataError("there is no effect to test; name a target=", code="unknown_option")
    return tuple(_target(truth, names, key, group) for key, group in found.items())


def _target(truth: Fit, names: list[str], key: str, group: tuple[str, ...]) -> Target:
    places = tuple(names.index(name) for name in group)
    value = float(truth.estimates.parameters[places[0]]) if len(places) == 1 else math.nan
    return Target(key, places, value)


def wald(fit: Fit, target: Target, df: str) -> float:
    """Return the p value of estimates = 0 by their joint covariance, b' V^-1 b / q ~ F."""
    places, mean = list(target.places), len(fit.names)
    b = fit.estimates.parameters[places]
    v = fit.estimates.covariance[np.ix_(places, places)]
    if not np.isfinite(v).all():
        raise FitError(f"the data set does not tell {target.name!r}", code="unidentified")
    if max(places) >= mean:
        return f_tail(float(b @ np.linalg.solve(v, b)) / len(places), len(places), math.inf)
    rows = np.eye(mean)[places]
    f, below = freedom(fit, df).joint(rows, b)
    return f_tail(f, len(places), below)


def likelihood_ratio(full: float, reduced: float, count: int) -> float:
    """Return the p value of twice the difference of maxima, ~ chi2."""
    from scipy.special import chdtrc

    return float(chdtrc(count, max(2 * (full - reduced), 0.0)))


def without(design: Design, target: Target, kept: tuple[int, ...]) -> Design:
    """Return the design with the columns of a target left out."""
    columns = [kept[place] for place in target.places]
    x = np.asfortranarray(np.delete(design.x, columns, axis=1))
    left = [j for j in range(design.x.shape[1]) if j not in columns]
    return replace(design, x=x, x_names=tuple(design.x_names[j] for j in left))
