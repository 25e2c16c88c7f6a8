"""The nested working correlation by dense matrices, and as statsmodels has it.

statsmodels divides the products of pairs by their number and the scale by n - p; glimm both by
their number, or with ``moments="n-p"`` both less p. One dense computation with either divisor gives
the numbers of both programs.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gee_oracle import Array, Cluster, sandwich

import glimm

FOLDER = Path(__file__).parent.parent / "reference" / "gee"
THEIRS: dict[str, Any] = json.loads((FOLDER / "nested.json").read_text("utf-8"))
CLOSE = 1e-8


def data() -> pd.DataFrame:
    return pd.read_csv(FOLDER / "nested.csv").sample(frac=1, random_state=1)


def solved(frame: pd.DataFrame, less: int, less_pairs: int) -> dict[str, Any]:
    """Gaussian equations with V = phi R, R dense, moments and generalised least squares in turn."""
    x = np.column_stack([np.ones(len(frame)), frame["x"]])
    y, g, s = (frame[name].to_numpy() for name in ("y", "cluster", "sub"))
    cluster = np.equal.outer(g, g) & ~np.eye(len(y), dtype=bool)
    inside, between = (cluster & (np.equal.outer(s, s) == same) for same in (True, False))
    beta = np.linalg.lstsq(x, y, rcond=None)[0]
    for _ in range(200):
        r = y - x @ beta
        products = np.outer(r, r)
        phi = r @ r / (len(y) - less)
        means = [products[of].sum() / 2 / (of.sum() / 2 - less_pairs) for of in (inside, between)]
        corr = np.eye(len(y)) + (means[0] * inside + means[1] * between) / phi
        made = [
            Cluster(x[at], phi * corr[np.ix_(at, at)], r[at])
            for at in (np.flatnonzero(g == c) for c in np.unique(g))
        ]
        step = np.linalg.solve(sum(c.information for c in made), sum(c.score for c in made))
        beta = beta + step
    robust: Array = sandwich(made, lambda h, c: c.r)
    se = np.sqrt(np.diag(robust))
    return {"coef": beta, "se": se, "scale": phi, "covariances": means}


@pytest.mark.parametrize(("moments", "less"), [("n", 0), ("n-p", 2)])
def test_ours_is_the_dense_solution(moments: str, less: int) -> None:
    frame = data()
    wanted = solved(frame, less, less)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.FitWarning)  # few clusters
        fit = glimm.gee(
            "y ~ x",
            frame,
            groups="cluster",
            subgroups="sub",
            corr="nested",
            moments=moments,
            covariance="robust",
            df="normal",
        )
    assert list(fit.coef.values()) == pytest.approx(wanted["coef"], rel=CLOSE)
    assert list(fit.se.values()) == pytest.approx(wanted["se"], rel=CLOSE)
    assert fit.scale == pytest.approx(wanted["scale"], rel=CLOSE)
    correlations = np.array(wanted["covariances"]) / wanted["scale"]
    assert list(fit.alpha.values()) == pytest.approx(correlations, rel=CLOSE)


def test_theirs_is_the_dense_solution_with_their_divisors() -> None:
    wanted = solved(data(), 2, 0)
    assert THEIRS["coef"] == pytest.approx(wanted["coef"], rel=1e-7)
    assert THEIRS["se"] == pytest.approx(wanted["se"], rel=1e-6)
    assert THEIRS["scale"] == pytest.approx(wanted["scale"], rel=1e-7)
    both = [sum(THEIRS["components"]), THEIRS["components"][0]]
    assert both == pytest.approx(wanted["covariances"], rel=1e-6)
