"""The door from a Fit to the page of checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from ..checks.page import CheckPage
    from ..fit import Fit


class Checks:
    """Whether a model fits."""

    __slots__ = ()

    def check(
        self,
        *,
        seed: int = 0,
        n: int = 199,
        null: str = "auto",
        time: str | ArrayLike | None = None,
        try_next: bool | None = None,
        progress: bool | None = None,
    ) -> CheckPage:
        """Check every assumption of the model; one page of verdicts, and what to try next.

        Residuals are quantile residuals at a posterior draw of the random effects, independent and
        uniform if the model holds (`glimm.residuals`). Each assumption has one test. A verdict is
        "found" when its p by Holm's method over all tests of the page is below 0.05, so that a true
        model has a finding on one page of twenty at most; its words say how large the departure is.
        With many rows small departures are found too: read the size.

        Parameters
        ----------
        seed : int
            Of the posterior draw and the simulations. Another seed gives another draw: a finding
            that comes and goes is weak.
        n, null
            Simulated data sets and where p-values come from; as in `glimm.checks.study`. Up to
            5,000 rows the model is refitted `n` times.
        time : str or array_like, optional
            A column with times, along which independence is checked.
        try_next : bool, optional
            Whether changes that are advised are fitted, to say what they do to the AIC (maximum
            likelihood) and leave out those that do not help. By default up to 20,000 rows.
        progress : bool, optional
            As in `glimm.fit`.

        Returns
        -------
        CheckPage
            `print` it; `plot`, `to_html`, `to_frame`; `found` lists the topics, `advice` what to
            try.

        References
        ----------
        Dunn, P. K. and Smyth, G. K. (1996). Randomized quantile residuals. Journal of Computational
        and Graphical Statistics 5, 236-244. Waagepetersen, R. (2006). A simulation-based
        goodness-of-fit test for random effects in generalized linear mixed models. Scandinavian
        Journal of Statistics 33, 721-731.

        Examples
        --------
        >>> import glimm
        >>> data = glimm.datasets.load("epilepsy")
        >>> formula = "seizures ~ log(baseline) + treatment * period + (1 | patient)"
        >>> page = glimm.fit(formula, data, family="poisson").check(seed=1, n=39)
        >>> "dispersion" in page.found, page.advice[0].code
        (True, 'family="nbinom2"')
        """
        from ..checks.assess import page

        fit = cast("Fit", self)
        return page(fit, seed=seed, n=n, null=null, time=time, try_next=try_next, progress=progress)
