"""Families that differ by row: separate fits, one family, brute force, orders of rows."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import gammaln

import glimm
from glimm import DataError, FamilyBy, FamilyError, FitError

pytestmark = pytest.mark.filterwarnings("ignore::glimm.FitWarning")

# The same sums in another order.
EXACT = 1e-10
# Two climbs that end within 1e-8 nats of their maxima.
CLIMBED = 1e-5

WORDS = {"weight": "gaussian", "clutch": "nbinom2", "alive": ("binomial", "probit")}
BY = FamilyBy("trait", WORDS)


@cache
def study() -> pd.DataFrame:
    """Three traits of 40 animals, with effects that are correlated."""
    rng = np.random.default_rng(7)
    root = np.linalg.cholesky([[1.0, 0.6, 0.3], [0.6, 1.0, 0.2], [0.3, 0.2, 1.0]])
    rows = []
    for animal in range(40):
        b = 0.7 * root @ rng.normal(size=3)
        for _ in range(4):
            x = rng.normal()
            mean = np.exp(0.8 + 0.2 * x + b[1])
            rows += [
                ("weight", f"a{animal}", x, 500 + 80 * (0.5 * x + b[0] + rng.normal())),
                ("clutch", f"a{animal}", x, rng.negative_binomial(3, 3 / (3 + mean))),
                ("alive", f"a{animal}", x, float(rng.normal() < 0.3 + 0.3 * x + b[2])),
            ]
    return pd.DataFrame(rows, columns=["trait", "animal", "x", "y"])


def of(trait: str) -> pd.DataFrame:
    frame = study()
    return frame[frame["trait"] == trait]


def options(integration: str) -> dict[str, Any]:
    return {"integration": integration, "reml": False}


@cache
def together(integration: str) -> glimm.Fit:
    formula = "y ~ 0 + trait + trait:x + (0 + trait || animal)"
    return glimm.fit(formula, study(), BY, **options(integration))


@cache
def apart(trait: str, integration: str) -> glimm.Fit:
    pair = WORDS[trait] if isinstance(WORDS[trait], tuple) else (WORDS[trait], None)
    integration = "auto" if trait == "weight" else integration
    kind = {"family": pair[0], "link": pair[1], **options(integration)}
    return glimm.fit("y ~ x + (1 | animal)", of(trait), **kind)


@pytest.mark.parametrize("integration", ["laplace", "agq:7"])
def test_without_common_parameters_it_is_the_separate_fits(integration: str) -> None:
    fit = together(integration)
    alone = {trait: apart(trait, integration) for trait in WORDS}
    expected = sum(other.loglik for other in alone.values())
    assert fit.loglik == pytest.approx(expected, abs=1e-7)
    for trait, other in alone.items():
        for mine, theirs in (("trait[{}]", "(Intercept)"), ("trait[{}]:x", "x")):
            name, se = mine.format(trait), other.se[theirs]
            assert fit.coef[name] == pytest.approx(other.coef[theirs], abs=CLIMBED * se)
            assert fit.se[name] == pytest.approx(se, rel=CLIMBED)
        at = fit.design.terms[0].columns.index(f"trait[{trait}]")
        assert fit.covariances[0][at, at] == pytest.approx(other.covariances[0][0, 0], rel=1e-4)
    for name in ("sigma[weight]", "theta[clutch]"):
        own, trait = name.removesuffix("]").split("[")
        found = (fit.dispersion or {})[name]
        assert found == pytest.approx((alone[trait].dispersion or {})[own], rel=CLIMBED)


@cache
def shares() -> Any:
    return together("laplace").heritability(term="animal")


@pytest.mark.parametrize("trait", WORDS)
def test_after_the_fit_it_is_the_separate_fits(trait: str) -> None:
    fit, other = together("laplace"), apart(trait, "laplace")
    rows = of(trait)
    for options in (
        {},
        {"scale": "link"},
        {"kind": "population"},
        {"interval": "confidence"},
        {"interval": "confidence", "kind": "population"},
        {"interval": "prediction"},
    ):
        found, expected = (np.asarray(f.predict(rows, **options)) for f in (fit, other))
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-6), options
    found, expected = shares(), other.heritability(term="animal")
    named = f"trait[{trait}]"
    lines = [line for line in found.lines if line.trait == named]
    whole = [line for line in expected.lines if line.kind != "correlation"]
    assert [line.name for line in lines] == [line.name for line in whole]
    for mine, theirs in zip(lines, whole, strict=True):
        assert mine.scale == theirs.scale
        assert mine.estimate == pytest.approx(theirs.estimate, rel=2e-4)
        assert mine.se == pytest.approx(theirs.se, rel=1e-2, abs=1e-9)


def test_parameters_are_those_of_the_trait_that_has_them() -> None:
    fit, rows = together("laplace"), study().head(3)
    found = fit.predict(rows, part="dispersion")
    assert rows["trait"].tolist() == ["weight", "clutch", "alive"]
    expected = [(fit.dispersion or {})[name] for name in ("sigma[weight]", "theta[clutch]")]
    assert found[:2] == pytest.approx(expected, rel=EXACT)
    assert np.isnan(found[2])
    ends = fit.predict(rows, part="dispersion", interval="confidence")
    assert (ends["lower"][:2] < found[:2]).all()
    assert np.isnan(ends.to_numpy()[2]).all()
    with pytest.raises(DataError, match="use 'dispersion'"):
        fit.predict(rows, part="member")


def test_reml_is_the_separate_fits() -> None:
    frame, pairs = study(), {"weight": "gaussian", "clutch": "nbinom2"}
    frame = frame[frame["trait"] != "alive"]
    formula = "y ~ 0 + trait + trait:x + (0 + trait || animal)"
    fit = glimm.fit(formula, frame, FamilyBy("trait", pairs), reml=True, integration="laplace")
    expected = [
        glimm.fit("y ~ x + (1 | animal)", of(t), f, reml=True, integration=i).loglik
        for (t, f), i in zip(pairs.items(), ("auto", "laplace"), strict=True)
    ]
    assert fit.loglik == pytest.approx(sum(expected), abs=1e-6)


@pytest.mark.parametrize("family", ["gaussian", "poisson", "nbinom2"])
def test_of_one_family_it_is_that_family(family: str) -> None:
    frame = study()
    frame = frame[frame["trait"] != "alive"].copy()
    if family != "gaussian":
        frame["y"] = np.where(frame["trait"] == "weight", np.rint(frame["y"] / 80), frame["y"])
    by = FamilyBy("trait", weight=family, clutch=family)
    formula = "y ~ 0 + trait + x + (0 + trait | animal)"
    fit = glimm.fit(formula, frame, by, **options("laplace"))
    disp = None if family == "poisson" else "~ 0 + trait"
    other = glimm.fit(formula, frame, family, disp=disp, **options("laplace"))
    assert fit.loglik == pytest.approx(other.loglik, rel=EXACT)
    assert list(fit.coef.values()) == pytest.approx(list(other.coef.values()), rel=CLIMBED)
    again = glimm.fit(formula, frame, by, disp=disp, **options("laplace"))
    assert again.loglik == pytest.approx(other.loglik, rel=EXACT)


def test_orders_of_rows_and_names_do_not_matter() -> None:
    formula = "y ~ 0 + trait + trait:x + (0 + trait | animal)"
    fit = glimm.fit(formula, study(), BY, integration="laplace")
    names = {"weight": "z 1", "clutch": "y", "alive": "m"}
    frame = study().sample(frac=1.0, random_state=3)
    frame["trait"] = frame["trait"].map(names).astype("category")
    by = FamilyBy("trait", {names[trait]: family for trait, family in reversed(WORDS.items())})
    other = glimm.fit(formula, frame, by, integration="laplace")
    assert other.loglik == pytest.approx(fit.loglik, rel=EXACT)
    for trait, name in names.items():
        assert other.coef[f"trait[{name}]"] == pytest.approx(fit.coef[f"trait[{trait}]"], rel=1e-5)


def test_levels_that_are_numbers() -> None:
    frame = study()
    codes = frame["trait"].map({"weight": 1, "clutch": 2, "alive": 3})
    by = FamilyBy("code", dict(zip((1, 2, 3), WORDS.values(), strict=True)))
    formula = "y ~ 0 + trait + (1 | animal)"
    fit = glimm.fit(formula, frame.assign(code=codes), by, integration="laplace")
    other = glimm.fit(formula, frame, BY, integration="laplace")
    assert fit.loglik == pytest.approx(other.loglik, rel=EXACT)
    assert set(fit.dispersion or {}) == {"sigma[1]", "theta[2]"}


def test_a_shared_effect_by_brute_force() -> None:
    frame = study()
    frame = frame[frame["trait"] != "clutch"].copy()
    frame["y"] = np.where(frame["trait"] == "weight", (frame["y"] - 500) / 80, frame["y"])
    by = FamilyBy("trait", weight="gaussian", alive="binomial")
    fit = glimm.fit("y ~ 0 + trait + x + (1 | animal)", frame, by, integration="agq:25")
    sd, sigma = float(fit.covariances[0][0, 0]) ** 0.5, (fit.dispersion or {})["sigma[weight]"]
    t = np.linspace(-12, 12, 4801)
    total = 0.0
    for _, rows in frame.groupby("animal"):
        log = -0.5 * t**2 - 0.5 * np.log(2 * np.pi)
        for trait, x, y in zip(rows["trait"], rows["x"], rows["y"], strict=True):
            eta = fit.coef[f"trait[{trait}]"] + fit.coef["x"] * x + sd * t
            if trait == "weight":
                log = log - 0.5 * ((y - eta) / sigma) ** 2 - np.log(sigma * np.sqrt(2 * np.pi))
            else:
                log = log + y * eta - np.logaddexp(0.0, eta)
        total += float(np.log(np.exp(log).sum() * (t[1] - t[0])))
    assert fit.loglik == pytest.approx(total, abs=1e-6)


def test_constants_are_those_of_each_family() -> None:
    frame = pd.DataFrame({"t": list("ababab"), "y": [1.5, 2, 0.5, 4, -1, 3]})
    fit = glimm.fit("y ~ 0 + t", frame, FamilyBy("t", a="gaussian", b="poisson"))
    a, b = (frame["y"][frame["t"] == t].to_numpy() for t in "ab")
    variance = float(np.var(a))
    expected = -1.5 * (np.log(2 * np.pi * variance) + 1)
    expected += float(np.sum(b * np.log(b.mean()) - b.mean() - gammaln(b + 1)))
    assert fit.loglik == pytest.approx(expected, rel=EXACT)


def test_equal_rows_of_different_traits_do_not_merge() -> None:
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"g": np.repeat(np.arange(60) % 20, 10), "t": np.tile(["a", "b"], 300)})
    frame["y"] = rng.integers(0, 2, 600)
    by = FamilyBy("t", a="poisson", b="binomial")
    fits = [
        glimm.fit("y ~ 1 + (1 | g)", frame, by, compress=c, threads=t, integration="agq:5")
        for c, t in ((False, 1), (True, 1), (False, 2))
    ]
    assert fits[1].diagnostics.compression is not None
    assert fits[1].loglik == pytest.approx(fits[0].loglik, rel=EXACT)
    assert fits[2].loglik == fits[0].loglik


def test_trials_are_those_of_the_trait_that_has_them() -> None:
    rng = np.random.default_rng(4)
    n = rng.integers(1, 9, 60)
    frame = pd.DataFrame({"t": np.repeat(["a", "b"], 60), "n": np.r_[n, np.ones(60, int)]})
    frame["y"] = np.r_[rng.binomial(n, 0.4), rng.poisson(3, 60)]
    by = FamilyBy("t", a="binomial", b="poisson")
    fit = glimm.fit("y / n ~ 0 + t", frame, by)
    alone = [
        glimm.fit("y / n ~ 1", frame[:60], "binomial"), glimm.fit("y ~ 1", frame[60:], "poisson")
    ]  # fmt: skip
    assert fit.loglik == pytest.approx(sum(f.loglik for f in alone), rel=EXACT)
    assert np.isfinite(glimm.residuals(fit).normal).all()
    wrong = frame.assign(n=2)
    with pytest.raises(DataError, match=r"trials is 2 in rows 60, 61.*'b'.*no trials"):
        glimm.fit("y / n ~ 0 + t", wrong, by)


def test_integrals_over_crossed_factors_agree() -> None:
    frame = study().assign(year=lambda f: "y" + (f.index % 7).astype(str))
    formula = "y ~ 0 + trait + (0 + trait | animal) + (1 | year)"
    frame["y"] = np.where(frame["trait"] == "weight", (frame["y"] - 500) / 80, frame["y"])
    by = FamilyBy("trait", weight="gaussian", clutch="poisson", alive="binomial")
    fits = {i: glimm.fit(formula, frame, by, integration=i) for i in ("laplace", "ep", "auto")}
    exact = fits["auto"]
    for name in ("laplace", "ep"):
        off = abs(fits[name].loglik - exact.loglik)
        allowed = fits[name].certificate.loglik_error + exact.certificate.loglik_error
        assert off < 1.5 * allowed + 0.01, name


def test_parameters_that_are_held_are_known() -> None:
    formula = "y ~ 0 + trait + (0 + trait | animal)"
    free = glimm.fit(formula, study(), BY, integration="laplace")
    at = (free.dispersion or {})["theta[clutch]"]
    fit = glimm.fit(formula, study(), BY, integration="laplace", hold={"theta[clutch]": at})
    assert fit.loglik == pytest.approx(free.loglik, abs=1e-8)
    assert fit.df_model == free.df_model - 1
    assert fit.dispersion == pytest.approx(free.dispersion or {}, rel=1e-4)
    assert "(held)" in str(fit)
    assert "log(theta[clutch])" not in fit.parameter_names
    assert fit.predict(study()) == pytest.approx(free.predict(study()), rel=1e-4)


def test_findings_are_in_the_units_of_each_trait() -> None:
    frame = study().copy()
    frame["y"] = np.where(frame["trait"] == "weight", 1e5 * frame["y"], frame["y"])
    frame.loc[frame["trait"] == "clutch", "y"] = np.tile([2.0, 3.0], 80)
    formula = "y ~ 0 + trait + (0 + trait || animal)"
    fit = glimm.fit(formula, frame, BY, integration="laplace")
    codes = [finding.code for finding in fit.diagnostics.findings]
    assert codes.count("singular") == 1
    assert "boundary_dispersion" in codes
    assert fit.diagnostics.singular == ("animal",)
    two = frame[frame["trait"] != "clutch"]
    by = FamilyBy("trait", weight="gaussian", alive="binomial")
    assert not glimm.fit(formula, two, by, integration="laplace").diagnostics.singular


def test_saved_fits_are_the_same(tmp_path: Any) -> None:
    fit = together("laplace")
    fit.save(tmp_path / "fit.glimm")
    other = glimm.load(tmp_path / "fit.glimm")
    assert other.model.family == fit.model.family
    assert str(other) == str(fit)
    assert np.array_equal(other.predict(study()), fit.predict(study()))
    assert np.array_equal(other.simulate(2, seed=1), fit.simulate(2, seed=1))


def test_draws_are_of_each_family() -> None:
    frame, fit = study(), together("laplace")
    drawn = fit.simulate(200, seed=5)
    trait = frame["trait"].to_numpy()
    assert np.isin(drawn[:, trait == "alive"], (0.0, 1.0)).all()
    counts = drawn[:, trait == "clutch"]
    assert (counts == np.floor(counts)).all()
    assert counts.max() > 1
    mean = drawn[:, trait == "weight"].mean()
    assert mean == pytest.approx(500, abs=40)
    scores = glimm.residuals(fit, seed=1).normal
    assert abs(float(scores.mean())) < 4 / np.sqrt(scores.size)


def test_a_genetic_correlation_of_a_weight_and_a_count_is_recovered() -> None:
    rng = np.random.default_rng(11)
    sires, dams, n = 60, 180, 900
    sire, dam = rng.integers(0, sires, n), rng.integers(0, dams, n)
    root = np.linalg.cholesky([[1.0, 0.6 * 0.7], [0.6 * 0.7, 0.49]])
    parents = rng.normal(size=(sires + dams, 2)) @ root.T
    own = np.sqrt(0.5) * rng.normal(size=(n, 2)) @ root.T
    a = 0.5 * (parents[sire] + parents[sires + dam]) + own
    names = [f"i{i}" for i in range(n)]
    records = pd.DataFrame(
        {"animal": names, "sire": [f"s{i}" for i in sire], "dam": [f"d{i}" for i in dam]}
    )
    long = pd.DataFrame({"animal": names * 2, "trait": np.repeat(["weight", "eggs"], n)})
    long["y"] = np.r_[a[:, 0] + rng.normal(size=n), rng.poisson(np.exp(1.0 + a[:, 1]))]
    fit = glimm.fit(
        "y ~ 0 + trait + (0 + trait | animal, pedigree=ped)", long,
        FamilyBy("trait", weight="gaussian", eggs="poisson"),
        relations={"ped": glimm.Pedigree(records)}, integration="laplace",
    )  # fmt: skip
    line = next(x for x in fit.heritability().lines if x.kind == "correlation")
    assert line.lower < 0.6 < line.upper
    assert line.se < 0.15
    assert fit.heritability()["h2", "observed", "trait[weight]"] == pytest.approx(0.5, abs=0.2)
    assert len(fit.breeding_values().to_frame()) == 2 * (n + sires + dams)


BAD: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    (FamilyBy("trait", weight="gaussian", alive="binomial"), {}, FamilyError,
     r"'trait' is 'clutch' in rows 1, 4.*names 'weight', 'alive'.*leave"),
    (FamilyBy("trait", {**WORDS, "egg": "poisson"}), {}, FamilyError,
     r"a family for 'egg'.*levels are 'alive', 'clutch', 'weight'.*correct the name"),
    (FamilyBy("kind", WORDS), {}, DataError, "'kind' is not in the data"),
    (BY, {"zi": "~ 1"}, FamilyError, "zi= is given.*'trait'"),
    (BY, {"penalty": glimm.Penalty()}, FamilyError, "penalty= is given.*'trait'"),
    (BY, {"hold": {"sigma": 1.0}}, FamilyError, r"hold= names 'sigma'.*'sigma\[weight\]'"),
    (BY, {"hold": {"sigma[weight]": -1.0}}, FamilyError, "it lies between"),
    (BY, {"hold": {"sigma[weight]": 1.0}, "disp": "~ 0 + trait"}, FamilyError, "use one of them"),
    (BY, {"precision": np.ones(480)}, FamilyError, "precision= is given.*'trait'"),
    (BY, {"link": "log"}, FamilyError, "not available with link 'log'"),
    (FamilyBy("trait", weight="gaussian", clutch="nbinom2", alive="beta"), {}, DataError,
     r"rows .* where 'trait' is 'alive': .*beta"),
]  # fmt: skip


@pytest.mark.parametrize(("family", "more", "error", "text"), BAD)
def test_what_cannot_be_fitted_is_said(
    family: FamilyBy, more: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        glimm.fit("y ~ 0 + trait", study(), family, **more)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"a": "ordinal"}, "'ordinal' of 'a' cannot stand beside others: its response has classes"),
        ({"a": "student_t"}, "'student_t' of 'a'.*2 parameters besides the mean"),
        ({"a": "poison"}, "'poison' is not known"),
        ({"a": FamilyBy("t", b="poisson")}, "made of several itself"),
        ({}, "names no family"),
    ],
)
def test_families_that_cannot_stand_beside_others(given: dict[str, Any], text: str) -> None:
    with pytest.raises(FamilyError, match=text):
        FamilyBy("t", given)


def test_what_has_no_one_scale_is_refused() -> None:
    fit = together("laplace")
    with pytest.raises(DataError, match=r"'trait'.*heritability"):
        fit.variance_shares()
    with pytest.raises(DataError, match="scale='response'"):
        glimm.means(fit, "trait")
    assert np.isfinite(glimm.means(fit, "trait", average="response").to_frame()["estimate"]).all()
    shared = glimm.fit("y ~ 0 + trait + (1 | animal)", study(), BY, integration="laplace")
    with pytest.raises(FitError, match=r"several families \('weight', 'clutch', 'alive'\)"):
        shared.heritability(term="animal")
    with pytest.raises(FamilyError, match="FamilyBy"):
        glimm.gee("y ~ 0 + trait", study(), family=BY, groups="animal")


def test_power_starts_from_a_fit() -> None:
    fit = together("laplace")
    found = glimm.power(fit, n=3, seed=1, target="trait[weight]:x")
    assert found.rejections == {"trait[weight]:x": 3}
    with pytest.raises(DataError, match="starts from a fit"):
        glimm.power("y ~ 0 + trait", study(), {}, family=BY)
    with pytest.raises(DataError, match="kind='population'"):
        fit.population_averaged()
