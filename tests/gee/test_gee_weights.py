"""Weights of rows and of clusters, and rows that occur several times.

geepack puts weights inside the working matrix, W^(1/2) R^-1 W^(1/2), as glimm does. Its correlation
weighs a pair by w_i w_j, glimm by the root of it; given its correlation all numbers are the same.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gee_oracle import Array, Cluster, sandwich

import glimm
from glimm import DataError, FitWarning

FOLDER = Path(__file__).parent.parent / "reference" / "gee"
FITS: list[dict[str, Any]] = json.loads((FOLDER / "weighted.json").read_text("utf-8"))["fits"]
PEER = 1e-9
EXACT = 1e-10


def data() -> pd.DataFrame:
    return pd.read_csv(FOLDER / "weighted.csv").sample(frac=1, random_state=2)


def fitted(frame: pd.DataFrame, corr: Any, **given: Any) -> glimm.GEEFit:
    given = {"family": "poisson", "covariance": "robust", "df": "normal", "time": "time"} | given
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        return glimm.gee("y ~ x", frame, groups="id", corr=corr, **given)


@pytest.mark.parametrize("entry", FITS, ids=lambda e: f"{e['weights']}-{e['corr']}")
def test_the_equations_are_those_of_geepack(entry: dict[str, Any]) -> None:
    corr: Any = entry["corr"]
    if entry["alpha"] is not None:
        corr = np.full((5, 5), entry["alpha"]) + (1 - entry["alpha"]) * np.eye(5)
    fit = fitted(data(), corr, weights=entry["weights"])
    assert list(fit.coef.values()) == pytest.approx(entry["coef"], rel=PEER)
    assert list(fit.se.values()) == pytest.approx(entry["se"], rel=PEER)
    assert fit.scale == pytest.approx(entry["scale"], rel=PEER)


def residuals(fit: glimm.GEEFit, frame: pd.DataFrame) -> Array:
    """Pearson residuals at scale 1."""
    found: Array = (frame["y"].to_numpy() - fit.fitted) / np.sqrt(fit.fitted)
    return found


def pair_means(e: Array, w: Array, g: Array, power: float) -> float:
    """The mean product of pairs of a cluster, weighted by a power of the product of weights."""
    same = np.equal.outer(g, g) & ~np.eye(len(g), dtype=bool)
    pairs = np.outer(w, w) ** power * same
    return float((pairs * np.outer(e, e)).sum() / pairs.sum())


def test_a_pair_has_the_root_of_the_product_of_its_weights() -> None:
    frame = data()
    fit = fitted(frame, "exchangeable", weights="w")
    e, w, g = residuals(fit, frame), frame["w"].to_numpy(), frame["id"].to_numpy()
    assert fit.scale == pytest.approx((w @ e**2) / w.sum(), rel=EXACT)
    assert fit.alpha["alpha"] == pytest.approx(pair_means(e, w, g, 0.5) / fit.scale, rel=EXACT)
    peer = next(f for f in FITS if f["weights"] == "w" and f["alpha"] is not None)
    again = fitted(frame, np.eye(5) + peer["alpha"] * (1 - np.eye(5)), weights="w")
    theirs = pair_means(residuals(again, frame), w, g, 1.0) / again.scale
    assert theirs == pytest.approx(peer["alpha"], rel=1e-8)


def test_weights_stand_on_both_sides_of_the_correlation() -> None:
    frame = data()
    fit = fitted(frame, "ar1", weights="w")
    made = []
    for _, rows in frame.groupby("id"):
        at = np.array([frame.index.get_loc(i) for i in rows.index])
        mu, t = fit.fitted[at], rows["time"].to_numpy()
        r = fit.alpha["alpha"] ** np.abs(np.subtract.outer(t, t))
        # V = phi A^(1/2) W^(-1/2) R W^(-1/2) A^(1/2)
        root = np.sqrt(fit.scale * mu / rows["w"].to_numpy())
        made.append(Cluster(mu[:, None] * fit.design.x[at], np.outer(root, root) * r,
                            rows["y"].to_numpy() - mu))  # fmt: skip
    scale = np.mean(frame["w"])  # weights are brought to a mean of one
    bread = np.linalg.inv(sum(c.information for c in made) / scale)
    assert fit.vcov("model") == pytest.approx(bread, rel=1e-8)
    assert fit.vcov() == pytest.approx(sandwich(made, lambda h, c: c.r), rel=1e-8)


def test_a_cluster_of_weight_two_is_two_clusters() -> None:
    frame = data()
    frame["often"] = 1.0 + (frame["id"] % 3 == 0)
    twin = frame[frame["often"] == 2].assign(id=lambda d: d["id"] + 1000)
    twice = pd.concat([frame, twin])
    for corr in ("exchangeable", "ar1", "unstructured"):
        whole = fitted(twice, corr)
        for given in ({"freq": "often"}, {"weights": "often"}):
            fit = fitted(frame, corr, **given)
            assert list(fit.coef.values()) == pytest.approx(list(whole.coef.values()), rel=1e-8)
            assert list(fit.alpha.values()) == pytest.approx(list(whole.alpha.values()), rel=1e-7)
            assert fit.scale == pytest.approx(whole.scale, rel=1e-8)
        assert fitted(frame, corr, freq="often").vcov() == pytest.approx(whole.vcov(), rel=1e-7)


def test_rows_of_a_cluster_may_occur_several_times_where_they_are_independent() -> None:
    frame = data()
    frame["often"] = np.arange(len(frame)) % 3 + 1
    long = frame.loc[frame.index.repeat(frame["often"])]
    fit, whole = fitted(frame, "independence", freq="often"), fitted(long, "independence")
    assert list(fit.coef.values()) == pytest.approx(list(whole.coef.values()), rel=EXACT)
    assert fit.vcov() == pytest.approx(whole.vcov(), rel=1e-9)
    assert fit.scale == pytest.approx(whole.scale, rel=EXACT)
    assert (fit.clusters, fit.nobs) == (whole.clusters, whole.nobs)
    with pytest.raises(DataError, match="correlation with itself"):
        fitted(frame, "exchangeable", freq="often")


def test_weights_within_correlated_clusters_are_warned_of() -> None:
    frame = data()
    with pytest.warns(FitWarning, match="weights differ within clusters"):
        glimm.gee("y ~ x", frame, groups="id", weights="w", family="poisson")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        glimm.gee("y ~ x", frame, groups="id", weights="cw", family="poisson")
