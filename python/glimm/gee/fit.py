"""A GEEFit: estimates with their uncertainty, and what can be asked of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from ..doors.files import Saved
from ..fit import one_of
from .covariance import COVARIANCES, FEW, FREEDOMS, covariance_of, freedom_of
from .solve import rebuilt

if TYPE_CHECKING:
    from ..design import Design
    from ..inference.joint import Tests
    from ..summary import Summary
    from .criteria import QIC
    from .model import GEEModel
    from .solve import GEEEstimates

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class GEEFit(Saved):
    """Solved estimating equations. Made by `glimm.gee`; nothing changes it.

    Parameters
    ----------
    model : GEEModel
        What was asked.
    design : Design
        The arrays and names, n rows.
    estimates : GEEEstimates
        What was found, as plain arrays.

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("toenail")
    >>> fit = glimm.gee("infection ~ treatment * month", data, groups="patient", family="binomial")
    >>> round(fit.coef["month"], 3), round(fit.alpha["alpha"], 3)
    (-0.171, 0.422)
    """

    model: GEEModel
    design: Design
    estimates: GEEEstimates
    _problem: _core.Gee | None = field(default=None)
    _known: dict[Any, Any] = field(default_factory=dict)

    @property
    def problem(self) -> _core.Gee:
        """The equations in the core."""
        if self._problem is None:
            object.__setattr__(self, "_problem", rebuilt(self.model, self.design))
        assert self._problem is not None
        return self._problem

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coefficients, (p,); those of ordered classes begin with the thresholds."""
        return self.estimates.names

    @property
    def family(self) -> str:
        """Name of the family."""
        return self.model.family.name

    @property
    def coef(self) -> dict[str, float]:
        """Population-averaged coefficients on the link scale, by name."""
        return dict(zip(self.names, self.estimates.beta.tolist(), strict=True))

    @property
    def se(self) -> dict[str, float]:
        """Standard errors of `coef`, of the covariance in use."""
        return dict(zip(self.names, np.sqrt(np.diag(self.vcov())).tolist(), strict=True))

    def vcov(self, covariance: str | None = None) -> Array:
        """Return the covariance of the coefficients, (p, p).

        Parameters
        ----------
        covariance : str, optional
            As in `glimm.gee`; by default the one in use.

        Raises
        ------
        DataError
            For an unknown name.

        References
        ----------
        Mancl, L. A. and DeRouen, T. A. (2001). Biometrics 57, 126-134. Kauermann, G. and Carroll,
        R. J. (2001). JASA 96, 1387-1396. Fay, M. P. and Graubard, B. I. (2001). Biometrics 57,
        1198-1206. Morel, J. G., Bokossa, M. C. and Neerchal, N. K. (2003). Biometrical Journal 45,
        395-409. Paik, M. C. (1988). Communications in Statistics 17, 1155-1171.
        """
        kind = self.covariance_used if covariance is None else covariance
        if kind not in self._known:
            self._known[kind] = covariance_of(self, kind)
        found: Array = self._known[kind].copy()
        return found

    @property
    def covariance_used(self) -> str:
        """The covariance in use: the one asked for, or what ``"auto"`` chose."""
        if self.model.covariance != "auto":
            return self.model.covariance
        return "robust" if self.clusters >= FEW else "kauermann-carroll"

    @property
    def df_used(self) -> str:
        """The degrees of freedom in use: those asked for, or what ``"auto"`` chose."""
        if self.model.df != "auto":
            return self.model.df
        return "normal" if self.clusters >= FEW else "clusters"

    def using(self, *, covariance: str | None = None, df: str | None = None) -> GEEFit:
        """Return the same fit with another covariance or other degrees of freedom in use.

        Parameters
        ----------
        covariance, df : str, optional
            As in `glimm.gee`; None keeps what is in use.

        Raises
        ------
        DataError
            For an unknown name.
        """
        covariance = self.model.covariance if covariance is None else covariance
        df = self.model.df if df is None else df
        one_of("covariance", covariance, ("auto", *COVARIANCES))
        one_of("df", df, ("auto", *FREEDOMS))
        model = replace(self.model, covariance=covariance, df=df)
        return GEEFit(model, self.design, self.estimates, self._problem)

    def freedom(self, contrasts: ArrayLike | None = None, df: str | None = None) -> Array:
        """Return degrees of freedom of t for contrasts of the coefficients.

        Parameters
        ----------
        contrasts : array_like, (m, p), optional
            Each coefficient by default.
        df : str, optional
            As in `glimm.gee`; by default the ones in use. ``"satterthwaite"`` takes the working
            correlation for true (Bell and McCaffrey 2002), ``"fay-graubard"`` takes variances from
            the residuals, ``"pan-wall"`` from how the clusters' shares differ.

        Returns
        -------
        ndarray, (m,)
            Infinite for ``"normal"``.
        """
        return freedom_of(self, contrasts, self.df_used if df is None else df)

    @property
    def clusters(self) -> float:
        """Number of clusters, by how often each occurs."""
        copies = self.estimates.copies
        return float(len(self.estimates.levels) if copies is None else copies.sum())

    @property
    def groups(self) -> dict[str, int]:
        """Number of clusters by the name of the column."""
        return {self.model.groups: len(self.estimates.levels)}

    @property
    def nobs(self) -> int:
        """Rows used, by how often each cluster occurs."""
        freq = self.design.freq
        return self.design.n if freq is None else round(float(freq.sum()))

    @property
    def df_model(self) -> int:
        """Number of coefficients."""
        return len(self.names)

    @property
    def scale(self) -> float | dict[str, float]:
        """The scale phi, or the coefficients of its logarithm by name."""
        if self.design.parts:
            names = self.design.parts[0].x_names
            return dict(zip(names, self.estimates.scale.tolist(), strict=True))
        return float(self.estimates.scale[0])

    @property
    def alpha(self) -> dict[str, float]:
        """Parameters of the working correlation by name.

        That of ar1 is for one unit of time; NaN for pairs of times that no cluster has.
        """
        return dict(zip(self.estimates.alpha_names, self._alpha.tolist(), strict=True))

    @property
    def _alpha(self) -> Array:
        e = self.estimates
        alpha = e.alpha.copy()
        if self.model.corr.name == "ar1" and e.unit != 1:
            alpha = np.sign(alpha) * np.abs(alpha) ** (1 / e.unit)
        if e.pairs.size:
            alpha = np.where(e.pairs > 0, alpha, np.nan)
        return alpha

    def working(self) -> Any:
        """Return scale and correlations with their standard errors.

        The three sets of equations, of mean, scale and correlation, are taken together; their
        derivatives are differences of the equations themselves.

        Returns
        -------
        frame
            Of the user's kind: `name`, `estimate`, `se`; NaN where a number is held.

        References
        ----------
        Yan, J. and Fine, J. (2004). Estimating equations for association structures. Statistics in
        Medicine 23, 859-874.
        """
        from .moments import working

        return self.frame(working(self))

    def correlation(self) -> Array:
        """Return the working correlation among all times, (T, T), or of the largest cluster.

        Raises
        ------
        DataError
            For a regression on covariates of pairs, which has no one matrix.
        """
        from .moments import matrix

        return matrix(self)

    def predict(
        self,
        new: Any = None,
        *,
        scale: str = "response",
        offset: str | ArrayLike | None = None,
    ) -> Array:
        """Predict the expected response, averaged over clusters.

        Parameters
        ----------
        new : frame, optional
            New rows (m of them); the rows used when not given.
        scale : str
            ``"response"`` or ``"link"``.
        offset : str or array_like, (m,), optional
            Replaces what was given to `gee` as ``offset=``.

        Returns
        -------
        ndarray, (m,), or (m, K) probabilities of ordered classes
        """
        one_of("scale", scale, ("response", "link"))
        _, eta = self.linear(new, offset)
        if scale == "link":
            return eta
        if self.model.family.ordered:
            thresholds = self.estimates.beta[: len(self.names) - len(self.estimates.kept)]
            flat = _core.class_probabilities(self.model.link, eta, thresholds.tolist())
            return flat.reshape(eta.size, -1)
        return _core.inverse_link(self.model.link, eta)

    def linear(self, new: Any = None, offset: str | ArrayLike | None = None) -> tuple[Array, Array]:
        """Return the columns (m, k) that have coefficients and the linear predictor (m,) of rows.

        Parameters
        ----------
        new, offset
            As in `predict`. Thresholds of ordered classes are not part of the predictor.
        """
        if new is None:
            x, known = self.design.x, self.design.offset
        else:
            made = self.design.apply(new, offset=offset)
            x, known = made.x, made.offset
        x = x[:, list(self.estimates.kept)]
        eta = np.asarray(x @ self.estimates.beta[len(self.names) - x.shape[1] :])
        return x, eta if known is None else eta + known

    @cached_property
    def fitted(self) -> Array:
        """Expected response of the rows used, (n,); for a binomial the probability."""
        values = self.predict()
        values.flags.writeable = False
        return values

    def confint(self, level: float = 0.95, *, df: str | None = None) -> Any:
        """Return confidence intervals of the coefficients.

        Parameters
        ----------
        level : float
            Between 0 and 1.
        df : str, optional
            As in `freedom`.

        Returns
        -------
        frame
            Of the user's kind: `name`, `estimate`, `lower`, `upper`, on the link scale.
        """
        from ..inference.wald import bounds
        from .law import law

        found = bounds(self.estimates.beta, law(self, df), level)
        columns = {"name": list(self.names), "estimate": self.estimates.beta.tolist()}
        columns |= {"lower": found.lower.tolist(), "upper": found.upper.tolist()}
        return self.frame(columns)

    def test(
        self,
        hypothesis: str | Sequence[str] | ArrayLike,
        *,
        value: float | ArrayLike = 0.0,
        method: str = "wald",
        df: str | None = None,
    ) -> Tests:
        """Test linear hypotheses about the coefficients, together.

        Parameters
        ----------
        hypothesis : str, sequence of str, or array_like, (m, p)
            As in `Fit.test`: ``"a = b"``, ``"2*a - b = 0.5"``, a combination alone being compared
            with zero; or rows of combinations.
        value : float or array_like, (m,)
            What rows of combinations are compared with.
        method : str
            ``"wald"``, or ``"score"``: the equations are solved under the hypothesis, and what they
            lack there is compared with its robust covariance.
        df : str, optional
            Of the Wald test, as in `freedom`; the least of the combinations' own.

        Returns
        -------
        Tests

        References
        ----------
        Boos, D. D. (1992). On generalized score tests. The American Statistician 46, 327-333.
        """
        from .testing import test

        return test(self, hypothesis, method, df, value)

    def qic(self, scale: float | None = None) -> QIC:
        """Return the quasi-likelihood information criteria; see `glimm.gee.QIC`.

        Parameters
        ----------
        scale : float, optional
            Of the quasi-likelihood. Criteria of several fits compare only at one scale;
            `glimm.compare` takes that of the fit with most coefficients. geepack takes 1.
        """
        from .criteria import qic

        return qic(self, scale)

    def scores(self) -> Array:
        """What each cluster adds to the equations, D'V^-1 (y - mu), (G, p); their sum is zero."""
        return self.problem.scores(self.estimates.state).reshape(-1, len(self.names))

    def summary(self) -> Summary:
        """Return the fit in words and tables; `print` shows it."""
        from .printed import summary

        return summary(self)

    def frame(self, columns: Mapping[str, Any]) -> Any:
        """Return columns as a frame of the kind that the fit was given."""
        from ..data import frame_like

        return frame_like(self.design.frame_kind, columns)

    def _compared(self, fits: Mapping[str, Any]) -> Any:
        """What `glimm.compare` says of estimating equations."""
        from .criteria import compared

        return compared(fits)

    def __str__(self) -> str:
        return str(self.summary())

    def __repr__(self) -> str:
        text = self.model.formula.text
        return (
            f"<GEEFit {text!r}, {self.family}, {self.model.corr.text}, {self.clusters:g} clusters>"
        )

    def _repr_html_(self) -> str:
        return self.summary().to_html()
