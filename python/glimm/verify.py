"""`Fit.verify`: the likelihood once more, by another rule and on data told differently."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _core
from .problem import core_arrays
from .tables import Column, Table

if TYPE_CHECKING:
    from .fit import Fit

Array = NDArray[np.float64]
_Arrays = tuple[Any, ...]
_Told = tuple[_Arrays, Array]

_ROUNDING = 1e-10
"""Difference of two sums of the same numbers in another order, relative to their size."""
_FACTOR = 1024.0
"""By which a covariate is rescaled: a power of two, which rounds nothing."""
_NODES = {1: (61, 101), 2: (25, 41), 3: (9, 13)}
"""Nodes per effect of two rules of Gauss and Hermite, by the number of effects of a group."""
_SYMMETRIC = ("logit", "probit", "cauchit")


@dataclass(frozen=True, slots=True)
class Check:
    """One look at the log-likelihood at the estimates.

    Parameters
    ----------
    name : str
        What was done.
    loglik : float
        The log-likelihood that came out.
    difference : float
        From that of the fit, in nats.
    allowed : float
        The most that rounding and the stated error of the integral explain.
    """

    name: str
    loglik: float
    difference: float
    allowed: float

    @property
    def passed(self) -> bool:
        """Whether the difference is explained."""
        return abs(self.difference) <= self.allowed


@dataclass(frozen=True, slots=True)
class Verification:
    """Checks of one fit; see `Fit.verify`.

    Parameters
    ----------
    checks : tuple of Check
    """

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    def table(self) -> Table:
        """The checks as a table."""
        columns = (
            Column("check"),
            Column("logLik", "text", "loglik"),
            Column("difference", "text"),
            Column("allowed", "text"),
            Column("", "text", "passed"),
        )
        rows = tuple(
            (
                check.name,
                f"{check.loglik:.6f}",
                f"{check.difference:.1e}",
                f"{check.allowed:.1e}",
                "ok" if check.passed else "FAILS",
            )
            for check in self.checks
        )
        return Table("The log-likelihood at the estimates, computed again", columns, rows)

    def __str__(self) -> str:
        return self.table().to_text()


def verify(fit: Fit) -> Verification:
    """Compute the log-likelihood of a fit again, by another rule and on data told differently.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    Verification

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("cbpp")
    >>> fit = glimm.fit("incidence / size ~ C(period) + (1 | herd)", data, family="binomial")
    >>> fit.verify().passed
    True
    """
    arrays, parameters = core_arrays(fit.model, fit.design), fit.estimates.parameters.copy()
    base = fit.loglik
    stated = fit.certificate.loglik_error if fit.certificate.measured else 0.0
    checks = []
    for name, value, unsure in _other_rules(fit, arrays, parameters):
        allowed = _ROUNDING * (1 + abs(base)) + stated + unsure
        checks.append(Check(name, value, value - base, allowed))
    here = _loglik(fit, arrays, parameters)
    for name, tell in _TOLD.items():
        told = tell(fit, arrays, parameters)
        if told is not None:
            value = _loglik(fit, *told)
            allowed = 10 * _ROUNDING * (1 + abs(base)) + stated
            checks.append(Check(name, base + (value - here), value - here, allowed))
    return Verification(tuple(checks))


def _loglik(fit: Fit, arrays: _Arrays, parameters: Array, **options: Any) -> float:
    chosen: dict[str, Any] = {
        "reml": fit.model.reml,
        "engine": fit.model.engine,
        "integration": fit.model.integration,
        "threads": fit.model.threads,
    }
    found = _core.Problem(*arrays, **(chosen | options)).evaluate(parameters)
    return math.nan if found is None else found[0]


def _other_rules(
    fit: Fit, arrays: _Arrays, parameters: Array
) -> Iterator[tuple[str, float, float]]:
    """(Name, log-likelihood, what that rule itself leaves open) by other ways to integrate."""
    path = fit.diagnostics.path
    if path == "lmm" and not fit.model.reml:
        value = _loglik(fit, arrays, parameters, laplace=True)
        yield "by the general path, not the closed form", value, 0.0
    elif path in ("dense", "sparse") and not all(term.tied for term in fit.design.terms):
        other = "sparse" if path == "dense" else "dense"
        value = _loglik(fit, arrays, parameters, engine=other, integration="laplace")
        known = _loglik(fit, arrays, parameters, engine=path, integration="laplace")
        yield f"Laplace by the {other} engine", fit.loglik + (value - known), 0.0
    elif path == "block":
        effects = sum(len(term.columns) for term in fit.design.terms)
        if effects in _NODES:
            fewer, more = _NODES[effects]
            first = _loglik(fit, arrays, parameters, integration=f"agq:{fewer}")
            value = _loglik(fit, arrays, parameters, integration=f"agq:{more}")
            name = f"by Gauss and Hermite, {more} nodes an effect"
            yield name, value, abs(value - first)


def _rows_reversed(fit: Fit, arrays: _Arrays, parameters: Array) -> _Told:
    family, y, size, freq, predictors, terms = arrays
    turn: Callable[[Array | None], Array | None] = lambda v: (  # noqa: E731
        None if v is None else np.ascontiguousarray(v[::-1])
    )
    turned = [(turn(x), turn(offset), value) for x, offset, value in predictors]
    parts = [
        (name, turn(codes), levels, turn(z), *more, (prior, [tuple(map(turn, m)) for m in also]))
        for name, codes, levels, z, *more, (prior, also) in terms
    ]
    return (family, turn(y), turn(size), turn(freq), turned, parts), parameters


def _levels_renamed(fit: Fit, arrays: _Arrays, parameters: Array) -> _Told | None:
    *rest, terms = arrays
    if not terms:
        return None
    return (*rest, [_renamed(*term) for term in terms]), parameters


def _renamed(structure: str, codes: Any, levels: int, *more: Any) -> tuple[Any, ...]:
    """A term with its levels in reverse order; those of a known relation stay."""
    prior, also = more[-1]
    if prior is None:
        turned = [(np.where(m < 0, m, levels - 1 - m), z) for m, z in also]
        codes, more = levels - 1 - codes, (*more[:-1], (None, turned))
    return structure, codes, levels, *more


def _covariate_rescaled(fit: Fit, arrays: _Arrays, parameters: Array) -> _Told | None:
    name, y, size, freq, predictors, terms = arrays
    x, offset, value = predictors[0]
    kept = fit.estimates.kept[0]
    varies = [i for i, j in enumerate(kept) if np.ptp(x[:, j]) > 0]
    if not varies or fit.model.reml or fit.model.penalty is not None:
        return None
    x, moved = x.copy(), parameters.copy()
    x[:, kept[varies[0]]] *= _FACTOR
    moved[varies[0]] /= _FACTOR
    return (name, y, size, freq, [(x, offset, value), *predictors[1:]], terms), moved


def _outcomes_swapped(fit: Fit, arrays: _Arrays, parameters: Array) -> _Told | None:
    name, y, size, freq, predictors, terms = arrays
    symmetric = fit.model.family.name == "binomial" and fit.model.link in _SYMMETRIC
    if not symmetric or fit.model.zi is not None:
        return None
    x, offset, value = predictors[0]
    moved, count = parameters.copy(), len(fit.estimates.kept[0])
    moved[:count] *= -1
    turned = [(x, None if offset is None else -offset, value), *predictors[1:]]
    return (name, (1.0 if size is None else size) - y, size, freq, turned, terms), moved


_TOLD: dict[str, Callable[[Fit, _Arrays, Array], _Told | None]] = {
    "rows in reverse order": _rows_reversed,
    "levels renamed": _levels_renamed,
    "a covariate in other units": _covariate_rescaled,
    "successes and failures swapped": _outcomes_swapped,
}
