"""Residuals that are uniform under the model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError
from ..fit import Fit, one_of
from ..tables import Column, Framed, Table
from .law import SIMULATIONS, FamilyLaw, Law, counts, fit_law, gee_law, with_scores
from .posterior import Drawn, Posterior, at, drawn_parameters

if TYPE_CHECKING:
    from ..gee import GEEFit

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

KINDS = ("quantile", "simulated", "refit")
EFFECTS = ("posterior", "conditional", "marginal")
PARAMETERS = ("estimates", "drawn")


@dataclass(frozen=True, eq=False)
class Residuals(Framed):
    """Residuals between 0 and 1; made by `glimm.residuals`.

    Attributes
    ----------
    values : ndarray, (N,)
        Uniform under the model: the share of the distribution below each response.
    normal : ndarray, (N,)
        Their normal scores.
    observed, fitted : ndarray, (N,)
        Responses (for a binomial successes) and their expectations, random effects at those of
        `effects`.
    rows : ndarray of int, (N,)
        Row of the design that each belongs to; number of the group for sums.
    kind, random_effects, parameters : str
        As asked for.
    law : Law
        The distributions that the responses were compared with.
    effects : Drawn, optional
        The random effects that were used.
    fit : Fit or GEEFit, optional
    """

    values: Array
    normal: Array
    observed: Array
    rows: Rows
    kind: str
    random_effects: str
    parameters: str
    seed: int
    law: Law
    effects: Drawn | None = None
    fit: Any = None
    labels: tuple[Any, ...] | None = None
    frame_kind: Any = "dict"

    @property
    def n(self) -> int:
        """Number of residuals."""
        return int(self.values.size)

    @property
    def fitted(self) -> Array:
        """Expected responses, (N,)."""
        return self.law.mean

    @property
    def pearson(self) -> Array:
        """Residuals in units of the response's standard deviation, (N,)."""
        return np.asarray((self.observed - self.law.mean) / np.sqrt(self.law.variance))

    @property
    def table(self) -> Table:
        """One row per residual."""
        columns = (
            Column("row" if self.labels is None else "group", "text", "row"),
            Column("observed", "number"),
            Column("fitted", "number"),
            Column("residual", "ratio"),
            Column("normal", "ratio"),
        )
        names: Iterable[Any] = self.rows.tolist() if self.labels is None else self.labels
        parts = (self.observed, self.fitted, self.values, self.normal)
        rows = zip(names, *(part.tolist() for part in parts), strict=True)
        return Table("Residuals", columns, tuple(rows))

    @property
    def tables(self) -> tuple[Table, ...]:
        """Their quantiles, which is what is printed."""
        shares = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
        found = np.quantile(self.values, shares) if self.n else np.full(len(shares), np.nan)
        columns = (Column("expected", "ratio"), Column("found", "ratio"))
        title = f"{self.n:,} {self.kind} residuals, random effects {self.random_effects}"
        return (Table(title, columns, tuple(zip(shares, found.tolist(), strict=True))),)

    def where(self, keep: ArrayLike) -> Residuals:
        """Return those at some places: positions or truth values, (N,)."""
        place = np.arange(self.n)[np.asarray(keep)]
        labels = None if self.labels is None else tuple(self.labels[i] for i in place)
        return replace(
            self,
            values=self.values[place],
            normal=self.normal[place],
            observed=self.observed[place],
            rows=self.rows[place],
            law=_taken(self.law, place),
            labels=labels,
        )


def _taken(law: Law, place: Rows) -> Law:
    if isinstance(law, FamilyLaw):
        size = None if law.size is None else law.size[place]
        return replace(law, eta=[e[place] for e in law.eta], size=size)
    from .law import Simulated

    if isinstance(law, Simulated):
        fitted = None if law.fitted is None else law.fitted[place]
        return Simulated(law.draws[:, place], fitted)
    raise DataError("sums of responses cannot be taken apart", code="unknown_option")


