"""What certified integration costs beside the Laplace approximation: results/integration-speed.md.

    python benchmarks/integration_speed.py      lme4 (Rscript) and GPBoost (bench-setup) if present

Processor time of one thread, the least of some repeats; tables hold ratios of one run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import glimm

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "glimm-bench"
REPEATS = 5
TOENAIL = "infection ~ month * treatment + (1 | patient)"

LME4 = """
d <- read.csv(commandArgs(TRUE)[1])
t <- system.time(f <- lme4::glmer(y ~ x1 + x2 + x3 + x4 + (1 | g), d, binomial, nAGQ = 11))
cat(t[["user.self"]], logLik(f), "\\n")
"""
GPBOOST = """
import sys, time, numpy as np, pandas as pd, gpboost
d = pd.read_csv(sys.argv[1])
best = np.inf
for _ in range(10):
    start = time.process_time()
    drug = (d.treatment == d.treatment.unique()[0]).astype(float)
    X = np.column_stack([np.ones(len(d)), d.month, drug, drug * d.month])
    m = gpboost.GPModel(group_data=d.patient.values, likelihood="bernoulli_logit")
    m.fit(y=d.infection.values.astype(float), X=X)
    m.get_coef(std_err=True)
    m.get_cov_pars(std_err=True)
    best = min(best, time.process_time() - start)
print(best)
"""

OWN = """
import sys, time, warnings, numpy as np, pandas as pd, glimm
warnings.simplefilter("ignore")
d = pd.read_csv(sys.argv[1])
best = np.inf
for _ in range(10):
    start = time.process_time()
    glimm.fit(sys.argv[2], d, family="binomial", threads=1)
    best = min(best, time.process_time() - start)
print(best)
"""


def simulated(groups: int, size: int, sds: tuple[float, ...], covariates: int) -> dict[str, Any]:
    """0/1 responses with an intercept and, for a second sd, a slope of the first covariate."""
    draw = np.random.default_rng(3)
    g = np.repeat(np.arange(groups), size)
    x = draw.normal(size=(covariates, g.size))
    b = [sd * draw.normal(size=groups)[g] for sd in sds]
    eta = -0.5 + np.linspace(0.5, -0.3, covariates) @ x + b[0]
    eta = eta + (b[1] * x[0] if len(b) > 1 else 0.0)
    y = (draw.random(g.size) < 1 / (1 + np.exp(-eta))).astype(float)
    return {"y": y, "g": g} | {f"x{k + 1}": x[k] for k in range(covariates)}


def timed(formula: str, data: Any, integration: str) -> tuple[float, Any]:
    best, fit = np.inf, None
    for _ in range(REPEATS):
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = glimm.fit(formula, data, family="binomial", integration=integration, threads=1)
        best = min(best, time.process_time() - start)
    return best, fit


def row(name: str, formula: str, data: Any, integration: str) -> tuple[str, str, str]:
    laplace, _ = timed(formula, data, "laplace")
    seconds, fit = timed(formula, data, integration)
    return name, f"{seconds / laplace:.1f}", str(fit.certificate)


def peers() -> list[tuple[str, str]]:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "data.csv"
        data = simulated(1_000, 20, (0.7,), 4)
        pd.DataFrame(data).to_csv(file, index=False)
        ours, fit = timed("y ~ x1 + x2 + x3 + x4 + (1 | g)", data, "agq:11")
        out = run(["Rscript", "-e", LME4, str(file)])
        if out:
            seconds, loglik = map(float, out.split())
            gap = abs(fit.loglik - loglik)
            name = f"lme4, 11 nodes, 20,000 rows (log-likelihoods differ by {gap:.0e})"
            found.append((name, f"{seconds / ours:.0f}"))
        frame = glimm.datasets.load("toenail")
        frame.to_csv(file, index=False)
        # Each in a process of its own, the least of ten calls.
        own = run([sys.executable, "-c", OWN, str(file), TOENAIL])
        peer = str(CACHE / "envs" / "gpboost" / "bin" / "python")
        out = run([peer, "-c", GPBOOST, str(file)])
        if out and own:
            name = "GPBoost, Laplace with standard errors, against auto: toenail, from the frame"
            found.append((name, f"{float(out) / float(own):.2f}"))
    return found


def run(command: list[str]) -> str:
    threads = {"OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | threads)
    except FileNotFoundError:
        return ""
    return done.stdout.strip().splitlines()[-1] if done.returncode == 0 else ""


def markdown(head: tuple[str, ...], rows: list[Any]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    small, slopes = "y ~ x1 + (1 | g)", "y ~ x1 + (1 + x1 | g)"
    wide = "y ~ x1 + x2 + x3 + x4 + (1 + x1 | g)"
    five, large = simulated(40_000, 5, (1.5, 0.8), 1), simulated(5_000, 20, (0.7, 0.4), 4)
    rows = [
        row("40,000 x 5, intercept, auto", small, simulated(40_000, 5, (1.5,), 1), "auto"),
        row("40,000 x 5, slope, auto", slopes, five, "auto"),
        row("5,000 x 20, slope, auto", wide, large, "auto"),
        row("5,000 x 20, slope, agq:11", wide, large, "agq:11"),
        row("toenail, auto", TOENAIL, glimm.datasets.load("toenail"), "auto"),
    ]
    text = [
        "# What certified integration costs",
        "Made by `make bench-integration`: processor time, one thread, later calls. First "
        'glimm against its own fit with `integration="laplace"`, both with their certificates.',
        markdown(("groups x rows, 0/1 responses", "ratio to Laplace", "certificate"), rows),
        "Peers' time as a ratio to glimm's.",
        markdown(("peer", "ratio to glimm"), peers()),
    ]
    (HERE / "results" / "integration-speed.md").write_text("\n\n".join(text) + "\n")
