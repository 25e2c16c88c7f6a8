"""Doors from a Fit to intervals and tests; each opens its room when called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from ..fit import Fit
    from ..inference.bootstrap import Bootstrap
    from ..inference.boundary import RandomTests
    from ..inference.joint import Tests
    from ..inference.profile import Profile
    from ..inference.robust import Robust
    from ..inference.score import ScoreTest
    from ..summary import Summary


class Inference:
    """How sure a fit is."""

    __slots__ = ()

    def confint(
        self,
        level: float = 0.95,
        *,
        method: str = "wald",
        part: str = "mean",
        df: str = "auto",
        n: int = 1000,
        seed: int = 0,
        progress: bool | None = None,
    ) -> Any:
        """Return confidence intervals.

        Parameters
        ----------
        level : float
            Between 0 and 1.
        method : str
            ``"wald"``: estimate -+ quantile times standard error; for standard deviations
            on the log scale, for correlations on that of atanh. ``"profile"``: the values that a
            likelihood-ratio test does not reject; after REML those of maximum likelihood.
            ``"boot"``: quantiles of `n` refits to simulated responses (`bootstrap`).
        part : str
            As in `part`; ``"random"``: standard deviations and correlations of the random
            effects, and the residual one; ``"all"``: everything.
        df : str
            Degrees of freedom of Wald intervals of the mean, as in `summary`.
        n, seed : int
            Of the bootstrap.
        progress : bool, optional
            As in `glimm.fit`.

        Returns
        -------
        frame
            Of the user's kind: `name`, `estimate`, `lower`, `upper`, on the scale of the part.
            Profile intervals have a `note`: a bound at the end of the range (a standard deviation
            of 0), where the interval has one side, or why a bound is NaN; those of the bootstrap
            have `used`, the number of refits that converged.

        Raises
        ------
        FitError
            When the likelihood is higher elsewhere than at the estimates.

        References
        ----------
        Venzon, D. J. and Moolgavkar, S. H. (1988). A method for computing
        profile-likelihood-based confidence intervals. Applied Statistics 37, 87-94.

        Examples
        --------
        >>> import glimm
        >>> data = glimm.datasets.load("sleepstudy")
        >>> fit = glimm.fit("reaction ~ days + (1 | subject)", data, reml=False)
        >>> print(fit.confint(method="profile", part="random").drop(columns="note").round(2))
                               name  estimate  lower  upper
        0  subject: sd[(Intercept)]     36.01  26.01  52.94
        1                     sigma     30.90  27.81  34.59
        """
        from ..inference.confint import confint

        fit = cast("Fit", self)
        return fit.frame(confint(fit, level, method, part, df, n, seed, progress))

    def profile(
        self,
        names: str | Sequence[str] | None = None,
        *,
        level: float = 0.99,
        part: str = "all",
        progress: bool | None = None,
    ) -> Profile:
        """Profile the likelihood: maximise it over all parameters but one, held at many values.

        Parameters
        ----------
        names : str or sequence of str, optional
            Names as in `confint`; all of the part when not given.
        level : float
            Curves reach the bounds of intervals of this level.
        part : str
            As in `confint`.
        progress : bool, optional
            As in `glimm.fit`.

        Returns
        -------
        Profile
            `curves`, `confint(level)`. The integral over the random effects is that of the fit,
            with nodes chosen anew at every point. After REML the profiles are those of maximum
            likelihood, about its estimates.

        Raises
        ------
        DataError, FitError

        Examples
        --------
        >>> import glimm
        >>> data = glimm.datasets.load("sleepstudy")
        >>> fit = glimm.fit("reaction ~ days + (1 | subject)", data, reml=False)
        >>> curve = fit.profile("days").curves[0]
        >>> curve.value.shape, round(float(curve.value[0]), 3)
        ((13,), 8.381)
        """
        from ..inference.profile import profile

        return profile(cast("Fit", self), names, level, part, progress)

    def bootstrap(
        self,
        n: int = 1000,
        seed: int = 0,
        *,
        statistic: Callable[[Fit], float | Mapping[str, float]] | None = None,
        threads: int | None = None,
        progress: bool | None = None,
    ) -> Bootstrap:
        """Refit the model to responses simulated from it (parametric bootstrap).

        Parameters
        ----------
        n : int
            Number of refits.
        seed : int
            Equal seeds give equal numbers, whatever the number of threads.
        statistic : callable, optional
            From a Fit to a number or a mapping of names to numbers; its modes of random effects
            are those of the original fit. By default all coefficients, standard deviations and
            correlations.
        threads : int, optional
            All cores by default.
        progress : bool, optional
            As in `glimm.fit`.

        Returns
        -------
        Bootstrap
            `replicates`, `se`, `bias`, `confint(level, kind=...)`; `failed` counts refits that
            did not converge.
        """
        from ..inference.bootstrap import bootstrap

        return bootstrap(cast("Fit", self), n, seed, statistic, threads, progress)

    def test_random(self, *, simulations: int = 0, seed: int = 0) -> RandomTests:
        """Test whether each random effect varies between groups.

        Every term with one effect, and every effect of a term with several, is left out in turn;
        twice the difference of the log-likelihoods is held against the mixture of chi-square
        distributions that it has when a variance is zero, on the boundary of its range. After
        REML, restricted likelihoods are compared; the fixed effects are the same.

        Parameters
        ----------
        simulations : int
            Responses simulated from each smaller model for a p-value that leans on no theory;
            0: none.
        seed : int

        Returns
        -------
        RandomTests

        References
        ----------
        Self, S. G. and Liang, K.-Y. (1987). Journal of the American Statistical Association 82,
        605-610. Stram, D. O. and Lee, J. W. (1994). Biometrics 50, 1171-1177.

        Examples
        --------
        >>> import glimm
        >>> data = glimm.datasets.load("sleepstudy")
        >>> fit = glimm.fit("reaction ~ days + (1 + days | subject)", data)
        >>> [row[1] for row in fit.test_random().table.rows]
        ['(Intercept)', 'days']
        """
        from ..inference.boundary import test_random

        return test_random(cast("Fit", self), simulations, seed)

    def score_test(self, add: str, data: Any) -> ScoreTest:
        """Test fixed effects that the model has not, without fitting the larger one.

        Parameters
        ----------
        add : str
            Terms to add to the formula: ``"age + treatment:period"``.
        data : frame
            With the rows of the fit, and the columns that `add` names.

        Returns
        -------
        ScoreTest
            Rao's statistic with the observed information of the larger model, its degrees of
            freedom and p. After REML, at the estimates of maximum likelihood.

        References
        ----------
        Rao, C. R. (1948). Proceedings of the Cambridge Philosophical Society 44, 50-57.

        Examples
        --------
        >>> import glimm
        >>> data = glimm.datasets.load("cbpp")
        >>> fit = glimm.fit("incidence / size ~ 1 + (1 | herd)", data, family="binomial")
        >>> test = fit.score_test("C(period)", data)
        >>> test.df, bool(test.p < 0.001)
        (3, True)
        """
        from ..inference.score import score_test

        return score_test(cast("Fit", self), add, data)

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
        from ..inference.robust import robust

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
        from ..inference.joint import joint_tests

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
        from ..inference.joint import linear_test

        return linear_test(cast("Fit", self), hypothesis, df, covariance, value=value)

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
        from ..summary import summary

        return summary(cast("Fit", self), df)
