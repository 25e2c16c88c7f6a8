"""Four hundred small and hard problems: does every fit arrive, in how many steps, and how high?

    python benchmarks/stress.py

Ten designs, two families, twenty seeds. Every maximum of Laplace's approximation is compared with
that of another layout of the same model (engine="sparse"), started on its own, and with those of
R's programs where they are installed: none may find more. The fit by default, whose integral is
certified, has to arrive too. The table goes to benchmarks/results/stress.md.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import glimm

SEEDS = 20
# Log-likelihood by which one maximum may be below the other: the climbs' own tolerance.
BELOW = 1e-6
OUTPUT = Path(__file__).parent / "results" / "stress.md"

# Name: groups, rows of each, standard deviations of intercept and slopes, unit of the covariate.
DESIGNS: dict[str, tuple[int, int, tuple[float, ...], float]] = {
    "intercept": (30, 8, (0.8,), 1.0),
    "two rows a group": (200, 2, (1.0,), 1.0),
    "no variance": (40, 6, (0.0,), 1.0),
    "slope": (50, 10, (0.8, 0.5), 1.0),
    "slope without variance": (50, 10, (0.8, 0.0), 1.0),
    "no variance at all, slope": (40, 6, (0.0, 0.0), 1.0),
    "correlation of one": (40, 8, (1.0, 1.0), 1.0),
    "unscaled covariate": (50, 10, (0.8, 0.5), 300.0),
    "two slopes, few groups": (12, 15, (0.8, 0.5, 0.3), 1.0),
    "large variance": (60, 12, (2.0, 1.0), 1.0),
}


def simulate(design: str, family: str, seed: int) -> tuple[str, dict[str, Any]]:
    """Return a formula and data of a design."""
    groups, size, sds, unit = DESIGNS[design]
    rng = np.random.default_rng([seed, list(DESIGNS).index(design), len(family)])
    g = np.repeat(np.arange(groups), size)
    x, w = rng.normal(size=g.size), rng.normal(size=g.size)
    z = np.column_stack([np.ones(g.size), x, w])[:, : len(sds)]
    shared = design == "correlation of one"
    b = rng.normal(size=(groups, 1 if shared else len(sds))) * np.array(sds)
    eta = -0.3 + 0.5 * x - 0.3 * w + (z * b[g]).sum(axis=1)
    mean = 1 / (1 + np.exp(-eta)) if family == "binomial" else np.exp(np.minimum(eta, 8))
    y = rng.binomial(1, mean) if family == "binomial" else rng.poisson(mean)
    random = " + ".join(["1", "x", "w"][: len(sds)])
    return f"y ~ x + w + ({random} | g)", {"y": y, "x": unit * x + 5 * (unit > 1), "w": w, "g": g}


@dataclass
class Row:
    """What the problems of one design and family came to."""

    failures: int = 0
    missed: int = 0
    steps: list[int] = field(default_factory=list)
    logliks: dict[str, float] = field(default_factory=dict)
    below: dict[str, str] = field(default_factory=dict)
    failures_default: int = 0
    steps_default: list[int] = field(default_factory=list)


def fitted(formula: str, data: dict[str, Any], family: str, **options: Any) -> Any:
    """Return a fit, or None where glimm refuses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return glimm.fit(formula, data, family, **options)
        except glimm.GlimmError:
            return None


def problem(row: Row, design: str, family: str, seed: int, folder: Path) -> dict[str, str]:
    """Fit one problem; return what the peers need to know of it."""
    formula, data = simulate(design, family, seed)
    name = f"{list(DESIGNS).index(design)}-{family}-{seed}"
    pd.DataFrame(data).to_csv(folder / f"{name}.csv", index=False)
    fit = fitted(formula, data, family, integration="laplace")
    other = fitted(formula, data, family, integration="laplace", engine="sparse")
    if fit is None or not fit.diagnostics.converged:
        row.failures += 1
    if fit is not None:
        row.missed += other is not None and fit.loglik < other.loglik - BELOW
        row.steps.append(fit.diagnostics.iterations)
        row.logliks[name] = fit.loglik
    default = fitted(formula, data, family)
    if default is None or not default.diagnostics.converged:
        row.failures_default += 1
    if default is not None:
        row.steps_default.append(default.diagnostics.iterations)
    return {"name": name, "family": family, "formula": formula}


def peers(rows: dict[tuple[str, str], Row], problems: list[dict[str, str]], folder: Path) -> None:
    """Count problems in which a program of R finds a higher maximum, of those it finds one in."""
    rscript = shutil.which("Rscript")
    if rscript is None:
        return
    pd.DataFrame(problems).to_csv(folder / "problems.csv", index=False)
    script = Path(__file__).parent / "stress_r.R"
    subprocess.run([rscript, str(script), str(folder)], check=True)
    found = pd.read_csv(folder / "peers.csv").set_index("name")
    for row in rows.values():
        for program in found.columns:
            higher = [found.loc[name, program] - ours for name, ours in row.logliks.items()]
            higher = [h for h in higher if np.isfinite(h)]
            row.below[program] = f"{sum(h > BELOW for h in higher)} of {len(higher)}"


def table(rows: dict[tuple[str, str], Row]) -> list[str]:
    """Return the lines of the report."""
    programs = list(dict.fromkeys(program for row in rows.values() for program in row.below))
    heads = ["design", "family", "failures", "missed", *(f"below {p}" for p in programs)]
    heads += ["steps: median", "most", "default: failures", "steps: median", "most"]
    lines = [
        "# Small and hard problems",
        "",
        f"{SEEDS} seeds each, by Laplace's approximation. A failure is an error or a fit that is",
        "not converged. *Missed*, *below*: fits whose maximum is lower than that of the other",
        f"layout, of an R program, by more than {BELOW:g}. *Default*: the same problems with the",
        "integral certified; steps include those of the climb on Laplace's approximation.",
        "",
        "| " + " | ".join(heads) + " |",
        "| :-- | :-- |" + " --: |" * (len(heads) - 2),
    ]
    for (design, family), row in rows.items():
        cells = [design, family, row.failures, row.missed, *(row.below[p] for p in programs)]
        cells += [f"{np.median(row.steps):.0f}", max(row.steps), row.failures_default]
        cells += [f"{np.median(row.steps_default):.0f}", max(row.steps_default)]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines


def main() -> None:
    """Fit all and write the table."""
    rows: dict[tuple[str, str], Row] = {}
    problems: list[dict[str, str]] = []
    with tempfile.TemporaryDirectory() as name:
        for design in DESIGNS:
            for family in ("binomial", "poisson"):
                row = rows.setdefault((design, family), Row())
                problems += [problem(row, design, family, s, Path(name)) for s in range(SEEDS)]
                print(design, family, max(row.steps), max(row.steps_default), flush=True)
        peers(rows, problems, Path(name))
    OUTPUT.write_text("\n".join(table(rows)) + "\n")


if __name__ == "__main__":
    main()
