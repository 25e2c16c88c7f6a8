"""How the integral over the random effects was taken, and how wrong it can be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SMALL = 0.1
"""Bias, in standard errors, that changes no conclusion."""
_EXACT = ("closed form", "none")


@dataclass(frozen=True, eq=False, slots=True)
class Certificate:
    """How wrong the integral over the random effects can be, measured at the estimates.

    Random effects that share no row with others form a *unit*, whose integral stands alone: a level
    of a single grouping factor, a top level of nested ones, a connected block of crossed ones.
    Units are integrated a second time by a reference rule, panels of Gauss and Kronrod that are
    halved until their own error is negligible; with three or four effects a unit a fine product of
    Gauss-Hermite nodes, with more many draws. The difference is what the fit's own integral lacks.

    Parameters
    ----------
    method : str
        ``"closed form"``, ``"none"`` (no random effects), ``"laplace"``, ``"laplace, corrected"``
        (by quadrature on a sample of the units), ``"quadrature"``, ``"importance"``,
        ``"propagation"`` or ``"propagation, corrected"`` (by its second-order remainder).
    units : int
        Integrals that make up the likelihood.
    checked : int
        Units that were integrated again by the reference rule.
    nodes : (int, int, int)
        Least, median and largest number of nodes, or draws, of a unit; one is Laplace's
        approximation.
    loglik_error : float
        Estimated error of the log-likelihood at the estimates, in nats; with two standard errors
        where it comes from a sample or from draws. NaN where it could not be measured.
    laplace_error : float
        Laplace's approximation of the log-likelihood at the estimates less its true value.
    bias : ndarray, (P,)
        Predicted bias that the integral leaves in each parameter, in its standard errors: the
        difference of the two gradients times the covariance of the estimates.
    bias_se : ndarray, (P,)
        Standard error of that bias, in the same units; zero where all units were checked.
    effective_size : float, optional
        Least effective sample size of a unit, where draws were used.
    runaway : bool
        Whether the maximum of Laplace's approximation was far from the truth, so that the fit began
        again from its start by quadrature.
    """

    method: str
    units: int
    checked: int
    nodes: tuple[int, int, int]
    loglik_error: float
    laplace_error: float
    bias: Array
    bias_se: Array
    effective_size: float | None
    runaway: bool

    @property
    def exact(self) -> bool:
        """Whether there is no integral to be wrong about."""
        return self.method in _EXACT

    @property
    def measured(self) -> bool:
        """Whether the error is known."""
        return self.exact or not math.isnan(self.loglik_error)

    @property
    def worst(self) -> float:
        """The largest predicted bias of a parameter, in standard errors, with two of its errors."""
        if self.exact or self.bias.size == 0:
            return 0.0 if self.exact else math.nan
        sizes = np.abs(self.bias) + 2 * self.bias_se
        known = sizes[np.isfinite(sizes)]
        return float(known.max()) if known.size else math.nan

    @property
    def verdict(self) -> str:
        """The certificate in one line."""
        if self.method == "none":
            return "no random effects to integrate over"
        if self.method == "closed form":
            return "exact: random effects integrated in closed form"
        if not self.measured:
            return f"{self._how()}; the error is not known"
        error = f"logLik within {_size(self.loglik_error, 1e-7)}"
        return f"{self._how()}; {error}, bias of estimates {_bias(self.worst)}"

    def _how(self) -> str:
        least, _, most = self.nodes
        range_ = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        of = f"{self.checked:,} of {self.units:,}"
        sample = f", checked on {of} units" if 0 < self.checked < self.units else ""
        how = {
            "laplace": "Laplace",
            "laplace, corrected": f"Laplace, corrected on {of} units",
            "quadrature": f"quadrature, {range_} nodes a unit{sample}",
            "importance": f"importance sampling, {range_} draws",
            "propagation": "expectation propagation",
            "propagation, corrected": "expectation propagation, corrected to second order",
        }.get(self.method, self.method)
        if self.method == "laplace":
            how += sample
        if self.effective_size is not None:
            how += f", effective size {self.effective_size:,.0f} or more"
        return how

    def record(self) -> dict[str, Any]:
        """The numbers as plain values, ready for JSON."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return plain | {
            "nodes": list(self.nodes),
            "bias": self.bias.tolist(),
            "bias_se": self.bias_se.tolist(),
        }

    def __str__(self) -> str:
        return self.verdict


def certificate(found: dict[str, Any]) -> Certificate:
    """Return the certificate of its plain values.

    Examples
    --------
    >>> plain = {"method": "none", "units": 0, "checked": 0, "nodes": [0, 0, 0],
    ...     "loglik_error": 0.0, "laplace_error": 0.0, "bias": [], "bias_se": [],
    ...     "effective_size": None, "runaway": False}
    >>> str(certificate(plain))
    'no random effects to integrate over'
    """
    arrays = {name: np.array(found[name], dtype=float) for name in ("bias", "bias_se")}
    for array in arrays.values():
        array.flags.writeable = False
    return Certificate(**{**found, **arrays, "nodes": tuple(found["nodes"])})


def _size(value: float, floor: float) -> str:
    """A size in two digits; below the floor only that."""
    return f"{floor:.0e}".replace("e-0", "e-") if value < floor else f"{value:.2g}"


def _bias(value: float) -> str:
    return "< 0.001 SE" if value < 0.001 else f"up to {value:.2g} SE"