def residuals(
    fit: Fit | GEEFit,
    kind: str = "quantile",
    random_effects: str = "posterior",
    *,
    parameters: str = "estimates",
    n: int = SIMULATIONS,
    seed: int = 0,
    by: str | ArrayLike | None = None,
) -> Residuals:
    """Return where each response falls in its distribution under the model, between 0 and 1.

    With F the distribution function of a response, u = F(y) where it is continuous, and else drawn
    uniformly between F(y-) and F(y). F is exact, not simulated, for every family that has it in
    closed form, which all but users' families without ``cdf=`` have. Under the model the residuals
    of ``random_effects="posterior"`` are independent and exactly uniform, whatever the number of
    rows per group, when the parameters are the true ones.

    A row with frequency weight w stands for w equal responses and has w residuals (the weight
    rounded), each drawn for itself; they stand together, in the order of the rows. Trials, offsets
    and precision weights are part of F.

    Parameters
    ----------
    fit : Fit or GEEFit
        Of estimating equations the family's law at the mean and scale, which says nothing of
        dependence within clusters; `random_effects` has no meaning then.
    kind : str
        ``"quantile"``: as above. ``"simulated"``: the rank of the response among `n` simulations
        as DHARMa has it, uniform between the shares of simulations below and not above it.
        ``"refit"``: the rank of response less fitted value among those of `n` refits to
        simulations, as DHARMa's with ``refit=TRUE``.
    random_effects : str
        ``"posterior"``: one draw of the random effects given the responses. ``"conditional"``: at
        their modes, which are too close to the responses: true models are rejected where groups are
        small. ``"marginal"``: averaged over `n` draws of new effects; the residuals of a group are
        then dependent.
    parameters : str
        ``"estimates"``; or ``"drawn"``, in proportion to their likelihood (of more than 20,000
        rows, from its normal approximation), which puts back the variation that estimation takes
        out of the residuals.
    n : int
        Simulations, where any are made.
    seed : int
        Equal seeds give equal residuals, whatever the number of threads.
    by : str or array_like, (rows,), optional
        Sums of the responses over the groups of a column are compared with simulated sums.

    Returns
    -------
    Residuals

    Raises
    ------
    DataError
        For an unknown option or column.
    FamilyError
        For a user's family with neither ``cdf=`` nor ``draw=``.

    References
    ----------
    Dunn, P. K. and Smyth, G. K. (1996). Randomized quantile residuals. J. Comput. Graph. Stat. 5,
    236-244. Hartig, F. (2016). DHARMa: residual diagnostics for hierarchical regression models. R
    package. Waagepetersen, R. (2006). A simulation-based goodness-of-fit test for random effects in
    generalized linear mixed models. Scand. J. Stat. 33, 721-731.

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("epilepsy")
    >>> fit = glimm.fit("seizures ~ treatment + (1 | patient)", data, family="nbinom2")
    >>> r = glimm.residuals(fit, seed=1)
    >>> r.n, bool(0.4 < r.values.mean() < 0.6)
    (236, True)
    """
    one_of("kind", kind, KINDS)
    one_of("random_effects", random_effects, EFFECTS)
    one_of("parameters", parameters, PARAMETERS)
    if not isinstance(n, int | np.integer) or n < 2:
        raise DataError(f"n={n!r}; at least 2", code="unknown_option")
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
        raise DataError(f"seed={seed!r}; a whole number from 0", code="unknown_option")
    if isinstance(fit, Fit):
        if parameters == "drawn":
            fit = at(fit, parameters=drawn_parameters(fit, seed))
        if kind == "refit":
            from .simulated import refitted

            return refitted(fit, random_effects, n, seed)
        made = observe(fit, Posterior(fit), seed, 0, random_effects, n)
    else:
        made = _of_gee(fit, seed)
    made = replace(made, parameters=parameters)
    if by is not None:
        from .simulated import summed

        return summed(made, by, kind, n, seed)
    if kind == "simulated":
        below, equal = counts(made.law, made.observed, n, seed)
        uniform = np.random.default_rng([seed, 3]).random(made.n)
        shares = (below + uniform * equal) / n
        return replace(made, values=shares, normal=with_scores(shares)[1], kind=kind)
    return made


def observe(
    fit: Fit,
    posterior: Posterior,
    seed: int,
    replicate: int,
    random_effects: str = "posterior",
    n: int = SIMULATIONS,
) -> Residuals:
    """Return the quantile residuals of a fit's responses at its parameters."""
    rows, drawn = repeats(fit), None
    law: Law
    if random_effects == "marginal" and fit.design.terms:
        from .mixture import Mixture

        law = Mixture(fit, rows, n, seed)
    elif random_effects == "posterior":
        drawn = posterior.draw(fit, seed, replicate)
        law = fit_law(fit, drawn.effects, rows)
    else:
        law = fit_law(fit, fit.estimates.modes, rows)
    y = fit.design.y if rows is None else fit.design.y[rows]
    u, z = law.quantile(y, seed, replicate)
    places = np.arange(fit.design.n) if rows is None else rows
    return Residuals(
        u, z, y, places, "quantile", random_effects, "estimates", seed, law, drawn, fit,
        frame_kind=fit.design.frame_kind,
    )  # fmt: skip


def repeats(fit: Any) -> Rows | None:
    """Return the row of each response where rows stand for several, by their rounded weights."""
    freq = fit.design.freq
    if freq is None:
        return None
    return np.repeat(np.arange(fit.design.n), np.rint(freq).astype(np.int64))


def _of_gee(fit: GEEFit, seed: int) -> Residuals:
    law, y = gee_law(fit), fit.design.y
    u, z = law.quantile(y, seed, 0)
    return Residuals(
        u, z, y, np.arange(y.size), "quantile", "none", "estimates", seed, law, None, fit,
        frame_kind=fit.design.frame_kind,
    )  # fmt: skip
