"""The questions that a Fit answers, as its methods."""

from __future__ import annotations

from .answers import Answers
from .genetics import Genetics
from .inference import Inference


class Doors(Answers, Genetics, Inference):
    """All of them."""

    __slots__ = ()
