"""What responses of a user's family can be, and a first guess of the linear predictor from one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Support:
    """The range of a response.

    Parameters
    ----------
    name : str
    text : str
        What a response must be, in words.
    contains : callable
        Of y: whether it is that.
    """

    name: str
    text: str
    contains: Callable[..., Any]

    def words(self, trials: bool) -> str:
        """What a response must be, with its trials if there are any."""
        return f"{self.text}, and at most its trials" if self._counts(trials) else self.text

    def holds(self, trials: bool) -> Callable[..., Any]:
        """Return the function that is recorded."""
        if self._counts(trials):
            return lambda y, size: self.contains(y) & (y <= size)
        return self.contains

    def _counts(self, trials: bool) -> bool:
        return trials and self.name == "count"


SUPPORTS = {
    "count": Support(
        "count", "a whole number, 0 or more", lambda y: (y >= 0.0) & (y == np.floor(y))
    ),
    "positive": Support("positive", "greater than 0", lambda y: y > 0.0),
    "proportion": Support("proportion", "between 0 and 1", lambda y: (y > 0.0) & (y < 1.0)),
    "real": Support("real", "a number", lambda y: y == y),
}
"""Ranges by name."""

_SMALL = 0.01


def start_of(support: Support, link: str, trials: bool) -> Callable[..., Any]:
    """Return a function that guesses the linear predictor from a response.

    Examples
    --------
    >>> round(float(start_of(SUPPORTS["count"], "log", False)(0.0)), 4)
    -0.6931
    """
    if trials:
        return lambda y, size: _link(link, (y + 0.5) / (size + 1.0))
    if link in ("identity", "inverse", "log"):
        shift = 0.5 if support.name == "count" else 0.0
        return lambda y: _link(link, y + shift if link != "identity" else y)
    if support.name == "proportion":
        return lambda y: _link(link, np.minimum(np.maximum(y, _SMALL), 1.0 - _SMALL))
    # Zero or not is what a count tells of a probability.
    return lambda y: _link(link, np.where(y > 0.0, 0.75, 0.25))


def _link(link: str, mean: Any) -> Any:
    """The linear predictor of a mean, roughly where a link has no simple formula."""
    if link == "identity":
        return mean
    if link == "inverse":
        return 1.0 / mean
    if link == "log":
        return np.log(np.maximum(mean, 1e-8))
    if link == "cloglog":
        return np.log(-np.log1p(-mean))
    logit = np.log(mean / (1.0 - mean))
    return logit / 1.7 if link == "probit" else logit
