"""A GEEFit as a JSON header and plain arrays, and back; see `glimm.files`."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from ..design import record, restore
from ..families import choose
from ..formula import Formula, parse, parse_side
from .columns import clusters, copies_by_cluster
from .fit import GEEFit
from .model import GEEModel
from .solve import GEEEstimates
from .working import Correlation

_MADE = ("levels", "sizes", "copies")
"""What follows from the design."""

_PLAIN = ("link", "groups", "less", "covariance", "df", "missing")
_CORRELATION = ("name", "lags", "bounded", "text")


def parts(fit: GEEFit) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the header and the arrays of a fit."""
    (design, arrays), model = record(fit.design), fit.model
    header: dict[str, Any] = {name: getattr(model, name) for name in _PLAIN}
    header["family"] = model.family.name
    header["hold"] = [list(pair) for pair in model.hold]
    header["scale"] = None if isinstance(model.scale, Formula) else model.scale
    header["corr"] = {name: getattr(model.corr, name) for name in _CORRELATION}
    header["corr"]["terms"] = [list(term) for term in model.corr.terms]
    if model.corr.matrix is not None:
        arrays["corr"] = model.corr.matrix
    header |= {"design": design, "estimates": {}}
    for item in fields(GEEEstimates):
        value = getattr(fit.estimates, item.name)
        if item.name in _MADE:
            continue
        if isinstance(value, np.ndarray):
            arrays[item.name] = value
        else:
            header["estimates"][item.name] = value
    return header, arrays


def restored(header: dict[str, Any], arrays: dict[str, Any]) -> GEEFit:
    """Return the fit of a header and arrays."""
    family, link = choose(header["family"], header["link"])
    scale: float | Formula | None = header["scale"]
    for _, _, text in header["design"]["others"]:
        scale = parse_side(text)
    known = dict(header["corr"])
    known["terms"] = tuple((kind, name) for kind, name in known["terms"])
    model = GEEModel(
        parse(header["design"]["formula"]),
        family,
        link,
        corr=Correlation(**known, matrix=arrays.get("corr")),
        scale=scale,
        hold=tuple((name, value) for name, value in header["hold"]),
        **{name: header[name] for name in _PLAIN if name != "link"},
    )
    design = restore(header["design"], arrays, family=family)
    codes, levels = clusters(model, design)
    copies = copies_by_cluster(model, design, codes, levels)
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in header["estimates"].items()
    }
    values |= {item.name: arrays[item.name] for item in fields(GEEEstimates) if item.name in arrays}
    sizes = np.bincount(codes, minlength=len(levels))
    return GEEFit(model, design, GEEEstimates(levels=levels, sizes=sizes, copies=copies, **values))
