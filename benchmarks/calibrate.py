"""Do 95 % intervals hold the truth in 95 of 100 data sets? results/calibration.md.

    python benchmarks/calibrate.py [replicates] [replicates of the bootstrap]

A factorial design of families, groups, rows of a group and standard deviations of the random
effects. Every replicate draws new effects and responses; estimates are by the default integral.
"""

from __future__ import annotations

import math
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

import glimm

OUTPUT = Path(__file__).parent / "results" / "calibration.md"
FAMILIES = ("binomial", "poisson", "gaussian")
GROUPS, SIZES, SDS = (20, 50, 200), (4, 10), (0.5, 1.5)
BOOTSTRAPS = 200
SLOPE, BETWEEN, INTERCEPT = 0.5, -0.4, -0.3
AT = {"x": 0.5, "w": 0.0}
FORMULA = "y ~ x + w + (1 | g)"
KEYS = (
    "x, Wald",
    "x, profile",
    "w, Wald",
    "w, profile",
    "sd, Wald",
    "sd, profile",
    "subject",
    "population",
)
BOOT_KEYS = ("x, boot", "w, boot", "sd, boot")


@dataclass(frozen=True)
class Cell:
    """One cell of the design."""

    family: str
    groups: int
    size: int
    sd: float


def simulate(cell: Cell, seed: int) -> tuple[dict[str, Any], np.ndarray]:
    """Return data and the random effects they were drawn with."""
    draw = np.random.default_rng([seed, cell.groups, cell.size, round(100 * cell.sd)])
    g = np.repeat(np.arange(cell.groups), cell.size)
    x, w = draw.normal(size=g.size), draw.normal(size=cell.groups)[g]
    b = cell.sd * draw.normal(size=cell.groups)
    eta = INTERCEPT + SLOPE * x + BETWEEN * w + b[g]
    if cell.family == "binomial":
        y = (draw.random(g.size) < 1 / (1 + np.exp(-eta))).astype(float)
    elif cell.family == "poisson":
        y = draw.poisson(np.exp(eta)).astype(float)
    else:
        y = eta + draw.normal(size=g.size)
    return {"y": y, "x": x, "w": w, "g": g}, b


def mean(family: str, eta: np.ndarray) -> np.ndarray:
    """Expected response at a linear predictor."""
    if family == "binomial":
        return 1 / (1 + np.exp(-eta))
    return np.exp(eta) if family == "poisson" else eta


def population_mean(cell: Cell) -> float:
    """The truth at `AT`, averaged over the groups."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(61)
    eta = INTERCEPT + SLOPE * AT["x"] + BETWEEN * AT["w"] + cell.sd * nodes
    return float(weights @ mean(cell.family, eta) / math.sqrt(2 * math.pi))


def column(frame: Any, name: str, key: str) -> float:
    """One number of a table of intervals."""
    return float(frame[key][list(frame["name"]).index(name)])


def inside(frame: Any, name: str, truth: float) -> float:
    """1 if the interval of `name` holds the truth, 0 if not, NaN without an interval."""
    lower, upper = column(frame, name, "lower"), column(frame, name, "upper")
    if math.isnan(lower) or math.isnan(upper):
        return math.nan
    return float(lower <= truth <= upper)


def truths(cell: Cell, names: list[str]) -> dict[str, tuple[str, float]]:
    """Key of the table: the interval's name and the truth."""
    sd = next(name for name in names if name.startswith("g:"))
    return {"x": ("x", SLOPE), "w": ("w", BETWEEN), "sd": (sd, cell.sd)}


def replicate(job: tuple[Cell, int, bool]) -> list[float]:
    """Whether each interval of one data set holds the truth."""
    cell, seed, boot = job
    data, b = simulate(cell, seed)
    keys = BOOT_KEYS if boot else KEYS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            fit = glimm.fit(FORMULA, data, cell.family, threads=1, reml=False)
            return bootstrap(cell, fit) if boot else intervals(cell, fit, b)
        except glimm.GlimmError:
            return [math.nan] * len(keys)


