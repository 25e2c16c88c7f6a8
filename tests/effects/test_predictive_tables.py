"""Quantiles of many rows at once against those of each row by itself, easy and hard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from glimm import _core

Array = NDArray[np.float64]
TAILS = [0.025, 0.975]
ROWS = 1100
# Rows that are sought one by one as well, in easy and hard cases.
LOOKED = {False: 40, True: 12}
# Of continuous responses: both searches stop at 1e-10 of the spread, polynomials hold to 2e-9.
RELATIVE = 1e-8


@dataclass(frozen=True)
class Kind:
    """A family with its link, further predictors, trials and how far eta goes when hard."""

    family: str
    link: str
    far: float
    others: tuple[float, ...] = ()
    trials: float | None = None
    zero: bool = False
    cheap: bool = False
    """Whether the hard cases take no minutes."""

    def __str__(self) -> str:
        zeros = "zeros" if self.zero else ""
        return f"{self.family}-{self.link}-{self.others}-{self.trials or zeros}"


LOG, LOGIT = "log", "logit"
KINDS = [
    *(Kind("binomial", LOGIT, 20, trials=size, cheap=size < 9) for size in (1.0, 7.0, 400.0)),
    *(
        Kind("binomial", link, 6, trials=12.0, cheap=True)
        for link in ("probit", "cloglog", "cauchit")
    ),
    *(Kind("betabinomial", LOGIT, 10, (phi,), 30.0, cheap=phi == 1) for phi in (-3.0, 1.0, 6.0)),
    Kind("poisson", LOG, 20),
    # No hard cases: extra zeros hide from the search of single rows how sharply counts turn.
    Kind("poisson", LOG, 4, (-1.0,), zero=True),
    Kind("poisson", LOG, 8, (-5.0,), zero=True),
    Kind("truncated_poisson", LOG, 8),
    Kind("truncated_poisson", LOG, 8, (-1.0,), zero=True),
    *(Kind("nbinom2", LOG, 6, (theta,), cheap=theta < 1) for theta in (-4.0, 0.9, 12.0)),
    *(Kind("nbinom1", LOG, 10, (phi,)) for phi in (-4.0, 0.5, 4.0)),
    Kind("nbinom", LOG, 8, (0.5, 0.3)),
    Kind("truncated_nbinom2", LOG, 8, (0.5,)),
    Kind("genpois", LOG, 6, (0.4,)),
    Kind("compois", LOG, 3, (0.3,)),
    *(Kind("gamma", LOG, 20, (cv,)) for cv in (-6.0, -0.45, 1.0)),
    *(Kind("beta", LOGIT, 5, (phi,)) for phi in (0.5, 2.0, 8.0)),
    *(Kind("lognormal", LOG, 20, (sd,)) for sd in (-6.0, 0.0, 1.0)),
    Kind("inverse_gaussian", LOG, 8, (-0.3,)),
    *(Kind("student_t", "identity", 20, (0.2, df), cheap=True) for df in (0.5, 3.0)),
    Kind("skewnormal", "identity", 20, (0.1, 1.5)),
    Kind("gaussian", LOG, 5, (0.3,)),
    Kind("tweedie", LOG, 4, (0.3, 0.0)),
    Kind("ordbeta", LOGIT, 4, (2.0, -1.5, 1.0)),
]


def asked(kind: Kind, eta: Array, sd: Array, each: bool) -> Array:
    rows = np.column_stack([eta, *(np.full(eta.size, value) for value in kind.others)])
    root = np.zeros((*rows.shape, rows.shape[1]))
    root[:, 0, -1] = sd
    size = None if kind.trials is None else np.full(eta.size, kind.trials)
    name = (kind.family, kind.link, kind.zero)
    return np.asarray(_core.predictive(name, rows, root, size, TAILS, each))


def draw(kind: Kind, hard: bool) -> tuple[Array, Array]:
    rng = np.random.default_rng(1)
    reach, most = (kind.far, 5.0) if hard else (min(kind.far, 3.0), 1.0)
    sd = rng.uniform(0.0, most, ROWS)
    sd[::50] = 0.0
    return rng.uniform(-reach, reach, ROWS), sd


CASES = [(kind, hard) for kind in KINDS for hard in (False, True) if kind.cheap or not hard]


@pytest.mark.parametrize(("kind", "hard"), CASES, ids=str)
def test_many_rows_are_as_each(kind: Kind, hard: bool) -> None:
    eta, sd = draw(kind, hard)
    at = np.linspace(0, ROWS - 1, LOOKED[hard]).astype(int)
    found = asked(kind, eta, sd, each=False)[at]
    exact = asked(kind, eta[at], sd[at], each=True)
    assert np.isfinite(exact).all()
    if np.array_equal(exact, np.round(exact)):
        assert_array_equal(found, exact)
    else:
        assert_allclose(
            found, exact, rtol=RELATIVE, atol=RELATIVE if kind.link == "identity" else 0
        )


def test_order_and_groups_of_rows_do_not_matter() -> None:
    """Rows of several numbers of trials, in any order, among rows that move in two directions."""
    rng = np.random.default_rng(3)
    rows = 3000
    eta = rng.normal(size=(rows, 2))
    eta[:, 1] = rng.integers(0, 2, rows)
    root = np.zeros((rows, 2, 2))
    root[:, 0, 0] = rng.uniform(0.1, 1, rows)
    root[:100, 1, 1] = 0.3
    size = rng.integers(3, 5, rows).astype(float)
    name = ("betabinomial", "logit", False)
    whole = np.asarray(_core.predictive(name, eta, root, size, TAILS))
    at = rng.permutation(rows)
    again = _core.predictive(name, eta[at], root[at], size[at], TAILS)
    assert_array_equal(again, whole[at])
    some = np.arange(0, rows, 60)
    exact = _core.predictive(name, eta[some], root[some], size[some], TAILS, True)
    assert_array_equal(whole[some], exact)
