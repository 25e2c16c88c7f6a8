"""Whether the parts of a model suit its family."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import FamilyError, listed, nearest_first
from .families import families
from .mixed import FamilyBy

if TYPE_CHECKING:
    from .model import Model

_MOST_WITH_ZEROS = 2


def check_parts(model: Model, precision: bool) -> None:
    """Refuse parts that the family has not.

    Raises
    ------
    FamilyError
    """
    family = model.family
    if isinstance(family, FamilyBy):
        _check_several(model, family, precision)
    _check_residual(model, precision)
    if model.disp is not None and family.dispersion is None:
        has = listed([f.name for f in families().values() if f.dispersion is not None], 40)
        message = f"disp= is given, but family {family.name!r} has no dispersion parameter"
        raise FamilyError(f"{message}; those that have one: {has}")
    if model.zi is not None and family.ordered:
        raise FamilyError(f"zi= is given, but family {family.name!r} has classes, not zeros")
    if model.zi is not None and len(family.parameters) > _MOST_WITH_ZEROS:
        raise FamilyError(
            f"zi= is given, but family {family.name!r} has {len(family.parameters)} parameters "
            f"besides the mean; with extra zeros it can have {_MOST_WITH_ZEROS}"
        )
    if model.reml and model.penalty is not None:
        message = "reml=True gives the coefficients a flat prior; it goes without penalty="
        raise FamilyError(message)
    if model.reml and family.ordered:
        raise FamilyError(
            f"reml=True integrates the coefficients out, but not the thresholds of family "
            f"{family.name!r}, which stand for an intercept; leave reml out for maximum likelihood"
        )
    known = {parameter.name: parameter for parameter in family.parameters}
    for name, value in model.hold:
        if name not in known:
            names = listed(nearest_first(name, known)) if known else "none"
            message = f"hold= names {name!r}; parameters of family {family.name!r}: {names}"
            raise FamilyError(message)
        if model.disp is not None and known[name].dispersion:
            raise FamilyError(
                f"hold= names {name!r}, which has a formula in disp=; use one of them"
            )
        known[name].predictor(float(value))
    if precision and not any(parameter.precision for parameter in family.parameters):
        raise FamilyError(
            f"precision= is given, but the variance of family {family.name!r} follows from its "
            "mean, so that a row cannot be more precise; freq= says how often a row occurs"
        )


def _check_several(model: Model, family: FamilyBy, precision: bool) -> None:
    """Refuse what families that differ by row have not."""
    for name, given, instead in (
        ("zi", model.zi is not None, "fit the trait with extra zeros alone"),
        ("precision", precision, "freq= says how often a row occurs"),
        (
            "penalty",
            model.penalty is not None and model.penalty.coef != "none",
            "Penalty(coef='none', variance=True) is on covariances alone",
        ),
    ):
        if given:
            message = f"{name}= is given, and the families differ by {family.column!r}"
            raise FamilyError(f"{message}, so that there is no scale in common; {instead}")
    if family.held and model.disp is not None:
        names = listed([name for name, _ in family.held])
        raise FamilyError(f"hold= names {names}, and disp= is a formula of it; use one of them")


def _check_residual(model: Model, precision: bool) -> None:
    """Refuse what does not go with a covariance of residuals."""
    sides = [side for side in (model.disp, model.zi) if side is not None]
    if any(side.residual is not None for side in sides):
        message = "residual() is of the residuals of the response; it stands in the formula of it"
        raise FamilyError(message)
    term = model.formula.residual
    if term is None:
        return
    if model.family.name != "gaussian" or model.link != "identity":
        raise FamilyError(
            f"{term.text} is a covariance of residuals, which family {model.family.name!r} with "
            f"the {model.link} link has not; it is for gaussian responses with the identity link. "
            f"({term.columns} | {term.group[0]}) correlates linear predictors"
        )
    held = [name for name, _ in model.hold]
    given = [("disp", model.disp is not None), ("hold", bool(held)), ("precision", precision)]
    for name, there in given:
        if there:
            message = f"{name}= is given, and {term.text} has the variances of all residuals"
            raise FamilyError(f"{message}; leave one of them out")
