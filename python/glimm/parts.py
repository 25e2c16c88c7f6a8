"""The linear predictors of a fit by name: mean, parameters, extra zeros, thresholds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .families import Parameter
from .mixed import FamilyBy

if TYPE_CHECKING:
    from .fit import Fit

Array = NDArray[np.float64]

ZERO = Parameter("p", "probability of an extra zero", "logit", 0.0, 1.0, False, 0.0)
"""The parameter of zero inflation."""


@dataclass(frozen=True, slots=True, eq=False)
class Coefficients:
    """Coefficients of one linear predictor of a fit.

    Parameters
    ----------
    part : str
        ``"mean"``, ``"zi"``, ``"dispersion"``, ``"thresholds"``, or the name of a parameter.
    scale : str
        Of the linear predictor: the link of the mean, or the scale of the parameter.
    names : tuple of str, (p,)
    estimates : ndarray, (p,)
    covariance : ndarray, (p, p)
    parameter : Parameter, optional
        What the predictor is of; None for the mean and for thresholds.
    modelled : bool
        Whether it has a formula; otherwise it is one number for all rows.
    first : int
        Place of the first coefficient among all parameters.

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("sleepstudy")
    >>> fit = glimm.fit("reaction ~ days + (1 | subject)", data, disp="~ days")
    >>> list(fit.part("dispersion").coef)
    ['(Intercept)', 'days']
    """

    part: str
    scale: str
    names: tuple[str, ...]
    estimates: Array
    covariance: Array
    parameter: Parameter | None
    modelled: bool
    first: int

    @property
    def coef(self) -> dict[str, float]:
        """Estimates on the scale of the linear predictor, by name."""
        return dict(zip(self.names, self.estimates.tolist(), strict=True))

    @property
    def se(self) -> dict[str, float]:
        """Standard errors by name."""
        return dict(zip(self.names, np.sqrt(np.diag(self.covariance)).tolist(), strict=True))

    @property
    def labels(self) -> tuple[str, ...]:
        """Names that tell these coefficients from those of other parts."""
        if self.part in ("mean", "thresholds"):
            return self.names
        if not self.modelled and self.parameter is not None:
            of = (replace(self.parameter, name=name).label for name in self.names)
            return tuple(of)
        return tuple(f"{self.part}: {name}" for name in self.names)

    @property
    def value(self) -> float | None:
        """The parameter, where it is one number for all rows."""
        return next(iter(self.values.values())) if len(self.names) == 1 else None

    @property
    def values(self) -> dict[str, float]:
        """The parameter by name, where it is a number: one for all rows, or one for each trait."""
        if self.modelled or self.parameter is None:
            return {}
        return {name: self.parameter.value(eta) for name, eta in self.coef.items()}


def parts(fit: Fit) -> tuple[Coefficients, ...]:
    """Return the coefficients of all linear predictors, in the order of the parameters."""
    model, design, e = fit.model, fit.design, fit.estimates
    formulas = {part.predictor: part for part in design.parts}

    def made(k: int, part: str, scale: str, all_names: tuple[str, ...],
             parameter: Parameter | None, modelled: bool) -> Coefficients:  # fmt: skip
        start, end = e.fixed[k]
        names = tuple(all_names[j] for j in e.kept[k])
        covariance = e.covariance[start:end, start:end]
        return Coefficients(
            part, scale, names, e.parameters[start:end], covariance, parameter, modelled, start
        )

    found = [made(0, "mean", model.link, design.x_names, None, True)]
    several = isinstance(model.family, FamilyBy)
    for k, parameter in enumerate(model.family.parameters, 1):
        if k in formulas:
            own, names = formulas[k].name, formulas[k].x_names
            implied = several or design.floors
            modelled = not implied or (own == "dispersion" and model.disp is not None)
            found.append(made(k, own, parameter.scale, names, parameter, modelled))
        else:
            found.append(
                made(k, parameter.name, parameter.scale, (parameter.name,), parameter, False)
            )
    if model.zi is not None:
        part = formulas[len(found)]
        found.append(made(len(found), "zi", "logit", part.x_names, ZERO, True))
    if model.family.ordered:
        assert design.response_levels is not None
        levels = [str(level) for level in design.response_levels]
        names = tuple(f"{a}|{b}" for a, b in zip(levels, levels[1:], strict=False))
        found.append(made(1, "thresholds", model.link, names, None, False))
    return tuple(found)
