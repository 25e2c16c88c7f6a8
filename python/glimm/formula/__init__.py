"""Formulas: text -> tokens -> tree -> terms. Each stage can be printed by its `show`."""

from __future__ import annotations

from .formula import Formula, RandomTerm, Response
from .structures import RELATIONS, STRUCTURES, StructureWords, places_of
from .terms import parse, parse_side

__all__ = [
    "RELATIONS",
    "STRUCTURES",
    "Formula",
    "RandomTerm",
    "Response",
    "StructureWords",
    "parse",
    "parse_side",
    "places_of",
]
