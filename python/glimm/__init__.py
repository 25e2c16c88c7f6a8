"""Generalized linear mixed models: maximum likelihood that is fast, exact and explained.

Start with `fit`; print what it returns.
"""

from __future__ import annotations

from . import datasets
from ._core import __version__
from .custom import CustomFamily
from .errors import DataError, FamilyError, FitError, FitWarning, FormulaError, GlimmError
from .families import Family, Parameter, families
from .files import load
from .fit import Diagnostics, Finding, Fit
from .model import Model, fit
from .summary import Summary, summary

__all__ = [
    "CustomFamily",
    "DataError",
    "Diagnostics",
    "Family",
    "FamilyError",
    "Finding",
    "Fit",
    "FitError",
    "FitWarning",
    "FormulaError",
    "GlimmError",
    "Model",
    "Parameter",
    "Summary",
    "__version__",
    "datasets",
    "families",
    "fit",
    "load",
    "summary",
]
