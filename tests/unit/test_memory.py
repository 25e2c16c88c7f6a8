from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import glimm
from glimm import problem
from glimm.errors import FitError
from glimm.memory import available, size_text


def test_available_memory_is_read_from_the_system(tmp_path: Path) -> None:
    file = tmp_path / "meminfo"
    file.write_text("MemTotal:  16000 kB\nMemAvailable:    12000 kB\nSwapFree: 5 kB\n")
    assert available(file) == 12_000 * 1024


@pytest.mark.parametrize("content", ["", "MemTotal: 16000 kB\n", "MemAvailable:\n"])
def test_unknown_memory_is_none(content: str, tmp_path: Path) -> None:
    file = tmp_path / "meminfo"
    file.write_text(content)
    assert available(file) is None
    assert available(tmp_path / "nothing") is None


def test_sizes_in_words() -> None:
    assert [size_text(b) for b in (950.0, 5_400_000, 12_345_678_901)] == [
        "0.00095 MB",
        "5.4 MB",
        "12 GB",
    ]


def _data(n: int = 400) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {"y": rng.poisson(2.0, n), "x": rng.normal(size=n), "g": np.arange(n) // 8}


def test_a_fit_that_does_not_fit_into_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problem, "available", lambda: 1000)
    with pytest.raises(FitError, match=r"takes about .* GB of memory where .* are available") as it:
        glimm.fit("y ~ x + (1 | g)", _data(), "poisson")
    assert it.value.code == "memory"


def test_nothing_is_refused_where_memory_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problem, "available", lambda: None)
    assert glimm.fit("y ~ x + (1 | g)", _data(), "poisson").diagnostics.converged
