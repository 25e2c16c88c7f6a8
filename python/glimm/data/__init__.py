"""The user's frames: read as NumPy columns, and results given back as the same kind of frame."""

from __future__ import annotations

from .column import Column, Level, all_finite, values_of
from .frame import Frame, Kind, frame_like, read_values, take_rows, with_columns

__all__ = [
    "Column",
    "Frame",
    "Kind",
    "Level",
    "all_finite",
    "frame_like",
    "read_values",
    "take_rows",
    "values_of",
    "with_columns",
]
