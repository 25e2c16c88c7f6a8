"""Every kind of model through every question after a fit: an answer, or a refusal with a reason.

Answers are finite, and means are held against responses simulated from the fitted model: new random
effects and new responses, whose averages differ by Monte Carlo error alone.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.special import gammaln

import glimm
from glimm import GlimmError

Array = NDArray[np.float64]
DRAWS = 1000
# Monte Carlo standard errors; a hundred rows of twenty models are looked at.
FAR = 5.5


@functools.cache
def frame() -> pd.DataFrame:
    """Twelve schools of four classes of five, two raters crossed with them."""
    rng = np.random.default_rng(5)
    n = 240
    school, room = np.arange(n) // 20, np.arange(n) // 5
    rater = rng.integers(0, 8, n)
    x = rng.normal(size=n)
    b = 0.5 * rng.normal(size=12)[school] + 0.4 * rng.normal(size=48)[room]
    b = b + 0.3 * rng.normal(size=8)[rater]
    eta = 0.4 + 0.3 * x + b
    rate = np.exp(eta)
    zero = rng.random(n) < 0.25
    trials = rng.integers(2, 9, n)
    p = 1 / (1 + np.exp(-eta))
    count = rng.negative_binomial(3, 3 / (3 + rate))
    return pd.DataFrame(
        {
            "school": school, "room": room, "rater": rater, "x": x, "n": trials,
            "arm": np.where(rng.random(n) < 0.5, "a", "b"),
            "y": eta + rng.normal(size=n) * np.exp(0.2 * x), "count": count,
            "plus": count + 1, "zeros": np.where(zero, 0, count),
            "some": np.where(zero, 0, count + 1), "amount": rng.gamma(3.0, rate / 3),
            "speed": rng.gamma(4.0, 1 / (3 + 0.3 * x + 0.2 * b) / 4),
            "yes": rng.binomial(1, p), "s": rng.binomial(trials, rng.beta(4 * p, 4 * (1 - p))),
            "share": rng.beta(5 * p, 5 * (1 - p)), "rank": np.digitize(eta, [-0.2, 0.6, 1.2]) + 1,
        }
    )  # fmt: skip


def poisson(y: Any, eta: Any) -> Any:
    """A family of the user's own."""
    return y * eta - np.exp(eta) - gammaln(y + 1)


OWN = glimm.CustomFamily(
    "own_poisson",
    poisson,
    link="log",
    variance=lambda eta: np.exp(eta),
    draw=lambda rng, eta: rng.poisson(np.exp(eta)).astype(float),
    support="count",
)

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "gaussian nested": ("y ~ x + arm + (1 | school / room)", {}),
    "gaussian disp": ("y ~ x + arm + (1 | school)", {"disp": "~ x"}),
    "gaussian slopes": ("y ~ x + (1 + x | room)", {"reml": False}),
    "student_t": ("y ~ x + (1 | school)", {"family": "student_t", "hold": {"df": 5}}),
    "binary crossed": ("yes ~ x + (1 | school) + (1 | rater)", {"family": "binomial"}),
    "binomial probit": ("s ~ x + arm + (1 | school)", {"family": "binomial", "trials": "n",
                                                         "link": "probit"}),
    "betabinomial": ("s ~ x + (1 | school)", {"family": "betabinomial", "trials": "n"}),
    "beta": ("share ~ x + (1 | room)", {"family": "beta"}),
    "poisson nested": ("count ~ x + arm + (1 | school / room)", {"family": "poisson"}),
    "poisson reml": ("count ~ x + (1 | school)", {"family": "poisson", "reml": True}),
    "poisson ar1": ("count ~ x + ar1(0 + slot | school)", {"family": "poisson"}),
    "nbinom2 disp": ("count ~ x + (1 | school)", {"family": "nbinom2", "disp": "~ x"}),
    "truncated": ("plus ~ x + (1 | school)", {"family": "truncated_poisson"}),
    "zeros": ("zeros ~ x + (1 | school)", {"family": "nbinom1", "zi": "~ 1"}),
    "hurdle": ("some ~ x + (1 | school)", {"family": "truncated_poisson", "zi": "~ x"}),
    "gamma log": ("amount ~ x + arm + (1 | room)", {"family": "gamma", "link": "log"}),
    "gamma inverse": ("speed ~ x + (1 | school)", {"family": "gamma", "link": "inverse"}),
    "lognormal": ("amount ~ x + (1 | room)", {"family": "lognormal"}),
    "ordinal": ("rank ~ x + (1 | school)", {"family": "ordinal"}),
    "custom": ("count ~ x + (1 | school)", {"family": OWN}),
    "no groups": ("count ~ x + arm", {"family": "poisson"}),
}  # fmt: skip


