"""Doors to files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast


class Saved:
    """What can be written to a file."""

    __slots__ = ()

    def save(self, path: str | Path) -> None:
        """Write the fit to a file that `glimm.load` reads: JSON and arrays, with the data used."""
        from ..files import save

        save(cast("Any", self), Path(path))

    def __reduce__(self) -> tuple[Any, ...]:
        from ..files import from_bytes, to_bytes

        return from_bytes, (to_bytes(cast("Any", self)),)
