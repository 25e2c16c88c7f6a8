"""Doors from a Fit to what is computed from it; each opens its room when called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from .fit import Fit
    from .inference.joint import Tests
    from .inference.robust import Robust
    from .summary import Summary
    from .verify import Verification

Array = NDArray[np.float64]


class Doors:
    """The questions that a Fit answers."""

    __slots__ = ()

    def predict(
        self,
        new: Any = None,
        *,
        kind: str = "subject",
        scale: str = "response",
        part: str = "response",
        new_levels: str = "error",
        offset: str | ArrayLike | None = None,
    ) -> Array:
        """Predict the expected response.

        Parameters
        ----------
        new : frame, optional
            New rows (m of them); the rows used in the fit when not given.
        kind : str
            ``"subject"``: for the given levels of the groups, at the modes of their effects.
        scale : str
            ``"response"`` (for a binomial the probability) or ``"link"``.
        part : str
            ``"response"``: the expected response, extra zeros and truncation included; for ordered
            classes their probabilities, (m, classes). ``"mean"``: that of the family before extra
            zeros and truncation. ``"zi"``: the probability of an extra zero. ``"dispersion"``, or
            the name of another parameter of the family: its value in each row. Under
            ``scale="link"`` all of these on the scale of their linear predictor.
        new_levels : str
            What a level not seen in the fit gets: ``"error"``, or ``"zero"``, the effects of a
            typical level.
        offset : str or array_like, (m,), optional
            Replaces what was given to `fit` as ``offset=``.

        Returns
        -------
        ndarray, (m,)

        Raises
        ------
        DataError
            For missing columns or values and for levels not seen, with rows.
        """
        from .predict import predict

        return predict(
            cast("Fit", self),
            new,
            kind=kind,
            scale=scale,
            part=part,
            new_levels=new_levels,
            offset=offset,
        )

    def simulate(self, n: int = 1, seed: int = 0) -> Array:
        """Draw responses from the fitted model, with new random effects each time.

        Parameters
        ----------
        n : int
            Number of data sets.
        seed : int
            Equal seeds give equal draws, whatever the number of threads.

        Returns
        -------
        ndarray, (n, nrows)
            One row per data set, in the order of the rows used; for a binomial the successes.
        """
        from .simulate import simulate

        return simulate(cast("Fit", self), n, seed)

    def confint(
        self,
        level: float = 0.95,
        *,
        method: str = "wald",
        part: str = "mean",
        df: str = "auto",
    ) -> Any:
        """Return confidence intervals of the fixed effects.

        Parameters
        ----------
        level : float
            Between 0 and 1.
        method : str
            ``"wald"``: estimate -+ quantile times standard error.
        part : str
            As in `part`.
        df : str
            Degrees of freedom of Wald intervals of the mean, as in `summary`.

        Returns
        -------
        frame
            Of the user's kind: `name`, `estimate`, `lower`, `upper`, on the scale of the part.
        """
        from .inference import freedom, intervals

        fit = cast("Fit", self)
        known = freedom(fit, df) if part == "mean" else None
        return fit.frame(intervals(fit.part(part), level, method, known))

    def verify(self) -> Verification:
        """Compute the log-likelihood at the estimates again, independently.

        By another rule of integration or another engine; with the rows in reverse order, the levels
        renamed, a covariate in other units, successes and failures swapped.

        Returns
        -------
        Verification
            `checks` with what was allowed; `print` shows a table.
        """
        from .verify import verify

        return verify(cast("Fit", self))

    def summary(self, *, df: str = "auto") -> Summary:
        """Return the fit in words and tables; `print` shows it.

        Parameters
        ----------
        df : str
            Degrees of freedom of the fixed effects. ``"normal"``: none, z. ``"satterthwaite"`` and
            ``"kenward-roger"`` (for REML): t, for gaussian responses with the identity link, of
            any design. ``"auto"``: Satterthwaite for gaussian mixed models by REML with up to 500
            random effects and 20,000 rows, so that printing stays instant; else normal.

        Raises
        ------
        FitError
            For degrees of freedom that do not exist for this fit, with the reason.
        """
        from .summary import summary

        return summary(cast("Fit", self), df)

    def robust(self, cluster: str | ArrayLike | None = None, *, kind: str = "CR2") -> Robust:
        """Return standard errors that hold whatever the dependence within clusters.

        Parameters
        ----------
        cluster : str or array_like, optional
            A grouping of the fit, a column that it used, or one value per row. Clusters must hold
            whole groups of the random effects. By default the independent units: groups of the
            only or coarsest factor, unconnected blocks of crossed ones, rows without any.
        kind : str
            ``"CR0"``: plain. ``"CR1"``: times G / (G - 1). ``"CR2"``: unbiased if the model holds
            (Kauermann and Carroll, Bell and McCaffrey). ``"CR3"``: conservative, the jackknife to
            first order (Mancl and DeRouen).

        Returns
        -------
        Robust
            `se`, `covariance`, `confint`, `to_frame`; `print` shows model and robust errors.

        Raises
        ------
        FitError
            Where all rows hang together; code ``"no_scores"``.
        DataError
            When clusters split a group, with its rows; code ``"split_units"``.

        Examples
        --------
        >>> import glimm
        >>> data = glimm.datasets.load("sleepstudy")
        >>> fit = glimm.fit("reaction ~ days + (1 | subject)", data)
        >>> round(fit.se["days"], 2), round(fit.robust().se["days"], 2)
        (0.8, 1.55)
        """
        from .inference.robust import robust

        return robust(cast("Fit", self), cluster, kind)

    def joint_tests(
        self, type: str = "III", *, df: str = "auto", covariance: str | Robust = "model"
    ) -> Tests:
        """Test each term of the mean's fixed effects, all its coefficients together.

        Parameters
        ----------
        type : str
            ``"I"``: each term after those before it. ``"II"``: after all that do not contain it.
            ``"III"``: after all, with equal weights for the levels of other categories and at zero
            of the covariates that it is crossed with; the coding of categories plays no part.
        df : str
            As in `summary`; chi-square where they are infinite.
        covariance : str or Robust
            ``"model"``, or what `robust` returned.

        Returns
        -------
        Tests
            `p`, `to_frame`; `print` shows a table.

        Examples
        --------
        >>> import glimm
        >>> data = glimm.datasets.load("sleepstudy")
        >>> fit = glimm.fit("reaction ~ days + (1 + days | subject)", data)
        >>> round(fit.joint_tests().p["days"], 8)
        3.26e-06
        """
        from .inference.joint import joint_tests

        return joint_tests(cast("Fit", self), type, df, covariance)

    def test(
        self,
        hypothesis: str | Sequence[str] | ArrayLike,
        *,
        value: float | ArrayLike = 0.0,
        df: str = "auto",
        covariance: str | Robust = "model",
    ) -> Tests:
        """Test linear hypotheses about the mean's fixed effects, several of them together.

        Parameters
        ----------
        hypothesis : str, list of str or array_like, (q, p)
            ``"a = b"``, ``"a - 2*b = 0.5"`` with the names of `names`, odd ones in backticks; or
            rows that multiply the coefficients.
        value : float or array_like, (q,)
            What a matrix times the coefficients is compared with.
        df, covariance
            As in `joint_tests`.

        Returns
        -------
        Tests

        Raises
        ------
        FormulaError
            With an unknown name marked.

        Examples
        --------
        >>> import glimm
        >>> data = glimm.datasets.load("sleepstudy")
        >>> fit = glimm.fit("reaction ~ days + (1 + days | subject)", data)
        >>> round(next(iter(fit.test("days = 10").p.values())), 3)
        0.766
        """
        from .inference.joint import linear_test

        return linear_test(cast("Fit", self), hypothesis, df, covariance, value=value)
