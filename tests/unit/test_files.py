"""A saved or pickled fit comes back equal in every number, and can do all that it could."""

from __future__ import annotations

import copy
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from fits import MODELS, fit, frame

import glimm
from glimm.certificate import Certificate
from glimm.files import FORMAT, FileError

EVERY = pytest.mark.parametrize("name", MODELS)


def _by_file(made: glimm.Fit, folder: Path) -> glimm.Fit:
    made.save(folder / "fit.glimm")
    return glimm.load(folder / "fit.glimm")


def _by_text_path(made: glimm.Fit, folder: Path) -> glimm.Fit:
    made.save(str(folder / "fit.glimm"))
    return glimm.load(str(folder / "fit.glimm"))


def _by_pickle(made: glimm.Fit, _: Path) -> glimm.Fit:
    found = pickle.loads(pickle.dumps(made))
    assert isinstance(found, glimm.Fit)
    return found


def _by_copy(made: glimm.Fit, _: Path) -> glimm.Fit:
    return copy.deepcopy(made)


WAYS: list[Callable[[glimm.Fit, Path], glimm.Fit]] = [_by_file, _by_text_path, _by_pickle, _by_copy]


def _equal(a: Any, b: Any) -> None:
    """Assert equality down to the bit, of arrays and of tuples of arrays too."""
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    elif isinstance(a, Certificate):
        for item in fields(a):
            _equal(getattr(a, item.name), getattr(b, item.name))
    elif isinstance(a, tuple) and a and isinstance(a[0], np.ndarray):
        for one, other in zip(a, b, strict=True):
            _equal(one, other)
    else:
        assert a == b


@EVERY
@pytest.mark.parametrize("way", WAYS)
def test_every_number_is_the_same(
    name: str, way: Callable[[glimm.Fit, Path], glimm.Fit], tmp_path: Path
) -> None:
    a, b = fit(name), way(fit(name), tmp_path)
    assert b is not a
    for item in fields(a.estimates):
        _equal(getattr(b.estimates, item.name), getattr(a.estimates, item.name))
    for attribute in ("y", "trials", "freq", "offset", "x", "x_names", "rows", "n_input"):
        _equal(getattr(b.design, attribute), getattr(a.design, attribute))
    for one, other in zip(b.design.terms, a.design.terms, strict=True):
        for item in fields(one):
            _equal(getattr(one, item.name), getattr(other, item.name))
    for attribute in ("coef", "se", "dispersion", "loglik", "aic", "bic", "nobs", "groups"):
        assert getattr(b, attribute) == getattr(a, attribute)
    assert b.model == a.model
    assert b.diagnostics == a.diagnostics
    assert str(b) == str(a)
    for method in ("varcorr", "ranef", "confint"):
        pd.testing.assert_frame_equal(getattr(b, method)(), getattr(a, method)())
    _equal(b.vcov("all"), a.vcov("all"))


@EVERY
def test_it_can_do_all_that_it_could(name: str, tmp_path: Path) -> None:
    a, b = fit(name), _by_file(fit(name), tmp_path)
    _equal(b.fitted, a.fitted)
    new = frame().iloc[[5, 2, 90]].assign(x=[0.1, 2.0, -1.0])
    for scale in ("response", "link"):
        _equal(b.predict(new, scale=scale), a.predict(new, scale=scale))
    _equal(b.simulate(2, seed=5), a.simulate(2, seed=5))
    y = a.simulate(1, seed=6)[0]
    one, other = b.refit(y), a.refit(y)
    assert one.loglik == pytest.approx(other.loglik, abs=1e-8)
    for key, error in other.se.items():
        assert one.coef[key] == pytest.approx(other.coef[key], abs=1e-4 * error)


