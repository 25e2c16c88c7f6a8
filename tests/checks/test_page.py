"""The page says what is known of published data, stays calm for true models, and adds up."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import glimm
from glimm.checks.advice import changed, replaced_label
from glimm.checks.assess import predictors_of
from glimm.checks.page import Verdict, settled

CASES = Path(__file__).parent.parent / "reference" / "cases"
EPILEPSY = "seizures ~ log(baseline) + treatment * period + (1 | patient)"


@functools.cache
def epilepsy(family: str) -> glimm.Fit:
    return glimm.fit(EPILEPSY, glimm.datasets.load("epilepsy"), family=family)


@functools.cache
def page(name: str) -> glimm.CheckPage:
    if name == "poisson":
        return epilepsy(name).check(seed=1, n=99)
    if name == "nbinom2":
        return epilepsy(name).check(seed=2, null="exact")
    if name == "salamanders":
        data = pd.read_csv(CASES / "salamanders" / "data.csv")
        fit = glimm.fit("count ~ mined + spp + (1 | site)", data, family="poisson")
        return fit.check(seed=1, n=99, null="exact")
    data = glimm.datasets.load("sleepstudy")
    return glimm.fit("reaction ~ days + (1 | subject)", data).check(seed=1, n=99)


def test_poisson_seizures_vary_too_much() -> None:
    found = page("poisson")
    assert found.verdicts[0].topic == "dispersion"
    assert "above the model's" in found["dispersion"].words
    assert found.advice[0].code == 'family="nbinom2"'
    gain = glimm.fit(EPILEPSY, glimm.datasets.load("epilepsy"), family="nbinom2",
                     integration="laplace").aic  # fmt: skip
    own = glimm.fit(EPILEPSY, glimm.datasets.load("epilepsy"), family="poisson",
                    integration="laplace").aic  # fmt: skip
    assert found.advice[0].aic == pytest.approx(gain - own, abs=1e-3)


def test_the_advice_once_taken_the_page_is_calm() -> None:
    found = page("nbinom2")
    assert found.calm
    assert found.advice == ()
    assert found.headline.startswith("Nothing found")
    assert all(v.words == "nothing found" for v in found.verdicts if v.state == "ok" and v.check)


def test_salamanders_have_too_many_zeros() -> None:
    found = page("salamanders")
    assert {"zeros", "dispersion"} <= set(found.found)
    assert "387 zeros" in found["zeros"].words
    codes = [one.code for one in found.advice]
    assert 'zi="~ 1"' in codes
    assert codes[0] == 'family="nbinom2"'


def test_sleep_needs_a_slope() -> None:
    found = page("sleep")
    assert found.verdicts[0].topic == "slopes: subject"
    assert found.advice[0].code == "(1 + days | subject)"
    assert found["slopes: subject"].check is not None
    assert found["slopes: subject"].check.effect == pytest.approx(5.9, abs=0.5)


def test_a_curve_and_a_spread_are_seen() -> None:
    rng = np.random.default_rng(5)
    g, x = np.repeat(np.arange(40), 8), rng.uniform(-1, 1, 320)
    z = rng.uniform(0, 2, 320)
    y = 3 * x**2 + rng.normal(size=40)[g] + np.exp(0.9 * z) * rng.normal(size=320)
    fit = glimm.fit("y ~ x + z + (1 | g)", {"y": y, "x": x, "z": z, "g": g})
    found = fit.check(seed=2, n=99, null="exact")
    assert {"trend: x", "variance: z"} <= set(found.found)
    assert {"bs(x, df=4) for x", 'disp="~ z"'} <= {one.code for one in found.advice}


def test_slopes_within_and_between_clusters_lead_to_means() -> None:
    rng = np.random.default_rng(6)
    g = np.repeat(np.arange(60), 6)
    u = rng.normal(size=60)
    x = u[g] + rng.normal(size=360)
    y = 0.3 * x + u[g] + rng.normal(size=360)
    found = glimm.fit("y ~ x + (1 | g)", {"y": y, "x": x, "g": g}).check(n=99, null="exact")
    assert "confounding" in found.found
    assert 'groupby("g")["x"].transform("mean")' in str([a.why for a in found.advice])


def true_model(family: str, seed: int) -> glimm.Fit:
    rng = np.random.default_rng(seed)
    g, x = np.repeat(np.arange(25), 6), rng.normal(size=150)
    eta = 0.5 + 0.4 * x + 0.6 * rng.normal(size=25)[g]
    y = {
        "gaussian": lambda: eta + rng.normal(size=150),
        "poisson": lambda: rng.poisson(np.exp(eta)),
        "binomial": lambda: (rng.random(150) < 1 / (1 + np.exp(-eta))).astype(float),
    }[family]()
    return glimm.fit("y ~ x + (1 | g)", {"y": y, "x": x, "g": g}, family=family)


@pytest.mark.parametrize("family", ["gaussian", "poisson", "binomial"])
def test_true_models_are_left_in_peace(family: str) -> None:
    # One page of twenty may find something: 4 of 12 have a chance of 2e-3.
    pages = [true_model(family, s).check(seed=s, n=99, null="exact") for s in range(12)]
    assert sum(not one.calm for one in pages) < 4


def test_holm_by_hand() -> None:
    given = [Verdict(str(i), "", "words", p=p) for i, p in enumerate((0.04, 0.001, 0.5))]
    done = settled(given)
    assert [v.topic for v in done] == ["1", "0", "2"]
    assert [v.adjusted for v in done] == pytest.approx([0.003, 0.08, 0.5])
    assert [v.state for v in done] == ["found", "weak", "ok"]


def test_the_same_seed_gives_the_same_page() -> None:
    fit = true_model("poisson", 1)
    one, two = (fit.check(seed=3, n=39, null="exact") for _ in range(2))
    assert str(one) == str(two)


def test_pages_of_other_sources() -> None:
    data = glimm.datasets.load("toenail").head(300)
    gee = glimm.gee("infection ~ month", data, groups="patient", family="binomial")
    found = glimm.checks.page(gee)
    assert "No tests" in found.headline
    assert {v.state for v in found.verdicts} == {"note"}
    fit = glimm.fit("infection ~ month", data, family="binomial")
    assert "influence" in [v.topic for v in fit.check(n=39, null="exact").verdicts]
    rng = np.random.default_rng(1)
    mean = np.exp(rng.normal(size=200))
    foreign = glimm.checks.foreign(
        rng.negative_binomial(1, 1 / (1 + mean)), rng.poisson(mean[:, None], (200, 250)), mean
    )
    found = glimm.checks.page(foreign)
    assert "dispersion" in found.found
    assert found.advice == ()
    assert len(found.to_frame()["p"]) == len(found.verdicts)


def test_trouble_of_the_fit_comes_first() -> None:
    data = {"y": [0, 0, 0, 0, 1, 1, 1, 1] * 5, "x": [0, 0, 0, 0, 1, 1, 1, 1] * 5}
    with pytest.warns(glimm.FitWarning):
        fit = glimm.fit("y ~ x", data, family="binomial")
    found = fit.check(n=39, null="exact")
    assert found.verdicts[0].label == "The fit itself"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("y ~ x + z + (1 + x | g)", "y ~ bs(x, df=4) + z + (1 + x | g)"),
        ("y ~ x * z", "y ~ bs(x, df=4) * z"),
        ("x ~ z", "x ~ z"),
        ("y ~ log(x) + xx", "y ~ log(x) + xx"),
    ],
)
def test_a_covariate_is_replaced_in_a_formula(given: str, expected: str) -> None:
    assert replaced_label(given, "x", "bs(x, df=4)") == expected


def test_a_changed_fit_keeps_rows_offsets_and_trials() -> None:
    data = glimm.datasets.load("cbpp")
    data.loc[3, "size"] = np.nan
    fit = glimm.fit("incidence ~ C(period) + (1 | herd)", data, family="binomial", trials="size",
                    offset=np.linspace(0, 1, 56), integration="laplace")  # fmt: skip
    same = changed(fit)
    assert same.design.n == 55
    assert same.loglik == pytest.approx(fit.loglik, abs=1e-6)


def test_foreign_residuals_are_ranks() -> None:
    draws = np.tile(np.arange(100.0), (3, 1))
    r = glimm.checks.foreign([-1.0, 49.5, 200.0], draws)
    assert r.values[0] < 0.02
    assert r.values[1] == pytest.approx(0.5, abs=0.02)
    assert r.values[2] > 0.98


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"simulations": np.zeros((100, 3))}, "transpose"),
        ({"simulations": np.zeros((3, 20))}, "at least 50"),
        ({"simulations": np.zeros(3)}, "dimensions"),
        ({"observed": [1.0, np.nan, 2.0]}, "not finite"),
        ({"observed": [0.5, 1.0, 2.0], "integer": True}, "not whole"),
        ({"fitted": [1.0]}, "fitted"),
    ],
)
def test_foreign_refuses(changes: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"observed": [1.0, 2.0, 3.0], "simulations": np.zeros((3, 100))}
    with pytest.raises(glimm.DataError, match=message):
        glimm.checks.foreign(**(given | changes))


def test_slopes_have_their_size() -> None:
    p = [glimm.checks.slopes(true_model("poisson", s), null="exact", n=19).p for s in range(60)]
    assert np.mean(np.array(p) < 0.05) < 0.17
    assert 0.35 < np.mean(p) < 0.65
    with pytest.raises(glimm.DataError, match="no covariate"):
        glimm.checks.slopes(glimm.fit("reaction ~ days + (1 + days | subject)",
                                      glimm.datasets.load("sleepstudy")))  # fmt: skip


def test_predictors_are_the_columns_that_the_mean_uses() -> None:
    assert predictors_of(epilepsy("poisson")) == [
        ("baseline", True), ("treatment", False), ("period", True),
    ]  # fmt: skip


def test_a_page_is_html_with_its_pictures() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    text = page("poisson").to_html()
    matplotlib.pyplot.close("all")
    assert text.startswith("<!doctype html>")
    assert "<svg" in text
    assert "nbinom2" in text
