"""Penalties: weak prior knowledge against separation and variances of zero."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .errors import DataError, listed, nearest_first
from .structures import bare

if TYPE_CHECKING:
    from .design import Design
    from .model import Model

Array = NDArray[np.float64]

_COEF = ("none", "normal", "student_t")


@dataclass(frozen=True, slots=True)
class Penalty:
    """A prior density on the coefficients or covariances of a fit, added to its log-likelihood.

    The estimates are then posterior modes. The intercept, thresholds and dispersion are left free.

    Parameters
    ----------
    coef : str
        Around zero for each coefficient of the mean and of extra zeros: ``"normal"``,
        ``"student_t"`` or ``"none"``.
    scale : float
        Its scale, on the link scale. With `scaled`, for a column scaled to a range of one if it
        has two values, else to a standard deviation of 1/2: effects beyond a few times `scale`
        are held to be implausible. For the identity link in standard deviations of the response.
    df : float
        Degrees of freedom of ``"student_t"``; 1 is the Cauchy distribution.
    scaled : bool
        False: `scale` is that of a unit of each column as it stands.
    variance : bool
        Whether covariances of random effects are kept away from the boundary: the square root of
        the determinant of each is added as a factor, so that no variance is zero and no
        correlation one.

    References
    ----------
    Gelman, A., Jakulin, A., Pittau, M. G. and Su, Y.-S. (2008). A weakly informative default prior
    distribution for logistic and other regression models. Annals of Applied Statistics 2,
    1360-1383.
    Chung, Y., Rabe-Hesketh, S., Dorie, V., Gelman, A. and Liu, J. (2013). A nondegenerate penalized
    likelihood estimator for variance parameters in multilevel models. Psychometrika 78, 685-709.

    Examples
    --------
    >>> import glimm
    >>> x = [0.0] * 4 + [1.0] * 4
    >>> data = {"y": [0, 1, 0, 1, 1, 1, 1, 1], "x": x, "g": list("aabbccdd")}
    >>> fit = glimm.fit("y ~ x", data, family="binomial", penalty=glimm.Penalty())
    >>> round(fit.coef["x"], 2)
    2.07
    """

    coef: str = "normal"
    scale: float = 2.5
    df: float = 1.0
    scaled: bool = True
    variance: bool = False

    def __post_init__(self) -> None:
        if self.coef not in _COEF:
            names = listed(nearest_first(str(self.coef), _COEF))
            raise DataError(f"coef={self.coef!r}; use {names}", code="unknown_option")
        for name, value in (("scale", self.scale), ("df", self.df)):
            if not 0 < value < math.inf:
                message = f"{name}={value!r}; a number above 0"
                raise DataError(message, code="unknown_option")

    def __str__(self) -> str:
        words = []
        if self.coef != "none":
            law = "normal" if self.coef == "normal" else f"Student t with {self.df:g} df"
            unit = "scaled columns" if self.scaled else "columns as they stand"
            words.append(f"{law}, scale {self.scale:g}, on coefficients of {unit}")
        if self.variance:
            words.append("covariances kept off the boundary")
        return "; ".join(words) or "none"


def core_penalty(model: Model, design: Design) -> tuple[list[list[float]], float, float] | None:
    """Return the penalty as the core takes it: scales by predictor and column, df, power."""
    penalty = model.penalty
    if penalty is None:
        return None
    if penalty.variance:
        _require_determinants(design)
    count = 1 + len(model.family.parameters) + (model.zi is not None)
    scales: list[list[float]] = [[] for _ in range(count)]
    if penalty.coef != "none":
        unit = float(np.std(design.y)) if model.link == "identity" else 1.0
        scales[0] = _scales(penalty, design.x, unit)
        for part in design.parts:
            if part.name == "zi":
                scales[part.predictor] = _scales(penalty, part.x, 1.0)
    df = penalty.df if penalty.coef == "student_t" else math.inf
    return scales, df, 1.0 if penalty.variance else 0.0


def _require_determinants(design: Design) -> None:
    """The core's penalty is a product of diagonals: those of other factors are formulas."""
    for term in design.terms:
        name = bare(term.structure)
        if name not in ("us", "diag") and len(term.columns) > 1:
            message = (
                f"Penalty(variance=True) is for terms with a covariance of any form or none, not "
                f"{name}(... | {term.label}); leave variance=True out, or use us or diag"
            )
            raise DataError(message, code="unknown_structure")


def _scales(penalty: Penalty, x: Array, unit: float) -> list[float]:
    """The scale of each coefficient, infinite for constant columns."""
    found = []
    for column in x.T:
        values = np.unique(column)
        if values.size < 2:
            found.append(math.inf)
            continue
        size = 1.0
        if penalty.scaled:
            size = float(np.ptp(values) if values.size == 2 else 2 * np.std(column))
        found.append(penalty.scale * unit / size)
    return found
