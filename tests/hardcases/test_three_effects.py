"""Three effects of few groups: covariances without full rank, and integrals known roughly."""

from __future__ import annotations

import numpy as np
import pytest

import glimm


def few_groups(seed: int, kind: str) -> dict[str, object]:
    """Twelve groups of fifteen rows with an intercept and two slopes."""
    rng = np.random.default_rng([seed, 8, len(kind)])
    g = np.repeat(np.arange(12), 15)
    x, w = rng.normal(size=g.size), rng.normal(size=g.size)
    b = rng.normal(size=(12, 3)) * [0.8, 0.5, 0.3]
    eta = -0.3 + 0.5 * x - 0.3 * w + (np.column_stack([np.ones(g.size), x, w]) * b[g]).sum(axis=1)
    if kind == "binomial":
        return {"y": rng.binomial(1, 1 / (1 + np.exp(-eta))), "x": x, "w": w, "g": g}
    return {"y": rng.poisson(np.exp(eta)), "x": x, "w": w, "g": g}


FORMULA = "y ~ x + w + (1 + x + w | g)"


@pytest.mark.filterwarnings("ignore::glimm.FitWarning")
def test_singular_covariance_is_reached_in_few_steps() -> None:
    """The maximum has rank two; along its edge the likelihood is flat in the factor's diagonal."""
    data = few_groups(14, "binomial")
    fit = glimm.fit(FORMULA, data, "binomial", integration="laplace")
    other = glimm.fit(FORMULA, data, "binomial", integration="laplace", engine="sparse")
    assert fit.diagnostics.converged
    assert fit.diagnostics.iterations <= 20
    # lme4 1.1.31 ends at -118.514041; glmmTMB 1.1.5 gives no log-likelihood.
    assert fit.loglik == pytest.approx(-118.5140253, abs=1e-6)
    assert other.loglik == pytest.approx(fit.loglik, abs=1e-6)


# Seeds whose climbs by nodes went round in circles until they had a limit.
@pytest.mark.parametrize(
    ("kind", "seed"), [("binomial", 3), ("binomial", 16), ("poisson", 1), ("poisson", 14)]
)
@pytest.mark.filterwarnings("ignore::glimm.FitWarning")
def test_rough_integrals_have_a_maximum_all_the_same(kind: str, seed: int) -> None:
    """Three effects are integrated by draws where products of nodes do not do."""
    fit = glimm.fit(FORMULA, few_groups(seed, kind), kind)
    assert fit.certificate.method == "quadrature"
    assert fit.diagnostics.converged
    assert fit.diagnostics.iterations < 60
    assert fit.diagnostics.se_moved < 1e-3
