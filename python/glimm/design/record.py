"""A design as plain data, for a file: a header that JSON can hold, and arrays by name."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import Column
from ..errors import DataError
from ..formula import parse, parse_side
from ..relations import Relation, restored
from .build import assemble
from .design import Design, Request
from .response import FamilyLike
from .rows import Drop

Arrays = dict[str, NDArray[Any]]


def record(design: Design) -> tuple[dict[str, Any], Arrays]:
    """Return a header of plain values, and the arrays it speaks of; `restore` is the inverse.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from glimm.design import build
    >>> family = SimpleNamespace(name="gaussian", trials=False, ordered=False)
    >>> design = build("y ~ x", {"y": [1.0, 2.0], "x": [0, 1]}, family=family)
    >>> header, arrays = record(design)
    >>> header["formula"], sorted(arrays)
    ('y ~ x', ['column0', 'column1', 'rows', 'y'])
    >>> bool((restore(header, arrays, family=family).x == design.x).all())
    True
    """
    request = design.request
    columns = design.used_columns
    header = {
        "formula": request.formula.text,
        "trials": request.trials,
        "freq": request.freq,
        "offset": request.offset,
        "available": list(request.available),
        "precision": request.precision,
        "others": [[name, k, formula.text] for name, k, formula in request.others],
        "extra": [list(pair) for pair in request.extra],
        "columns": [
            {"key": key, "name": c.name, "kind": c.kind, "levels": c.levels and list(c.levels)}
            for key, c in columns.items()
        ],
        "n_input": design.n_input,
        "dropped": [[d.reason, d.count, d.column, list(d.rows)] for d in design.dropped],
        "frame_kind": design.frame_kind,
    }
    arrays: Arrays = {f"column{i}": column.values for i, column in enumerate(columns.values())}
    told = []
    for i, (name, relation) in enumerate(request.relations.items()):
        about, parts = relation.record()
        told.append(about | {"name": name})
        arrays |= {f"relation{i}_{key}": values for key, values in parts.items()}
    return header | {"relations": told}, arrays | {"rows": design.rows, "y": design.y}


def restore(header: dict[str, Any], arrays: Arrays, *, family: FamilyLike) -> Design:
    """Return the design of a header and arrays made by `record`.

    Raises
    ------
    DataError
        When an array named by the header is not there.
    """
    try:
        return _restore(header, arrays, family)
    except KeyError as error:
        message = f"the saved design lacks {error.args[0]!r}; the file is damaged"
        raise DataError(message, code="file_format") from None


def _relations(header: dict[str, Any], arrays: Arrays) -> dict[str, Relation]:
    found = {}
    for i, told in enumerate(header.get("relations", ())):
        start = f"relation{i}_"
        parts = {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}
        found[told["name"]] = restored(told, parts)
    return found


def _restore(header: dict[str, Any], arrays: Arrays, family: FamilyLike) -> Design:
    columns: dict[str, Column] = {}
    for i, entry in enumerate(header["columns"]):
        levels = None if entry["levels"] is None else tuple(entry["levels"])
        values = arrays[f"column{i}"]
        columns[entry["key"]] = Column(entry["name"], entry["kind"], values, levels)
    request = Request(
        formula=parse(header["formula"]),
        family=family,
        trials=header["trials"],
        freq=header["freq"],
        offset=header["offset"],
        available=tuple(header["available"]),
        precision=header["precision"],
        others=tuple((name, k, parse_side(text)) for name, k, text in header["others"]),
        extra=tuple((what, key) for what, key in header.get("extra", ())),
        relations=_relations(header, arrays),
    )
    dropped = tuple(Drop(r, count, name, tuple(rows)) for r, count, name, rows in header["dropped"])
    kind, n_input = header["frame_kind"], header["n_input"]
    design = assemble(request, columns, arrays["rows"], n_input, dropped, kind)
    if np.array_equal(design.y, arrays["y"]):
        return design
    return design.with_response(arrays["y"])
