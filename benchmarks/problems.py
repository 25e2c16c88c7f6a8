"""Benchmark problems as rows of data: seeded simulations with known truth.

A problem on disk is a folder with `problem.json` and one raw little-endian float64 file per
column, so that every engine, in any language, reads exactly the same numbers without a parser.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray[np.float64] | NDArray[np.int64]]
Beta = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Bar:
    """One random term: `(1 | group)` or, with a slope column, `(1 + slope | group)`."""

    group: str
    levels: int
    sd: tuple[float, ...]  # true standard deviations on the scale of the linear predictor
    slope: str | None = None
    corr: float = 0.0  # true correlation of intercept and slope

    @property
    def text(self) -> str:
        columns = "1" if self.slope is None else f"1 + {self.slope}"
        return f"({columns} | {self.group})"


@dataclass(frozen=True, slots=True)
class Problem:
    """`y ~ x + w + bars`, with x standard normal and w a fair 0/1 covariate."""

    name: str
    family: str  # binomial | poisson | nbinom2
    rows: int
    beta: Beta  # intercept, x, w; scale of the linear predictor
    bars: tuple[Bar, ...]
    seed: int
    shape: float | None = None  # nbinom2: variance = mu + mu^2 / shape

    @property
    def formula(self) -> str:
        return " + ".join(["y ~ x + w", *(bar.text for bar in self.bars)])

    @property
    def title(self) -> str:
        groups = " x ".join(f"{bar.levels:,}" for bar in self.bars)
        return f"{self.family}, `{self.formula}`, {self.rows:,} rows, {groups} groups"

    @property
    def digest(self) -> str:
        return hashlib.sha256(repr(self).encode()).hexdigest()[:12]

    def smallest(self) -> Problem:
        """The same model at 300 rows: 30 groups, or 30 x 10 when crossed."""
        levels = (30, 10)
        bars = tuple(
            dataclasses.replace(bar, levels=k) for bar, k in zip(self.bars, levels, strict=False)
        )
        return dataclasses.replace(self, name=f"{self.name}-smallest", rows=300, bars=bars)


def _slopes(family: str, beta: Beta, sd: tuple[float, float]) -> list[Problem]:
    sizes = [("300", 300, 30), ("1e4", 10_000, 500), ("1e5", 100_000, 5_000)]
    sizes.append(("1e6", 1_000_000, 50_000))
    return [
        Problem(f"{family}-slopes-{label}", family, rows, beta, (Bar("g", k, sd, "x", 0.3),), seed)
        for seed, (label, rows, k) in enumerate(sizes, start=101)
    ]


def _crossed(family: str, beta: Beta, sd: tuple[float, float]) -> list[Problem]:
    sizes = [("1e5", 100_000, (2_000, 500)), ("1e5-wide", 100_000, (5_000, 500))]
    sizes.append(("1e6", 1_000_000, (50_000, 20_000)))
    return [
        Problem(
            f"{family}-crossed-{label}",
            family,
            rows,
            beta,
            (Bar("g", levels[0], sd[:1]), Bar("h", levels[1], sd[1:])),
            301,
        )
        for label, rows, levels in sizes
    ]


def _counts(name: str, beta: Beta, shape: float) -> Problem:
    return Problem(name, "nbinom2", 50_000, beta, (Bar("g", 2_000, (0.6,)),), 201, shape)


_ROWS = (
    *_slopes("binomial", (-0.5, 0.8, 0.4), (1.0, 0.5)),
    *_slopes("poisson", (0.5, 0.3, -0.2), (0.5, 0.3)),
    _counts("nbinom2-5e4", (1.0, 0.4, -0.3), 2.0),
    *_crossed("poisson", (0.5, 0.3, -0.2), (0.5, 0.4)),
    *_crossed("binomial", (-0.5, 0.8, 0.4), (1.0, 0.7)),
)
PROBLEMS: dict[str, Problem] = {problem.name: problem for problem in _ROWS}


def _codes(rng: np.random.Generator, rows: int, levels: int) -> NDArray[np.int64]:
    """Group codes in random order with every level used at least once."""
    codes = np.concatenate([np.arange(levels), rng.integers(0, levels, rows - levels)])
    return rng.permutation(codes)


def _effect(rng: np.random.Generator, bar: Bar, columns: Columns) -> NDArray[np.float64]:
    """One draw of the random term's contribution to the linear predictor, (n,)."""
    draws = rng.standard_normal((bar.levels, len(bar.sd)))
    codes = columns[bar.group]
    out = bar.sd[0] * draws[codes, 0]
    if bar.slope is not None:
        slope = bar.corr * draws[:, 0] + np.sqrt(1 - bar.corr**2) * draws[:, 1]
        out += bar.sd[1] * slope[codes] * columns[bar.slope]
    return np.asarray(out, dtype=np.float64)


def _response(rng: np.random.Generator, problem: Problem, columns: Columns) -> NDArray[np.int64]:
    intercept, x, w = problem.beta
    eta = intercept + x * columns["x"] + w * columns["w"]
    for bar in problem.bars:
        eta = eta + _effect(rng, bar, columns)
    if problem.family == "binomial":
        return (rng.random(problem.rows) < 1 / (1 + np.exp(-eta))).astype(np.int64)
    mean = np.exp(eta)
    if problem.shape is not None:
        mean = rng.gamma(problem.shape, mean / problem.shape)
    return rng.poisson(mean)


def simulate(problem: Problem) -> Columns:
    """Columns x, w, the groups, the response y, and y2: a second response for refits."""
    rng = np.random.default_rng(problem.seed)
    columns: Columns = {"x": rng.standard_normal(problem.rows)}
    columns["w"] = rng.integers(0, 2, problem.rows)
    for bar in problem.bars:
        columns[bar.group] = _codes(rng, problem.rows, bar.levels)
    columns["y"] = _response(rng, problem, columns)
    columns["y2"] = _response(rng, problem, columns)
    return columns


def write(problem: Problem, root: Path) -> Path:
    """Return the problem's folder below `root`, made when it is not there yet."""
    folder = root / f"{problem.name}-{problem.digest}"
    if (folder / "problem.json").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    columns = simulate(problem)
    for name, values in columns.items():
        values.astype("<f8").tofile(folder / f"{name}.f64")
    spec = dataclasses.asdict(problem) | {"formula": problem.formula, "columns": list(columns)}
    # Written last: its presence says that the columns are complete.
    (folder / "problem.json").write_text(json.dumps(spec, indent=1))
    return folder


def read(folder: Path) -> tuple[Problem, Columns]:
    """Load a folder made by `write`; every column but x comes back as integers."""
    spec = json.loads((folder / "problem.json").read_text())
    names = spec.pop("columns")
    spec.pop("formula")
    bars = tuple(Bar(**(bar | {"sd": tuple(bar["sd"])})) for bar in spec["bars"])
    problem = Problem(**(spec | {"bars": bars, "beta": tuple(spec["beta"])}))
    columns: Columns = {}
    for name in names:
        values = np.fromfile(folder / f"{name}.f64", dtype="<f8")
        columns[name] = values if name == "x" else values.astype(np.int64)
    return problem, columns
