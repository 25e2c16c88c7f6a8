"""Four hundred small and hard problems: does every fit arrive, and in how many steps?

    python benchmarks/stress.py

Ten designs, two families, twenty seeds. Every maximum is compared with that of another layout of
the same model (engine="sparse"), started on its own: neither may miss what the other finds. The
table goes to benchmarks/results/stress.md.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

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


def main() -> None:
    """Fit all and write the table."""
    lines = [
        "# Small and hard problems",
        "",
        f"{SEEDS} seeds each; a failure is an error or a fit that is not converged. *Missed*: fits",
        f"whose maximum is more than {BELOW:g} below that of the other layout.",
        "",
        "| design | family | failures | missed | steps: median | most |",
        "| :-- | :-- | --: | --: | --: | --: |",
    ]
    for design in DESIGNS:
        for family in ("binomial", "poisson"):
            failures, missed, steps = 0, 0, []
            for seed in range(SEEDS):
                formula, data = simulate(design, family, seed)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    try:
                        fit = glimm.fit(formula, data, family)
                        other = glimm.fit(formula, data, family, engine="sparse")
                    except glimm.GlimmError:
                        failures += 1
                        continue
                failures += not fit.diagnostics.converged
                missed += fit.loglik < other.loglik - BELOW
                steps.append(fit.diagnostics.iterations)
            row = (design, family, failures, missed, f"{np.median(steps):.0f}", max(steps))
            lines.append("| " + " | ".join(str(cell) for cell in row) + " |")
            print(lines[-1], flush=True)
    OUTPUT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
