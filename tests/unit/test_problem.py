"""The seam to the core: orders of columns, units of parameters, errors in the user's words."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fits import MODELS, fit, frame

import glimm
from glimm import _core
from glimm.errors import DataError, FamilyError, FitError
from glimm.problem import explain, factor_of, make_problem, order, solve

EVERY = pytest.mark.parametrize("name", MODELS)


def _term(structure: str, *columns: str) -> Any:
    return SimpleNamespace(structure=structure, columns=columns, predictors=(0,) * len(columns))


@pytest.mark.parametrize(
    ("columns", "places"),
    [
        (("(Intercept)",), [0]),
        (("(Intercept)", "x"), [1, 0]),
        (("x", "(Intercept)", "w"), [0, 2, 1]),
        (("f[u]", "f[v]"), [0, 1]),
    ],
)
def test_an_intercept_comes_last_in_the_core(columns: tuple[str, ...], places: list[int]) -> None:
    assert order(_term("us", *columns)) == places


def test_factors_have_rows_in_the_users_order() -> None:
    lower = np.array([[2.0, 0, 0], [3.0, 5.0, 0], [7.0, 11.0, 13.0]])
    theta = lower[np.tril_indices(3)]
    found = factor_of(_term("us", "(Intercept)", "x", "w"), theta)
    np.testing.assert_array_equal(found, lower[[2, 0, 1]])
    found = factor_of(_term("us", "x", "w", "v"), theta)
    np.testing.assert_array_equal(found, lower)
    found = factor_of(_term("diag", "(Intercept)", "x"), np.array([2.0, 3.0]))
    np.testing.assert_array_equal(found @ found.T, np.diag([9.0, 4.0]))


@EVERY
def test_the_estimates_are_where_the_value_is_highest(name: str) -> None:
    made = fit(name)
    if made.certificate.method == "importance":
        # A problem of crossed factors has the value of the Laplace approximation.
        formula, family, options = MODELS[name]
        made = glimm.fit(formula, frame(), family, integration="laplace", **options)
    problem = make_problem(made.model, made.design)
    found = problem.evaluate(made.estimates.parameters)
    assert found is not None
    assert found[0] == pytest.approx(made.loglik, rel=1e-13)
    errors = np.sqrt(np.diag(made.vcov("all")))
    np.testing.assert_allclose(found[1] * errors, 0, atol=1e-4)
    # After REML the fixed effects are no parameters of the likelihood.
    first = len(made.names) if made.model.reml else 0
    for j, error in enumerate(errors[first:], first):
        for sign in (1, -1):
            moved = made.estimates.parameters.copy()
            moved[j] += sign * 0.05 * error
            there = problem.evaluate(moved)
            assert there is not None
            assert there[0] < found[0]


@EVERY
def test_arrays_of_any_layout_are_read_alike(name: str) -> None:
    made = fit(name)
    spread = np.repeat(made.design.x, 2, axis=0)[::2]
    strange = replace(
        made.design, x=np.ascontiguousarray(spread)[:, :], y=made.design.y[::-1][::-1]
    )
    point = made.estimates.parameters
    a = make_problem(made.model, strange).evaluate(np.repeat(point, 3)[::3])
    b = make_problem(made.model, made.design).evaluate(point)
    assert a is not None
    assert b is not None
    assert a[0] == b[0]
    np.testing.assert_array_equal(a[1], b[1])


def test_a_start_elsewhere_leads_to_the_same_maximum() -> None:
    made = fit("gaussian")
    problem = make_problem(made.model, made.design)
    start = made.estimates.parameters + 0.3
    found = solve(problem, made.model, made.design, start=start)
    assert found.loglik == pytest.approx(made.loglik, abs=1e-8)
    assert found.converged


def test_nowhere_is_no_value() -> None:
    made = fit("poisson")
    problem = make_problem(made.model, made.design)
    for point in (np.nan, np.inf, 1e5):
        assert problem.evaluate(made.estimates.parameters + point) is None


@pytest.mark.parametrize("call", ["evaluate", "fit"])
def test_a_wrong_number_of_parameters_is_said(call: str) -> None:
    made = fit("poisson")
    problem = make_problem(made.model, made.design)
    with pytest.raises(ValueError, match=r"\b2\b.*\b5\b|\b5\b.*\b2\b"):
        getattr(problem, call)(np.zeros(2))


@pytest.mark.parametrize("threads", [0, -1])
def test_numbers_of_threads_are_checked(threads: int) -> None:
    with pytest.raises(DataError, match=f"threads={threads}; at least 1, or None") as caught:
        glimm.fit("length ~ x + (1 | g)", frame(), threads=threads)
    assert caught.value.code == "unknown_option"


def test_small_problems_use_one_thread() -> None:
    made = glimm.fit("length ~ x + (1 | g)", frame(), threads=2)
    assert made.diagnostics.threads == 1


def test_rows_are_named_as_in_the_users_frame() -> None:
    """Row 1 of the design is row 2 of the frame when row 0 was dropped."""
    data = frame().astype({"x": float, "count": float})
    data.loc[0, "x"] = np.nan
    data.loc[2, "count"] = -3.0
    with pytest.raises(DataError, match=r"response 'count': -3 in row 2 \(counted from 0\)"):
        glimm.fit("count ~ x + (1 | g)", data, "poisson")


@pytest.mark.parametrize(
    ("code", "message", "cls", "found"),
    [
        ("response_domain", "response -1 in row 3: no", DataError, "outside_domain"),
        ("not_finite", "x is inf", DataError, "infinite_values"),
        ("degenerate", "the response is 0", DataError, "degenerate"),
        ("unknown_name", "family 'z'", FamilyError, "unknown_family"),
        ("internal", "overflow", FitError, "fit_failed"),
    ],
)
def test_errors_of_the_core_in_the_users_words(
    code: str, message: str, cls: type[glimm.GlimmError], found: str
) -> None:
    error = explain(_core.CoreError(code, message, 3), fit("poisson").model, fit("poisson").design)
    assert type(error) is cls
    assert error.code == found
    if code in ("response_domain", "degenerate"):
        assert "response 'count'" in str(error)


def test_every_code_of_the_core_is_known() -> None:
    """None of them may pass for a failed fit unless it is one."""
    as_failures = {
        code
        for code in _core.error_codes()
        if type(
            explain(_core.CoreError(code, "text", 0), fit("poisson").model, fit("poisson").design)
        )
        is FitError
    }
    assert as_failures.isdisjoint({"response_domain", "not_finite", "degenerate", "unknown_name"})
    assert {"response_domain", "not_finite", "degenerate"} <= set(_core.error_codes())
