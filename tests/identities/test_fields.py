"""Fields over coordinates, and parameters of random effects that are held or shared."""

from __future__ import annotations

import functools
import math
import warnings
from typing import Any

import numpy as np
import pytest

import glimm
from glimm.inference.goals import random_goals
from glimm.problem import factor_of
from glimm.restrictions import _effect_names, _readable

# Climbs stop within 1e-4 standard errors.
SAME = 1e-6
GROUPS, PLACES = 8, 6


@functools.cache
def data() -> dict[str, Any]:
    draw = np.random.default_rng(5)
    east, north = draw.uniform(0, 4, PLACES).round(2), draw.uniform(0, 4, PLACES).round(2)
    apart = np.hypot(np.subtract.outer(east, east), np.subtract.outer(north, north))
    root = np.linalg.cholesky(np.exp(-apart / 2.0))
    g, at = np.repeat(np.arange(GROUPS), 2 * PLACES), np.tile(np.arange(PLACES), 2 * GROUPS)
    b = (root @ draw.normal(size=(PLACES, GROUPS))).T
    x = draw.normal(size=g.size)
    eta = 0.6 + (0.3 + 0.5 * draw.normal(size=GROUPS)[g]) * x + 0.7 * b[g, at]
    return {
        "y": draw.poisson(np.exp(eta)), "z": eta + 0.6 * draw.normal(size=g.size), "x": x, "g": g,
        "e": east[at], "n": north[at], "t": at, "all": np.ones(g.size, dtype=int),
        "h": draw.integers(0, 6, g.size),
    }  # fmt: skip


def fit(term: str, response: str = "y", **options: Any) -> glimm.Fit:
    chosen: dict[str, Any] = {"family": "poisson", "integration": "laplace"}
    chosen = (chosen if response == "y" else {"reml": False}) | options
    with warnings.catch_warnings():
        # Laplace's approximation, which identities need, is coarse here and says so.
        warnings.simplefilter("ignore", glimm.FitWarning)
        return glimm.fit(f"{response} ~ x + {term}", data(), **chosen)


def kernel(name: str, apart: np.ndarray, span: float) -> np.ndarray:
    if name.startswith("gau"):
        return np.asarray(np.exp(-((apart / span) ** 2)))
    nu = {"exp": 0.5, "mat15": 1.5, "mat25": 2.5}[name]
    s = apart * math.sqrt(2 * nu) / span
    return np.asarray({0.5: 1.0, 1.5: 1 + s, 2.5: 1 + s + s**2 / 3}[nu] * np.exp(-s))


TERMS = {
    "exp": "exp(e + n | {})",
    "gau": "gau(0 + e + n | {})",
    "mat15": "mat(e + n | {})",
    "mat25": "mat(e + n | {}, nu=2.5)",
}


@pytest.mark.parametrize("name", TERMS)
def test_gaussian_fields_against_dense_matrices(name: str) -> None:
    found, rows = fit(TERMS[name].format("g"), "z"), data()
    table = found.varcorr()
    sd, span = table["sd"][0], table["range"][0]
    east, north = (np.subtract.outer(rows[k], rows[k]) for k in ("e", "n"))
    apart = np.hypot(east, north)
    v = sd**2 * kernel(name, apart, span) * (rows["g"][:, None] == rows["g"][None, :])
    v += found.dispersion["sigma"] ** 2 * np.eye(len(rows["z"]))
    r = rows["z"] - found.coef["(Intercept)"] - found.coef["x"] * rows["x"]
    _, logdet = np.linalg.slogdet(2 * math.pi * v)
    assert found.loglik == pytest.approx(-0.5 * (logdet + r @ np.linalg.solve(v, r)), abs=1e-5)
    assert kernel(name, np.array(table["reach"][0]), span) == pytest.approx(0.05)


def test_one_field_over_all_rows_needs_a_group_of_one_level() -> None:
    found = fit("exp(e + n | all)", "z", hold={"all: range": 2.0})
    assert found.design.terms[0].levels == (1,)
    assert found.varcorr()["range"][0] == pytest.approx(2.0)


@pytest.mark.parametrize("response", ["y", "z"])
def test_a_field_on_a_line_is_a_process_in_time(response: str) -> None:
    one, other = fit("exp(t | g)", response), fit("ou(0 + t | g)", response)
    third = fit("ar1(0 + t | g)", response)
    assert one.loglik == pytest.approx(other.loglik, abs=SAME)
    assert one.loglik == pytest.approx(third.loglik, abs=SAME)
    assert one.varcorr()["range"][0] == pytest.approx(other.varcorr()["range"][0], rel=1e-3)


def test_the_roughest_matern_field_is_exponential() -> None:
    assert fit("mat(e + n | g, nu=0.5)").loglik == pytest.approx(fit("exp(e + n | g)").loglik)


