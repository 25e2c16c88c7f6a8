"""A made-up population with a pedigree and known truth. Nothing here was measured on any animal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import Kind, frame_like
from ..errors import DataError

Array = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pedigreed:
    """A simulated study of relatives.

    Attributes
    ----------
    frame : frame
        One row per record.
    records : frame
        The pedigree: `animal`, `sire`, `dam`.
    truth : mapping of str to mapping of str to float
        For each trait the variances on the scale of the linear predictor.
    """

    frame: Any
    records: Any
    truth: Mapping[str, Mapping[str, float]]


FECUNDITY = {
    "weight": {"additive": 1.2, "permanent": 0.4, "dam": 0.4, "residual": 1.0},
    "eggs": {"additive": 0.12, "permanent": 0.06, "dam": 0.04},
}


def make_fecundity(
    animals: int = 600,
    generations: int = 5,
    seasons: int = 2,
    *,
    truth: Mapping[str, Mapping[str, float]] = FECUNDITY,
    seed: int = 0,
    kind: Kind = "pandas",
) -> Pedigreed:
    """Simulated weights (normal) and numbers of eggs (Poisson) in a pedigreed population.

    Every generation descends from the one before: a fifth of its males and half of its females
    breed, at random. The founders have no record of parents; all animals are measured.

    Parameters
    ----------
    animals : int
        In all generations together.
    generations, seasons : int
        Seasons are records per animal.
    truth : mapping
        Variances by trait, with the keys of `FECUNDITY`.
    seed : int
    kind : str
        Of the frames: ``"pandas"``, ``"polars"``, ``"pyarrow"`` or ``"dict"``.

    Raises
    ------
    DataError
        For fewer than 20 animals in a generation.

    Examples
    --------
    >>> study = make_fecundity(200, 4, kind="dict")
    >>> list(study.frame), len(study.records["animal"])
    (['animal', 'dam', 'sex', 'season', 'weight', 'eggs'], 200)
    """
    each = animals // max(generations, 1)
    if each < 20 or seasons < 1:
        message = f"{animals} animals in {generations} generations; 20 in each at least"
        raise DataError(message, code="unknown_option")
    rng = np.random.default_rng(seed)
    parents = mated(np.full(generations, each), rng)
    n = len(parents)
    # The first half of each generation are males, from whom the sires come.
    male, season = np.arange(n) % each < each // 2, np.tile(np.arange(seasons), n)
    own = np.repeat(np.arange(n), seasons)
    latent = {}
    for trait, parts in truth.items():
        genetic = inherited(parents, parts["additive"], rng)
        lasting = rng.normal(0, np.sqrt(parts["permanent"]), n)
        mothers = rng.normal(0, np.sqrt(parts["dam"]), n + 1)
        mother = np.where(parents[:, 1] >= 0, parents[:, 1], np.arange(n))
        latent[trait] = (genetic + lasting + mothers[mother])[own]
    weight = 20 + 1.5 * male[own] + 0.4 * season + latent["weight"]
    weight = weight + rng.normal(0, np.sqrt(truth["weight"]["residual"]), own.size)
    eggs = rng.poisson(np.exp(1.1 + 0.25 * season + latent["eggs"]))
    names = np.array([f"a{i:0{len(str(n))}d}" for i in range(n)] + [None], dtype=object)
    # A founder's dam is not known: every one of them has a level of its own.
    dams = np.where(parents[:, 1] >= 0, names[parents[:, 1]], [f"of {x}" for x in names[:-1]])
    frame = {
        "animal": names[own].tolist(),
        "dam": dams[own].tolist(),
        "sex": np.where(male, "male", "female")[own].tolist(),
        "season": season + 1,
        "weight": weight.round(2),
        "eggs": eggs,
    }
    records = {
        "animal": names[:-1].tolist(),
        "sire": names[parents[:, 0]].tolist(),
        "dam": names[parents[:, 1]].tolist(),
    }
    return Pedigreed(frame_like(kind, frame), frame_like(kind, records), truth)


def mated(sizes: Places, rng: np.random.Generator) -> Places:
    """Return sires and dams, (n, 2), generation by generation; those of founders are -1."""
    found = [np.full((int(sizes[0]), 2), -1)]
    first = 0
    for before, size in zip(sizes, sizes[1:], strict=False):
        half = int(before) // 2
        males = first + rng.permutation(half)[: max(half // 5, 2)]
        females = first + half + rng.permutation(int(before) - half)[: max(half // 2, 2)]
        pairs = np.column_stack([rng.choice(males, int(size)), rng.choice(females, int(size))])
        found.append(pairs)
        first += int(before)
    return np.vstack(found)


def inherited(parents: Places, variance: float, rng: np.random.Generator) -> Array:
    """Return breeding values of animals whose parents precede them, generation by generation."""
    from .. import _core

    own = _core.Pedigree(np.ascontiguousarray(parents)).mendelian * variance
    weights = np.where(parents >= 0, 0.5, 0.0)
    sample = rng.normal(0, np.sqrt(own))
    return _core.descent_down(np.ascontiguousarray(parents), weights, sample)
