"""Models that are hard for their numbers or their shape, each with an answer known another way.

Either an exact relation to an easier model (another scale, another coding, fewer rows), or a plain
Laplace approximation, or an integral by the trapezoid rule, evaluated at the fitted parameters.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hard_frames import SAME_LOGLIK, coins, counts, grouped, lengths, same_estimate, sds
from laplace_oracle import BOTH, assert_at_the_optimum, intercept_rows, laplace

import glimm

# scale of covariates


@pytest.mark.parametrize("factor", [1e6, 1e-6])
@pytest.mark.parametrize(("family", "make"), [("poisson", counts), ("binomial", coins)])
def test_covariate_of_extreme_scale(family: str, make: object, factor: float) -> None:
    frame = make()  # type: ignore[operator]
    plain = glimm.fit("y ~ x + (1 + x | g)", frame, family=family)
    fit = glimm.fit("y ~ x + (1 + x | g)", frame.assign(x=factor * frame["x"]), family=family)
    assert fit.diagnostics.converged
    assert fit.loglik == pytest.approx(plain.loglik, abs=SAME_LOGLIK)
    same_estimate(fit, plain, "x", 1 / factor)
    assert sds(fit)[0] == pytest.approx(sds(plain)[0], rel=1e-4)
    assert factor * sds(fit)[1] == pytest.approx(sds(plain)[1], rel=1e-4)


@pytest.mark.parametrize("terms", ["(1 | g)", "(1 + x | g)"])
@pytest.mark.parametrize("family", ["gaussian", "poisson"])
def test_uncentred_years(family: str, terms: str) -> None:
    frame = lengths() if family == "gaussian" else counts()
    years = frame.assign(x=2005.0 + np.tile(np.arange(8.0), 25))
    centred = years.assign(x=years["x"] - 2008.5)
    plain = glimm.fit(f"y ~ x + {terms}", centred, family=family)
    fit = glimm.fit(f"y ~ x + {terms}", years, family=family)
    assert fit.diagnostics.converged
    assert fit.loglik == pytest.approx(plain.loglik, abs=1e-6)
    same_estimate(fit, plain, "x")


@pytest.mark.parametrize("factor", [1e-8, 1e8])
def test_response_of_extreme_scale(factor: float) -> None:
    frame = lengths()
    plain = glimm.fit("y ~ x + (1 + x | g)", frame)
    fit = glimm.fit("y ~ x + (1 + x | g)", frame.assign(y=factor * frame["y"]))
    assert fit.diagnostics.converged
    # Two coefficients are integrated out of the restricted likelihood.
    shift = -(len(frame) - 2) * np.log(factor)
    assert fit.loglik == pytest.approx(plain.loglik + shift, abs=1e-6)
    same_estimate(fit, plain, "x", factor)
    assert fit.dispersion["sigma"] == pytest.approx(factor * plain.dispersion["sigma"], rel=1e-5)


def test_gaussian_response_far_from_zero() -> None:
    frame = lengths()
    plain = glimm.fit("y ~ x + (1 | g)", frame)
    fit = glimm.fit("y ~ x + (1 | g)", frame.assign(y=frame["y"] + 1e6))
    assert fit.loglik == pytest.approx(plain.loglik, abs=1e-6)
    same_estimate(fit, plain, "x")


# offsets


@pytest.mark.parametrize("shift", [30.0, -30.0])
@pytest.mark.parametrize(("family", "make"), [("poisson", counts), ("binomial", coins)])
def test_constant_offset_moves_the_intercept(family: str, make: object, shift: float) -> None:
    frame = make().assign(o=shift)  # type: ignore[operator]
    plain = glimm.fit("y ~ x + (1 | g)", frame, family=family)
    fit = glimm.fit("y ~ x + (1 | g)", frame, family=family, offset="o")
    assert fit.diagnostics.converged
    assert fit.loglik == pytest.approx(plain.loglik, abs=SAME_LOGLIK)
    assert fit.coef["(Intercept)"] == pytest.approx(plain.coef["(Intercept)"] - shift, abs=1e-5)
    same_estimate(fit, plain, "x")


@BOTH
@pytest.mark.parametrize("family", ["poisson", "binomial"])
def test_offsets_that_differ_by_sixty(family: str, integration: str) -> None:
    frame = counts() if family == "poisson" else coins()
    far = frame.index % 10 == 0
    frame = frame.assign(offset=np.where(far, -30.0, 0.0), y=np.where(far, 0.0, frame["y"]))
    if family == "binomial":
        further = frame.index % 10 == 5
        frame = frame.assign(offset=np.where(further, 30.0, frame["offset"]))
        frame = frame.assign(y=np.where(further, 1.0, frame["y"]))
    fit = glimm.fit(
        "y ~ x + (1 | g)", frame, family=family, offset="offset", integration=integration
    )
    assert_at_the_optimum(fit, family, intercept_rows(frame, "g", ("x",)))
    kept = frame[frame["offset"] == 0.0]
    plain = glimm.fit("y ~ x + (1 | g)", kept, family=family, integration=integration)
    assert fit.loglik == pytest.approx(plain.loglik, abs=1e-6)


# size of counts


@BOTH
def test_counts_of_a_million(integration: str) -> None:
    frame = counts(level=14.0)
    fit = glimm.fit("y ~ x + (1 | g)", frame, family="poisson", integration=integration)
    assert_at_the_optimum(fit, "poisson", intercept_rows(frame, "g", ("x",)))
    assert fit.coef["x"] == pytest.approx(0.5, abs=1e-3)


@BOTH
def test_ten_million_trials(integration: str) -> None:
    rng, frame = grouped(5, [8] * 25, 0.6)
    chance = 1 / (1 + np.exp(1.0 - frame["eta"]))
    frame = frame.assign(trials=1e7, y=rng.binomial(10_000_000, chance).astype(float))
    fit = glimm.fit(
        "y ~ x + (1 | g)", frame, family="binomial", trials="trials", integration=integration
    )
    assert_at_the_optimum(fit, "binomial", intercept_rows(frame, "g", ("x",)))


@BOTH
def test_huge_trials_beside_single_ones(integration: str) -> None:
    rng, frame = grouped(6, [6] * 20, 0.6)
    trials = np.tile([1, 2, 1, 3, 1, 100_000], 20)
    chance = 1 / (1 + np.exp(-frame["eta"]))
    frame = frame.assign(trials=trials, y=rng.binomial(trials, chance).astype(float))
    fit = glimm.fit(
        "y ~ x + (1 | g)", frame, family="binomial", trials="trials", integration=integration
    )
    assert_at_the_optimum(fit, "binomial", intercept_rows(frame, "g", ("x",)))


@BOTH
def test_hardly_any_event(integration: str) -> None:
    _, frame = grouped(7, [20] * 20, 0.0)
    y = np.zeros(len(frame))
    y[[3, 4, 5, 210]] = 1.0
    fit = glimm.fit("y ~ x + (1 | g)", frame.assign(y=y), family="poisson", integration=integration)
    assert_at_the_optimum(fit, "poisson", intercept_rows(frame.assign(y=y), "g", ("x",)))


# dispersion


@BOTH
@pytest.mark.parametrize("shape", [0.01, 1.0, 1e6])
def test_gamma_of_extreme_shape(shape: float, integration: str) -> None:
    rng, frame = grouped(8, [12] * 25, 0.6)
    mean = np.exp(frame["eta"])
    # Values that underflow to zero are not gamma data.
    y = np.maximum(rng.gamma(shape, mean / shape), 1e-290)
    frame = frame.assign(y=y)
    fit = glimm.fit("y ~ x + (1 | g)", frame, family="gamma", integration=integration)
    assert_at_the_optimum(fit, "gamma", intercept_rows(frame, "g", ("x",)))


@BOTH
@pytest.mark.parametrize("theta", [0.02, 1.0, 50.0])
def test_negative_binomial_of_extreme_dispersion(theta: float, integration: str) -> None:
    rng, frame = grouped(9, [15] * 30, 0.6)
    mean = np.exp(2.0 + frame["eta"])
    frame = frame.assign(y=rng.poisson(rng.gamma(theta, mean / theta)).astype(float))
    fit = glimm.fit("y ~ x + (1 | g)", frame, family="nbinom2", integration=integration)
    assert_at_the_optimum(fit, "nbinom2", intercept_rows(frame, "g", ("x",)))


def test_negative_binomial_without_overdispersion_is_poisson() -> None:
    rng, frame = grouped(10, [8] * 25, 0.6)
    # Binomial counts vary less than Poisson counts of the same mean.
    chance = np.exp(frame["eta"]) / (3.0 + np.exp(frame["eta"]))
    frame = frame.assign(y=rng.binomial(12, chance).astype(float))
    plain = glimm.fit("y ~ x + (1 | g)", frame, family="poisson")
    fit = glimm.fit("y ~ x + (1 | g)", frame, family="nbinom2")
    assert fit.diagnostics.converged
    assert fit.loglik == pytest.approx(plain.loglik, abs=1e-3)
    assert fit.coef["x"] == pytest.approx(plain.coef["x"], abs=0.01 * plain.se["x"])
    assert fit.se["x"] == pytest.approx(plain.se["x"], rel=1e-3)
    assert "boundary_dispersion" in {f.code for f in fit.diagnostics.findings}


# weights


@pytest.mark.parametrize(("family", "make"), [("poisson", counts), ("gaussian", lengths)])
def test_weight_zero_is_the_row_left_out(family: str, make: object) -> None:
    frame = make()  # type: ignore[operator]
    out = frame.index % 7 == 3
    weighted = frame.assign(w=np.where(out, 0.0, 1.0))
    plain = glimm.fit("y ~ x + (1 | g)", frame[~out], family=family)
    fit = glimm.fit("y ~ x + (1 | g)", weighted, family=family, freq="w")
    assert fit.loglik == pytest.approx(plain.loglik, abs=SAME_LOGLIK)
    same_estimate(fit, plain, "x")


@BOTH
def test_weights_of_very_different_size(integration: str) -> None:
    frame = counts()
    weights = np.where(frame.index % 5 == 0, 1e-12, 1.0)
    weights[::40] = 1e4
    frame = frame.assign(freq=weights)
    fit = glimm.fit(
        "y ~ x + (1 | g)", frame, family="poisson", freq="freq", integration=integration
    )
    assert_at_the_optimum(fit, "poisson", intercept_rows(frame, "g", ("x",)), rtol=1e-8)


# boundary


@BOTH
@pytest.mark.parametrize("family", ["poisson", "binomial", "gaussian", "nbinom2", "gamma"])
def test_variance_exactly_zero_is_the_model_without_groups(family: str, integration: str) -> None:
    rng = np.random.default_rng(11)
    # The same responses in every group: nothing varies between groups.
    within = {
        "poisson": [0, 1, 2, 3, 4, 6],
        "nbinom2": [0, 9, 0, 3, 14, 0],
        "binomial": [0, 1, 0, 1, 1, 0],
        "gaussian": rng.normal(size=6),
        "gamma": rng.gamma(2.0, size=6),
    }[family]
    y = np.tile(np.asarray(within, dtype=float), 12)
    frame = pd.DataFrame({"y": y, "g": np.repeat([f"g{i}" for i in range(12)], 6)})
    frame["x"] = np.tile(np.linspace(-1.0, 1.0, 6), 12)
    fit = glimm.fit("y ~ x + (1 | g)", frame, family=family, reml=False, integration=integration)
    assert fit.diagnostics.converged
    assert sds(fit)[0] == 0.0
    assert any("g" in name for name in fit.diagnostics.singular)
    rows = intercept_rows(frame, "g", ("x",))
    assert_at_the_optimum(fit, family, rows)
    extra = next(iter(fit.dispersion.values())) if fit.dispersion else 1.0
    beta = np.array(list(fit.coef.values()))
    without = laplace(family, rows, beta, np.zeros((12, 12)), extra)
    assert fit.loglik == pytest.approx(without, abs=1e-8)
    assert np.all(np.asarray(fit.ranef()["mode"]) == 0.0)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("family", ["gaussian", "poisson"])
def test_correlation_of_one(family: str, sign: float) -> None:
    rng, frame = grouped(12, [10] * 15, 0.0)
    effect = np.repeat(rng.normal(scale=0.6, size=15), 10)
    eta = 1.0 + 0.5 * frame["x"] + effect * (1.0 + 0.5 * sign * frame["x"])
    noisy = eta + rng.normal(scale=0.4, size=len(frame))
    y = noisy if family == "gaussian" else rng.poisson(np.exp(eta)).astype(float)
    fit = glimm.fit("y ~ x + (1 + x | g)", frame.assign(y=y), family=family)
    simple = glimm.fit("y ~ x + (1 | g)", frame.assign(y=y), family=family)
    assert fit.diagnostics.converged
    assert fit.loglik >= simple.loglik - SAME_LOGLIK
    corr = pd.to_numeric(fit.varcorr()["corr"], errors="coerce").dropna().to_numpy(float)
    assert sign * corr[0] > 0.7
    if sign * corr[0] > 1 - 1e-6:
        assert fit.diagnostics.singular


@BOTH
@pytest.mark.parametrize("groups", [2, 3])
def test_few_levels_are_said(groups: int, integration: str) -> None:
    frame = counts()
    frame = frame[frame["g"].isin(sorted(set(frame["g"]))[:groups])]
    fit = glimm.fit("y ~ x + (1 | g)", frame, family="poisson", integration=integration)
    assert_at_the_optimum(fit, "poisson", intercept_rows(frame, "g", ("x",)))
    assert "few_levels" in {f.code for f in fit.diagnostics.findings}
