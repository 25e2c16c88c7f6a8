"""Two Laplace approximations where the link is not canonical, told apart.

lme4 puts the expected information into the determinant, glimm and TMB the observed one. Both are
computed here from their definition, at lme4's points: the first is lme4's number, the second is
glimm's. This is the evidence behind the entries "other definition" of the register.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from reference_data import data, models
from reference_points import value_at
from scipy import special, stats

# Nats; lme4's inner iteration stops up to 2e-6 short here, even at its tightest tolerance.
LME4_TOL = 5e-6
# Nats; the same formula evaluated by two programs.
SAME_TOL = 1e-8
# Scoring is linear in convergence; the groups are few.
SCORING_STEPS = 400

Curve = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def probit(eta: np.ndarray) -> Curve:
    """Return p, 1 - p and the first two derivatives of p."""
    density = stats.norm.pdf(eta)
    return special.ndtr(eta), special.ndtr(-eta), density, -eta * density


def cloglog(eta: np.ndarray) -> Curve:
    """Return p, 1 - p and the first two derivatives of p."""
    rate = np.exp(eta)
    density = rate * np.exp(-rate)
    return -np.expm1(-rate), np.exp(-rate), density, density * (1 - rate)


def cauchit(eta: np.ndarray) -> Curve:
    """Return p, 1 - p and the first two derivatives of p."""
    density = 1 / (np.pi * (1 + eta**2))
    p, q = stats.cauchy.cdf(eta), stats.cauchy.sf(eta)
    return p, q, density, -2 * np.pi * eta * density**2


CURVES = {"probit": probit, "cloglog": cloglog, "cauchit": cauchit}


def two_laplaces(
    link: str, y: np.ndarray, m: np.ndarray, fixed: np.ndarray, codes: np.ndarray, sd: float
) -> tuple[float, float]:
    """Return the log-likelihood of random intercepts by expected and by observed information."""
    groups = codes.max() + 1

    def by_group(values: np.ndarray) -> np.ndarray:
        return np.bincount(codes, values, groups)

    u = np.zeros(groups)
    for _ in range(SCORING_STEPS):
        p, q, slope, _bend = CURVES[link](fixed + sd * u[codes])
        gradient = by_group(sd * (y - m * p) * slope / (p * q)) - u
        u = u + gradient / (1 + by_group(sd**2 * m * slope**2 / (p * q)))
    p, q, slope, bend = CURVES[link](fixed + sd * u[codes])
    expected = m * slope**2 / (p * q)
    turn = bend / (p * q) - slope**2 * (q - p) / (p * q) ** 2
    observed = expected - (y - m * p) * turn
    choose = special.gammaln(m + 1) - special.gammaln(y + 1) - special.gammaln(m - y + 1)
    at_mode = np.sum(y * np.log(p) + (m - y) * np.log(q) + choose) - 0.5 * u @ u

    def with_information(weights: np.ndarray) -> float:
        return float(at_mode - 0.5 * np.sum(np.log1p(by_group(sd**2 * weights))))

    return with_information(expected), with_information(observed)


def rows_of(case: str, names: list[str]) -> tuple[np.ndarray, ...]:
    """Return successes, trials, fixed design and group codes of the two binomial studies."""
    frame = data(case)
    if case == "cbpp":
        y, m, group = frame["incidence"], frame["size"], frame["herd"]
        level, factor = "period[T.", frame["period"]
    else:
        y, m, group = frame["y01"], np.ones(len(frame)), frame["ID"]
        level, factor = "trt[T.", frame["trt"]
    columns = [np.ones(len(frame))]
    for name in names[1:]:
        is_level = name.startswith(level)
        columns.append((factor == name[len(level) : -1]) if is_level else frame[name])
    codes = np.unique(group, return_inverse=True)[1]
    return np.asarray(y, float), np.asarray(m, float), np.column_stack(columns).astype(float), codes


POINTS = [
    (case, model, peer, k)
    for case, model in models()
    for peer in model["peers"]
    if case in {"cbpp", "bacteria"} and peer["definition"] == "laplace_expected"
    for k in range(len(peer["points"]))
]


@pytest.mark.parametrize(
    ("case", "model", "peer", "k"),
    POINTS,
    ids=[f"{case}-{model['id']}-{k}" for case, model, _, k in POINTS],
)
def test_each_definition_gives_its_program(
    case: str, model: dict[str, Any], peer: dict[str, Any], k: int
) -> None:
    point = peer["points"][k]
    y, m, x, codes = rows_of(case, peer["fixed"]["names"])
    sd = float(np.sqrt(point["covariances"][0]["cov"][0][0]))
    fixed = x @ np.array(point["fixed"])
    expected, observed = two_laplaces(model["link"], y, m, fixed, codes, sd)
    assert expected == pytest.approx(point["loglik"], abs=LME4_TOL)
    assert value_at(case, model, peer, point) == pytest.approx(observed, abs=SAME_TOL)
