"""A formula met data: the frozen `Design`, which makes the same matrices from new data."""

from __future__ import annotations

from .build import build
from .design import Design, DesignTerm, NewRows
from .fixed import FixedTerm, balanced, fixed_terms
from .record import record, restore
from .rows import Drop

__all__ = [
    "Design",
    "DesignTerm",
    "Drop",
    "FixedTerm",
    "NewRows",
    "balanced",
    "build",
    "fixed_terms",
    "record",
    "restore",
]
