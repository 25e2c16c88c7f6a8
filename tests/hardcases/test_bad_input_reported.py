"""Input that is refused by a finding, dropped with a report, or refused at prediction."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hard_frames import GROUPS, good_frame
from test_bad_input import FORMULA, put

import glimm
from glimm.errors import DataError, FitWarning, GlimmError

CONSTANT = [
    ("gaussian", 3.0),
    ("gamma", 3.0),
    ("binomial", 0.0),
    ("binomial", 1.0),
    ("poisson", 0.0),
    ("nbinom2", 0.0),
]


@pytest.mark.parametrize(("family", "value"), CONSTANT)
def test_identical_responses_are_refused_by_name(family: str, value: float) -> None:
    with pytest.raises(GlimmError, match="'y'"):
        glimm.fit(FORMULA, good_frame().assign(y=value), family=family)


@pytest.mark.parametrize("family", ["gaussian", "gamma"])
def test_responses_identical_within_groups_are_refused_by_name(family: str) -> None:
    frame = good_frame()
    frame["y"] = 1.0 + frame["g"].str[1:].astype(float)
    with pytest.raises(GlimmError, match="'y'"):
        glimm.fit("y ~ 1 + (1 | g)", frame, family=family)


@pytest.mark.parametrize(
    ("column", "options"),
    [
        ("y", {}),
        ("x", {}),
        ("g", {}),
        ("weight", {"freq": "weight"}),
        ("exposure", {"offset": "exposure"}),
        ("trials", {"trials": "trials", "family": "binomial"}),
    ],
)
def test_missing_rows_are_dropped_and_reported(column: str, options: dict[str, str]) -> None:
    options = {"family": "poisson"} | options
    frame = good_frame()
    rows = [4, 17]
    kept = glimm.fit(FORMULA, frame.drop(index=rows), **options)
    for row in rows:
        frame = put(column, row, None)(frame)
    fit = glimm.fit(FORMULA, frame, **options)
    assert fit.loglik == pytest.approx(kept.loglik, abs=1e-9)
    assert fit.nobs == len(frame) - 2
    (drop,) = fit.design.dropped
    assert (drop.reason, drop.column, drop.count, drop.rows) == ("missing", column, 2, (4, 17))
    assert column in str(fit)


def test_constant_and_collinear_columns_are_dropped_and_named() -> None:
    frame = good_frame()
    frame["constant"] = 2.0
    frame["twice"] = 2 * frame["x"] - 1
    plain = glimm.fit(FORMULA, frame, family="poisson")
    fit = glimm.fit("y ~ x + constant + twice + (1 | g)", frame, family="poisson")
    assert set(fit.diagnostics.aliased) == {"constant", "twice"}
    assert fit.loglik == pytest.approx(plain.loglik, abs=1e-8)
    assert fit.coef["x"] == pytest.approx(plain.coef["x"], abs=1e-7)
    assert "constant" in str(fit)
    assert "twice" in str(fit)


def test_an_empty_cell_of_two_factors_is_dropped_and_named() -> None:
    frame = good_frame()
    frame["h"] = np.where(frame["f"] == "c", "q", np.where(frame.index % 2 == 0, "p", "q"))
    fit = glimm.fit("y ~ f * h + (1 | g)", frame, family="poisson")
    assert fit.diagnostics.aliased == ("f[T.c]:h[T.q]",)
    assert fit.diagnostics.converged


def separated_frame() -> pd.DataFrame:
    """Return binary data in which every row with s = 1 is a success."""
    frame = good_frame()
    rare = np.zeros(len(frame))
    rare[[5, 11, 40]] = 1.0
    return frame.assign(s=rare, binary=np.where(rare == 1.0, 1.0, frame["binary"]))


def test_complete_separation_is_said_by_column() -> None:
    frame = separated_frame()
    with pytest.warns(FitWarning, match="'s'"):
        fit = glimm.fit("binary ~ x + s + (1 | g)", frame, family="binomial")
    findings = [f for f in fit.diagnostics.findings if f.code == "separation"]
    assert len(findings) == 1
    assert "s" in findings[0].message.replace("'", " ").split()
    assert findings[0].remedy
    assert "separat" in str(fit).lower()


def test_a_separated_count_is_said_by_column() -> None:
    frame = good_frame()
    frame["none"] = (frame.index % 12 == 0).astype(float)
    frame.loc[frame["none"] == 1.0, "y"] = 0.0
    with pytest.warns(FitWarning, match="'none'"):
        fit = glimm.fit("y ~ x + none + (1 | g)", frame, family="poisson")
    (finding,) = [f for f in fit.diagnostics.findings if f.code == "separation"]
    assert "none" in finding.message


@pytest.mark.filterwarnings("ignore::glimm.errors.FitWarning")
@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("link", ["logit", "probit", "cloglog", "cauchit"])
def test_a_separated_level_is_said_for_every_link(link: str, value: float) -> None:
    frame = good_frame()
    frame["binary"] = np.where(frame["f"] == "c", value, frame["binary"])
    fit = glimm.fit("binary ~ x + f + (1 | g)", frame, family="binomial", link=link)
    (finding,) = [f for f in fit.diagnostics.findings if f.code == "separation"]
    assert "'f[T.c]'" in finding.message
    for name in ("'x'", "'f[T.b]'", "'(Intercept)'"):
        assert name not in finding.message


@pytest.mark.parametrize("centre", [0.0, 2005.0, 1e6])
@pytest.mark.parametrize(
    ("response", "family"), [("binary", "binomial"), ("y", "poisson"), ("y", "gaussian")]
)
def test_no_separation_is_claimed_of_ordinary_data(
    response: str, family: str, centre: float
) -> None:
    frame = good_frame()
    frame["x"] += centre
    fit = glimm.fit(f"{response} ~ x + f + (1 | g)", frame, family=family)
    assert "separation" not in {f.code for f in fit.diagnostics.findings}


@pytest.mark.filterwarnings("ignore::glimm.errors.FitWarning")
@pytest.mark.parametrize("family", ["gaussian", "binomial"])
def test_one_row_per_group_is_said_by_group(family: str) -> None:
    frame = good_frame()
    frame["own"] = [f"row{i}" for i in range(len(frame))]
    response = "binary" if family == "binomial" else "positive"
    fit = glimm.fit(f"{response} ~ x + (1 | own)", frame, family=family)
    (finding,) = [f for f in fit.diagnostics.findings if f.code == "one_row_per_level"]
    assert "own" in finding.message


def test_a_level_unseen_is_an_error_at_prediction_unless_asked() -> None:
    frame = good_frame()
    fit = glimm.fit(FORMULA, frame, family="poisson")
    new = frame.head(3).assign(g=["g0", "new", "g1"])
    with pytest.raises(DataError) as caught:
        fit.predict(new)
    for word in ("'g'", "'new'", "row 1"):
        assert word in str(caught.value)
    zero = np.asarray(fit.predict(new, scale="link", new_levels="zero"), dtype=float)
    assert zero[1] == pytest.approx(fit.coef["(Intercept)"] + fit.coef["x"] * new["x"].iloc[1])


def test_a_category_unseen_is_an_error_at_prediction() -> None:
    frame = good_frame()
    fit = glimm.fit("y ~ f + (1 | g)", frame, family="poisson")
    with pytest.raises(DataError) as caught:
        fit.predict(frame.head(3).assign(f=["a", "z", "b"]))
    for word in ("'f'", "'z'"):
        assert word in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_covariate_that_is_not_finite_is_an_error_at_prediction(value: float) -> None:
    frame = good_frame()
    fit = glimm.fit(FORMULA, frame, family="poisson")
    with pytest.raises(DataError) as caught:
        fit.predict(frame.head(3).assign(x=[0.0, value, 0.0]))
    for word in ("'x'", "row 1"):
        assert word in str(caught.value)


def test_a_column_absent_at_prediction_is_named() -> None:
    frame = good_frame()
    fit = glimm.fit(FORMULA, frame, family="poisson")
    with pytest.raises(DataError, match="'x'"):
        fit.predict(frame.drop(columns="x"))


def test_object_columns_of_numbers_are_read_as_numbers() -> None:
    frame = good_frame()
    plain = glimm.fit(FORMULA, frame, family="poisson")
    boxed = frame.assign(x=frame["x"].astype(object), y=frame["y"].astype(int).astype(object))
    fit = glimm.fit(FORMULA, boxed, family="poisson")
    assert fit.loglik == plain.loglik


def test_boolean_and_categorical_columns_are_read() -> None:
    frame = good_frame()
    frame["flag"] = frame.index % 2 == 0
    frame["number"] = frame["flag"].astype(float)
    by_flag = glimm.fit("y ~ flag + (1 | g)", frame, family="poisson")
    by_number = glimm.fit("y ~ number + (1 | g)", frame, family="poisson")
    assert by_flag.loglik == pytest.approx(by_number.loglik, abs=1e-9)
    labels = frame.assign(
        g=pd.Categorical(frame["g"], categories=["unused", *sorted(set(frame["g"]))])
    )
    by_category = glimm.fit(FORMULA, labels, family="poisson")
    assert by_category.loglik == glimm.fit(FORMULA, frame, family="poisson").loglik
    assert by_category.groups == {"g": GROUPS}
