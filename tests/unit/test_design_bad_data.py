"""Data and formulas that do not go together: the message names the column, row and level."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from designs import BINOMIAL, DATA, GAUSSIAN, Family, make

from glimm.errors import DataError, FormulaError

BAD: list[tuple[str, dict[str, Any], str, list[str]]] = [
    ("y ~ treat", {}, "unknown_column", ["'treat'"]),
    ("Y ~ x", {}, "unknown_column", ["'Y' is not in the data; the data have 'y'"]),
    ("y ~ x + (1 | gg)", {}, "unknown_column", ["'gg'", "have 'g'"]),
    ("y ~ x", {"offset": "nn"}, "unknown_column", ["'nn'", "'n'"]),
    ("y ~ hole", {"missing": "error"}, "missing_values", ["'hole'", "rows 1, 3"]),
    ("y ~ (1 | mark)", {"missing": "error"}, "missing_values", ["'mark'", "rows 0, 4"]),
    ("y ~ empty", {}, "empty_data", ["no row is left of 6", "'empty'", "6"]),
    ("y ~ x", {"freq": [0] * 6}, "empty_data", ["no row is left of 6", "'freq' is zero"]),
    ("y ~ inf", {}, "infinite_values", ["'inf'", "row 1"]),
    ("inf ~ x", {}, "infinite_values", ["'inf'", "row 1"]),
    ("y ~ x", {"offset": "inf"}, "infinite_values", ["'inf'", "row 1"]),
    ("y ~ log(x)", {}, "infinite_values", ["'log(x)' is -inf in row 0"]),
    ("y ~ hole + log(x - 1)", {}, "infinite_values", ["'log(x - 1)' is nan in row 0"]),
    ("y ~ hole + log(5 - x)", {}, "infinite_values", ["'log(5 - x)' is -inf in row 5"]),
    ("y ~ offset(log(x)) + f", {}, "infinite_values", ["'offset(log(x))' is -inf in row 0"]),
    ("log(x) ~ f", {}, "infinite_values", ["'log(x)' is -inf in row 0"]),
    ("y ~ (log(x) | g)", {}, "infinite_values", ["'log(x)' is -inf in row 0"]),
    ("y ~ mix", {}, "mixed_column", ["'mix'", "row 0", "row 1 ('a')"]),
    ("y ~ when", {}, "column_type", ["'when'", "dates", "days since"]),
    ("y ~ (1 | when)", {}, "column_type", ["'when'", "dates", "text"]),
    ("y ~ (1 | dose)", {}, "column_type", ["'dose'", "0.5", "rows 0"]),
    ("y ~ log(f)", {}, "column_type", ["'log(f)' cannot be computed"]),
    ("y ~ one", {}, "one_level_factor", ["'one'", "'only'"]),
    ("y ~ C(n - n + 1) + C(one)", {}, "one_level_factor", ["'one'"]),
    ("y ~ C(f, levels=['a', 'b'])", {}, "new_levels", ["outside", "'c'"]),
    ("y ~ x + (1 | one)", {}, "one_level_group", ["'one'", "'only'"]),
    ("y ~ x + (one | g)", {}, "one_level_factor", ["'one'"]),
    ("y ~ offset(f)", {}, "column_type", ["offset(f) makes 3 columns"]),
    ("y ~ x", {"offset": "f"}, "column_type", ["offset 'f' holds text"]),
    ("y ~ x", {"freq": "minus"}, "outside_domain", ["freq 'minus' is negative in row 0"]),
    ("y ~ x", {"freq": "f"}, "column_type", ["freq 'f' holds text"]),
    ("y ~ x", {"freq": [1, 2]}, "array_shape", ["freq has 2 values", "6 rows"]),
    ("y ~ x", {"offset": 0.5}, "array_shape", ["offset has the single value 0.5"]),
    ("y ~ x", {"trials": "n"}, "formula_response", ["'gaussian' has no trials"]),
    ("answer ~ x", {}, "outside_domain", ["'answer' holds text", "'gaussian' needs numbers"]),
]

BAD_BINOMIAL: list[tuple[str, dict[str, Any], str, list[str]]] = [
    ("f ~ x", {}, "outside_domain", ["'f' has 3 levels ('a', 'b', 'c')"]),
    ("one ~ x", {}, "outside_domain", ["'one' has 1 level ('only')"]),
    ("answer ~ x", {"trials": "n"}, "outside_domain", ["'answer' holds text", "successes"]),
    ("cbind(minus, n) ~ x", {}, "outside_domain", ["'minus' is -1 in row 0"]),
    ("cbind(s, dose) ~ x", {}, "outside_domain", ["'dose' is 0.5 in rows 0, 1"]),
    ("cbind(answer, n) ~ x", {}, "column_type", ["'answer' holds text"]),
    ("n / s ~ x", {}, "outside_domain", ["'s' is 0 in row 3"]),
    (
        "s / dose ~ hole",
        {},
        "outside_domain",
        ["'dose' is 0.5 in rows 0, 2, 4, 5 (", "whole number"],
    ),
    ("s ~ x", {"trials": "minus"}, "outside_domain", ["'minus' is -1 in row 0"]),
    ("s / n ~ x", {"trials": "n"}, "formula_response", ["'s / n'", "one of them"]),
]


@pytest.mark.parametrize(
    ("formula", "options", "code", "words", "family"),
    [(*row, GAUSSIAN) for row in BAD] + [(*row, BINOMIAL) for row in BAD_BINOMIAL],
)
def test_data_that_cannot_be_used(
    formula: str, options: dict[str, Any], code: str, words: list[str], family: Family
) -> None:
    with pytest.raises(DataError) as caught:
        make(formula, family=family, **options)
    assert caught.value.code == code
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("formula", "marked", "words", "code"),
    [
        ("y ~ (1|g) + (x|g)", "(x|g)", ["'g'", "'(Intercept)' twice"], "formula_duplicate_term"),
        ("y ~ (x||g) + (0+x|g)", "(0+x|g)", ["'g'", "'x' twice"], "formula_duplicate_term"),
        ("y ~ (0 + x - x | g)", "(0 + x - x | g)", ["no columns"], "formula_random_term"),
        ("s/n ~ x", "s/n", ["'gaussian'", "I(s/n)"], "formula_response"),
        ("cbind(s, n) ~ x", "cbind(s, n)", ["'gaussian'", "binomial"], "formula_response"),
        ("y ~ x**f", "x**f", ["positive integer"], "formula_syntax"),
    ],
)
def test_formulas_that_do_not_suit_the_data(
    formula: str, marked: str, words: list[str], code: str
) -> None:
    with pytest.raises(FormulaError) as caught:
        make(formula)
    _, text, carets, _ = str(caught.value).split("\n")
    assert text[carets.find("^") : len(carets)] == marked
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert caught.value.code == code


def test_numbers_stored_as_text() -> None:
    frame = pd.DataFrame({"y": np.arange(20.0), "x": [str(i / 2) for i in range(20)]})
    with pytest.raises(DataError, match="'x' holds numbers stored as text") as caught:
        make("y ~ x", frame)
    assert caught.value.code == "numbers_as_text"
    assert make("y ~ C(x)", frame).x.shape == (20, 20)


@pytest.mark.parametrize(
    "data", [DATA.iloc[:0], {"y": [], "x": []}, pl.DataFrame({"y": [], "x": []})]
)
def test_empty_data(data: Any) -> None:
    with pytest.raises(DataError, match="no rows"):
        make("y ~ x", data)
