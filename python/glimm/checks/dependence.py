"""Checks of independence: in time, in space, among relatives, within clusters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError, listed
from .base import Check, p_two_sided
from .columns import groups_of, numbers
from .forms import form_p
from .residuals import Residuals
from .study import Source, Test, one

Array = NDArray[np.float64]
Said = tuple[float, str, Mapping[str, Any]]

_DENSE = 2000
"""Places up to which all pairs of them have a weight, and forms their exact distribution."""
_NEIGHBOURS = 20
_DRAWS = 999
"""Draws of a quadratic form of normal numbers."""


def combined(r: Residuals, codes: NDArray[np.intp], count: int) -> Array:
    """Return one number for each group, standard normal under the model: sum / sqrt(size)."""
    size = np.bincount(codes, minlength=count)
    return np.asarray(np.bincount(codes, r.normal, count) / np.sqrt(np.maximum(size, 1)))


def temporal_test(time: str | ArrayLike, group: str | ArrayLike | None = None) -> Test:
    """Return the test of `temporal`."""

    def pairs(r: Residuals) -> tuple[Array, Array]:
        times = numbers(r, time)
        own = groups_of(r, group)[0] if group is not None else np.zeros(r.n, dtype=np.intp)
        cells, codes = np.unique(np.column_stack([own, times]), axis=0, return_inverse=True)
        z = combined(r, codes.ravel(), len(cells))
        follows = cells[1:, 0] == cells[:-1, 0]
        return z[:-1][follows], z[1:][follows]

    def statistic(r: Residuals) -> float:
        first, second = pairs(r)
        return float(first @ second) / math.sqrt(max(first.size, 1))

    def p(r: Residuals, t: float) -> float:
        from scipy.stats import norm

        return float(2 * norm.sf(abs(t)))

    def describe(r: Residuals, t: float, draws: Array) -> Said:
        first, second = pairs(r)
        if first.size == 0:
            return math.nan, "no two times of one group", {}
        size = math.sqrt(float(first @ first) * float(second @ second))
        effect = float(first @ second) / max(size, 1e-300)
        half = 0.5 * float(first @ first + second @ second)
        watson = float(np.sum((first - second) ** 2)) / max(half, 1e-300)
        words = f"successive times correlate by {effect:.2f}"
        return effect, words, {"durbin_watson": watson, "pairs": first.size}

    return Test("autocorrelation in time", statistic, describe, upper=False, p=p)


def temporal(
    source: Source,
    time: str | ArrayLike,
    group: str | ArrayLike | None = None,
    *,
    null: str = "auto",
    n: int = 199,
    seed: int = 0,
) -> Check:
    """Check whether successive residuals are alike.

    The statistic is the sum of products of normal scores at successive times of a group over the
    root of their number; several rows of one time are taken together.

    Parameters
    ----------
    source : Fit, GEEFit, Residuals or Study
    time : str or array_like
        A column that the fit used, or one number for each row.
    group : str or array_like, optional
        Only rows of one group follow each other.
    null, n, seed
        As in `glimm.checks.study`.

    Returns
    -------
    Check
        Two-sided; its effect is the correlation at lag 1, `details` has Durbin and Watson's ratio.

    References
    ----------
    Durbin, J. and Watson, G. S. (1950). Biometrika 37, 409-428.

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("sleepstudy")
    >>> fit = glimm.fit("reaction ~ days + (1 + days | subject)", data)
    >>> abs(glimm.checks.temporal(fit, "days", "subject", n=39).effect) < 0.5
    True
    """
    return one(source, temporal_test(time, group), null, n, seed)


class _Moran:
    """Moran's form z'W z of standard normal numbers, in its standard deviations."""

    def __init__(self, weights: Any) -> None:
        self.weights = weights
        square = weights.multiply(weights) if hasattr(weights, "multiply") else weights**2
        self.spread = math.sqrt(2 * float(square.sum()))
        self.total = float(weights.sum())

    def form(self, z: Array) -> float:
        return float(z @ (self.weights @ z)) / max(self.spread, 1e-300)

    def index(self, z: Array) -> float:
        """Moran's I."""
        z = z - z.mean()
        return z.size / self.total * float(z @ (self.weights @ z)) / float(z @ z)

    def p(self, t: float) -> float:
        """From the eigenvalues; from draws where there are too many places for them."""
        size = self.weights.shape[0]
        if size <= _DENSE:
            return form_p(t * self.spread, np.linalg.eigvalsh(np.asarray(self.weights)))
        rng = np.random.default_rng(0)
        return p_two_sided(
            t, np.array([self.form(rng.standard_normal(size)) for _ in range(_DRAWS)])
        )


