"""Two made-up studies with known truth. Nothing here was measured on anybody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import Kind, frame_like
from ..errors import DataError

_DAYS_PER_MONTH = 30.0
_DAYS_PER_YEAR = 365.25
_MIDSUMMER = 196  # 15 July, day of the year


@dataclass(frozen=True, slots=True)
class Truth:
    """The parameters that a simulated study was drawn from, on the scale of the linear predictor.

    Attributes
    ----------
    coef : mapping of str to float
        Fixed effects by name.
    sd : mapping of str to float
        Standard deviations of the group's random effects by name.
    corr : float
        Correlation of the two random effects.
    dispersion : mapping of str to float
        Further parameters of the family by name; empty when it has none.
    """

    coef: Mapping[str, float]
    sd: Mapping[str, float]
    corr: float
    dispersion: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Simulated:
    """A simulated study.

    Attributes
    ----------
    frame : frame
        The data, of the kind asked for.
    truth : Truth
        The parameters it was drawn from.
    formula, family : str
        The model it was drawn from, to be given to `glimm.fit`.
    """

    frame: Any
    truth: Truth
    formula: str
    family: str


STEPS = Truth(
    coef={"(Intercept)": 8.7, "month": 0.05, "weekend": -0.12, "season": 0.15},
    sd={"(Intercept)": 0.4, "month": 0.1},
    corr=-0.3,
    dispersion={"theta": 8.0},
)

INFECTIONS = Truth(
    coef={"(Intercept)": -2.5, "protocol": -0.5, "age": 0.25, "catheter": 0.8},
    sd={"(Intercept)": 0.6, "protocol": 0.5},
    corr=-0.3,
    dispersion={},
)


def make_steps(
    people: int = 1000, days: int = 60, *, seed: int = 0, kind: Kind = "pandas"
) -> Simulated:
    """Simulated daily step counts of people followed for some weeks.

    Every person has a level and a trend of their own (correlated); counts vary around them as
    negative binomial. People start on days spread over a year, so the season differs between them.

    Parameters
    ----------
    people, days : int
        Number of people, and of days that each is followed. The frame has people x days rows.
    seed : int
        Seed of the generator: the same seed gives the same frame.
    kind : {"pandas", "polars", "pyarrow", "dict"}
        The kind of frame wanted.

    Returns
    -------
    Simulated
        Columns: `person`, `day` (0, 1, ...), `month` (days since the start / 30), `weekend` (0/1),
        `season` (from -1, midwinter, to 1, midsummer), `steps` (per day). The truth is on the log
        scale of the expected steps; `theta` is the size of the negative binomial.

    Raises
    ------
    DataError
        When `people` or `days` is less than 1.

    Examples
    --------
    >>> import glimm
    >>> study = glimm.datasets.make_steps(people=3, days=2, seed=1, kind="dict")
    >>> study.frame["weekend"].tolist()
    [0, 1, 0, 1, 0, 0]
    >>> study.truth.sd["month"]
    0.1
    """
    _at_least_one(people=people, days=days)
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(1, people + 1), days)
    day = np.tile(np.arange(days), people)
    date = np.repeat(rng.integers(0, 365, size=people), days) + day
    columns: dict[str, NDArray[Any]] = {
        "person": person,
        "day": day,
        "month": day / _DAYS_PER_MONTH,
        "weekend": (date % 7 >= 5).astype(np.int64),
        "season": np.cos(2 * np.pi * (date - _MIDSUMMER) / _DAYS_PER_YEAR),
    }
    eta = _linear_predictor(STEPS, columns, person - 1, people, rng)
    size = STEPS.dispersion["theta"]
    columns["steps"] = rng.poisson(np.exp(eta) * rng.gamma(size, 1 / size, eta.size))
    formula = "steps ~ month + weekend + season + (1 + month | person)"
    return Simulated(frame_like(kind, columns), STEPS, formula, "nbinom2")


def make_infections(
    hospitals: int = 200, patients: int = 100, *, seed: int = 0, kind: Kind = "pandas"
) -> Simulated:
    """Simulated hospital infections before and under a cleaning protocol.

    Hospitals differ in their infection rate and in how well the protocol works there (correlated);
    patients differ in age and in whether they have a catheter.

    Parameters
    ----------
    hospitals, patients : int
        Number of hospitals, and of patients per hospital on average (sizes vary several-fold).
    seed : int
        Seed of the generator: the same seed gives the same frame.
    kind : {"pandas", "polars", "pyarrow", "dict"}
        The kind of frame wanted.

    Returns
    -------
    Simulated
        Columns: `hospital`, `protocol` (1: admitted under the protocol), `age` (decades from 60),
        `catheter` (0/1), `infection` (0/1). The truth is in log odds.

    Raises
    ------
    DataError
        When `hospitals` or `patients` is less than 1.

    Examples
    --------
    >>> import glimm
    >>> study = glimm.datasets.make_infections(hospitals=5, seed=1, kind="dict")
    >>> sorted(set(study.frame["infection"].tolist()))
    [0, 1]
    """
    _at_least_one(hospitals=hospitals, patients=patients)
    rng = np.random.default_rng(seed)
    sizes = 1 + rng.poisson((patients - 1) * rng.gamma(4.0, 0.25, hospitals))
    hospital = np.repeat(np.arange(1, hospitals + 1), sizes)
    n = hospital.size
    columns: dict[str, NDArray[Any]] = {
        "hospital": hospital,
        "protocol": rng.integers(0, 2, n),
        "age": np.round(rng.normal(0.0, 1.5, n), 1),
        "catheter": (rng.random(n) < 0.3).astype(np.int64),
    }
    eta = _linear_predictor(INFECTIONS, columns, hospital - 1, hospitals, rng)
    columns["infection"] = (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(np.int64)
    formula = "infection ~ protocol + age + catheter + (1 + protocol | hospital)"
    return Simulated(frame_like(kind, columns), INFECTIONS, formula, "binomial")


def _linear_predictor(
    truth: Truth,
    columns: Mapping[str, NDArray[Any]],
    group: NDArray[np.int64],
    groups: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Fixed part plus each group's own intercept and slope, drawn here."""
    first, second = truth.sd.values()
    z = rng.standard_normal((groups, 2))
    intercept = first * z[:, 0]
    slope = second * (truth.corr * z[:, 0] + np.sqrt(1 - truth.corr**2) * z[:, 1])
    slope_of = list(truth.sd)[1]
    eta = truth.coef["(Intercept)"] + intercept[group] + slope[group] * columns[slope_of]
    for name, value in truth.coef.items():
        if name != "(Intercept)":
            eta = eta + value * columns[name]
    return np.asarray(eta, dtype=np.float64)


def _at_least_one(**counts: int) -> None:
    for name, value in counts.items():
        if value < 1:
            raise DataError(f"{name} = {value!r}: at least 1 is needed", code="unknown_option")
