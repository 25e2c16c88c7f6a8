"""What an estimate is of, in words."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING, Any

from ..errors import listed
from ..mixed import MIXED, FamilyBy

if TYPE_CHECKING:
    from ..fit import Fit
    from .grid import Grid

_SCALES = {
    "logit": "log odds",
    "log": "log",
    "identity": "units of the response",
    "probit": "probit scale",
    MIXED: "each row's own",
}


def unit_of(fit: Fit) -> str:
    """Return what the linear predictor is measured in."""
    if fit.model.link == "identity":
        return fit.design.response_name
    if fit.model.link == "log":
        return f"log {fit.design.response_name}"
    return _SCALES.get(fit.model.link, f"{fit.model.link} scale")


@singledispatch
def estimand(fit: Any, effect: str) -> str:
    """Return whom the estimates are for."""
    groups = list(dict.fromkeys(term.label for term in fit.design.terms))
    if not groups:
        return "the population: there are no random effects"
    names = ", ".join(groups)
    if fit.model.link == "identity" and fit.model.zi is None:
        return f"for a typical level of {names}, which is also the mean over all levels"
    if effect == "subject":
        return f"subject-specific: for a typical level of {names} (random effects at zero)"
    return f"population-averaged: the mean over the random effects of {names}, integrated exactly"


def scale_words(fit: Fit, scale: str) -> str:
    """Return the scale of an estimate."""
    if scale == "link":
        return f"link ({_SCALES.get(fit.model.link, fit.model.link)})"
    probability = fit.model.family.trials and not isinstance(fit.model.family, FamilyBy)
    return f"response ({'probability' if probability else 'expected response'})"


def averaged(fit: Fit, grid: Grid, average: str, by: tuple[str, ...] = ()) -> str:
    """Return what was averaged over what."""
    on = {
        "link": ", on the link scale, then transformed back",
        "response": ", on the scale of the response",
    }[average]
    on = "" if fit.model.link == "identity" else on
    if grid.kind == "data":
        within = f" within {', '.join(by)}" if by else ""
        return f"over the {grid.rows:,} rows of the data{within}{on}"
    if grid.rows > 1:
        return f"over {grid.rows:,} combinations of {', '.join(grid.free)}, equally{on}"
    return "over nothing: each estimate is of one combination of covariates"


def held_words(fit: Fit, grid: Grid, at: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the covariates that were held, and the offset."""
    found = []
    held = [f"{name} = {shown(value)}" for name, value in (*grid.held, *at.items())]
    if held:
        found.append(("Held", ", ".join(held)))
    if grid.offset is not None:
        same = float(grid.offset.min()) == float(grid.offset.max())
        found.append(("Offset", shown(grid.offset[0].item()) if same else "each row's own"))
    elif fit.design.formula.offsets:
        found.append(("Offset", f"from {listed(fit.design.formula.offsets)} at these covariates"))
    return found


def shown(value: Any) -> str:
    """Return a value of a covariate as it is printed."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
