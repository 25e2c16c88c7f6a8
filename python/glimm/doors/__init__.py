"""The questions that a Fit answers, as its methods."""

from __future__ import annotations

from .answers import Answers
from .checks import Checks
from .files import Saved
from .genetics import Genetics
from .inference import Inference


class Doors(Answers, Checks, Genetics, Inference, Saved):
    """All of them."""

    __slots__ = ()