@pytest.mark.parametrize("name", ["exp", "gau", "mat25"])
def test_what_comes_after_a_fit_knows_fields(name: str, tmp_path: Any) -> None:
    found, rows = fit(TERMS[name].format("g")), data()
    term, (start, end) = found.design.terms[0], found.estimates.thetas[0]
    root = factor_of(term, found.estimates.parameters[start:end])
    assert root @ root.T == pytest.approx(found.covariances[0])
    wald = found.confint(part="random")
    assert wald["name"] == ["g: sd", "g: range"]
    assert np.all(np.array(wald["lower"]) < np.array(wald["upper"]))
    assert "(exp)" in str(found.summary()) or name != "exp"
    path = tmp_path / "field.glimm"
    found.save(path)
    again = glimm.load(path)
    some = {k: v[:7] for k, v in rows.items()}
    assert again.predict(some) == pytest.approx(found.predict(some), rel=1e-12)
    assert found.predict(some) == pytest.approx(found.predict(rows)[:7], rel=1e-12)
    assert np.isfinite(np.asarray(found.simulate(2, seed=1))).all()
    new = some | {"g": np.full(7, 99), "e": np.full(7, 9.9)}
    assert np.isfinite(found.predict(new, new_levels="zero")).all()
    assert np.isfinite(found.predict(some | {"e": np.full(7, 9.9)})).all()
    assert len(str(found.variance_shares())) > 0
    frame = found.predict(some, kind="population", interval="confidence")
    assert np.all(np.asarray(frame["lower"]) < np.asarray(frame["upper"]))


def test_formulas_and_data_that_make_no_field_are_refused() -> None:
    for term in ("exp(1 + e | g)", "exp(e:n | g)", "mat(e + n | g, nu=1)", "gau(1 | g)"):
        with pytest.raises(glimm.FormulaError):
            fit(term)
    with pytest.raises(glimm.DataError, match="two places"):
        fit("exp(all | g)")


def test_names_are_those_that_intervals_print() -> None:
    for term in ("(1 | g)", "(x || g)", "ar1(0 + t | g)", "cs(0 + C(t) | g)", "exp(e + n | g)",
                 "homtoep(0 + t | g)", "homdiag(0 + C(t) | g)"):  # fmt: skip
        found = fit(term)
        known: set[str] = set()
        for t, met in enumerate(found.design.terms):
            known |= set(_readable(t, met, _effect_names(found.design, met), {}))
        assert known == {goal.name for goal in random_goals(found)}


HELD = [
    ("(1 | g)", ["g: sd[(Intercept)]"]),
    ("ar1(0 + t | g)", ["g: corr"]),
    ("ar1(0 + t | g)", ["g: sd", "g: corr"]),
    ("exp(e + n | g)", ["g: range"]),
    ("(x | g)", ["g: sd[(Intercept)]", "g: sd[x]", "g: cor[(Intercept), x]"]),
    ("(x || g)", ["g: sd[x]"]),
    ("cs(0 + C(t) | g)", ["g: corr"]),
]


@pytest.mark.parametrize("response", ["y", "z"])
@pytest.mark.parametrize(("term", "names"), HELD)
def test_held_where_it_is_best_nothing_changes(term: str, names: list[str], response: str) -> None:
    free = fit(term, response)
    values = {g.name: g.value(free.estimates.parameters) for g in random_goals(free)}
    held = fit(term, response, hold={name: values[name] for name in names})
    assert held.loglik == pytest.approx(free.loglik, abs=SAME)
    assert held.df_model == free.df_model - len(names)
    assert held.coef["x"] == pytest.approx(free.coef["x"], abs=1e-5)
    left = {g.name for g in random_goals(held)}
    assert left == set(values) - set(names)
    shown = str(held.summary())
    assert all(f"{name} =" in shown for name in names)
    assert shown.count("(held)") == len(names)


def test_held_elsewhere_is_the_profile() -> None:
    free = fit("(1 | g)")
    low = free.confint(method="profile", part="random")["lower"][0]
    held = fit("(1 | g)", hold={"g: sd[(Intercept)]": low})
    assert 2 * (free.loglik - held.loglik) == pytest.approx(3.841458821, abs=1e-4)
    assert glimm.compare(held, free) is not None


def test_shared_parameters_are_held_jointly(tmp_path: Any) -> None:
    names = ("g: sd[(Intercept)]", "h: sd[(Intercept)]")
    shared = fit("(1 | g) + (1 | h)", share=[names])
    free = fit("(1 | g) + (1 | h)")
    a, b = shared.varcorr()["sd"]
    assert a == pytest.approx(b)
    both = fit("(1 | g) + (1 | h)", hold=dict.fromkeys(names, a))
    assert both.loglik == pytest.approx(shared.loglik, abs=SAME)
    assert free.df_model - 1 == shared.df_model == both.df_model + 1
    assert shared.loglik < free.loglik
    shared.save(tmp_path / "shared.glimm")
    again = glimm.load(tmp_path / "shared.glimm")
    assert again.df_model == shared.df_model
    assert "(shared)" in str(again.summary())


def test_no_correlation_is_independence() -> None:
    one, other = fit("(x | g)", hold={"g: cor[(Intercept), x]": 0}), fit("(x || g)")
    assert one.loglik == pytest.approx(other.loglik, abs=SAME)
    assert one.df_model == other.df_model


@pytest.mark.parametrize(
    ("term", "options"),
    [
        ("(1 | g)", {"hold": {"g: sd[x]": 1.0}}),
        ("(1 | g)", {"hold": {"g: sd[(Intercept)]": -1.0}}),
        ("(x | g)", {"hold": {"g: cor[(Intercept), x]": 0.3}}),
        ("ar1(0 + t | g)", {"hold": {"g: corr": 1.5}}),
        ("ar1(0 + t | g)", {"share": [("g: sd", "g: corr")]}),
        ("(1 | g)", {"share": [("g: sd[(Intercept)]", "g: sd[(Intercept)]")]}),
        ("(1 | g)", {"hold": {"g: sd[(Intercept)]": 1.0}, "reml": True}),
    ],
)
def test_restrictions_that_cannot_be_are_refused(term: str, options: dict[str, Any]) -> None:
    with pytest.raises(glimm.DataError) as found:
        fit(term, **options)
    assert found.value.code == "unknown_option"
