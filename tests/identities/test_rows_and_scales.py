"""What rows are called, in which order they stand and in which units, does not matter."""

from __future__ import annotations

import numpy as np
import pytest
from studies import FITTED, STRUCTURES, fit, fitted, same_numbers, same_random_effects, study, text

BOTH = pytest.mark.parametrize(("law", "structure"), FITTED)


@BOTH
def test_rows_in_another_order(law: str, structure: str) -> None:
    rows = np.random.default_rng(1).permutation(len(study(law, structure)))
    a = fit(law, text(structure), study(law, structure).iloc[rows])
    b = fitted(law, structure)
    same_numbers(a, b)
    same_random_effects(a, b)
    np.testing.assert_allclose(a.fitted, b.fitted[rows], rtol=1e-4)


@BOTH
def test_levels_under_other_names(law: str, structure: str) -> None:
    frame = study(law, structure).copy()
    back: dict[str, str] = {}
    for column in "gabc":
        levels = sorted(frame[column].unique())
        news = [f"{column}{k}" for k in np.random.default_rng(2).permutation(len(levels)) + 100]
        back |= dict(zip(news, levels, strict=True))
        frame[column] = frame[column].map(dict(zip(levels, news, strict=True)))
    pairs = {f"{i}:{j}": f"{back[i]}:{back[j]}" for i in frame["a"] for j in frame["b"].unique()}
    a, b = fit(law, text(structure), frame), fitted(law, structure)
    assert any(
        one.levels != other.levels
        for one, other in zip(a.design.terms, b.design.terms, strict=True)
    )
    same_numbers(a, b)
    same_random_effects(a, b, names=back | pairs)


@BOTH
@pytest.mark.parametrize(("centre", "unit"), [(0.0, -0.02), (3.0, 50.0)])
def test_covariates_in_other_units(law: str, structure: str, centre: float, unit: float) -> None:
    """With x = centre + unit x' and w = centre + unit w', effects map linearly.

    Uncorrelated slopes keep their form under a change of unit only.
    """
    shift = 0.0 if structure == "uncorrelated" else centre
    frame = study(law, structure)
    changed = frame.assign(x=(frame["x"] - shift) / unit, w=(frame["w"] - centre) / unit)
    a, b = fit(law, text(structure), changed), fitted(law, structure)
    same_numbers(a, b, map_x=np.array([[1, shift, centre], [0, unit, 0], [0, 0, unit]]))
    slopes = {"g": np.array([[1, shift], [0, unit]])} if "x" in STRUCTURES[structure] else {}
    same_random_effects(a, b, slopes)


@pytest.mark.parametrize("law", ["gaussian", "poisson"])
def test_three_slopes_in_other_units(law: str) -> None:
    frame = study(law, "slopes")
    formula = "y ~ x + w + (1 + x + w | g)"
    a = fit(law, formula, frame.assign(x=(frame["x"] - 2) / 3, w=(frame["w"] + 5) / 0.1))
    b = fit(law, formula, frame)
    t = np.array([[1, 2, -5], [0, 3, 0], [0, 0, 0.1]])
    assert abs(a.loglik - b.loglik) < 1e-7
    assert a.diagnostics.singular == b.diagnostics.singular
    errors = np.sqrt(np.diag(t @ b.vcov() @ t.T))
    gap = np.array(list(a.coef.values())) - t @ np.array(list(b.coef.values()))
    np.testing.assert_array_less(np.abs(gap) / errors, 1e-3)
    expected = t @ b.covariances[0] @ t.T
    size = np.sqrt(np.diag(expected))
    np.testing.assert_array_less(np.abs(a.covariances[0] - expected) / np.outer(size, size), 1e-3)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_gaussian_response_in_other_units(structure: str) -> None:
    """With y' = k y the log-likelihood falls by n log k, and all estimates are k times as large."""
    frame, k = study("gaussian", structure), 400.0
    a = fit("gaussian", text(structure), frame.assign(y=k * frame["y"]))
    b = fitted("gaussian", structure)
    assert a.loglik == pytest.approx(b.loglik - len(frame) * np.log(k), abs=1e-7)
    for name, error in b.se.items():
        assert a.coef[name] == pytest.approx(k * b.coef[name], abs=1e-4 * k * error)
        assert a.se[name] == pytest.approx(k * error, rel=1e-4)
    assert a.dispersion is not None
    assert b.dispersion is not None
    assert a.dispersion["sigma"] == pytest.approx(k * b.dispersion["sigma"], rel=1e-5)
    for one, other in zip(a.covariances, b.covariances, strict=True):
        np.testing.assert_allclose(one, k**2 * other, rtol=2e-3, atol=1e-4 * k**2 * other.max())


@pytest.mark.parametrize("structure", STRUCTURES)
def test_gamma_response_in_other_units(structure: str) -> None:
    """With y' = k y the log link moves the intercept by log k; 1 / mean becomes k times smaller."""
    frame, k = study("gamma-log", structure), 30.0
    a = fit("gamma-log", text(structure), frame.assign(y=k * frame["y"]))
    b = fitted("gamma-log", structure)
    assert a.loglik == pytest.approx(b.loglik - len(frame) * np.log(k), abs=1e-7)
    moved = {"(Intercept)": np.log(k)}
    for name, error in b.se.items():
        assert a.coef[name] - moved.get(name, 0) == pytest.approx(b.coef[name], abs=1e-4 * error)
    same_random_effects(a, b)
