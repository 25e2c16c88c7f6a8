"""A mixed model's population-averaged effects beside the estimating equations of the same data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from ..tables import Cell, Column, Framed, Table

if TYPE_CHECKING:
    from ..fit import Fit
    from .fit import GEEFit


@dataclass(frozen=True, slots=True)
class Beside(Framed):
    """Two estimates of the same population-averaged effects.

    Attributes
    ----------
    table : Table
        Coefficient, the mixed model's, the estimating equations', and their difference in standard
        errors.
    """

    table: Table
    frame_kind: Any


def beside(fit: Fit, gee: GEEFit) -> Beside:
    """Put a mixed model's population-averaged effects beside those of estimating equations.

    Both estimate how the mean over all clusters changes with a covariate. Where the mixed model
    holds, they agree within a standard error or two; a larger difference speaks against its random
    effects (or, with dropout that depends on earlier responses, against the equations).

    Parameters
    ----------
    fit : Fit
        Of `glimm.fit`, with random effects.
    gee : GEEFit
        Of `glimm.gee`, with the same response, fixed effects and link.

    Returns
    -------
    Beside

    Raises
    ------
    DataError
        When the responses, the links or the coefficients are not the same.
    """
    if fit.model.link != gee.model.link:
        message = f"the links are {fit.model.link!r} and {gee.model.link!r}; they must be the same"
        raise DataError(message, code="not_comparable")
    if not np.array_equal(fit.design.rows, gee.design.rows):
        message = f"the fits use different rows ({fit.design.n:,} and {gee.design.n:,})"
        raise DataError(message, code="not_comparable")
    if not np.array_equal(fit.design.y, gee.design.y):
        raise DataError("the fits have different responses", code="not_comparable")
    if fit.design.x_names != gee.design.x_names:
        message = "the fits have different fixed effects; use the same ones in both formulas"
        raise DataError(message, code="not_comparable")
    averaged = _averaged(fit)
    errors = gee.se
    rows: list[tuple[Cell, ...]] = []
    for name, estimate in gee.coef.items():
        if name in averaged:
            other, se = averaged[name]
            apart = (estimate - other) / errors[name]
            rows.append((name, other, se, estimate, errors[name], apart))
    columns = (
        Column("name"),
        Column("mixed model", "number", "mixed"),
        Column("SE", "number", "mixed_se"),
        Column("GEE", "number", "gee"),
        Column("SE ", "number", "gee_se"),
        Column("difference / SE", "ratio", "difference"),
    )
    notes = (
        "Mixed model: its subject-specific effects averaged over the random effects. "
        f"GEE: correlation {gee.model.corr.text}, {gee.covariance_used} standard errors.",
    )
    title = f"Population-averaged effects ({gee.model.link} scale)"
    return Beside(Table(title, columns, tuple(rows), notes), gee.design.frame_kind)


def _averaged(fit: Fit) -> dict[str, tuple[float, float]]:
    """Population-averaged coefficients of a mixed model with their standard errors."""
    found = fit.population_averaged()
    errors = found.se
    return {name: (estimate, errors[name]) for name, estimate in found.coef.items()}