def test_what_was_given_as_arrays_and_what_was_dropped_is_kept(tmp_path: Path) -> None:
    data = frame().astype({"x": float})
    data.loc[7, "x"] = np.nan
    weight, known = np.arange(len(data)) % 4 + 1.0, np.linspace(-1, 1, len(data))
    a = glimm.fit("count ~ x + f + (1 | g)", data, "poisson", freq=weight, offset=known)
    b = _by_file(a, tmp_path)
    assert str(b) == str(a)
    assert b.diagnostics.dropped == a.diagnostics.dropped
    assert b.diagnostics.dropped[0].column == "x"
    _equal(b.design.freq, np.delete(weight, 7))
    _equal(b.fitted, a.fitted)
    new = data.iloc[:2]
    _equal(b.predict(new, offset=[1.0, 2.0]), a.predict(new, offset=[1.0, 2.0]))


def test_the_kind_of_frame_and_of_levels_is_kept(tmp_path: Path) -> None:
    data = pl.from_pandas(frame()).with_columns(pl.col("h") > 2)
    a = glimm.fit("length ~ x + h + (1 | g)", data)
    b = _by_file(a, tmp_path)
    assert isinstance(b.ranef(), pl.DataFrame)
    whole = _by_pickle(glimm.fit("length ~ x + (1 | h)", frame()), tmp_path)
    assert whole.design.terms[0].levels == tuple(range(6))
    assert all(type(level) is int for level in whole.design.terms[0].levels)
    two = glimm.fit("group ~ x + (1 | g)", frame().assign(group=frame()["w"] > 0), "binomial")
    assert _by_pickle(two, tmp_path).design.response_levels == two.design.response_levels


def test_equal_fits_give_equal_files(tmp_path: Path) -> None:
    fit("slopes").save(tmp_path / "a")
    glimm.load(tmp_path / "a").save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "some.glimm"
    fit("gaussian").save(path)
    return path


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.99])
def test_a_file_cut_short(saved: Path, part: float) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(part * len(content))])
    with pytest.raises(FileError, match=r"some\.glimm is not a saved fit"):
        glimm.load(saved)


def test_a_file_with_a_changed_byte(saved: Path) -> None:
    """The contents are under a checksum; the last part, the list of contents, is not."""
    content = saved.read_bytes()
    for place in np.random.default_rng(1).integers(60, int(0.8 * len(content)), 25):
        changed = bytearray(content)
        changed[place] ^= 0xFF
        saved.write_bytes(bytes(changed))
        with pytest.raises(FileError):
            glimm.load(saved)


@pytest.mark.parametrize("content", [b"x,y\n1,2\n", pickle.dumps({"a": 1}), b"{}"])
def test_a_file_of_another_kind(saved: Path, content: bytes) -> None:
    saved.write_bytes(content)
    with pytest.raises(FileError, match=r"some\.glimm is not a saved fit") as caught:
        glimm.load(saved)
    assert caught.value.code == "file_format"


def _rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the header of a saved fit."""
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    header = json.loads(parts["fit.json"])
    change(header)
    parts["fit.json"] = json.dumps(header).encode()
    with zipfile.ZipFile(path, "w") as file:
        for name, content in parts.items():
            file.writestr(name, content)


def test_a_newer_format_is_refused_with_advice(saved: Path) -> None:
    _rewrite(saved, lambda header: header.update(format=FORMAT + 1))
    words = rf"has format {FORMAT + 1}; this version reads up to {FORMAT}\. Update glimm"
    with pytest.raises(FileError, match=words):
        glimm.load(saved)


@pytest.mark.parametrize("key", ["format", "family", "design", "estimates"])
def test_a_zip_file_of_another_program(saved: Path, key: str) -> None:
    _rewrite(saved, lambda header: header.pop(key))
    with pytest.raises(FileError, match=r"some\.glimm is not a saved fit"):
        glimm.load(saved)


def test_loading_runs_no_code_of_the_file(saved: Path) -> None:
    """Arrays of objects would be pickles; they are refused."""
    numbers = io.BytesIO()
    np.savez(numbers, a_parameters=np.array([{"a": 1}], dtype=object))
    with zipfile.ZipFile(io.BytesIO(saved.read_bytes())) as file:
        header = file.read("fit.json")
    with zipfile.ZipFile(saved, "w") as file:
        file.writestr("fit.json", header)
        file.writestr("arrays.npz", numbers.getvalue())
    with pytest.raises(FileError, match="not a saved fit"):
        glimm.load(saved)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        glimm.load(tmp_path / "absent.glimm")
