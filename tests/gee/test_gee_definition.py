"""The kernel against dense matrices: every working correlation, correction and covariance.

Rows are shuffled, some are missing, and clusters differ in size; differences are rounding only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gee_oracle import Array, Cluster, fay_graubard, power, sandwich, satterthwaite

import glimm

CLOSE = 1e-9


def study(seed: int = 5, clusters: int = 41, times: int = 6) -> pd.DataFrame:
    """Counts of clusters with gaps, in no order."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        [(f"c{g}", float(t), t // 2) for g in range(clusters) for t in range(times)],
        columns=["g", "t", "pair"],
    )
    frame["spaced"] = frame["t"] ** 1.5
    frame["x"] = rng.normal(size=len(frame))
    frame["z"] = np.repeat(rng.normal(size=clusters), times)
    effect = np.repeat(rng.normal(size=clusters), times)
    frame["y"] = rng.poisson(np.exp(0.4 + 0.3 * frame["x"] + 0.5 * effect))
    frame["w"] = rng.uniform(0.5, 2.0, len(frame))
    return frame.sample(frac=0.8, random_state=seed)


def clusters_of(
    fit: glimm.GEEFit, frame: pd.DataFrame, corr: Callable[..., Array]
) -> list[Cluster]:
    """Clusters of a Poisson fit by the definition."""
    made = []
    phi = fit.scale
    for _, rows in frame.groupby("g"):
        at = np.array([frame.index.get_loc(i) for i in rows.index])
        mu = fit.fitted[at]
        d = mu[:, None] * fit.design.x[at]
        root = np.sqrt(mu / rows.get("precision", pd.Series(1.0, rows.index)).to_numpy())
        v = phi * root[:, None] * corr(rows) * root
        made.append(Cluster(d, v, rows["y"].to_numpy() - mu))
    return made


def by_time(kind: Callable[[Array], Array], column: str = "t") -> Callable[..., Array]:
    """A correlation that is a function of the distance in time."""

    def corr(rows: pd.DataFrame) -> Array:
        t = rows[column].to_numpy()
        return kind(np.abs(np.subtract.outer(t, t)))

    return corr


def matrix(fit: glimm.GEEFit, name: str, **given: Any) -> Callable[..., Array]:
    """The working correlation of some rows, from the parameters printed."""
    alpha = list(fit.alpha.values())
    if name == "exchangeable":
        return by_time(lambda d: np.where(d == 0, 1.0, alpha[0]))
    if name == "ar1":
        return by_time(lambda d: alpha[0] ** d, given.get("time", "t"))
    if name in ("toeplitz", "m_dependent:2"):
        known = np.array([1.0, *alpha, *[0.0] * 6])
        return by_time(lambda d: known[d.astype(int)])
    if name == "nested":

        def nested(rows: pd.DataFrame) -> Array:
            same = np.equal.outer(rows["pair"].to_numpy(), rows["pair"].to_numpy())
            found = np.where(same, alpha[0], alpha[1])
            np.fill_diagonal(found, 1.0)
            return found

        return nested
    if name == "independence":
        return by_time(lambda d: (d == 0) * 1.0)
    whole = fit.correlation()

    def cut(rows: pd.DataFrame) -> Array:
        at = rows["t"].to_numpy().astype(int)
        return whole[np.ix_(at, at)]

    return cut


_FIXED = 0.5 ** np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
CASES: list[tuple[str, dict[str, Any]]] = [
    ("independence", {}),
    ("exchangeable", {}),
    ("ar1", {"time": "t"}),
    ("ar1", {"time": "spaced"}),
    ("m_dependent:2", {"time": "t"}),
    ("toeplitz", {"time": "t"}),
    ("unstructured", {"time": "t"}),
    ("nested", {"subgroups": "pair"}),
    ("fixed", {"time": "t", "corr": _FIXED}),
]


def solved(name: str, given: dict[str, Any]) -> tuple[glimm.GEEFit, list[Cluster], pd.DataFrame]:
    """A fit and its clusters by the definition."""
    frame = study(clusters=200 if name == "unstructured" else 41)
    given = {"corr": name, **given}
    fit = glimm.gee("y ~ x + z", frame, groups="g", family="poisson", **given)
    return fit, clusters_of(fit, frame, matrix(fit, name, **given)), frame


@pytest.mark.parametrize(("name", "given"), CASES, ids=lambda v: str(v)[:24])
def test_the_equations_are_solved(name: str, given: dict[str, Any]) -> None:
    fit, clusters, _ = solved(name, given)
    information = sum(c.information for c in clusters)
    score = sum(c.score for c in clusters)
    assert np.abs(np.linalg.solve(information, score) / np.sqrt(np.diag(fit.vcov()))).max() < 1e-8
    assert np.allclose(fit.vcov("model"), np.linalg.inv(information), rtol=CLOSE)
    assert np.allclose(fit.vcov("robust"), sandwich(clusters, lambda h, c: c.r), rtol=1e-7)


