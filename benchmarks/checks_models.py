"""Truths that checks are calibrated on: data of models that hold, and of models that do not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
FORMULA = "y ~ x + (1 | g)"
FAMILIES = ("poisson", "binomial", "nbinom2", "gaussian", "gamma")


@dataclass(frozen=True)
class Cell:
    """A truth, and the model that is fitted to it.

    `share` is that of the data sets which are drawn where every refit takes long.
    """

    name: str
    family: str
    groups: int
    rows: int
    sd: float
    wrong: str = ""
    formula: str = FORMULA
    share: float = 1.0

    @property
    def kind(self) -> str:
        """The rows of the table that it is pooled with."""
        return self.family if self.family in FAMILIES and self.formula == FORMULA else "other"


def size_cells() -> Iterator[Cell]:
    """True models: families x cluster sizes x variances."""
    for family in FAMILIES:
        for groups, rows in ((100, 2), (50, 6), (20, 20)):
            for sd in (0.5, 1.5):
                name = f"{family} {groups} x {rows}, sd {sd}"
                yield Cell(name, family, groups, rows, sd)
    yield Cell("ordinal 50 x 6, sd 1", "ordinal", 50, 6, 1.0, share=0.1)
    yield Cell("poisson 100 x 2 + zeros", "poisson zi", 100, 2, 0.5)
    yield Cell("binomial 8 of trials, 60 x 3, sd 1", "trials", 60, 3, 1.0)
    yield Cell("poisson, no groups, 60", "poisson", 60, 1, 0.0, formula="y ~ x")
    yield Cell("gaussian, no groups, 40", "gaussian", 40, 1, 0.0, formula="y ~ x")
    yield Cell("poisson crossed 30 + 10, 2 each", "crossed", 30, 10, 0.7,
               formula="y ~ x + (1 | g) + (1 | h)", share=0.2)  # fmt: skip
    yield Cell("gaussian slopes 30 x 8", "slopes", 30, 8, 1.0, formula="y ~ x + (1 + x | g)")


def power_cells() -> Iterator[Cell]:
    """False models, one departure each."""
    for rows in (3, 10):
        groups = 300 // rows
        for wrong, family in (
            ("overdispersion", "poisson"),
            ("extra zeros", "poisson"),
            ("missing slope", "poisson"),
            ("missing curve", "poisson"),
            ("heteroscedasticity", "gaussian"),
            ("heavy tails", "gaussian"),
            ("wrong link", "binomial"),
            ("time", "gaussian"),
            ("skew effects", "poisson"),
        ):
            yield Cell(f"{wrong}: {family} {groups} x {rows}", family, groups, rows, 0.7, wrong)


def _latent(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    n = cell.groups * cell.rows
    g = np.repeat(np.arange(cell.groups), cell.rows)
    x = rng.normal(size=n)
    b = cell.sd * rng.normal(size=cell.groups)
    if cell.wrong == "skew effects":
        b = cell.sd * (rng.exponential(size=cell.groups) - 1)
    eta = 0.4 * x + b[g]
    if cell.wrong == "missing slope":
        eta = eta + 0.6 * rng.normal(size=cell.groups)[g] * x
    if cell.wrong == "missing curve":
        eta = eta + 0.3 * (x**2 - 1)
    t = np.tile(np.arange(cell.rows), cell.groups)
    return {"g": g, "x": x, "t": t, "eta": eta, "n": n}


def _response(cell: Cell, made: dict[str, Any], rng: np.random.Generator) -> Array:
    eta, n, x = made["eta"], made["n"], made["x"]
    family = cell.family
    if cell.wrong == "overdispersion":
        return rng.poisson(np.exp(1 + eta + 0.35 * rng.normal(size=n))).astype(float)
    if cell.wrong == "extra zeros":
        return rng.poisson(np.exp(1 + eta)) * (rng.random(n) > 0.12).astype(float)
    if family == "poisson zi":
        return rng.poisson(np.exp(1 + eta)) * (rng.random(n) > 0.3).astype(float)
    if family in ("poisson", "crossed"):
        return rng.poisson(np.exp((0.0 if cell.wrong else 0.5) + eta)).astype(float)
    if family == "binomial":
        p = 1 - np.exp(-np.exp(-0.5 + 1.5 * eta)) if cell.wrong else 1 / (1 + np.exp(-eta))
        return (rng.random(n) < p).astype(float)
    if family == "nbinom2":
        mean = np.exp(1 + eta)
        return rng.poisson(mean * rng.gamma(2.0, 0.5, n)).astype(float)
    if family == "gamma":
        return np.asarray(np.exp(eta) * rng.gamma(4.0, 0.25, n))
    noise = rng.normal(size=n)
    if cell.wrong == "heteroscedasticity":
        noise = noise * np.exp(0.35 * x)
    if cell.wrong == "heavy tails":
        noise = rng.standard_t(4, n) / math.sqrt(2)
    if cell.wrong == "time":
        for i in range(1, n):
            if made["t"][i]:
                noise[i] = 0.35 * noise[i - 1] + math.sqrt(1 - 0.35**2) * noise[i]
    return np.asarray(1 + eta + noise)


def draw(cell: Cell, rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return data of a cell, and what else `glimm.fit` is told."""
    made = _latent(cell, rng)
    more: dict[str, Any] = {"family": cell.family}
    data = {"g": made["g"], "x": made["x"], "t": made["t"]}
    if cell.family == "crossed":
        h = rng.integers(0, cell.rows, made["n"])
        made["eta"] = made["eta"] + cell.sd * rng.normal(size=cell.rows)[h]
        data["h"], more["family"] = h, "poisson"
    if cell.family == "slopes":
        made["eta"] = made["eta"] + 0.5 * rng.normal(size=cell.groups)[made["g"]] * made["x"]
        more["family"] = "gaussian"
    if cell.family == "poisson zi":
        more |= {"family": "poisson", "zi": "~ 1"}
    if cell.family == "trials":
        size = np.full(made["n"], 8)
        success = rng.binomial(size, 1 / (1 + np.exp(-made["eta"])))
        more["family"] = "binomial"
        return data | {"y": success, "size": size}, more
    if cell.family == "ordinal":
        latent = made["eta"] + rng.logistic(size=made["n"])
        return data | {"y": np.searchsorted([-1.0, 0.5, 1.5], latent) + 1}, more
    return data | {"y": _response(cell, made, rng)}, more
