"""Generalized linear mixed models: maximum likelihood that is fast, exact and explained.

Start with `fit`; print what it returns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import checks, datasets
from ._core import __version__
from .checks import Check, CheckPage, Influence, Residuals, influence, residuals
from .compare import Comparison, compare
from .custom import CustomFamily
from .effects.comparisons import comparisons
from .effects.means import means
from .effects.result import Effects
from .effects.slopes import slopes
from .errors import DataError, FamilyError, FitError, FitWarning, FormulaError, GlimmError
from .families import Family, Parameter, families
from .files import load
from .fit import Diagnostics, Finding, Fit
from .gee import GEEFit, dropout_weights, gee
from .gee import beside as gee_beside
from .graphs import Graph
from .inference.contrasts import adjust
from .mixed import FamilyBy
from .model import Model, fit
from .pedigree import Pedigree, Phylogeny
from .penalty import Penalty
from .power import Power, PowerCurve, extend, power, power_curve
from .relations import Relation, Relationship
from .summary import Summary, summary

if TYPE_CHECKING:
    from . import plots

__all__ = [
    "Check",
    "CheckPage",
    "Comparison",
    "CustomFamily",
    "DataError",
    "Diagnostics",
    "Effects",
    "Family",
    "FamilyBy",
    "FamilyError",
    "Finding",
    "Fit",
    "FitError",
    "FitWarning",
    "FormulaError",
    "GEEFit",
    "GlimmError",
    "Influence",
    "Graph",
    "Model",
    "Pedigree",
    "Penalty",
    "Phylogeny",
    "Parameter",
    "Power",
    "PowerCurve",
    "Residuals",
    "Relation",
    "Relationship",
    "Summary",
    "__version__",
    "adjust",
    "checks",
    "compare",
    "comparisons",
    "datasets",
    "extend",
    "dropout_weights",
    "families",
    "fit",
    "gee",
    "gee_beside",
    "influence",
    "load",
    "means",
    "plots",
    "power",
    "power_curve",
    "residuals",
    "slopes",
    "summary",
]


def __getattr__(name: str) -> Any:
    """Import the pictures when they are asked for."""
    if name == "plots":
        from importlib import import_module

        return import_module(".plots", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
