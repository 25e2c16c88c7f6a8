"""Saved fits: one file with a JSON header and plain arrays, versioned; no pickled code."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from .certificate import Certificate, certificate
from .custom import CustomFamily, restored
from .design import record, restore
from .errors import GlimmError
from .families import choose
from .fit import Fit
from .formula import parse, parse_side
from .gee import GEEFit
from .gee import files as equations
from .mixed import FamilyBy
from .mixed import restored as several
from .model import Model
from .penalty import Penalty
from .problem import Estimates

FORMAT = 4
"""Version of the file format; raised when files of the old kind can no longer be read."""

_LISTS = ("modes", "covariances")


class FileError(GlimmError, ValueError):
    """A file that is not a saved fit, or one of another version."""

    default_code = "file_format"


def save(fit: Fit | GEEFit, path: Path) -> None:
    """Write a fit to a file; see `Fit.save`."""
    path.write_bytes(to_bytes(fit))


def load(path: str | Path) -> Any:
    """Read a fit written by `Fit.save` or `GEEFit.save`.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Fit or GEEFit
        Equal in every number to the one saved.

    Raises
    ------
    FileError
        When the file is not a saved fit, or was written in a newer format.

    Examples
    --------
    >>> import glimm, pathlib, tempfile
    >>> data = glimm.datasets.load("sleepstudy")
    >>> fit = glimm.fit("reaction ~ days + (1 | subject)", data)
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "sleep.glimm"
    >>> fit.save(file)
    >>> glimm.load(file).coef == fit.coef
    True
    """
    return from_bytes(Path(path).read_bytes(), str(path))


def to_bytes(fit: Fit | GEEFit) -> bytes:
    """Return the content of a fit's file."""
    if isinstance(fit, GEEFit):
        header, arrays = equations.parts(fit)
        header["estimator"] = "gee"
    else:
        header, arrays = _parts(fit)
    content, numbers = io.BytesIO(), io.BytesIO()
    np.savez_compressed(numbers, allow_pickle=False, **{f"a_{k}": v for k, v in arrays.items()})
    with zipfile.ZipFile(content, "w") as file:
        # A fixed date: equal fits give equal files.
        file.writestr(zipfile.ZipInfo("fit.json"), json.dumps({"format": FORMAT, **header}))
        file.writestr(zipfile.ZipInfo("arrays.npz"), numbers.getvalue())
    return content.getvalue()


def _parts(fit: Fit) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header and the arrays of a mixed model."""
    (design, arrays), family = record(fit.design), fit.model.family
    header: dict[str, Any] = {
        "family": fit.model.family.name,
        "custom": family.record() if isinstance(family, CustomFamily) else None,
        "several": family.record() if isinstance(family, FamilyBy) else None,
        "link": fit.model.link,
        "missing": fit.model.missing,
        "reml": fit.model.reml,
        "engine": fit.model.engine,
        "integration": fit.model.integration,
        "hold": [list(pair) for pair in fit.model.hold],
        "random_hold": [list(pair) for pair in fit.model.random_hold],
        "share": [list(pair) for pair in fit.model.share],
        "penalty": None if fit.model.penalty is None else asdict(fit.model.penalty),
        "design": design,
        "estimates": {},
    }
    for item in fields(Estimates):
        value = getattr(fit.estimates, item.name)
        if item.name in _LISTS:
            arrays |= {f"{item.name}{i}": array for i, array in enumerate(value)}
        elif isinstance(value, np.ndarray):
            arrays[item.name] = value
        elif isinstance(value, Certificate):
            header["estimates"][item.name] = value.record()
        else:
            header["estimates"][item.name] = value
    return header, arrays


def from_bytes(content: bytes, name: str = "the pickle") -> Any:
    """Return the fit of a file's content."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            header = json.loads(file.read("fit.json"))
            with np.load(io.BytesIO(file.read("arrays.npz")), allow_pickle=False) as stored:
                arrays = {key.removeprefix("a_"): stored[key] for key in stored.files}
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise FileError(f"{name} is not a saved fit: {error}") from None
    version = header.get("format") if isinstance(header, dict) else None
    if not isinstance(version, int):
        raise FileError(f"{name} is not a saved fit: it states no format")
    if version > FORMAT:
        message = f"{name} has format {version}; this version reads up to {FORMAT}"
        raise FileError(f"{message}. Update glimm to read it")
    try:
        known = equations.restored if header.get("estimator") == "gee" else _restore
        return known(header, arrays)
    except (AttributeError, KeyError, TypeError) as error:
        raise FileError(f"{name} is not a saved fit: it lacks {error}") from None


def _restore(header: dict[str, Any], arrays: dict[str, Any]) -> Fit:
    custom = header.get("custom")
    known = header["family"] if custom is None else restored(custom)
    if header.get("several") is not None:
        known = several(header["several"])
    family, link = choose(known, header["link"])
    formula, missing = parse(header["design"]["formula"]), header["missing"]
    options: dict[str, Any] = {name: header[name] for name in ("reml", "engine", "integration")}
    implied = {(name, side.text) for name, _, side in Model(formula, family, link).others}
    given = [(name, text) for name, _, text in header["design"]["others"]]
    for name, text in [other for other in given if other not in implied]:
        options["disp" if name == "dispersion" else name] = parse_side(text)
    options["hold"] = tuple((name, value) for name, value in header["hold"])
    options["random_hold"] = tuple((name, value) for name, value in header.get("random_hold", ()))
    options["share"] = tuple((a, b) for a, b in header.get("share", ()))
    options["penalty"] = None if header["penalty"] is None else Penalty(**header["penalty"])
    model = Model(formula, family, link, missing, **options)
    design = restore(header["design"], arrays, family=family)
    return Fit(model, design, _estimates(header["estimates"], arrays, len(design.terms)))


def _estimates(header: dict[str, Any], arrays: dict[str, Any], terms: int) -> Estimates:
    values: dict[str, Any] = {}
    for item in fields(Estimates):
        if item.name in _LISTS:
            values[item.name] = tuple(arrays[f"{item.name}{i}"] for i in range(terms))
        elif item.name == "certificate":
            values[item.name] = certificate(header[item.name])
        elif item.name in header:
            values[item.name] = _tuples(header[item.name])
        elif item.name in arrays:
            values[item.name] = arrays[item.name]
    return Estimates(**values)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
