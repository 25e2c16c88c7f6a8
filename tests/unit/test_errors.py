"""The error classes, the table of codes, and the helpers that word messages."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

from glimm import errors
from glimm.errors import CODES, DataError, FamilyError, FitError, FormulaError, GlimmError

PACKAGE = Path(errors.__file__).resolve().parent
CLASSES = (FormulaError, DataError, FamilyError, FitError)


def formula_error() -> FormulaError:
    return FormulaError("no group", "y ~ (1 | )", 9, 10, "a column name", code="formula_syntax")


def test_every_code_has_a_meaning_and_an_anchor_of_its_own() -> None:
    for name, code in CODES.items():
        assert code.name == name
        assert code.meaning.endswith(".")
        assert "\n" not in code.meaning
        assert code.anchor == f"troubleshooting.md#{name}"
    assert len({code.anchor for code in CODES.values()}) == len(CODES)


def test_every_code_raised_in_the_package_is_in_the_table() -> None:
    used: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        used.update(re.findall(r'\bcode(?:: str)?\s*=\s*"(\w+)"', path.read_text()))
    assert used
    assert used <= set(CODES)


def test_an_unknown_code_cannot_be_raised() -> None:
    with pytest.raises(KeyError):
        DataError("x", code="nonsense")


@pytest.mark.parametrize("cls", CLASSES)
def test_all_share_one_base(cls: type[GlimmError]) -> None:
    assert issubclass(cls, GlimmError)
    assert issubclass(cls, RuntimeError if cls is FitError else ValueError)


@pytest.mark.parametrize("error", [formula_error(), DataError("x", code="new_levels")])
def test_errors_survive_pickling(error: GlimmError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.code) == (str(error), error.code)


def test_formula_error_marks_the_piece() -> None:
    lines = str(formula_error()).split("\n")
    assert lines == ["no group", "  y ~ (1 | )", "           ^", "Allowed: a column name"]
    assert formula_error().span == (9, 10)


def test_marks_stay_in_line_when_the_formula_has_line_breaks() -> None:
    text = "y ~ x +\n\tz $ w"
    shown, carets = errors.mark(text, 11, 12).split("\n")
    assert shown[carets.index("^")] == "$"


@pytest.mark.parametrize(
    ("wanted", "names", "first"),
    [
        ("treatmnt", ["age", "treatment", "time"], "treatment"),
        ("Y", ["x", "y", "yy"], "y"),
        ("zzz", ["b", "a"], "a"),
    ],
)
def test_nearest_name_comes_first_and_none_is_lost(
    wanted: str, names: list[str], first: str
) -> None:
    found = errors.nearest_first(wanted, names)
    assert found[0] == first
    assert sorted(found) == sorted(names)


@pytest.mark.parametrize(
    ("rows", "count", "text"),
    [
        ([3], None, "row 3 (counted from 0)"),
        ([3, 7], None, "rows 3, 7 (counted from 0)"),
        ([0, 1, 2, 3, 4, 5, 6], None, "rows 0, 1, 2, 3, 4 and 2 more (counted from 0)"),
        ([0, 1], 9, "rows 0, 1 and 7 more (counted from 0)"),
    ],
)
def test_rows_in_words(rows: list[int], count: int | None, text: str) -> None:
    assert errors.rows_text(rows, count) == text


def test_long_lists_are_cut_and_say_so() -> None:
    assert errors.listed(["a", "b", "c"], 2) == "'a', 'b' and 1 more"
