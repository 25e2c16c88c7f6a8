"""Checks of the distribution as a whole: uniformity, dispersion, outliers, zeros, any statistic."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..fit import one_of
from .base import Check, p_two_sided, percent
from .residuals import Residuals
from .study import Source, Study, Test, one, study

Array = NDArray[np.float64]
Said = tuple[float, str, Mapping[str, Any]]

OUTER = 0.01
"""Share of the distribution, both tails together, in which a response counts as an outlier."""


def anderson_darling(u: Array) -> float:
    """Return the distance of Anderson and Darling between numbers and the uniform distribution.

    Examples
    --------
    >>> import numpy as np
    >>> round(anderson_darling((np.arange(100) + 0.5) / 100), 2)
    0.01
    """
    n = u.size
    u = np.sort(u)
    weights = (2 * np.arange(1, n + 1) - 1) / n
    return float(-n - np.sum(weights * (np.log(u) + np.log1p(-u[::-1]))))


def anderson_darling_p(statistic: float) -> float:
    """Return its p-value for many independent uniform numbers (Marsaglia and Marsaglia 2004).

    Examples
    --------
    >>> round(anderson_darling_p(2.492), 3)
    0.05
    """
    z = max(statistic, 1e-3)
    if z < 2:
        series = (2.00012, 0.247105, -0.0649821, 0.0347962, -0.011672, 0.00168691)
        power = sum(c * z**k for k, c in enumerate(series))
        return float(1 - math.exp(-1.2337141 / z) / math.sqrt(z) * power)
    series = (1.0776, -2.30695, 0.43424, -0.082433, 0.008056, -0.0003146)
    power = sum(c * min(z, 12.0) ** k for k, c in enumerate(series))
    found = -math.expm1(-math.exp(power))
    return float(found * math.exp(-max(z - 12.0, 0.0)))


def kolmogorov(u: Array) -> float:
    """Return the largest distance between the distribution of numbers and the uniform one."""
    n = u.size
    u = np.sort(u)
    steps = np.arange(n + 1) / n
    return float(max(np.max(steps[1:] - u), np.max(u - steps[:-1])))


def uniformity_test(method: str = "anderson-darling") -> Test:
    """Return the test of `uniformity`."""
    one_of("method", method, ("anderson-darling", "kolmogorov"))

    def describe(r: Residuals, statistic: float, draws: Array) -> Said:
        gap, spread = kolmogorov(r.values), float(np.std(r.normal))
        words = f"{100 * gap:.1f} % of responses at most lie elsewhere than the model says"
        return gap, words, {"mean": float(np.mean(r.normal)), "spread": spread}

    if method == "kolmogorov":
        from scipy.stats import kstwo

        return Test(
            "uniformity",
            lambda r: kolmogorov(r.values),
            describe,
            p=lambda r, t: float(kstwo.sf(t, r.n)),
        )
    return Test(
        "uniformity",
        lambda r: anderson_darling(r.values),
        describe,
        p=lambda r, t: anderson_darling_p(t),
    )


def uniformity(
    source: Source,
    *,
    method: str = "anderson-darling",
    null: str = "auto",
    n: int = 199,
    seed: int = 0,
) -> Check:
    """Check whether the residuals are uniform: whether the distribution is right as a whole.

    Parameters
    ----------
    source : Fit, GEEFit, Residuals or Study
    method : str
        ``"anderson-darling"``, which sees the tails, or ``"kolmogorov"``.
    null, n, seed
        As in `glimm.checks.study`.

    Returns
    -------
    Check
        Its effect is the largest gap between the residuals' distribution and the uniform one.

    References
    ----------
    Anderson, T. W. and Darling, D. A. (1954). JASA 49, 765-769. Marsaglia, G. and Marsaglia, J.
    (2004). Evaluating the Anderson-Darling distribution. J. Stat. Softw. 9(2).

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("epilepsy")
    >>> fit = glimm.fit("seizures ~ treatment + (1 | patient)", data, family="nbinom2")
    >>> glimm.checks.uniformity(glimm.residuals(fit, seed=1)).p > 0.01
    True
    """
    return one(source, uniformity_test(method), null, n, seed)


def _squares(r: Residuals) -> Array:
    """Squared residuals of expectation 1 under the model."""
    squares = r.pearson**2
    return squares if np.isfinite(squares).all() else r.normal**2


def dispersion_test() -> Test:
    """Return the test of `dispersion`."""

    def describe(r: Residuals, statistic: float, draws: Array) -> Said:
        center = float(np.nanmean(draws)) if draws.size else 0.0
        ratio = math.exp(statistic - center)
        return ratio, f"variance {percent(ratio)} the model's", {"pearson": math.exp(statistic)}

    def statistic(r: Residuals) -> float:
        return math.log(max(float(np.mean(_squares(r))), 1e-300))

    return Test("dispersion", statistic, describe, upper=False)


def dispersion(source: Source, *, null: str = "auto", n: int = 199, seed: int = 0) -> Check:
    """Check whether the responses vary more, or less, than the model says.

    The statistic is the log of the mean squared Pearson residual, (y - mean)^2 / variance given
    the random effects drawn; of normal scores where a family has no variance.

    Parameters
    ----------
    source : Fit, GEEFit, Residuals or Study
    null, n, seed
        As in `glimm.checks.study`.

    Returns
    -------
    Check
        Two-sided; its effect is the ratio of that mean to the model's own.

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("epilepsy")
    >>> fit = glimm.fit("seizures ~ treatment + (1 | patient)", data, family="poisson")
    >>> glimm.checks.dispersion(fit, n=39).effect > 1.5
    True
    """
    return one(source, dispersion_test(), null, n, seed)


def outliers_test(share: float = OUTER) -> Test:
    """Return the test of `outliers`."""

    def tails(r: Residuals) -> Array:
        from scipy.special import ndtr

        return np.asarray(2 * ndtr(-np.abs(r.normal)))

    def statistic(r: Residuals) -> float:
        w = tails(r)
        outer = w[w < share]
        return float(np.sum(np.log(share) - np.log(np.maximum(outer, 1e-300))))

    def p(r: Residuals, t: float) -> float:
        from scipy.stats import binom, gamma

        if t <= 0:
            return 1.0
        most = int(binom.isf(1e-16, r.n, share)) + 1
        k = np.arange(1, most + 1)
        return float(np.sum(binom.pmf(k, r.n, share) * gamma.sf(t, k)))

    def describe(r: Residuals, t: float, draws: Array) -> Said:
        w = tails(r)
        count, expected = int(np.sum(w < share)), share * r.n
        last = int(np.argmin(w)) if r.n else 0
        name = r.rows[last] if r.labels is None else r.labels[last]
        words = f"{count} responses in the outer {100 * share:g} %, {expected:.1f} expected"
        if count:
            words += f"; the outermost in row {name}"
        places = r.rows[np.argsort(w)[: min(count, 20)]].tolist()
        return count / expected if expected else math.nan, words, {"rows": places}

    return Test("outliers", statistic, describe, p=p)


def outliers(
    source: Source, *, share: float = OUTER, null: str = "auto", n: int = 199, seed: int = 0
) -> Check:
    """Check for responses that are too far out.

    With w the probability under the model of a response as far out, the statistic is the sum of
    log(share / w) over those with w below `share`: it grows with their number and with how far out
    they are (truncated product).

    Parameters
    ----------
    source : Fit, GEEFit, Residuals or Study
    share : float
        Of the distribution, both tails together, that counts as outer.
    null, n, seed
        As in `glimm.checks.study`.

    Returns
    -------
    Check
        Its effect is the number of outer responses over that expected; `details` has their rows.

    References
    ----------
    Zaykin, D. V. et al. (2002). Truncated product method for combining p-values. Genet. Epidemiol.
    22, 170-185.

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("epilepsy")
    >>> fit = glimm.fit("seizures ~ treatment + (1 | patient)", data, family="poisson")
    >>> glimm.checks.outliers(fit, n=39).effect > 2
    True
    """
    if not 0 < share < 1:
        raise DataError(f"share={share}; between 0 and 1", code="unknown_option")
    return one(source, outliers_test(share), null, n, seed)


def zeros_test() -> Test:
    """Return the test of `zeros`."""

    def parts(r: Residuals) -> tuple[int, float, float]:
        zero = getattr(r.law, "zero", None)
        if zero is None or not (float(np.sum(zero)) > 0 or (r.observed == 0).any()):
            message = "a check of zeros: a response of this model is never zero"
            raise DataError(message, code="no_residuals")
        variance = float(np.sum(zero * (1 - zero)))
        return int(np.sum(r.observed == 0)), float(np.sum(zero)), variance

    def statistic(r: Residuals) -> float:
        count, expected, variance = parts(r)
        return (count - expected) / math.sqrt(max(variance, 1e-12))

    def describe(r: Residuals, t: float, draws: Array) -> Said:
        count, expected, _ = parts(r)
        words = f"{count} zeros, {expected:.1f} expected"
        return count / max(expected, 1e-12), words, {"count": count, "expected": expected}

    return Test("zeros", statistic, describe, upper=False)


def zeros(source: Source, *, null: str = "auto", n: int = 199, seed: int = 0) -> Check:
    """Check whether there are more zeros, or fewer, than the model says.

    Parameters
    ----------
    source : Fit, GEEFit, Residuals or Study
    null, n, seed
        As in `glimm.checks.study`.

    Returns
    -------
    Check
        Two-sided; the statistic is the number of zeros less its expectation given the random
        effects drawn, in its standard deviations; the effect their ratio.

    Raises
    ------
    DataError
        Where a response is never zero.

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("epilepsy")
    >>> fit = glimm.fit("seizures ~ treatment + (1 | patient)", data, family="poisson")
    >>> glimm.checks.zeros(fit, n=39).effect > 1.1
    True
    """
    return one(source, zeros_test(), null, n, seed)


def statistic(
    source: Source,
    function: Callable[[Array], float],
    *,
    name: str = "statistic",
    n: int = 999,
    seed: int = 0,
) -> Check:
    """Check any statistic of the responses against simulations of them.

    Responses are simulated at random effects drawn given the responses and at parameters drawn
    in proportion to their likelihood: drawn once, so that data and simulations are alike under the
    model (Waagepetersen 2006; Johnson 2004). A statistic that the fit matches by itself, such as
    the mean, shows nothing.

    Parameters
    ----------
    source : Fit, GEEFit, Residuals or Study
    function : callable
        Of responses (N,), in the order of the residuals: a number.
    name : str
    n : int
        Simulations.
    seed : int

    Returns
    -------
    Check
        Two-sided; its effect is the statistic less the mean of the simulations in their standard
        deviations.

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("epilepsy")
    >>> fit = glimm.fit("seizures ~ treatment + (1 | patient)", data, family="poisson")
    >>> glimm.checks.statistic(fit, lambda y: y.max(), n=99).name
    'statistic'
    """
    if isinstance(source, Study) and source.null == "exact":
        made = source
    else:
        inner = source.source if isinstance(source, Study) else source
        made = study(inner, null="exact", n=max(n, 19), seed=seed)
    r, known = made.residuals, made.null != "none"
    observed = float(function(r.observed))
    draws = np.array([function(r.law.simulate(seed, k)) for k in range(1, n + 1)], dtype=float)
    center, spread = float(draws.mean()), float(draws.std(ddof=1))
    effect = (observed - center) / spread if spread > 0 else math.nan
    low, high = np.quantile(draws, (0.025, 0.975))
    words = f"{observed:.4g}, simulations {low:.4g} to {high:.4g}"
    p = _ranked_p(observed, draws, seed) if known else math.nan
    null = f"{n} simulations of the same responses" if known else "none: dependent rows"
    details = {"mean": center, "sd": spread}
    return Check(name, observed, p, effect, words, null, details, r.frame_kind)


def _ranked_p(observed: float, draws: Array, seed: int) -> float:
    """Two-sided, from the rank among the draws with ties broken at random."""
    below, equal = int(np.sum(draws < observed)), int(np.sum(draws == observed))
    u = (below + np.random.default_rng([seed, 6]).random() * (equal + 1)) / (draws.size + 1)
    p = 2 * min(u, 1 - u)
    if equal == 0 and below in (0, draws.size):
        p = min(p, p_two_sided(observed, draws))
    return float(min(1.0, p))
