"""A long fit shows its progress; Ctrl-C ends it soon and leaves the problem usable."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

# Seconds from Ctrl-C to control: 50 ms between looks at signals, and a step of the search.
SOON = 0.2
ROWS = 150_000

PROGRAM = """
import sys, time, warnings
import numpy as np
import glimm
from glimm.model import Model
from glimm.problem import make_problem, solve

rng = np.random.default_rng(1)
n = {rows}
g, h, x = rng.integers(0, n // 20, n), rng.integers(0, 60, n), rng.normal(size=n)
eta = 0.4 * x + rng.normal(size=n // 20)[g] + rng.normal(size=60)[h]
y = rng.poisson(np.exp(0.5 * eta))
data = dict(y=y, x=x, g=g, h=h)
# The few rows are too few for the integral that is asked for.
warnings.simplefilter("ignore", glimm.FitWarning)
small = glimm.fit(
    "y ~ x + {random}", {{k: v[:2000] for k, v in data.items()}}, "poisson",
    integration="laplace",
)
design = glimm.design.build(
    small.model.formula, data, family=small.model.family,
    trials=None, freq=None, offset=None, missing="drop",
)
problem = make_problem(small.model, design)
before = problem.evaluate(small.estimates.parameters)
print("ready", flush=True)
try:
    solve(problem, small.model, design, progress=True)
    print("finished", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    after = problem.evaluate(small.estimates.parameters)
    print("same" if after[0] == before[0] else "other", flush=True)
"""


@pytest.mark.parametrize("random", ["(1 + x | g) + (1 | h)"])
@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent the POSIX way")
def test_ctrl_c_returns_soon_and_leaves_the_problem_usable(random: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(rows=ROWS, random=random))
    command = [sys.executable, str(program)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        try:
            assert running.stdout.readline() == "ready\n"
            assert running.stderr.readline().startswith("glimm: ")
            time.sleep(0.1)
            sent = time.monotonic()
            running.send_signal(signal.SIGINT)
            assert running.stdout.readline() == "interrupted\n"
            waited = time.monotonic() - sent
            assert running.stdout.readline() == "same\n"
            assert running.wait(60) == 0
        finally:
            running.kill()
    assert waited < SOON
