"""Models that are hard for the shape of their groups, each with an answer known another way."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hard_frames import SAME_LOGLIK, coins, counts, grouped, same_estimate, sds
from laplace_oracle import BOTH, assert_at_the_optimum, intercept_rows

import glimm
from glimm.errors import FitWarning


@BOTH
def test_clusters_all_zero_or_all_one(integration: str) -> None:
    frame = coins(seed=21)
    order = {name: i for i, name in enumerate(sorted(set(frame["g"])))}
    number = frame["g"].map(order)
    y = np.where(number < 10, 0.0, np.where(number < 18, 1.0, frame["y"]))
    frame = frame.assign(y=y)
    fit = glimm.fit("y ~ x + (1 | g)", frame, family="binomial", integration=integration)
    assert_at_the_optimum(fit, "binomial", intercept_rows(frame, "g", ("x",)))


def test_only_clusters_all_zero_or_all_one_is_not_passed_over() -> None:
    frame = coins(seed=22)
    number = frame["g"].str[1:].astype(int)
    frame = frame.assign(y=(number % 2).astype(float))
    with pytest.warns(FitWarning):
        fit = glimm.fit("y ~ 1 + (1 | g)", frame, family="binomial")
    assert fit.diagnostics.findings[0].serious


@BOTH
@pytest.mark.parametrize("sd", [10.0, 50.0])
def test_large_variance(sd: float, integration: str) -> None:
    frame = coins(seed=23, sd=sd, size=40)
    frame["x"] = 20.0 * frame["x"]
    chance = 1 / (1 + np.exp(-(frame["eta"] + 0.5 * frame["x"])))
    frame["y"] = (np.random.default_rng(24).random(len(frame)) < chance).astype(float)
    fit = glimm.fit("y ~ x + (1 | g)", frame, family="binomial", integration=integration)
    assert_at_the_optimum(fit, "binomial", intercept_rows(frame, "g", ("x",)))


@BOTH
def test_one_to_four_binary_rows_per_group(integration: str) -> None:
    rng, frame = grouped(25, list(np.tile([1, 2, 3, 4], 25)), 1.0)
    y = (rng.random(len(frame)) < 1 / (1 + np.exp(-frame["eta"]))).astype(float)
    frame = frame.assign(y=y)
    fit = glimm.fit("y ~ x + (1 | g)", frame, family="binomial", integration=integration)
    assert_at_the_optimum(fit, "binomial", intercept_rows(frame, "g", ("x",)))


@BOTH
def test_groups_of_one_and_of_hundreds(integration: str) -> None:
    rng, frame = grouped(26, [1] * 30 + [2] * 10 + [400, 150], 0.7)
    frame = frame.assign(y=rng.poisson(np.exp(frame["eta"])).astype(float))
    fit = glimm.fit("y ~ x + (1 | g)", frame, family="poisson", integration=integration)
    assert_at_the_optimum(fit, "poisson", intercept_rows(frame, "g", ("x",)))


@BOTH
def test_one_row_per_group_of_counts(integration: str) -> None:
    rng, frame = grouped(27, [1] * 90, 0.8)
    frame = frame.assign(y=rng.poisson(np.exp(1.0 + frame["eta"])).astype(float))
    fit = glimm.fit("y ~ x + (1 | g)", frame, family="poisson", integration=integration)
    assert_at_the_optimum(fit, "poisson", intercept_rows(frame, "g", ("x",)))


def test_rows_in_any_order() -> None:
    frame = counts()
    plain = glimm.fit("y ~ x + (1 + x | g)", frame, family="poisson")
    shuffled = frame.sample(frac=1.0, random_state=5)
    fit = glimm.fit("y ~ x + (1 + x | g)", shuffled, family="poisson")
    assert fit.loglik == pytest.approx(plain.loglik, abs=1e-8)
    same_estimate(fit, plain, "x")


@pytest.fixture(scope="module")
def wards() -> pd.DataFrame:
    """Patients in wards in hospitals; ward labels repeat between hospitals."""
    rng = np.random.default_rng(28)
    hospital = np.repeat(np.arange(12), 40)
    ward = np.tile(np.repeat(np.arange(4), 10), 12)
    eta = (
        rng.normal(scale=0.6, size=12)[hospital]
        + rng.normal(scale=0.8, size=48)[hospital * 4 + ward]
    )
    x = rng.normal(size=480)
    y = (rng.random(480) < 1 / (1 + np.exp(-(eta + 0.5 * x)))).astype(float)
    return pd.DataFrame(
        {
            "y": y,
            "x": x,
            "hospital": [f"h{i:02d}" for i in hospital],
            "ward": [f"w{i}" for i in ward],
            "unique_ward": [f"h{i:02d}w{j}" for i, j in zip(hospital, ward, strict=True)],
        }
    )


@pytest.mark.parametrize(
    "terms",
    [
        "(1 | hospital) + (1 | unique_ward)",
        "(1 | unique_ward) + (1 | hospital)",
        "(1 | hospital) + (1 | hospital:ward)",
        "(1 | hospital) + (1 | ward:hospital)",
    ],
)
def test_nested_groups_coded_otherwise(wards: pd.DataFrame, terms: str) -> None:
    nested = glimm.fit("y ~ x + (1 | hospital/ward)", wards, family="binomial")
    fit = glimm.fit(f"y ~ x + {terms}", wards, family="binomial")
    assert fit.loglik == pytest.approx(nested.loglik, abs=SAME_LOGLIK)
    same_estimate(fit, nested, "x")
    assert sorted(sds(fit)) == pytest.approx(sorted(sds(nested)), rel=1e-4)


def test_interaction_group_is_the_pasted_label(wards: pd.DataFrame) -> None:
    pasted = glimm.fit("y ~ x + (1 + x | unique_ward)", wards, family="binomial")
    fit = glimm.fit("y ~ x + (1 + x | hospital:ward)", wards, family="binomial")
    assert fit.loglik == pytest.approx(pasted.loglik, abs=1e-9)
    assert fit.groups == {"hospital:ward": 48}


def test_crossed_levels_seen_once() -> None:
    rng, frame = grouped(29, [12] * 20, 0.6)
    other = np.concatenate([np.arange(120), rng.integers(0, 15, size=120)])
    effect = rng.normal(scale=0.5, size=120)[other]
    frame = frame.assign(other=[f"o{i:03d}" for i in rng.permutation(other)])
    frame = frame.assign(y=rng.poisson(np.exp(0.5 + frame["eta"] + effect)).astype(float))
    terms = ("(1 | g) + (1 | other)", "(1 | other) + (1 | g)")
    fit, swapped = (
        glimm.fit(f"y ~ x + {text}", frame, family="poisson", integration="laplace")
        for text in terms
    )
    assert fit.diagnostics.converged
    assert fit.loglik == pytest.approx(swapped.loglik, abs=SAME_LOGLIK)
    same_estimate(fit, swapped, "x")
    # Other draws: equal to the errors that both certificates state.
    fit, swapped = (glimm.fit(f"y ~ x + {text}", frame, family="poisson") for text in terms)
    assert fit.diagnostics.converged
    stated = fit.certificate.loglik_error + swapped.certificate.loglik_error
    assert 0 < stated < 0.05
    assert fit.loglik == pytest.approx(swapped.loglik, abs=stated)
    moved = abs(fit.coef["x"] - swapped.coef["x"]) / fit.se["x"]
    assert moved < fit.certificate.worst + swapped.certificate.worst < 0.1


def test_a_group_repeated_under_another_name() -> None:
    frame = counts()
    plain = glimm.fit("y ~ x + (1 | g)", frame, family="poisson")
    twice = frame.assign(h=frame["g"] + "h")
    with pytest.warns(FitWarning, match="flat in 'g"):
        fit = glimm.fit("y ~ x + (1 | g) + (1 | h)", twice, family="poisson")
    # Only the sum of the two variances is determined; nodes for nested effects state their error.
    assert fit.certificate.loglik_error < 1e-5
    assert abs(fit.loglik - plain.loglik) < fit.certificate.loglik_error
    assert np.sum(sds(fit) ** 2) == pytest.approx(sds(plain)[0] ** 2, rel=1e-3)


def test_a_collinear_slope_is_the_model_without_it() -> None:
    frame = counts()
    frame["double"] = 2.0 * frame["x"]
    plain = glimm.fit("y ~ x + (1 + x | g)", frame, family="poisson")
    with pytest.warns(FitWarning, match="flat in 'g"):
        fit = glimm.fit("y ~ x + (1 + x + double | g)", frame, family="poisson")
    assert fit.loglik == pytest.approx(plain.loglik, abs=1e-5)
    assert fit.diagnostics.singular


def test_factor_slopes_without_correlation_are_separate_groups() -> None:
    rng, frame = grouped(30, [12] * 25, 0.0)
    frame["f"] = np.tile(["a", "b", "c"], len(frame) // 3)
    cell = frame["g"] + frame["f"]
    levels = sorted(set(cell))
    effect = dict(zip(levels, rng.normal(scale=0.7, size=len(levels)), strict=True))
    frame["y"] = rng.poisson(np.exp(1.0 + cell.map(effect))).astype(float)
    diagonal = glimm.fit("y ~ 1 + (0 + f || g)", frame, family="poisson")
    for name in "abc":
        frame[f"is_{name}"] = (frame["f"] == name).astype(float)
    apart = glimm.fit(
        "y ~ 1 + (0 + is_a | g) + (0 + is_b | g) + (0 + is_c | g)", frame, family="poisson"
    )
    assert diagonal.loglik == pytest.approx(apart.loglik, abs=SAME_LOGLIK)
    assert sorted(sds(diagonal)) == pytest.approx(sorted(sds(apart)), rel=1e-4)


def test_unicode_names_and_labels() -> None:
    frame = counts()
    plain = glimm.fit("y ~ x + (1 | g)", frame, family="poisson")
    renamed = frame.rename(columns={"x": "größe", "g": "gruppe"})
    renamed["gruppe"] = "Ö" + renamed["gruppe"] + "語"
    fit = glimm.fit("y ~ größe + (1 | gruppe)", renamed, family="poisson")
    assert fit.loglik == plain.loglik
    assert str(fit.ranef()["level"].iloc[0]).startswith("Ö")
