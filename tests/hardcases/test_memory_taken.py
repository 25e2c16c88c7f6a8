"""The memory that a fit is said to take against what it takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Of the growth measured: allocators keep some of what was freed, and pages are counted whole.
FACTOR = 1.5

PROGRAM = """
import gc, resource
import numpy as np
import glimm
from glimm.model import Model
from glimm.problem import make_problem

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def taken(model, design):
    gc.collect()
    filler = []  # takes what was freed, so that the peak grows with the first new array
    while resident() < peak() - 2_000_000:
        filler.append(np.ones(125_000))
    before = peak()
    problem = make_problem(model, design)
    problem.fit()
    print(problem.memory, peak() - before)
"""

ROWS = """
rng = np.random.default_rng(1)
n = {rows}
data = dict(x=rng.normal(size=n), g=np.arange(n) // 10, h=rng.integers(0, 50, n))
data["even"] = np.arange(n) % 2
data["y"] = rng.poisson(np.exp(0.3 * data["x"] + 0.5 * rng.normal(size=n // 10 + 1)[data["g"]]))
small = glimm.fit(
    "{formula}", {{k: v[:2000] for k, v in data.items()}}, "{family}", reml={reml},
    integration="laplace",
)
design = glimm.design.build(
    small.model.formula, data, family=small.model.family,
    trials=None, freq=None, offset=None, missing="drop",
)
taken(small.model, design)
"""

ANIMALS = """
from glimm.datasets.pedigreed import make_fecundity

def study(animals):
    made = make_fecundity(animals, 10, 2, seed=1)
    ped = glimm.Pedigree(made.records)
    formula = "weight ~ sex + (1 | animal, pedigree=ped) + (1 | animal) + (1 | dam)"
    return glimm.fit(formula, made.frame, relations=dict(ped=ped), progress=False)

study(500)
fit = study(1_000)
large = make_fecundity(30_000, 10, 2, seed=1)
ped = glimm.Pedigree(large.records)
design = glimm.design.build(
    fit.model.formula, large.frame, family=fit.model.family, relations=dict(ped=ped),
    trials=None, freq=None, offset=None, missing="drop",
)
taken(fit.model, design)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="measured the Linux way")
@pytest.mark.parametrize(
    ("formula", "family", "rows", "reml"),
    [
        ("y ~ x + (1 | g)", "poisson", 600_000, False),
        ("y ~ even + (1 | g)", "poisson", 600_000, False),  # merged to a fifth
        ("y ~ x + (1 + x | g)", "nbinom2", 300_000, False),
        ("y ~ x + (1 | g) + (1 | h)", "poisson", 100_000, False),
        ("y ~ x * I(x**2)", "nbinom2", 600_000, False),
        ("y ~ x * even * h + (1 | g)", "poisson", 200_000, True),
    ],
)
def test_peak_is_as_announced(
    formula: str, family: str, rows: int, reml: bool, tmp_path: Path
) -> None:
    announced, taken = run(
        ROWS.format(rows=rows, formula=formula, family=family, reml=reml), tmp_path
    )
    assert taken / FACTOR < announced < taken * FACTOR


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="measured the Linux way")
def test_factors_that_fill_in_are_part_of_what_is_announced(tmp_path: Path) -> None:
    announced, taken = run(ANIMALS, tmp_path)
    assert taken / FACTOR < announced < taken * FACTOR


def run(rest: str, tmp_path: Path) -> tuple[int, int]:
    """Run a program that prints the bytes announced and taken."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM + rest)
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, check=True
    )
    announced, taken = map(int, done.stdout.split())
    return announced, taken
