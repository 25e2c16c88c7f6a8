"""Local odds ratios of ordered responses, against their definition with dense matrices.

The association is held against Poisson regression of the tables, tables of classes against a
solution of their margins by Newton's method, and the equations against dense covariances.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pandas as pd
import pytest
from gee_oracle import Array, Cluster, sandwich
from scipy import optimize, special

import glimm
from glimm import DataError

CLASSES = 4
CLOSE = 1e-8
TIMES = (0, 1, 2)


@functools.cache
def study() -> pd.DataFrame:
    """Four classes at up to three times, in no order."""
    rng = np.random.default_rng(11)
    frame = pd.DataFrame([(f"c{g}", t) for g in range(70) for t in TIMES], columns=["g", "t"])
    frame["x"] = rng.normal(size=len(frame))
    latent = 0.7 * frame["x"] + 0.3 * frame["t"] + np.repeat(1.4 * rng.normal(size=70), 3)
    latent += rng.logistic(size=len(frame))
    frame["y"] = pd.Categorical(np.digitize(latent, [-1.0, 0.5, 2.0]) + 1, ordered=True)
    return frame.sample(frac=0.9, random_state=4)


def fitted(corr: str, **given: str) -> glimm.GEEFit:
    given = {"family": "ordinal", "covariance": "robust", "df": "normal"} | given
    return glimm.gee("y ~ x", study(), groups="g", corr=corr, **given)  # type: ignore[arg-type]


def tables() -> dict[tuple[int, int], Array]:
    """Classes at a later time (down) and an earlier one."""
    wide = study().pivot(index="g", columns="t", values="y").astype(float)
    found = {}
    for late, early in itertools.combinations(TIMES[::-1], 2):
        both = wide[[late, early]].dropna().to_numpy().astype(int) - 1
        table = np.zeros((CLASSES, CLASSES))
        np.add.at(table, (both[:, 0], both[:, 1]), 1)
        found[late, early] = table
    return found


def poisson(many: list[Array]) -> float:
    """The uniform association of some tables, each with margins of its own, by IRLS."""
    scores = np.arange(CLASSES, dtype=float)
    blocks, counts = [], []
    for k, table in enumerate(many):
        for a, b in itertools.product(range(CLASSES), repeat=2):
            row = np.zeros(len(many) * 2 * CLASSES + 1)
            row[k * 2 * CLASSES + a] = row[k * 2 * CLASSES + CLASSES + b] = 1
            row[-1] = scores[a] * scores[b]
            blocks.append(row)
            counts.append(table[a, b])
    x, n = np.array(blocks), np.array(counts)
    # The first column class of each table is its reference.
    x = np.delete(x, [k * 2 * CLASSES + CLASSES for k in range(len(many))], axis=1)
    eta = np.log(n + 0.5)
    for _ in range(200):
        mu = np.exp(eta)
        root = np.sqrt(mu)
        beta = np.linalg.lstsq(x * root[:, None], (eta + (n - mu) / mu) * root, rcond=None)[0]
        eta = x @ beta
    return float(beta[-1])


def joint(phi: float, down: Array, across: Array) -> Array:
    """The table with these margins and all log local odds ratios phi, by its multipliers."""
    k = len(down)
    start = phi * np.multiply.outer(np.arange(k), np.arange(k))

    def table(free: Array) -> Array:
        a, b = np.concatenate([[0.0], free[: k - 1]]), free[k - 1 :]
        return np.exp(start + a[:, None] + b)

    def lacks(free: Array) -> Array:
        p = table(free)
        return np.concatenate([p.sum(1)[1:] - down[1:], p.sum(0) - across])

    first = np.concatenate([np.log(down[1:]) - start[1:].mean(1), np.log(across)])
    found = optimize.root(lacks, first, tol=1e-15, method="lm", options={"xtol": 1e-15})
    p: Array = table(found.x)
    assert np.abs(p.sum(0) - across).max() < 1e-10
    return p


def clusters(fit: glimm.GEEFit) -> list[Cluster]:
    """Clusters of indicators y <= k by the definition."""
    beta, m = fit.estimates.beta, CLASSES - 1
    made = []
    for _, rows in study().groupby("g"):
        rows = rows.sort_values("t")
        x, t = rows["x"].to_numpy(), rows["t"].to_numpy()
        below = special.expit(beta[:m] - x[:, None] * beta[m])
        classes = np.diff(below, axis=1, prepend=0.0, append=1.0)
        n = len(rows)
        d, v = np.zeros((n * m, m + 1)), np.zeros((n * m, n * m))
        for i in range(n):
            slope = below[i] * (1 - below[i])
            own = slice(i * m, (i + 1) * m)
            d[own, :m], d[own, m] = np.diag(slope), -slope * x[i]
            v[own, own] = np.minimum.outer(below[i], below[i]) - np.outer(below[i], below[i])
            for j in range(i):
                phi = fit.alpha.get("log local odds ratio", 0.0)
                if fit.model.corr.name == "local_odds:times":
                    phi = fit.alpha[f"{t[j]:g}, {t[i]:g}"]
                p = joint(phi, classes[i], classes[j]).cumsum(0).cumsum(1)[:m, :m]
                block = p - np.outer(below[i], below[j])
                other = slice(j * m, (j + 1) * m)
                v[own, other], v[other, own] = block, block.T
        y = rows["y"].to_numpy().astype(float)
        r = (y[:, None] <= np.arange(1, CLASSES)).astype(float) - below
        made.append(Cluster(d, v, r.ravel()))
    return made


def test_the_association_is_that_of_poisson_regression() -> None:
    many = tables()
    with_times = fitted("local_odds", time="t").alpha["log local odds ratio"]
    assert with_times == pytest.approx(poisson(list(many.values())), abs=CLOSE)
    each = fitted("local_odds:times", time="t").alpha
    for (late, early), table in many.items():
        assert each[f"{early}, {late}"] == pytest.approx(poisson([table]), abs=CLOSE)
    pooled = sum(many.values()) + sum(table.T for table in many.values())
    alone = fitted("local_odds").alpha["log local odds ratio"]
    assert alone == pytest.approx(poisson([np.asarray(pooled)]), abs=CLOSE)


@pytest.mark.parametrize(
    ("corr", "given"), [("local_odds", {}), ("local_odds:times", {"time": "t"})]
)
def test_the_equations_are_solved_with_dense_covariances(corr: str, given: dict[str, str]) -> None:
    fit = fitted(corr, **given)
    made = clusters(fit)
    bread = np.linalg.inv(sum(c.information for c in made))
    step = bread @ sum(c.score for c in made)
    assert np.abs(step / np.sqrt(np.diag(bread))).max() < 1e-7
    assert fit.vcov("model") == pytest.approx(bread, rel=1e-6)
    assert fit.vcov() == pytest.approx(sandwich(made, lambda h, c: c.r), rel=1e-6, abs=1e-12)


def test_it_is_more_precise_than_independence_where_classes_are_alike() -> None:
    change = fitted("local_odds").se["x"] / fitted("independence").se["x"]
    assert change < 0.95


def test_two_classes_have_their_odds_ratio() -> None:
    frame = study().assign(y=lambda d: pd.Categorical(d["y"].astype(int) > 2, ordered=True))
    fit = glimm.gee("y ~ x", frame, groups="g", corr="local_odds:times", time="t", family="ordinal")
    wide = frame.pivot(index="g", columns="t", values="y")[[0, 1]].dropna().to_numpy().astype(int)
    table = np.zeros((2, 2))
    np.add.at(table, (wide[:, 0], wide[:, 1]), 1)
    odds = table[0, 0] * table[1, 1] / (table[0, 1] * table[1, 0])
    assert fit.alpha["0, 1"] == pytest.approx(np.log(odds), abs=1e-7)


def test_it_is_refused_where_there_are_no_classes() -> None:
    with pytest.raises(DataError, match="ordered classes"):
        glimm.gee("x ~ t", study(), groups="g", corr="local_odds")
    fit = fitted("local_odds")
    with pytest.raises(DataError, match="matrix for each cluster"):
        fit.correlation()
    assert np.isnan(list(fit.working()["se"])).all()
