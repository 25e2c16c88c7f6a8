"""Moments on the observed scale against QGglmm and brute-force integration."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glimm.genetics.transform import Latent, observed, shared

REFERENCE = Path(__file__).parent.parent / "reference" / "animal"
# QGglmm integrates by cubature to about 1e-5.
CUBATURE = 1e-4
# Brute force below: trapezia over +-9 sd, exact to rounding for smooth integrands.
FINE = 1e-9
FOUND = json.loads((REFERENCE / "transforms.json").read_text())
NAMES = {
    "Poisson.log": ("poisson", "log", False),
    "binom1.logit": ("binomial", "logit", False),
    "binom1.probit": ("binomial", "probit", False),
    "Poisson.sqrt": ("poisson", "sqrt", False),
    "negbin.log": ("nbinom2", "log", False),
    "binomN.logit": ("binomial", "logit", False),
}


def latent(name: str, eta: list[float], variance: float, theta: float = 0, n: float = 1) -> Latent:
    columns = np.column_stack([eta, *([np.full(len(eta), math.log(theta))] if theta else [])])
    covariance = np.zeros((len(eta), columns.shape[1], columns.shape[1]))
    covariance[:, 0, 0] = variance
    share = np.full(len(eta), 1 / len(eta))
    return Latent(NAMES[name], columns, covariance, share, np.full(len(eta), 1 / n))


@pytest.mark.parametrize("row", FOUND["rows"], ids=lambda r: f"{r['model']} {r['mu']}")
def test_one_mean_matches_qgglmm(row: dict[str, Any]) -> None:
    n = row.get("n.obs", 1)
    at = observed(latent(row["model"], [row["mu"]], row["var_p"], row.get("theta", 0), n))
    additive, total = at.slope**2 * row["var_a"], at.expected + at.distribution
    assert n * at.mean == pytest.approx(row["mean.obs"], rel=CUBATURE)
    assert n * n * total == pytest.approx(row["var.obs"], rel=CUBATURE)
    assert n * n * additive == pytest.approx(row["var.a.obs"], rel=CUBATURE)
    assert additive / total == pytest.approx(row["h2.obs"], rel=CUBATURE)


@pytest.mark.parametrize("model", FOUND["averaged"])
def test_averages_over_predictions_match_qgglmm(model: str) -> None:
    row = FOUND["averaged"][model]
    with (REFERENCE / "predictions.csv").open() as file:
        eta = [float(line["eta"]) for line in csv.DictReader(file)]
    at = observed(latent(model, eta, row["var_p"]))
    total = at.between + at.expected + at.distribution
    assert at.mean == pytest.approx(row["mean.obs"], rel=CUBATURE)
    assert total == pytest.approx(row["var.obs"], rel=CUBATURE)
    assert at.slope**2 * row["var_a"] == pytest.approx(row["var.a.obs"], rel=CUBATURE)


def mean_of(name: str, x: np.ndarray) -> np.ndarray:
    if name.endswith(".log"):
        return np.exp(x)
    return np.asarray(1 / (1 + np.exp(-x)))


@pytest.mark.parametrize("model", ["Poisson.log", "binom1.logit"])
def test_shared_components_match_brute_force(model: str) -> None:
    eta, total, part = [0.3, -0.8, 1.1], 0.9, 0.35
    t = np.linspace(-9, 9, 721)
    density = np.exp(-(t**2) / 2)
    density /= density.sum()

    def mean(shift: np.ndarray) -> np.ndarray:
        """E mu given the shared component, over rows and the rest."""
        x = shift[:, None, None] + np.array(eta)[None, :, None]
        values = mean_of(model, x + math.sqrt(total - part) * t)
        return np.asarray((values @ density).mean(axis=1))

    given = mean(math.sqrt(part) * t)
    expected = density @ (given - density @ given) ** 2
    found = shared(latent(model, eta, total), np.full(3, part))
    assert found == pytest.approx(expected, rel=FINE)
    # All of the variance shared: the variance of the mean response itself.
    if model == "Poisson.log":
        one = latent(model, eta[:1], total)
        assert shared(one, np.full(1, total)) == pytest.approx(observed(one).expected, rel=1e-8)
        closed = math.exp(2 * eta[0] + total) * math.expm1(part)
        assert shared(one, np.full(1, part)) == pytest.approx(closed, rel=FINE)


def test_poisson_log_has_its_closed_forms() -> None:
    mu, v = 0.4, 0.6
    at = observed(latent("Poisson.log", [mu], v))
    mean = math.exp(mu + v / 2)
    assert at.mean == pytest.approx(mean, rel=FINE)
    assert at.slope == pytest.approx(mean, rel=FINE)
    assert at.expected == pytest.approx(mean**2 * math.expm1(v), rel=FINE)
    assert at.distribution == pytest.approx(mean, rel=FINE)


def test_probit_has_its_closed_forms() -> None:
    mu, v = -0.3, 0.8
    at = observed(latent("binom1.probit", [mu], v))
    z = mu / math.sqrt(1 + v)
    p = 0.5 * math.erfc(-z / math.sqrt(2))
    density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi * (1 + v))
    assert at.mean == pytest.approx(p, rel=FINE)
    assert at.slope == pytest.approx(density, rel=FINE)
    assert at.expected + at.distribution == pytest.approx(p * (1 - p), rel=FINE)
