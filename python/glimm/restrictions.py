"""Parameters of random effects that are held at a value, or shared by several terms."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .errors import DataError, listed, nearest_first
from .formula import STRUCTURES
from .structures import bare, order, range_unit

if TYPE_CHECKING:
    from .design import Design, DesignTerm

Place = tuple[int, int]
Tie = tuple[Place, Place | None, float]
"""A parameter by its term's number and its own; the one that it equals; the value it is held at."""


@dataclass(frozen=True, slots=True)
class Readable:
    """A number of a term that depends on one parameter alone."""

    place: Place
    kind: str
    write: Callable[[float], float]


def is_random(name: str) -> bool:
    """Whether a name is one of a random effect's parameter, as ``fit.confint`` prints them."""
    return ": " in name


def ties_of(
    design: Design, hold: Sequence[tuple[str, float]], share: Sequence[tuple[str, str]]
) -> list[Tie]:
    """Return what the core is told of parameters that are held or shared.

    Parameters
    ----------
    design : Design
    hold : sequence of (str, float)
        Names as `Fit.confint` prints them, such as ``"subject: sd[(Intercept)]"``, with values on
        the scale printed.
    share : sequence of (str, str)
        The second of a pair equals the first.

    Raises
    ------
    DataError
        For names that there are not, values out of range, and numbers that depend on several
        parameters.
    """
    if not hold and not share:
        return []
    held = dict(hold)
    known: dict[str, Readable] = {}
    ties: list[Tie] = []
    done: set[str] = set()
    for t, term in enumerate(design.terms):
        names = _effect_names(design, term)
        whole = _whole(t, term, names, held)
        if whole is not None:
            ties += whole[0]
            done |= whole[1]
        known |= _readable(t, term, names, held)
    for name, value in held.items():
        if name not in done:
            found = _find(known, design, name)
            ties.append((found.place, None, _written(found, name, value)))
    for first, second in share:
        ties.append(_shared(known, design, held, first, second))
    return _resolved(ties)


def _resolved(ties: Sequence[Tie]) -> list[Tie]:
    """Ties to parameters that are tied themselves become ties to the last of the chain."""
    by_place = {place: (to, value) for place, to, value in ties}
    if len(by_place) < len(ties):
        raise DataError(
            "a parameter is held or shared twice; once is enough", code="unknown_option"
        )
    found: list[Tie] = []
    for place, to, value in ties:
        seen = {place}
        while to in by_place:
            if to in seen:
                raise DataError("share= goes round in a circle", code="unknown_option")
            seen.add(to)
            to, value = by_place[to]
        found.append((place, to, value))
    return found


def _shared(
    known: Mapping[str, Readable], design: Design, held: Mapping[str, float], a: str, b: str
) -> Tie:
    first, second = _find(known, design, a), _find(known, design, b)
    if first.kind != second.kind:
        message = f"share= pairs {a!r} with {b!r}, which are numbers of different kinds"
        raise DataError(f"{message}; pair an sd with an sd", code="unknown_option")
    if b in held:
        raise DataError(f"{b!r} is held and shared; use one of them", code="unknown_option")
    return second.place, first.place, 0.0


def _written(found: Readable, name: str, value: float) -> float:
    try:
        written = found.write(float(value))
    except (ValueError, TypeError):
        written = math.nan
    if math.isfinite(written):
        return written
    allowed = "a number above zero" if found.kind[:3] != "cor" else "a correlation within its range"
    raise DataError(
        f"hold= gives {name!r} the value {value!r}; use {allowed}", code="unknown_option"
    )


def _find(known: Mapping[str, Readable], design: Design, name: str) -> Readable:
    if name in known:
        return known[name]
    names = listed(nearest_first(name, known)) if known else "none"
    message = f"{name!r} is no parameter of the random effects that can be held or shared: {names}"
    if any(len(t.columns) > 1 and t.structure == "us" for t in design.terms):
        message += (
            ". Of (x | g) hold all standard deviations and correlations, or a correlation of two "
            "effects at 0; (x || g) and structures such as cs() have numbers of their own"
        )
    raise DataError(message, code="unknown_option")


