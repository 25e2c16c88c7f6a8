"""How often checks reject true models, and find false ones, with parameters estimated.

Every cell fits a model to data drawn from a known truth, makes all checks, and counts p < 0.05.
`make calibrate-checks` writes benchmarks/results/checks-calibration.md; with `--replicates` and
`--cells` smaller, it says roughly the same sooner.
"""

from __future__ import annotations

import argparse
import math
import os
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("RAYON_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

import glimm
from glimm.checks import dependence, distribution, patterns, random

Array = NDArray[np.float64]
RESULTS = Path(__file__).parent / "results" / "checks-calibration.md"
FORMULA = "y ~ x + (1 | g)"


@dataclass(frozen=True)
class Cell:
    """A truth, and the model that is fitted to it."""

    name: str
    family: str
    groups: int
    rows: int
    sd: float
    wrong: str = ""
    formula: str = FORMULA


def size_cells() -> Iterator[Cell]:
    """True models: families x cluster sizes x variances."""
    for family in ("poisson", "binomial", "nbinom2", "gaussian", "gamma"):
        for groups, rows in ((100, 2), (50, 6), (20, 20)):
            for sd in (0.5, 1.5):
                name = f"{family} {groups} x {rows}, sd {sd}"
                yield Cell(name, family, groups, rows, sd)
    yield Cell("ordinal 50 x 6, sd 1", "ordinal", 50, 6, 1.0)
    yield Cell("poisson 100 x 2 + zeros", "poisson zi", 100, 2, 0.5)
    yield Cell("binomial 8 of trials, 60 x 3, sd 1", "trials", 60, 3, 1.0)
    yield Cell("poisson, no groups, 60", "poisson", 60, 1, 0.0, formula="y ~ x")
    yield Cell("gaussian, no groups, 40", "gaussian", 40, 1, 0.0, formula="y ~ x")
    yield Cell("poisson crossed 30 + 10, 2 each", "crossed", 30, 10, 0.7,
               formula="y ~ x + (1 | g) + (1 | h)")  # fmt: skip
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


def tests(cell: Cell, r: glimm.Residuals) -> dict[str, Any]:
    """Return the checks that are made, by name."""
    n = r.n
    place = np.random.default_rng(5).random((n, 2))
    found = {
        "uniformity": distribution.uniformity_test(),
        "KS": distribution.uniformity_test("kolmogorov"),
        "dispersion": distribution.dispersion_test(),
        "outliers": distribution.outliers_test(),
        "trend fitted": patterns.trend_test("fitted"),
        "trend x": patterns.trend_test("x"),
        "spread": patterns.heteroscedasticity_test("fitted"),
        "spread x": patterns.heteroscedasticity_test("x"),
        "category": patterns.groups_test(np.arange(n) * 7 % 5),
        "time": dependence.temporal_test(np.arange(n)),
        "space": dependence.spatial_test(r, place[:, 0], place[:, 1]),
        "within": dependence.clusters_test("g" if cell.sd else np.arange(n) // 5),
    }
    if cell.family in ("poisson", "nbinom2", "poisson zi", "crossed", "trials"):
        found["zeros"] = distribution.zeros_test()
    if cell.sd:
        found["effects"] = random.normality_test()
    return found


COLUMNS = (
    "uniformity", "KS", "dispersion", "outliers", "zeros", "trend fitted", "trend x", "spread",
    "spread x", "category", "time", "space", "within", "effects", "statistic",
)  # fmt: skip


def _names(cell: Cell) -> str:
    return "y / size" + cell.formula[1:] if cell.family == "trials" else cell.formula


def one(job: tuple[Cell, int, str, int]) -> dict[str, float]:
    """Return p-values of one data set of a cell; empty where the fit failed."""
    cell, seed, null, n = job
    rng = np.random.default_rng([seed, zlib.crc32(cell.name.encode())])
    data, more = draw(cell, rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            fit = glimm.fit(_names(cell), data, threads=1, progress=False, **more)
            if null == "dharma":
                return _dharma(fit, seed)
            study = glimm.checks.study(fit, null=null, n=n, seed=seed)
            made = tests(cell, study.residuals)
            found = study.run(list(made.values()))
            p = dict(zip(made, (check.p for check in found), strict=True))
            p["statistic"] = glimm.checks.statistic(fit, _skewness, n=99, seed=seed).p
            return p
        except glimm.GlimmError:
            return {}


def _skewness(y: Array) -> float:
    return float(np.mean((y - y.mean()) ** 3) / max(np.std(y), 1e-9) ** 3)


def _dharma(fit: glimm.Fit, seed: int) -> dict[str, float]:
    found = {}
    for kind in ("conditional", "marginal"):
        statistics = glimm.checks.dharma(fit, random_effects=kind, seed=seed).statistics
        found |= {f"{kind} {name}": p for name, (_, p) in statistics.items()}
    return found


def rates(
    cell: Cell, replicates: int, null: str, n: int, run: Callable[..., Any], start: int
) -> dict[str, tuple[float, int]]:
    """Return the share of p < 0.05 and the number of data sets, by check."""
    jobs = [(cell, start + k, null, n) for k in range(replicates)]
    all_p = [p for p in run(one, jobs, chunksize=4) if p]
    names = list(dict.fromkeys(name for p in all_p for name in p))
    out = {}
    for name in names:
        known = np.array([p[name] for p in all_p if math.isfinite(p.get(name, math.nan))])
        if known.size:
            out[name] = (float(np.mean(known < 0.05)), int(known.size))
    return out


def table(title: str, rows: dict[str, dict[str, tuple[float, int]]], names: list[str]) -> str:
    """Return a table in per cent."""
    lines = [f"## {title}", "", "| model | " + " | ".join(names) + " |"]
    lines.append("|---|" + "---:|" * len(names))
    for cell, found in rows.items():
        cells = [f"{100 * found[name][0]:.1f}" if name in found else "" for name in names]
        lines.append(f"| {cell} | " + " | ".join(cells) + " |")
    total = []
    for name in names:
        parts = [found[name] for found in rows.values() if name in found]
        count = sum(k for _, k in parts)
        total.append(f"{100 * sum(r * k for r, k in parts) / count:.1f}" if count else "")
    lines.append("| **all** | " + " | ".join(total) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the cells and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--refits", type=int, default=199)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--cells", default="", help="only cells whose name holds this")
    parser.add_argument("--parts", default="refit,exact,dharma,power")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    text, begun = [], time.time()
    with ProcessPoolExecutor(options.processes) as pool:
        for part in options.parts.split(","):
            power = part.startswith("power")
            cells = [
                c for c in (power_cells() if power else size_cells()) if options.cells in c.name
            ]
            nulls = ("refit", "exact", "dharma") if power else (part,)
            for null in nulls:
                rows = {}
                for cell in cells:
                    rows[cell.name] = rates(
                        cell, options.replicates, null, options.refits, pool.map, 1
                    )
                    shares = {k: round(100 * v[0], 1) for k, v in rows[cell.name].items()}
                    print(part, null, cell.name, f"{time.time() - begun:.0f} s", shares, flush=True)
                known = {name for found in rows.values() for name in found}
                names = [c for c in COLUMNS if c in known] + sorted(known - set(COLUMNS))
                what = "Power (false models)" if power else "Size (true models)"
                text.append(table(f"{what}: {null}", rows, names))
    se = 100 * math.sqrt(0.05 * 0.95 / options.replicates)
    head = (
        "# Checks: how often they reject at 5 %\n\nPer cent of data sets with p < 0.05, parameters "
        f"estimated. {options.replicates} data sets per model, Monte Carlo standard error at 5 %: "
        f"{se:.1f} (all models together: less). `refit`: p-values from {options.refits} refits to "
        "the model's own simulations. `exact`: parameters drawn from their likelihood, no refit. "
        "`dharma`: the definitions of DHARMa 0.5.\n\n"
    )
    options.out.write_text(head + "\n".join(text))


if __name__ == "__main__":
    main()
