"""What a formula makes of data: arrays, names, and all that is needed to make the same again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data import Column, Kind, Level
from ..errors import DataError, rows_text
from ..formula import Formula
from ..relations import Relation
from .members import Source
from .response import FamilyLike
from .rows import Drop, Rows

Values = NDArray[np.float64]
Codes = NDArray[np.signedinteger[Any]]


@dataclass(frozen=True, slots=True)
class DesignTerm:
    """A random-effect term met data.

    Parameters
    ----------
    label : str
        Name of the group: ``"person"``, ``"school:class"``.
    columns : tuple of str, (q,)
        Names of the columns: ``("(Intercept)", "x")``.
    predictors : tuple of int, (q,)
        The linear predictor that each column belongs to: 0 is that of the mean.
    structure : str
        ``"us"`` or ``"diag"``.
    levels : tuple
        The groups, as the user's values; combinations as text joined by ``:``.
    codes : ndarray of int, (n,)
        The group of each row, a position in `levels`.
    z : ndarray, (n, q)
        Values of the columns, in Fortran order.
    text : str
        The term as the user wrote it.
    relation : Relation, optional
        What is known of the covariance among the groups; they are its levels.
    named : str
        The name of the relation in the call.
    also : tuple of (codes, z)
        Further groups that each row belongs to, -1 for none, (n,), with columns for the same
        effects (n, q).
    residual : bool
        Whether it is the covariance of the residuals of a record.
    beyond : ndarray, (n, d), or None
        In new data the coordinates of places of a field that the fit has not seen, NaN elsewhere.
    """

    label: str
    columns: tuple[str, ...]
    predictors: tuple[int, ...]
    structure: str
    levels: tuple[Level, ...]
    codes: Codes
    z: Values
    text: str
    relation: Relation | None = None
    named: str = ""
    also: tuple[tuple[Codes, Values], ...] = ()
    residual: bool = False
    beyond: Values | None = None

    @property
    def memberships(self) -> tuple[tuple[Codes, Values], ...]:
        """The groups of each row and the columns for them, one pair for each group of a row."""
        return (self.codes, self.z), *self.also

    @property
    def tied(self) -> bool:
        """Whether its groups hang together: by a relation, or by rows with several of them."""
        return self.relation is not None or bool(self.also)


@dataclass(frozen=True, slots=True)
class Part:
    """A linear predictor besides that of the mean, with a formula of its own.

    Parameters
    ----------
    name : str
        ``"dispersion"`` or ``"zi"``.
    predictor : int
        Its number among the linear predictors of the family.
    formula : Formula
        Without a response.
    x : ndarray, (n, p)
        Fixed effects, in Fortran order.
    x_names : tuple of str, (p,)
    offset : ndarray, (n,), or None
        Known part.
    """

    name: str
    predictor: int
    formula: Formula
    x: Values
    x_names: tuple[str, ...]
    offset: Values | None


@dataclass(frozen=True, slots=True)
class NewRows:
    """A design applied to new data of n rows.

    Parameters
    ----------
    x : ndarray, (n, p)
        Fixed effects, in Fortran order.
    offset : ndarray, (n,), or None
        Known part of the linear predictor.
    trials : ndarray, (n,), or None
        Number of trials, when the new data have it.
    terms : tuple of (codes, z)
        For each membership of each term of the design (`Design.members`) the groups, -1 for new
        ones, (n,), and the columns (n, q).
    parts : tuple of (x, offset)
        For each part of the design.
    n : int
    beyond : tuple of ndarray (n, d) or None
        For each membership the coordinates of places of its field that the fit has not seen, NaN
        in other rows; None where there are none. Its columns stand at another place there.
    """

    x: Values
    offset: Values | None
    trials: Values | None
    terms: tuple[tuple[Codes, Values], ...]
    parts: tuple[tuple[Values, Values | None], ...]
    n: int
    beyond: tuple[Values | None, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for: the formula, the family, and where trials, weights and offset are.

    `trials`, `freq`, `offset` and `precision` are keys of the design's columns; ``"offset="`` and
    the like mean that an array was given. `available` are the columns that ``.`` stands for.
    `others` are the formulas of further predictors: (name, number of the predictor, formula);
    `extra` further columns that every row used must have: (what for, key). `relations` are known
    relations by the names that the formulas use.
    """

    formula: Formula
    family: FamilyLike
    trials: str | None
    freq: str | None
    offset: str | None
    available: tuple[str, ...]
    precision: str | None = None
    others: tuple[tuple[str, int, Formula], ...] = ()
    extra: tuple[tuple[str, str], ...] = ()
    relations: Mapping[str, Relation] = field(default_factory=dict)

    @property
    def formulas(self) -> tuple[tuple[int, Formula], ...]:
        """All formulas with the number of their predictor, that of the mean first."""
        return ((0, self.formula), *((k, formula) for _, k, formula in self.others))


