"""How often a page of checks finds something in data of a true model: results/page-calibration.md.

    python benchmarks/page_calibration.py [--refit 40] [--exact 100] [--n 199]

The size of Holm's method over all tests of a page. Each row: data drawn from a model, the model
fitted, one page, counted when it has a finding; and what was found.
"""

from __future__ import annotations

import argparse
import math
import os
import warnings
from collections import Counter
from pathlib import Path

os.environ.setdefault("RAYON_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import glimm

TABLE = Path(__file__).resolve().parent / "results" / "page-calibration.md"
FAMILIES = ("gaussian", "poisson", "nbinom2", "binomial")
CLUSTERS = ((20, 5), (60, 3))


def drawn(family: str, groups: int, rows: int, seed: int) -> dict[str, np.ndarray]:
    """Data of a true model."""
    rng = np.random.default_rng([seed, groups, rows])
    g = np.repeat(np.arange(groups), rows)
    x = rng.normal(size=g.size)
    eta = 0.5 + 0.4 * x + 0.6 * rng.normal(size=groups)[g]
    mean = np.exp(eta)
    y = {
        "gaussian": lambda: eta + rng.normal(size=g.size),
        "poisson": lambda: rng.poisson(mean),
        "nbinom2": lambda: rng.negative_binomial(3, 3 / (3 + mean)),
        "binomial": lambda: (rng.random(g.size) < 1 / (1 + np.exp(-eta))).astype(float),
    }[family]()
    return {"y": y, "x": x, "g": g}


def counted(
    family: str, groups: int, rows: int, null: str, n: int, data_sets: int
) -> tuple[int, Counter[str]]:
    """Return the pages with a finding, and the topics found."""
    topics: Counter[str] = Counter()
    pages = 0
    for seed in range(data_sets):
        data = drawn(family, groups, rows, seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = glimm.fit("y ~ x + (1 | g)", data, family=family, threads=1)
            page = fit.check(seed=seed, n=n, null=null, try_next=False, progress=False)
        pages += not page.calm
        topics.update(page.found)
    return pages, topics


def line(model: str, null: str, pages: int, data_sets: int, topics: Counter[str]) -> str:
    """Return a row of the table."""
    share, error = pages / data_sets, math.sqrt(0.05 * 0.95 / data_sets)
    said = ", ".join(f"{topic} {count}" for topic, count in topics.most_common(4))
    return f"| {model} | {null} | {data_sets} | {100 * share:.1f} | {100 * error:.1f} | {said} |"


def head(n: int) -> str:
    """Return what stands above the rows."""
    return (
        "# Pages of checks: how often a true model has a finding\n\n"
        "`make calibrate-page`: per cent of pages with a finding at a Holm p below 5 %, data of "
        f"true models `y ~ x + (1 | g)`, parameters estimated, {n} refits or simulations each; the "
        "Monte Carlo standard error that 5 % would have; and what was found most often.\n\n"
        "| model | null | data sets | with a finding | MC error | found |\n"
        "|:--|:--|--:|--:|--:|:--|\n"
    )


def main() -> None:
    """Run everything; the table is written after every row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--refit", type=int, default=40, help="data sets of each model")
    parser.add_argument("--exact", type=int, default=100, help="the same without refits")
    parser.add_argument("--n", type=int, default=199)
    options = parser.parse_args()
    lines = []
    for null, data_sets in (("exact", options.exact), ("refit", options.refit)):
        total, every, topics = 0, 0, Counter[str]()
        for family in FAMILIES:
            for groups, rows in CLUSTERS:
                found = counted(family, groups, rows, null, options.n, data_sets)
                lines.append(
                    line(f"{family} {groups} x {rows}", null, found[0], data_sets, found[1])
                )
                total, every = total + found[0], every + data_sets
                topics.update(found[1])
                print(lines[-1], flush=True)
                TABLE.write_text(head(options.n) + "\n".join(lines) + "\n")
        lines.append(line("**all**", null, total, every, topics))
        TABLE.write_text(head(options.n) + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
