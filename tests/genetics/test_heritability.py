"""Heritability of fits: definitions by hand, derivatives, profiles, traits, recovery."""

from __future__ import annotations

import json
import math
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import glimm
from glimm import FitError, Pedigree
from glimm.datasets import make_fecundity
from glimm.genetics.heritability import bounds

REFERENCE = Path(__file__).parent.parent / "reference" / "animal"
# Closed forms in the same numbers.
EXACT = 1e-9
# Optimisers of the reference stop a little off.
OPTIMISER = 2e-4


@lru_cache(maxsize=1)
def study() -> Any:
    made = make_fecundity(300, 4, seed=3)
    return made.frame, {"ped": Pedigree(made.records)}


@cache
def fitted(response: str, family: str = "gaussian") -> glimm.Fit:
    frame, relations = study()
    formula = f"{response} ~ season + (1 | animal, pedigree=ped) + (1 | animal) + (1 | dam)"
    return glimm.fit(formula, frame, family, relations=relations)


def variances(fit: glimm.Fit) -> list[float]:
    return [float(c[0, 0]) for c in fit.covariances]


def test_gaussian_shares_are_ratios_of_variances() -> None:
    fit = fitted("weight")
    a, p, m = variances(fit)
    r = (fit.dispersion or {})["sigma"] ** 2
    total = a + p + m + r
    found = fit.heritability()
    assert found["h2"] == pytest.approx(a / total, rel=EXACT)
    assert found["share[dam]"] == pytest.approx(m / total, rel=EXACT)
    assert found["repeatability"] == pytest.approx((a + p + m) / total, rel=EXACT)
    assert found["phenotypic"] == pytest.approx(total, rel=EXACT)
    mean = float(np.mean(fit.design.x @ np.array(list(fit.coef.values()))))
    assert found["I_A"] == pytest.approx(a / mean**2, rel=EXACT)
    assert "h2" in str(found)
    assert len(found.to_frame()) == len(found.lines)
    wide = fit.heritability(fixed_variance=True)
    assert wide["h2"] < found["h2"]


def test_poisson_shares_have_their_closed_forms() -> None:
    fit = fitted("eggs", "poisson")
    a, p, m = variances(fit)
    v = a + p + m
    eta = fit.design.x @ np.array(list(fit.coef.values()))
    mean = np.exp(eta + v / 2)
    found = fit.heritability()
    zbar = mean.mean()
    expected = np.mean(mean**2) * math.expm1(v)
    assert found["mean", "observed"] == pytest.approx(zbar, rel=EXACT)
    assert found["h2", "latent"] == pytest.approx(a / v, rel=EXACT)
    assert found["h2", "expected"] == pytest.approx(zbar**2 * a / expected, rel=EXACT)
    assert found["h2", "observed"] == pytest.approx(zbar**2 * a / (expected + zbar), rel=EXACT)
    shared = zbar**2 * math.expm1(m)
    assert found["share[dam]", "observed"] == pytest.approx(shared / (expected + zbar), rel=1e-7)
    assert found["I_A", "observed"] == pytest.approx(a, rel=EXACT)
    one = fit.heritability(average=False)
    center = math.exp(eta.mean() + v / 2)
    assert one["mean", "observed"] == pytest.approx(center, rel=EXACT)


def test_standard_errors_are_those_of_the_delta_method() -> None:
    """d h2 / d theta by hand: h2 = a / (a + p + m + r) with a = theta^2, r = exp(2 log sigma)."""
    fit = fitted("weight")
    a, p, m = variances(fit)
    r = (fit.dispersion or {})["sigma"] ** 2
    total = a + p + m + r
    theta = [fit.estimates.parameters[start] for start, _ in fit.estimates.thetas]
    gradient = np.zeros(fit.df_model)
    for (start, _), t, own in zip(fit.estimates.thetas, theta, (1, 0, 0), strict=True):
        gradient[start] = 2 * t * (own * total - a) / total**2
    gradient[fit.estimates.fixed[1][0]] = -a * 2 * r / total**2
    se = math.sqrt(gradient @ fit.estimates.covariance @ gradient)
    line = fit.heritability().line("h2")
    assert line.se == pytest.approx(se, rel=1e-5)
    assert 0 < line.lower < line.estimate < line.upper < 1