def _moran_test(name: str, moran: _Moran, codes: NDArray[np.intp], words: str) -> Test:
    count = moran.weights.shape[0]

    def places(r: Residuals) -> Array:
        return combined(r, codes, count)

    def describe(r: Residuals, t: float, draws: Array) -> Said:
        index = moran.index(places(r))
        return index, f"{words}: Moran's I {index:.2f}", {"expected": -1 / max(count - 1, 1)}

    return Test(
        name,
        lambda r: moran.form(places(r)),
        describe,
        upper=False,
        p=lambda r, t: moran.p(t),
    )


def _near(points: Array) -> Any:
    """Weights 1 / distance: of all pairs, or of nearest neighbours where there are many places."""
    from scipy.spatial import cKDTree
    from scipy.spatial.distance import cdist

    if len(points) <= _DENSE:
        distance = cdist(points, points)
        np.fill_diagonal(distance, np.inf)
        return 1 / distance
    from scipy.sparse import csr_array

    distance, at = cKDTree(points).query(points, _NEIGHBOURS + 1)
    rows = np.repeat(np.arange(len(points)), _NEIGHBOURS)
    one_way = csr_array((1 / distance[:, 1:].ravel(), (rows, at[:, 1:].ravel())))
    return (one_way + one_way.T) / 2


def spatial_test(r: Residuals, *coordinates: str | ArrayLike) -> Test:
    """Return the test of `spatial` for residuals at the rows of `r`."""
    given = np.column_stack([numbers(r, column) for column in coordinates])
    points, codes = np.unique(given, axis=0, return_inverse=True)
    if len(points) < 3:
        message = f"{len(points)} places; three or more are needed"
        raise DataError(message, code="unknown_option")
    words = "near places are alike or apart"
    return _moran_test("autocorrelation in space", _Moran(_near(points)), codes.ravel(), words)


def spatial(
    source: Source,
    *coordinates: str | ArrayLike,
    null: str = "auto",
    n: int = 199,
    seed: int = 0,
) -> Check:
    """Check whether residuals of near places are alike.

    Moran's form z'W z with weights 1 / distance, of all pairs of places or, beyond 2000 places, of
    20 nearest neighbours; residuals of one place are taken together.

    Parameters
    ----------
    source : Fit, GEEFit, Residuals or Study
    *coordinates : str or array_like
        One or more columns that the fit used, or one number for each row.
    null, n, seed
        As in `glimm.checks.study`.

    Returns
    -------
    Check
        Two-sided; its effect is Moran's I.

    References
    ----------
    Moran, P. A. P. (1950). Notes on continuous stochastic phenomena. Biometrika 37, 17-23.

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("sleepstudy")
    >>> fit = glimm.fit("reaction ~ days + (1 | subject)", data)
    >>> glimm.checks.spatial(glimm.residuals(fit), "days").name
    'autocorrelation in space'
    """
    from .study import study

    made = study(source, null=null, n=n, seed=seed)
    return made.run([spatial_test(made.residuals, *coordinates)])[0]


def related_test(
    r: Residuals,
    matrix: ArrayLike,
    by: str | ArrayLike,
    levels: Sequence[Any] | None = None,
) -> Test:
    """Return the test of `related` for residuals at the rows of `r`."""
    weights = np.array(matrix, dtype=np.float64)
    codes, labels = groups_of(r, by)
    order = labels if levels is None else list(levels)
    missing = [str(name) for name in labels if name not in set(order)]
    if missing or weights.shape != (len(order), len(order)):
        message = f"matrix of shape {weights.shape} for {len(order)} groups"
        message += f"; it lacks {listed(missing, 5)}" if missing else ""
        raise DataError(message, code="array_shape")
    weights = 0.5 * (weights + weights.T)
    np.fill_diagonal(weights, 0.0)
    place = {name: k for k, name in enumerate(order)}
    at = np.array([place[name] for name in labels], dtype=np.intp)
    weights = weights[np.ix_(at, at)]
    words = "related groups are alike or apart"
    return _moran_test("autocorrelation among relatives", _Moran(weights), codes, words)


