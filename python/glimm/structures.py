"""What the parameters of a covariance structure are called, and what of it is reported."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .formula import STRUCTURES, places_of

if TYPE_CHECKING:
    from .design import DesignTerm

Array = NDArray[np.float64]


def bare(structure: str) -> str:
    """Return the name of a structure without the constants behind it.

    Examples
    --------
    >>> bare("ou(0.0,1.5)")
    'ou'
    """
    return structure.partition("(")[0]


def constants(structure: str) -> Array:
    """Return the constants behind a structure's name, in the order of the text.

    Examples
    --------
    >>> constants("ou(0.0,1.5)").tolist()
    [0.0, 1.5]
    """
    _, _, rest = structure.partition("(")
    return np.array([float(x) for x in rest.removesuffix(")").split(",") if x])


def range_unit(structure: str) -> float:
    """Return the unit of a structure's range: the mean distance of neighbours.

    Examples
    --------
    >>> range_unit("ou(0.0,1.0,3.0)")
    1.5
    >>> range_unit("exp(2,0.0,0.0,3.0,4.0)")
    5.0
    """
    if bare(structure) == "ou":
        return float(np.diff(constants(structure)).mean())
    places = positions(structure)
    squares = [((places - place) ** 2).sum(axis=1) for place in places]
    return float(np.mean([math.sqrt(np.sort(row)[1]) for row in squares]))


def positions(structure: str) -> Array:
    """Return the places of a field's effects, (q, coordinates).

    Examples
    --------
    >>> positions("mat(1.5,2,0.0,0.0,3.0,4.0)").tolist()
    [[0.0, 0.0], [3.0, 4.0]]
    """
    return np.array(places_of(structure))


def distance_at(structure: str, span: float, correlation: float) -> float:
    """Return the distance at which the correlation of a field of a range has fallen to a value.

    Examples
    --------
    >>> round(distance_at("exp(1,0.0,1.0)", 2.0, 0.05), 4)
    5.9915
    """
    name, given = bare(structure), constants(structure)
    nu = given[0] if name == "mat" else 0.5
    if name == "gau":
        return span * math.sqrt(-math.log(correlation))
    low, high = 0.0, 100.0
    for _ in range(100):
        s = 0.5 * (low + high)
        value = math.exp(-s) * {0.5: 1.0, 1.5: 1 + s, 2.5: 1 + s + s * s / 3}[float(nu)]
        low, high = (s, high) if value > correlation else (low, s)
    return span * low / math.sqrt(2 * nu)


def least_eigenvalue(structure: str, correlation: Array) -> float:
    """Return the least eigenvalue of a structure's correlation matrix.

    Effects in a chain have an inverse with two diagonals, so that long ones cost no cube.

    Examples
    --------
    >>> round(least_eigenvalue("ar1", 0.5 ** np.abs(np.subtract.outer(range(3), range(3)))), 4)
    0.4069
    """
    words = STRUCTURES.get(bare(structure))
    if words is None or not words.chain or len(correlation) < 2:
        return float(np.linalg.eigvalsh(correlation)[0])
    from scipy.linalg import eigvalsh_tridiagonal

    next_to = np.diagonal(correlation, 1)
    left = 1 - next_to**2
    if (left <= 0).any():
        return 0.0
    own = np.concatenate([[1.0], 1 / left]) + np.concatenate([next_to**2 / left, [0.0]])
    last = len(own) - 1
    largest = eigvalsh_tridiagonal(own, -next_to / left, select="i", select_range=(last, last))
    return float(1 / largest[0])


def order(term: DesignTerm) -> list[int]:
    """Return the columns of a term in the order of the core: an intercept comes last.

    The core centres the columns before it, which a factor with the intercept last takes up exactly.
    Columns of several predictors stay together.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> order(SimpleNamespace(columns=("(Intercept)", "x", "w"), predictors=(0, 0, 0)))
    [1, 2, 0]
    """
    last = [
        (k, name == "(Intercept)") for k, name in zip(term.predictors, term.columns, strict=True)
    ]
    return sorted(range(len(last)), key=last.__getitem__)


def parameter_names(structure: str, effects: list[str]) -> list[str]:
    """Return the names of a term's parameters; effects in the order of the core.

    Examples
    --------
    >>> parameter_names("us", ["x", "(Intercept)"])
    ['chol[x, x]', 'chol[(Intercept), x]', 'chol[(Intercept), (Intercept)]']
    >>> parameter_names("ar1", ["t1", "t2", "t3"])
    ['sd', 'angle']
    """
    name, q = bare(structure), len(effects)
    if name == "diag":
        return [f"sd[{a}]" for a in effects]
    words = STRUCTURES.get(name)
    if words is None or name == "rr":
        given = constants(structure)
        rank = q if words is None else int(given[0]) if given.size else 2
        return [f"chol[{a}, {b}]" for r, a in enumerate(effects) for b in effects[: r + 1][:rank]]
    scales = ["sd"] if words.common else [f"root sd[{a}]" for a in effects]
    lags = [f"angle {k}" for k in range(1, q)]
    return scales + [piece for s in words.shape for piece in (lags if s == "lag" else [s])]


def report(
    term: DesignTerm, names: tuple[str, ...], covariance: Array, theta: Array
) -> list[dict[str, Any]]:
    """Return rows `name`, `variance`, `sd` and correlations of a term.

    Correlations are with the effects before; where a structure has one for each lag, with the
    first effect; where it has one alone, that of neighbours. A structure with one standard
    deviation for all effects has one row, unless it has a correlation for each lag. ``reach``
    of a field is the distance at which the correlation has fallen to 0.05.
    """
    name = bare(term.structure)
    words = STRUCTURES.get(name)
    sd = np.sqrt(np.diag(covariance))
    free = words is None or name == "rr"
    single = words is not None and words.common and words.shape != ("lag",)
    rows: list[dict[str, Any]] = []
    for j in range(1 if single else len(names)):
        label = f"{shared(names)} ({name})" if single else names[j]
        row: dict[str, Any] = {"name": label, "variance": float(sd[j] ** 2), "sd": float(sd[j])}
        reach = [k for k in range(j) if sd[j] > 0 and sd[k] > 0 and name != "diag"]
        for k in reach if free else reach[:1]:
            row[_key(k)] = float(covariance[j, k] / (sd[j] * sd[k]))
        placed = words is not None and words.placed
        if single and words is not None and words.shape and sd[0] > 0 and not placed:
            row["corr"] = float(covariance[1, 0] / (sd[1] * sd[0]))
        if name == "ou" or placed:
            row["range"] = math.exp(theta[-1]) * range_unit(term.structure)
        if placed:
            row["reach"] = distance_at(term.structure, row["range"], 0.05)
        rows.append(row)
    return rows


def columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return rows of several terms as columns, NaN where a row says nothing."""
    deepest = max((int(k[5:]) for row in rows for k in row if k.startswith("corr_")), default=1)
    keys = ["group", "name", "variance", "sd", *map(_key, range(deepest))]
    keys += [key for key in ("range", "reach") if any(key in row for row in rows)]
    return {key: [row.get(key, math.nan) for row in rows] for key in keys}


def _key(k: int) -> str:
    return "corr" if k == 0 else f"corr_{k + 1}"


def shared(names: tuple[str, ...]) -> str:
    """Return the column that effects such as ``C(week)[1]`` belong to."""
    heads = {name.partition("[")[0] for name in names}
    return heads.pop().removeprefix("C(").removesuffix(")") if len(heads) == 1 else "each effect"