def _effect_names(design: Design, term: DesignTerm) -> tuple[str, ...]:
    of = {part.predictor: part.name for part in design.parts}
    pairs = zip(term.predictors, term.columns, strict=True)
    return tuple(name if k == 0 else f"{of[k]}: {name}" for k, name in pairs)


def _positive(x: float) -> float:
    return x if x > 0 else math.nan


def _readable(
    t: int, term: DesignTerm, names: tuple[str, ...], held: Mapping[str, float]
) -> dict[str, Readable]:
    """The numbers of a term that are a parameter each."""
    structure, label = bare(term.structure), term.label
    places = [order(term).index(j) for j in range(len(names))]
    if structure == "diag" or len(names) == 1 and structure == "us":
        return {
            f"{label}: sd[{name}]": Readable((t, places[j]), "sd", _positive)
            for j, name in enumerate(names)
        }
    if structure == "us":
        found = {f"{label}: sd[{names[places.index(0)]}]": Readable((t, 0), "sd", _positive)}
        cor = f"{label}: cor[{names[0]}, {names[1]}]"
        if len(names) == 2 and held.get(cor) == 0:
            last = names[places.index(1)]
            found[cor] = Readable((t, 1), "cor", lambda x: 0.0)
            found[f"{label}: sd[{last}]"] = Readable((t, 2), "sd", _positive)
        return found
    if structure == "rr":
        return {}
    return _of_structure(t, term, names, places)


def _of_structure(
    t: int, term: DesignTerm, names: tuple[str, ...], places: list[int]
) -> dict[str, Readable]:
    structure, label, q = bare(term.structure), term.label, len(names)
    words = STRUCTURES[structure]
    if words.common:
        found = {f"{label}: sd": Readable((t, 0), "sd", _positive)}
    else:
        found = {
            f"{label}: sd[{name}]": Readable(
                (t, places[j]), "root", lambda x: math.sqrt(_positive(x))
            )
            for j, name in enumerate(names)
        }
    first = len(found)
    if words.shape == ("log range",):
        unit = range_unit(term.structure)
        found[f"{label}: range"] = Readable(
            (t, first), f"range {unit}", lambda x: math.log(x / unit)
        )
    elif words.shape == ("lag",):
        lags = ["corr[lag 1]", *(f"partial corr[lag {k}]" for k in range(2, q))]
        for k, name in enumerate(lags):
            found[f"{label}: {name}"] = Readable((t, first + k), "corr", math.asin)
    elif words.shape:
        scale = q / (2 * (q - 1)) if structure in ("cs", "homcs") else 1.0
        turn = lambda x: math.asin(1 - (1 - x) / scale)  # noqa: E731
        found[f"{label}: corr"] = Readable((t, first), f"corr {scale}", turn)
    return found


def _whole(
    t: int, term: DesignTerm, names: tuple[str, ...], held: Mapping[str, float]
) -> tuple[list[Tie], set[str]] | None:
    """A covariance of a term (x | g) that is held as a whole."""
    q, label = len(names), term.label
    if bare(term.structure) != "us" or q < 2:
        return None
    sds = [f"{label}: sd[{name}]" for name in names]
    cors = {(k, j): f"{label}: cor[{names[k]}, {names[j]}]" for j in range(q) for k in range(j)}
    wanted = {*sds, *cors.values()}
    if not wanted <= set(held):
        return None
    sd = np.array([held[name] for name in sds])
    matrix = np.eye(q)
    for (k, j), name in cors.items():
        matrix[k, j] = matrix[j, k] = held[name]
    at = order(term)
    try:
        root = np.linalg.cholesky((matrix * np.outer(sd, sd))[np.ix_(at, at)])
    except np.linalg.LinAlgError:
        message = f"hold= gives group {label!r} a covariance that is not positive definite"
        raise DataError(
            f"{message}; correlations must go together", code="unknown_option"
        ) from None
    values = [float(root[r, c]) for r in range(q) for c in range(r + 1)]
    return [((t, j), None, value) for j, value in enumerate(values)], wanted
