"""What cannot be fitted is refused in the user's words, with a code that the docs explain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import glimm
from glimm.errors import GlimmError


def frame(clusters: int = 50, times: int = 4) -> pd.DataFrame:
    """Gaussian responses of clusters."""
    rng = np.random.default_rng(0)
    n = clusters * times
    return pd.DataFrame(
        {
            "g": np.repeat(np.arange(clusters), times),
            "t": np.tile(np.arange(times), clusters),
            "x": rng.normal(size=n),
            "y": rng.normal(size=n) + np.repeat(rng.normal(size=clusters), times),
            "w": rng.uniform(1, 2, n),
        }
    )


def twice() -> pd.DataFrame:
    data = frame()
    data.loc[6, "t"] = 1
    return data


def alternating() -> pd.DataFrame:
    """Neighbours correlate by -0.9 and so do all others: no such matrix of four rows."""
    data = frame(clusters=60, times=2)
    data["y"] = np.tile([1.0, -1.0], 60) * np.repeat(np.random.default_rng(1).normal(size=60), 2)
    extra = frame(clusters=1, times=6).assign(g=99, y=[0.1, 0.0, 0.2, -0.1, 0.3, 0.1])
    return pd.concat([data, extra], ignore_index=True)


BAD: list[tuple[str, dict[str, Any], str, str]] = [
    ("one cluster", {"data": frame(1)}, "few_clusters", "one cluster only"),
    ("time twice", {"data": twice(), "corr": "ar1", "time": "t"}, "duplicate_times", "rows 5, 6"),
    ("no time", {"corr": "ar1"}, "unknown_option", "needs time="),
    ("no subgroups", {"corr": "nested"}, "unknown_option", "needs subgroups="),
    ("subgroups for nothing", {"subgroups": "t"}, "unknown_option", "goes with corr='nested'"),
    ("unknown structure", {"corr": "exchangable"}, "unknown_option", "'exchangeable'"),
    ("no lags", {"corr": "m_dependent", "time": "t"}, "unknown_option", "m_dependent:1"),
    ("not square", {"corr": np.ones((2, 3)), "time": "t"}, "array_shape", "square"),
    ("not a correlation", {"corr": 2 * np.eye(4), "time": "t"}, "working_correlation", "ones"),
    (
        "given and not definite",
        {"corr": np.full((4, 4), -0.9) + 1.9 * np.eye(4), "time": "t"},
        "working_correlation",
        "smallest eigenvalue",
    ),
    ("too small", {"corr": np.eye(3), "time": "t"}, "working_size", "4 different values"),
    (
        "too many times",
        {"data": frame(50, 80), "corr": "unstructured", "time": "t"},
        "working_size",
        "3,160 parameters",
    ),
    (
        "lags of no unit",
        {"data": frame().assign(t=lambda f: f["t"] ** 1.7), "corr": "toeplitz", "time": "t"},
        "working_size",
        "multiples",
    ),
    ("not definite", {"data": alternating()}, "working_correlation", "cluster 99"),
    ("classes", {"corr": "local_odds"}, "unknown_option", "ordered classes"),
    ("freq", {"freq": "w"}, "weights_within", "cluster 0"),
    ("negative weights", {"weights": -np.ones(200)}, "outside_domain", "above 0"),
    ("random effects", {"formula": "y ~ x + (1 | g)"}, "formula_random_term", "no random effects"),
    ("no such family", {"family": "student_t"}, "unknown_family", "variance function"),
    ("theta not held", {"family": "nbinom2"}, "unknown_family", "hold="),
    ("response", {"family": "poisson"}, "outside_domain", "row"),
    ("groups missing", {"groups": "nowhere"}, "unknown_column", "nowhere"),
    ("missing", {"data": frame().assign(g=np.nan)}, "empty_data", "'g'"),
    ("pairs", {"corr_formula": "~ lagg", "time": "t"}, "formula_syntax", "lag, distance"),
    ("two correlations", {"corr": "ar1", "corr_formula": "~ lag"}, "unknown_option", "both"),
    ("no column", {"corr_formula": "~ same(ward)"}, "unknown_column", "ward"),
    ("scale", {"scale": -1.0}, "unknown_option", "above 0"),
    (
        "separation",
        {"formula": "b ~ x", "family": "binomial"},
        "separation",
        "'x' runs to infinity",
    ),
]


@pytest.mark.parametrize(
    ("given", "code", "words"), [row[1:] for row in BAD], ids=[r[0] for r in BAD]
)
def test_refusals(given: dict[str, Any], code: str, words: str) -> None:
    given = {"formula": "y ~ x", "data": frame(), "groups": "g", **given}
    if "b ~" in given["formula"]:
        given["data"]["b"] = (given["data"]["x"] > 0) * 1
    with pytest.raises(GlimmError) as caught:
        glimm.gee(**given)
    assert caught.value.code == code, caught.value
    assert words in str(caught.value)


def test_rows_without_a_cluster_are_dropped_and_reported() -> None:
    data = frame().astype({"g": float})
    data.loc[[3, 8], "g"] = np.nan
    fit = glimm.gee("y ~ x", data, groups="g", time="t", corr="ar1")
    assert fit.nobs == 198
    assert "2 rows: missing in 'g', rows 3, 8" in str(fit.summary().to_text(width=200))
    with pytest.raises(glimm.DataError, match="missing values in column 'g'"):
        glimm.gee("y ~ x", data, groups="g", missing="error")


def test_few_clusters_are_corrected_or_warned_of() -> None:
    data = frame(clusters=12)
    fit = glimm.gee("y ~ x", data, groups="g")
    assert (fit.covariance_used, fit.df_used) == ("kauermann-carroll", "clusters")
    assert "12 clusters, fewer than 40" in str(fit)
    with pytest.warns(glimm.FitWarning, match="12 clusters"):
        glimm.gee("y ~ x", data, groups="g", covariance="robust", df="normal")
    many = glimm.gee("y ~ x", frame(), groups="g")
    assert (many.covariance_used, many.df_used) == ("robust", "normal")


def test_repeated_columns_are_left_out() -> None:
    data = frame().assign(x2=lambda f: 2 * f["x"])
    fit = glimm.gee("y ~ x + x2", data, groups="g")
    assert fit.names == ("(Intercept)", "x")
    assert "x2: repeats earlier columns" in str(fit)


def test_dropout_weights_want_dropout() -> None:
    data = frame()
    gap = data[~((data["g"] == 3) & (data["t"] == 1))]
    with pytest.raises(glimm.DataError, match="cluster 3 is not seen") as caught:
        glimm.dropout_weights("~ y", gap, groups="g", time="t")
    assert caught.value.code == "not_dropout"


def test_comparisons_and_hypotheses() -> None:
    data = frame()
    fit = glimm.gee("y ~ x", data, groups="g")
    with pytest.raises(glimm.FormulaError, match="no coefficient is called 'z'"):
        fit.test("z")
    with pytest.raises(glimm.DataError, match="different rows"):
        glimm.compare(fit, glimm.gee("y ~ x", data[:100], groups="g"))
    with pytest.raises(glimm.DataError, match="has a likelihood"):
        glimm.compare(fit, glimm.fit("y ~ x + (1 | g)", data))
    with pytest.raises(glimm.DataError, match="covariance='sandwhich'"):
        fit.vcov("sandwhich")
    table = glimm.compare(a=fit, b=glimm.gee("y ~ 1", data, groups="g"))
    assert set(table.to_frame()["fit"]) == {"a", "b"}
