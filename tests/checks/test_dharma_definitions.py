"""DHARMa's statistics by its definitions, against DHARMa 0.5.0 itself.

Numbers from simulation matrices are exact; those from fits lie within the spread over DHARMa's own
seeds, or a few standard errors of 250 simulations where no spread was stored. Random numbers that
break ties are R's and cannot be repeated: residuals of counts are checked by their bounds.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import glimm
from glimm.checks.law import Simulated
from glimm.checks.residuals import Residuals

Array = NDArray[np.float64]
FOLDER = Path(__file__).parents[1] / "reference" / "checks"


@cache
def case(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / name / "case.json").read_text())["results"]
    return found


def columns(name: str) -> dict[str, Array]:
    path = FOLDER / name / "data.csv"
    head = path.read_text().splitlines()[0].replace('"', "").split(",")
    values = np.loadtxt(path, delimiter=",", skiprows=1)
    return {key: values[:, j] for j, key in enumerate(head)}


def matrix(kind: str) -> glimm.checks.Dharma:
    data = columns("dharma_matrix")
    y = data["y" if kind == "count" else "y_cont"]
    draws = np.loadtxt(FOLDER / "dharma_matrix" / f"simulations_{kind}.csv.gz", delimiter=",")
    law = Simulated(
        np.ascontiguousarray(draws.T if len(draws) == y.size else draws), data["fitted"]
    )
    u, z = law.quantile(y, 1, 0)
    r = Residuals(u, z, y, np.arange(y.size), "simulated", "none", "estimates", 1, law)
    return glimm.checks.dharma(r, n=len(law.draws))


def test_bounds_of_counts() -> None:
    found, expected = matrix("count"), case("dharma_matrix")["count"]
    np.testing.assert_allclose(found.lower, expected["lower_P_sim_lt_obs"], atol=1e-12)
    np.testing.assert_allclose(found.upper, expected["upper_P_sim_le_obs"], atol=1e-12)
    theirs = np.array(expected["scaled_residuals_seed123"])
    assert np.all((theirs >= found.lower) & (theirs <= found.upper))


def test_residuals_of_continuous_responses() -> None:
    found, expected = matrix("continuous"), case("dharma_matrix")["continuous"]
    np.testing.assert_allclose(found.values, expected["scaled_residuals"], atol=1e-12)
    # DHARMa's p is the asymptotic one, for 250 simulations make ties.
    distance, p = found.statistics["uniformity"]
    tests = expected["tests"]["uniformity"]
    assert distance == pytest.approx(tests["statistic"][0], rel=1e-9)
    assert p == pytest.approx(tests["p_value"], rel=0.15)
    outliers = expected["tests"]["outliers_binomial"]
    assert found.statistics["outliers"] == pytest.approx(
        (outliers["statistic"][0], outliers["p_value"]), rel=1e-9
    )


@pytest.mark.parametrize("kind", ["count", "continuous"])
def test_dispersion_and_zeros(kind: str) -> None:
    found, tests = matrix(kind).statistics, case("dharma_matrix")[kind]["tests"]
    dispersion = tests["dispersion"]
    assert found["dispersion"] == pytest.approx(
        (dispersion["statistic"][0], dispersion["p_value"]), rel=1e-9, abs=1e-12
    )
    if kind == "count":
        zero = tests["zero_inflation"]
        assert found["zeros"] == pytest.approx(
            (zero["statistic"][0], zero["p_value"]), rel=1e-9, abs=1e-12
        )


@cache
def fit(response: str, **more: Any) -> glimm.Fit:
    data = columns("dharma_good_bad")
    return glimm.fit(f"{response} ~ x + (1 | g)", data, family="poisson", **more)


@pytest.mark.parametrize("which", ["good", "bad"])
def test_conditional_simulations_of_a_fit(which: str) -> None:
    """Within four of DHARMa's standard deviations over seeds."""
    expected = case("dharma_good_bad")[f"spread_{which}"]
    found = glimm.checks.dharma(fit(f"y_{which}"), seed=5).statistics
    for k, name in ((1, "dispersion"), (2, "zeros")):
        assert abs(found[name][0] - expected["mean"][k]) < 4 * expected["sd"][k]
    if which == "bad":
        assert found["uniformity"][1] < 1e-6
        assert found["dispersion"][1] < 0.01


@pytest.mark.parametrize("which", ["good", "bad"])
def test_marginal_simulations_of_a_fit(which: str) -> None:
    """Within ten per cent: simulated variances of 30 groups have a long tail."""
    tests = case("dharma_good_bad")[f"{which}_unconditional"]["tests"]
    found = glimm.checks.dharma(fit(f"y_{which}"), random_effects="marginal", seed=5).statistics
    for ours, theirs in (("dispersion", "dispersion"), ("zeros", "zero_inflation")):
        assert found[ours][0] == pytest.approx(tests[theirs]["statistic"][0], rel=0.1)
        assert abs(found[ours][1] - tests[theirs]["p_value"]) < 0.15
