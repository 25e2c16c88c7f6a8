"""The user's words for families: thin descriptions of what the core computes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

from . import _core
from .errors import FamilyError, listed, nearest_first

_LOG_LARGEST = math.log(1.7e308)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a family besides the mean.

    Parameters
    ----------
    name : str
        ``"sigma"``, ``"theta"``, ``"power"``.
    meaning : str
        What it is, in words.
    scale : str
        The scale of its linear predictor: ``"log"``, ``"identity"``, or ``"logit"`` between bounds.
    low, high : float
        Where it lies.
    dispersion : bool
        Whether it measures dispersion, so that ``disp=`` is a model of it.
    precision : float
        What a precision weight w adds to its linear predictor, in units of log w; 0 where such
        weights have no meaning.
    """

    name: str
    meaning: str = ""
    scale: str = "log"
    low: float = 0.0
    high: float = math.inf
    dispersion: bool = False
    precision: float = 0.0

    @property
    def label(self) -> str:
        """The parameter on its scale, such as ``"log(sigma)"``."""
        return self.name if self.scale == "identity" else f"{self.scale}({self.name})"

    def value(self, eta: float) -> float:
        """Return the parameter of a linear predictor.

        Examples
        --------
        >>> families()["nbinom2"].parameters[0].value(0.0)
        1.0
        """
        if self.scale == "identity":
            return eta
        if self.scale == "log":
            return math.exp(min(eta, _LOG_LARGEST))
        return self.low + (self.high - self.low) * _logistic(eta)

    def predictor(self, value: float) -> float:
        """Return the linear predictor of a value.

        Raises
        ------
        FamilyError
            When the value is outside of its bounds.
        """
        if not self.low < value < self.high:
            message = f"{self.name}={value!r}; it lies between {self.low:g} and {self.high:g}"
            raise FamilyError(message, code="outside_domain")
        if self.scale == "identity":
            return float(value)
        if self.scale == "log":
            return math.log(value)
        return math.log((value - self.low) / (self.high - value))


def _logistic(eta: float) -> float:
    small = math.exp(-abs(eta))
    return 1 / (1 + small) if eta >= 0 else small / (1 + small)


@dataclass(frozen=True, slots=True)
class Family:
    """The distribution of a response given its linear predictor.

    Parameters
    ----------
    name : str
    links : tuple of str
        Links it is available with, the default first.
    parameters : tuple of Parameter
        Besides the mean; none for families whose variance follows from it.
    trials : bool
        Whether a response counts successes out of a number of trials.
    ordered : bool
        Whether a response is one of several ordered classes.
    """

    name: str
    links: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    trials: bool
    ordered: bool

    @property
    def program(self) -> tuple[Any, ...] | None:
        """What the core needs of a family that it does not know by name."""
        return None

    @property
    def dispersion(self) -> Parameter | None:
        """The parameter that measures dispersion, if there is one."""
        return next((p for p in self.parameters if p.dispersion), None)


@cache
def families() -> dict[str, Family]:
    """Return all families by name.

    Examples
    --------
    >>> families()["poisson"].links[0]
    'log'
    """
    found = {}
    for entry in _core.families():
        found[entry["name"]] = Family(
            name=entry["name"],
            links=tuple(entry["links"]),
            parameters=tuple(Parameter(*parameter) for parameter in entry["parameters"]),
            trials=entry["trials"],
            ordered=entry["ordered"],
        )
    return found


def choose(family: str | Family, link: str | None) -> tuple[Family, str]:
    """Return the family and the link meant.

    Raises
    ------
    FamilyError
        When the family is not known, or not available with this link; the message lists what is.

    Examples
    --------
    >>> family, link = choose("binomial", None)
    >>> family.name, link
    ('binomial', 'logit')
    """
    if isinstance(family, str):
        known = families()
        if family not in known:
            names = listed(nearest_first(family, known))
            raise FamilyError(f"family {family!r} is not known; available: {names}")
        family = known[family]
    if not isinstance(family, Family):
        message = f"family is a {type(family).__name__}; it must be a name, such as 'poisson'"
        raise FamilyError(message)
    if link is None:
        return family, family.links[0]
    if link not in family.links:
        names = listed(nearest_first(str(link), family.links))
        message = f"family {family.name!r} is not available with link {link!r}; use {names}"
        raise FamilyError(message)
    return family, link
