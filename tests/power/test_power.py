"""Power by simulation against closed forms, its errors, and designs that grow."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import glimm
from glimm.errors import DataError, FitError
from glimm.power.result import clopper_pearson

FORMULA = "y ~ drug + (1 | subject)"
FAR = 3.5  # standard errors of a simulated share; seeds are fixed


def trial(subjects: int, visits: int = 4) -> dict[str, Any]:
    subject = np.repeat(np.arange(subjects), visits)
    return {"subject": subject, "drug": subject % 2}


def run(effect: float, n: int, subjects: int = 24, **options: Any) -> glimm.Power:
    effects = {"(Intercept)": 1.0, "drug": effect}
    given: dict[str, Any] = {"random": {"subject": 1.0}, "parameters": {"sigma": 1.5}}
    return glimm.power(FORMULA, trial(subjects), effects, n=n, seed=3, **(given | options))


def closed_form(effect: float, subjects: int, visits: int = 4, alpha: float = 0.05) -> float:
    """Two-sample t test of the subjects' means; Satterthwaite's test is that when balanced."""
    variance = 1.0 + 1.5**2 / visits
    shift = effect / math.sqrt(variance * 4 / subjects)
    df = subjects - 2
    reach = stats.t.ppf(1 - alpha / 2, df)
    law = stats.nct(df, shift)
    return float(law.sf(reach) + law.cdf(-reach))


@pytest.mark.parametrize("effect", [0.0, 1.2])
def test_a_two_sample_trial_has_its_closed_power(effect: float) -> None:
    n = 250
    found = run(effect, n, df="satterthwaite").power["drug"]
    truth = closed_form(effect, 24) if effect else 0.05
    # Where the variance of subjects is estimated at zero the t test differs a little.
    assert abs(found - truth) < FAR * math.sqrt(truth * (1 - truth) / n)


def test_threads_change_no_bit() -> None:
    one, two, three = (run(0.8, 24, threads=k) for k in (1, 2, 3))
    for other in (two, three):
        np.testing.assert_array_equal(one.p, other.p)
        np.testing.assert_array_equal(one.estimates, other.estimates)
    again = run(0.8, 12)
    np.testing.assert_array_equal(again.p, one.p[:12])


def test_counts_classes_and_zeros_can_be_simulated() -> None:
    design = trial(30, 6)
    effects = {"(Intercept)": 0.5, "drug": 0.6}
    counts = glimm.power(
        FORMULA, design, effects | {"zi: (Intercept)": -1.0}, family="nbinom2", zi="~ 1",
        random={"subject": 0.3}, parameters={"theta": 2.0}, n=3, integration="laplace",
        target=["drug", "zi: (Intercept)"],
    )  # fmt: skip
    assert counts.failed == 0
    assert set(counts.rejections) == {"drug", "zi: (Intercept)"}
    classes = glimm.power(
        FORMULA, design, {"drug": 1.0}, family="ordinal", random={"subject": 0.5},
        parameters={"thresholds": [-1.0, 0.0, 1.0]}, n=3, integration="laplace",
    )  # fmt: skip
    assert classes.failed == 0
    trials = glimm.power(
        "s / n ~ drug + (1 | subject)", design | {"n": np.full(180, 10)}, effects,
        family="binomial", random={"subject": 0.5}, n=12, integration="laplace",
    )  # fmt: skip
    assert trials.power["drug"] > 0.5


def test_slopes_and_correlations_are_the_truth_simulated() -> None:
    design = trial(40, 6) | {"x": np.tile(np.arange(6.0), 40)}
    random = {"subject": {"(Intercept)": 2.0, "x": 0.7, ("(Intercept)", "x"): -0.4}}
    matrix = np.array([[4.0, -0.56], [-0.56, 0.49]])
    given: dict[str, Any] = {"parameters": {"sigma": 0.5}, "n": 3, "seed": 8}
    formula, effects = "y ~ x + (1 + x | subject)", {"(Intercept)": 0.0, "x": 1.0}
    one = glimm.power(formula, design, effects, random=random, **given)
    other = glimm.power(formula, design, effects, random={"subject": matrix}, **given)
    np.testing.assert_allclose(one.estimates, other.estimates, rtol=1e-9)


def test_likelihood_ratios_joint_tests_and_functions() -> None:
    ratio = run(1.2, 60, test="lrt")
    assert 0.3 < ratio.power["drug"] < 1
    with_function = run(1.2, 30, test=lambda fit: float(fit.coef["drug"] < 0))
    assert list(with_function.rejections.values()) == [30]
    design = trial(30) | {"dose": np.tile(["a", "b", "c", "c"], 30)}
    effects = {"(Intercept)": 0.0, "dose[T.b]": 1.0, "dose[T.c]": 1.0}
    joint = glimm.power(
        "y ~ dose + (1 | subject)", design, effects, random={"subject": 1.0},
        parameters={"sigma": 1.0}, target={"dose": ["dose[T.b]", "dose[T.c]"]}, n=20,
    )  # fmt: skip
    assert joint.power["dose"] > 0.8
    assert np.isnan(joint.to_frame()["truth"]).all()


def test_from_a_fit() -> None:
    data = glimm.datasets.load("cbpp")
    fit = glimm.fit("incidence / size ~ C(period) + (1 | herd)", data, family="binomial")
    found = glimm.power(fit, effects={"C(period)[T.2]": 0.0}, n=40, seed=2)
    assert found.targets[0].truth == 0.0
    assert found.targets[2].truth == fit.coef["C(period)[T.4]"]
    assert found.power["C(period)[T.2]"] < 0.3 < found.power["C(period)[T.4]"]
    curve = glimm.power_curve(fit, sizes={"herd": [15, 30]}, n=20)
    assert curve.points[1].groups == (("herd", 30),)
    assert curve.points[1].rows > 1.8 * curve.points[0].rows


def test_mistakes_are_named_before_anything_is_simulated() -> None:
    with pytest.raises(DataError, match=r"names 'drg'.*lacks 'drug'"):
        glimm.power(FORMULA, trial(10), {"(Intercept)": 0, "drg": 1}, random={"subject": 1.0},
                    parameters={"sigma": 1.0})  # fmt: skip
    with pytest.raises(DataError, match="parameters lacks 'sigma'"):
        run(1.0, 5, parameters={})
    with pytest.raises(DataError, match="random lacks 'subject'"):
        run(1.0, 5, random={})
    with pytest.raises(DataError, match="cannot occur together"):
        run(1.0, 5, random={"subject": [[-1.0]]})
    with pytest.raises(DataError, match="target 'dose'"):
        run(1.0, 5, target="dose")
    with pytest.raises(DataError, match="alpha="):
        run(1.0, 5, alpha=5)
    with pytest.raises(DataError, match="design= to simulate"):
        glimm.power(FORMULA)


def test_a_simulation_that_only_fails_stops_with_the_reason() -> None:
    """Not a power of zero: simr issue 99."""
    with pytest.raises(FitError, match="first 10 .*KeyError: 'drugs'") as found:
        run(1.0, 500, test=lambda fit: fit.coef["drugs"])
    assert found.value.code == "simulation_failed"


def test_failures_are_counted_and_reported() -> None:
    def odd(fit: glimm.Fit) -> float:
        if fit.coef["drug"] > 1.0:
            raise ValueError("too large")
        return 0.5

    found = run(1.0, 30, test=odd)
    assert 0 < found.failed < 30
    assert f"Failed fits {found.failed}" in str(found)
    assert "too large" in str(found)


def test_errors_of_sign_and_size() -> None:
    found = run(0.3, 120, subjects=10)
    row = found.to_frame()
    assert row["exaggeration"][0] > 1.5, "what is found in a weak study is too large"
    assert 0 <= row["wrong_sign"][0] < 0.5


def test_clopper_and_pearson_is_that_of_scipy() -> None:
    for count, n in ((0, 7), (3, 11), (11, 11)):
        peer = stats.binomtest(count, n).proportion_ci(0.9)
        np.testing.assert_allclose(clopper_pearson(count, n, 0.9), (peer.low, peer.high))


def test_designs_keep_the_shares_of_their_strata() -> None:
    blocks = pd.DataFrame({"site": np.repeat(["n", "s"], 20), "subject": np.repeat(range(10), 4)})
    blocks["drug"] = blocks["subject"] % 5 < 2
    for count in (5, 10, 15, 40):
        found = glimm.extend(blocks, groups={"subject": count})
        assert found["subject"].nunique() == count
        assert len(found) == 4 * count
        share = found.groupby("subject")["drug"].first().mean()
        assert abs(share - 0.4) <= 1 / count
    rows = glimm.extend(blocks, rows={"subject": 6})
    assert (rows.groupby("subject").size() == 6).all()
    with pytest.raises(DataError, match="at least 1"):
        glimm.extend(blocks, groups={"subject": 0})
