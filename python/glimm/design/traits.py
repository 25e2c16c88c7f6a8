"""Families that differ by row: which one a row has, and the parameters that some of them have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError, rows_text
from .rows import Rows

if TYPE_CHECKING:
    from .design import Request
    from .sides import Side


def by_row(request: Request, sides: list[Side], rows: Rows) -> list[Side]:
    """Return the matrices of a family that differs by row (`glimm.FamilyBy`); others as they are.

    The last predictor is the number of each row's family, which is known. That of the dispersion
    has no columns in rows whose family has no such parameter; without a formula of the user it has
    one coefficient for each family that has one.

    Raises
    ------
    FamilyError
        When a level has no family, or a family no level.
    """
    family: Any = request.family
    if not hasattr(family, "codes"):
        return sides
    *others, last = sides
    codes = family.codes(last.x.values, last.x.names, rows)
    none = replace(last.x, values=np.empty((codes.size, 0), order="F"), names=())
    number = replace(last.x, values=codes[:, None], names=(family.column,))
    others = [_dispersion(side, family.members, codes) if k else side for k, side in
              enumerate(others)]  # fmt: skip
    if len(others) == 2 and others[1].formula.text == last.formula.text:
        labels = [family.members[int(code)].label for code in _levels(last, family)]
        others[1] = _kept(others[1], labels, dict(family.held))
    return [*others, replace(last, x=none, offsets=[number])]


def check_trials(request: Request, sides: list[Side], trials: Any, rows: Rows) -> None:
    """Refuse several trials in a row whose family has none.

    Raises
    ------
    DataError
    """
    family: Any = request.family
    if trials is None or not hasattr(family, "codes"):
        return
    codes = sides[-1].offsets[0].values[:, 0].astype(np.int64)
    counts = np.array([member.family.trials for member in family.members])[codes]
    wrong = np.flatnonzero(~counts & (trials != 1))
    if wrong.size:
        first = family.members[codes[wrong[0]]]
        where = rows_text(rows[wrong].tolist())
        raise DataError(
            f"the number of trials is {trials[wrong[0]]:g} in {where}, where {family.column!r} is "
            f"{first.level!r}; family {first.family.name!r} has no trials, so it must be 1 there",
            code="outside_domain",
        )


def _levels(side: Side, family: Any) -> list[float]:
    """The number of the family of each column."""
    return [float(code) for code in family.codes(np.eye(len(side.x.names)), side.x.names, [])]


def _dispersion(side: Side, members: Sequence[Any], codes: Any) -> Side:
    """Zero in the rows whose family has no such parameter."""
    has = np.array([member.label is not None for member in members])[codes.astype(np.int64)]
    x = replace(side.x, values=np.asfortranarray(side.x.values * has[:, None]))
    return replace(side, x=x)


def _kept(side: Side, labels: list[str | None], held: dict[str, float]) -> Side:
    """The columns of families that have the parameter, by its name; what is held is known."""
    keep = [(j, name) for j, name in enumerate(labels) if name is not None and name not in held]
    values = np.asfortranarray(side.x.values[:, [j for j, _ in keep]])
    fixed = [np.log(held.get(name, 1.0)) if name is not None else 0.0 for name in labels]
    known = replace(side.x, values=(side.x.values @ fixed)[:, None], names=("held",))
    x = replace(side.x, values=values, names=tuple(name for _, name in keep))
    return replace(side, x=x, offsets=[known] if held else [])
