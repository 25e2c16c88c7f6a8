"""Cluster-robust covariances: right when the model of variances and dependence is not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from ..errors import DataError, FitError, listed, nearest_first
from ..fit import one_of
from ..problem import make_problem
from ..tables import Framed
from .freedom import t_tail
from .wald import bounds

if TYPE_CHECKING:
    from ..fit import Fit
    from ..tables import Table

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

KINDS = ("CR0", "CR1", "CR2", "CR3")
FEW = 40
"""Clusters below which the printout advises caution."""

_FLAT = 1e-10
_ALONE = 1e-8


@dataclass(frozen=True, eq=False, repr=False)
class Robust(Framed):
    """Cluster-robust covariance of a fit's coefficients. Made by `Fit.robust`.

    Parameters
    ----------
    fit : Fit
    kind : str
    clusters : int
        Number of clusters, the G of the formulas.
    covariance : ndarray, (p, p)
        Of the fixed effects of the mean, in the order of `fit.names`.
    full : ndarray, (P, P), or None
        Of all parameters; None for gaussian responses with the identity link, whose variances are
        taken as estimated.
    """

    fit: Fit
    kind: str
    clusters: int
    covariance: Array
    full: Array | None
    _parts: _Parts = field(repr=False)

    @property
    def source(self) -> str:
        """Where the standard errors and degrees of freedom come from, in words."""
        return f"{self.kind} over {self.clusters:,} clusters, Satterthwaite (Bell-McCaffrey) df"

    @property
    def se(self) -> dict[str, float]:
        """Robust standard errors by name."""
        return dict(zip(self.fit.names, np.sqrt(np.diag(self.covariance)).tolist(), strict=True))

    def df(self, contrast: Array) -> float:
        """Return the df of one contrast (p,) of the fixed effects.

        The variance of the robust variance if the model holds, as Bell and McCaffrey (2002).
        """
        return self._parts.moments(contrast[None])[1]

    def joint(self, rows: Array, distance: Array) -> tuple[float, float]:
        """Return F and denominator df of ``rows @ coefficients``, (q, p): Hotelling's T-squared.

        With eta df of the robust covariance as a Wishart matrix, (eta - q + 1) / (eta q) times the
        Wald statistic is F(q, eta - q + 1) (Pustejovsky and Tipton 2018).
        """
        q = len(rows)
        _, eta = self._parts.moments(rows)
        statistic = float(distance @ np.linalg.solve(rows @ self.covariance @ rows.T, distance))
        df = eta - q + 1
        if df <= 0:
            message = (
                f"{self.clusters} clusters cannot test {q} hypotheses together: their robust "
                f"covariance is worth {eta:.1f} degrees of freedom; test fewer, or use CR0 and "
                'df="normal"'
            )
            raise FitError(message, code="no_freedom")
        return df / (eta * q) * statistic, df

    def confint(self, level: float = 0.95) -> Any:
        """Return t intervals: a frame of `name`, `estimate`, `lower`, `upper`."""
        estimates = self.fit.parts[0].estimates
        found = bounds(estimates, self, level)
        columns = {
            "name": list(self.fit.names),
            "estimate": estimates.tolist(),
            "lower": found.lower.tolist(),
            "upper": found.upper.tolist(),
        }
        return self.fit.frame(columns)

    @property
    def table(self) -> Table:
        """Estimates with both standard errors, intervals and tests by the robust ones."""
        from ..tables import Column, Table, even_decimals

        part = self.fit.parts[0]
        found = bounds(part.estimates, self, 0.95)
        model = np.sqrt(np.diag(part.covariance))
        t = part.estimates / found.se
        numbers = (
            part.estimates, model, found.se, found.lower, found.upper, t, found.df,
            t_tail(t, found.df),
        )  # fmt: skip
        columns = (
            Column("name"),
            Column("estimate", "number"),
            Column("model SE", "number", "model_se"),
            Column("robust SE", "number", "robust_se"),
            Column("lower", "number"),
            Column("upper", "number"),
            Column("t", "ratio"),
            Column("df", "ratio"),
            Column("p", "p"),
        )
        rows = zip(part.names, *(values.tolist() for values in numbers), strict=True)
        notes = [f"Intervals and p from robust SE and the t distribution; {self.source}."]
        if self.clusters < FEW:
            notes.append(
                f"With {self.clusters} clusters (fewer than {FEW}) CR2 and its df matter; CR0 and "
                "CR1 are too small."
            )
        title = "Cluster-robust standard errors, 95 % intervals"
        decimals = even_decimals(found.se.tolist())
        return Table(title, columns, tuple(rows), tuple(notes), decimals)

    @property
    def frame_kind(self) -> str:
        """The kind of frame that the fit was given."""
        return self.fit.design.frame_kind

    def __repr__(self) -> str:
        return f"<Robust {self.kind}, {self.clusters:,} clusters>"


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """Clusters in coordinates w in which the information is the identity: A^-1 = W W'.

    `scores` (G, r), `information` H_g (G, r, r), `adjusted` C_g (G, r, r), `copies` (G,), and
    `back` W (p, r).
    """

    scores: Array
    information: Array
    adjusted: Array
    copies: Array
    back: Array

    def covariance(self) -> Array:
        """W (sum_g C_g s_g s_g' C_g) W'."""
        moved = np.einsum("gij,gj->gi", self.adjusted, self.scores)
        meat = (moved * self.copies[:, None]).T @ moved
        found: Array = self.back @ meat @ self.back.T
        return found

    def moments(self, rows: Array) -> tuple[Array, float]:
        """Expected robust covariance of ``rows @ coefficients`` if the model holds, and its df.

        z_gs = l_s'W C_g s_g have the covariances P_gk^st = [g = k] a_g^st - b_gs'b_kt, with
        c_gs = C_g W'l_s, a_g^st = c_gs'H_g c_gt and b_gs = H_g c_gs, since s_g is evaluated at
        estimates that solve sum_g s_g = 0.
        """
        if len(self.back) != rows.shape[1]:
            rows = np.pad(rows, ((0, 0), (0, len(self.back) - rows.shape[1])))
        lines = rows @ self.back
        expected = self._expected(lines)
        values, vectors = np.linalg.eigh(expected)
        values = np.clip(values, np.finfo(float).tiny, None)
        lines = (vectors / np.sqrt(values)).T @ lines
        q = len(lines)
        return expected, q * (q + 1) / self._spread(lines)

    def _pieces(self, lines: Array) -> tuple[Array, Array]:
        c = np.einsum("gij,si->gsj", self.adjusted, lines)
        b = np.einsum("gij,gsj->gsi", self.information, c)
        return np.einsum("gsi,gti->gst", c, b), b

    def _expected(self, lines: Array) -> Array:
        a, b = self._pieces(lines)
        found: Array = np.einsum("g,gst->st", self.copies, a - np.einsum("gsi,gti->gst", b, b))
        return found

    def _spread(self, lines: Array) -> float:
        """Sum over s and t of the variance of sum_g z_gs z_gt."""
        a, b = self._pieces(lines)
        own = np.einsum("gsi,gti->gst", b, b)
        outer = np.einsum("g,gsi,gtj->stij", self.copies, b, b)

        def pairs(s: int, t: int, u: int, v: int) -> float:
            """Sum over g and k of P_gk^st P_gk^uv."""
            x, y = a[:, s, t], a[:, u, v]
            single = x * y - x * own[:, u, v] - y * own[:, s, t]
            return float(self.copies @ single + np.sum(outer[s, u] * outer[t, v]))

        q = len(lines)
        each = (pairs(s, s, t, t) + pairs(s, t, t, s) for s in range(q) for t in range(q))
        return sum(each)


def robust(fit: Fit, cluster: str | ArrayLike | None = None, kind: str = "CR2") -> Robust:
    r"""Return a cluster-robust (sandwich) covariance.

    With s_g the exact score of cluster g at the estimates, H_g its observed information and A the
    sum of all H_g, it is A^-1 (sum_g C_g s_g s_g' C_g') A^-1 with C_g the identity (CR0), the
    square root of G / (G - 1) (CR1), (I - H_g A^-1)^(-1/2) (CR2: unbiased if the model holds) or
    (I - H_g A^-1)^-1 (CR3: the jackknife to first order). See `Fit.robust`.

    References
    ----------
    Kauermann, G. and Carroll, R. J. (2001). A note on the efficiency of sandwich covariance matrix
    estimation. Journal of the American Statistical Association 96, 1387-1396.
    Mancl, L. A. and DeRouen, T. A. (2001). A covariance estimator for GEE with improved
    small-sample properties. Biometrics 57, 126-134.
    Bell, R. M. and McCaffrey, D. F. (2002). Bias reduction in standard errors for linear regression
    with multi-stage samples. Survey Methodology 28, 169-181.
    Pustejovsky, J. E. and Tipton, E. (2018). Small-sample methods for cluster-robust variance
    estimation and hypothesis testing in fixed effects models. Journal of Business and Economic
    Statistics 36, 672-683.
    """
    one_of("kind", kind, KINDS)
    scores, information, unit = unit_scores(fit)
    p, alone = len(fit.names), _mean_alone(fit)
    if alone:
        scores, information = scores[:, :p], information[:, :p, :p]
    copies = np.ones(len(scores))
    if cluster is not None:
        groups = _groups(fit, cluster, unit)
        scores, information = _summed(scores, groups), _summed(information, groups)
        copies = np.ones(len(scores))
    elif not fit.design.terms and fit.design.freq is not None:
        copies = fit.design.freq
        scores, information = scores / copies[:, None], information / copies[:, None, None]
    count = float(copies.sum())
    if count < 2:
        message = "one cluster tells nothing of the spread between clusters; use two or more"
        raise DataError(message, code="no_scores")
    parts = _parts(scores, information, copies, kind, count)
    covariance = parts.covariance()
    full = None if alone else covariance
    return Robust(fit, kind, round(count), covariance[:p, :p], full, parts)


def _mean_alone(fit: Fit) -> bool:
    """Whether variances are taken as estimated: their information about the mean is expected 0."""
    return fit.model.reml or (fit.model.family.name == "gaussian" and fit.model.link == "identity")


def unit_scores(fit: Fit) -> tuple[Array, Array, Codes]:
    """Return each independent unit's score and observed information, and the unit of each row.

    Units share no random effect: groups of the only or the coarsest factor, connected blocks of
    crossed factors, rows of a model without random effects.

    Returns
    -------
    scores : ndarray, (units, P)
        Derivatives of the unit's log-likelihood at the estimates in all P parameters; those of
        the unrestricted one after REML.
    information : ndarray, (units, P, P)
        Minus the second derivatives.
    unit : ndarray of int, (n,)
        Numbered by first row.

    Raises
    ------
    FitError
        With the reason where there are none; code ``"no_scores"``.
    """
    if fit.model.penalty is not None:
        message = "a penalised fit does not solve sum of scores = 0; fit without penalty="
        raise FitError(message, code="no_scores")
    problem = make_problem(replace(fit.model, compress=False), fit.design)
    try:
        gradients, hessians, unit = problem.scores(fit.estimates.parameters, True)
    except _core.CoreError as error:
        raise FitError(error.args[1], code="no_scores") from None
    assert hessians is not None
    k = fit.estimates.parameters.size
    return gradients.reshape(-1, k), -hessians.reshape(-1, k, k), unit.astype(np.int64)


def _parts(scores: Array, information: Array, copies: Array, kind: str, count: float) -> _Parts:
    total = np.einsum("g,gij->ij", copies, information)
    scale = np.sqrt(np.abs(np.diag(total)))
    scale = np.where(scale > 0, scale, 1.0)
    values, vectors = np.linalg.eigh(total / np.outer(scale, scale))
    keep = values > _FLAT * values.max()
    back = vectors[:, keep] / np.sqrt(values[keep]) / scale[:, None]
    h = np.einsum("ia,gij,jb->gab", back, information, back, optimize=True)
    return _Parts(scores @ back, h, _adjustment(h, kind, count), copies, back)


def _adjustment(h: Array, kind: str, count: float) -> Array:
    """C_g. A direction that one cluster alone tells has no residual there and adds nothing."""
    identity = np.broadcast_to(np.eye(h.shape[1]), h.shape)
    if kind in ("CR0", "CR1"):
        same: Array = identity * (1.0 if kind == "CR0" else np.sqrt(count / (count - 1)))
        return same
    values, vectors = np.linalg.eigh(h)
    left = 1 - values
    power = -0.5 if kind == "CR2" else -1.0
    safe = np.where(left > _ALONE, left, 1.0)
    factor = np.where(left > _ALONE, safe**power, 0.0)
    found: Array = np.einsum("gia,ga,gja->gij", vectors, factor, vectors)
    return found


def _groups(fit: Fit, cluster: str | ArrayLike, unit: Codes) -> Codes:
    """The cluster of each unit; refuses clusters that split one."""
    labels = _labels(fit, cluster)
    _, codes = np.unique(labels, return_inverse=True)
    first = np.full(unit.max() + 1, -1)
    first[unit[::-1]] = np.arange(len(unit))[::-1]
    wrong = np.flatnonzero(codes != codes[first[unit]])
    if wrong.size:
        row = int(wrong[0])
        other = int(first[unit[row]])
        rows = fit.design.rows[[other, row]].tolist()
        message = (
            f"cluster= splits rows that share random effects: rows {rows[0]} and {rows[1]} "
            f"(counted from 0) are of clusters {labels[other]} and {labels[row]}; "
            "clusters must hold whole groups of the random effects"
        )
        raise DataError(message, code="split_units")
    found: Codes = codes[first]
    return found


def _labels(fit: Fit, cluster: str | ArrayLike) -> NDArray[Any]:
    design = fit.design
    if isinstance(cluster, str):
        known = {term.label: term for term in design.terms}
        if cluster in known:
            return known[cluster].codes
        if cluster in design.used_columns:
            return np.asarray(design.used_columns[cluster].values)
        names = listed(nearest_first(cluster, [*known, *design.used_columns]))
        message = (
            f"cluster={cluster!r} is not a column that the fit used ({names}); give its values as "
            "an array instead"
        )
        raise DataError(message, code="unknown_column")
    labels = np.asarray(cluster)
    if labels.shape == (design.n_input,):
        return labels[design.rows]
    if labels.shape == (design.n,):
        return labels
    message = (
        f"cluster= has shape {labels.shape}; it needs one value for each of {design.n_input:,} rows"
    )
    raise DataError(message, code="array_shape")


def _summed(values: Array, groups: Codes) -> Array:
    found = np.zeros((groups.max() + 1, *values.shape[1:]))
    np.add.at(found, groups, values)
    return found
