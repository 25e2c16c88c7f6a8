"""Two ways to say one model or one set of data give one fit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import gammaln
from studies import (
    FITTED,
    LAWS,
    SAME_ERROR,
    SAME_ESTIMATE,
    SAME_LOGLIK,
    STRUCTURES,
    fit,
    fitted,
    same_numbers,
    same_random_effects,
    study,
    text,
)

from glimm import _core
from glimm.problem import core_arrays, make_problem

BOTH = pytest.mark.parametrize(("law", "structure"), FITTED)
STRUCTURE = pytest.mark.parametrize("structure", STRUCTURES)
BINOMIAL = [law for law in LAWS if LAWS[law].counted]


@BOTH
def test_weight_two_is_the_row_twice(law: str, structure: str) -> None:
    frame = study(law, structure)
    times = np.arange(len(frame)) % 3 + 1
    repeated = frame.loc[frame.index.repeat(times)]
    assert len(repeated) == times.sum()
    a = fit(law, text(structure), frame, freq=times)
    b = fit(law, text(structure), repeated)
    same_numbers(a, b)
    same_random_effects(a, b)
    assert (a.nobs, a.df_resid) == (b.nobs, b.df_resid)
    assert a.bic == pytest.approx(b.bic, abs=1e-7)


@pytest.mark.parametrize("law", BINOMIAL)
@STRUCTURE
def test_counts_are_their_single_trials(law: str, structure: str) -> None:
    frame = study(law, structure)
    trials, successes = frame["trials"].astype(int), frame["y"].to_numpy()
    single = frame.loc[frame.index.repeat(trials)].drop(columns="trials")
    before = np.concatenate([np.arange(t) for t in trials])
    single["y"] = (before < np.repeat(successes, trials)).astype(float)
    a = fit(law, text(structure), single, trials=None)
    b = fitted(law, structure)
    ways = gammaln(trials + 1) - gammaln(successes + 1) - gammaln(trials - successes + 1)
    same_numbers(a, b, loglik=-float(ways.sum()))
    same_random_effects(a, b)


@pytest.mark.parametrize("law", ["logit", "probit", "cauchit"])
@STRUCTURE
def test_failures_for_successes_turn_all_signs(law: str, structure: str) -> None:
    frame = study(law, structure)
    a = fit(law, text(structure), frame.assign(y=frame["trials"] - frame["y"]))
    b = fitted(law, structure)
    same_numbers(a, b, map_x=-np.eye(3))
    for modes, others in zip(a.estimates.modes, b.estimates.modes, strict=True):
        np.testing.assert_allclose(modes, -others, atol=1e-4)
    np.testing.assert_allclose(a.fitted, 1 - b.fitted, atol=1e-5)


def test_a_cloglog_of_successes_is_not_one_of_failures() -> None:
    frame = study("cloglog", "intercepts")
    a = fit("cloglog", text("intercepts"), frame.assign(y=frame["trials"] - frame["y"]))
    assert abs(a.loglik - fitted("cloglog", "intercepts").loglik) > 0.1


@pytest.mark.parametrize("law", ["logit", "cauchit"])
@pytest.mark.parametrize("response", ["cbind(y, failures)", "y / trials"])
def test_all_responses_of_counts_are_one(law: str, response: str) -> None:
    frame = study(law, "slopes").assign(failures=lambda f: f["trials"] - f["y"])
    formula = text("slopes").replace("y ~", f"{response} ~")
    a = fit(law, formula, frame, trials=None)
    b = fitted(law, "slopes")
    assert a.loglik == b.loglik
    assert a.coef == b.coef


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("random", ["(1 | g)", "(1 + x | g)", "(x || g)", "(1 | g) + (1 | c)"])
def test_identical_groups_leave_the_model_without_groups(law: str, random: str) -> None:
    rows = study(law, "intercepts").iloc[:20]
    frame = pd.concat([rows.assign(g=f"g{k}", c=f"c{k % 5}") for k in range(10)])
    a, b = fit(law, f"y ~ x + w + {random}", frame), fit(law, "y ~ x + w", frame)
    assert all((block == 0).all() for block in a.covariances)
    assert all((modes == 0).all() for modes in a.estimates.modes)
    same_numbers(a, b)
    np.testing.assert_allclose(a.fitted, b.fitted, rtol=1e-4)
    assert a.diagnostics.singular


@BOTH
def test_an_offset_of_a_covariate_moves_its_effect(law: str, structure: str) -> None:
    frame = study(law, structure).assign(known=lambda f: 0.1 + 0.2 * f["w"])
    a, b = fit(law, text(structure), frame, offset="known"), fitted(law, structure)
    move = np.array([0.1, 0.0, 0.2])
    gap = np.array(list(a.coef.values())) + move - np.array(list(b.coef.values()))
    np.testing.assert_array_less(np.abs(gap) / np.array(list(b.se.values())), SAME_ESTIMATE)
    assert a.loglik == pytest.approx(b.loglik, abs=SAME_LOGLIK)
    errors = np.sqrt(np.diag(b.vcov("all")))
    gap = (a.vcov("all") - b.vcov("all")) / np.outer(errors, errors)
    np.testing.assert_allclose(gap, 0.0, atol=SAME_ERROR)
    same_random_effects(a, b)


@STRUCTURE
def test_a_gaussian_offset_is_taken_off_the_response(structure: str) -> None:
    frame = study("gaussian", structure)
    known = np.sin(np.arange(len(frame)))
    a = fit("gaussian", text(structure), frame, offset=known)
    b = fit("gaussian", text(structure), frame.assign(y=frame["y"] - known))
    same_numbers(a, b)
    same_random_effects(a, b)
    np.testing.assert_allclose(a.fitted, b.fitted + known, rtol=1e-5)


@STRUCTURE
def test_poisson_counts_over_parts_of_the_exposure_add_up(structure: str) -> None:
    """The counts of two parts given their sum are binomial, with the parts as chances."""
    rng = np.random.default_rng(8)
    frame = study("poisson", structure).assign(exposure=lambda f: 1 + f["w"] ** 2)
    share = rng.uniform(0.2, 0.8, len(frame))
    first = rng.binomial(frame["y"].astype(int), share)
    parts = pd.concat(
        [
            frame.assign(y=first, exposure=frame["exposure"] * share),
            frame.assign(y=frame["y"] - first, exposure=frame["exposure"] * (1 - share)),
        ]
    )
    formula = f"{text(structure)} + offset(log(exposure))"
    a, b = fit("poisson", formula, parts), fit("poisson", formula, frame)
    y, second = frame["y"], frame["y"] - first
    split = gammaln(y + 1) - gammaln(first + 1) - gammaln(second + 1)
    split += first * np.log(share) + second * np.log(1 - share)
    same_numbers(a, b, loglik=float(split.sum()))
    same_random_effects(a, b)


@STRUCTURE
def test_negative_binomial_of_huge_theta_is_poisson(structure: str) -> None:
    """They differ by terms of the order of squared counts over theta, here 1e-9."""
    poisson, model = fitted("poisson", structure), fitted("nbinom2", structure).model
    p = len(poisson.names)
    point = np.insert(poisson.estimates.parameters, p, np.log(1e13))
    found = make_problem(model, poisson.design).evaluate(point)
    assert found is not None
    assert found[0] == pytest.approx(poisson.loglik, abs=1e-8)
    errors = np.insert(np.sqrt(np.diag(poisson.vcov("all"))), p, 1.0)
    np.testing.assert_allclose(found[1] * errors, 0.0, atol=1e-4)


@pytest.mark.parametrize("law", LAWS)
def test_uncorrelated_is_a_correlation_of_zero(law: str) -> None:
    """Also in its derivatives, and also when the two effects are two terms of one group."""
    frame = study(law, "uncorrelated")
    made = fitted(law, "uncorrelated")
    p = made.estimates.thetas[0][0]
    slope, level = made.estimates.parameters[p:]
    names = made.parameter_names[p:]
    assert names == ("g: sd[x]", "g: sd[(Intercept)]")
    full = fit(law, "y ~ x + w + (1 + x | g)", frame)
    assert full.parameter_names[p + 1] == "g: chol[(Intercept), x]"
    point = np.array([*made.estimates.parameters[:p], slope, 0.0, level])
    value = make_problem(full.model, full.design).evaluate(point)
    assert value is not None
    assert value[0] == pytest.approx(made.loglik, rel=1e-12)
    shared = np.delete(value[1], p + 1) * np.sqrt(np.diag(made.vcov("all")))
    np.testing.assert_allclose(shared, 0.0, atol=1e-4)
    assert full.loglik > made.loglik


@pytest.mark.parametrize("law", LAWS)
def test_uncorrelated_effects_are_two_terms(law: str) -> None:
    made = fitted(law, "uncorrelated")
    apart = fit(law, "y ~ x + w + (1 | g) + (0 + x | g)", study(law, "uncorrelated"))
    assert apart.groups.keys() == {"g"}
    assert len(apart.design.terms) == 2
    same_numbers(apart, made)
    sds = [float(np.sqrt(block[0, 0])) for block in apart.covariances]
    np.testing.assert_allclose(sds, np.sqrt(np.diag(made.covariances[0])), rtol=1e-4)


@pytest.mark.parametrize("law", LAWS)
def test_block_and_sparse_paths_give_one_fit(law: str) -> None:
    made = fitted(law, "slopes")
    design, model = made.design, made.model
    arguments = core_arrays(model, design)
    block = _core.Problem(*arguments, laplace=True, integration="laplace")
    sparse = _core.Problem(*arguments, engine="sparse", integration="laplace")
    assert (block.path, sparse.path) == ("block", "sparse")
    point = made.estimates.parameters + 0.01
    values = [problem.evaluate(point) for problem in (block, sparse)]
    assert values[0] is not None
    assert values[1] is not None
    assert values[0][0] == pytest.approx(values[1][0], rel=1e-12)
    scale = np.abs(values[0][1]).max()
    np.testing.assert_allclose(values[0][1], values[1][1], atol=1e-10 * scale)
    one, other = block.fit(), sparse.fit()
    assert one["loglik"] == pytest.approx(other["loglik"], abs=SAME_LOGLIK)
    errors = np.sqrt(np.diag(made.vcov("all")))
    gap = (one["parameters"] - other["parameters"]) / errors
    np.testing.assert_allclose(gap, 0.0, atol=SAME_ESTIMATE)
    gap = (one["covariance"] - other["covariance"]).reshape(len(errors), -1)
    np.testing.assert_allclose(gap / np.outer(errors, errors), 0.0, atol=SAME_ERROR)
    for mode, twin in zip(one["modes"], other["modes"], strict=True):
        np.testing.assert_allclose(mode, twin, atol=1e-5)


@pytest.mark.parametrize("law", ["poisson", "gaussian"])
def test_nested_slopes_are_two_terms(law: str) -> None:
    frame = study(law, "nested")
    a = fit(law, "y ~ x + w + (x || a/b)", frame)
    b = fit(law, "y ~ x + w + (x || a) + (x || a:b)", frame)
    assert a.groups == b.groups
    assert a.loglik == b.loglik
    assert a.coef == b.coef


@pytest.mark.parametrize("law", LAWS)
def test_crossed_terms_in_another_order(law: str) -> None:
    a = fit(law, "y ~ x + w + (1 | c) + (1 | a)", study(law, "crossed"))
    b = fitted(law, "crossed")
    same_numbers(a, b)
    np.testing.assert_allclose(
        [float(block[0, 0]) for block in a.covariances],
        [float(block[0, 0]) for block in b.covariances[::-1]],
        rtol=1e-4,
    )


@pytest.mark.parametrize("law", LAWS)
def test_covariates_in_another_order_and_coding(law: str) -> None:
    """Levels of a factor against another reference: effects are differences of the same means."""
    frame = study(law, "intercepts").assign(f=lambda d: np.resize(["u", "v", "z"], len(d)))
    a = fit(law, "y ~ C(f, contr.treatment('z')) + x + (1 | g)", frame)
    b = fit(law, "y ~ x + f + (1 | g)", frame)
    t = np.array([[1, 0, 0, 1], [0, 0, 0, -1], [0, 0, 1, -1], [0, 1, 0, 0]])
    same_numbers(a, b, map_x=t)
    same_random_effects(a, b)
