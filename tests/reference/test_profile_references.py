"""Profile intervals, likelihood-ratio tests and tests of random effects against lme4 and lmerTest.

Numbers: lme4 1.1-31 (`confint(m, method = "profile")`, `profile(m)`, `anova`) and lmerTest 3.1-3 (`ranova`) on R 4.2.2.
lme4 reads bounds off splines through its profile, so that they hold to about 1e-4 of an interval; points of the profile
itself are constrained fits; lme4's optimiser leaves about 1e-4 of a deviance in them.
"""  # noqa: E501

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from reference_data import FOLDER

import glimm
from glimm.inference.goals import goals_of
from glimm.inference.profile import walk

SPLINE = 5e-4  # of the width of an interval
POINT = 5e-5  # of zeta

CBPP = "cbind(incidence, size - incidence) ~ C(period) + (1 | herd)"
CBPP_95 = {
    "herd: sd[(Intercept)]": (0.34609446162185836, 1.0998818993867323),
    "(Intercept)": (-1.9011560595675232, -0.9477945490900155),
    "C(period)[T.2]": (-1.6166786641547295, -0.4078405190489529),
    "C(period)[T.3]": (-1.8009176246072731, -0.5116103070376042),
    "C(period)[T.4]": (-2.5006007140052344, -0.8008310419274033),
}
CBPP_POINTS = {
    "herd: sd[(Intercept)]": ((0.41845208, -1.43190851), (0.80612711, 0.82932992)),
    "(Intercept)": ((-1.75248952, -1.42826777), (-1.1835557, 0.94201163)),
    "C(period)[T.2]": ((-1.40790391, -1.32234621), (-0.74500842, 0.81693922)),
    "C(period)[T.4]": ((-2.19046276, -1.34184089), (-1.2179307, 0.87783558)),
}
SLEEP_95 = {
    "subject: sd[(Intercept)]": (14.381443225644771, 37.715996213633524),
    "subject: cor[(Intercept), days]": (-0.4815007392710101, 0.6849859740729378),
    "subject: sd[days]": (3.8011640959565836, 8.753383151768425),
    "sigma": (22.89826687908899, 28.85799653725899),
    "(Intercept)": (237.6806954893487, 265.129514618658),
    "days": (7.358653260042957, 13.575918752253177),
}
SLEEP_POINTS = {
    "subject: sd[(Intercept)]": ((16.15210482, -1.55546564), (29.40787808, 0.91120682)),
    "subject: cor[(Intercept), days]": ((-0.1727755, -0.80861884), (0.17158527, 0.27830738)),
    "subject: sd[days]": ((4.57056646, -1.08446838), (7.72517306, 1.40834209)),
    "sigma": ((24.05925576, -1.07000348), (28.27874516, 1.6397471)),
    "days": ((8.13222885, -1.50570687), (12.79943453, 1.50394447)),
}
PASTES_95 = {
    "batch:cask: sd[(Intercept)]": (2.157933708411828, 4.053588940716658),
    "batch: sd[(Intercept)]": (0.0, 2.9465911104507834),
    "sigma": (0.6520233561135073, 1.0854481037523327),
    "(Intercept)": (58.66365037853685, 61.443016368722894),
}


@cache
def made(name: str) -> glimm.Fit:
    """The fits of the references; lme4's are Laplace and maximum likelihood."""
    if name == "cbpp":
        data = glimm.datasets.load("cbpp")
        return glimm.fit(CBPP, data, family="binomial", integration="laplace")
    if name == "sleep":
        data = glimm.datasets.load("sleepstudy")
        return glimm.fit("reaction ~ days + (days | subject)", data, reml=False)
    data = pd.read_csv(FOLDER / "cases" / "pastes" / "data.csv")
    return glimm.fit("strength ~ 1 + (1 | batch/cask)", data, reml=name == "pastes reml")


def rows_of(table: Any) -> dict[str, Any]:
    return {row["name"]: row for row in pd.DataFrame(table).to_dict("records")}


