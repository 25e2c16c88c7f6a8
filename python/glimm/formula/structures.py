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
    placed : bool
        Whether its effects belong to places: one effect for each point of the columns' coordinates.
    chain : bool
        Whether an effect depends on those before it through the last one alone.
    """

    meaning: str
    example: str
    timed: bool = False
    common: bool = False
    shape: tuple[str, ...] = ()
    constants: tuple[str, ...] = ()
    placed: bool = False
    chain: bool = False


STRUCTURES = {
    "ar1": StructureWords(
        "correlation rho^|i - j| between times i and j", "ar1(0 + week | person)",
        timed=True, chain=True, common=True, shape=("angle",),
    ),
    "cs": StructureWords(
        "one correlation, a variance for each effect", "cs(0 + arm | centre)", shape=("angle",)
    ),
    "exp": StructureWords(
        "correlation exp(-distance / range) between places", "exp(x + y | region)",
        common=True, shape=("log range",), placed=True,
    ),
    "gau": StructureWords(
        "correlation exp(-(distance / range)^2) between places", "gau(x + y | region)",
        common=True, shape=("log range",), placed=True,
    ),
    "hetar1": StructureWords(
        "as ar1, a variance for each time", "hetar1(0 + week | person)",
        timed=True, chain=True, shape=("angle",),
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
    "mat": StructureWords(
        "Matern correlation of smoothness nu (1.5 when not given) between places",
        "mat(x + y | region, nu=1.5)",
        common=True, shape=("log range",), constants=("nu",), placed=True,
    ),
    "ou": StructureWords(
        "correlation exp(-distance / range) between any times", "ou(0 + hour | person)",
        timed=True, chain=True, common=True, shape=("log range",),
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


def places_of(structure: str) -> list[tuple[float, ...]]:
    """Return the coordinates behind a field's name, place by place.

    Examples
    --------
    >>> places_of("mat(1.5,2,0.0,0.0,3.0,4.0)")
    [(0.0, 0.0), (3.0, 4.0)]
    """
    name, _, rest = structure.removesuffix(")").partition("(")
    given = rest.split(",")[name == "mat" :]
    width, numbers = int(given[0]), [float(x) for x in given[1:]]
    return [tuple(numbers[i : i + width]) for i in range(0, len(numbers), width)]
