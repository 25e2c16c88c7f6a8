"""What accuracy of the integral costs: docs/explanation/integration-*.svg, results/integration.md.

python benchmarks/integration.py            needs matplotlib
"""

from __future__ import annotations

import math
import time
import warnings
from pathlib import Path
from typing import Any

import matplotlib

import glimm

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np

from glimm import _core
from glimm.problem import core_arrays

HERE = Path(__file__).resolve().parent
PICTURES = HERE.parent / "docs" / "explanation"
NODES = (1, 3, 5, 7, 9, 11, 15, 21, 31, 41, 61, 81)
SIZES = (3, 5, 10, 20, 50, 100)
SDS = (0.5, 1.0, 2.0, 4.0)
EFFECTS = (1, 2, 3)
REPEATS = 7

plt.rcParams |= {
    "svg.hashsalt": "glimm",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def simulated(groups: int, size: int, sd: float, effects: int = 1, seed: int = 1) -> dict[str, Any]:
    """0/1 responses with a random intercept and `effects - 1` slopes, of one standard deviation."""
    draw = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), size)
    x = draw.normal(size=(effects, g.size))
    b = sd * draw.normal(size=(groups, effects))
    eta = -0.5 + 0.5 * x[0] + b[g, 0] + sum(b[g, k] * x[k - 1] for k in range(1, effects))
    y = (draw.random(g.size) < 1 / (1 + np.exp(-eta))).astype(float)
    return {"y": y, "g": g} | {f"x{k}": x[k] for k in range(effects)}


def formula(effects: int) -> str:
    slopes = "".join(f" + x{k}" for k in range(effects - 1))
    return f"y ~ x0 + (1{slopes} | g)"


def fitted(data: dict[str, Any], integration: str, effects: int = 1) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return glimm.fit(
            formula(effects), data, family="binomial", integration=integration, threads=1
        )


def loglik(fit: Any, integration: str) -> tuple[float, float]:
    """The log-likelihood at the estimates of a fit, and the least seconds of an evaluation."""
    problem = _core.Problem(*core_arrays(fit.model, fit.design), integration=integration, threads=1)
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        value = problem.evaluate(fit.estimates.parameters)
        seconds.append(time.perf_counter() - start)
    return (math.nan if value is None else value[0]), min(seconds)


def draw_nodes() -> list[tuple[str, str, str]]:
    """Error and cost against nodes, for toenail."""
    data = glimm.datasets.load("toenail")
    fit = glimm.fit("infection ~ month * treatment + (1 | patient)", data, family="binomial")
    exact, panels = loglik(fit, "exact")
    found = [loglik(fit, f"agq:{k}") for k in NODES]
    errors, costs = [abs(v - exact) for v, _ in found], [s / found[0][1] for _, s in found]
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    left.semilogy(NODES, errors, "o-", color="black", markersize=4)
    left.axhline(
        max(fit.certificate.loglik_error, 1e-9),
        color="tab:red",
        linestyle="--",
        label="panels, stated error",
    )
    left.set(xlabel="nodes per patient", ylabel="error of the log-likelihood (nats)")
    left.legend(frameon=False)
    right.plot(NODES, costs, "o-", color="black", markersize=4, label="Gauss-Hermite")
    right.axhline(
        panels / found[0][1],
        color="tab:red",
        linestyle="--",
        label="choosing panels and using them",
    )
    right.set(
        xlabel="nodes per patient", ylabel="cost of an evaluation\n(one node = 1)", ylim=(0, None)
    )
    right.legend(frameon=False)
    save(figure, "nodes")
    return [(str(k), f"{e:.1e}", f"{c:.1f}") for k, e, c in zip(NODES, errors, costs, strict=True)]


def draw_sizes() -> list[tuple[str, ...]]:
    """Bias of Laplace in standard errors, against rows per level and standard deviation."""
    figure, axis = plt.subplots(figsize=(6, 3.6), layout="constrained")
    table = []
    for sd, colour in zip(SDS, ("#bbbbbb", "#888888", "#555555", "black"), strict=True):
        worst = [fitted(simulated(500, size, sd), "laplace").certificate.worst for size in SIZES]
        axis.loglog(SIZES, worst, "o-", color=colour, label=f"sd {sd:g}", markersize=4)
        table.append((f"{sd:g}", *(f"{w:.2g}" for w in worst)))
    axis.axhline(0.1, color="tab:red", linestyle="--", linewidth=1)
    axis.set(
        xlabel="rows per level (500 levels)",
        ylabel="largest predicted bias (SE)",
        xticks=SIZES,
        xticklabels=SIZES,
    )
    axis.legend(frameon=False)
    save(figure, "sizes")
    return table


def draw_effects() -> list[tuple[str, str, str]]:
    """Nodes of a product rule that reach 1e-4 nats a unit, against the number of effects."""
    needed, table = [], []
    for effects in EFFECTS:
        data = simulated(60, 8, 1.0, effects)
        fit = fitted(data, "laplace", effects)
        best = loglik(fit, f"agq:{(61, 41, 17)[effects - 1]}")[0]
        ladder = [k for k in NODES if k**effects <= 10_000]
        k = next(
            (k for k in ladder if abs(loglik(fit, f"agq:{k}")[0] - best) < 60 * 1e-4), ladder[-1]
        )
        needed.append(k**effects)
        table.append((str(effects), str(k), f"{k**effects:,}"))
    figure, axis = plt.subplots(figsize=(4.5, 3.2), layout="constrained")
    axis.semilogy(EFFECTS, needed, "o-", color="black")
    axis.set(xlabel="random effects of a unit", ylabel="nodes per unit", xticks=EFFECTS)
    save(figure, "effects")
    return table


def save(figure: Any, name: str) -> None:
    figure.savefig(PICTURES / f"integration-{name}.svg", metadata={"Date": None})
    plt.close(figure)


def markdown(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    parts = [
        "# What accuracy of the integral costs",
        "Made by `make pictures`. Toenail data, at the maximum: error of the log-likelihood by "
        "Gauss-Hermite nodes, and the cost of an evaluation with its gradient, as a ratio to one "
        "node.",
        markdown(("nodes", "error (nats)", "cost"), draw_nodes()),
        "Largest predicted bias of the Laplace estimates in standard errors: 500 levels, a random "
        "intercept, 0/1 responses, by standard deviation (down) and rows per level (across).",
        markdown(("sd", *map(str, SIZES)), draw_sizes()),
        "Nodes that reach 1e-4 nats a unit: 60 levels of 8 rows, standard deviations 1.",
        markdown(("effects", "per effect", "per unit"), draw_effects()),
    ]
    (HERE / "results" / "integration.md").write_text("\n\n".join(parts) + "\n")
