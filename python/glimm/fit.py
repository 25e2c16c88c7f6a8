"""A Fit: estimates with their uncertainty, and what can be asked of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core
from .diagnose import Diagnostics, Finding, diagnose
from .doors import Doors
from .errors import DataError, listed, nearest_first
from .mixed import FamilyBy
from .parts import Coefficients, parts
from .problem import factor_of, order, solve_again
from .restrictions import ties_of
from .structures import columns, parameter_names, report

if TYPE_CHECKING:
    from .certificate import Certificate
    from .design import Design, DesignTerm
    from .model import Model
    from .predict import Joint
    from .problem import Estimates

Array = NDArray[np.float64]

__all__ = ["Diagnostics", "Finding", "Fit"]

RESIDUAL = "residual"
"""What residuals are called beside groups."""


@dataclass(frozen=True, eq=False, repr=False)
class Fit(Doors):
    """A fitted model. Made by `glimm.fit`; nothing changes it.

    Parameters
    ----------
    model : Model
        What was asked.
    design : Design
        The arrays and names, n rows.
    estimates : Estimates
        What was found, as plain arrays.

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("sleepstudy")
    >>> fit = glimm.fit("reaction ~ days + (1 + days | subject)", data)
    >>> round(fit.coef["days"], 3), round(fit.loglik, 3)
    (10.467, -871.814)
    """

    model: Model
    design: Design
    estimates: Estimates
    _problem: _core.Problem | None = field(default=None)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the estimated fixed effects, (p,)."""
        return tuple(self.design.x_names[j] for j in self.estimates.kept[0])

    @cached_property
    def parts(self) -> tuple[Coefficients, ...]:
        """Coefficients of all linear predictors: the mean, the family's parameters, extra zeros."""
        return parts(self)

    def part(self, name: str) -> Coefficients:
        """Return the coefficients of one linear predictor.

        Parameters
        ----------
        name : str
            ``"mean"``, ``"dispersion"`` (with ``disp=``), ``"zi"``, ``"thresholds"``, or the name
            of a parameter of the family.

        Raises
        ------
        DataError
            When the fit has no such part; the message lists those it has.
        """
        known = {part.part: part for part in self.parts}
        one_of("part", name, tuple(known))
        return known[name]

    @cached_property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of all parameters, (P,): coefficients part by part, factors of covariances."""
        names = [label for part in self.parts for label in part.labels]
        for term in self.design.terms:
            words = [self.effect_names(term)[j] for j in order(term)]
            names += [f"{term.label}: {name}" for name in parameter_names(term.structure, words)]
        return tuple(names)

    def effect_names(self, term: DesignTerm) -> tuple[str, ...]:
        """Return the names of a term's effects; those of other parts than the mean say so."""
        of = {part.predictor: part.name for part in self.design.parts}
        pairs = zip(term.predictors, term.columns, strict=True)
        return tuple(name if k == 0 else f"{of[k]}: {name}" for k, name in pairs)

    @property
    def coef(self) -> dict[str, float]:
        """Fixed effects on the link scale, by name."""
        return dict(zip(self.names, self.estimates.parameters.tolist(), strict=False))

    @property
    def se(self) -> dict[str, float]:
        """Standard errors of `coef`, from the joint covariance of all parameters."""
        return dict(zip(self.names, np.sqrt(np.diag(self.vcov())).tolist(), strict=True))

    def vcov(self, which: str = "fixed") -> Array:
        """Return the covariance of the estimates.

        Parameters
        ----------
        which : str
            ``"fixed"``: the fixed effects, (p, p), in the order of `names`. ``"all"``: all
            parameters, (P, P), in the order of `parameter_names`.
        """
        if which not in ("fixed", "all"):
            raise DataError(f"which={which!r}; use 'fixed' or 'all'", code="unknown_option")
        p = len(self.names) if which == "fixed" else self.estimates.parameters.size
        return self.estimates.covariance[:p, :p].copy()

    @property
    def dispersion(self) -> dict[str, float] | None:
        """The dispersion parameter by name, or None where there is none or it has a formula."""
        found = self._constants(dispersion=True)
        return found or None

    @property
    def shape(self) -> dict[str, float]:
        """The family's further parameters by name, those held at a value included."""
        return self._constants(dispersion=False)

    def _constants(self, dispersion: bool) -> dict[str, float]:
        """Parameters of the family that are one number for all rows."""
        several = self.model.family if isinstance(self.model.family, FamilyBy) else None
        found = dict(several.held) if several is not None and dispersion else {}
        for part in self.parts[1 : 1 + len(self.model.family.parameters)]:
            assert part.parameter is not None
            held = self.model.held.get(part.part)
            values = part.values if held is None else {part.part: held}
            if part.parameter.dispersion == dispersion:
                found |= values
        return found

    @cached_property
    def factors(self) -> tuple[Array, ...]:
        """A square root (q, q) of each term's covariance, in units of the link scale."""
        parts = zip(self.design.terms, self.estimates.thetas, strict=True)
        return tuple(
            factor_of(term, self.estimates.parameters[start:end]) for term, (start, end) in parts
        )

    @cached_property
    def covariances(self) -> tuple[Array, ...]:
        """Covariance (q, q) of each term's random effects."""
        return tuple(factor @ factor.T for factor in self.factors)

    @property
    def residual_covariance(self) -> Array | None:
        """Covariance (q, q) of the residuals of a record; None without ``residual(...)``.

        Rows and columns are the columns of that term, such as the traits.
        """
        floors = np.diag(np.square(self.design.floors))
        terms = zip(self.design.terms, self.covariances, strict=True)
        return next((found + floors for term, found in terms if term.residual), None)

    def varcorr(self) -> Any:
        """Return variances, standard deviations and correlations of the random effects.

        Returns
        -------
        frame
            Of the user's kind: `group`, `name`, `variance`, `sd` (link scale), and `corr`, the
            correlation with the group's first effect; `corr_2` with its second, and so on. NaN
            where there is none. Residuals of a record, ``residual(...)``, have ``"residual"`` for
            their group.
        """
        rows = []
        parts = zip(self.design.terms, self.covariances, self.estimates.thetas, strict=True)
        for term, covariance, (start, end) in parts:
            theta = self.estimates.parameters[start:end]
            whole = self.residual_covariance if term.residual else None
            found = report(
                term, self.effect_names(term), covariance if whole is None else whole, theta
            )
            rows += [{"group": RESIDUAL if term.residual else term.label} | row for row in found]
        return self.frame(columns(rows))

    def ranef(self) -> Any:
        """Return the modes of the random effects given the data and the estimates.

        Returns
        -------
        frame
            Of the user's kind: `group`, `level`, `name`, `mode` (link scale) and `cond_sd`, its
            conditional standard deviation with the parameters held at their estimates.
        """
        keys = ("group", "level", "name", "mode", "cond_sd")
        columns: dict[str, list[Any]] = {key: [] for key in keys}
        parts = zip(
            self.design.terms, self.estimates.modes, self.estimates.covariances, strict=True
        )
        for term, modes, covariances in parts:
            sds = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
            for j, name in enumerate(self.effect_names(term)):
                columns["group"] += [term.label] * len(term.levels)
                columns["level"] += list(term.levels)
                columns["name"] += [name] * len(term.levels)
                columns["mode"] += modes[:, j].tolist()
                columns["cond_sd"] += sds[:, j].tolist()
        if len({type(level) for level in columns["level"]}) > 1:
            columns["level"] = [str(level) for level in columns["level"]]
        return self.frame(columns)

    @property
    def loglik(self) -> float:
        """Log-likelihood with all constants, so that it compares across programs.

        After restricted maximum likelihood (`model.reml`) integrated over the coefficients of the
        mean, for linear models -1/2 times the REML criterion: it compares only with fits that
        have the same fixed effects.
        """
        return self.estimates.loglik

    @property
    def certificate(self) -> Certificate:
        """How the integral over the random effects was taken, and how wrong it can be."""
        return self.estimates.certificate

    @property
    def nobs(self) -> int:
        """Observations used: rows, or the sum of frequency weights rounded."""
        freq = self.design.freq
        return self.design.n if freq is None else round(float(freq.sum()))

    @property
    def df_model(self) -> int:
        """Number of parameters estimated."""
        ties = ties_of(self.design, self.model.random_hold, self.model.share)
        return int(self.estimates.parameters.size) - len(ties)

    @property
    def df_resid(self) -> int:
        """Observations less parameters."""
        return self.nobs - self.df_model

    @property
    def aic(self) -> float:
        """Akaike's information criterion, -2 logLik + 2 df_model; as lme4 also after REML."""
        return -2 * self.loglik + 2 * self.df_model

    @property
    def bic(self) -> float:
        """Schwarz's criterion, -2 logLik + log(nobs) df_model; as lme4 also after REML."""
        return -2 * self.loglik + math.log(self.nobs) * self.df_model

    @property
    def groups(self) -> dict[str, int]:
        """Number of levels of each grouping factor."""
        return {term.label: len(term.levels) for term in self.design.terms}

    @cached_property
    def fitted(self) -> Array:
        """Expected response of the rows used given the random-effect modes, (n,).

        For a binomial the probability, not the count.
        """
        from .predict import fitted

        return fitted(self)

    @cached_property
    def joint_covariance(self) -> Joint:
        """Joint covariance of all parameters and random effects, on which predictions rest."""
        from .predict import joint_covariance

        return joint_covariance(self)

    def refit(self, y: ArrayLike) -> Fit:
        """Fit the same model to another response of the same rows.

        Parameters
        ----------
        y : array_like, (n,)
            As in `design.y`: for a binomial the successes.

        Returns
        -------
        Fit
            A new one, started from these estimates.
        """
        design = self.design.with_response(y)
        problem, found = solve_again(self._problem, self.model, design, self.estimates)
        object.__setattr__(self, "_problem", problem)
        return Fit(self.model, design, found, problem)

    @cached_property
    def diagnostics(self) -> Diagnostics:
        """Whether to trust the fit, and what was found on the way."""
        return diagnose(self)

    def frame(self, columns: Mapping[str, Any]) -> Any:
        """Return columns as a frame of the kind that the fit was given."""
        from .data import frame_like

        return frame_like(self.design.frame_kind, columns)

    def __str__(self) -> str:
        return str(self.summary())

    def __repr__(self) -> str:
        family = self.model.family.name
        return f"<Fit {self.model.formula.text!r}, {family}, logLik {self.loglik:.4f}>"

    def _repr_html_(self) -> str:
        return self.summary().to_html()


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise a DataError unless `value` is allowed."""
    if value not in allowed:
        names = listed(nearest_first(str(value), allowed))
        raise DataError(f"{name}={value!r}; use {names}", code="unknown_option")
