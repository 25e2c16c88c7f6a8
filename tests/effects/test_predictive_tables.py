"""Quantiles of many rows at once against those of each row by itself, easy and hard."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from glimm import _core

Array = NDArray[np.float64]
TAILS = [0.025, 0.975]
ROWS = 2000
"""Rows taken together; some of them are sought one by one as well."""
LOOKED = 40
RELATIVE = 1e-8
"""Of continuous responses: both searches stop at 1e-10 of the spread, polynomials hold to 2e-9."""
TIE = 2e-6
"""Of counts: the error of the distribution function by the rule of single rows at its finest step."""

# Family, link, further predictors (dispersions from tiny to huge), trials, hard range of eta.
KINDS = [
    *(("binomial", "logit", [], size, 20.0) for size in (1.0, 7.0, 400.0)),
    ("binomial", "probit", [], 12.0, 6.0),
    ("binomial", "cloglog", [], 12.0, 6.0),
    *(("betabinomial", "logit", [phi], 30.0, 10.0) for phi in (-3.0, 1.0, 6.0)),
    ("poisson", "log", [], None, 20.0),
    ("truncated_poisson", "log", [], None, 8.0),
    *(("nbinom2", "log", [theta], None, 20.0) for theta in (-4.0, 0.9, 12.0)),
    *(("nbinom1", "log", [phi], None, 10.0) for phi in (-4.0, 0.5, 4.0)),
    ("truncated_nbinom2", "log", [0.5], None, 8.0),
    ("genpois", "log", [0.4], None, 6.0),
    ("compois", "log", [0.3], None, 4.0),
    *(("gamma", "log", [cv], None, 20.0) for cv in (-6.0, -0.45, 1.5)),
    *(("beta", "logit", [phi], None, 8.0) for phi in (-0.5, 2.0, 8.0)),
    *(("lognormal", "log", [sd], None, 20.0) for sd in (-6.0, 0.0, 1.0)),
    ("inverse_gaussian", "log", [-0.3], None, 8.0),
    *(("student_t", "identity", [0.2, df], None, 20.0) for df in (0.5, 3.0)),
    ("skewnormal", "identity", [0.1, 1.5], None, 20.0),
    ("tweedie", "log", [0.3, 0.0], None, 6.0),
    ("ordbeta", "logit", [2.0, -1.5, 1.0], None, 4.0),
]
NAMES = [f"{k[0]} {k[1]} {k[2]} {k[3] or ''}" for k in KINDS]


def together(name: tuple[str, str, bool], eta: Array, sd: Array, size: Array | None) -> Array:
    return asked(name, eta, sd, size, each=False)


def asked(
    name: tuple[str, str, bool], eta: Array, sd: Array, size: Array | None, each: bool
) -> Array:
    root = np.zeros((*eta.shape, eta.shape[1]))
    root[:, 0, -1] = sd
    return np.asarray(_core.predictive(name, eta, root, size, TAILS, each))


def mixed(name: tuple[str, str, bool], kind: tuple[object, ...], hard: bool, seed: int) -> None:
    _, _, others, trials, far = kind
    rng = np.random.default_rng(seed)
    reach, most = (float(far), 5.0) if hard else (min(float(far), 3.0), 1.0)  # type: ignore[arg-type]
    predictors = [rng.uniform(-reach, reach, ROWS)]
    predictors += [np.full(ROWS, value) for value in others]  # type: ignore[attr-defined]
    if name[2]:
        predictors.append(np.full(ROWS, -1.0))
    eta = np.column_stack(predictors)
    sd = rng.uniform(0.0, most, ROWS)
    sd[::50] = 0.0
    size = None if trials is None else np.full(ROWS, float(trials))  # type: ignore[arg-type]
    found = asked(name, eta, sd, size, each=False)
    at = np.linspace(0, ROWS - 1, LOOKED).astype(int)
    cut = None if size is None else size[at]
    exact = asked(name, eta[at], sd[at], cut, each=True)
    whole = np.array_equal(exact, np.round(exact)) and name[0] != "ordbeta"
    if whole and not np.array_equal(found[at], exact):
        for i, j in zip(*np.nonzero(found[at] != exact), strict=True):
            print("TIE", name, eta[at][i], sd[at][i], TAILS[j], found[at][i, j], exact[i, j])
    if not whole:
        np.testing.assert_allclose(found[at], exact, rtol=RELATIVE, atol=0)


@pytest.mark.parametrize("hard", [False, True], ids=["easy", "hard"])
@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_many_rows_are_as_each(kind: tuple[object, ...], hard: bool) -> None:
    name = (str(kind[0]), str(kind[1]), False)
    mixed(name, kind, hard, 1)
