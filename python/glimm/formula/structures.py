"""Covariance structures that formulas name; their numbers are the core's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StructureWords:
    """How a structure is written and read.

    Parameters
    ----------
    meaning : str
    example : str
    timed : bool
        Whether its effects belong to times: one effect for each value of a column.
    common : bool
        Whether all effects have one standard deviation.
    shape : tuple of str
        Names of the parameters after the standard deviations; ``"lag"`` stands for as many as
        there are lags.
    constants : tuple of str
        What may stand behind a comma.
    """

    meaning: str
    example: str
    timed: bool = False
    common: bool = False
    shape: tuple[str, ...] = ()
    constants: tuple[str, ...] = ()


STRUCTURES = {
    "ar1": StructureWords(
        "correlation rho^|i - j| between times i and j", "ar1(0 + week | person)",
        timed=True, common=True, shape=("angle",),
    ),
    "cs": StructureWords(
        "one correlation, a variance for each effect", "cs(0 + arm | centre)", shape=("angle",)
    ),
    "hetar1": StructureWords(
        "as ar1, a variance for each time", "hetar1(0 + week | person)",
        timed=True, shape=("angle",),
    ),
    "homcs": StructureWords(
        "one correlation and one variance", "homcs(0 + arm | centre)",
        common=True, shape=("angle",),
    ),
    "homdiag": StructureWords(
        "independent effects with one variance", "homdiag(0 + arm | centre)", common=True
    ),
    "homtoep": StructureWords(
        "a correlation for each lag, one variance", "homtoep(0 + week | person)",
        timed=True, common=True, shape=("lag",),
    ),
    "ou": StructureWords(
        "correlation exp(-distance / range) between any times", "ou(0 + hour | person)",
        timed=True, common=True, shape=("log range",),
    ),
    "rr": StructureWords(
        "a factor model with d factors (2 when not given)", "rr(0 + species | site, d=2)",
        constants=("d",),
    ),
    "toep": StructureWords(
        "a correlation for each lag, a variance for each time", "toep(0 + week | person)",
        timed=True, shape=("lag",),
    ),
}  # fmt: skip
"""By name."""

RELATIONS = ("pedigree", "phylogeny", "known", "graph")
"""Words for a known relation among groups, as in ``(1 | animal, pedigree=name)``."""
