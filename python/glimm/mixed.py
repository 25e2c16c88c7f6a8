"""Families that differ by row: traits of several kinds in one model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .custom import CustomFamily
from .errors import FamilyError, listed, nearest_first, rows_text
from .families import Family, Parameter, choose, families

Array = NDArray[np.float64]
Given = str | Family | tuple[str | Family, str]

MIXED = "mixed"
"""The name of the link where rows have different ones."""

DISPERSION = Parameter(
    "dispersion", "the parameter that a row's family has besides the mean", "log", dispersion=True
)
MEMBER = Parameter("member", "which family a row has", "identity", -np.inf, np.inf)
"""A predictor that is known: the number of a row's family."""


@dataclass(frozen=True, slots=True)
class Member:
    """The family of some rows.

    Parameters
    ----------
    level : str
        The level of the column that says which.
    family : Family
    link : str
    """

    level: str
    family: Family
    link: str

    @property
    def label(self) -> str | None:
        """The name of its parameter besides the mean, such as ``"sigma[weight]"``."""
        names = [parameter.name for parameter in self.family.parameters]
        return f"{names[0]}[{self.level}]" if names else None

    @property
    def core_name(self) -> tuple[Any, ...]:
        """The family as the core knows it."""
        return self.family.name, self.link, False


@dataclass(frozen=True, slots=True, init=False)
class FamilyBy(Family):
    """A family for each level of a column, for traits of several kinds in one model.

    The data have one row for each trait and record; `column` says which trait a row is of. Each
    row has the likelihood of its own family, and the linear predictor is on the scale of its own
    link; random effects such as ``(0 + trait | animal)`` correlate the traits. A family's
    parameter besides the mean is one number for each trait, ``sigma[weight]``; ``disp=`` makes the
    logarithm of all of them a linear predictor.

    Parameters
    ----------
    column : str
        The column that tells rows apart.
    of : mapping of level to family, optional
        For levels that are no names of Python.
    **families : str, Family or (str or Family, str)
        A family for each level of the column; in a pair its link. Those with at most one parameter
        besides the mean, so not ``"ordinal"``, ``"student_t"`` or ``"tweedie"``.

    Raises
    ------
    FamilyError
        When a family is not known or cannot stand beside others.

    Examples
    --------
    >>> import glimm
    >>> family = glimm.FamilyBy("trait", weight="gaussian", alive=("binomial", "probit"))
    >>> [(member.level, member.family.name, member.link) for member in family.members]
    [('weight', 'gaussian', 'identity'), ('alive', 'binomial', 'probit')]
    """

    column: str
    members: tuple[Member, ...]
    held: tuple[tuple[str, float], ...]

    def __init__(
        self, column: str, of: Mapping[Any, Given] | None = None, /, **families: Given
    ) -> None:
        if not isinstance(column, str) or not column:
            raise FamilyError(f"FamilyBy({column!r}, ...); the column must be its name, as text")
        given = {str(level): family for level, family in (of or {}).items()} | families
        if not given:
            message = f"FamilyBy({column!r}) names no family; give one for each level of the column"
            raise FamilyError(f"{message}, such as weight='gaussian'")
        members = tuple(_member(level, family) for level, family in given.items())
        links = {member.link for member in members}
        parameters = (DISPERSION, MEMBER) if any(m.label for m in members) else (MEMBER,)
        values = {
            "name": "mixed", "links": (links.pop() if len(links) == 1 else MIXED,),
            "parameters": parameters, "trials": any(m.family.trials for m in members),
            "ordered": False, "column": column, "members": members, "held": (),
        }  # fmt: skip
        for key, value in values.items():
            object.__setattr__(self, key, value)

    @property
    def core_name(self) -> list[tuple[Any, ...]]:
        """The families as the core knows them."""
        return [member.core_name for member in self.members]

    @property
    def words(self) -> str:
        """Which trait has which family, for the printout."""
        each = (f"{m.level} {m.family.name} ({m.link})" for m in self.members)
        return f"by {self.column}: {', '.join(each)}"

    @property
    def side(self) -> str:
        """The formula of one coefficient for each level of the column."""
        name = self.column if self.column.isidentifier() else f"`{self.column}`"
        return f"~ 0 + C({name})"

    @property
    def named(self) -> dict[str, Parameter]:
        """The parameters that the families have besides their means, by name."""
        return {m.label: m.family.parameters[0] for m in self.members if m.label is not None}

    def holding(self, hold: Mapping[str, float]) -> FamilyBy:
        """Return the families with some of their parameters held at a value.

        Raises
        ------
        FamilyError
            For a parameter that none has, or a value that it cannot have.
        """
        known = self.named
        for name, value in hold.items():
            if name not in known:
                names = listed(nearest_first(name, known)) if known else "none"
                raise FamilyError(f"hold= names {name!r}; parameters of these families: {names}")
            known[name].predictor(float(value))
        family = FamilyBy(self.column, {m.level: (m.family, m.link) for m in self.members})
        object.__setattr__(family, "held", tuple((n, float(v)) for n, v in hold.items()))
        return family

    def codes(self, x: Array, names: tuple[str, ...], rows: NDArray[np.int64]) -> Array:
        """Return the number of each row's family, (n,).

        Parameters
        ----------
        x : ndarray, (n, levels)
            One column for each level of the column, 1 in its rows.
        names : tuple of str, (levels,)
            As formulas name them.
        rows : ndarray of int, (n,)
            Positions of the rows in the user's frame, for messages.

        Raises
        ------
        FamilyError
            When a level has no family, or a family no level.
        """
        known = {member.level: code for code, member in enumerate(self.members)}
        levels = [name[name.index("[") + 1 : -1].removeprefix("T.") for name in names]
        for level, column in zip(levels, x.T, strict=True):
            if level not in known:
                where = rows_text(rows[column == 1].tolist()) or "the data"
                raise FamilyError(
                    f"column {self.column!r} is {level!r} in {where}, for which FamilyBy names no "
                    f"family; it names {listed(list(known))}. Give a family for {level!r}, or leave"
                    " these rows out"
                )
        lost = [level for level in known if level not in levels]
        if lost:
            raise FamilyError(
                f"FamilyBy names a family for {listed(lost)}, which column {self.column!r} does "
                f"not hold in the rows used; its levels are {listed(levels)}. Leave it out, or "
                "correct the name"
            )
        return np.asarray(x @ np.array([float(known[level]) for level in levels]))

    def record(self) -> dict[str, Any]:
        """Return it as plain data; `restored` is the inverse."""
        each = [[member.level, member.family.name, member.link] for member in self.members]
        return {"column": self.column, "members": each, "held": [list(pair) for pair in self.held]}


def restored(record: Mapping[str, Any]) -> FamilyBy:
    """Return the families of plain data.

    Examples
    --------
    >>> family = FamilyBy("trait", weight="gaussian", eggs="poisson")
    >>> restored(family.record()) == family
    True
    """
    given = {level: (family, link) for level, family, link in record["members"]}
    return FamilyBy(record["column"], given).holding(dict(record["held"]))


def _member(level: str, given: Given) -> Member:
    pair = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
    family, link = choose(*pair)
    what, simple = f"family {family.name!r} of {level!r} cannot stand beside others:", _simple()
    why = ""
    if isinstance(family, FamilyBy):
        why = "it is made of several itself"
    elif isinstance(family, CustomFamily):
        why = "it is written by the user"
    elif family.ordered:
        why = "its response has classes"
    elif len(family.parameters) > 1:
        why = f"it has {len(family.parameters)} parameters besides the mean"
    if why:
        raise FamilyError(f"{what} {why}. Those that can: {listed(simple, 40)}")
    return Member(level, family, link)


def _simple() -> list[str]:
    """Names of the families that may stand beside others."""
    known = families().values()
    return [f.name for f in known if len(f.parameters) <= 1 and not f.ordered]
