"""Time and memory of residuals and checks: results/checks-speed.md.

    python benchmarks/checks_speed.py [rows ...]    100,000, 1,000,000 and 10,000,000 by default

Each line is a process of its own; memory is its peak less what it had when the fit stood. DHARMa
(with glmmTMB) is timed beside where Rscript finds both, up to 100,000 rows: 250 simulations.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TABLE = Path(__file__).resolve().parent / "results" / "checks-speed.md"
ROWS = (100_000, 1_000_000, 10_000_000)
DHARMA_ROWS = 100_000
PATIENCE = 3600

GLIMM = """
import json, resource, sys, time
import numpy as np
import scipy.stats
import glimm
what, rows = sys.argv[1], int(sys.argv[2])
memory = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
rng = np.random.default_rng(1)
g = np.repeat(np.arange(rows // 10), 10)
x = rng.normal(size=rows)
y = rng.poisson(np.exp(0.5 + 0.3 * x + 0.7 * rng.normal(size=rows // 10)[g])).astype(float)
start = time.perf_counter()
fit = glimm.fit("y ~ x + (1 | g)", {"y": y, "x": x, "g": g}, family="poisson", progress=False)
fitting, before = time.perf_counter() - start, memory()
start = time.perf_counter()
if what == "residuals":
    glimm.residuals(fit)
elif what == "ranks":
    glimm.checks.dharma(fit, n=250)
else:
    from glimm.checks import distribution as d, patterns as p, random, dependence as q
    study = glimm.checks.study(fit, null="exact", n=25)
    study.run([d.uniformity_test(), d.dispersion_test(), d.outliers_test(), d.zeros_test(),
               p.trend_test(), p.trend_test("x"), p.heteroscedasticity_test(),
               q.clusters_test("g"), random.normality_test()])
print(json.dumps([time.perf_counter() - start, memory() - before, fitting]))
"""
DHARMA = """
set.seed(1)
rows <- as.integer(commandArgs(TRUE)[1]); g <- rep(seq_len(rows / 10), each = 10)
x <- rnorm(rows); y <- rpois(rows, exp(0.5 + 0.3 * x + 0.7 * rnorm(rows / 10)[g]))
d <- data.frame(y, x, g = factor(g))
fitting <- system.time(f <- glmmTMB::glmmTMB(y ~ x + (1 | g), d, family = poisson))[["elapsed"]]
invisible(gc(reset = TRUE)); before <- sum(gc()[, 2])
t <- system.time({
  s <- DHARMa::simulateResiduals(f, n = 250, plot = FALSE)
  DHARMa::testUniformity(s, plot = FALSE)
  DHARMa::testDispersion(s, plot = FALSE)
  DHARMa::testZeroInflation(s, plot = FALSE)
})
cat("[", t[["elapsed"]], ",", sum(gc()[, 6]) - before, ",", fitting, "]\\n")
"""
WORDS = {
    "residuals": "glimm: residuals, effects drawn given the responses",
    "checks": "glimm: nine checks without refits, 25 simulations",
    "ranks": "glimm: 250 simulations ranked as DHARMa does, with its tests",
}


def run(command: list[str]) -> list[float]:
    """Return what a process prints: seconds, megabytes, seconds of the fit."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
        found: list[float] = json.loads(done.stdout.strip().splitlines()[-1])
        return found
    except (subprocess.SubprocessError, ValueError, IndexError) as error:
        print(command[:2], "failed:", str(error)[:200])
        return [math.nan] * 3


def has_dharma() -> bool:
    """Whether R has DHARMa and glmmTMB."""
    if shutil.which("Rscript") is None:
        return False
    test = (
        'cat(requireNamespace("DHARMa", quietly=TRUE) && requireNamespace("glmmTMB", quietly=TRUE))'
    )
    found = subprocess.run(["Rscript", "-e", test], capture_output=True, text=True, check=False)
    return "TRUE" in found.stdout


def main() -> None:
    """Run everything and write the table."""
    os.environ["RAYON_NUM_THREADS"] = "1"
    sizes = [int(arg) for arg in sys.argv[1:]] or list(ROWS)
    peer, lines = has_dharma(), []
    with tempfile.TemporaryDirectory() as folder:
        program, other = Path(folder) / "one.py", Path(folder) / "one.R"
        program.write_text(GLIMM)
        other.write_text(DHARMA)
        for rows in sizes:
            jobs = {words: [sys.executable, str(program), what, str(rows)]
                    for what, words in WORDS.items()}  # fmt: skip
            if peer and rows <= DHARMA_ROWS:
                jobs["DHARMa on glmmTMB: 250 simulations, three tests"] = [
                    "Rscript", str(other), str(rows)
                ]  # fmt: skip
            for words, command in jobs.items():
                seconds, megabytes, fitting = run(command)
                lines.append(
                    f"| {rows:,} | {words} | {seconds:.2f} | {1e6 * seconds / rows:.1f} | "
                    f"{megabytes:,.0f} | {megabytes * 2**20 / rows:.0f} | {fitting:.1f} |"
                )
                print(lines[-1], flush=True)
    absent = "" if peer else " DHARMa was not installed where this was measured."
    head = (
        "# Residuals and checks: time and memory\n\nPoisson counts, ten rows per group, "
        "`y ~ x + (1 | g)`, on one thread. Memory is the peak less what the process had when the "
        "fit stood. Time per row says whether it grows with the rows alone; memory does not depend "
        f"on the number of simulations, of which one is held at a time.{absent}\n\n"
        "| rows | what | seconds | microseconds per row | MB | bytes per row | fit, seconds |\n"
        "|---:|---|---:|---:|---:|---:|---:|\n"
    )
    TABLE.write_text(head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
