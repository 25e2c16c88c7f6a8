"""Benchmark problems as rows of data: seeded simulations with known truth, and a study from R.

A problem on disk is a folder with `problem.json` and one raw little-endian float64 file per
column, so that every engine, in any language, reads exactly the same numbers without a parser.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
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
    family: str  # gaussian | binomial | poisson | nbinom2
    rows: int
    beta: Beta  # intercept, x, w; scale of the linear predictor
    bars: tuple[Bar, ...]
    seed: int
    shape: float | None = None  # nbinom2: variance = mu + mu^2 / shape
    reml: bool = False
    zeros: tuple[float, float] | None = None  # log odds of an extra zero: intercept, w
    covariates: tuple[str, ...] = ("x", "w")
    study: str | None = None  # lines of R that make the data frame d of a study; else simulated

    @property
    def fixed(self) -> str:
        return " + ".join(["y ~ " + self.covariates[0], *self.covariates[1:]])

    @property
    def formula(self) -> str:
        return " + ".join([self.fixed, *(bar.text for bar in self.bars)])

    @property
    def title(self) -> str:
        groups = " x ".join(f"{bar.levels:,}" for bar in self.bars)
        family = f"{self.family} (REML)" if self.reml else self.family
        family = f"{family}, extra zeros `{self.zi}`" if self.zeros else family
        return f"{family}, `{self.formula}`, {self.rows:,} rows, {groups} groups"

    @property
    def zi(self) -> str:
        """Formula of the extra zeros; none is ~0, as glmmTMB has it."""
        return "~ w" if self.zeros else "~0"

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


def _zeros(name: str) -> Problem:
    bars = (Bar("g", 2_000, (0.4,)),)
    beta = (0.5, 0.3, 0.7)
    return Problem(name, "nbinom2", 100_000, beta, bars, 202, 1.5, zeros=(-0.8, -0.5))


INSTEVAL = """
d <- with(lme4::InstEval, data.frame(y = y, w = service == "1", s = as.integer(s),
  d = as.integer(d), ds = as.integer(interaction(dept, service, drop = TRUE))))"""


def _linear(name: str, rows: int, bars: tuple[Bar, ...], seed: int) -> list[Problem]:
    beta = (1.0, 0.5, -0.3)
    return [
        Problem(f"{name}-{'reml' if reml else 'ml'}", "gaussian", rows, beta, bars, seed, reml=reml)
        for reml in (True, False)
    ]


def _insteval(reml: bool) -> Problem:
    bars = (Bar("s", 2_972, (0.33,)), Bar("d", 1_128, (0.51,)), Bar("ds", 28, (0.1,)))
    name = f"insteval-{'reml' if reml else 'ml'}"
    return Problem(
        name, "gaussian", 73_421, (3.3, 0.0, -0.1), bars, 0,
        reml=reml, covariates=("w",), study=INSTEVAL,
    )  # fmt: skip


_ROWS = (
    *_linear("gaussian-slopes-180", 180, (Bar("g", 18, (1.0, 0.3), "x", 0.1),), 401),
    *_linear("gaussian-slopes-1e5", 100_000, (Bar("g", 5_000, (1.0, 0.5), "x", 0.3),), 402),
    _insteval(True),
    _insteval(False),
    *_slopes("binomial", (-0.5, 0.8, 0.4), (1.0, 0.5)),
    *_slopes("poisson", (0.5, 0.3, -0.2), (0.5, 0.3)),
    _counts("nbinom2-5e4", (1.0, 0.4, -0.3), 2.0),
    _zeros("nbinom2-zeros-1e5"),
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


def _response(
    rng: np.random.Generator, problem: Problem, columns: Columns
) -> NDArray[np.float64] | NDArray[np.int64]:
    intercept, x, w = problem.beta
    eta = intercept + x * columns["x"] + w * columns["w"]
    for bar in problem.bars:
        eta = eta + _effect(rng, bar, columns)
    if problem.family == "gaussian":
        return np.asarray(eta + rng.standard_normal(problem.rows), dtype=np.float64)
    if problem.family == "binomial":
        return (rng.random(problem.rows) < 1 / (1 + np.exp(-eta))).astype(np.int64)
    mean = np.exp(eta)
    if problem.shape is not None:
        mean = rng.gamma(problem.shape, mean / problem.shape)
    y = rng.poisson(mean)
    if problem.zeros is None:
        return y
    odds = np.exp(problem.zeros[0] + problem.zeros[1] * columns["w"])
    return np.where(rng.random(problem.rows) < odds / (1 + odds), 0, y)


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


def export(problem: Problem) -> Columns:
    """Columns of a study as R has it; y2 is y with noise of half a unit."""
    script = f"{problem.study}\nwriteBin(as.double(unlist(d)), stdout(), endian = 'little')"
    script = script.replace("stdout()", "pipe('cat', 'wb')")
    raw = subprocess.run(["Rscript", "-e", script], capture_output=True, check=True).stdout
    names = ["y", *problem.covariates, *(bar.group for bar in problem.bars)]
    values = np.frombuffer(raw, dtype="<f8").reshape(len(names), -1)
    columns: Columns = dict(zip(names, values, strict=True))
    noise = np.random.default_rng(problem.seed).standard_normal(problem.rows)
    return columns | {"y2": columns["y"] + 0.5 * noise}


def write(problem: Problem, root: Path) -> Path:
    """Return the problem's folder below `root`, made when it is not there yet."""
    folder = root / f"{problem.name}-{problem.digest}"
    if (folder / "problem.json").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    columns = simulate(problem) if problem.study is None else export(problem)
    for name, values in columns.items():
        values.astype("<f8").tofile(folder / f"{name}.f64")
    spec = dataclasses.asdict(problem) | {"formula": problem.formula, "columns": list(columns)}
    # Written last: its presence says that the columns are complete.
    (folder / "problem.json").write_text(json.dumps(spec, indent=1))
    return folder


def read(folder: Path) -> tuple[Problem, Columns]:
    """Load a folder made by `write`; counts and codes come back as integers."""
    spec = json.loads((folder / "problem.json").read_text())
    names = spec.pop("columns")
    spec.pop("formula")
    bars = tuple(Bar(**(bar | {"sd": tuple(bar["sd"])})) for bar in spec["bars"])
    tuples = {"bars": bars, "beta": tuple(spec["beta"]), "covariates": tuple(spec["covariates"])}
    tuples["zeros"] = None if spec["zeros"] is None else tuple(spec["zeros"])
    problem = Problem(**(spec | tuples))
    real = {"x", "y", "y2"} if problem.family == "gaussian" else {"x"}
    columns: Columns = {}
    for name in names:
        values = np.fromfile(folder / f"{name}.f64", dtype="<f8")
        columns[name] = values if name in real else values.astype(np.int64)
    return problem, columns
