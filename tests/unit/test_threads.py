"""Threads are kept between calls, by nobody: not by fits, not over a fork."""

from __future__ import annotations

import os
import signal
import sys

import numpy as np
import pytest

import glimm

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc and fork")


def study() -> dict[str, object]:
    """A small study of a gaussian response."""
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(12), 8)
    x = rng.normal(size=g.size)
    return {"y": x + rng.normal(size=12)[g] + rng.normal(size=g.size), "x": x, "g": g}


@LINUX
def test_fits_that_are_kept_hold_no_threads() -> None:
    """A loop over thousands of small studies must not run out of threads."""
    data = study()
    glimm.fit("y ~ x + (1 | g)", data, threads=1)
    before = len(os.listdir("/proc/self/task"))
    kept = [glimm.fit("y ~ x + (1 | g)", data, threads=1) for _ in range(30)]
    assert len(os.listdir("/proc/self/task")) <= before + 2
    assert len({fit.loglik for fit in kept}) == 1


@LINUX
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_starts_threads_of_its_own() -> None:
    """The child of a process has its parent's fits but not its threads."""
    data = study()
    fit = glimm.fit("y ~ x + (1 | g)", data, threads=1)
    y = np.asarray(data["y"]) + 0.5
    expected = fit.refit(y).loglik
    child = os.fork()
    if child == 0:
        # Waiting for threads that are not there would last for ever.
        signal.alarm(60)
        found = None
        try:
            found = fit.refit(y).loglik
        finally:
            os._exit(0 if found == expected else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
