"""A formula met data: the frozen `Design`, which makes the same matrices from new data."""

from __future__ import annotations

from .build import build
from .design import Design, DesignTerm, NewRows
from .record import record, restore
from .rows import Drop

__all__ = ["Design", "DesignTerm", "Drop", "NewRows", "build", "record", "restore"]
