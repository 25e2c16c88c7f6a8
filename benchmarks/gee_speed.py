"""Exchangeable logistic estimating equations beside geepack and statsmodels: results/gee-speed.md.

    python benchmarks/gee_speed.py [rows]    1,000,000 by default; peers where they are installed

Wall-clock seconds of one thread from a frame to robust standard errors, each program in a process
of its own with its own peak of memory; glimm also with all threads. Set GLIMM_GEE_PEER to a Python
that has statsmodels (and pyarrow); Rscript must find geepack.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

TABLE = Path(__file__).resolve().parent / "results" / "gee-speed.md"
ROWS = 1_000_000
SIZE = 10
PATIENCE = 3600

MEMORY = "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024"
GLIMM = """
import json, resource, sys, time, pandas as pd, glimm
d = pd.read_parquet(sys.argv[1])
threads = int(sys.argv[2]) or None
glimm.gee("y ~ x1 + x2", d[:1000], groups="g", family="binomial")
before = MEMORY
start = time.perf_counter()
f = glimm.gee("y ~ x1 + x2 + x3 + x4", d, groups="g", family="binomial", threads=threads)
se = f.se
print(json.dumps([time.perf_counter() - start, MEMORY - before, list(f.coef.values()),
                  list(se.values()), list(f.alpha.values())]))
""".replace("MEMORY", MEMORY)
STATSMODELS = """
import json, resource, sys, time, pandas as pd
import statsmodels.api as sm, statsmodels.formula.api as smf
d = pd.read_parquet(sys.argv[1])
before = MEMORY
start = time.perf_counter()
f = smf.gee("y ~ x1 + x2 + x3 + x4", "g", d, family=sm.families.Binomial(),
            cov_struct=sm.cov_struct.Exchangeable()).fit()
print(json.dumps([time.perf_counter() - start, MEMORY - before, list(f.params), list(f.bse),
                  [float(f.cov_struct.dep_params)]]))
""".replace("MEMORY", MEMORY)
GEEPACK = """
d <- read.csv(commandArgs(TRUE)[1])
invisible(gc(reset = TRUE)); before <- sum(gc()[, 2])
t <- system.time(f <- geepack::geese(y ~ x1 + x2 + x3 + x4, id = g, data = d, family = binomial,
                                     corstr = "exchangeable"))
peak <- sum(gc()[, 6]) - before
cat("[", t[["elapsed"]], ",", peak, ",[", paste(f$beta, collapse = ","), "],[",
    paste(sqrt(diag(f$vbeta)), collapse = ","), "],[", f$alpha, "]]\\n")
"""


def simulated(rows: int) -> pd.DataFrame:
    """0/1 responses of clusters of ten."""
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(rows // SIZE), SIZE)
    frame = pd.DataFrame({f"x{k}": rng.normal(size=g.size) for k in range(1, 5)})
    eta = -0.5 + 0.4 * frame["x1"] - 0.2 * frame["x2"] + rng.normal(size=rows // SIZE)[g]
    frame["y"] = (rng.random(g.size) < 1 / (1 + np.exp(-eta))).astype(float)
    frame["g"] = g
    return frame


def run(command: list[str]) -> list[object] | None:
    """Return what a program printed, None where it cannot run."""
    env = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=env)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        print(done.stderr[-400:], file=sys.stderr)
        return None
    found: list[object] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main() -> None:
    """Write the table."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    table = ["| program | rows | seconds | ratio to glimm | memory, MB | x1 (SE) | alpha |"]
    table.append("| :-- | --: | --: | --: | --: | --: | --: |")
    peer = os.environ.get("GLIMM_GEE_PEER", sys.executable)
    for n in (rows // 10, rows):
        with tempfile.TemporaryDirectory() as folder:
            parquet, csv = f"{folder}/d.parquet", f"{folder}/d.csv"
            frame = simulated(n)
            frame.to_parquet(parquet)
            frame.to_csv(csv, index=False)
            programs = {
                "glimm, 1 thread": [sys.executable, "-c", GLIMM, parquet, "1"],
                "glimm, all threads": [sys.executable, "-c", GLIMM, parquet, "0"],
                "statsmodels": [peer, "-c", STATSMODELS, parquet],
            }
            if shutil.which("Rscript"):
                programs["geepack"] = ["Rscript", "-e", GEEPACK, csv]
            first = None
            for name, command in programs.items():
                found = run(command)
                if found is None:
                    continue
                seconds, memory, beta, se, alpha = found
                first = first or seconds
                cells = f"{seconds:.2f} | {seconds / first:.1f} | {memory:.0f}"
                estimate = f"{beta[1]:.5f} ({se[1]:.5f})"
                table.append(f"| {name} | {n:,} | {cells} | {estimate} | {alpha[0]:.5f} |")
                print(table[-1], flush=True)
    head = [
        "# Speed of estimating equations",
        "",
        "`make bench-gee`: logistic, exchangeable, clusters of ten, four covariates; from a frame "
        "to robust standard errors. Memory above what was there before the call.",
        "",
    ]
    TABLE.write_text("\n".join([*head, *table]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
