"""Doors from a Fit to what is computed from it; each opens its room when called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from .effects import PopulationAveraged, VarianceShares
    from .fit import Fit
    from .inference.bootstrap import Bootstrap
    from .inference.boundary import RandomTests
    from .inference.joint import Tests
    from .inference.profile import Profile
    from .inference.robust import Robust
    from .inference.score import ScoreTest
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
        interval: str | None = None,
        level: float = 0.95,
        new_levels: str = "error",
        seed: int = 0,
        offset: str | ArrayLike | None = None,
    ) -> Any:
        """Predict the expected response, with an interval if asked for.

        Parameters
        ----------
        new : frame, optional
            New rows (m of them); the rows used in the fit when not given.
        kind : str
            ``"subject"``: for the given levels of the groups, at the modes of their effects.
            ``"population"``: averaged over the distribution of all random effects; new rows need
            no grouping columns.
        scale : str
            ``"response"`` (for a binomial the probability) or ``"link"``; for an average over a
            population the link of the mean, not the mean of the linear predictor.
        part : str
            ``"response"``: the expected response, extra zeros and truncation included; for ordered
            classes their probabilities, (m, classes). ``"mean"``: that of the family before extra
            zeros and truncation. ``"zi"``: the probability of an extra zero. ``"dispersion"``, or
            the name of another parameter of the family: its value in each row. Under
            ``scale="link"`` all of these on the scale of their linear predictor.
        interval : str, optional
            ``"confidence"``: of the expected response, from the joint covariance of all parameters
            and random effects, built on the link scale. ``"prediction"``: of a new response, by the
            quantiles of its distribution mixed over what is not known of the linear predictors
            (normal); the family's further parameters stand at their estimates unless they have
            random effects. Responses with trials: in numbers of successes, all columns.
        level : float
            Of the interval, between 0 and 1.
        new_levels : str
            What a level not seen in the fit gets: ``"error"``; ``"zero"``, the effects of a typical
            level; ``"integrate"``: the average over the distribution of its effects; ``"draw"``:
            effects drawn from it, the same in all rows of a level, known from then on.
        seed : int
            Of the draws.
        offset : str or array_like, (m,), optional
            Replaces what was given to `fit` as ``offset=``.

        Returns
        -------
        ndarray, (m,)
            Or with `interval` a frame of the user's kind: `estimate`, its standard error `se`,
            `lower`, `upper`; for ordered classes one row per row and class, with `row`, `class`.

        Raises
        ------
        DataError
            For missing columns or values and for levels not seen, with rows.
        FitError
            Where an average or an interval has no value.

        Examples
        --------
        >>> import glimm
        >>> data = glimm.datasets.load("sleepstudy")
        >>> fit = glimm.fit("reaction ~ days + (1 + days | subject)", data)
        >>> new = {"days": [0, 9]}
        >>> fit.predict(new, kind="population").round(1)
        array([251.4, 345.6])
        """
        from .predict import predict

        return predict(
            cast("Fit", self),
            new,
            kind=kind,
            scale=scale,
            part=part,
            interval=interval,
            level=level,
            new_levels=new_levels,
            seed=seed,
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
        from .inference.confint import confint

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
        from .inference.profile import profile

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
        from .inference.bootstrap import bootstrap

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
        from .inference.boundary import test_random

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
        from .inference.score import score_test

        return score_test(cast("Fit", self), add, data)

    def population_averaged(self, level: float = 0.95) -> PopulationAveraged:
        """Return population-averaged coefficients beside the subject-specific ones.

        With mu_i the mean of row i averaged over the distribution of all random effects of the
        mean, s_i^2 = z_i'Sigma z_i, the coefficients are the least-squares projection of g(mu_i)
        on x_i over the rows of the data. It is exact, not a projection, for the identity and log
        links and for the probit link with random intercepts (beta / sqrt(1 + s^2)); means are
        closed forms or quadrature accurate to 1e-10. Extra zeros and truncation are left out.

        Parameters
        ----------
        level : float
            Of the intervals, between 0 and 1.

        Returns
        -------
        PopulationAveraged
            `coef`, `se`, `to_frame`; `print` shows one table. Standard errors by the delta method
            with the uncertainty of every parameter, those of the variances included.

        Raises
        ------
        FitError
            Where the mean over the random effects is infinite.

        References
        ----------
        Hedeker, D., du Toit, S. H. C., Demirtas, H. and Gibbons, R. D. (2018). A note on
        marginalization of regression parameters from mixed models of binary outcomes. Biometrics
        74, 354-361.

        Examples
        --------
        >>> import glimm
        >>> data = glimm.datasets.load("cbpp")
        >>> fit = glimm.fit("incidence / size ~ period + (1 | herd)", data, "binomial")
        >>> averaged = fit.population_averaged()
        >>> round(fit.coef["(Intercept)"], 3), round(averaged.coef["(Intercept)"], 3)
        (-0.933, -0.829)
        """
        from .effects import population_averaged

        return population_averaged(cast("Fit", self), level)

    def variance_shares(self, level: float = 0.95) -> VarianceShares:
        """Return where the variance comes from: decomposition, ICC, R2, median odds ratios.

        On the scale of the linear predictor: the variance of the fixed part over the rows, the mean
        of z'Sigma z of each term (Johnson 2014), and that of the response's distribution (latent
        variance of the link for proportions and ordered classes; ln(1 + variance / mean^2) for log
        links). On the scale of the response, exactly, by integration over the random effects:
        Var E, E Var and the mean variance of a response (one trial).

        Parameters
        ----------
        level : float
            Of the delta-method intervals: symmetric in the logit of a share, in the log of a
            variance.

        Returns
        -------
        VarianceShares

        References
        ----------
        Nakagawa, S., Johnson, P. C. D. and Schielzeth, H. (2017). J. R. Soc. Interface 14,
        20170213. Johnson, P. C. D. (2014). Methods Ecol. Evol. 5, 944-946. Larsen, K. and Merlo,
        J. (2005). Am. J. Epidemiol. 161, 81-88. de Villemereuil, P. et al. (2016). Genetics 204,
        1281-1294.

        Examples
        --------
        >>> import glimm
        >>> data = glimm.datasets.load("sleepstudy")
        >>> fit = glimm.fit("reaction ~ days + (1 + days | subject)", data)
        >>> shares = fit.variance_shares()
        >>> round(shares["R2 marginal"], 3), round(shares["R2 conditional"], 3)
        (0.279, 0.799)
        """
        from .effects import variance_shares

        return variance_shares(cast("Fit", self), level)

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
