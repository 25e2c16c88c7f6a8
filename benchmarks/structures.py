"""Autoregressions within subjects beside glmmTMB: results/structures.md.

    python benchmarks/structures.py [subjects] [times]    20,000 x 20 by default

Poisson counts, a first-order autoregression within each subject, Laplace's approximation for both.
Processor seconds on one thread, each program in a process of its own, from a frame to standard
errors; the least of three runs. Set GLIMM_PEER_SUBJECTS to time glmmTMB, where Rscript finds it, on
fewer subjects: its time, which grows in proportion, is then scaled up, and the table says so. The
gaussian model of the same layout is timed too, in closed form.
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

TABLE = Path(__file__).resolve().parent / "results" / "structures.md"
SUBJECTS, TIMES = 20_000, 20
PEER_SUBJECTS = int(os.environ.get("GLIMM_PEER_SUBJECTS", "20000"))
PATIENCE = 7200
REPEATS = 3

GLIMM = """
import json, sys, time, pandas as pd, glimm
d = pd.read_csv(sys.argv[1])
response, family = sys.argv[2], sys.argv[3]
options = {"threads": 1} | ({} if family == "gaussian" else {"integration": "laplace"})
some = d[d["g"] < 200]
glimm.fit(f"{response} ~ x + ar1(0 + t | g)", some, family=family, **options)
start = time.process_time()
f = glimm.fit(f"{response} ~ x + ar1(0 + t | g)", d, family=family, **options)
se = f.se
print(json.dumps([time.process_time() - start, f.loglik, f.estimates.path]))
"""
PEER = """
suppressMessages(library(glmmTMB))
args <- commandArgs(TRUE)
d <- read.csv(args[1])
d$t <- factor(d$t)
formula <- as.formula(paste(args[2], "~ x + ar1(0 + t | g)"))
family <- if (args[3] == "gaussian") gaussian else poisson
s <- system.time(f <- glmmTMB(formula, data = d, family = family, REML = args[3] == "gaussian"))
value <- sprintf("%.6f", as.numeric(logLik(f)))
cat("[", s[["user.self"]] + s[["sys.self"]], ",", value, ",\\"glmmTMB\\"]\\n")
"""


def simulated(subjects: int, times: int) -> pd.DataFrame:
    """Counts and measurements with autoregressive moods of correlation 0.7."""
    rng = np.random.default_rng(1)
    g, t = np.repeat(np.arange(subjects), times), np.tile(np.arange(times), subjects)
    apart = np.abs(np.subtract.outer(np.arange(times), np.arange(times)))
    mood = rng.normal(size=(subjects, times)) @ np.linalg.cholesky(0.7**apart).T
    x = rng.normal(size=g.size)
    eta = 0.5 + 0.3 * x + 0.6 * mood[g, t]
    return pd.DataFrame(
        {"y": rng.poisson(np.exp(eta)), "z": eta + rng.normal(size=g.size), "x": x, "g": g, "t": t}
    )


def least(command: list[str]) -> list[float] | None:
    """Return what the fastest of several runs printed, None where the program cannot run."""
    runs = [run(command) for _ in range(REPEATS)]
    done = [r for r in runs if r is not None]
    return min(done, key=lambda r: r[0]) if done else None


def run(command: list[str]) -> list[float] | None:
    """Return what a program printed, None where it cannot run."""
    env = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=env)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return None
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


def rows(subjects: int, times: int, folder: Path) -> list[str]:
    """The lines of the table."""
    data = simulated(subjects, times)
    path, part = folder / "all.csv", folder / "part.csv"
    data.to_csv(path, index=False)
    fewer = min(subjects, PEER_SUBJECTS)
    data[data["g"] < fewer].to_csv(part, index=False)
    script = folder / "peer.R"
    script.write_text(PEER)
    lines = []
    for response, family in (("y", "poisson"), ("z", "gaussian")):
        own = least([sys.executable, "-c", GLIMM, str(path), response, family])
        peer = None
        if shutil.which("Rscript"):
            peer = least(["Rscript", str(script), str(part), response, family])
        if own is None:
            lines.append(f"| {family} | failed | | | |")
            continue
        shown, ratio, gap = "not run", "", ""
        if peer is not None:
            seconds = peer[0] * subjects / fewer
            shown = f"{seconds:.1f}" + (f" (from {fewer:,} subjects)" if fewer < subjects else "")
            ratio = f"1/{seconds / own[0]:.0f}"
            gap = f"{own[1] - peer[1]:+.5f}" if fewer == subjects else ""
        lines.append(f"| {family} ({own[2]}) | {own[0]:.2f} | {shown} | {ratio} | {gap} |")
    return lines


def main() -> None:
    """Time and write the table."""
    given = [int(a.replace(",", "")) for a in sys.argv[1:]]
    subjects, times = (given + [SUBJECTS, TIMES][len(given) :])[:2]
    with tempfile.TemporaryDirectory() as folder:
        lines = rows(subjects, times, Path(folder))
    head = [
        "# Autoregressions within subjects",
        "",
        f"`y ~ x + ar1(0 + t | g)`, {subjects:,} subjects x {times} times; "
        "processor seconds on one thread.",
        "",
        "| family (path) | glimm | glmmTMB | glimm / glmmTMB | log-likelihood, difference |",
        "| :-- | --: | --: | --: | --: |",
    ]
    text = "\n".join([*head, *lines]) + "\n"
    TABLE.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
