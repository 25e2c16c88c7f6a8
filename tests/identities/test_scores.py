"""Scores of independent units: they add up, and leaving a unit out takes its score away.

``SUM`` allows for rounding of sums; ``OUT`` for modes found anew; ``DIFFERENCE`` is that of central
differences, ``NODES`` that of nodes which move along with them, where few are asked for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import glimm
from glimm.inference.robust import unit_scores
from glimm.problem import make_problem

SUM = 1e-9
OUT = 1e-6
DIFFERENCE = 1e-4
NODES = 3e-3


def _frame() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    n = 160
    school = np.repeat(np.arange(16), 10)
    pupil = np.repeat(np.arange(80), 2)
    x = rng.normal(size=n)
    eta = 0.4 + 0.5 * x + rng.normal(0, 0.6, 16)[school] + rng.normal(0, 0.5, 80)[pupil]
    return pd.DataFrame({
        "x": x, "school": school, "pupil": pupil,
        "item": np.where(school < 8, "a", "b") + (np.arange(n) % 5).astype(str).astype(object),
        "y": rng.poisson(np.exp(eta)), "z": eta + rng.normal(size=n),
        "w": 1 + np.arange(n) % 3,
    })  # fmt: skip


FRAME = _frame()
LAPLACE = {"integration": "laplace"}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "quadrature": ("y ~ x + (1 + x | school)", {"family": "poisson"}),
    "rule": ("y ~ x + (1 | school)", {"family": "nbinom2", "integration": "agq:7"}),
    "laplace": ("y ~ x + (1 | school)", {"family": "poisson", "integration": "laplace"}),
    "weights": ("y ~ x + (1 | school)", {"family": "poisson", "freq": "w"}),
    "nested": ("y ~ x + (1 | school/pupil)", {"family": "poisson"}),
    "nested laplace": ("y ~ x + (1 | school/pupil)", {"family": "poisson", **LAPLACE}),
    "linear": ("z ~ x + (1 + x | school)", {"reml": False}),
    "linear nested": ("z ~ x + (1 | school/pupil)", {"reml": False}),
    "rows": ("y ~ x", {"family": "poisson"}),
    "blocks": ("z ~ x + (1 | school) + (1 | item)", {"reml": False}),
    "compressed": ("y ~ 1 + (1 | school)", {"family": "poisson", "compress": True}),
}
UNITS = {"rows": 160, "blocks": 2}


@pytest.mark.parametrize("name", [name for name in MODELS if name != "nested"])
def test_scores_add_up_to_the_derivatives(name: str) -> None:
    formula, options = MODELS[name]
    fit = glimm.fit(formula, FRAME, **options)
    problem = make_problem(replace(fit.model, compress=False), fit.design)
    at = fit.estimates.parameters + 0.05
    gradients, hessians, unit = problem.scores(at, True)
    p = at.size
    scores = gradients.reshape(-1, p)
    assert len(scores) == UNITS.get(name, 16)
    assert unit.shape == (160,)
    assert unit[0] == 0
    found = problem.evaluate(at)
    assert found is not None
    np.testing.assert_allclose(scores.sum(axis=0), found[1], rtol=SUM, atol=SUM * 100)
    assert hessians is not None
    steps = []
    for j in range(p):
        ends = [at.copy(), at.copy()]
        ends[0][j] += 1e-5
        ends[1][j] -= 1e-5
        up, down = (problem.scores(end)[0].reshape(-1, p) for end in ends)
        steps.append((up - down) / 2e-5)
    allowed = NODES if name in ("quadrature", "rule") else DIFFERENCE
    np.testing.assert_allclose(
        hessians.reshape(-1, p, p), np.stack(steps, axis=2), rtol=allowed, atol=allowed
    )


@pytest.mark.parametrize("name", ["quadrature", "weights", "nested", "linear", "linear nested"])
def test_information_at_the_estimates(name: str) -> None:
    formula, options = MODELS[name]
    fit = glimm.fit(formula, FRAME, **options)
    scores, information, _ = unit_scores(fit)
    known = np.isfinite(np.diag(fit.estimates.covariance))
    product = information.sum(axis=0)[known][:, known] @ fit.vcov("all")[known][:, known]
    np.testing.assert_allclose(product, np.eye(known.sum()), atol=1e-5)
    se = np.sqrt(np.diag(fit.vcov("all")))[known]
    assert np.abs(scores.sum(axis=0)[known] * se).max() < 1e-3


@pytest.mark.parametrize("name", ["laplace", "rule", "linear"])
def test_leaving_a_unit_out(name: str) -> None:
    formula, options = MODELS[name]
    fit = glimm.fit(formula, FRAME, **options)
    at = fit.estimates.parameters
    problem = make_problem(fit.model, fit.design)
    whole = problem.evaluate(at)
    some = make_problem(
        fit.model, glimm.fit(formula, FRAME[FRAME["school"] != 3], **options).design
    )
    rest = some.evaluate(at)
    assert whole is not None
    assert rest is not None
    score = problem.scores(at)[0].reshape(-1, at.size)[3]
    np.testing.assert_allclose(score, whole[1] - rest[1], rtol=OUT, atol=OUT)


def test_weights_are_repeated_units() -> None:
    """A row of weight two is two independent rows."""
    twice = FRAME.loc[FRAME.index.repeat(FRAME["w"])]
    one = glimm.fit("y ~ x", FRAME, family="poisson", freq="w")
    other = glimm.fit("y ~ x", twice, family="poisson")
    for kind in ("CR0", "CR1", "CR2", "CR3"):
        a, b = one.robust(kind=kind), other.robust(kind=kind)
        np.testing.assert_allclose(a.covariance, b.covariance, rtol=1e-9)
        assert a.df(np.array([0.0, 1.0])) == pytest.approx(b.df(np.array([0.0, 1.0])))


def test_one_component_is_refused() -> None:
    frame = FRAME.assign(item=np.arange(160) % 5)
    fit = glimm.fit("z ~ x + (1 | school) + (1 | item)", frame)
    with pytest.raises(glimm.FitError, match="connect all rows"):
        fit.robust()


def test_split_units_are_refused_with_their_rows() -> None:
    fit = glimm.fit("z ~ x + (1 | school)", FRAME)
    with pytest.raises(glimm.DataError, match="rows 0 and 1 .*of clusters 0 and 1"):
        fit.robust(FRAME.index % 2)
    assert fit.robust(FRAME["school"] // 2).clusters == 8
    assert fit.robust("school").clusters == 16
    with pytest.raises(glimm.DataError, match="array instead"):
        fit.robust("district")
