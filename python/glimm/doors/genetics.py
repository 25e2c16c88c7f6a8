"""Doors from a Fit to the answers of quantitative genetics; each opens its room when called."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from ..fit import Fit
    from ..genetics import BreedingValues, Heritability


class Genetics:
    """What is inherited."""

    __slots__ = ()

    def heritability(
        self,
        term: str | None = None,
        *,
        level: float = 0.95,
        method: str = "delta",
        average: bool = True,
        fixed_variance: bool = False,
    ) -> Heritability:
        """Return heritability, repeatability, maternal shares, genetic correlations, evolvability.

        On the latent scale (of the linear predictor), the expected (of the mean given all effects)
        and the observed scale (of the response): with mu = g^-1(eta) and Psi = E dmu/deta over the
        latent distribution, V_A,obs = Psi^2 V_A, V_exp = Var mu, V_obs = Var mu + E Var(z | eta).
        For proportions and ordered classes also on the liability scale, which adds the variance of
        the link. Shares of other random effects are the covariance of two records that have them in
        common. All by closed forms or quadrature, for any family that states a variance.

        Parameters
        ----------
        term : str, optional
            The grouping whose variance is the additive one; by default that of the first term with
            ``pedigree=``, else ``phylogeny=``, else ``known=``.
        level : float
            Of the intervals, between 0 and 1.
        method : str
            ``"delta"``: from the joint covariance of all parameters, symmetric in the logit of a
            share, the log of a variance, atanh of a correlation. ``"profile"``: the same, and
            profile likelihood for shares of the latent (or only) and the liability scale, which
            hold where a variance is near 0; after REML those of maximum likelihood.
        average : bool
            Average over the fixed parts of the rows; False: at the mean of the linear predictor.
        fixed_variance : bool
            Count the variance of the fixed effects to the phenotypic variance.

        Returns
        -------
        Heritability
            ``found["h2"]`` on the first scale, ``found["h2", "observed"]``; `lines`, `line`,
            `to_frame`, `plot`; `print` shows tables. Traits of a term ``(0 + trait | animal)``
            have lines of their own, each on the scales of its family (`FamilyBy`). What is in
            ``residual(0 + trait | record)`` is the residual variance, and the correlations of
            residuals are among the lines.

        Raises
        ------
        FitError
            Where no term has relatives as levels, or rows of several families share their
            effects; code ``"no_heritability"``.

        References
        ----------
        de Villemereuil, P., Schielzeth, H., Nakagawa, S. and Morrissey, M. (2016). General methods
        for evolutionary quantitative genetic inference from generalized mixed models. Genetics 204,
        1281-1294. Willham, R. L. (1972). J. Anim. Sci. 35, 1288-1293. Houle, D. (1992). Genetics
        130, 195-204.

        Examples
        --------
        >>> import glimm
        >>> study = glimm.datasets.make_fecundity(200, 4, seasons=1)
        >>> relations = {"ped": glimm.Pedigree(study.records)}
        >>> formula = "weight ~ sex + (1 | animal, pedigree=ped)"
        >>> fit = glimm.fit(formula, study.frame, relations=relations)
        >>> round(fit.heritability()["h2"], 2)
        0.58
        """
        from ..genetics import heritability

        fit = cast("Fit", self)
        return heritability(fit, term, level, method, average, fixed_variance)

    def breeding_values(
        self, term: str | None = None, *, parameters: str = "fixed"
    ) -> BreedingValues:
        """Return the breeding values of all animals, with accuracies.

        Modes of the additive effects, on the scale of the linear predictor; of animals without
        records too. PEV is the prediction error variance, and reliability 1 - PEV / ((1 + F) V_A).

        Parameters
        ----------
        term : str, optional
            As in `heritability`.
        parameters : str
            What the errors account for besides the effects: ``"fixed"``, the fixed effects, with
            the variances taken as known, which for Gaussian responses is the block C22 of
            Henderson's mixed model equations; ``"all"``, all parameters, to first order;
            ``"none"``.

        Returns
        -------
        BreedingValues
            `values`, `se`, `accuracy`, `reliability`, `inbreeding`, `to_frame`.

        Raises
        ------
        FitError
            Where no term has relatives as levels; code ``"no_heritability"``.

        References
        ----------
        Henderson, C. R. (1975). Best linear unbiased estimation and prediction under a selection
        model. Biometrics 31, 423-447.

        Examples
        --------
        >>> import glimm
        >>> study = glimm.datasets.make_fecundity(200, 4, seasons=1)
        >>> relations = {"ped": glimm.Pedigree(study.records)}
        >>> formula = "weight ~ sex + (1 | animal, pedigree=ped)"
        >>> fit = glimm.fit(formula, study.frame, relations=relations)
        >>> found = fit.breeding_values()
        >>> found.values.shape, bool((found.accuracy <= 1).all())
        ((200, 1), True)
        """
        from ..genetics import breeding_values

        return breeding_values(cast("Fit", self), term, parameters)
