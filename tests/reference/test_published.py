"""Published or independently computed values of Laplace fits, held to their printed digits."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import pytest
from reference_data import COARSE, data, fitted

import glimm

# The last printed digit may be rounded or truncated by whoever printed it.
PRINTED_UNITS = 1.01


@dataclass(frozen=True, slots=True)
class Published:
    """One published fit: the numbers as printed, so that their digits state the precision."""

    name: str
    case: str
    formula: str
    family: str
    link: str
    loglik: str | None
    coef: tuple[str, ...]
    sd: tuple[str, ...]
    se: tuple[str, ...] = ()
    source: str = ""


ROWS = [
    Published(
        name="toenail_time",
        case="toenail",
        formula="out01 ~ time * treatment + (1 | patientID)",
        family="binomial",
        link="logit",
        loglik="-627.808934",
        coef=("-2.523350", "-0.400092", "-0.307018", "-0.137260"),
        sd=("4.570915",),
        se=("0.78828",),
        source="independent NumPy program: damped Newton modes, BFGS with Newton polish",
    ),
    Published(
        name="toenail_visit",
        case="toenail",
        formula="out01 ~ treatment + visit + (1 | patientID)",
        family="binomial",
        link="logit",
        loglik="-626.1627",
        coef=("-1.0702", "-0.7006", "-0.9126"),
        sd=("4.7084",),
        source="SAS and glmmML, as printed by an lme4 user",
    ),
    Published(
        name="cbpp",
        case="cbpp",
        formula="cbind(incidence, size - incidence) ~ period + (1 | herd)",
        family="binomial",
        link="logit",
        loglik="-92.026282",
        coef=("-1.398532", "-0.992333", "-1.128672", "-1.580314"),
        sd=("0.642261",),
        se=("0.23247", "0.30664", "0.32664", "0.42744"),
        source="independent NumPy program; MixedModels.jl tests print -92.02628187",
    ),
    Published(
        name="contraception",
        case="contraception",
        formula="use01 ~ 1 + age + age2 + urban + livch + (1 | urban:district)",
        family="binomial",
        link="logit",
        loglik="-1180.7729",
        coef=(),
        sd=("0.5730",),
        source="MixedModels.jl tests, deviance 2361.545769",
    ),
    Published(
        name="culcita",
        case="culcita",
        formula="predation ~ ttt + (1 | block)",
        family="binomial",
        link="logit",
        loglik="-30.352921",
        coef=("5.096143", "-3.842404", "-4.431210", "-5.599290"),
        sd=("3.436839",),
        source="independent NumPy program",
    ),
    Published(
        name="gopher",
        case="gopher",
        formula="shells ~ year + prev + offset(log(Area)) + (1 | Site)",
        family="poisson",
        link="log",
        loglik="-38.168651",
        coef=("-3.197317", "-0.644858", "-0.428759", "0.021134"),
        sd=("0",),
        source="independent NumPy program; the variance is exactly zero",
    ),
    Published(
        name="verbagg",
        case="verbagg",
        formula="r2 ~ 1 + Anger + Gender + btype + situ + (1 | id) + (1 | item)",
        family="binomial",
        link="logit",
        loglik="-4075.700",
        coef=(),
        sd=(),
        source="MixedModels.jl tests, deviance 8151.40",
    ),
    Published(
        name="radinger",
        case="radinger",
        formula="presabs ~ predictor + (1 | species)",
        family="binomial",
        link="logit",
        loglik=None,
        coef=("0.54", "6.43"),
        sd=(),
        source="lme4 tests, 0.5425528 and 6.4289962, fitted there with a loose tolerance",
    ),
    Published(
        name="dyestuff",
        case="dyestuff",
        formula="Yield ~ 1 + (1 | Batch)",
        family="gaussian",
        link="identity",
        loglik="-163.663530",
        coef=("1527.5",),
        sd=(),
        source="MixedModels.jl tests, objective 327.327060",
    ),
    Published(
        name="dyestuff2",
        case="dyestuff2",
        formula="Yield ~ 1 + (1 | Batch)",
        family="gaussian",
        link="identity",
        loglik="-81.436518",
        coef=("5.6656",),
        sd=("0",),
        source="MixedModels.jl tests, objective 162.873037; Box and Tiao 1973",
    ),
    Published(
        name="penicillin",
        case="penicillin",
        formula="diameter ~ 1 + (1 | plate) + (1 | sample)",
        family="gaussian",
        link="identity",
        loglik="-166.094174",
        coef=(),
        sd=(),
        source="MixedModels.jl tests, objective 332.188349",
    ),
    Published(
        name="pastes",
        case="pastes",
        formula="strength ~ 1 + (1 | batch/cask)",
        family="gaussian",
        link="identity",
        loglik="-123.997233",
        coef=(),
        sd=(),
        source="MixedModels.jl tests, objective 247.994466",
    ),
    Published(
        name="sleepstudy",
        case="sleepstudy",
        formula="Reaction ~ 1 + Days + (1 + Days | Subject)",
        family="gaussian",
        link="identity",
        loglik="-875.969672",
        coef=("251.405105", "10.467286"),
        sd=(),
        source="MixedModels.jl tests, objective 1751.939344",
    ),
    Published(
        name="sleepstudy_uncorrelated",
        case="sleepstudy",
        formula="Reaction ~ 1 + Days + (1 + Days || Subject)",
        family="gaussian",
        link="identity",
        loglik="-876.001628",
        coef=("251.405105", "10.467286"),
        sd=(),
        source="MixedModels.jl tests, objective 1752.003255",
    ),
]


def digits(printed: str) -> float:
    """Return one unit of the last printed digit."""
    return 10.0 ** -len(printed.partition(".")[2])


def check(found: float, printed: str) -> None:
    assert found == pytest.approx(float(printed), abs=PRINTED_UNITS * digits(printed))


@pytest.fixture(scope="module", params=ROWS, ids=lambda row: row.name)
def published(request: pytest.FixtureRequest) -> tuple[Published, glimm.Fit]:
    row: Published = request.param
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", COARSE)
        return row, glimm.fit(
            row.formula,
            data(row.case),
            family=row.family,
            link=row.link,
            reml=False,
            integration="laplace",
        )


def test_loglik(published: tuple[Published, glimm.Fit]) -> None:
    row, fit = published
    if row.loglik is not None:
        check(fit.loglik, row.loglik)


def test_coefficients_and_their_errors(published: tuple[Published, glimm.Fit]) -> None:
    row, fit = published
    for found, printed in zip(fit.coef.values(), row.coef, strict=False):
        check(found, printed)
    for found, printed in zip(fit.se.values(), row.se, strict=False):
        check(found, printed)


def test_standard_deviations(published: tuple[Published, glimm.Fit]) -> None:
    row, fit = published
    for found, printed in zip(fit.varcorr()["sd"], row.sd, strict=False):
        if printed == "0":
            assert found == 0.0
        else:
            check(found, printed)


def test_a_zero_variance_is_said_to_be_singular() -> None:
    assert fitted("gopher", "poisson").diagnostics.singular
    assert fitted("dyestuff2", "ml").diagnostics.singular
    assert not fitted("dyestuff", "ml").diagnostics.singular


def test_criteria_after_reml_are_those_of_lme4() -> None:
    fit = fitted("sleepstudy", "us_reml")
    # lme4 1.1.31: AIC and BIC of lmer(Reaction ~ Days + (Days | Subject), REML = TRUE).
    assert fit.aic == pytest.approx(1755.6282719584906, abs=1e-6)
    assert fit.bic == pytest.approx(1774.786013063832, abs=1e-6)
    assert -2 * fit.loglik == pytest.approx(1743.6282719584906, abs=1e-6)
