"""A GEEFit in words and tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..inference.freedom import t_tail
from ..inference.wald import bounds
from ..summary import Summary, scale_words
from ..tables import Block, Bullets, Cell, Column, Facts, Table, even_decimals
from .covariance import FEW
from .law import COVARIANCES, FREEDOMS, law

if TYPE_CHECKING:
    from .fit import GEEFit

_LEVEL = 0.95
_MOST_SHOWN = 12


def summary(fit: GEEFit) -> Summary:
    """See `GEEFit.summary`."""
    blocks: list[Block] = [Facts("Generalized estimating equations", tuple(_facts(fit)))]
    if fit.estimates.alpha.size:
        blocks.append(_correlations(fit))
    blocks.append(_coefficients(fit))
    if fit.clusters < FEW:
        blocks.append(Bullets("Findings", (_few(fit),)))
    return Summary(tuple(blocks))


def _facts(fit: GEEFit) -> Iterator[tuple[str, str]]:
    model, design, e = fit.model, fit.design, fit.estimates
    yield "Mean", f"{model.formula.text}, {model.link} link"
    yield "Variance", _variance(fit)
    yield "Correlation", model.corr.words
    of = f"of {design.n_input:,}" if design.dropped else "(none dropped)"
    yield "Rows", f"{design.n:,} {of}"
    for drop in design.dropped:
        yield "Dropped", str(drop)
    left = [name for j, name in enumerate(design.x_names) if j not in e.kept]
    if left:
        yield "Left out", f"{', '.join(left)}: repeats earlier columns"
    low, high = int(e.sizes.min()), int(e.sizes.max())
    size = f"{low}" if low == high else f"{low} to {high}"
    copies = "" if e.copies is None else f"; {fit.clusters:g} by frequency"
    yield "Clusters", f"{model.groups} ({len(e.levels):,}, of {size} rows{copies})"
    if "weights" in dict(design.request.extra):
        yield "Weights", "of the equations; standard errors take them for known"
    how = "yes" if e.converged else "NO"
    yield "Converged", f"{how}, {e.iterations} iterations, within {max(e.left, 1e-10):.0e} SE"
    yield "Standard errors", COVARIANCES[fit.covariance_used]
    yield "Tests", FREEDOMS[fit.df_used]


def _variance(fit: GEEFit) -> str:
    family = fit.family
    held = "".join(f", {name} = {value:g}" for name, value in fit.model.hold)
    if fit.model.family.ordered:
        return "multinomial"
    if isinstance(fit.scale, dict):
        inside = " + ".join(f"{value:.4g} {name}" for name, value in fit.scale.items())
        return f"phi v(mean) of {family}{held}, log phi = {inside}"
    how = "held" if isinstance(fit.model.scale, float) else "estimated"
    return f"phi v(mean) of {family}{held}, phi = {fit.scale:.4g} ({how})"


def _correlations(fit: GEEFit) -> Table:
    frame = list(zip(fit.estimates.alpha_names, fit.alpha.values(), strict=True))
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (name, None if np.isnan(value) else value) for name, value in frame[:_MOST_SHOWN]
    )
    more = len(frame) - _MOST_SHOWN
    notes: tuple[str, ...] = (f"{more} more in fit.alpha.",) if more > 0 else ()
    if fit.model.corr.name == "ar1":
        notes += (f"For one unit of {dict(fit.design.request.extra)['time']}.",)
    columns = (Column("name"), Column("estimate", "number"))
    return Table("Working correlation", columns, rows, notes)


def _coefficients(fit: GEEFit) -> Table:
    link, ordered = fit.model.link, fit.model.family.ordered
    unit, ratio = scale_words(link, ordered, fit.design.response_name)
    known = bounds(fit.estimates.beta, law(fit), _LEVEL)
    t = fit.estimates.beta / known.se
    shown = [fit.estimates.beta, known.se, known.lower, known.upper, t]
    finite = bool(np.isfinite(known.df).all())
    shown += [known.df, t_tail(t, known.df)] if finite else [t_tail(t, known.df)]
    each = zip(fit.names, *(values.tolist() for values in shown), strict=True)
    rows: list[tuple[Cell, ...]] = list(each)
    columns = [
        Column("name"),
        Column("estimate", "number"),
        Column("SE", "number", "se"),
        Column("lower", "number"),
        Column("upper", "number"),
        Column("t" if finite else "z", "ratio"),
    ]
    if finite:
        columns.append(Column("df", "ratio"))
    columns.append(Column("p", "p"))
    notes = ["Population-averaged: effects on the mean over all clusters, not for a given one."]
    if ordered:
        notes.append("a|b: threshold between two classes.")
    if ratio:
        notes.append(f"exp(estimate) is {ratio}.")
    title = f"Mean ({unit}), 95 % Wald intervals"
    return Table(title, tuple(columns), tuple(rows), tuple(notes), even_decimals(known.se.tolist()))


def _few(fit: GEEFit) -> str:
    corrected = fit.covariance_used not in ("robust", "model") and fit.df_used != "normal"
    what = (
        "standard errors and tests are corrected for it, and still approximate"
        if corrected
        else "uncorrected standard errors are too small; the defaults of gee() correct them"
    )
    where = "docs/troubleshooting.md#few_clusters"
    return f"{fit.clusters:g} clusters, fewer than {FEW}: {what} ({where})"