@dataclass(frozen=True, slots=True)
class Design:
    """A formula met data. Made by `build`; arrays are read-only.

    Parameters
    ----------
    formula : Formula
    y : ndarray, (n,)
        The response; for two levels 0 (failure) and 1 (success).
    trials, freq, offset, precision : ndarray, (n,), or None
        Number of trials, frequency weights, known part of the linear predictor, precision weights.
    x : ndarray, (n, p)
        Fixed effects, in Fortran order.
    x_names : tuple of str, (p,)
    terms : tuple of DesignTerm
        Those of all formulas.
    parts : tuple of Part
        Further predictors with a formula.
    rows : ndarray of int, (n,)
        Positions of the rows used in the user's frame.
    n_input : int
        Rows of the user's frame.
    dropped : tuple of Drop
    response_name : str
    response_levels : tuple, optional
        (failure, success) of a response of two levels, or all classes of an ordered one.
    frame_kind : str
        ``"pandas"``, ``"polars"``, ``"pyarrow"`` or ``"dict"``.
    used_columns : mapping of str to Column
        The columns used, at the rows used.
    request, learned, sources
        What was asked, and what re-applying to new data needs; `sources` are the groups of each
        term as written.
    floors : tuple of float
        Where residuals have a covariance R the standard deviation of each column that is beside the
        random effects of its term: R = Sigma + diag(floors^2).
    """

    formula: Formula
    y: Values
    trials: Values | None
    freq: Values | None
    offset: Values | None
    precision: Values | None
    x: Values
    x_names: tuple[str, ...]
    terms: tuple[DesignTerm, ...]
    parts: tuple[Part, ...]
    rows: Rows
    n_input: int
    dropped: tuple[Drop, ...]
    response_name: str
    response_levels: tuple[Level, ...] | None
    frame_kind: Kind
    used_columns: Mapping[str, Column]
    request: Request
    learned: Any
    sources: tuple[Source, ...]
    floors: tuple[float, ...] = ()

    @property
    def n(self) -> int:
        """Number of rows used."""
        return len(self.y)

    @property
    def members(self) -> tuple[int, ...]:
        """The term of each membership: a term stands as often as its rows have groups."""
        return tuple(t for t, term in enumerate(self.terms) for _ in term.memberships)

    def apply(
        self, new: Any, *, new_levels: str = "error", offset: str | ArrayLike | None = None
    ) -> NewRows:
        """Make the same matrices from new data, with what was learned: levels, means, knots.

        Parameters
        ----------
        new : frame
            Of any kind that `build` reads. The response need not be there.
        new_levels : str
            What to do with groups that were not seen: ``"error"``, ``"zero"`` for code -1,
            ``"number"`` for codes -1, -2, ... by level; ``"none"``: -1 for all, whose columns need
            not be there.
        offset : str or array_like, (n,), optional
            Replaces what was given as ``offset=`` to `build`.

        Returns
        -------
        NewRows

        Raises
        ------
        DataError
            For a missing column, missing or infinite values, a covariate's level that was not
            seen, or such a group under ``"error"``; the message names column, level and rows.
        """
        from .apply import apply_design

        return apply_design(self, new, new_levels=new_levels, offset=offset)

    def with_response(self, y: ArrayLike) -> Design:
        """Return the design with another response, all else equal.

        Parameters
        ----------
        y : array_like, (n,)
            One number for each row used, on the scale of `y`.

        Raises
        ------
        DataError
            When the length differs, or a value is not finite.
        """
        try:
            values = np.array(y, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"the new response must hold numbers: {error}") from None
        if values.shape != self.y.shape:
            message = (
                f"the new response has shape {values.shape}; the design has {self.n} rows"
                f" ({self.n_input} in the data, before rows were dropped)"
            )
            raise DataError(message, code="array_shape")
        wrong = np.flatnonzero(~np.isfinite(values))
        if wrong.size:
            message = f"the new response is not finite in {rows_text(wrong.tolist())}"
            raise DataError(message, code="infinite_values")
        values.flags.writeable = False
        return replace(self, y=values)