@functools.cache
def fitted(name: str) -> glimm.Fit:
    formula, given = MODELS[name]
    data = frame()
    if "slot" in formula:
        data = data.assign(slot=np.arange(len(data)) % 20 // 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return glimm.fit(formula, data, integration="laplace", **given)


def numbers(found: Any) -> Array:
    """All numbers of an answer."""
    if isinstance(found, pd.DataFrame):
        found = found.select_dtypes("number").to_numpy()
    return np.asarray(found, dtype=np.float64)


def confint(part: str) -> Callable[[glimm.Fit], Any]:
    return lambda fit: fit.confint(part=part)


def predicted(**given: Any) -> Callable[[glimm.Fit], Any]:
    return lambda fit: fit.predict(frame().assign(slot=1)[:12], **given)


QUESTIONS: dict[str, Callable[[glimm.Fit], Any]] = {
    "subject": predicted(),
    "subject link": predicted(scale="link", interval="confidence"),
    "subject interval": predicted(interval="confidence"),
    "subject new": predicted(interval="prediction"),
    "population": predicted(kind="population"),
    "population interval": predicted(kind="population", interval="confidence"),
    "population new": predicted(kind="population", interval="prediction"),
    "means": lambda fit: glimm.means(fit, "x").to_frame(),
    "means of the population": lambda fit: glimm.means(fit, effect="population").to_frame(),
    "comparisons": lambda fit: glimm.comparisons(fit, "x").to_frame(),
    "slopes": lambda fit: glimm.slopes(fit, "x", effect="population").to_frame(),
    "wald": confint("mean"),
    "averaged": lambda fit: fit.population_averaged().to_frame(),
    "shares": lambda fit: fit.variance_shares().to_frame(),
    "simulate": lambda fit: fit.simulate(2),
}


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("name", MODELS)
def test_an_answer_or_a_reason(name: str, question: str) -> None:
    fit = fitted(name)
    if (name, question) in REFUSED:
        with pytest.raises(GlimmError, match=".{40,}"):
            QUESTIONS[question](fit)
        return
    found = numbers(QUESTIONS[question](fit))
    assert found.size
    loose = {"shares", "means", "comparisons", "slopes", "means of the population", "averaged"}
    if question not in loose:
        assert np.isfinite(found).all()
    else:
        assert np.isfinite(found[:, 0]).all() or question == "shares"


# Classes have no mean and no quantiles; the custom family has no distribution function.
REFUSED = {
    ("ordinal", "subject new"),
    ("ordinal", "population new"),
    ("ordinal", "means of the population"),
    ("ordinal", "slopes"),
    ("custom", "subject new"),
    ("custom", "population new"),
}


@functools.cache
def simulated(name: str) -> Array:
    return fitted(name).simulate(DRAWS, seed=3)


@pytest.mark.parametrize("name", [name for name in MODELS if name not in ("ordinal", "no groups")])
def test_the_mean_of_the_population_is_that_of_simulated_responses(name: str) -> None:
    fit, y = fitted(name), simulated(name)
    size = np.ones(y.shape[1]) if fit.design.trials is None else fit.design.trials
    y = y / size
    apart = (y.mean(0) - fit.predict(kind="population")) / (y.std(0) / np.sqrt(DRAWS))
    assert np.abs(apart).max() < FAR
    # Rows share random effects: their average is told apart by the spread of replicates.
    whole = y.mean(1)
    away = whole.mean() - fit.predict(kind="population").mean()
    assert abs(away) < FAR * whole.std() / np.sqrt(DRAWS)


@pytest.mark.parametrize("name", [n for n in MODELS if (n, "population new") not in REFUSED])
def test_new_responses_lie_in_their_intervals(name: str) -> None:
    """At least as often as stated: uncertainty of the parameters and whole numbers widen them."""
    fit, y = fitted(name), simulated(name)
    found = fit.predict(kind="population", interval="prediction")
    inside = (y >= found["lower"].to_numpy() - 1e-9) & (y <= found["upper"].to_numpy() + 1e-9)
    assert inside.mean() > 0.945
    discrete = np.allclose(y, np.round(y))
    assert discrete or inside.mean() < 0.985
