"""Likelihood-ratio tests of several variances at once: a bound that holds, near what is exact."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import glimm
from glimm.inference.lrt import lrt


def study(seed: int, sd: float = 0.0) -> pd.DataFrame:
    """Two factors crossed in balance: their variances are estimated independently of each other."""
    rng = np.random.default_rng(seed)
    a, b = (v.ravel() for v in np.meshgrid(np.arange(24), np.arange(24)))
    y = rng.normal(size=a.size) + sd * rng.normal(size=24)[a] + sd * rng.normal(size=24)[b]
    return pd.DataFrame({"y": y, "a": a, "b": b, "x": rng.normal(size=a.size)})


def fits(data: pd.DataFrame, random: str) -> tuple[glimm.Fit, glimm.Fit]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        small = glimm.fit("y ~ x", data, reml=False)
        return small, glimm.fit(f"y ~ x + {random}", data, reml=False)


@pytest.mark.parametrize(
    ("random", "null"),
    [
        ("(1 | a) + (1 | b)", "at most mixture 1:2"),
        ("(1 + x || a)", "at most mixture 1:2"),
        ("(1 + x | a)", "at most mixture 2:3"),
        ("(1 | a)", "mixture 0:1"),
    ],
)
def test_several_variances_have_a_bound(random: str, null: str) -> None:
    small, large = fits(study(1, sd=0.2), random)
    ratio = lrt(small, large)
    assert ratio is not None
    assert ratio.null == null
    low, high = (int(k) for k in null.rpartition(" ")[2].split(":"))
    tails = [
        float(ratio.chisq <= 0) if k == 0 else stats.chi2.sf(ratio.chisq, k) for k in (low, high)
    ]
    assert ratio.p == pytest.approx(np.mean(tails))


def test_the_bound_is_above_the_tail_of_simulated_data() -> None:
    """Of two independent variances the mixture is 1/4, 1/2, 1/4 of 0, 1 and 2 degrees."""
    found = [lrt(*fits(study(seed), "(1 | a) + (1 | b)")) for seed in range(60)]
    chisq = np.array([ratio.chisq for ratio in found if ratio is not None])
    p = np.array([ratio.p for ratio in found if ratio is not None])
    exact = 0.5 * stats.chi2.sf(chisq, 1) + 0.25 * stats.chi2.sf(chisq, 2) + 0.25 * (chisq <= 0)
    assert (p >= exact - 1e-12).all()
    assert np.mean(p < 0.1) <= 0.1 + 2 * np.sqrt(0.09 / 60)
