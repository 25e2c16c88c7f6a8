"""Restricted maximum likelihood of any family: what fits leave unchanged, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from studies import SAME_ESTIMATE, SAME_LOGLIK, fit, same_numbers, same_random_effects, study, text

import glimm
from glimm import _core
from glimm.problem import core_arrays

CASES = [
    ("logit", "intercepts"),
    ("cloglog", "uncorrelated"),
    ("poisson", "slopes"),
    ("nbinom2", "nested"),
    ("gamma-inverse", "intercepts"),
    ("nbinom2", "crossed"),
]
EACH = pytest.mark.parametrize(("law", "structure"), CASES)


def restricted(law: str, structure: str, **options: object) -> glimm.Fit:
    return fit(law, text(structure), study(law, structure), reml=True, **options)


@EACH
def test_everything_after_a_fit_works(law: str, structure: str, tmp_path: Path) -> None:
    made = restricted(law, structure)
    usual = fit(law, text(structure), study(law, structure))
    assert made.diagnostics.converged
    assert made.model.reml
    said = " ".join(str(made).split())
    assert "(REML, coefficients integrated out by Laplace)" in said
    assert "REML logLik" in said
    assert list(made.coef) == list(usual.coef)
    assert made.df_model == usual.df_model
    assert all(0.9 < made.se[name] / usual.se[name] < 1.5 for name in made.se)
    assert np.all(np.linalg.eigvalsh(made.vcov("all")) > 0)
    assert len(made.predict(study(law, structure))) == made.design.n
    assert len(made.ranef()) == len(usual.ranef())
    assert made.confint() is not None
    y = made.simulate(1, seed=3)[0]
    made.save(tmp_path / "fit")
    again = glimm.load(tmp_path / "fit")
    assert (again.loglik, again.model.reml) == (made.loglik, True)
    refitted = made.refit(y)
    frame = study(law, structure).assign(y=y)
    fresh = fit(law, text(structure), frame, reml=True)
    assert refitted.loglik == pytest.approx(fresh.loglik, abs=SAME_LOGLIK)


@EACH
def test_variances_are_larger_than_those_of_maximum_likelihood(law: str, structure: str) -> None:
    made = restricted(law, structure)
    usual = fit(law, text(structure), study(law, structure))
    total = [sum(np.trace(c) for c in f.covariances) for f in (made, usual)]
    assert total[0] > total[1]


@EACH
def test_the_order_of_rows_and_their_merging_change_nothing(law: str, structure: str) -> None:
    made = restricted(law, structure)
    frame = study(law, structure)
    shuffled = frame.sample(frac=1, random_state=3)
    for other in (
        fit(law, text(structure), shuffled, reml=True),
        restricted(law, structure, compress=True),
        restricted(law, structure, engine="sparse"),
    ):
        same_numbers(made, other)
        same_random_effects(made, other)


@pytest.mark.parametrize("law", ["logit", "poisson", "gamma-inverse"])
def test_units_of_a_covariate(law: str) -> None:
    made, frame = restricted(law, "intercepts"), study(law, "intercepts")
    moved = frame.assign(x=4.0 * frame["x"] + 3.0)
    other = fit(law, text("intercepts"), moved, reml=True)
    scale = np.array([[1.0, -3.0 / 4.0, 0.0], [0.0, 1.0 / 4.0, 0.0], [0.0, 0.0, 1.0]])
    same_numbers(other, made, map_x=scale, loglik=-math.log(4.0))


def test_an_offset_along_a_covariate_moves_its_coefficient() -> None:
    made, frame = restricted("poisson", "slopes"), study("poisson", "slopes")
    other = restricted("poisson", "slopes", offset=0.25 * frame["w"].to_numpy())
    assert other.loglik == pytest.approx(made.loglik, abs=SAME_LOGLIK)
    gap = made.coef["w"] - other.coef["w"] - 0.25
    assert abs(gap) < SAME_ESTIMATE * made.se["w"]


def test_gaussian_parts_by_the_general_path() -> None:
    frame = study("gaussian", "slopes")
    weights = 1.0 + np.arange(len(frame)) % 3
    closed = fit("gaussian", text("slopes"), frame, reml=True, precision=weights)
    arrays = core_arrays(closed.model, closed.design)
    other = _core.Problem(*arrays, reml=True, laplace=True).fit()
    assert closed.estimates.path == "lmm"
    assert other["loglik"] == pytest.approx(closed.loglik, abs=SAME_LOGLIK)
    errors = np.sqrt(np.diag(closed.vcov("all")))
    gap = other["parameters"] - closed.estimates.parameters
    np.testing.assert_array_less(np.abs(gap) / errors, SAME_ESTIMATE)
    modelled = fit("gaussian", text("slopes"), frame, reml=True, disp="~ x")
    assert modelled.estimates.path == "dense"
    assert "REML" in str(modelled)


def test_without_random_effects() -> None:
    frame = study("nbinom2", "intercepts")
    made = fit("nbinom2", "y ~ x + w", frame, reml=True)
    usual = fit("nbinom2", "y ~ x + w", frame)
    assert made.diagnostics.converged
    assert "coefficients integrated out" in str(made)
    assert made.dispersion["theta"] < usual.dispersion["theta"]
    # Without parameters besides the coefficients, the value is the integral by Laplace's method.
    poisson, likelihood = (fit("poisson", "y ~ x + w", frame, reml=reml) for reml in (True, False))
    integral = 1.5 * math.log(2 * math.pi) + 0.5 * np.linalg.slogdet(likelihood.vcov())[1]
    assert poisson.loglik == pytest.approx(likelihood.loglik + integral, abs=SAME_LOGLIK)
    assert poisson.coef == pytest.approx(likelihood.coef, abs=1e-8)
    np.testing.assert_allclose(poisson.vcov(), likelihood.vcov(), rtol=1e-6)


def test_columns_that_add_nothing_are_left_out() -> None:
    frame = study("poisson", "intercepts")
    made = fit("poisson", "y ~ x + w + v + (1 | g)", frame.assign(v=2 * frame["x"]), reml=True)
    same = restricted("poisson", "intercepts")
    assert made.diagnostics.aliased == ("v",)
    assert made.loglik == pytest.approx(same.loglik, abs=SAME_LOGLIK)


@pytest.mark.parametrize(
    ("formula", "family"),
    [
        ("apart ~ x + (1 | g)", "binomial"),
        ("apart ~ x + w", "binomial"),
        ("seldom ~ x + part + (1 | g)", "binomial"),
        ("none ~ x + part + (1 | g)", "poisson"),
        ("none ~ part", "nbinom2"),
    ],
)
def test_separation_is_an_error(formula: str, family: str) -> None:
    frame = study("poisson", "intercepts")
    part, y = np.arange(len(frame)) % 3, frame["y"]
    frame = frame.assign(
        part=part.astype(str),
        apart=(frame["x"] > 0.1).astype(float),
        seldom=((y > 2) & (part > 0)).astype(float),
        none=np.where(part == 1, 0.0, y),
    )
    with pytest.raises(glimm.DataError, match="separation"):
        glimm.fit(formula, frame, family, reml=True)


def test_fits_compare_only_with_equal_fixed_effects_and_links() -> None:
    frame = study("poisson", "intercepts")
    full = restricted("poisson", "intercepts")
    small = fit("poisson", "y ~ x + (1 | g)", frame, reml=True)
    with pytest.raises(glimm.DataError, match="equal fixed effects"):
        glimm.compare(full, small)
    with pytest.raises(glimm.DataError, match="REML and the other by ML"):
        glimm.compare(full, fit("poisson", text("intercepts"), frame))
    other = glimm.fit(text("intercepts"), frame, "poisson", link="sqrt", reml=True)
    with pytest.raises(glimm.DataError, match="one link"):
        glimm.compare(full, other)
    negative = glimm.fit(text("intercepts"), frame, "nbinom2", reml=True)
    assert len(glimm.compare(full, negative).table.rows) == 2


def test_what_has_no_restricted_likelihood_is_refused() -> None:
    frame = study("poisson", "intercepts")
    with pytest.raises(glimm.FamilyError, match="flat prior"):
        fit("poisson", text("intercepts"), frame, reml=True, penalty=glimm.Penalty())
    with pytest.raises(glimm.DataError, match="the mean has none"):
        fit("poisson", "y ~ 0 + (1 | g)", frame, reml=True)
    with pytest.raises(glimm.DataError, match="only by Laplace"):
        fit("poisson", text("intercepts"), frame, reml=True, integration="exact")
    with pytest.raises(glimm.DataError, match="reml='yes'"):
        fit("poisson", text("intercepts"), frame, reml="yes")
