"""Residuals of several traits of a record: the dense likelihood, units, what is residual."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import glimm
from glimm import DataError, FamilyError, FormulaError

Array = np.ndarray[Any, np.dtype[np.float64]]

# Of a log-likelihood of -350, where residuals beside the covariance have 1e-4 of the variance.
DENSE = 1e-8
# Slopes of the dense log-likelihood by differences, in logs of sd and atanh of correlations.
FLAT = 1e-4

FORMULA = "y ~ 0 + trait + (0 + trait | animal, pedigree=ped) + residual(0 + trait | record)"
TRAITS = ("mass", "tarsus")


@cache
def study() -> tuple[pd.DataFrame, pd.DataFrame, Array]:
    """(records, pedigree, relationship) of 120 animals; every seventh lacks its tarsus."""
    rng, n = np.random.default_rng(5), 120
    sire, dam, a = [-1] * 20, [-1] * 20, np.zeros((n, n))
    for i in range(20, n):
        sire.append(2 * int(rng.integers(0, i // 2)))
        dam.append(2 * int(rng.integers(0, i // 2)) + 1)
    for i, (s, d) in enumerate(zip(sire, dam, strict=True)):
        a[i, i] = 1.0
        if s >= 0:
            a[i, :i] = a[:i, i] = 0.5 * (a[s, :i] + a[d, :i])
            a[i, i] = 1 + 0.5 * a[s, d]
    g, r = ([[1.0, 0.4], [0.4, 0.5]], [[1.2, -0.5], [-0.5, 0.8]])
    y = np.linalg.cholesky(a) @ rng.normal(size=(n, 2)) @ np.linalg.cholesky(g).T
    y = [3.0, 1.0] + y + rng.normal(size=(n, 2)) @ np.linalg.cholesky(r).T
    name = [f"a{i}" for i in range(n)]
    rows = [
        (name[i], f"r{i}", trait, y[i, k])
        for i in range(n)
        for k, trait in enumerate(TRAITS)
        if not (k and i % 7 == 0)
    ]
    parent = [[None if p < 0 else name[p] for p in of] for of in (sire, dam)]
    ped = pd.DataFrame({"animal": name, "sire": parent[0], "dam": parent[1]})
    return pd.DataFrame(rows, columns=["animal", "record", "trait", "y"]), ped, a


def relations() -> dict[str, Any]:
    return {"ped": glimm.Pedigree(study()[1])}


@cache
def fitted(reml: bool) -> glimm.Fit:
    return glimm.fit(FORMULA, study()[0], relations=relations(), reml=reml)


def dense(g: Array, r: Array, reml: bool) -> float:
    """The (restricted) log-likelihood of the bivariate normal model, by its matrices."""
    frame, _, a = study()
    animal = frame["animal"].str[1:].astype(int).to_numpy()
    trait = (frame["trait"] == "tarsus").astype(int).to_numpy()
    both = np.ix_(trait, trait)
    v = a[np.ix_(animal, animal)] * g[both] + (animal[:, None] == animal) * r[both]
    x, y = np.column_stack([trait == 0, trait == 1]).astype(float), frame["y"].to_numpy()
    solved = np.linalg.solve(v, np.column_stack([x, y]))
    xvx = x.T @ solved[:, :2]
    left = y - x @ np.linalg.solve(xvx, x.T @ solved[:, 2])
    count = y.size - 2 * reml
    total = count * np.log(2 * np.pi) + np.linalg.slogdet(v)[1] + left @ np.linalg.solve(v, left)
    return float(-0.5 * (total + reml * np.linalg.slogdet(xvx)[1]))


def moved(sigma: Array, step: Array) -> Array:
    """With logs of the standard deviations and atanh of the correlation moved."""
    sd = np.sqrt(np.diag(sigma))
    corr = np.tanh(np.arctanh(sigma[0, 1] / sd.prod()) + step[2])
    sd = sd * np.exp(step[:2])
    return np.outer(sd, sd) * np.array([[1.0, corr], [corr, 1.0]])


@pytest.mark.parametrize("reml", [False, True])
def test_it_is_the_maximum_of_the_dense_likelihood(reml: bool) -> None:
    fit = fitted(reml)
    g, r = fit.covariances[0], fit.residual_covariance
    assert r is not None
    assert fit.loglik == pytest.approx(dense(g, r, reml), abs=DENSE)
    assert fit.df_model == 8
    for j in range(6):
        step = np.zeros((2, 6))
        step[:, j] = [1e-4, -1e-4]
        ends = [dense(moved(g, s[:3]), moved(r, s[3:]), reml) for s in step]
        assert abs(ends[0] - ends[1]) / 2e-4 < FLAT, j
        assert max(ends) < dense(g, r, reml) + 1e-9


def test_units_of_a_trait_do_not_matter() -> None:
    frame, fit = study()[0].copy(), fitted(True)
    mass = frame["trait"] == "mass"
    frame.loc[mass, "y"] *= 1000
    other = glimm.fit(FORMULA, frame, relations=relations())
    assert other.model.reml
    # The coefficient of mass is integrated out in its new units.
    change = (mass.sum() - 1) * np.log(1000)
    assert other.loglik == pytest.approx(fit.loglik - change, abs=1e-6)
    unit = np.diag([1000.0, 1.0])
    assert fit.residual_covariance is not None
    expected = unit @ fit.residual_covariance @ unit
    assert other.residual_covariance == pytest.approx(expected, rel=1e-5)
    first, second = fit.heritability(), other.heritability()
    for trait in ("trait[mass]", "trait[tarsus]"):
        assert second["h2", "", trait] == pytest.approx(first["h2", "", trait], rel=1e-5)
    small = glimm.fit(FORMULA, frame.assign(y=frame["y"] * 1e-9), relations=relations())
    assert not small.diagnostics.findings


def test_residuals_are_residual_in_shares() -> None:
    fit = fitted(True)
    g, r = fit.covariances[0], fit.residual_covariance
    assert r is not None
    found = fit.heritability()
    for k, trait in enumerate(("trait[mass]", "trait[tarsus]")):
        total = g[k, k] + r[k, k]
        assert found["residual", "", trait] == pytest.approx(r[k, k], rel=1e-12)
        assert found["phenotypic", "", trait] == pytest.approx(total, rel=1e-12)
        assert found["h2", "", trait] == pytest.approx(g[k, k] / total, rel=1e-12)
    assert not any("repeatability" in line.name or "record" in line.name for line in found.lines)
    (line,) = [line for line in found.lines if line.kind == "residual correlation"]
    assert line.estimate == pytest.approx(r[0, 1] / np.sqrt(r[0, 0] * r[1, 1]), rel=1e-12)
    assert line.lower < line.estimate < line.upper
    shares, weight = fit.variance_shares(), (study()[0]["trait"] == "mass").mean()
    expected = weight * r[0, 0] + (1 - weight) * r[1, 1]
    assert shares["distribution"] == pytest.approx(expected, rel=1e-12)
    assert shares.observed[2][1:] == pytest.approx(shares.latent[-1][1:], rel=1e-6)
    assert "record" not in str(shares)


def test_profile_intervals_are_of_the_right_share() -> None:
    line = fitted(False).heritability(method="profile").line("h2", "", "trait[mass]")
    g, r = fitted(False).covariances[0], fitted(False).residual_covariance
    assert r is not None
    assert line.lower < g[0, 0] / (g[0, 0] + r[0, 0]) < line.upper
    wald = fitted(False).heritability().line("h2", "", "trait[mass]")
    assert line.lower == pytest.approx(wald.lower, abs=0.15)


def test_predictions_leave_residuals_out() -> None:
    fit, frame = fitted(True), study()[0]
    g, r = fit.covariances[0], fit.residual_covariance
    assert r is not None
    modes = fit.ranef()
    modes = modes[modes["group"] == "animal"].set_index(["level", "name"])["mode"]
    expected = [
        fit.coef[f"trait[{t}]"] + modes[a, f"trait[{t}]"]
        for a, t in zip(frame["animal"], frame["trait"], strict=True)
    ]
    assert fit.predict() == pytest.approx(np.array(expected), abs=1e-9)
    new = frame.head(3).drop(columns="record")
    assert fit.predict(new) == pytest.approx(np.array(expected[:3]), abs=1e-9)
    ends = fit.predict(new, kind="population", interval="prediction", level=0.95)
    spread = ((ends["upper"] - ends["lower"]) / 2 / 1.959963984540054) ** 2
    sd = [fit.se[f"trait[{t}]"] for t in new["trait"]]
    k = [TRAITS.index(t) for t in new["trait"]]
    total = [g[i, i] + r[i, i] + s**2 for i, s in zip(k, sd, strict=True)]
    # The relationship of an animal without parents is one.
    assert np.asarray(spread) == pytest.approx(np.array(total), rel=0.03)


def test_draws_have_the_covariance_of_the_model() -> None:
    fit = fitted(True)
    assert fit.residual_covariance is not None
    drawn = np.cov(fit.simulate(4000, seed=1)[:, 1:3].T)
    expected = fit.covariances[0] + fit.residual_covariance
    assert drawn == pytest.approx(expected, abs=0.15)


def test_degrees_of_freedom_do_not_depend_on_what_is_fixed() -> None:
    formula = FORMULA.replace("residual(", "(")
    fit = fitted(True)
    other = glimm.fit(
        formula, study()[0], relations=relations(), reml=True, hold={"sigma": 0.2}
    )  # fmt: skip
    assert other.loglik == pytest.approx(fit.loglik, abs=DENSE)
    first, second = (f.summary(df="satterthwaite").tables[-1] for f in (fit, other))
    at = [column.head for column in first.columns].index("df")
    for mine, theirs in zip(first.rows, second.rows, strict=True):
        assert mine[at] == pytest.approx(theirs[at], rel=1e-4)


def test_it_is_an_effect_of_the_record_beside_held_residuals() -> None:
    fit = fitted(False)
    by = glimm.FamilyBy("trait", mass="gaussian", tarsus="gaussian")
    hold = {"sigma[mass]": 0.2, "sigma[tarsus]": 0.1}
    formula = FORMULA.replace("residual(", "(")
    other = glimm.fit(formula, study()[0], by, relations=relations(), hold=hold, reml=False)
    assert other.loglik == pytest.approx(fit.loglik, abs=DENSE)
    r = other.covariances[1] + np.diag([0.2**2, 0.1**2])
    assert r == pytest.approx(fit.residual_covariance, rel=1e-4)
    shares = [f.heritability()["h2", "", "trait[mass]"] for f in (fit, other)]
    assert shares[1] == pytest.approx(shares[0], rel=1e-4)


def test_it_prints_and_saves(tmp_path: Any) -> None:
    fit = fitted(True)
    text = str(fit)
    assert "Residuals of a record (units of y)" in text
    assert "residual  trait[tarsus]" in text
    fit.save(tmp_path / "fit.glimm")
    other = glimm.load(tmp_path / "fit.glimm")
    assert str(other) == text
    assert other.design.floors == fit.design.floors
    assert np.array_equal(other.predict(study()[0]), fit.predict())


def test_without_other_effects_it_is_least_squares_by_trait() -> None:
    frame = study()[0]
    complete = frame[frame["record"].map(frame["record"].value_counts()) == 2]
    fit = glimm.fit("y ~ 0 + trait + residual(0 + trait | record)", complete, reml=False)
    wide = complete.pivot(index="record", columns="trait", values="y")
    assert fit.residual_covariance == pytest.approx(np.cov(wide.T, bias=True), rel=1e-6)
    assert list(fit.coef.values()) == pytest.approx(wide.mean().tolist(), rel=1e-6)


@pytest.mark.parametrize(
    ("formula", "more", "error", "text"),
    [
        ("residual(0 + trait | record)", {"family": "poisson"}, FamilyError, "gaussian responses"),
        ("residual(0 + trait | record)", {"disp": "~ trait"}, FamilyError, "disp= is given"),
        ("residual(0 + trait | record)", {"hold": {"sigma": 1.0}}, FamilyError, "hold= is given"),
        ("residual(0 + trait | record)", {"precision": np.ones(222)}, FamilyError, "precision="),
        ("residual(0 + trait | record)", {"freq": np.full(222, 2.0)}, DataError, "freq .* is 2 in"),
        ("residual(1 + trait | record)", {}, DataError, r"not one 1 and else 0 in.*0 \+ trait"),
        ("residual(0 + trait | trait)", {}, DataError, r"'mass' has 'trait\[mass\]' more than"),
        ("residual(0 + trait | record/animal)", {}, FormulaError, "cannot be read"),
        ("residual(0 + trait || record)", {}, FormulaError, "cannot be read"),
        ("residual(0 + trait | record) + residual(0 + trait | animal)", {}, FormulaError,
         "residuals have one covariance"),
    ],
)  # fmt: skip
def test_what_has_no_covariance_of_residuals(
    formula: str, more: dict[str, Any], error: type[Exception], text: str
) -> None:
    frame = study()[0]
    frame = frame.assign(y=1.0 + (frame["y"] > 1)) if "family" in more else frame
    with pytest.raises(error, match=text):
        glimm.fit(f"y ~ 0 + trait + {formula}", frame, **more)


def test_it_is_no_part_of_the_dispersion() -> None:
    with pytest.raises(FamilyError, match="stands in the formula"):
        glimm.fit("y ~ trait", study()[0], disp="~ residual(0 + trait | record)")


def test_it_is_no_random_effect_to_be_tested() -> None:
    found = fitted(False).test_random().to_frame()
    assert set(found["group"]) == {"animal"}
