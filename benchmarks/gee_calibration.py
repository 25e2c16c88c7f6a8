"""Type I error of estimating equations with few clusters: results/gee-calibration.md.

    python benchmarks/gee_calibration.py [replicates]

Half of the clusters are treated, without effect; responses of a cluster share a normal effect.
Clusters have 3 to 12 rows, and a covariate varies within them. Rejections at 5 % of the treatment's
coefficient.
"""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import glimm
from glimm.gee.testing import two_sided

TABLE = Path(__file__).resolve().parent / "results" / "gee-calibration.md"
REPLICATES = 2000
LEVEL = 0.05
CLUSTERS = (10, 20, 40)
SIZES = (3, 12)
BETWEEN = {"binomial": 0.8, "gaussian": 0.7}
"""Standard deviation of the clusters' effects, on the link scale."""

WAYS = (
    ("robust", "normal"),
    ("robust", "clusters"),
    ("robust", "pan-wall"),
    ("kauermann-carroll", "normal"),
    ("kauermann-carroll", "clusters"),
    ("kauermann-carroll", "satterthwaite"),
    ("mancl-derouen", "normal"),
    ("mancl-derouen", "clusters"),
    ("mancl-derouen", "satterthwaite"),
    ("fay-graubard", "clusters"),
    ("fay-graubard", "fay-graubard"),
    ("morel", "clusters"),
    ("jackknife-onestep", "clusters"),
)
SCORE = "score test"


def study(family: str, clusters: int, seed: int) -> pd.DataFrame:
    """Responses on which the treatment has no effect."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(SIZES[0], SIZES[1] + 1, clusters)
    g = np.repeat(np.arange(clusters), sizes)
    frame = pd.DataFrame({"g": g, "treated": (g % 2).astype(float), "x": rng.normal(size=g.size)})
    eta = -0.4 + 0.5 * frame["x"] + BETWEEN[family] * rng.normal(size=clusters)[g]
    if family == "binomial":
        frame["y"] = (rng.random(g.size) < 1 / (1 + np.exp(-eta))).astype(float)
    else:
        frame["y"] = eta + rng.normal(size=g.size)
    return frame


def p_values(frame: pd.DataFrame, family: str) -> dict[str, float]:
    """Every way's p-value of the treatment."""
    found = {}
    fit = glimm.gee("y ~ treated + x", frame, groups="g", family=family)
    for covariance, df in WAYS:
        way = fit.using(covariance=covariance, df=df)
        t = way.coef["treated"] / way.se["treated"]
        found[f"{covariance}, {df}"] = two_sided(t, float(way.freedom()[1]))
    found[SCORE] = fit.test("treated", method="score").p
    return found


def rates(family: str, clusters: int, replicates: int) -> tuple[dict[str, float], int]:
    """Shares of rejections, and the number of data sets that could not be fitted."""
    ways = [*(f"{covariance}, {df}" for covariance, df in WAYS), SCORE]
    counts, failed = dict.fromkeys(ways, 0), 0
    for k in range(replicates):
        try:
            found = p_values(study(family, clusters, 1_000_003 * clusters + k), family)
        except glimm.FitError:
            failed += 1
            continue
        for way, p in found.items():
            counts[way] += p < LEVEL
    done = max(replicates - failed, 1)
    return {way: count / done for way, count in counts.items()}, failed


def main() -> None:
    """Write the table."""
    replicates = int(sys.argv[1]) if len(sys.argv) > 1 else REPLICATES
    warnings.simplefilter("ignore", glimm.FitWarning)
    start = time.time()
    columns, failures = {}, []
    for family in BETWEEN:
        for clusters in CLUSTERS:
            columns[family, clusters], failed = rates(family, clusters, replicates)
            if failed:
                failures.append(f"{failed} of {family} with {clusters} clusters")
    ways = next(iter(columns.values()))
    error = 100 * np.sqrt(LEVEL * (1 - LEVEL) / replicates)
    lines = [
        "# Type I error of estimating equations with few clusters",
        "",
        f"`make calibrate-gee`: per cent of {replicates:,} data sets without an effect of "
        f"treatment in which it is significant at 5 %; Monte Carlo error {error:.1f}. Exchangeable "
        f"correlation, half of the clusters treated, {SIZES[0]} to {SIZES[1]} rows each. The "
        "default below 40 clusters is `kauermann-carroll, clusters`.",
        "",
        "| covariance, df | " + " | ".join(f"{f}, {g}" for f, g in columns) + " |",
        "| :-- |" + " --: |" * len(columns),
    ]
    for way in ways:
        cells = " | ".join(f"{100 * column[way]:.1f}" for column in columns.values())
        lines.append(f"| {way} | {cells} |")
    if failures:
        why = "Not fitted (separation; a correlation that no matrix can have), left out"
        lines += ["", f"{why}: {', '.join(failures)}."]
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines), f"\n{time.time() - start:.0f} s")


if __name__ == "__main__":
    main()