def related(
    source: Source,
    matrix: ArrayLike,
    by: str | ArrayLike,
    *,
    levels: Sequence[Any] | None = None,
    null: str = "auto",
    n: int = 199,
    seed: int = 0,
) -> Check:
    """Check whether residuals of related groups are alike: in a phylogeny, a pedigree, a network.

    Parameters
    ----------
    source : Fit, GEEFit, Residuals or Study
    matrix : array_like, (G, G)
        Weights of pairs of groups: relatedness, or one over the distance in a tree. Its diagonal
        does not matter.
    by : str or array_like
        The group of each row.
    levels : sequence, optional
        The groups in the order of the matrix; sorted by default.
    null, n, seed
        As in `glimm.checks.study`.

    Returns
    -------
    Check
        Two-sided; its effect is Moran's I of the groups' mean residuals.

    References
    ----------
    Gittleman, J. L. and Kot, M. (1990). Adaptation: statistics and a null model for estimating
    phylogenetic effects. Syst. Zool. 39, 227-241.

    Examples
    --------
    >>> import glimm
    >>> import numpy as np
    >>> data = glimm.datasets.load("sleepstudy")
    >>> fit = glimm.fit("reaction ~ days + (1 | subject)", data)
    >>> gap = np.abs(np.subtract.outer(np.arange(18), np.arange(18)))
    >>> glimm.checks.related(glimm.residuals(fit), 1 / (1 + gap), "subject").name
    'autocorrelation among relatives'
    """
    from .study import study

    made = study(source, null=null, n=n, seed=seed)
    return made.run([related_test(made.residuals, matrix, by, levels)])[0]


def clusters_test(by: str | ArrayLike) -> Test:
    """Return the test of `clusters`."""

    def pairs(r: Residuals) -> tuple[float, Array]:
        codes, labels = groups_of(r, by)
        size = np.bincount(codes, minlength=len(labels)).astype(np.float64)
        sums = np.bincount(codes, r.normal, len(labels))
        squares = np.bincount(codes, r.normal**2, len(labels))
        return float(np.sum(sums**2 - squares)), size

    def statistic(r: Residuals) -> float:
        products, size = pairs(r)
        return products / math.sqrt(max(2 * float(np.sum(size * (size - 1))), 1.0))

    def p(r: Residuals, t: float) -> float:
        """A group of m independent normal numbers has m - 1 times a chi-square less another."""
        products, size = pairs(r)
        sizes, count = np.unique(size[size > 1], return_counts=True)
        weights = np.append(sizes - 1, -1.0)
        return form_p(products, weights, np.append(count, float(np.sum(count * (sizes - 1)))))

    def describe(r: Residuals, t: float, draws: Array) -> Said:
        products, size = pairs(r)
        count = float(np.sum(size * (size - 1)))
        if count == 0:
            return math.nan, "no two rows of one group", {}
        effect = products / count
        return effect, f"rows of one group correlate by {effect:.3f}", {"pairs": count / 2}

    return Test("dependence within groups", statistic, describe, upper=False, p=p)


def clusters(
    source: Source, by: str | ArrayLike, *, null: str = "auto", n: int = 199, seed: int = 0
) -> Check:
    """Check whether rows of one group are still alike given the model's random effects.

    The statistic is the sum of products of normal scores over all pairs of a group, in its
    standard deviations under independence. It finds groups that the model leaves out, and slopes
    that vary among those it has.

    Parameters
    ----------
    source : Fit, GEEFit, Residuals or Study
    by : str or array_like
        The group of each row.
    null, n, seed
        As in `glimm.checks.study`.

    Returns
    -------
    Check
        Two-sided; its effect is the correlation of rows of one group.

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("sleepstudy")
    >>> fit = glimm.fit("reaction ~ days + (1 | subject)", data)
    >>> abs(glimm.checks.clusters(fit, "subject", n=39).effect) < 0.2
    True
    """
    return one(source, clusters_test(by), null, n, seed)
