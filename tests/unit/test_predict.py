"""Predictions are the model's equation at the estimates and modes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from fits import MODELS, fit, frame
from numpy.typing import NDArray
from scipy import special

import glimm
from glimm.errors import DataError

Array = NDArray[np.float64]

EVERY = pytest.mark.parametrize("name", MODELS)
INVERSES: dict[str, Any] = {
    "identity": lambda eta: eta,
    "log": np.exp,
    "logit": special.expit,
    "probit": special.ndtr,
    "cloglog": lambda eta: -np.expm1(-np.exp(eta)),
    "cauchit": lambda eta: 0.5 + np.arctan(eta) / np.pi,
    "inverse": lambda eta: 1 / eta,
}


@EVERY
def test_the_rows_used_are_predicted_alike_by_all_ways(name: str) -> None:
    made = fit(name)
    assert made.fitted.shape == (made.design.n,)
    np.testing.assert_array_equal(made.predict(), made.fitted)
    np.testing.assert_allclose(made.predict(frame()), made.fitted, rtol=1e-13)


@EVERY
def test_scales_differ_by_the_inverse_link(name: str) -> None:
    made = fit(name)
    inverse = INVERSES[made.model.link]
    eta = made.predict(scale="link")
    np.testing.assert_allclose(made.predict(), inverse(eta), rtol=1e-12)
    new = frame().iloc[:9]
    np.testing.assert_allclose(made.predict(new, scale="link"), eta[:9], rtol=1e-12)


@pytest.mark.parametrize("link", ["cloglog", "cauchit"])
def test_scales_of_other_links(link: str) -> None:
    made = glimm.fit("hits / trials ~ x + (1 | g)", frame(), "binomial", link=link)
    eta = made.predict(scale="link")
    np.testing.assert_allclose(made.predict(), INVERSES[link](eta), rtol=1e-12)


def _effect(made: glimm.Fit, group: str, level: Any, name: str) -> float:
    table = made.ranef()
    row = table[(table["group"] == group) & (table["level"] == level) & (table["name"] == name)]
    return float(row["mode"].item())


def test_the_equation_by_hand() -> None:
    made = fit("gaussian")
    b = made.coef
    expected = (
        b["(Intercept)"] + b["x"] * 1.5 - b["w"] * 0.5
        + _effect(made, "g", "g03", "(Intercept)") + 1.5 * _effect(made, "g", "g03", "x")
    )  # fmt: skip
    new = {"x": [1.5], "w": [-0.5], "g": ["g03"]}
    assert made.predict(new)[0] == pytest.approx(expected, rel=1e-12)


def test_the_equation_of_two_groups_with_offset_and_learned_mean() -> None:
    made = fit("poisson")
    b = made.coef
    expected = b["(Intercept)"] + 2 * b["x"] + b["w"]
    expected += _effect(made, "g", "g05", "(Intercept)") + _effect(made, "h", "4", "(Intercept)")
    new = pd.DataFrame({"x": [2.0], "w": [1.0], "g": ["g05"], "h": [4]})
    assert made.predict(new)[0] == pytest.approx(np.exp(expected), rel=1e-12)
    moved = fit("nbinom2")
    known = moved.predict({"x": [0.0], "w": [3.0], "g": ["g00"]}, scale="link")[0]
    level = moved.coef["(Intercept)"] + _effect(moved, "g", "g00", "(Intercept)")
    assert known == pytest.approx(level + 1.5, rel=1e-12)
    centred = fit("gamma")
    label = f"g02:{frame()['h'][2]}"
    new = frame().iloc[[2]].assign(x=frame()["x"].mean())
    expected = centred.coef["(Intercept)"] + _effect(centred, "g:h", label, "(Intercept)")
    assert centred.predict(new, scale="link")[0] == pytest.approx(expected, rel=1e-10)


@EVERY
def test_a_new_level_gets_the_typical_effects_on_request(name: str) -> None:
    made = fit(name)
    new = frame().iloc[:6].assign(g="nobody", h=99)
    if made.groups:
        with pytest.raises(DataError, match=r"'nobody(:99)?' in rows 0, 1, 2, 3, 4 and 1 more"):
            made.predict(new)
    eta = made.design.x[:6] @ np.array(list(made.coef.values()))
    if made.design.offset is not None:
        eta = eta + made.design.offset[:6]
    found = made.predict(new, new_levels="zero", scale="link")
    np.testing.assert_allclose(found, eta, rtol=1e-11)


def test_known_levels_keep_their_effects_beside_new_ones() -> None:
    made = fit("slopes")
    last = sorted(frame()["g"].unique())[-1]
    rows = frame()[frame()["g"] == last].index[:2]
    new = frame().loc[[*rows, 0]].assign(g=[last, "nobody", "g00"])
    found = made.predict(new, new_levels="zero")
    assert found[0] == pytest.approx(made.fitted[rows[0]], rel=1e-12)
    assert found[2] == pytest.approx(made.fitted[0], rel=1e-12)
    assert found[1] != pytest.approx(made.fitted[rows[1]], rel=1e-3)


@pytest.mark.parametrize("with_rows", [True, False])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "marginal"}, "kind='marginal'; use 'population', 'subject'"),
        ({"scale": "links"}, "scale='links'; use 'link', 'response'"),
        ({"new_levels": "zeros"}, "new_levels='zeros'; use 'zero', 'error'"),
    ],
)
def test_unknown_options_are_refused_by_name(
    options: dict[str, str], words: str, with_rows: bool
) -> None:
    arguments: dict[str, Any] = dict(options)
    with pytest.raises(DataError, match=words) as caught:
        fit("gaussian").predict(frame() if with_rows else None, **arguments)
    assert caught.value.code == "unknown_option"


def test_an_offset_column_is_read_from_the_new_rows() -> None:
    data = frame().assign(known=lambda d: 0.1 * d["w"])
    made = glimm.fit("count ~ x + (1 | g)", data, "poisson", offset="known")
    np.testing.assert_allclose(made.predict(data), made.fitted, rtol=1e-13)
    new = data.assign(known=data["known"] + 1)
    np.testing.assert_allclose(made.predict(new), np.e * made.fitted, rtol=1e-12)
    with pytest.raises(DataError, match="known"):
        made.predict(data.drop(columns="known"))


def test_an_offset_array_is_needed_anew() -> None:
    known = np.linspace(0, 1, len(frame()))
    made = glimm.fit("count ~ x + (1 | g)", frame(), "poisson", offset=known)
    with pytest.raises(DataError, match="give offset= for the new rows"):
        made.predict(frame())
    np.testing.assert_allclose(made.predict(frame(), offset=known), made.fitted, rtol=1e-13)
    with pytest.raises(DataError, match="offset"):
        made.predict(frame(), offset=known[:-1])


def test_an_offset_given_replaces_the_column_but_not_the_formula() -> None:
    data = frame().assign(known=lambda d: 0.1 * d["x"])
    made = glimm.fit("count ~ x + offset(w) + (1 | g)", data, "poisson", offset="known")
    found = made.predict(data, offset=np.zeros(len(data)), scale="link")
    expected = made.predict(scale="link") - data["known"]
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_an_offset_without_new_rows_is_refused() -> None:
    made = fit("nbinom2")
    with pytest.raises(DataError, match="offset= goes with new rows"):
        made.predict(offset=np.ones(made.design.n))


def test_only_the_rows_used_are_fitted() -> None:
    data = frame().astype({"x": float})
    data.loc[[0, 17], "x"] = np.nan
    made = glimm.fit("length ~ x + (1 + x | g)", data)
    assert made.fitted.shape == (len(data) - 2,)
    kept = data.drop([0, 17])
    np.testing.assert_allclose(made.predict(kept), made.fitted, rtol=1e-12)
    with pytest.raises(DataError, match=r"column 'x' of the new data is missing in rows 0, 17"):
        made.predict(data)


@pytest.mark.parametrize("convert", [pl.from_pandas, pa.Table.from_pandas, dict])
def test_new_rows_may_be_any_kind_of_frame(convert: Any) -> None:
    found = fit("slopes").predict(convert(frame()))
    np.testing.assert_array_equal(found, fit("slopes").predict(frame()))


def test_each_row_is_predicted_alone() -> None:
    """Levels, means and knots are those of the fit, not of the new rows."""
    formula = "length ~ bs(x, df=4) + center(w) * f + (1 | g)"
    made = glimm.fit(formula, frame())
    rows = [40, 3, 77]
    np.testing.assert_allclose(made.predict(frame().iloc[rows]), made.fitted[rows], rtol=1e-12)
    for row in rows:
        one = made.predict(frame().iloc[[row]])
        assert one.shape == (1,)
        assert one[0] == pytest.approx(made.fitted[row], rel=1e-12)


def test_columns_left_out_of_the_fit_are_left_out_here() -> None:
    data = frame().assign(twice=lambda d: 2 * d["x"])
    made = glimm.fit("length ~ twice + x + w + (1 | g)", data)
    assert made.diagnostics.aliased
    np.testing.assert_allclose(made.predict(data), fit("intercepts").fitted, rtol=1e-5)


def test_no_rows_give_no_predictions() -> None:
    assert fit("gaussian").predict(frame().iloc[:0]).shape == (0,)


def test_a_binomial_is_predicted_as_a_probability() -> None:
    made = fit("binomial")
    assert made.fitted.min() > 0
    assert made.fitted.max() < 1
    expected = float((made.fitted * frame()["trials"]).sum())
    assert expected == pytest.approx(frame()["hits"].sum(), rel=0.02)