@pytest.mark.parametrize(
    ("name", "expected"), [("cbpp", CBPP_95), ("sleep", SLEEP_95), ("pastes", PASTES_95)]
)
def test_profile_intervals_are_lme4s(name: str, expected: dict[str, Any]) -> None:
    fit = made(name)
    found = rows_of(fit.confint(method="profile", part="random"))
    found |= rows_of(fit.confint(method="profile"))
    for key, (low, high) in expected.items():
        allowed = SPLINE * (high - low)
        assert abs(found[key]["lower"] - low) < allowed, (key, found[key], low)
        assert abs(found[key]["upper"] - high) < allowed, (key, found[key], high)


@pytest.mark.parametrize(("name", "expected"), [("cbpp", CBPP_POINTS), ("sleep", SLEEP_POINTS)])
def test_points_of_the_profile_are_lme4s(name: str, expected: dict[str, Any]) -> None:
    fit = made(name)
    goals = {goal.name: goal for goal in goals_of(fit, "mean") + goals_of(fit, "random")}
    chosen = [goals[key] for key in expected]
    values = [[g.write(v) for v, _ in expected[g.name]] for g in chosen]
    for goal, points in zip(chosen, walk(fit, chosen, values, roots=False), strict=True):
        sign = -1 if goal.falls else 1
        for root, (value, zeta) in zip(points.root, expected[goal.name], strict=True):
            assert abs(sign * root - zeta) < POINT, (goal.name, value, sign * root, zeta)


def test_an_interval_at_the_boundary_has_one_side() -> None:
    row = rows_of(made("pastes").confint(method="profile", part="random"))["batch: sd[(Intercept)]"]
    assert row["lower"] == 0
    assert "limit" in row["note"]


def test_random_effects_of_pastes_are_tested_as_by_ranova() -> None:
    table = pd.DataFrame(made("pastes reml").test_random().to_frame()).set_index("group")
    for group, chisq, naive in (
        ("batch:cask", 54.6046648774971, 1.4738537021879968e-13),
        ("batch", 0.6576559268734172, 0.41738871095877256),
    ):
        assert abs(table.loc[group, "chisq"] - chisq) < 1e-6
        assert math.isclose(table.loc[group, "p_naive"], naive, rel_tol=1e-5)
        assert math.isclose(table.loc[group, "p"], naive / 2, rel_tol=1e-5)


def test_likelihood_ratios_are_those_of_anova() -> None:
    data = glimm.datasets.load("cbpp")
    null = glimm.fit("cbind(incidence, size - incidence) ~ 1 + (1 | herd)", data,
                     family="binomial", integration="laplace")  # fmt: skip
    tests = glimm.compare(null=null, period=made("cbpp")).tests
    assert tests is not None
    _, _, chisq, df, null_, p = tests.rows[0]
    assert abs(float(chisq) - 25.610063444719373) < 1e-5  # type: ignore[arg-type]
    assert (df, null_) == (3, "chi-square")
    assert math.isclose(float(p), 1.1509366943075605e-05, rel_tol=1e-5)  # type: ignore[arg-type]


def test_a_variance_more_has_a_mixture_and_a_correlation_has_none() -> None:
    data = glimm.datasets.load("sleepstudy")
    one, two = (
        glimm.fit(f"reaction ~ days + {term}", data, reml=False)
        for term in ("(1 | subject)", "(days || subject)")
    )
    tests = glimm.compare(one, two, made("sleep")).tests
    assert tests is not None
    (_, _, first, _, mixture, p), (_, _, second, _, plain, q) = tests.rows
    assert np.allclose([first, second], [42.07538786534269, 0.06391067668528194], atol=1e-5)
    assert (mixture, plain) == ("mixture 0:1", "chi-square")
    assert math.isclose(p, 8.782158485289935e-11 / 2, rel_tol=1e-4)  # type: ignore[arg-type]
    assert math.isclose(q, 0.800418431976803, rel_tol=1e-4)  # type: ignore[arg-type]
