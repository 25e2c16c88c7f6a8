"""Small published studies, and makers of simulated ones with known truth."""

from __future__ import annotations

from .catalog import Column, Description
from .pedigreed import Pedigreed, make_fecundity
from .shipped import describe, load, names, text
from .simulated import Simulated, Truth, make_infections, make_steps

__all__ = [
    "Column",
    "Description",
    "Pedigreed",
    "Simulated",
    "Truth",
    "describe",
    "load",
    "make_fecundity",
    "make_infections",
    "make_steps",
    "names",
    "text",
]