def test_profiles_of_shares_hold_the_likelihood_ratio() -> None:
    """At the ends the likelihood, maximised with h2 held, has fallen by 1.92: on a grid."""
    frame, relations = study()
    formula = "weight ~ season + sex + (1 | animal, pedigree=ped)"
    fit = glimm.fit(formula, frame, relations=relations, reml=False)
    found = fit.heritability(method="profile")
    line = found.line("h2")
    assert line.lower < line.estimate < line.upper
    assert "profile" in str(found)
    problem = fit._problem
    assert problem is not None
    psi = fit.estimates.parameters.copy()
    theta, sigma = fit.estimates.thetas[0][0], fit.estimates.fixed[1][0]
    for end in (line.lower, line.upper):
        best = -np.inf
        for total in np.linspace(0.8, 1.25, 46):
            trial = psi.copy()
            whole = total * (psi[theta] ** 2 + np.exp(2 * psi[sigma]))
            trial[theta] = math.sqrt(end * whole)
            trial[sigma] = 0.5 * math.log((1 - end) * whole)
            # The coefficients at these variances by one Newton step: the likelihood is quadratic.
            p = fit.estimates.fixed[0][1]
            at = problem.evaluate_twice(trial)
            assert at is not None
            h = at[2].reshape(psi.size, -1)[:p, :p]
            trial[:p] -= np.linalg.solve(h, at[1][:p])
            at = problem.evaluate_twice(trial)
            assert at is not None
            best = max(best, at[0])
        assert 2 * (fit.loglik - best) == pytest.approx(3.8415, abs=0.02)


def test_binary_traits_have_a_liability_scale() -> None:
    frame, relations = study()
    data = frame.assign(big=(frame["weight"] > 21).astype(int))
    formula = "big ~ season + (1 | animal, pedigree=ped)"
    fit = glimm.fit(formula, data, "binomial", link="probit", relations=relations)
    assert fit.certificate.method == "propagation, corrected"
    assert fit.certificate.worst < 0.1
    a = variances(fit)[0]
    found = fit.heritability()
    assert found["h2", "latent"] == 1
    assert found["h2", "liability"] == pytest.approx(a / (a + 1), rel=EXACT)
    eta = fit.design.x @ np.array(list(fit.coef.values()))
    z = eta / math.sqrt(1 + a)
    p = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in z])
    slope = np.mean(np.exp(-(z**2) / 2)) / math.sqrt(2 * math.pi * (1 + a))
    observed = slope**2 * a / np.mean(p * (1 - p))
    assert found["h2", "observed"] == pytest.approx(observed, rel=1e-8)


def test_traits_in_long_format() -> None:
    """Two traits, residuals of their own: the shares are those of each trait's variances."""
    frame, relations = study()
    long = pd.concat(
        [
            frame.assign(trait="one", y=frame["weight"]),
            frame.assign(trait="two", y=0.5 * frame["weight"] + np.sqrt(frame["eggs"] + 1.0)),
        ]
    ).reset_index(drop=True)
    formula = "y ~ 0 + trait + (0 + trait | animal, pedigree=ped)"
    fit = glimm.fit(formula, long, disp="~ 0 + trait", relations=relations, reml=False)
    found = fit.heritability()
    sigma = fit.covariances[0]
    for k, name in enumerate(("trait[one]", "trait[two]")):
        residual = math.exp(2 * fit.part("dispersion").estimates[k])
        h2 = sigma[k, k] / (sigma[k, k] + residual)
        traits = {line.trait for line in found.lines}
        trait = next(t for t in traits if name[6:9] in t)
        assert found["h2", "observed", trait] == pytest.approx(h2, rel=EXACT)
    correlation = next(line for line in found.lines if line.kind == "correlation")
    expected = sigma[0, 1] / math.sqrt(sigma[0, 0] * sigma[1, 1])
    assert correlation.estimate == pytest.approx(expected, rel=EXACT)
    assert correlation.lower < expected < correlation.upper


