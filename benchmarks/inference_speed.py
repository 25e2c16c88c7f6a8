"""What inference costs beside lme4: results/inference-speed.md.

    python benchmarks/inference_speed.py      lme4 through Rscript, if present

Processor time of one thread; the table holds ratios of one run. lme4 has the Laplace approximation
(bootMer of 1,000 simulations) and 25 nodes for toenail, where its profile is taken.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import glimm

OUTPUT = Path(__file__).resolve().parent / "results" / "inference-speed.md"
CBPP = "incidence / size ~ C(period) + (1 | herd)"
TOENAIL = "infection ~ month * treatment + (1 | patient)"

BOOT = """
d <- read.csv(commandArgs(TRUE)[1]); d$period <- factor(d$period)
f <- lme4::glmer(cbind(incidence, size - incidence) ~ period + (1 | herd), d, binomial)
t <- system.time(suppressMessages(suppressWarnings(
  lme4::bootMer(f, function(m) c(lme4::fixef(m), sqrt(unlist(lme4::VarCorr(m)))), 1000, seed = 1))))
cat(t[["user.self"]], "\\n")
"""
PROFILE = """
d <- read.csv(commandArgs(TRUE)[1])
f <- lme4::glmer(infection ~ month * treatment + (1 | patient), d, binomial, nAGQ = 25)
t <- system.time(suppressMessages(suppressWarnings(profile(f))))
cat(t[["user.self"]], "\\n")
"""


def cost(work: Callable[[], Any]) -> float:
    """Processor time of a later call."""
    work()
    start = time.process_time()
    work()
    return time.process_time() - start


def peer(program: str, data: Any) -> float:
    """Processor time that R prints; NaN without it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "data.csv"
        data.to_csv(file, index=False)
        try:
            done = subprocess.run(
                ["Rscript", "-e", program, str(file)], capture_output=True, text=True
            )
        except FileNotFoundError:
            return float("nan")
        lines = done.stdout.strip().splitlines()
        return float(lines[-1]) if done.returncode == 0 and lines else float("nan")


def large(rows: int, family: str) -> tuple[Any, dict[str, Any]]:
    """A fit of a tenth of some rows, and all of them to be predicted."""
    draw = np.random.default_rng(1)
    g = draw.integers(0, rows // 100, rows)
    x = draw.normal(size=rows)
    eta = 0.3 * x + 0.7 * draw.normal(size=rows // 100)[g]
    mean = 1 / (1 + np.exp(-eta))
    y = eta + draw.normal(size=rows) if family == "gaussian" else draw.random(rows) < mean
    data = {"y": y.astype(float), "x": x, "g": g}
    some = {name: values[: rows // 10] for name, values in data.items()}
    some["g"][: rows // 100] = np.arange(rows // 100)
    return glimm.fit("y ~ x + (1 | g)", some, family, threads=1), data


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    cbpp, toenail = glimm.datasets.load("cbpp"), glimm.datasets.load("toenail")
    rows = []
    for integration in ("laplace", "auto"):
        fit = glimm.fit(CBPP, cbpp, "binomial", integration=integration, threads=1)
        ours = cost(lambda fit=fit: fit.bootstrap(1000, seed=1, threads=1, progress=False))
        rows.append((f"1,000 refits of cbpp, {integration}", peer(BOOT, cbpp) / ours))
    for integration in ("agq:25", "auto"):
        fit = glimm.fit(TOENAIL, toenail, "binomial", integration=integration, threads=1)
        ours = cost(lambda fit=fit: fit.profile(progress=False))
        rows.append((f"profile of toenail, {integration}", peer(PROFILE, toenail) / ours))
    lines = [
        "# What inference costs",
        "",
        "Made by `make bench-inference`: processor time, one thread, later calls.",
        "",
        "| work | lme4 / glimm |",
        "| --- | --- |",
        *(f"| {name} | {ratio:.0f} |" for name, ratio in rows),
        "",
        "Predictions with intervals, random intercepts, 100 rows a group in the data predicted.",
        "",
        "| family | interval | 10^6 rows / 10^5 rows | 10^6 rows / one fit of 10^5 |",
        "| --- | --- | --- | --- |",
    ]
    for family, interval in (
        ("gaussian", "confidence"),
        ("binomial", "confidence"),
        ("gaussian", "prediction"),
    ):
        fit, data = large(1_000_000, family)
        some = {name: values[:100_000] for name, values in data.items()}
        one = cost(lambda family=family, some=some: glimm.fit("y ~ x + (1 | g)", some, family))
        costs = []
        for count in (100_000, 1_000_000):
            part = {name: values[:count] for name, values in data.items()}
            costs.append(
                cost(
                    lambda fit=fit, part=part, interval=interval: fit.predict(
                        part, interval=interval
                    )
                )
            )
        lines.append(
            f"| {family} | {interval} | {costs[1] / costs[0]:.1f} | {costs[1] / one:.1f} |"
        )
        print(family, interval, costs, one)
    OUTPUT.write_text("\n".join(lines) + "\n")
