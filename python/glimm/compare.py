"""Fits of one data set side by side."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .errors import DataError
from .tables import Cell, Column, Framed, Table

if TYPE_CHECKING:
    from .fit import Fit


@dataclass(frozen=True, slots=True)
class Comparison(Framed):
    """Fits of the same responses, the best by AIC first.

    Attributes
    ----------
    table : Table
        Name, family, parameters, logLik, AIC, its difference to the best and the weight that
        follows from it, AICc, BIC; draw it with `to_text`, `to_markdown`, `to_html`, `to_latex`.
    tests : Table, optional
        Likelihood-ratio tests of neighbours by their number of parameters, where the smaller is
        nested in the larger: fits, chisq, df, the null distribution and p. A random effect more
        has the mixture of chi-squares of a variance on the boundary (`Fit.test_random`).
    """

    table: Table
    frame_kind: Any
    tests: Table | None = None

    @property
    def tables(self) -> tuple[Table, ...]:
        """The table of fits, and that of tests where fits are nested."""
        return (self.table,) if self.tests is None else (self.table, self.tests)


def compare(*fits: Fit, **named: Fit) -> Comparison:
    """Compare fits of the same responses by their log-likelihoods and information criteria.

    Log-likelihoods hold all constants, so that those of different families compare.

    Parameters
    ----------
    *fits, **named : Fit
        Two or more. Those given by name carry it in the table, others their number. Fits of
        `glimm.gee` are compared by QIC, QICu and CIC instead.

    Returns
    -------
    Comparison
        Of AIC, AICc (with the number of observations) and BIC. The weight of a fit is
        ``exp(-difference in AIC / 2)``, scaled to a sum of one.

    Raises
    ------
    DataError
        When two fits do not compare: other rows, other responses or another transformation of
        them, other weights, restricted likelihoods with different fixed effects.

    References
    ----------
    Burnham, K. P. and Anderson, D. R. (2002). Model Selection and Multimodel Inference. Springer.

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("epilepsy")
    >>> fits = {law: glimm.fit("seizures ~ treatment + (1 | patient)", data, family=law)
    ...         for law in ("poisson", "nbinom2")}
    >>> [row[0] for row in glimm.compare(**fits).table.rows]
    ['nbinom2', 'poisson']
    """
    known = {str(k + 1): fit for k, fit in enumerate(fits)} | named
    if len(known) < 2:
        message = f"compare() was given {len(known)} fit; it needs two or more"
        raise DataError(message, code="unknown_option")
    for fit in known.values():
        if (compared := getattr(fit, "_compared", None)) is not None:
            return cast("Comparison", compared(known))
    names = list(known)
    for name in names[1:]:
        if reason := _incomparable(known[names[0]], known[name]):
            message = f"fits {names[0]!r} and {name!r} do not compare: {reason}"
            raise DataError(message, code="not_comparable")
    best = min(fit.aic for fit in known.values())
    total = sum(math.exp(0.5 * (best - fit.aic)) for fit in known.values())
    rows = [_row(name, fit, best, total) for name, fit in known.items()]
    rows.sort(key=lambda row: float(row[5]))  # type: ignore[arg-type]
    columns = (
        Column("fit"),
        Column("family"),
        Column("df", "integer"),
        Column("logLik", "ratio", "loglik"),
        Column("AIC", "ratio", "aic"),
        Column("difference", "ratio"),
        Column("weight", "ratio"),
        Column("AICc", "ratio", "aicc"),
        Column("BIC", "ratio", "bic"),
    )
    table = Table("Comparison, best by AIC first", columns, tuple(rows))
    return Comparison(table, known[names[0]].design.frame_kind, _tests(known))


def _tests(known: dict[str, Fit]) -> Table | None:
    """Likelihood-ratio tests of neighbours that are nested."""
    from .inference.lrt import lrt

    ordered = sorted(known, key=lambda name: known[name].df_model)
    rows = []
    for small, large in zip(ordered, ordered[1:], strict=False):
        found = lrt(known[small], known[large])
        if found is not None:
            rows.append((small, large, found.chisq, found.df, found.null, found.p))
    if not rows:
        return None
    columns = (
        Column("fit"),
        Column("against"),
        Column("chisq", "ratio"),
        Column("df", "integer"),
        Column("null"),
        Column("p", "p"),
    )
    return Table("Likelihood-ratio tests", columns, tuple(rows))


def _row(name: str, fit: Fit, best: float, total: float) -> tuple[Cell, ...]:
    k, n = fit.df_model, fit.nobs
    aicc = fit.aic + 2 * k * (k + 1) / (n - k - 1) if n > k + 1 else math.nan
    weight = math.exp(0.5 * (best - fit.aic)) / total
    family = fit.model.family.name
    family = family if fit.model.zi is None else f"{family} + zeros"
    return name, family, k, fit.loglik, fit.aic, fit.aic - best, weight, aicc, fit.bic


def _incomparable(a: Fit, b: Fit) -> str | None:
    """Why the likelihoods of two fits do not compare."""
    one, other = a.design, b.design
    if not np.array_equal(one.rows, other.rows):
        return f"they use different rows ({one.n:,} and {other.n:,}); drop missing values first"
    if one.response_name != other.response_name:
        return f"their responses are {one.response_name!r} and {other.response_name!r}"
    if not np.array_equal(one.y, other.y):
        return "their responses have different values"
    for name, given, taken in (
        ("freq", one.freq, other.freq),
        ("trials", one.trials, other.trials),
    ):
        if not _same(given, taken):
            return f"they differ in {name}="
    if a.model.reml != b.model.reml:
        return "one is fitted by REML and the other by ML; use reml=False"
    if a.model.reml and a.names != b.names:
        return "REML likelihoods compare only with equal fixed effects; use reml=False"
    if a.model.reml and a.model.link != b.model.link:
        return "REML likelihoods compare only with one link; use reml=False"
    if (a.model.penalty is None) != (b.model.penalty is None):
        return "one has a penalty and the other has none"
    return None


def _same(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is b
    return bool(np.array_equal(a, b))
