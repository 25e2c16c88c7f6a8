"""Doors from a Fit to predictions and effects; each opens its room when called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from ..effects import PopulationAveraged, VarianceShares
    from ..fit import Fit
    from ..verify import Verification

Array = NDArray[np.float64]


class Answers:
    """What a fit says."""

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
            ``"subject"``: for the given levels of the groups, at the modes of their effects. At
            places that a field has not seen the effect is its mean given those modes (kriging),
            and intervals include the variance that they leave open.
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
        from ..predict import predict

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
        from ..simulate import simulate

        return simulate(cast("Fit", self), n, seed)

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
        from ..effects import population_averaged

        return population_averaged(cast("Fit", self), level)

    def variance_shares(self, level: float = 0.95) -> VarianceShares:
        """Return where the variance comes from: decomposition, ICC, R2, median odds ratios.

        On the scale of the linear predictor: the variance of the fixed part over the rows, the mean
        of z'Sigma z of each term (Johnson 2014), and that of the response's distribution (latent
        variance of the link for proportions and ordered classes; ln(1 + variance / mean^2) for log
        links). On the scale of the response, exactly, by integration over the random effects:
        Var E, E Var and the mean variance of a response (one trial). What is in
        ``residual(0 + trait | record)`` belongs to the distribution.

        Parameters
        ----------
        level : float
            Of the delta-method intervals: symmetric in the logit of a share, in the log of a
            variance.

        Returns
        -------
        VarianceShares

        Raises
        ------
        DataError
            Where the families of rows differ (`FamilyBy`), as do the scales of their variances.

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
        from ..effects import variance_shares

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
        from ..verify import verify

        return verify(cast("Fit", self))
