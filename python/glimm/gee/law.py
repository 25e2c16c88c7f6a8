"""The covariance of a GEEFit with its degrees of freedom, as tests and intervals take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..inference.freedom import wald

if TYPE_CHECKING:
    from .fit import GEEFit

Array = NDArray[np.float64]

COVARIANCES = {
    "robust": "robust (sandwich), no correction for few clusters",
    "model": "model-based: as if the working correlation were true",
    "kauermann-carroll": "robust, corrected for few clusters (Kauermann-Carroll)",
    "mancl-derouen": "robust, corrected for few clusters (Mancl-DeRouen)",
    "fay-graubard": "robust, corrected for few clusters (Fay-Graubard)",
    "morel": "robust, corrected for few clusters (Morel-Bokossa-Neerchal)",
    "jackknife-onestep": "jackknife over clusters, one step each",
    "jackknife": "jackknife over clusters",
}
FREEDOMS = {
    "normal": "normal distribution",
    "clusters": "t, clusters less coefficients",
    "satterthwaite": "t, Satterthwaite degrees of freedom",
    "pan-wall": "t, Pan-Wall degrees of freedom",
    "fay-graubard": "t, Fay-Graubard degrees of freedom",
}


@dataclass(frozen=True, slots=True, eq=False)
class Law:
    """A covariance of the coefficients (p, p), and a kind of degrees of freedom; a `Freedom`."""

    fit: GEEFit
    covariance: Array
    kind: str

    @property
    def source(self) -> str:
        """Where both come from, in words."""
        return f"{self.fit.covariance_used} covariance, {FREEDOMS[self.kind]}"

    def df(self, contrast: Array) -> float:
        """Degrees of freedom of a combination of the coefficients."""
        return float(self.fit.freedom(contrast, self.kind)[0])

    def joint(self, rows: Array, distance: Array) -> tuple[float, float]:
        """F, and the least degrees of freedom of its combinations."""
        below = float(self.fit.freedom(rows, self.kind).min())
        return wald(rows @ self.covariance @ rows.T, distance), below


def law(fit: GEEFit, df: str | None = None) -> Law:
    """Return the covariance in use, with degrees of freedom of a kind or those in use."""
    return Law(fit, fit.vcov(), fit.df_used if df is None else df)