def intervals(cell: Cell, fit: glimm.Fit, b: np.ndarray) -> list[float]:
    """Wald, profile and prediction intervals."""
    found = []
    tables = {method: fit.confint(method=method, part="all") for method in ("wald", "profile")}
    for name, truth in truths(cell, list(tables["wald"]["name"])).values():
        found += [inside(tables[method], name, truth) for method in tables]
    new = {name: [value] for name, value in AT.items()} | {"g": [0]}
    eta = INTERCEPT + SLOPE * AT["x"] + BETWEEN * AT["w"] + b[0]
    for kind, truth in (
        ("subject", float(mean(cell.family, np.asarray(eta)))),
        ("population", population_mean(cell)),
    ):
        band = fit.predict(new, kind=kind, interval="confidence")
        found.append(float(band["lower"][0] <= truth <= band["upper"][0]))
    return found


def bootstrap(cell: Cell, fit: glimm.Fit) -> list[float]:
    """Percentile intervals of the parametric bootstrap."""
    drawn = fit.bootstrap(BOOTSTRAPS, seed=1, threads=1, progress=False)
    table = drawn.confint()
    known = truths(cell, list(fit.confint(part="all")["name"]))
    return [inside(table, name, truth) for name, truth in known.values()]


def coverage(pool: ProcessPoolExecutor, cell: Cell, count: int, boot: bool) -> list[float]:
    """Share of intervals that hold the truth, and last the share of data sets without one."""
    jobs = [(cell, seed, boot) for seed in range(count)]
    held = np.array(list(pool.map(replicate, jobs, chunksize=10)))
    lost = np.isnan(held).any(axis=1).mean()
    return [*np.nanmean(held, axis=0), lost]


def table(keys: tuple[str, ...], rows: dict[Cell, list[float]]) -> list[str]:
    """Markdown, percentages."""
    head = ("family", "groups", "rows", "sd", *keys, "lost")
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for cell, values in rows.items():
        cells = [cell.family, str(cell.groups), str(cell.size), f"{cell.sd}"]
        cells += [f"{100 * value:.1f}" for value in values]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def by_groups(rows: dict[Cell, list[float]], count: int) -> list[str]:
    """Averages over all designs with as many groups, and those with 50 groups and more."""
    lines = ["| groups | " + " | ".join((*KEYS, "lost")) + " |", "|" + " --: |" * (len(KEYS) + 2)]
    for label, least, most in (*((str(g), g, g) for g in GROUPS), ("50, 200", 50, 200)):
        values = np.array([v for cell, v in rows.items() if least <= cell.groups <= most])
        cells = [f"{100 * value:.1f}" for value in values.mean(axis=0)]
        lines.append("| " + " | ".join([label, *cells]) + " |")
    designs = len(rows) // len(GROUPS)
    error = 100 * math.sqrt(0.05 * 0.95 / (count * designs))
    return [*lines, "", f"One standard error of an average of {designs} designs is {error:.1f}."]


def main(count: int, boots: int) -> None:
    """Run the design and write the tables."""
    cells = [Cell(*values) for values in product(FAMILIES, GROUPS, SIZES, SDS)]
    small = [cell for cell in cells if cell.groups <= 50 and cell.size == 10]
    with ProcessPoolExecutor() as pool:
        rows = {cell: coverage(pool, cell, count, False) for cell in cells}
        boot = {cell: coverage(pool, cell, boots, True) for cell in small}
    error, wider = (100 * math.sqrt(0.05 * 0.95 / k) for k in (count, boots))
    text = [
        "# Coverage of 95 % intervals",
        "",
        f"Made by `make calibrate`: {count} data sets a cell, so one standard error of a "
        f"percentage is {error:.1f}. Maximum likelihood (gaussian too), fixed effects x (within "
        "groups) and w (between groups), the standard deviation of the random intercept, the "
        "expected response of the first group (subject) and averaged over groups (population). "
        "*Lost*: data sets without all intervals; a Wald interval of a standard deviation "
        "estimated as zero is none, and the coverage of the others leaves it out.",
        "",
        *by_groups(rows, count),
        "",
        *table(KEYS, rows),
        "",
        f"Percentile intervals of {BOOTSTRAPS} parametric bootstrap samples, {boots} data sets a "
        f"cell (standard error {wider:.1f}):",
        "",
        *table(BOOT_KEYS, boot),
    ]
    OUTPUT.write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    given = [int(value) for value in sys.argv[1:]]
    main(*(given + [400, 100][len(given) :]))