def test_direct_and_maternal_effects_are_correlated() -> None:
    """V_P = V_A + cov + V_M + V_R, for animals and their dams have the relationship 1/2."""
    frame, relations = study()
    known = frame[~frame["dam"].str.startswith("of")]
    formula = "weight ~ season + (1 |a| animal, pedigree=ped) + (1 |a| dam, pedigree=ped)"
    fit = glimm.fit(formula, known, relations=relations, reml=False)
    sigma, error = fit.covariances[0], (fit.dispersion or {})["sigma"] ** 2
    total = sigma.sum() - sigma[0, 1] + error
    found = fit.heritability()
    assert found["phenotypic"] == pytest.approx(total, rel=EXACT)
    assert found["h2"] == pytest.approx(sigma[0, 0] / total, rel=EXACT)
    assert found["share[genetic (dam)]"] == pytest.approx(sigma[1, 1] / total, rel=EXACT)
    both = sigma[0, 0] + 1.5 * sigma[0, 1] + 0.5 * sigma[1, 1]
    assert found["total heritability"] == pytest.approx(both / total, rel=EXACT)
    assert found["repeatability"] == pytest.approx((total - error) / total, rel=EXACT)
    assert fit.breeding_values().values.shape == (len(relations["ped"].animals), 2)


def test_gaussian_reference() -> None:
    given = json.loads((REFERENCE / "gaussian.json").read_text())["fits"]
    data = pd.read_csv(REFERENCE / "gaussian.csv").astype({"gen": str})
    relations = {"ped": Pedigree(pd.read_csv(REFERENCE / "pedigree_large.csv"))}
    for name, reml in (("own_reml", True), ("own_ml", False)):
        fit = glimm.fit(
            "y ~ sex + gen + (1 | animal, pedigree=ped)", data, relations=relations, reml=reml
        )
        found = given[name]
        assert fit.loglik == pytest.approx(found["loglik"], abs=1e-6)
        a, r = found["variances"]["estimate"]
        assert variances(fit)[0] == pytest.approx(a, rel=OPTIMISER)
        assert fit.heritability()["h2"] == pytest.approx(a / (a + r), rel=OPTIMISER)
        coef = np.array(list(fit.coef.values()))
        np.testing.assert_allclose(coef, found["fixed"]["cond"]["estimate"], atol=1e-4)
        values = dict(
            zip(*(fit.breeding_values().to_frame()[k] for k in ("animal", "value")), strict=True)
        )
        modes = [values[k] for k in found["modes"]["levels"]]
        np.testing.assert_allclose(modes, found["modes"]["mode"], atol=1e-3)


def test_poisson_reference() -> None:
    given = json.loads((REFERENCE / "poisson.json").read_text())["fits"]["own_laplace"]
    data = pd.read_csv(REFERENCE / "poisson.csv").astype({"gen": str})
    relations = {"ped": Pedigree(pd.read_csv(REFERENCE / "pedigree_large.csv"))}
    formula = "y ~ sex + gen + (1 | animal, pedigree=ped) + (1 | dam)"
    with pytest.warns(glimm.FitWarning, match="integral"):
        fit = glimm.fit(formula, data, "poisson", relations=relations, integration="laplace")
    assert fit.loglik == pytest.approx(given["loglik"], abs=1e-5)
    np.testing.assert_allclose(variances(fit), given["variances"]["estimate"], rtol=1e-3)
    se = list(fit.se.values())
    np.testing.assert_allclose(se, given["fixed"]["cond"]["se"], rtol=5e-3)


