"""What a simulation of power found."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import frame_like
from ..tables import Column, Printed, Table
from .tests import Target

Array = NDArray[np.float64]

_LAWS = {"normal": "normal distribution", "satterthwaite": "Satterthwaite df",
         "kenward-roger": "Kenward-Roger df"}  # fmt: skip
_TESTS = {
    "wald": "two-sided Wald tests, {df}",
    "lrt": "likelihood ratio tests, chi-squared distribution",
    "function": "the test given",
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Power(Printed):
    """The power of tests, from n simulated data sets. Made by `power`.

    Parameters
    ----------
    targets : tuple of Target
        What was tested, k of them.
    estimates, p : ndarray, (n, k)
        Of each data set; NaN where the fit failed, estimates also for joint tests.
    converged : ndarray of bool, (n,)
    failures : tuple of (str or None), (n,)
        Why a fit or its test failed.
    test, df : str
    alpha : float
        A p value at most this rejects.
    level : float
        Of the confidence intervals.
    rows : int
        Of a data set.
    groups : tuple of (str, int)
        Number of levels of each grouping factor.
    seconds : float
        What the simulation took.
    frame_kind : str
    """

    targets: tuple[Target, ...]
    estimates: Array
    p: Array
    converged: NDArray[np.bool_]
    failures: tuple[str | None, ...]
    test: str
    df: str
    alpha: float
    level: float
    rows: int
    groups: tuple[tuple[str, int], ...]
    seconds: float
    frame_kind: Any

    @property
    def words(self) -> str:
        """The test in words."""
        return _TESTS[self.test].format(df=_LAWS.get(self.df, f"df by {self.df}"))

    @property
    def n(self) -> int:
        """Number of data sets."""
        return len(self.failures)

    @property
    def failed(self) -> int:
        """Number of data sets whose fit or test failed; they count as no rejection."""
        return sum(failure is not None for failure in self.failures)

    @property
    def not_converged(self) -> int:
        """Number of fits that stopped before the maximum; their tests count as they are."""
        return int((~self.converged).sum()) - self.failed

    @property
    def rejections(self) -> dict[str, int]:
        """Number of rejections by what was tested."""
        counts = (self.p <= self.alpha).sum(axis=0).tolist()
        return {target.name: count for target, count in zip(self.targets, counts, strict=True)}

    @property
    def power(self) -> dict[str, float]:
        """Share of rejections by what was tested."""
        return {name: count / self.n for name, count in self.rejections.items()}

    def columns(self) -> dict[str, list[Any]]:
        """Return the numbers by column; see `to_frame`."""
        rejected = self.p <= self.alpha
        found: dict[str, list[Any]] = {key: [] for key in _KEYS}
        for k, target in enumerate(self.targets):
            count = int(rejected[:, k].sum())
            low, high = clopper_pearson(count, self.n, self.level)
            shown = self.estimates[rejected[:, k], k]
            done = self.estimates[np.isfinite(self.estimates[:, k]), k]
            signed = math.isfinite(target.truth) and target.truth != 0 and count > 0
            row = (
                target.name, target.truth, count / self.n, low, high,
                float(done.mean()) if done.size else math.nan,
                float(np.abs(shown).mean() / abs(target.truth)) if signed else math.nan,
                float((np.sign(shown) != np.sign(target.truth)).mean()) if signed else math.nan,
            )  # fmt: skip
            for key, value in zip(_KEYS, row, strict=True):
                found[key].append(value)
        return found

    def to_frame(self) -> Any:
        """Return a frame of the kind that the design was given.

        Returns
        -------
        frame
            `target`; `truth`, the coefficient simulated with; `power` with `lower` and `upper`
            (Clopper and Pearson); `mean_estimate`; `exaggeration`, the mean size of estimates that
            rejected over the true size (type M error); `wrong_sign`, the share of them with the
            wrong sign (type S error).
        """
        return frame_like(self.frame_kind, self.columns())

    @property
    def table(self) -> Table:
        """The numbers and what they are of."""
        heads = (
            Column("target"), Column("truth", "number"), Column("power", "number"),
            Column("lower", "number"), Column("upper", "number"),
            Column("mean est.", "number", "mean_estimate"),
            Column("exagg.", "ratio", "exaggeration"),
            Column("wrong sign", "number", "wrong_sign"),
        )  # fmt: skip
        columns = self.columns()
        for key in ("power", "lower", "upper", "wrong_sign"):
            columns[key] = [round(value, 3) for value in columns[key]]
        title = f"Power at alpha = {self.alpha:g}, {self.n:,} simulated data sets"
        return Table(title, heads, tuple(zip(*columns.values(), strict=True)), self._notes())

    def _notes(self) -> tuple[str, ...]:
        groups = "".join(f", {name} {count:,} levels" for name, count in self.groups)
        notes = [
            f"{self.rows:,} rows{groups}; {self.words}.",
            f"{100 * self.level:g} % intervals of the power by Clopper and Pearson (exact).",
        ]
        if self.test != "function":
            notes.append(
                "exagg. and wrong sign: of estimates that rejected (type M and type S errors)."
            )
        notes.append(
            f"Failed fits {self.failed:,} (count as no rejection), not converged "
            f"{self.not_converged:,}."
        )
        notes += [f"{count:,} failed: {message}" for message, count in self._reasons()]
        return tuple(notes)

    def _reasons(self) -> list[tuple[str, int]]:
        return Counter(message for message in self.failures if message).most_common(3)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name} {value:.3f}" for name, value in self.power.items())
        return f"<Power of {self.n:,} data sets: {shown}>"


_KEYS = ("target", "truth", "power", "lower", "upper", "mean_estimate", "exaggeration",
         "wrong_sign")  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PowerCurve(Printed):
    """Power over sizes of a study. Made by `power_curve`.

    Parameters
    ----------
    sizes : tuple of dict
        Of each point: ``{"subject": 20}``.
    points : tuple of Power
    """

    sizes: tuple[dict[str, int], ...]
    points: tuple[Power, ...]

    def to_frame(self) -> Any:
        """Return a frame: the sizes, then the columns of `Power.to_frame`."""
        return frame_like(self.points[0].frame_kind, self.columns())

    def columns(self) -> dict[str, list[Any]]:
        """Return the numbers by column; see `to_frame`."""
        found: dict[str, list[Any]] = {}
        for size, point in zip(self.sizes, self.points, strict=True):
            columns = point.columns()
            count = len(columns["target"])
            for key, value in size.items():
                found.setdefault(key, []).extend([value] * count)
            for key, values in columns.items():
                found.setdefault(key, []).extend(values)
        return found

    @property
    def table(self) -> Table:
        """The power at each size."""
        columns = self.columns()
        keys = [*self.sizes[0], "target", "power", "lower", "upper"]
        whole = set(self.sizes[0])
        heads = tuple(
            Column(key, "integer" if key in whole else "text" if key == "target" else "number")
            for key in keys
        )
        for key in ("power", "lower", "upper"):
            columns[key] = [round(value, 3) for value in columns[key]]
        rows = tuple(zip(*(columns[key] for key in keys), strict=True))
        one = self.points[0]
        failed = sum(point.failed for point in self.points)
        notes = (
            f"{one.n:,} data sets a size; {one.words}; {100 * one.level:g} % intervals by "
            "Clopper and Pearson.",
            f"Failed fits {failed:,} (count as no rejection), not converged "
            f"{sum(point.not_converged for point in self.points):,}.",
        )
        return Table(f"Power at alpha = {one.alpha:g}", heads, rows, notes)

    def plot(self, ax: Any = None) -> Any:
        """Draw the power over the size; see `glimm.plots.power`."""
        from ..plots import power

        return power(self, ax=ax)

    def __repr__(self) -> str:
        return f"<PowerCurve of {len(self.points)} sizes>"


def clopper_pearson(count: int, n: int, level: float) -> tuple[float, float]:
    """Return the exact confidence interval of a share.

    References
    ----------
    Clopper, C. and Pearson, E. S. (1934). The use of confidence or fiducial limits illustrated in
    the case of the binomial. Biometrika 26, 404-413.

    Examples
    --------
    >>> low, high = clopper_pearson(8, 10, 0.95)
    >>> round(low, 4), round(high, 4)
    (0.4439, 0.9748)
    """
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    low = float(betaincinv(count, n - count + 1, tail)) if count else 0.0
    high = float(betaincinv(count + 1, n - count, 1 - tail)) if count < n else 1.0
    return low, high
