"""How often checks reject true models, and find false ones: results/checks-calibration.md.

    python benchmarks/checks_calibration.py [--data-sets 200] [--parts size-refit,size-exact,...]

Every model is fitted to data drawn from a known truth, all checks are made, and p <= 0.05 counted.
Counts are written after every model to checks-calibration.csv; a model that stands there with as
many data sets is not run again, so that a run can be stopped and taken up.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import math
import os
import warnings
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

os.environ.setdefault("RAYON_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from checks_models import FAMILIES, Array, Cell, draw, power_cells, size_cells

import glimm
from glimm.checks import dependence, distribution, patterns, random
from glimm.checks.link import bend
from glimm.checks.slopes import slopes_test

RESULTS = Path(__file__).resolve().parent / "results"
COUNTS, TABLE = RESULTS / "checks-calibration.csv", RESULTS / "checks-calibration.md"
FIELDS = ("part", "model", "asked", "check", "rejected", "data_sets")
LEVEL = 0.05
N = 99
"""Refits or simulations of each data set: p <= 0.05 is then the rank 5 of 100 or better."""

PARTS = {
    "size-refit": "Size (true models): null by refits to the model's own simulations (`refit`)",
    "size-exact": "Size (true models): null without refits (`exact`)",
    "power-refit": "Power (false models): `refit`",
    "power-exact": "Power (false models): `exact`",
    "size-dharma": "Size (true models): definitions of DHARMa 0.5, 250 simulations",
    "power-dharma": "Power (false models): definitions of DHARMa 0.5, 250 simulations",
}
FEWER = {
    "size-refit": 0.3, "size-exact": 0.3, "power-refit": 0.12, "power-exact": 0.3,
    "size-dharma": 0.15, "power-dharma": 0.2,
}  # fmt: skip
"""Share of the data sets asked for, where each takes long."""
COLUMNS = (
    "uniformity", "KS", "dispersion", "outliers", "zeros", "trend fitted", "trend x", "spread",
    "spread x", "category", "time", "space", "within", "slopes", "effects", "link", "statistic",
)  # fmt: skip

Counts = dict[tuple[str, str], dict[str, tuple[int, int]]]


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
    if cell.sd:
        with contextlib.suppress(glimm.GlimmError):  # a slope already, or no working weights
            found["slopes"] = slopes_test(r.fit, "g")
    return found


def one(cell: Cell, seed: int, null: str, only: frozenset[str]) -> dict[str, float]:
    """Return p-values of one data set of a model, of some or all checks; empty if not fitted."""
    rng = np.random.default_rng([seed, zlib.crc32(cell.name.encode())])
    data, more = draw(cell, rng)
    formula = "y / size" + cell.formula[1:] if cell.family == "trials" else cell.formula
    # Ordered classes are integrated much faster by the shared threads.
    threads = None if cell.family == "ordinal" else 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            fit = glimm.fit(formula, data, threads=threads, progress=False, **more)
            if null == "dharma":
                return _dharma(fit, seed)
            study = glimm.checks.study(fit, null=null, n=N, seed=seed)
            made = tests(cell, study.residuals)
            if only:
                made = {name: test for name, test in made.items() if name in only}
            found = study.run(list(made.values()))
            p = dict(zip(made, (check.p for check in found), strict=True))
            p["link"] = _link(fit)
            if null == "exact" and not only:
                p["statistic"] = glimm.checks.statistic(study, _skewness, n=N, seed=seed).p
            return p
        except glimm.GlimmError:
            return {}


def _link(fit: glimm.Fit) -> float:
    try:
        found = bend(fit)
    except glimm.GlimmError:
        return math.nan
    return math.nan if found is None else found.p


def _skewness(y: Array) -> float:
    return float(np.mean((y - y.mean()) ** 3) / max(np.std(y), 1e-9) ** 3)


def _dharma(fit: glimm.Fit, seed: int) -> dict[str, float]:
    found = {}
    for kind in ("conditional", "marginal"):
        statistics = glimm.checks.dharma(fit, random_effects=kind, seed=seed).statistics
        found |= {f"{kind} {name}": p for name, (_, p) in statistics.items()}
    return found


def counted(
    cell: Cell, null: str, data_sets: int, only: frozenset[str]
) -> dict[str, tuple[int, int]]:
    """Return rejections and data sets, by check."""
    found: dict[str, list[float]] = {}
    for seed in range(1, data_sets + 1):
        for name, p in one(cell, seed, null, only).items():
            if math.isfinite(p):
                found.setdefault(name, []).append(p)
    return {name: (sum(p <= LEVEL for p in ps), len(ps)) for name, ps in found.items()}


def known(asked: int) -> Counts:
    """Return what was counted before for as many data sets."""
    found: Counts = {}
    if COUNTS.exists():
        with COUNTS.open(newline="") as file:
            for row in csv.DictReader(file):
                if int(row["asked"]) == asked:
                    counts = int(row["rejected"]), int(row["data_sets"])
                    found.setdefault((row["part"], row["model"]), {})[row["check"]] = counts
    return found


def keep(part: str, cell: Cell, asked: int, counts: dict[str, tuple[int, int]]) -> None:
    """Write the counts of a model down."""
    new = not COUNTS.exists()
    with COUNTS.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(FIELDS)
        for name, pair in counts.items():
            writer.writerow([part, cell.name, asked, name, *pair])


def cells_of(part: str) -> list[Cell]:
    """Return the models of a part; those that take long have no comparison with DHARMa."""
    made = power_cells() if part.startswith("power") else size_cells()
    return [cell for cell in made if cell.share == 1 or not part.endswith("dharma")]


def error(data_sets: int) -> float:
    """Return the standard error in per cent of a share of 5 %."""
    return 100 * math.sqrt(LEVEL * (1 - LEVEL) / data_sets) if data_sets else math.nan


def line(title: str, parts: Iterable[dict[str, tuple[int, int]]], names: list[str]) -> str:
    """Return one row of a table: per cent, and the error that 5 % would have."""
    parts, cells, most = list(parts), [], 0
    for name in names:
        rejected = sum(part[name][0] for part in parts if name in part)
        count = sum(part[name][1] for part in parts if name in part)
        cells.append(f"{100 * rejected / count:.1f}" if count else "")
        most = max(most, count)
    return f"| {title} | " + " | ".join(cells) + f" | {most:,} | {error(most):.1f} |"


def outside(pairs: list[tuple[int, int]]) -> str:
    """Return how many rates of single models are rarer than one in a hundred would be."""
    from scipy.stats import binom

    low, high = binom.interval(0.99, [count for _, count in pairs], LEVEL)
    rejected = np.array([number for number, _ in pairs])
    far = int(np.sum((rejected < low) | (rejected > high)))
    return (
        f"Of {len(pairs)} rates of single models and checks {far} lie outside the range that holds "
        "99 % of such rates when 5 % is true."
    )


def table(part: str, counts: Counts) -> str:
    """Return the table of a part, pooled rows last."""
    rows = [(c, counts[part, c.name]) for c in cells_of(part) if (part, c.name) in counts]
    have = {name for _, found in rows for name in found}
    names = [name for name in COLUMNS if name in have] + sorted(have - set(COLUMNS))
    lines = [
        f"## {PARTS[part]}",
        "",
        "| model | " + " | ".join(names) + " | data sets | MC error |",
    ]
    lines.append("|:--|" + "--:|" * (len(names) + 2))
    lines += [line(cell.name, [found], names) for cell, found in rows]
    if part.startswith("size"):
        for kind in (*FAMILIES, "other"):
            pooled = [found for cell, found in rows if cell.kind == kind]
            if pooled:
                lines.append(line(f"**{kind}, pooled**", pooled, names))
        lines.append(line("**all, pooled**", [found for _, found in rows], names))
        lines += ["", outside([pair for _, found in rows for pair in found.values()])]
    return "\n".join(lines) + "\n"


def head() -> str:
    """Return what stands above the tables."""
    return (
        "# Checks: how often they reject at 5 %\n\n"
        "`make calibrate-checks`: per cent of data sets with p <= 0.05, parameters estimated, then "
        "the number of data sets, of the check that has most (`zeros`, `slopes` and `link` have "
        "fewer), and the Monte Carlo standard error of a rate of 5 % in that many. "
        "Data that could not be fitted, and checks that do not apply, are left out. `refit`: "
        f"{N} refits to the model's own simulations, the default up to 5000 rows. `exact`: "
        "parameters drawn from their likelihood, no refit. DHARMa's tests are computed by its "
        "definitions on the same fits, not by its program.\n\n"
    )


def write(asked: int) -> None:
    """Write the table of all that was counted."""
    counts = known(asked)
    parts = [part for part in PARTS if any(key[0] == part for key in counts)]
    TABLE.write_text(head() + "\n".join(table(part, counts) for part in parts))


def main() -> None:
    """Run what is not known yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-sets", type=int, default=200)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--cells", default="", help="only models whose name holds this")
    parser.add_argument("--checks", default="", help="only these, for models that lack them")
    options = parser.parse_args()
    only = frozenset(options.checks.split(",")) - {""}
    for part in options.parts.split(","):
        for cell in cells_of(part):
            have = known(options.data_sets).get((part, cell.name), {})
            if options.cells not in cell.name or (have.keys() & only if only else have):
                continue
            count = max(10, round(options.data_sets * cell.share * FEWER.get(part, 1.0)))
            counts = counted(cell, part.split("-")[1], count, only)
            keep(part, cell, options.data_sets, counts)
            shares = {name: round(100 * k / n, 1) for name, (k, n) in counts.items()}
            print(part, cell.name, shares, flush=True)
            write(options.data_sets)
    write(options.data_sets)


if __name__ == "__main__":
    main()
