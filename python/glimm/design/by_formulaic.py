"""Model matrices by formulaic: whatever is not a sum of columns as they stand.

This is the only file that knows formulaic; import it inside functions, for it is slow to import.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NoReturn

import numpy as np
import pandas as pd
from formulaic import ModelSpec, SimpleFormula
from formulaic.errors import DataMismatchWarning, FormulaicError
from formulaic.materializers import PandasMaterializer
from formulaic.model_spec import ModelSpecs
from formulaic.parser import DefaultFormulaParser
from formulaic.transforms import C
from interface_meta import override
from numpy.typing import NDArray

from ..data import Column
from ..errors import DataError, FormulaError
from ..formula.expressions import ROWWISE
from .plain import INTERCEPT

_CONTEXT: dict[str, Any] = {name: getattr(np, name) for name in ROWWISE} | {"factor": C}
_COLOUR = re.compile("\x1b\\[[0-9;]*m|[⧛⧚]")

Factor = tuple[str, str]
"""How a factor is had, ``"literal"``, ``"lookup"`` or ``"python"``, and its text."""
Made = tuple[NDArray[np.float64], tuple[str, ...]]
"""A model matrix (n, p) in Fortran order, and the names of its columns."""


class _Arrays(PandasMaterializer):  # type: ignore[misc]
    """formulaic's own materializer, filling matrices in the order of memory that we want."""

    @override
    def _get_columns_for_term(
        self, factors: list[dict[str, Any]], spec: Any, scale: float = 1
    ) -> dict[str, Any]:
        if len(factors) == 1 and scale == 1:  # nothing to multiply, so nothing to copy
            return factors[0]
        made: dict[str, Any] = super()._get_columns_for_term(factors, spec, scale)
        return made

    @override
    def _combine_columns(
        self, cols: Sequence[tuple[str, Any]], spec: Any, drop_rows: Sequence[int]
    ) -> NDArray[np.float64]:
        out = np.empty((len(cols), self.nrows))
        for i, (_, values) in enumerate(cols):
            out[i] = values
        return out.T


@lru_cache(maxsize=512)
def _parsed(part: str, available: tuple[str, ...]) -> Any:
    """Return formulaic's formula; `available` are the columns that ``.`` stands for."""
    context = {"__formulaic_variables_available__": list(available)}
    parser = DefaultFormulaParser(feature_flags={"TWOSIDED"})
    return SimpleFormula.from_spec(part, parser=parser, context=context)


def factors(part: str, text: str, available: tuple[str, ...]) -> list[list[Factor]]:
    """Return the factors of each term of a right-hand side.

    Raises
    ------
    FormulaError
        When formulaic cannot read it.
    """
    try:
        return list(_factors(part, available))
    except FormulaicError as error:
        message = _COLOUR.sub("", str(error)).split("\n")[0].rstrip(". ")
        start = max(text.find(part), 0)
        end = start + len(part) if part in text else len(text)
        allowed = "the syntax of formulaic: a + b, a:b, a*b, (a + b)^2, a/b, C(a), log(a), bs(a, 5)"
        raise FormulaError(message, text, start, end, allowed) from None


def _factors(part: str, available: tuple[str, ...]) -> Iterator[list[Factor]]:
    for term in _parsed(part, available):
        yield [(factor.eval_method.value, factor.expr) for factor in term.factors]


def learn(
    parts: Sequence[str],
    columns: Mapping[str, Column],
    n: int,
    available: tuple[str, ...],
    categories: frozenset[str],
) -> tuple[list[Made], Any]:
    """Return the matrices of right-hand sides, and the specs that make them again."""
    specs = ModelSpecs(**{
        f"part{i}": ModelSpec(formula=_parsed(part, available), output="numpy", na_action="ignore")
        for i, part in enumerate(parts)
    })  # fmt: skip
    matrices = _materialize(specs, columns, n, categories)
    learned = ModelSpecs(**{f"part{i}": m.model_spec for i, m in enumerate(matrices)})
    return [_made(m) for m in matrices], learned


def apply(
    specs: Any, columns: Mapping[str, Column], n: int, categories: frozenset[str]
) -> list[Made]:
    """Return the matrices of specs from new columns."""
    return [_made(m) for m in _materialize(specs, columns, n, categories)]


def _materialize(
    specs: Any, columns: Mapping[str, Column], n: int, categories: frozenset[str]
) -> list[Any]:
    values = {name: _values(column, name in categories) for name, column in columns.items()}
    frame = pd.DataFrame(values, index=pd.RangeIndex(n), copy=False)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error", DataMismatchWarning)
            made = _Arrays(frame, context=_CONTEXT).get_model_matrix(specs)
    except (FormulaicError, DataMismatchWarning, ValueError, TypeError) as error:
        _explain(error)
    return list(made._to_dict().values()) if len(specs._to_dict()) > 1 else [made.part0]


def _made(made: Any) -> Made:
    names = (INTERCEPT if name == "Intercept" else name for name in made.model_spec.column_names)
    return made.__wrapped__, tuple(names)


def _values(column: Column, as_categories: bool) -> Any:
    if column.levels is not None:
        return pd.Categorical.from_codes(column.values, categories=pd.Index(column.levels))
    if column.kind == "integer" and not as_categories:
        return column.values.astype(np.float64)
    return column.values


def _explain(error: Exception) -> NoReturn:
    text = _COLOUR.sub("", str(error)).replace("FactorEvaluationError: ", "")
    match = re.fullmatch(r"Unable to evaluate factor `(.*)`\. \[\w+: (.*)\]", text, re.DOTALL)
    if match:
        text = f"{match.group(1)!r} cannot be computed: {match.group(2)}"
    if isinstance(error, DataMismatchWarning):
        text = text.split(" They are being")[0]
        raise DataError(text, code="new_levels") from None
    raise DataError(text) from None
