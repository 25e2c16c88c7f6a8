"""Small published studies, and makers of simulated ones with known truth."""

from __future__ import annotations

from .catalog import Column, Description
from .shipped import describe, load, names, text
from .simulated import Simulated, Truth, make_infections, make_steps

__all__ = [
    "Column",
    "Description",
    "Simulated",
    "Truth",
    "describe",
    "load",
    "make_infections",
    "make_steps",
    "names",
    "text",
]
