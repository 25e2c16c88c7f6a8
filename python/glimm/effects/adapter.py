"""A Fit as the package marginaleffects takes it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..data import frame_like, values_of
from ..errors import DataError, FitError
from ..fit import Fit
from .grid import covariates
from .values import check_scale, effect_of, evaluate_frame

if TYPE_CHECKING:
    from collections.abc import Mapping

Array = NDArray[np.float64]


def for_marginaleffects(fit: Fit, *, effect: str = "subject", scale: str = "response") -> Any:
    """Return a model that functions of the package marginaleffects accept.

    `marginaleffects.predictions`, `comparisons`, `slopes`, `hypotheses` and their ``avg_`` forms
    then work with it. Standard errors are theirs, by differences in all parameters of the fit,
    those of the random effects included.

    Parameters
    ----------
    fit : Fit
        Its rows are the data, of which marginaleffects makes grids.
    effect : str
        ``"subject"``: random effects at zero. ``"population"``: averaged over them, exactly.
    scale : str
        ``"response"`` or ``"link"``, of the predictions.

    Returns
    -------
    object
        Of a subclass of the package's abstract model.

    Raises
    ------
    FitError
        When marginaleffects is not installed.

    References
    ----------
    Arel-Bundock, V., Greifer, N. and Heiss, A. (2024). How to interpret statistical models using
    marginaleffects for R and Python. Journal of Statistical Software 111 (9).
    """
    check_scale(scale)
    effect = effect_of(fit, effect)
    if fit.design.request.offset == "offset=":
        message = "offset= was an array when fitted; name a column, so that new rows have theirs"
        raise DataError(message, code="unknown_option")
    try:
        from marginaleffects.classes.model import ModelAbstract, ModelVault
    except ImportError as error:
        message = "marginaleffects is not installed: pip install marginaleffects"
        raise FitError(message, code="unknown_option") from error
    own = _Predictions(fit, effect, scale)

    class Model(ModelAbstract):  # type: ignore[misc]
        """The methods that marginaleffects calls."""

        def get_predict(self, params: Any, newdata: Any) -> Any:
            return frame_like("polars", own.at(np.asarray(params, dtype=np.float64), newdata))

        def get_exog(self, newdata: Any) -> Any:
            return newdata

        def validation(self) -> None:
            """Nothing to check: the data are those of a fit."""

        def find_response(self) -> str:
            return own.response

        def find_variables(self) -> list[str]:
            return own.variables()

        def find_predictors(self) -> list[str]:
            return own.variables()

        def get_vcov(self, vcov: Any = False) -> Any:
            return own.covariance(vcov)

    vault = ModelVault(
        coef=fit.estimates.parameters.copy(),
        coefnames=np.array(fit.parameter_names),
        modeldata=own.data(),
        variable_names=own.variables(),
        vcov=own.covariance(True),
        formula=own.formula(),
        package="glimm",
        variables_type=own.types(),
    )
    return Model(fit, vault)


class _Predictions:
    """Predictions of a fit at any parameters."""

    def __init__(self, fit: Fit, effect: str, scale: str) -> None:
        self.fit, self.effect, self.scale = fit, effect, scale
        self.response = fit.design.response_name

    def at(self, parameters: Array, frame: Any) -> Mapping[str, Any]:
        """Return `rowid` and `estimate` of the rows of a frame."""
        moved = replace(self.fit.estimates, parameters=parameters)
        fit = Fit(self.fit.model, self.fit.design, moved)
        value = evaluate_frame(fit, frame, None, self.effect, self.scale).value
        return {"rowid": np.arange(value.size), "estimate": value}

    def covariance(self, wanted: Any) -> Array | None:
        """Return the covariance of all parameters, or the one given; None when not wanted."""
        if isinstance(wanted, np.ndarray):
            return wanted
        if wanted is False or wanted is None:
            return None
        if wanted is not True:
            message = f"vcov={wanted!r}; use True, False or a covariance of all parameters"
            raise DataError(message, code="unknown_option")
        known = self.fit.vcov("all")
        return np.where(np.isfinite(known), known, 0.0)

    def variables(self) -> list[str]:
        """Return the covariates."""
        return list(covariates(self.fit))

    def types(self) -> dict[str, str]:
        """Return what kind of variable each column is, in the words of marginaleffects."""
        found = {self.response: "numeric"}
        for name, column in self.fit.design.used_columns.items():
            whole = column.kind == "integer"
            two = whole and set(np.unique(column.values).tolist()) <= {0, 1}
            number = "binary" if two else "integer" if whole else "numeric"
            kinds = {"boolean": "boolean", "text": "character", "category": "character"}
            found[name] = kinds.get(column.kind, number)
        return found

    def formula(self) -> str:
        """Return a formula that names the columns; the design is glimm's own."""
        return f"`{self.response}` ~ " + (" + ".join(f"`{n}`" for n in self.variables()) or "1")

    def data(self) -> Any:
        """Return the columns used and the response, at the rows used, as a polars frame."""
        import polars as pl

        found = {}
        for name, column in self.fit.design.used_columns.items():
            texts = column.levels is not None and all(isinstance(v, str) for v in column.levels)
            kind = pl.Enum([str(v) for v in column.levels or ()]) if texts else None
            found[name] = pl.Series(name, values_of(column).tolist(), dtype=kind)
        return pl.DataFrame(found | {self.response: self.fit.design.y})
