"""Shipped studies against their published totals; makers against their stated truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import glimm
from glimm import datasets
from glimm.errors import DataError


def _load(name: str) -> dict[str, np.ndarray[Any, Any]]:
    columns: dict[str, np.ndarray[Any, Any]] = datasets.load(name, kind="dict")
    return columns


@pytest.mark.parametrize("name", datasets.names())
@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow", "dict"])
def test_every_study_loads_as_described(name: str, kind: Any) -> None:
    frame = datasets.load(name, kind=kind)
    described = datasets.describe(name)
    names = frame.column_names if kind == "pyarrow" else list(frame)
    if kind == "polars":
        names = frame.columns
    assert tuple(names) == tuple(column.name for column in described.columns)
    lengths = [len(frame[column]) for column in names]
    assert lengths == [described.rows] * len(names)


@pytest.mark.parametrize("name", datasets.names())
def test_every_study_names_its_source(name: str) -> None:
    described = datasets.describe(name)
    assert "doi:10." in described.source
    assert described.licence
    assert all(column.meaning for column in described.columns)
    response = described.formula.split("~")[0].split("/")[0].strip()
    assert response in {column.name for column in described.columns}


def test_names_are_sorted_and_unknown_ones_suggest_the_nearest() -> None:
    assert list(datasets.names()) == sorted(datasets.names())
    with pytest.raises(DataError, match=r"'epilepsi'.*there are 'epilepsy'"):
        datasets.load("epilepsi")


def test_epilepsy_has_the_published_means() -> None:
    data = _load("epilepsy")
    first = data["period"] == 1
    treated = data["treatment"] == "progabide"
    assert len(np.unique(data["patient"][treated])) == 31
    assert len(np.unique(data["patient"][~treated])) == 28
    assert data["baseline"][first & ~treated].mean() == pytest.approx(30.79, abs=0.005)
    assert data["baseline"][first & treated].mean() == pytest.approx(31.61, abs=0.005)
    means = [data["seizures"][treated & (data["period"] == k)].mean() for k in (1, 2, 3, 4)]
    assert means == pytest.approx([8.58, 8.42, 8.13, 6.71], abs=0.005)


def test_cbpp_has_the_published_totals() -> None:
    data = _load("cbpp")
    assert data["incidence"].sum() == 99
    assert data["size"].sum() == 842
    assert len(np.unique(data["herd"])) == 15


def test_sleepstudy_gives_the_published_population_line() -> None:
    data = _load("sleepstudy")
    slope, level = np.polyfit(data["days"], data["reaction"], 1)
    assert (level, slope) == pytest.approx((251.405, 10.467), abs=5e-4)


def test_toenail_has_the_published_patients_and_percentages() -> None:
    data = _load("toenail")
    treated = data["treatment"] == "terbinafine"
    assert len(np.unique(data["patient"][treated])) == 148
    assert len(np.unique(data["patient"][~treated])) == 146
    counts = [int((data["visit"] == visit).sum()) for visit in range(1, 8)]
    assert counts == [294, 288, 283, 272, 263, 244, 264]


def test_bcg_gives_the_published_pooled_odds_ratio() -> None:
    """Random-effects log odds ratio by DerSimonian and Laird: -0.747 (SE 0.192)."""
    data = _load("bcg")
    cases, healthy = data["cases"], data["people"] - data["cases"]
    odds = np.log(cases / healthy).reshape(13, 2)
    y = odds[:, 1] - odds[:, 0]
    v = (1 / cases + 1 / healthy).reshape(13, 2).sum(axis=1)
    w = 1 / v
    q = w @ (y - w @ y / w.sum()) ** 2
    tau2 = (q - 12) / (w.sum() - w @ w / w.sum())
    pooled = 1 / (v + tau2)
    assert pooled @ y / pooled.sum() == pytest.approx(-0.747, abs=1e-3)
    assert pooled.sum() ** -0.5 == pytest.approx(0.192, abs=1e-3)


@pytest.mark.parametrize("maker", [datasets.make_steps, datasets.make_infections])
def test_makers_depend_on_the_seed_only(maker: Any) -> None:
    state = np.random.get_state()[1].copy()
    first, again, other = (maker(30, 10, seed=s, kind="dict").frame for s in (1, 1, 2))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not all(np.array_equal(first[name], other[name]) for name in first)
    assert np.array_equal(state, np.random.get_state()[1])


@pytest.mark.parametrize("maker", [datasets.make_steps, datasets.make_infections])
def test_makers_refuse_empty_studies(maker: Any) -> None:
    with pytest.raises(DataError, match=r"= 0: at least 1"):
        maker(0)


def test_steps_show_their_truth() -> None:
    """Moments of the drawn people agree with the truth within four standard errors."""
    study = datasets.make_steps(people=2000, days=60, seed=3, kind="dict")
    steps, truth = study.frame["steps"].astype(float), study.truth
    x = np.column_stack([study.frame[name] for name in ("month", "weekend", "season")])
    eta = truth.coef["(Intercept)"] + x @ [truth.coef[n] for n in ("month", "weekend", "season")]
    ratio = (steps / np.exp(eta)).reshape(2000, 60)
    spread = truth.sd["(Intercept)"] ** 2
    first = ratio[:, 0]
    expected = np.exp(spread / 2)
    assert abs(first.mean() - expected) < 4 * first.std() / np.sqrt(2000)
    second_moment = np.exp(2 * spread) * (1 + 1 / truth.dispersion["theta"])
    assert np.mean(first**2) == pytest.approx(second_moment, rel=4 * np.std(first**2) / 2000**0.5)


def test_infections_show_their_truth() -> None:
    """The share of infections agrees with the integral over hospitals and patients."""
    study = datasets.make_infections(hospitals=2000, patients=40, seed=5, kind="dict")
    data, truth = study.frame, study.truth
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    sd = truth.sd["(Intercept)"]
    for catheter in (0, 1):
        rows = (data["protocol"] == 0) & (data["catheter"] == catheter)
        eta = (
            truth.coef["(Intercept)"]
            + truth.coef["age"] * data["age"][rows]
            + truth.coef["catheter"] * catheter
        )
        chance = (1 / (1 + np.exp(-(eta[:, None] + sd * nodes)))) @ (weights / weights.sum())
        shares = data["infection"][rows] - chance
        groups = np.bincount(data["hospital"][rows], weights=shares)
        assert abs(groups.sum()) < 4 * np.sqrt(np.sum(groups**2))


@pytest.mark.parametrize("name", datasets.names())
def test_the_suggested_model_of_every_study_converges(name: str) -> None:
    described = datasets.describe(name)
    fit = glimm.fit(described.formula, datasets.load(name), described.family)
    assert fit.diagnostics.converged
    assert fit.diagnostics.findings == ()


@pytest.mark.parametrize("maker", [datasets.make_steps, datasets.make_infections])
def test_a_fit_finds_the_truth_of_a_simulated_study(maker: Any) -> None:
    """Fixed effects within four standard errors; standard deviations within a quarter."""
    study = maker(seed=11)
    fit = glimm.fit(study.formula, study.frame, study.family)
    for name, true in study.truth.coef.items():
        assert abs(fit.coef[name] - true) < 4 * fit.se[name], name
    sds = dict(zip(fit.varcorr()["name"], fit.varcorr()["sd"], strict=True))
    assert sds == pytest.approx(dict(study.truth.sd), rel=0.25)
    assert (fit.dispersion or {}) == pytest.approx(dict(study.truth.dispersion), rel=0.05)
