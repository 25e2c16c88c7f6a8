"""Families that contain each other, and likelihoods that come apart."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import glimm

# Laplace's value is told apart from nothing here but itself.
pytestmark = pytest.mark.filterwarnings("ignore:The integral over the random effects")

# Nats.
SAME = 1e-6


@cache
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    n, levels = 600, 30
    g = np.repeat(np.arange(levels), n // levels)
    x = rng.normal(size=n)
    b, c = rng.normal(size=(2, levels)) * 0.5
    count = rng.negative_binomial(4, 4 / (4 + np.exp(1.0 + 0.3 * x + b[g])))
    amount = rng.gamma(2.0, np.exp(0.5 + 0.3 * x + b[g]) / 2.0)
    zero = rng.random(n) < 1 / (1 + np.exp(0.5 - 0.7 * x - c[g]))
    trials = rng.integers(3, 12, n)
    return pd.DataFrame(
        {
            "g": g, "x": x, "count": count, "amount": amount, "n": trials,
            "hurdle": np.where(zero, 0, count + 1),
            "some": np.where(zero, 0.0, amount),
            "y": 0.3 * x + b[g] + rng.normal(size=n),
            "s": rng.binomial(trials, 1 / (1 + np.exp(0.3 - 0.5 * x - b[g]))),
        }
    )  # fmt: skip


def fit(formula: str, family: str, data: pd.DataFrame | None = None, **options: Any) -> glimm.Fit:
    """Fit by Laplace, which families and layouts share to rounding."""
    rows = frame() if data is None else data
    return glimm.fit(formula, rows, family=family, integration="laplace", **options)


# A family at a value of a parameter, and the family that it then is.
LIMITS: list[tuple[str, str, dict[str, float], str, dict[str, Any]]] = [
    ("count", "nbinom2", {"theta": 1e12}, "poisson", {}),
    ("count", "nbinom1", {"phi": 1e-12}, "poisson", {}),
    ("count", "genpois", {"phi": 1.0}, "poisson", {}),
    ("count", "compois", {"phi": 1.0}, "poisson", {}),
    ("s", "betabinomial", {"phi": 1e12}, "binomial", {"trials": "n"}),
]


@pytest.mark.parametrize(("y", "family", "held", "simpler", "options"), LIMITS)
def test_families_contain_their_limits(
    y: str, family: str, held: dict[str, float], simpler: str, options: dict[str, Any]
) -> None:
    formula = f"{y} ~ x + (1 | g)"
    general, limit = fit(formula, family, hold=held, **options), fit(formula, simpler, **options)
    assert general.loglik == pytest.approx(limit.loglik, abs=SAME)
    np.testing.assert_allclose(list(general.coef.values()), list(limit.coef.values()), rtol=1e-5)
    np.testing.assert_allclose(list(general.se.values()), list(limit.se.values()), rtol=1e-4)


@pytest.mark.parametrize(
    ("family", "held"), [("student_t", {"df": 1e10}), ("skewnormal", {"shape": 0.0})]
)
def test_heavy_tails_and_skewness_vanish_into_gaussian(family: str, held: dict[str, float]) -> None:
    general = fit("y ~ x + (1 | g)", family, hold=held)
    limit = fit("y ~ x + (1 | g)", "gaussian", reml=False)
    assert general.loglik == pytest.approx(limit.loglik, abs=SAME)
    np.testing.assert_allclose(list(general.coef.values()), list(limit.coef.values()), rtol=1e-5)


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_nbinom_at_its_whole_powers(power: float) -> None:
    general = fit("count ~ x + (1 | g)", "nbinom", hold={"power": power})
    named = fit("count ~ x + (1 | g)", "nbinom1" if power == 1 else "nbinom2")
    assert general.loglik == pytest.approx(named.loglik, abs=SAME)


def test_tweedie_between_poisson_and_gamma() -> None:
    """Coefficients of a GLM depend on the variance function alone, which is mu at power 1."""
    near_one = fit("count ~ x", "tweedie", hold={"power": 1 + 1e-4})
    poisson = fit("count ~ x", "poisson")
    assert near_one.coef["x"] == pytest.approx(poisson.coef["x"], rel=1e-3)
    near_two = fit("amount ~ x + (1 | g)", "tweedie", hold={"power": 2 - 1e-6})
    gamma = fit("amount ~ x + (1 | g)", "gamma")
    assert near_two.loglik == pytest.approx(gamma.loglik, abs=1e-2)
    assert near_two.coef["x"] == pytest.approx(gamma.coef["x"], rel=1e-4)


HURDLES = [("hurdle", "truncated_poisson"), ("hurdle", "truncated_nbinom2"),
           ("hurdle", "truncated_nbinom1"), ("some", "gamma"), ("some", "lognormal")]  # fmt: skip


@pytest.mark.parametrize(("y", "family"), HURDLES)
def test_a_hurdle_is_two_separate_fits(y: str, family: str) -> None:
    data = frame().assign(zero=(frame()[y] == 0) * 1)
    both = fit(f"{y} ~ x + (1 | g)", family, data, zi="~ x + (1 | g)")
    above = fit(f"{y} ~ x + (1 | g)", family, data[data[y] > 0])
    zeros = fit("zero ~ x + (1 | g)", "binomial", data)
    assert both.loglik == pytest.approx(above.loglik + zeros.loglik, abs=SAME)
    for part, other in (("mean", above), ("zi", zeros)):
        ours, theirs = both.part(part), other.part("mean")
        np.testing.assert_allclose(ours.estimates, theirs.estimates, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(list(ours.se.values()), list(theirs.se.values()), rtol=1e-4)


def test_trials_are_repeated_rows() -> None:
    data = frame()
    whole = fit("s ~ x + (1 | g)", "binomial", trials="n")
    rows = data.loc[data.index.repeat(data["n"])].copy()
    place = rows.groupby(level=0).cumcount()
    rows["b"] = (place < rows["s"]) * 1
    apart = fit("b ~ x + (1 | g)", "binomial", rows.reset_index(drop=True))
    np.testing.assert_allclose(list(whole.coef.values()), list(apart.coef.values()), rtol=1e-6)


FREQUENCIES = ["nbinom1", "genpois", "truncated_nbinom2", "beta", "tweedie", "student_t", "ordinal"]


@pytest.mark.parametrize("family", FREQUENCIES)
def test_frequency_weights_are_repeated_rows(family: str) -> None:
    data = frame().assign(w=frame()["n"] % 3 + 1)
    data["beta"] = 0.02 + 0.96 / (1 + np.exp(-data["y"]))
    data["class"] = np.minimum(data["count"], 3)
    data["above"] = data["count"] + 1
    response = {"beta": "beta", "tweedie": "some", "student_t": "y", "ordinal": "class",
                "truncated_nbinom2": "above"}.get(family, "count")  # fmt: skip
    weighted = fit(f"{response} ~ x + (1 | g)", family, data, freq="w")
    repeated = data.loc[data.index.repeat(data["w"])].reset_index(drop=True)
    plain = fit(f"{response} ~ x + (1 | g)", family, repeated)
    assert weighted.loglik == pytest.approx(plain.loglik, abs=SAME)
    np.testing.assert_allclose(list(weighted.se.values()), list(plain.se.values()), rtol=1e-5)


@pytest.mark.parametrize("family", FREQUENCIES[:-1])
def test_block_and_sparse_layouts_agree(family: str) -> None:
    data = frame().assign(above=frame()["count"] + 1)
    data["beta"] = 0.02 + 0.96 / (1 + np.exp(-data["y"]))
    response = {"beta": "beta", "tweedie": "some", "student_t": "y",
                "truncated_nbinom2": "above"}.get(family, "count")  # fmt: skip
    options: dict[str, Any] = {"zi": "~ x"} if family in ("nbinom1", "genpois") else {}
    one = fit(f"{response} ~ x + (1 + x | g)", family, data, **options)
    other = fit(f"{response} ~ x + (1 + x | g)", family, data, engine="sparse", **options)
    assert one.loglik == pytest.approx(other.loglik, abs=SAME)


UNITS = [
    ("student_t", "identity", "y"), ("skewnormal", "identity", "skew"),
    ("gamma", "identity", "whole"), ("gamma", "inverse", "whole"),
    ("inverse_gaussian", "1/mu^2", "narrow"), ("inverse_gaussian", "inverse", "narrow"),
]  # fmt: skip


@pytest.mark.parametrize("factor", [1e4, 1e-4])
@pytest.mark.parametrize(("family", "link", "y"), UNITS)
def test_units_of_the_response_do_not_matter(family: str, link: str, y: str, factor: float) -> None:
    """Densities change by the factor, whatever the size of the linear predictor."""
    rng = np.random.default_rng(6)
    g, x = frame()["g"], frame()["x"]
    b = rng.normal(size=30)[g]
    data = frame().assign(
        skew=frame()["y"] + rng.gamma(1.0, 2.0, len(g)),
        whole=rng.gamma(5, 0.2, len(g)) * np.maximum(3 + 0.3 * x + 0.3 * b, 0.5),
        narrow=rng.wald(1 / np.sqrt(np.maximum(1 + 0.1 * x + 0.1 * b, 0.2)), 20.0),
    )
    one = fit(f"{y} ~ x + (1 | g)", family, data, link=link)
    other = fit(f"{y} ~ x + (1 | g)", family, data.assign(**{y: factor * data[y]}), link=link)
    assert other.loglik + len(g) * np.log(factor) == pytest.approx(one.loglik, abs=1e-5)
    assert other.coef["x"] / other.se["x"] == pytest.approx(one.coef["x"] / one.se["x"], rel=1e-3)
    assert other.diagnostics.singular == one.diagnostics.singular
