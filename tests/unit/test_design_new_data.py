"""Designs applied to new data: what was learned stays, and what cannot be used is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from designs import BINOMIAL, DATA, make

from glimm.errors import DataError

NEW = DATA.drop(columns=["y", "mix", "when"])


def test_new_groups_get_code_minus_one_under_zero() -> None:
    design = make("y ~ x + (1 | g) + (1 | g:h)")
    new = design.apply(NEW.assign(g=list("qpzpzr"), h=[1, 1, 1, 9, 9, 2]), new_levels="zero")
    assert new.terms[0][0].tolist() == [1, 0, -1, 0, -1, 2]
    levels = ["p:1", "p:2", "q:1", "q:2", "r:1", "r:2"]
    assert design.terms[1].levels == tuple(levels)
    assert new.terms[1][0].tolist() == [2, 0, -1, -1, -1, 5]


def test_combinations_never_seen_are_new_groups() -> None:
    frame = DATA.iloc[[0, 3, 4]]
    design = make("y ~ (1 | g:h)", frame)
    new = design.apply(frame.assign(h=[1, 1, 1]), new_levels="zero")
    assert new.terms[0][0].tolist() == [design.terms[0].levels.index("q:1"), -1, 2]


def test_learned_means_and_knots_are_not_learned_again() -> None:
    design = make("y ~ center(x) + (1 | g)")
    assert design.apply(NEW.assign(x=NEW.x + 10)).x[:, 1].tolist() == [
        7.5,
        8.5,
        9.5,
        10.5,
        11.5,
        12.5,
    ]


def test_groups_match_by_value_whatever_the_type() -> None:
    design = make("y ~ x + (1 | h) + (1 | g)")
    changed = NEW.assign(h=NEW.h.astype(float), g=NEW.g.astype("category"))
    new = design.apply(changed)
    assert all(
        np.array_equal(c, t.codes) for (c, _), t in zip(new.terms, design.terms, strict=True)
    )


BAD_NEW: list[tuple[str, dict[str, Any], Any, str, list[str]]] = [
    ("y ~ x + (1|g)", {}, NEW.drop(columns="x"), "unknown_column", ["'x'"]),
    ("y ~ x + (1|g)", {}, NEW.drop(columns="g"), "unknown_column", ["'g'"]),
    (
        "y ~ x + (1|g)", {}, NEW.assign(g=list("qpqpzz")), "new_levels",
        ["'g'", "'z'", "rows 4, 5 (counted from 0)", "new_levels='zero'"],
    ),
    ("y ~ (1|g:h)", {}, NEW.assign(h=9), "new_levels", ["'g:h'", "'q:9'", "rows 0"]),
    ("y ~ (1|g)", {}, NEW.assign(g=[1, 1, 2, 2, 3, 3]), "new_levels", ["text when", "numbers now"]),
    ("y ~ (1|h)", {}, NEW.assign(h=list("112212")), "new_levels", ["numbers when", "text now"]),
    ("y ~ f", {}, NEW.assign(f=list("acbacd")), "new_levels", ["'f'", "'d'", "row 5", "'a', 'b'"]),
    ("y ~ C(h)", {}, NEW.assign(h=7), "new_levels", ["'h'", "7", "rows 0", "'1', '2'"]),
    ("y ~ C(dose)", {}, NEW.assign(dose=9.5), "new_levels", ["'dose'", "9.5"]),
    ("y ~ (f|g)", {}, NEW.assign(f=list("acbacd")), "new_levels", ["'f'", "'d'", "row 5"]),
    ("y ~ x", {}, NEW.assign(x=list("abcdef")), "column_type", ["'x'", "numbers when", "text now"]),
    ("y ~ x", {}, NEW.assign(x=[1, np.nan, 1, 1, 1, 1]), "missing_values", ["'x'", "row 1"]),
    ("y ~ (1|g)", {}, NEW.assign(g=None), "missing_values", ["'g'", "rows 0"]),
    ("y ~ x", {}, NEW.assign(x=[1, np.inf, 1, 1, 1, 1]), "infinite_values", ["'x'", "row 1"]),
    ("y ~ log(a.b)", {}, NEW.assign(**{"a.b": -1.0}), "infinite_values", ["log", "rows 0"]),
    ("y ~ bs(x, 4)", {}, NEW.assign(x=99.0), "column_type", ["'bs(x, 4)'", "bounds"]),
    ("y ~ x", {"offset": [1.0] * 6}, NEW, "missing_values", ["offset="]),
    ("y ~ x", {"offset": "s"}, NEW.drop(columns="s"), "unknown_column", ["'s'"]),
]  # fmt: skip


@pytest.mark.parametrize(("formula", "options", "new", "code", "words"), BAD_NEW)
def test_new_data_that_cannot_be_used(
    formula: str, options: dict[str, Any], new: Any, code: str, words: list[str]
) -> None:
    design = make(formula, **options)
    with pytest.raises(DataError) as caught:
        design.apply(new)
    assert caught.value.code == code
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_new_offset_in_place_of_an_array() -> None:
    design = make("y ~ x", offset=[1.0] * 6)
    assert design.apply(NEW, offset="s").offset.tolist() == DATA.s.tolist()
    assert design.apply(NEW.iloc[:2], offset=[5, 6]).offset.tolist() == [5, 6]


def test_policies_are_named() -> None:
    with pytest.raises(DataError, match="new_levels='skip'; use 'error', 'none', 'number', 'zero'"):
        make("y ~ x").apply(NEW, new_levels="skip")
    with pytest.raises(DataError, match="missing='rop'; use 'drop', 'error'"):
        make("y ~ x", missing="rop")


def test_no_new_rows_give_empty_matrices() -> None:
    design = make("y ~ center(x) * f + bs(x, 4) + (1 + x | g)")
    new = design.apply(NEW.iloc[:0])
    assert new.x.shape == (0, len(design.x_names))
    assert [(codes.shape, z.shape) for codes, z in new.terms] == [((0,), (0, 2))]


def test_an_intercept_needs_the_number_of_rows_only() -> None:
    new = make("y ~ 1").apply({"when": DATA["when"], "mix": DATA["mix"]})
    assert new.x.tolist() == [[1.0]] * 6


def test_trials_of_new_data_are_there_only_in_full() -> None:
    design = make("s / n ~ x", family=BINOMIAL)
    assert design.apply(NEW).trials.tolist() == DATA.n.tolist()
    assert design.apply(NEW.assign(n=[4, None, 5, 5, 6, 6])).trials is None
    with pytest.raises(DataError, match="'s / n' is 0 in row 0"):
        design.apply(NEW.assign(n=[0, 4, 5, 5, 6, 6]))
