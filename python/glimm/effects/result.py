"""Estimates of means, comparisons or slopes, with what they are of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..tables import Cell, Column, Facts, Printed, Table

if TYPE_CHECKING:
    from ..fit import Fit

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Effects(Printed):
    """Means, comparisons or slopes. Made by `means`, `comparisons` and `slopes`.

    Parameters
    ----------
    kind : str
        ``"means"``, ``"comparisons"`` or ``"slopes"``.
    labels : mapping of str to list
        What tells the k estimates apart, column by column.
    estimate, se, df, statistic, p, lower, upper : ndarray, (k,)
        On the scale stated; ratios as ratios, with the standard error of the ratio. Degrees of
        freedom are infinite for the normal distribution. `statistic` and `p` are NaN for means.
    covariance : ndarray, (k, k)
        Of the estimates; of their logarithms for ratios.
    facts : tuple of (str, str)
        What is estimated, on which scale, averaged over what, with which intervals.
    fit : Fit
    """

    kind: str
    labels: dict[str, list[Any]]
    estimate: Array
    se: Array
    df: Array
    statistic: Array
    p: Array
    lower: Array
    upper: Array
    covariance: Array
    facts: tuple[tuple[str, str], ...]
    fit: Fit

    def to_frame(self) -> Any:
        """Return a frame of the user's kind.

        Returns
        -------
        frame
            The labels; `estimate`, `se`, `df`, `lower`, `upper`; for comparisons and slopes also
            `statistic` and `p`.
        """
        return self.fit.frame(self.columns())

    def columns(self) -> dict[str, Any]:
        """Return the numbers by column; see `to_frame`."""
        keys = ["estimate", "se", "df", "lower", "upper"]
        if self.kind != "means":
            keys += ["statistic", "p"]
        return {**self.labels, **{key: getattr(self, key) for key in keys}}

    @property
    def tables(self) -> tuple[Facts, Table]:
        """What is estimated, and the estimates."""
        titles = {"means": "Means", "comparisons": "Comparisons", "slopes": "Slopes"}
        return Facts(titles[self.kind], self.facts), self.table

    @property
    def table(self) -> Table:
        """The estimates."""
        heads = [Column(name, _format(values)) for name, values in self.labels.items()]
        columns: list[Sequence[Cell]] = [_plain(values) for values in self.labels.values()]
        for head, key in (("estimate", "estimate"), ("SE", "se"), ("lower", "lower"),
                          ("upper", "upper")):  # fmt: skip
            heads.append(Column(head, "number", key))
            columns.append(getattr(self, key).tolist())
        finite = bool(np.isfinite(self.df).all()) and self.df.size > 0
        if finite:
            heads.append(Column("df", "ratio"))
            columns.append(self.df.tolist())
        if self.kind != "means":
            heads += [Column("t" if finite else "z", "ratio", "statistic"), Column("p", "p")]
            columns += [self.statistic.tolist(), self.p.tolist()]
        return Table("Estimates", tuple(heads), tuple(zip(*columns, strict=True)))

    def plot(self, ax: Any = None) -> Any:
        """Draw the estimates with their intervals; see `glimm.plots.estimates`."""
        from ..plots import estimates

        return estimates(self, ax=ax)

    def __repr__(self) -> str:
        return f"<{self.kind} of {self.fit.model.formula.text!r}, {self.estimate.size} estimates>"


def _format(values: Sequence[Any]) -> Any:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if not numbers:
        return "text"
    return "integer" if all(float(v).is_integer() and abs(v) < 1e4 for v in values) else "number"


def _plain(values: Sequence[Any]) -> list[Cell]:
    if _format(values) == "text":
        return [str(value) for value in values]
    if _format(values) == "integer":
        return [int(value) for value in values]
    return [math.nan if value is None else float(value) for value in values]
