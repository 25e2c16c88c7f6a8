"""Hypotheses in words, tests of terms, p-values for many tests, degrees of freedom."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest

import glimm
from glimm.inference.contrasts import adjust, adjusted
from glimm.inference.freedom import freedom
from glimm.inference.hypothesis import read

NAMES = ("(Intercept)", "a", "b", "g[T.x y]", "a:b", "2nd")


@functools.cache
def fit() -> glimm.Fit:
    return glimm.fit("reaction ~ days + (1 + days | subject)", glimm.datasets.load("sleepstudy"))


@pytest.mark.parametrize(
    ("text", "row", "value"),
    [
        ("a", [0, 1, 0, 0, 0, 0], 0.0),
        ("a = b", [0, 1, -1, 0, 0, 0], 0.0),
        ("a - 2*b = 0.5", [0, 1, -2, 0, 0, 0], 0.5),
        ("-a + b*2 - 1e-1 = - 3 * a", [0, 2, 2, 0, 0, 0], 0.1),
        ("`g[T.x y]` = (Intercept)", [-1, 0, 0, 1, 0, 0], 0.0),
        ("'a:b' + a:b = 2nd", [0, 0, 0, 0, 2, -1], 0.0),
    ],
)
def test_hypotheses_are_read(text: str, row: list[float], value: float) -> None:
    found, constant = read(text, NAMES)
    assert found.tolist() == row
    assert constant == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "marked"),
    [("aa = 2", "aa"), ("a * b", "b"), ("a 3", "3"), ("a = 1 = 2", "="), ("`c` = 1", "`c`")],
)
def test_what_cannot_be_read_is_marked(text: str, marked: str) -> None:
    with pytest.raises(glimm.FormulaError) as caught:
        read(text, NAMES)
    start, end = caught.value.span
    assert text[start:end] == marked


@pytest.mark.parametrize("text", ["", "a =", "a +", "= =", "*"])
def test_unfinished_hypotheses_are_refused(text: str) -> None:
    with pytest.raises(glimm.FormulaError):
        read(text, NAMES)


def test_a_single_hypothesis_is_the_squared_t() -> None:
    tested = fit().test("days").tests[0]
    table = glimm.summary(fit()).tables[-1]
    assert tested.statistic == pytest.approx(table.rows[1][5] ** 2)  # type: ignore[operator]
    assert tested.p == pytest.approx(table.rows[1][7])
    as_matrix = fit().test([[0.0, 1.0]], value=10.0).tests[0]
    assert as_matrix.p == pytest.approx(fit().test("days = 10").tests[0].p)
    assert len(fit().test(["days = 10", "(Intercept) = 250"]).tests[0].rows) == 2
    assert "Satterthwaite" in str(fit().test("days"))


def test_hypotheses_that_repeat_are_refused() -> None:
    with pytest.raises(glimm.DataError, match="repeat"):
        fit().test(["days = 1", "2*days = 2"])
    with pytest.raises(glimm.DataError, match="2 columns"):
        fit().test([[1.0, 0.0, 0.0]])


def test_type_three_does_not_depend_on_coding() -> None:
    rng = np.random.default_rng(8)
    frame = pd.DataFrame({"f": rng.choice(list("abc"), 90), "h": rng.choice(list("uv"), 90),
                          "x": rng.normal(size=90), "g": np.repeat(np.arange(15), 6)})  # fmt: skip
    frame["y"] = rng.poisson(np.exp(0.2 * frame["x"] + (frame["f"] == "a")))
    one = glimm.fit("y ~ f * h + x + (1 | g)", frame, family="poisson")
    other = glimm.fit("y ~ C(f, contr.helmert) * C(h, contr.sum) + x + (1 | g)", frame,
                      family="poisson")  # fmt: skip
    a, b = one.joint_tests("III"), other.joint_tests("III")
    assert list(a.p.values()) == pytest.approx(list(b.p.values()), rel=1e-5)
    assert "chi-square" in str(a)
    # Type II of the interaction and of what nothing contains is type III.
    assert one.joint_tests("II").p["f:h"] == pytest.approx(a.p["f:h"])
    assert one.joint_tests("II").p["x"] == pytest.approx(a.p["x"])
    # The last term of type I as well, and the chi-square of type II is that of a smaller model.
    assert one.joint_tests("I").p["f:h"] == pytest.approx(a.p["f:h"])


def test_empty_cells_have_no_type_three() -> None:
    frame = pd.DataFrame({"f": list("aab") * 20, "h": list("uvu") * 20, "y": np.arange(60) % 7})
    made = glimm.fit("y ~ f * h", frame, family="poisson")
    with pytest.raises(glimm.DataError, match="no rows"):
        made.joint_tests("III")
    assert made.joint_tests("II").tests


def test_p_values_adjusted() -> None:
    p = [0.01, 0.04, 0.03, 0.005]
    assert adjust(p, "bonferroni").tolist() == pytest.approx([0.04, 0.16, 0.12, 0.02])
    assert adjust(p, "holm").tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjust(p, "bh").tolist() == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert adjust([0.02], "sidak").tolist() == pytest.approx([0.02])
    by = adjust(p, "by") / adjust(p, "bh")
    assert by.tolist() == pytest.approx([1 + 1 / 2 + 1 / 3 + 1 / 4] * 4)
    with pytest.raises(glimm.DataError, match="between 0 and 1"):
        adjust([1.2])


def test_max_t_of_independent_estimates_is_sidak() -> None:
    found = adjusted([1.0, 2.0, 3.0], np.eye(3), method="max-t")
    other = adjusted([1.0, 2.0, 3.0], np.eye(3), method="sidak")
    assert found.p == pytest.approx(other.p, rel=2e-3)
    assert found.critical[0] == pytest.approx(other.critical[0], rel=1e-3)
    again = adjusted([1.0, 2.0, 3.0], np.eye(3), method="max-t")
    assert np.array_equal(found.p, again.p)


def test_max_t_of_all_pairs_is_tukey() -> None:
    pairs = np.array([[1.0, -1, 0], [1, 0, -1], [0, 1, -1]])
    estimates = pairs @ np.array([0.0, 1.8, 2.9])
    for df in (7.0, np.inf):
        found = adjusted(estimates, pairs @ pairs.T, df, "max-t")
        other = adjusted(estimates, pairs @ pairs.T, df, "tukey")
        assert found.p == pytest.approx(other.p, abs=2e-4)
        assert found.critical[0] == pytest.approx(other.critical[0], rel=2e-3)
    with pytest.raises(glimm.DataError, match="not all pairs"):
        adjusted([1.0, 2.0], np.eye(2), method="tukey")


def test_far_tails_of_max_t_keep_their_p_value() -> None:
    found = adjusted([12.0, 0.1], np.eye(2))
    assert 0 < found.p[0] < 1e-30


def test_degrees_of_freedom_follow_the_wish() -> None:
    low, high = (np.asarray(fit().confint(df=df)["upper"])[1] for df in ("normal", "auto"))
    assert low < high
    assert freedom(fit(), "normal").df(np.array([0.0, 1.0])) == np.inf
    poisson = glimm.fit(
        "seizures ~ treatment + (1 | patient)", glimm.datasets.load("epilepsy"), family="poisson"
    )
    assert "z" in {column.head for column in poisson.summary().tables[-1].columns}
    with pytest.raises(glimm.FitError, match="gaussian responses") as caught:
        poisson.summary(df="satterthwaite")
    assert caught.value.code == "no_freedom"
    ml = glimm.fit("reaction ~ days + (1 | subject)", glimm.datasets.load("sleepstudy"), reml=False)
    with pytest.raises(glimm.FitError, match="reml=True"):
        ml.summary(df="kenward-roger")
    with pytest.raises(glimm.DataError, match="use 'satterthwaite'"):
        fit().summary(df="satterthwait")


def test_robust_tables() -> None:
    robust = fit().robust()
    text = str(robust)
    assert "model SE" in text
    assert "18 clusters" in text
    frame = robust.to_frame()
    assert list(frame["name"]) == ["(Intercept)", "days"]
    lower = np.asarray(robust.confint()["lower"])
    assert lower == pytest.approx(np.asarray(frame["lower"]))
    assert robust.full is None
    with pytest.raises(glimm.DataError, match="kind="):
        fit().robust(kind="HC0")


def test_row_weights_of_a_linear_mixed_model() -> None:
    """Frequency weights are rows in any number; precision weights scale the variance."""
    data = glimm.datasets.load("sleepstudy")
    data = data.assign(w=1 + np.arange(len(data)) % 2)
    one = glimm.fit("reaction ~ days + (1 | subject)", data, freq="w")
    other = glimm.fit("reaction ~ days + (1 | subject)", data.loc[data.index.repeat(data["w"])])
    for df in ("satterthwaite", "kenward-roger"):
        a, b = freedom(one, df), freedom(other, df)
        assert a.df(np.array([1.0, 0.0])) == pytest.approx(b.df(np.array([1.0, 0.0])), rel=1e-6)
