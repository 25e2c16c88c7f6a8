"""Engines for crossed factors from the user's side: one fit, stated errors, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glimm
from glimm.errors import DataError

LEVELS = (150, 60)
FORMULA = "y ~ x + (1 | g) + (1 | h)"
PROMISED = 0.05
"""Error of an iterative fit, in standard errors."""
CHANCE = 4.0


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    rng = np.random.default_rng(61)
    n = 6000
    g, h = (rng.integers(0, levels, n) for levels in LEVELS)
    x = rng.normal(size=n)
    eta = 0.3 + 0.4 * x + rng.normal(scale=0.6, size=LEVELS[0])[g]
    eta = eta + rng.normal(scale=0.4, size=LEVELS[1])[h]
    return {"y": rng.poisson(np.exp(eta)), "x": x, "g": g, "h": h}


def _fit(data: dict[str, Any], engine: str) -> glimm.Fit:
    return glimm.fit(FORMULA, data, "poisson", engine=engine, integration="laplace")


def _gap(a: glimm.Fit, b: glimm.Fit) -> float:
    errors = np.sqrt(np.diag(a.vcov("all")))
    return float(np.abs((a.estimates.parameters - b.estimates.parameters) / errors).max())


def test_auto_is_exact_for_small_data(data: dict[str, Any]) -> None:
    made = _fit(data, "auto")
    assert made.diagnostics.path == "dense"
    assert (made.diagnostics.draws_se, made.diagnostics.loglik_se) == (0.0, 0.0)
    assert "dense; 150 x 60 levels, exact" in str(made)


def test_exact_engines_agree(data: dict[str, Any]) -> None:
    dense, sparse = _fit(data, "dense"), _fit(data, "sparse")
    assert dense.loglik == pytest.approx(sparse.loglik, abs=1e-7)
    assert _gap(dense, sparse) < 1e-4


def test_iterative_states_its_error(data: dict[str, Any]) -> None:
    exact, drawn = _fit(data, "dense"), _fit(data, "iterative")
    d = drawn.diagnostics
    assert 0 < _gap(exact, drawn) < min(PROMISED, CHANCE * d.draws_se)
    assert abs(exact.loglik - drawn.loglik) < CHANCE * d.loglik_se + 0.01
    text = " ".join(str(drawn).split())
    assert f"Monte Carlo error <= {d.draws_se:.2g} SE" in text
    assert "average information" in text


def test_a_saved_iterative_fit_is_the_same(data: dict[str, Any], tmp_path: Path) -> None:
    made = _fit(data, "iterative")
    made.save(tmp_path / "fit.glimm")
    again = glimm.load(tmp_path / "fit.glimm")
    assert again.model.engine == "iterative"
    assert again.diagnostics == made.diagnostics


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_draws_do_not_depend_on_threads(data: dict[str, Any], threads: int) -> None:
    many = {name: np.tile(column, 2) for name, column in data.items()}
    made, one = (
        glimm.fit(FORMULA, many, "poisson", engine="iterative", threads=k, integration="laplace")
        for k in (threads, 1)
    )
    assert made.loglik == one.loglik
    np.testing.assert_array_equal(made.estimates.parameters, one.estimates.parameters)


def test_engines_that_do_not_apply_are_refused(data: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="share one grouping factor"):
        glimm.fit("y ~ x + (1 | g)", data, "poisson", engine="iterative")
    with pytest.raises(DataError, match="no random effects"):
        glimm.fit("y ~ x", data, "poisson", engine="dense")
    with pytest.raises(DataError, match=r"engine='dens'; use 'dense'"):
        _fit(data, "dens")
