"""The printed fit says everything it promises, in its order and in true words."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from glimm.certificate import Certificate
from glimm.design import Drop
from glimm.summary import record, summary


def _certificate(**changes: Any) -> Certificate:
    """A certificate of quadrature that is good enough for anything."""
    known: dict[str, Any] = {
        "method": "quadrature", "units": 59, "checked": 59, "nodes": (7, 9, 15),
        "loglik_error": 2e-9, "laplace_error": -0.31, "bias": np.array([1e-7, -2e-7]),
        "bias_se": np.zeros(2), "effective_size": None, "runaway": False,
    }  # fmt: skip
    return Certificate(**(known | changes))


def _fit(**changes: Any) -> Any:
    """A made-up fit with the attributes that the summary reads."""
    term = SimpleNamespace(label="patient", relation=None, residual=False)
    fit = SimpleNamespace(
        model=SimpleNamespace(
            formula=SimpleNamespace(text="y ~ x + (1 + x | patient)"),
            family=SimpleNamespace(
                name="nbinom2",
                trials=False,
                ordered=False,
                parameters=(SimpleNamespace(name="theta", meaning="size", dispersion=True),),
            ),
            link="log",
            reml=False,
            disp=None,
            zi=None,
            hold=(),
            random_hold=(),
            share=(),
            penalty=None,
        ),
        design=SimpleNamespace(
            terms=(term,),
            response_name="y",
            response_levels=None,
            dropped=(),
            n=1240,
            n_input=1240,
            freq=None,
        ),
        nobs=1240,
        groups={"patient": 59},
        loglik=-624.82114,
        aic=1263.6422,
        bic=1287.9,
        df_model=6,
        df_resid=1234,
        dispersion={"theta": 7.3721},
        shape={},
        coef={"(Intercept)": -1.21234, "x": 1.0231},
        se={"(Intercept)": 0.412, "x": 0.0912},
        varcorr=lambda: {
            "group": ["patient", "patient"],
            "name": ["(Intercept)", "x"],
            "sd": [0.5123, 0.0512],
            "corr": [math.nan, -0.31],
        },
        diagnostics=SimpleNamespace(
            converged=True,
            reason="",
            loglik_left=2.3e-13,
            se_moved=1.2e-6,
            findings=(),
            compression=None,
            path="block",
            draws_se=0.0,
            loglik_se=0.0,
        ),
        certificate=_certificate(),
    )
    vars(fit).update(changes)
    fit.parts = (
        SimpleNamespace(
            part="mean",
            names=tuple(fit.coef),
            estimates=np.array(list(fit.coef.values())),
            covariance=np.diag(np.square(list(fit.se.values()))),
        ),
    )
    return fit


def _line(text: str, label: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(label))


def test_order_is_that_of_a_careful_reader() -> None:
    finding = SimpleNamespace(code="singular", message="m.", remedy="r.")
    fit = _fit()
    fit.diagnostics.findings = (finding,)
    text = summary(fit).to_text()
    parts = ["Formula", "Family", "Estimator", "Rows", "Groups", "Converged", "Integral", "Fit",
             "Random effects", "Dispersion", "Fixed effects", "Findings", "Next"]  # fmt: skip
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_numbers_of_the_fixed_effects() -> None:
    table = summary(_fit()).tables[-1]
    name, estimate, se, lower, upper, z, p = table.rows[0]
    assert (name, estimate, se) == ("(Intercept)", -1.21234, 0.412)
    assert (lower, upper) == pytest.approx((-2.01985, -0.40483), abs=1e-5)
    assert z == pytest.approx(-1.21234 / 0.412)
    assert p == pytest.approx(0.0032550, abs=1e-7)


def test_far_tails_keep_their_p_value() -> None:
    fit = _fit(coef={"x": 9.0}, se={"x": 1.0})
    table = summary(fit).tables[-1]
    assert table.rows[0][-1] == pytest.approx(2.2571768e-19, rel=1e-7)
    assert "< 1e-16" in table.to_text()


def test_rows_of_one_size_share_decimals_and_others_do_not() -> None:
    alike = summary(_fit()).tables[-1]
    assert alike.decimals == (4, 4)
    apart = summary(_fit(coef={"a": 1e4, "b": 1e-4}, se={"a": 123.0, "b": 1.23e-5})).tables[-1]
    assert apart.decimals == (0, 7)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "quadrature, 7 to 15 nodes a unit; logLik within 1e-7, bias of estimates < 0.001 SE"),
        (
            {"method": "laplace", "nodes": (1, 1, 1), "loglik_error": 0.314, "checked": 20,
             "bias": np.array([0.2, -0.11]), "bias_se": np.array([0.01, 0.01])},
            "Laplace, checked on 20 of 59 units; logLik within 0.31, bias of estimates up to 0.22",
        ),
        (
            {"method": "importance", "nodes": (900, 900, 1000), "effective_size": 812.3},
            "importance sampling, 900 to 1,000 draws, effective size 812 or more; logLik within",
        ),
        ({"method": "laplace", "nodes": (1, 1, 1), "loglik_error": math.nan, "checked": 0},
         "Laplace; the error is not known"),
        ({"method": "closed form"}, "exact: random effects integrated in closed form"),
    ],
)  # fmt: skip
def test_integral_is_named_honestly(changes: dict[str, Any], words: str) -> None:
    text = summary(_fit(certificate=_certificate(**changes))).to_text()
    assert words in " ".join(text[text.index("Integral") :].split())


def test_without_random_effects_there_is_no_integral() -> None:
    fit = _fit(certificate=_certificate(method="none", bias=np.array([])))
    fit.design.terms = ()
    assert "Integral" not in summary(fit).to_text()
    assert fit.certificate.exact
    assert fit.certificate.worst == 0.0


def test_restricted_likelihood_is_labelled_as_such() -> None:
    fit = _fit()
    fit.model.family.name, fit.model.link, fit.model.reml = "gaussian", "identity", True
    fit.design.n = 30_000  # too many for degrees of freedom, which take a real fit
    text = summary(fit).to_text()
    assert "restricted maximum likelihood (REML)" in _line(text, "Estimator")
    assert "REML logLik -624.821" in _line(text, "Fit")


@pytest.mark.parametrize(
    ("link", "scale"),
    [("logit", "log odds"), ("log", "log of the expected y"), ("new", "new scale")],
)
def test_scale_is_said_in_words(link: str, scale: str) -> None:
    fit = _fit()
    fit.model.link = link
    text = summary(fit).to_text()
    assert f"Fixed effects ({scale})" in text
    assert f"Random effects ({scale})" in text
    assert "for a given patient" in text


def test_dropped_rows_are_counted_and_placed() -> None:
    fit = _fit()
    fit.design.n = 1236
    fit.design.dropped = (Drop("missing", 4, "age", (3, 7, 9, 12)),)
    text = summary(fit).to_text()
    assert _line(text, "Rows").endswith("1,236 of 1,240")
    assert "4 rows: missing in 'age'" in _line(text, "Dropped")
    assert "3, 7, 9, 12" in _line(text, "Dropped")
    assert _line(summary(_fit()).to_text(), "Rows").endswith("1,240 (none dropped)")


def test_effects_without_correlation_have_no_column_for_it() -> None:
    effects = {"group": ["g"], "name": ["a"], "sd": [1.0], "corr": [math.nan]}
    table = summary(_fit(varcorr=lambda: effects)).tables[0]
    assert [column.head for column in table.columns] == ["group", "name", "sd"]


def test_weighted_rows_count_as_observations() -> None:
    fit = _fit(nobs=2480)
    fit.design.freq = [2.0] * 1240
    assert "1,240 (none dropped); 2,480 observations" in _line(summary(fit).to_text(), "Rows")


def test_convergence_in_words() -> None:
    assert "yes; log-likelihood left < 1e-8 nats, < 0.0001 SE from" in summary(_fit()).to_text()
    fit = _fit()
    fit.diagnostics.converged = False
    fit.diagnostics.reason = "the step limit was reached"
    fit.diagnostics.loglik_left = 0.34
    line = _line(summary(fit).to_text(), "Converged")
    assert "NO: the step limit was reached; log-likelihood left 0.3 nats" in line


def test_findings_lead_to_their_section() -> None:
    fit = _fit()
    fit.diagnostics.findings = (
        SimpleNamespace(code="separation", message="x predicts y.", remedy="Look at x."),
    )
    text = summary(fit).to_text(100)
    assert "- x predicts y. Look at x." in text
    assert "docs/troubleshooting.md#separation" in text


def test_two_levels_say_which_is_the_success() -> None:
    fit = _fit()
    fit.design.response_levels = ("no", "yes")
    assert "y: 'yes' is success, 'no' failure" in summary(fit).to_text()


def test_three_effects_have_two_columns_of_correlations() -> None:
    effects = {
        "group": ["g"] * 3,
        "name": ["a", "b", "c"],
        "sd": [1.0, 2.0, 3.0],
        "corr": [math.nan, 0.5, 0.25],
        "corr_2": [math.nan, math.nan, -0.125],
    }
    table = summary(_fit(varcorr=lambda: effects)).tables[0]
    assert [column.head for column in table.columns[3:]] == ["corr 1", "corr 2"]
    assert table.rows[2][3:] == (0.25, -0.125)
    assert table.rows[1][3:] == (0.5, None)


@pytest.mark.parametrize("width", [80, 88, 100])
def test_text_keeps_to_its_width(width: int) -> None:
    text = summary(_fit()).to_text(width)
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text


def test_every_form_holds_every_block() -> None:
    page = summary(_fit())
    for form in (page.to_markdown(), page.to_html(), page.to_latex()):
        for words in ("Random effects", "Fixed effects", "Estimator", "-1.2123", "Next"):
            assert words in form
    assert page._repr_html_() == page.to_html()
    assert str(page) == page.to_text()


def test_record_is_json_even_without_finite_numbers() -> None:
    plain = record(_fit(bic=math.nan, coef={"x": math.inf}, se={"x": math.nan}))
    text = json.dumps(plain, allow_nan=False)
    assert json.loads(text)["fixed_effects"][0]["estimate"] is None
    assert plain["groups"] == {"patient": 59}
    assert plain["random_effects"][1] == {
        "group": "patient",
        "name": "x",
        "sd": 0.0512,
        "corr": -0.31,
    }
