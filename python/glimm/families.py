"""The user's words for families: thin descriptions of what the core computes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from . import _core
from .errors import FamilyError, listed, nearest_first


@dataclass(frozen=True, slots=True)
class Dispersion:
    """The second parameter of a family.

    Parameters
    ----------
    name : str
        ``"sigma"``, ``"theta"``, ``"cv"``.
    meaning : str
        What it is, in words.
    """

    name: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Family:
    """The distribution of a response given its linear predictor.

    Parameters
    ----------
    name : str
    links : tuple of str
        Links it is available with, the default first.
    dispersion : Dispersion, optional
        None for families whose variance follows from the mean.
    trials : bool
        Whether a response counts successes out of a number of trials.
    """

    name: str
    links: tuple[str, ...]
    dispersion: Dispersion | None
    trials: bool


@cache
def families() -> dict[str, Family]:
    """Return all families by name.

    Examples
    --------
    >>> families()["poisson"].links[0]
    'log'
    """
    found = {}
    for entry in _core.families():
        dispersion = entry["dispersion"]
        found[entry["name"]] = Family(
            name=entry["name"],
            links=tuple(entry["links"]),
            dispersion=None if dispersion is None else Dispersion(*dispersion),
            trials=entry["trials"],
        )
    return found


def choose(family: str | Family, link: str | None) -> tuple[Family, str]:
    """Return the family and the link meant.

    Raises
    ------
    FamilyError
        When the family is not known, or not available with this link; the message lists what is.

    Examples
    --------
    >>> family, link = choose("binomial", None)
    >>> family.name, link
    ('binomial', 'logit')
    """
    if isinstance(family, str):
        known = families()
        if family not in known:
            names = listed(nearest_first(family, known))
            raise FamilyError(f"family {family!r} is not known; available: {names}")
        family = known[family]
    if not isinstance(family, Family):
        message = f"family is a {type(family).__name__}; it must be a name, such as 'poisson'"
        raise FamilyError(message)
    if link is None:
        return family, family.links[0]
    if link not in family.links:
        names = listed(nearest_first(str(link), family.links))
        message = f"family {family.name!r} is not available with link {link!r}; use {names}"
        raise FamilyError(message)
    return family, link
