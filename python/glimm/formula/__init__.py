"""Formulas: text -> tokens -> tree -> terms. Each stage can be printed by its `show`."""

from __future__ import annotations

from .formula import Formula, RandomTerm, Response
from .terms import parse, parse_side

__all__ = ["Formula", "RandomTerm", "Response", "parse", "parse_side"]
