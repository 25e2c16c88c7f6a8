"""Generalized linear mixed models: maximum likelihood that is fast, exact and explained.

Start with `fit`; print what it returns.
"""

from __future__ import annotations

from . import datasets
from ._core import __version__
from .compare import Comparison, compare
from .custom import CustomFamily
from .errors import DataError, FamilyError, FitError, FitWarning, FormulaError, GlimmError
from .families import Family, Parameter, families
from .files import load
from .fit import Diagnostics, Finding, Fit
from .gee import GEEFit, dropout_weights, gee
from .gee import beside as gee_beside
from .model import Model, fit
from .penalty import Penalty
from .summary import Summary, summary

__all__ = [
    "Comparison",
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
    "GEEFit",
    "GlimmError",
    "Model",
    "Penalty",
    "Parameter",
    "Summary",
    "__version__",
    "compare",
    "datasets",
    "dropout_weights",
    "families",
    "fit",
    "gee",
    "gee_beside",
    "load",
    "summary",
]
