"""How often a page of checks finds something in data of a true model: the size of Holm's method.

Each cell: data drawn from a model, the model fitted, one page. Written: the share of pages with a
finding and its Monte Carlo standard error, and the topics that were found.
"""

from __future__ import annotations

import argparse
import csv
import sys
import warnings
from collections import Counter

import numpy as np

import glimm

FAMILIES = ("gaussian", "poisson", "nbinom2", "binomial")
CLUSTERS = ((20, 5), (60, 3))


def drawn(family: str, groups: int, rows: int, seed: int) -> dict[str, np.ndarray]:
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


def cell(family: str, groups: int, rows: int, null: str, n: int, data_sets: int) -> list[object]:
    found: Counter[str] = Counter()
    some = 0
    for seed in range(data_sets):
        data = drawn(family, groups, rows, seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = glimm.fit("y ~ x + (1 | g)", data, family=family)
            page = fit.check(seed=seed, n=n, null=null, try_next=False)
        some += not page.calm
        found.update(page.found)
    share = some / data_sets
    error = (share * (1 - share) / data_sets) ** 0.5
    topics = " ".join(f"{topic}={count}" for topic, count in found.most_common())
    return [family, groups, rows, null, n, data_sets, round(share, 4), round(error, 4), topics]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-sets", type=int, default=200)
    parser.add_argument("--n", type=int, default=199)
    options = parser.parse_args()
    writer = csv.writer(sys.stdout)
    writer.writerow(["family", "groups", "rows", "null", "n", "data_sets", "share", "se", "topics"])
    for family in FAMILIES:
        for groups, rows in CLUSTERS:
            for null in ("refit", "exact"):
                row = cell(family, groups, rows, null, options.n, options.data_sets)
                writer.writerow(row)
                sys.stdout.flush()


if __name__ == "__main__":
    main()
