"""Merged rows and groups: the same fit with and without."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import glimm
from glimm.problem import make_problem

# Laplace's value is told apart from nothing here but itself.
pytestmark = pytest.mark.filterwarnings("ignore:The integral over the random effects")

# Sums of the same terms in another order.
SAME_VALUE = 1e-12
# Standard errors, and relative to them, beyond the distances to the maximum that the fits report.
SAME = 1e-8
# How much faster than the estimates their errors and the modes may change.
FOLLOW = 10

ROWS, LEVELS = 3000, 300

CASES: dict[str, dict[str, Any]] = {
    "binomial": {"formula": "hit ~ x + w + (1 | g)", "family": "binomial"},
    "slopes": {"formula": "hit ~ x + w + (1 + x | g)", "family": "binomial"},
    "diagonal": {"formula": "hit ~ x + w + (x || g)", "family": "binomial", "link": "cloglog"},
    "trials": {"formula": "hits / trials ~ x + w + (1 | g)", "family": "binomial"},
    "freq": {"formula": "hit ~ x + (1 | g)", "family": "binomial", "freq": "freq"},
    "poisson": {"formula": "count ~ x + w + (1 | g)", "family": "poisson", "offset": "offset"},
    "nbinom2": {"formula": "count ~ x + w + (1 + x | g)", "family": "nbinom2"},
    "crossed": {"formula": "hit ~ x + w + (1 | g) + (1 + x | h)", "family": "binomial"},
    "crossed counts": {"formula": "count ~ x + (1 | g) + (1 | h)", "family": "poisson"},
    "no groups": {"formula": "count ~ x * w", "family": "nbinom2"},
}


@cache
def frame() -> pd.DataFrame:
    """Rows in which all covariates are categories."""
    rng = np.random.default_rng(5)
    g = rng.integers(0, LEVELS, ROWS)
    h = rng.integers(0, 12, ROWS)
    x, w = rng.integers(0, 2, ROWS), (g % 3 == 0).astype(float)
    size = rng.gamma(1.0, 0.5, LEVELS)
    effects = rng.normal(size=(LEVELS, 2)) * [0.7, 0.6]
    eta = -0.3 + 0.5 * x - 0.4 * w + effects[g, 0] + effects[g, 1] * x
    eta += (rng.normal(size=(12, 2)) * 0.4)[h].sum(axis=1)
    trials = rng.integers(1, 4, ROWS)
    p = 1 / (1 + np.exp(-eta))
    offset = np.log(1.0 + rng.integers(0, 2, ROWS))
    return pd.DataFrame(
        {
            "g": g,
            "h": h,
            "x": x.astype(float),
            "w": w,
            "hit": rng.binomial(1, p),
            "trials": trials,
            "hits": rng.binomial(trials, p),
            "freq": rng.integers(1, 3, ROWS),
            "offset": offset,
            "count": rng.poisson(np.exp(eta + offset) * (0.5 + size[g])),
        }
    )


@cache
def both(case: str) -> tuple[glimm.Fit, glimm.Fit]:
    """Fit a case without and with compression, to the same sums: by Laplace."""
    plain, merged = (
        glimm.fit(data=frame(), compress=c, integration="laplace", **CASES[case])
        for c in (False, True)
    )
    return plain, merged


def apart(plain: glimm.Fit, merged: glimm.Fit) -> float:
    """Return how far two fits may be apart, in standard errors: both are near one maximum."""
    return SAME + 1.01 * (plain.estimates.se_moved + merged.estimates.se_moved)


@pytest.mark.parametrize("case", CASES)
def test_likelihood_is_that_of_all_rows_at_any_parameters(case: str) -> None:
    plain, merged = both(case)
    rng = np.random.default_rng(1)
    for _ in range(3):
        point = plain.estimates.parameters + 0.2 * rng.normal(size=plain.df_model)
        one = make_problem(plain.model, plain.design).evaluate(point)
        other = make_problem(merged.model, merged.design).evaluate(point)
        assert one is not None
        assert other is not None
        assert other[0] == pytest.approx(one[0], rel=SAME_VALUE)
        np.testing.assert_allclose(other[1], one[1], atol=1e-10 * np.abs(one[1]).max())


@pytest.mark.parametrize("case", CASES)
def test_fits_agree(case: str) -> None:
    plain, merged = both(case)
    assert plain.diagnostics.compression is None
    assert merged.diagnostics.compression is not None
    assert merged.diagnostics.compression.startswith(f"{ROWS:,} rows -> ")
    assert merged.loglik == pytest.approx(plain.loglik, rel=SAME_VALUE)
    errors = np.sqrt(np.diag(plain.vcov("all")))
    gap = (merged.estimates.parameters - plain.estimates.parameters) / errors
    same = apart(plain, merged)
    np.testing.assert_allclose(gap, 0.0, atol=same)
    np.testing.assert_allclose(
        np.sqrt(np.diag(merged.vcov("all"))) / errors, 1.0, atol=FOLLOW * same
    )
    assert merged.nobs == plain.nobs
    assert merged.bic == pytest.approx(plain.bic, rel=SAME_VALUE)
    np.testing.assert_allclose(merged.fitted, plain.fitted, atol=FOLLOW * same)


@pytest.mark.parametrize("case", [case for case in CASES if case != "no groups"])
def test_every_level_has_its_modes(case: str) -> None:
    plain, merged = both(case)
    assert len(merged.ranef()) == len(plain.ranef())
    same = FOLLOW * apart(plain, merged)
    one, other = pd.DataFrame(plain.ranef()), pd.DataFrame(merged.ranef())
    np.testing.assert_allclose(other["mode"], one["mode"], atol=same)
    np.testing.assert_allclose(other["cond_sd"], one["cond_sd"], atol=same)


@pytest.mark.parametrize("case", ["trials", "nbinom2", "crossed"])
def test_refits_are_fits_of_the_new_responses(case: str) -> None:
    _, merged = both(case)
    y = merged.simulate(1, seed=3)[0]
    again = merged.refit(y)
    name = {"trials": "hits", "nbinom2": "count", "crossed": "hit"}[case]
    fresh = glimm.fit(
        data=frame().assign(**{name: y}), compress=False, integration="laplace", **CASES[case]
    )
    assert again.loglik == pytest.approx(fresh.loglik, rel=1e-10)
    np.testing.assert_allclose(again.refit(merged.design.y).loglik, merged.loglik, rtol=1e-10)


def test_a_saved_fit_says_what_was_merged(tmp_path: Path) -> None:
    _, merged = both("binomial")
    merged.save(tmp_path / "fit.glimm")
    back = glimm.load(tmp_path / "fit.glimm")
    assert back.diagnostics.compression == merged.diagnostics.compression
    assert f"Compressed  {merged.diagnostics.compression}" in str(back)


def test_gaussian_and_unique_rows_stay_as_they_are() -> None:
    made = glimm.fit("count ~ x + (1 | g)", frame(), compress=True)
    assert made.diagnostics.compression is None
    unique = frame().assign(x=np.random.default_rng(2).normal(size=ROWS))
    made = glimm.fit("hit ~ x + (1 | g)", unique, "binomial", compress=True)
    assert made.diagnostics.compression is None
    assert glimm.fit("hit ~ w + (1 | g)", frame(), "binomial").diagnostics.compression is None


@pytest.mark.parametrize(
    ("formula", "codes"),
    [
        ("hit ~ rare + x + (1 | g)", {"separation"}),
        ("hit ~ x + w + both + (1 | g)", {"aliased"}),
        ("hit ~ x + year + (1 | g)", set()),
    ],
)
def test_findings_are_those_of_all_rows(formula: str, codes: set[str]) -> None:
    rare = (np.arange(ROWS) % 97 == 0).astype(float)
    data = frame().assign(rare=rare, both=frame().x - 2 * frame().w, year=2000 + frame().x * 3)
    data["hit"] = np.where(rare == 1, 1, data.hit)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.FitWarning)
        fits = [glimm.fit(formula, data, "binomial", compress=c) for c in (False, True)]
    plain, merged = ({finding.code for finding in fit.diagnostics.findings} for fit in fits)
    assert codes <= merged
    assert merged == plain
    assert fits[0].estimates.identified == fits[1].estimates.identified


def test_large_data_are_compressed_by_themselves_to_the_same_bits_for_any_threads() -> None:
    rng = np.random.default_rng(3)
    n = 40_000
    g, x = rng.integers(0, 500, n), rng.integers(0, 3, n)
    y = rng.poisson(np.exp(0.3 * x + 0.5 * rng.normal(size=500)[g]))
    fits = [
        glimm.fit("y ~ x + (1 | g)", {"y": y, "x": x, "g": g}, "poisson", threads=threads)
        for threads in (1, 2)
    ]
    assert fits[0].estimates.compressed_rows == (n, 1500)
    assert fits[0].loglik == fits[1].loglik
    np.testing.assert_array_equal(*(fit.estimates.parameters for fit in fits))
    np.testing.assert_array_equal(*(fit.estimates.modes[0] for fit in fits))


ONE_FACTOR = ["binomial", "slopes", "diagonal"]


@pytest.mark.parametrize("case", ONE_FACTOR)
def test_equal_groups_are_merged(case: str) -> None:
    _, merged = both(case)
    groups = merged.estimates.compressed_groups
    assert groups is not None
    assert groups[0] == merged.groups["g"]
    assert groups[1] < groups[0]
    assert (
        merged.diagnostics.compression == f"{ROWS:,} rows -> {groups[1]:,} distinct groups, exact"
    )


def test_a_million_rows_of_groups_come_in_460_kinds() -> None:
    rng = np.random.default_rng(0)
    size = rng.integers(1, 21, 100_000)
    g = np.repeat(np.arange(len(size)), size)
    treated = rng.integers(0, 2, len(size))[g]
    eta = -0.3 + 0.5 * treated + 1.1 * rng.normal(size=len(size))[g]
    y = (rng.random(len(g)) < 1 / (1 + np.exp(-eta))).astype(int)
    data = {"y": y, "treated": treated, "g": g}
    merged, plain = (
        glimm.fit("y ~ treated + (1 | g)", data, "binomial", compress=c, integration="laplace")
        for c in (None, False)
    )
    assert merged.diagnostics.compression == f"{len(g):,} rows -> 460 distinct groups, exact"
    assert merged.loglik == pytest.approx(plain.loglik, rel=SAME_VALUE)
    assert len(merged.ranef()["mode"]) == len(size)
    errors = np.sqrt(np.diag(plain.vcov("all")))
    gap = (merged.estimates.parameters - plain.estimates.parameters) / errors
    np.testing.assert_allclose(gap, 0.0, atol=apart(plain, merged))
