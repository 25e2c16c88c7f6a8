"""R2 and ICC of performance and insight, in full or with the definition that differs.

Where the variance of the distribution is defined otherwise, the shares are those of their variance
in place of ours: all else agrees. Entries of ``divergences.toml`` say which and by how much.
"""

from __future__ import annotations

import functools
import json
import tomllib
import warnings
from typing import Any

import numpy as np
import pytest
from reference_data import FOLDER, data

import glimm

THEIRS: dict[str, dict[str, Any]] = json.loads(
    (FOLDER / "effects" / "effects.json").read_text("utf-8")
)["r2_icc"]
NEAR = 1e-5
WORDS = {
    "r2_marginal": "R2 marginal",
    "r2_conditional": "R2 conditional",
    "icc_adjusted": "ICC adjusted",
    "icc_unadjusted": "ICC unadjusted",
}
MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "penicillin": ("penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)", {}),
    "contraception": (
        "contraception",
        "use01 ~ age + age2 + urban + livch + (1 | district)",
        {"family": "binomial"},
    ),
    "salamanders_nb2": ("salamanders", "count ~ spp * mined + (1 | site)", {"family": "nbinom2"}),
    "gamma_dietox": (
        "dietox",
        "Weight ~ t + I(t**2) + Cu + (1 | Pig)",
        {"family": "gamma", "link": "log"},
    ),
}


def fitted(name: str, formula: str | None = None) -> glimm.Fit:
    case, own, given = MODELS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = given if name == "penicillin" else {"integration": "laplace", **given}
        return glimm.fit(formula or own, data(case), **options)


@functools.cache
def ours(name: str) -> glimm.effects.VarianceShares:
    return fitted(name).variance_shares()


def register() -> dict[str, dict[str, float]]:
    entries = tomllib.loads((FOLDER / "divergences.toml").read_text("utf-8"))["shares"]
    return {entry["model"]: entry["sizes"] for entry in entries}


def shares(fixed: float, random: float, distribution: float) -> dict[str, float]:
    """The measures of three variances."""
    whole = fixed + random + distribution
    return {
        "r2_marginal": fixed / whole,
        "r2_conditional": (fixed + random) / whole,
        "icc_adjusted": random / (random + distribution),
        "icc_unadjusted": random / whole,
    }


@pytest.mark.parametrize("name", MODELS)
def test_shares_are_those_of_performance_or_explained(name: str) -> None:
    explained = register().get(name, {})
    assert set(explained) <= set(WORDS)
    for key, words in WORDS.items():
        size = abs(ours(name)[words] - THEIRS[name][key])
        if key in explained:
            assert explained[key] / 2 < size < explained[key] * 2, (key, size)
        else:
            assert size < NEAR, (key, size)


@pytest.mark.parametrize("name", MODELS)
def test_variances_of_terms_are_theirs(name: str) -> None:
    """With their variance of the distribution every share is theirs too."""
    latent = {line[0]: line[1] for line in ours(name).latent}
    known = THEIRS[name]["variance"]
    fixed = latent.pop("fixed effects")
    latent.pop("distribution")
    assert fixed == pytest.approx(known["var.fixed"][0], rel=1e-4, abs=1e-12)
    assert sum(latent.values()) == pytest.approx(known["var.random"][0], rel=1e-4)
    made = shares(fixed, sum(latent.values()), known["var.distribution"][0])
    for key, value in made.items():
        assert value == pytest.approx(THEIRS[name][key], rel=1e-4, abs=1e-12)


def test_groups_have_their_shares() -> None:
    known = dict(zip(*(THEIRS["penicillin"]["icc_by_group"][k] for k in ("Group", "ICC")),
                     strict=True))  # fmt: skip
    for group, value in known.items():
        assert ours("penicillin")[f"ICC {group}"] == pytest.approx(value, rel=1e-5)


def test_the_definitions_that_differ() -> None:
    """Counts: the mean of insight is exp(intercept) of the null model. Gamma: the scale itself."""
    null = fitted("salamanders_nb2", "count ~ 1 + (1 | site)")
    theta = float(np.exp(fitted("salamanders_nb2").part("theta").estimates[0]))
    theirs = np.log1p(1 / np.exp(null.coef["(Intercept)"]) + 1 / theta)
    known = THEIRS["salamanders_nb2"]["variance"]["var.distribution"][0]
    assert theirs == pytest.approx(known, rel=1e-5)
    scale = THEIRS["gamma_dietox"]["variance"]["var.distribution"][0]
    assert ours("gamma_dietox")["distribution"] == pytest.approx(np.log1p(scale), rel=1e-4)