def test_pictures_and_files(tmp_path: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    found = fitted("weight").heritability()
    axes = glimm.plots.shares({"weight": found})
    widths = [patch.get_width() for patch in axes.patches]
    assert sum(widths) == pytest.approx(1)
    assert widths[0] == pytest.approx(found["h2"])
    with pytest.raises(glimm.DataError, match="use 'observed'"):
        found.plot(scale="liability")
    fitted("weight").save(tmp_path / "fit.glimm")
    again = glimm.load(tmp_path / "fit.glimm")
    assert again.heritability()["h2"] == pytest.approx(found["h2"], rel=EXACT)
    np.testing.assert_allclose(
        again.breeding_values().se, fitted("weight").breeding_values().se, rtol=1e-8
    )


def test_phylogenetic_lambda() -> None:
    """Tips of a tree: with all nodes as levels or the tips alone the likelihood is the same."""
    rng = np.random.default_rng(4)
    text = "(((a:1,b:1):1,(c:1,d:1):1):2,((e:1.5,f:1.5):0.5,(g:1,h:1):1):2);"
    tips = list("abcdefgh")
    value = rng.multivariate_normal(np.zeros(8), glimm.Phylogeny(text).covariance())
    data = {"species": tips * 6, "y": (np.tile(value, 6) + rng.normal(0, 0.5, 48)).tolist()}
    fits = [
        glimm.fit("y ~ 1 + (1 | species, phylogeny=tree)", data,
                  relations={"tree": glimm.Phylogeny(text, nodes=nodes)})
        for nodes in ("all", "tips")
    ]  # fmt: skip
    shares = [fit.heritability()["lambda"] for fit in fits]
    assert shares[0] == pytest.approx(shares[1], rel=1e-6)
    assert fits[0].loglik == pytest.approx(fits[1].loglik, abs=1e-7)


def test_dominance_and_random_groups_have_names_of_their_own() -> None:
    made = make_fecundity(100, 2, seed=6)
    records = made.records.fillna("wild")
    plain = Pedigree(made.records)
    grouped = Pedigree(records, groups=["wild"], group_variance=0.5)
    fit = glimm.fit(
        "weight ~ sex + (1 | animal, pedigree=ped) + (1 | animal, known=dom) + (1 | animal)",
        made.frame,
        relations={"ped": grouped, "dom": plain.dominance()},
    )
    a, d, p = variances(fit)
    found = fit.heritability()
    names = [line.name for line in found.lines if line.kind == "variance"]
    assert names[:3] == ["additive", "animal (dom)", "permanent (animal)"]
    total = a + d + p + (fit.dispersion or {})["sigma"] ** 2
    assert found["share[animal (dom)]"] == pytest.approx(d / total, rel=EXACT)
    assert fit.breeding_values().animals[0] == "wild"


def test_nothing_varies() -> None:
    """Counts less variable than Poisson: no latent variance, hence no latent share."""
    frame, relations = study()
    data = frame.assign(flat=[3, 4] * (len(frame) // 2))
    fit = glimm.fit(
        "flat ~ 1 + (1 | animal, pedigree=ped)", data, "poisson", relations=relations,
        integration="laplace",
    )  # fmt: skip
    found = fit.heritability()
    assert math.isnan(found["h2", "latent"])
    assert found["h2", "observed"] == pytest.approx(0, abs=1e-12)


def test_without_relatives_there_is_no_heritability() -> None:
    data = glimm.datasets.load("sleepstudy")
    fit = glimm.fit("reaction ~ days + (1 | subject)", data)
    with pytest.raises(FitError) as caught:
        fit.heritability()
    assert caught.value.code == "no_heritability"
    # Clones or strains: the grouping by name.
    assert 0 < fit.heritability("subject")["h2"] < 1


@pytest.mark.parametrize("seed", [1])
def test_recovery(seed: int) -> None:
    """The truth lies within four standard errors, for a normal and a Poisson trait."""
    made = make_fecundity(400, 5, seed=seed)
    relations = {"ped": Pedigree(made.records)}
    formula = "sex + season + (1 | animal, pedigree=ped) + (1 | animal) + (1 | dam)"
    for trait, family in (("weight", "gaussian"), ("eggs", "poisson")):
        fit = glimm.fit(
            f"{trait} ~ {formula}", made.frame, family, relations=relations,
            **({} if family == "gaussian" else {"integration": "laplace"}),
        )  # fmt: skip
        truth = made.truth[trait]
        line = fit.heritability().line("h2")
        assert abs(line.estimate - truth["additive"] / sum(truth.values())) < 4 * line.se


@pytest.mark.parametrize("kind", ["variance", "size", "share"])
def test_next_to_nothing_has_an_interval_of_everything(kind: str) -> None:
    """A variance at its lower end with a standard error that dwarfs it: no overflow."""
    low, high = bounds(kind, 1e-12, 0.5, 1.96)
    assert low == 0.0
    assert high == (1.0 if kind == "share" else math.inf)
