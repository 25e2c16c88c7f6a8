"""The questions that a Fit answers, as its methods."""

from __future__ import annotations

from .answers import Answers
from .inference import Inference


class Doors(Answers, Inference):
    """All of them."""

    __slots__ = ()
