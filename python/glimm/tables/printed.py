"""What results have in common: they are drawn from tables, the first of which is their frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .blocks import WIDTH, Block, Table, draw

if TYPE_CHECKING:
    from collections.abc import Sequence


class Printed:
    """A result that is drawn from a property `table`, or from `tables` where it has several."""

    __slots__ = ()

    @property
    def tables(self) -> Sequence[Block]:
        """What is drawn, from top to bottom."""
        return (self.table,)  # type: ignore[attr-defined]

    def __str__(self) -> str:
        return draw(self.tables, width=WIDTH)

    def _repr_html_(self) -> str:
        return "\n".join(block.to_html() for block in self.tables)


class Framed(Printed):
    """A printed result whose table is also its frame, of the kind `frame_kind`."""

    __slots__ = ()

    def to_frame(self) -> Any:
        """Return the numbers as a frame of the kind that the fit was given."""
        table: Table = self.table  # type: ignore[attr-defined]
        return table.to_frame(self.frame_kind)  # type: ignore[attr-defined]
