"""Checks of models that were fitted elsewhere, from data that they simulate."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError, rows_text
from .law import Simulated
from .residuals import Residuals

Array = NDArray[np.float64]

_FEWEST = 50


def foreign(
    observed: ArrayLike,
    simulations: ArrayLike,
    fitted: ArrayLike | None = None,
    *,
    integer: bool | None = None,
    seed: int = 0,
) -> Residuals:
    """Return residuals of a model from data simulated from it, by whatever program.

    What it returns goes where `glimm.residuals` of a fit goes: into all tests, pictures and the
    page, `glimm.checks.page`, that need no fit.

    Parameters
    ----------
    observed : array_like, (n,)
        Responses.
    simulations : array_like, (n, S)
        S sets of responses simulated from the fitted model, one column each; at least 50, better
        250. With new random effects in each they are of the marginal distribution, whose residuals
        are dependent within clusters; with one posterior draw of the random effects in each column
        residuals are uniform and independent.
    fitted : array_like, (n,), optional
        Expected responses; the means of the simulations by default.
    integer : bool, optional
        Whether responses are whole numbers, which is then checked; found out by default. Ties are
        broken at random.
    seed : int

    Returns
    -------
    Residuals

    Raises
    ------
    DataError
        For shapes that do not fit, values that are not finite, or fewer than 50 simulations.

    Examples
    --------
    >>> import glimm
    >>> import numpy as np
    >>> rng = np.random.default_rng(1)
    >>> observed = rng.poisson(3.0, 100)
    >>> found = glimm.checks.foreign(observed, rng.poisson(3.0, (100, 250)))
    >>> found.values.shape
    (100,)
    """
    y, draws = _numbers("observed", observed, 1), _numbers("simulations", simulations, 2)
    if draws.shape[0] != y.size:
        hint = "; transpose it" if draws.shape[1] == y.size else ""
        message = (
            f"simulations= has shape {draws.shape}; it needs a row for each of {y.size:,} "
            f"responses and a column for each simulation{hint}"
        )
        raise DataError(message, code="array_shape")
    if draws.shape[1] < _FEWEST:
        message = f"simulations= has {draws.shape[1]} columns; ranks need at least {_FEWEST}"
        raise DataError(message, code="array_shape")
    if integer:
        for name, values in (("observed", y), ("simulations", draws)):
            if not np.array_equal(values, values.round()):
                message = f"integer=True, but {name} has values that are not whole"
                raise DataError(message, code="outside_domain")
    means = None if fitted is None else _numbers("fitted", fitted, 1)
    if means is not None and means.shape != y.shape:
        message = f"fitted= has shape {means.shape}; it needs {y.shape}"
        raise DataError(message, code="array_shape")
    law = Simulated(np.ascontiguousarray(draws.T), means)
    u, z = law.quantile(y, seed, 0)
    return Residuals(
        values=u, normal=z, observed=y, rows=np.arange(y.size), kind="simulated",
        random_effects="as simulated", parameters="estimates", seed=seed, law=law,
    )  # fmt: skip


def _numbers(name: str, given: ArrayLike, dimensions: int) -> Array:
    try:
        values = np.array(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}= must hold numbers: {error}", code="array_shape") from None
    if values.ndim != dimensions:
        message = f"{name}= has {values.ndim} dimensions; it needs {dimensions}"
        raise DataError(message, code="array_shape")
    wrong = np.flatnonzero(~np.isfinite(values.reshape(values.shape[0], -1)).all(axis=1))
    if wrong.size:
        message = f"{name}= is not finite in {rows_text(wrong.tolist())}"
        raise DataError(message, code="infinite_values")
    return values