@pytest.mark.parametrize(("name", "given"), CASES[1:3], ids=lambda v: str(v)[:24])
def test_corrections_are_those_of_the_papers(name: str, given: dict[str, Any]) -> None:
    fit, clusters, _ = solved(name, given)
    p, count = 3, len(clusters)
    identity = np.eye
    by_name = {
        "mancl-derouen": sandwich(
            clusters, lambda h, c: np.linalg.solve(identity(len(h)) - h, c.r)
        ),
        "kauermann-carroll": sandwich(
            clusters, lambda h, c: power(identity(len(h)) - h, -0.5) @ c.r
        ),
        "fay-graubard": fay_graubard(clusters),
    }
    for kind, expected in by_name.items():
        assert np.allclose(fit.vcov(kind), expected, rtol=1e-7), kind
    onestep = (count - p) / count * by_name["mancl-derouen"]
    assert np.allclose(fit.vcov("jackknife-onestep"), onestep, rtol=1e-7)
    robust, a = fit.vcov("robust"), fit.vcov("model")
    n = fit.nobs
    c = (n - 1) / (n - p) * count / (count - 1)
    phi = max(1.0, c * np.trace(np.linalg.solve(a, robust)) / p)
    assert np.allclose(fit.vcov("morel"), c * robust + p / (count - p) * phi * a, rtol=1e-7)


def test_the_jackknife_leaves_clusters_out() -> None:
    fit, _, frame = solved("exchangeable", {})
    changes = []
    for g in sorted(frame["g"].unique()):
        less = glimm.gee(
            "y ~ x + z", frame[frame["g"] != g], groups="g", family="poisson", df="normal"
        )
        changes.append(less.estimates.beta - fit.estimates.beta)
    expected = (41 - 3) / 41 * np.array(changes).T @ np.array(changes)
    assert np.allclose(fit.vcov("jackknife"), expected, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:with 12 clusters")
@pytest.mark.parametrize("half", [True, False])
def test_satterthwaite_by_brute_force(half: bool) -> None:
    frame = study(clusters=12)
    kind = "kauermann-carroll" if half else "robust"
    fit = glimm.gee(
        "y ~ x + z", frame, groups="g", family="poisson", covariance=kind, df="satterthwaite"
    )
    clusters = clusters_of(fit, frame, matrix(fit, "exchangeable"))
    for contrast in np.eye(3):
        expected = satterthwaite(clusters, contrast, half)
        assert fit.freedom(contrast)[0] == pytest.approx(expected, rel=1e-7)


def test_pan_and_wall_by_their_formula() -> None:
    fit, clusters, _ = solved("exchangeable", {})
    a = fit.vcov("model")
    q = np.array([(a @ c.score) ** 2 for c in clusters])
    expected = 2 * q.sum(0) ** 2 / (len(q) * q.var(0, ddof=1))
    uncorrected = glimm.gee("y ~ x + z", study(), groups="g", family="poisson", covariance="robust")
    assert np.allclose(uncorrected.freedom(df="pan-wall"), expected, rtol=1e-7)


def test_precision_divides_the_variance() -> None:
    frame = study().assign(precision=lambda f: f["w"])
    fit = glimm.gee("y ~ x + z", frame, groups="g", family="poisson", precision="w")
    clusters = clusters_of(fit, frame, matrix(fit, "exchangeable"))
    assert np.allclose(fit.vcov("robust"), sandwich(clusters, lambda h, c: c.r), rtol=1e-7)


def test_a_regression_of_the_correlation_holds_the_named_ones() -> None:
    frame = study()
    given: dict[str, Any] = {"groups": "g", "family": "poisson"}
    nested = glimm.gee("y ~ x", frame, corr="nested", subgroups="pair", **given)
    pairs = glimm.gee("y ~ x", frame, corr_formula="~ same(pair)", corr_link="identity", **given)
    assert np.allclose(nested.vcov(), pairs.vcov(), rtol=1e-6)
    same = pairs.alpha["(Intercept)"] + pairs.alpha["same(pair)"]
    assert nested.alpha["within subgroups"] == pytest.approx(same, rel=1e-8)
    one = glimm.gee("y ~ x", frame, corr_formula="~ 1", **given)
    assert np.tanh(one.alpha["(Intercept)"]) == pytest.approx(
        glimm.gee("y ~ x", frame, **given).alpha["alpha"], rel=1e-8
    )


def test_the_error_of_the_scale_is_the_spread_of_the_influences() -> None:
    """Of each cluster, by a little more of it; exact for independence and the canonical link."""
    frame = study(clusters=41)
    given: dict[str, Any] = {"groups": "g", "family": "poisson", "corr": "independence"}
    fit = glimm.gee("y ~ x", frame, **given)
    scales = []
    for g in sorted(frame["g"].unique()):
        copies = 1 + 1e-5 * (frame["g"] == g)
        scales.append(glimm.gee("y ~ x", frame, freq=copies, **given).scale - fit.scale)
    error = np.sqrt((np.array(scales) ** 2).sum()) / 1e-5
    assert fit.working()["se"][0] == pytest.approx(error, rel=1e-4)


def test_the_error_of_the_correlation_is_near_that_of_the_jackknife() -> None:
    """Within what the two differ by at 100 clusters."""
    data = glimm.datasets.load("toenail")
    data = data[data["patient"].isin(sorted(data["patient"].unique())[:100])]
    given: dict[str, Any] = {"groups": "patient", "family": "binomial"}
    fit = glimm.gee("infection ~ month", data, **given)
    changes = []
    for patient in data["patient"].unique():
        less = glimm.gee("infection ~ month", data[data["patient"] != patient], **given)
        changes.append(less.alpha["alpha"] - fit.alpha["alpha"])
    assert fit.working()["se"][1] == pytest.approx(np.sqrt(np.sum(np.square(changes))), rel=0.1)
