"""Power over sizes of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import DataError
from ..fit import Fit
from .extend import extend
from .result import PowerCurve
from .run import power
from .truth import frame_of


def power_curve(
    formula: str | Fit,
    design: Any = None,
    effects: Mapping[str, float] | None = None,
    *,
    sizes: Mapping[str, Sequence[int]],
    rows: Mapping[str, Sequence[int]] | None = None,
    **options: Any,
) -> PowerCurve:
    """Estimate the power of a study at several sizes.

    Parameters
    ----------
    formula, design, effects
        As in `power`.
    sizes : mapping of str to sequence of int
        Numbers of levels of a grouping column; the design is extended to each, see `extend`.
        Several columns go together, in step. Empty where `rows` is given alone.
    rows : mapping of str to sequence of int, optional
        Numbers of rows of each level of a column, likewise in step.
    **options
        As in `power`; every size has the same seed.

    Returns
    -------
    PowerCurve

    Raises
    ------
    DataError
        When the numbers of sizes differ.

    Examples
    --------
    >>> import glimm
    >>> design = {"subject": [i // 4 for i in range(40)], "drug": [i // 4 % 2 for i in range(40)]}
    >>> curve = glimm.power_curve("y ~ drug + (1 | subject)", design,
    ...     {"(Intercept)": 0, "drug": 1.2}, sizes={"subject": [10, 40]},
    ...     random={"subject": 1.0}, parameters={"sigma": 1.0}, n=20, seed=1)
    >>> [point.rejections["drug"] for point in curve.points]
    [7, 19]
    """
    given = {("groups", key): list(values) for key, values in sizes.items()}
    given |= {("rows", key): list(values) for key, values in (rows or {}).items()}
    lengths = {len(values) for values in given.values()}
    if len(lengths) != 1 or lengths == {0}:
        message = f"sizes= and rows= need equally many numbers each, at least one; got {lengths}"
        raise DataError(message, code="unknown_option")
    if design is None and isinstance(formula, Fit):
        design = frame_of(formula)
    points, labels = [], []
    for i in range(lengths.pop()):
        step: dict[str, dict[str, int]] = {"groups": {}, "rows": {}}
        for (what, key), values in given.items():
            step[what][key] = values[i]
        points.append(power(formula, extend(design, **step), effects, **options))
        extra = {f"rows per {key}": value for key, value in step["rows"].items()}
        labels.append(step["groups"] | extra)
    return PowerCurve(tuple(labels), tuple(points))
