"""Small studies for every family and random-effect structure, and what it means that fits agree."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import glimm

Array = NDArray[np.float64]

ROWS = 320
# Nats. What a fit leaves below the maximum, at the most.
SAME_LOGLIK = 1e-8
# Standard errors: the distance that 5e-9 nats are from the maximum.
SAME_ESTIMATE = 1e-4
# Relative to standard errors, which follow the estimates.
SAME_ERROR = 1e-4


@dataclass(frozen=True, slots=True)
class Law:
    """A family with a link, and how its responses are drawn at a linear predictor."""

    family: str
    link: str
    level: float
    spread: float
    draw: Callable[[np.random.Generator, Array, Array], Array]

    @property
    def counted(self) -> bool:
        """Whether the response counts successes."""
        return self.family == "binomial"


def _binomial(inverse: Callable[[Array], Array]) -> Callable[..., Array]:
    return lambda rng, eta, trials: rng.binomial(trials.astype(int), inverse(eta)).astype(float)


def _gamma(rng: np.random.Generator, mean: Array) -> Array:
    return np.asarray(rng.gamma(6.0, mean / 6.0), dtype=float)


def _nbinom(rng: np.random.Generator, eta: Array, _: Array) -> Array:
    return rng.poisson(rng.gamma(3.0, np.exp(eta) / 3.0)).astype(float)


def _normal_probability(eta: Array) -> Array:
    from scipy.special import ndtr

    return np.asarray(ndtr(eta))


LAWS = {
    "gaussian": Law(
        "gaussian", "identity", 5.0, 1.0, lambda rng, eta, _: eta + 0.8 * rng.normal(size=len(eta))
    ),
    "logit": Law("binomial", "logit", -0.4, 1.0, _binomial(lambda e: 1 / (1 + np.exp(-e)))),
    "probit": Law("binomial", "probit", 0.2, 0.7, _binomial(_normal_probability)),
    "cloglog": Law("binomial", "cloglog", -0.7, 0.7, _binomial(lambda e: -np.expm1(-np.exp(e)))),
    "cauchit": Law(
        "binomial", "cauchit", 0.3, 1.0, _binomial(lambda e: 0.5 + np.arctan(e) / np.pi)
    ),
    "poisson": Law(
        "poisson", "log", 1.0, 0.8, lambda rng, eta, _: rng.poisson(np.exp(eta)).astype(float)
    ),
    "nbinom2": Law("nbinom2", "log", 1.2, 0.8, _nbinom),
    "gamma-log": Law("gamma", "log", 0.5, 0.8, lambda rng, eta, _: _gamma(rng, np.exp(eta))),
    "gamma-inverse": Law("gamma", "inverse", 4.0, 0.9, lambda rng, eta, _: _gamma(rng, 1 / eta)),
}

STRUCTURES = {
    "intercepts": "(1 | g)",
    "slopes": "(1 + x | g)",
    "uncorrelated": "(x || g)",
    "nested": "(1 | a/b)",
    "crossed": "(1 | a) + (1 | c)",
}

FITTED = [(law, structure) for law in LAWS for structure in STRUCTURES]


def text(structure: str) -> str:
    """Return the formula of a study."""
    return f"y ~ x + w + {STRUCTURES[structure]}"


@cache
def study(law: str, structure: str) -> pd.DataFrame:
    """Return rows drawn from the model of that name; a part of `trials` is 1."""
    made = LAWS[law]
    rng = np.random.default_rng([17, list(LAWS).index(law), list(STRUCTURES).index(structure)])
    row = np.arange(ROWS)
    code = {"g": row % 20, "a": row % 16, "b": row // 16 % 4, "c": row // 7 % 10}
    x, w = rng.uniform(-1, 1, ROWS), rng.normal(size=ROWS)

    def effect(codes: NDArray[np.int64]) -> Array:
        return np.asarray(0.7 * made.spread * rng.normal(size=codes.max() + 1)[codes])

    random = {
        "intercepts": lambda: effect(code["g"]),
        "slopes": lambda: effect(code["g"]) + x * effect(code["g"]),
        "uncorrelated": lambda: effect(code["g"]) + x * effect(code["g"]),
        "nested": lambda: effect(code["a"]) + effect(4 * code["a"] + code["b"]),
        "crossed": lambda: effect(code["a"]) + effect(code["c"]),
    }[structure]()
    eta = made.level + made.spread * (0.5 * x - 0.2 * w) + random
    if made.link == "inverse":
        eta = np.maximum(eta, 0.5)
    trials = rng.integers(1, 9, ROWS).astype(float)
    y = made.draw(rng, eta, trials)
    labels = {name: [f"{name}{k:02d}" for k in codes] for name, codes in code.items()}
    return pd.DataFrame({"y": y, "x": x, "w": w, "trials": trials, **labels})


def fit(law: str, formula: str, data: Any, **options: Any) -> glimm.Fit:
    """Fit a study by maximum likelihood and the Laplace approximation, unless told otherwise."""
    made = LAWS[law]
    usual = {"reml": False, "integration": "laplace"} | (
        {"trials": "trials"} if made.counted else {}
    )
    with warnings.catch_warnings():
        # The value is the Laplace approximation's, however far that is from the integral.
        warnings.filterwarnings("ignore", "The integral over the random effects")
        return glimm.fit(formula, data, made.family, link=made.link, **(usual | options))


@cache
def fitted(law: str, structure: str) -> glimm.Fit:
    """Return the fit of a study as it is; made once."""
    result = fit(law, text(structure), study(law, structure))
    assert result.diagnostics.converged
    assert not result.diagnostics.singular, "a study on the boundary shows less"
    return result


def same_numbers(
    a: glimm.Fit, b: glimm.Fit, *, map_x: Array | None = None, loglik: float = 0.0
) -> None:
    """Assert that `a` is `b`, up to a change of coordinates of the fixed effects.

    Parameters
    ----------
    map_x : ndarray, (p, p), optional
        Takes the fixed effects of `b` to those of `a`.
    loglik : float
        What the log-likelihood of `a` has more.
    """
    t = np.eye(len(b.names)) if map_x is None else map_x
    errors = np.sqrt(np.diag(t @ b.vcov() @ t.T))
    gap = np.array(list(a.coef.values())) - t @ np.array(list(b.coef.values()))
    assert abs(a.loglik - b.loglik - loglik) <= SAME_LOGLIK
    np.testing.assert_array_less(np.abs(gap) / errors, SAME_ESTIMATE)
    np.testing.assert_allclose(
        a.vcov() / np.outer(errors, errors), t @ b.vcov() @ t.T / np.outer(errors, errors),
        rtol=0, atol=SAME_ERROR,
    )  # fmt: skip
    same_dispersion(a, b)


def same_dispersion(a: glimm.Fit, b: glimm.Fit) -> None:
    """Assert equal dispersions, to a part of the standard error of their logarithm."""
    if b.dispersion is None:
        assert a.dispersion is None
        return
    error = np.sqrt(b.vcov("all")[len(b.names), len(b.names)])
    for name, value in b.dispersion.items():
        assert a.dispersion is not None
        assert abs(np.log(a.dispersion[name] / value)) <= SAME_ESTIMATE * error


def same_random_effects(
    a: glimm.Fit,
    b: glimm.Fit,
    maps: Mapping[str, Array] | None = None,
    names: Mapping[Any, Any] | None = None,
) -> None:
    """Assert equal covariances, modes and conditional sds, level by level.

    Parameters
    ----------
    maps : mapping of str to ndarray, (q, q), optional
        By group, takes the effects of `b` to those of `a`.
    names : mapping, optional
        The level of `b` that a level of `a` was.
    """
    for k, (term, other) in enumerate(zip(a.design.terms, b.design.terms, strict=True)):
        t = (maps or {}).get(term.label, np.eye(len(term.columns)))
        expected = t @ b.covariances[k] @ t.T
        size = np.sqrt(np.diag(expected))
        relative = (a.covariances[k] - expected) / np.outer(size, size)
        np.testing.assert_array_less(np.abs(relative), SAME_ESTIMATE)
        place = {level: i for i, level in enumerate(other.levels)}
        order = [place[(names or {}).get(level, level)] for level in term.levels]
        modes = b.estimates.modes[k][order] @ t.T
        np.testing.assert_array_less(np.abs(a.estimates.modes[k] - modes) / size, SAME_ESTIMATE)
        spread = t @ b.estimates.covariances[k][order] @ t.T
        gap = np.abs(a.estimates.covariances[k] - spread) / np.outer(size, size)
        np.testing.assert_array_less(gap, SAME_ESTIMATE)
