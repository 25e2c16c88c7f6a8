"""Designs: matrices that can be read here, identities, new data, and what bad data are told."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import formulaic
import numpy as np
import pandas as pd
import polars as pl
import pytest
from designs import BINOMIAL, DATA, FORMULAS, equal, make

from glimm.design import record, restore
from glimm.design.plain import plain_sum
from glimm.errors import DataError


def table(names: tuple[str, ...], values: np.ndarray) -> str:
    """A matrix as text: the names of the columns, then a line for each row."""
    lines = [" ".join(names)] + [" ".join(f"{v:g}" for v in row) for row in values]
    return "\n".join(lines)


def shown(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines())


X = {
    "y ~ x": """
        (Intercept) x
        1 0
        1 1
        1 2
        1 3
        1 4
        1 5""",
    "y ~ f": """
        (Intercept) f[T.b] f[T.c]
        1 0 0
        1 0 1
        1 1 0
        1 0 0
        1 0 1
        1 1 0""",
    "y ~ 0 + cat": """
        cat[n] cat[m]
        0 1
        1 0
        0 1
        1 0
        0 1
        1 0""",
    "y ~ flag:x + C(h)": """
        (Intercept) C(h)[T.2] flag:x
        1 0 0
        1 0 0
        1 1 2
        1 1 3
        1 0 0
        1 1 0""",
    "y ~ C(cat, contr.sum) + I(x^2) - 1": """
        C(cat, contr.sum)[n] C(cat, contr.sum)[m] I(x ** 2)
        0 1 0
        1 0 1
        0 1 4
        1 0 9
        0 1 16
        1 0 25""",
}

Z = {
    "(1 | g)": """
        g: us q=1 p=0 q=1 p=0 r=2 r=2
        (Intercept)
        1
        1
        1
        1
        1
        1""",
    "(1 + x | g)": """
        g: us q=1 p=0 q=1 p=0 r=2 r=2
        (Intercept) x
        1 0
        1 1
        1 2
        1 3
        1 4
        1 5""",
    "(x || h)": """
        h: diag 1=0 1=0 2=1 2=1 1=0 2=1
        (Intercept) x
        1 0
        1 1
        1 2
        1 3
        1 4
        1 5""",
    "(0 + f | g)": """
        g: us q=1 p=0 q=1 p=0 r=2 r=2
        f[a] f[b] f[c]
        1 0 0
        0 0 1
        0 1 0
        1 0 0
        0 0 1
        0 1 0""",
    "(f || cat)": """
        cat: diag m=1 n=0 m=1 n=0 m=1 n=0
        (Intercept) f[T.b] f[T.c]
        1 0 0
        1 0 1
        1 1 0
        1 0 0
        1 0 1
        1 1 0""",
    "(0 + x:flag | g:h)": """
        g:h: us q:1=2 p:1=0 q:2=3 p:2=1 r:1=4 r:2=5
        x:flag
        0
        0
        2
        3
        0
        0""",
    "(1 | h:flag)": """
        h:flag: us 1:True=1 1:False=0 2:True=3 2:True=3 1:False=0 2:False=2
        (Intercept)
        1
        1
        1
        1
        1
        1""",
}


@pytest.mark.parametrize(("formula", "expected"), X.items())
def test_fixed_effects(formula: str, expected: str) -> None:
    design = make(formula)
    assert table(design.x_names, design.x) == shown(expected)


@pytest.mark.parametrize(("term", "expected"), Z.items())
def test_random_effects(term: str, expected: str) -> None:
    (made,) = make(f"y ~ {term}").terms
    groups = " ".join(f"{made.levels[code]}={code}" for code in made.codes)
    head = f"{made.label}: {made.structure} {groups}"
    assert f"{head}\n{table(made.columns, made.z)}" == shown(expected)
    assert made.text == term


@pytest.mark.parametrize("part", ["x", "x*f", "f:x - 1", "bs(x, 4)", "poly(x, 3)", "C(h)*flag"])
def test_fixed_effects_are_those_of_formulaic(part: str) -> None:
    frame = DATA.assign(flag=DATA.flag.astype(float))
    reference = formulaic.model_matrix(part, frame, output="pandas")
    design = make(f"y ~ {part}")
    assert np.array_equal(design.x, reference.to_numpy(dtype=float))
    names = ["Intercept" if name == "(Intercept)" else name for name in design.x_names]
    assert names == list(reference.columns)


@pytest.mark.parametrize("part", ["1", "0", "x", "0+x", "1 + x +w", "w + x + w", " x ", "_a1 + B"])
def test_plain_sums_are_those_of_formulaic(part: str) -> None:
    formula = formulaic.Formula(part)
    expected = tuple("(Intercept)" if str(term) == "1" else str(term) for term in formula)
    assert plain_sum(part) == expected


@pytest.mark.parametrize(
    "part", ["", ".", "x +", "x - 1", "x:w", "log(x)", "`a b`", "2", "x + 0", "None", "x.y", "a b"]
)
def test_other_parts_are_left_to_formulaic(part: str) -> None:
    assert plain_sum(part) is None


def test_arrays_are_read_only_and_in_fortran_order() -> None:
    design = make("y ~ x + (1 + x | g)", freq="n", offset="x")
    arrays = [design.y, design.x, design.freq, design.offset, design.rows]
    arrays += [design.terms[0].z, design.terms[0].codes, design.used_columns["x"].values]
    assert not any(array.flags.writeable for array in arrays)
    assert design.x.flags.f_contiguous
    assert design.terms[0].z.flags.f_contiguous
    assert (design.x.dtype, design.terms[0].codes.dtype) == (np.float64, np.int64)


# Identities


@pytest.mark.parametrize("formula", FORMULAS)
def test_permuting_rows_permutes_the_design(formula: str) -> None:
    order = np.array([3, 0, 5, 1, 4, 2])
    design, other = make(formula), make(formula, DATA.iloc[order])
    # Means and norms learned from the data are sums, so their last bit depends on the order.
    assert np.allclose(other.x, design.x[order], rtol=1e-13, atol=1e-13)
    assert np.array_equal(other.y, design.y[order])
    for a, b in zip(other.terms, design.terms, strict=True):
        assert a.levels == b.levels
        assert np.array_equal(a.codes, b.codes[order])


def test_nesting_is_a_term_and_an_interaction() -> None:
    assert equal(make("y ~ (1 | g/h)"), make("y ~ (1 | g) + (1 | g:h)"))


def test_only_observed_combinations_are_groups() -> None:
    frame = DATA[DATA.g != "r"].assign(h=[1, 2, 2, 1])
    (term,) = make("y ~ (1 | g:h)", frame).terms
    assert term.levels == ("p:1", "p:2", "q:1", "q:2")
    (term,) = make("y ~ (1 | g:h)", frame.iloc[[0, 1, 2]]).terms
    assert term.levels == ("p:2", "q:1", "q:2")


@pytest.mark.parametrize(
    ("groups", "levels", "codes"),
    [
        ([3, 1, 2, 1, 3, 2], (1, 2, 3), [2, 0, 1, 0, 2, 1]),
        ([-4, 7, -4, 0, 7, 7], (-4, 0, 7), [0, 2, 0, 1, 2, 2]),
        ([10**12, -5, 10**12, 3, 3, -5], (-5, 3, 10**12), [2, 0, 2, 1, 1, 0]),
    ],
)
def test_groups_of_whole_numbers_are_numbered_in_their_order(
    groups: list[int], levels: tuple[int, ...], codes: list[int]
) -> None:
    frame = DATA.assign(number=groups)
    before = frame.copy()
    (term,) = make("y ~ (1 | number)", frame).terms
    assert (term.levels, term.codes.tolist()) == (levels, codes)
    assert term.codes.dtype == (np.int32 if max(levels) < 2**30 else np.int64)
    assert frame.equals(before)
    small = frame.number.abs().max() < 2**31
    (same,) = make("y ~ (1 | number)", frame.astype({"number": "int32"}) if small else frame).terms
    assert (same.levels, same.codes.tolist()) == (levels, codes)
    assert same.codes.dtype == term.codes.dtype


def test_missing_rows_dropped_are_as_if_never_there() -> None:
    design = make("y ~ hole + x + (1 | mark)")
    clean = make("y ~ hole + x + (1 | mark)", DATA.dropna(subset=["hole", "mark"]))
    assert equal(design, clean)
    assert design.rows.tolist() == [2, 5]
    assert (design.n, design.n_input, clean.n_input) == (2, 6, 2)
    assert [str(drop) for drop in design.dropped] == [
        "2 rows: missing in 'hole', rows 1, 3 (counted from 0)",
        "2 rows: missing in 'mark', rows 0, 4 (counted from 0)",
    ]


def test_zero_weights_are_as_if_never_there() -> None:
    design, clean = make("y ~ x", freq="w"), make("y ~ x", DATA[DATA.w > 0], freq="w")
    assert equal(design, clean)
    (drop,) = design.dropped
    assert (drop.reason, drop.count, drop.column, drop.rows) == ("zero weight", 2, "w", (1, 4))
    assert design.freq is not None
    assert design.freq.tolist() == [1, 2.5, 1, 1]


def test_weights_trials_and_offset_as_columns_or_arrays() -> None:
    names = {"trials": "n", "freq": "w", "offset": "x"}
    values = {option: DATA[name].to_numpy() for option, name in names.items()}
    by_name = make("s ~ 1", family=BINOMIAL, **names)
    assert equal(by_name, make("s ~ 1", family=BINOMIAL, **values))
    as_series = {option: pl.Series(array) for option, array in values.items()}
    assert equal(by_name, make("s ~ 1", family=BINOMIAL, **as_series))


def test_missing_values_of_an_array_drop_rows_too() -> None:
    design = make("y ~ x", offset=[0, np.nan, 0, 0, 0, 1])
    assert design.rows.tolist() == [0, 2, 3, 4, 5]
    assert (design.dropped[0].column, design.dropped[0].rows) == ("offset", (1,))


def test_offsets_add_up() -> None:
    design = make("y ~ offset(log(n)) + offset(x)", offset="s")
    assert np.array_equal(design.offset, np.log(DATA.n) + DATA.x + DATA.s)


def test_the_dot_stands_for_columns_without_another_part() -> None:
    frame = DATA[["y", "x", "f", "g", "n", "w", "s", "h"]]
    design = make("s/n ~ . + offset(h) + (1 | g)", frame, BINOMIAL, freq="w")
    assert design.x_names == ("(Intercept)", "y", "x", "f[T.b]")
    assert equal(restore(*record(design), family=BINOMIAL), design)


# Responses


@pytest.mark.parametrize(
    ("formula", "options", "y", "trials", "levels"),
    [
        ("answer ~ x", {}, [1, 0, 1, 0, 0, 1], None, ("no", "yes")),
        ("cat ~ x", {}, [1, 0, 1, 0, 1, 0], None, ("n", "m")),
        ("flag ~ x", {}, [1, 0, 1, 1, 0, 0], None, (False, True)),
        ("s / n ~ x", {}, [1, 2, 3, 0, 1, 2], [4, 4, 5, 5, 6, 6], None),
        ("cbind(s, n) ~ x", {}, [1, 2, 3, 0, 1, 2], [5, 6, 8, 5, 7, 8], None),
        ("cbind(s, n - s) ~ x", {}, [1, 2, 3, 0, 1, 2], [4, 4, 5, 5, 6, 6], None),
        ("s ~ x", {"trials": "n"}, [1, 2, 3, 0, 1, 2], [4, 4, 5, 5, 6, 6], None),
        ("I(y > 3) ~ x", {}, [0, 0, 0, 1, 1, 1], None, None),
    ],
)
def test_responses(formula: str, options: Any, y: Any, trials: Any, levels: Any) -> None:
    design = make(formula, family=BINOMIAL, **options)
    assert design.y.tolist() == y
    assert (None if design.trials is None else design.trials.tolist()) == trials
    assert design.response_levels == levels
    assert design.response_name == formula.split(" ~")[0]
    new = design.apply(DATA)
    assert (None if new.trials is None else new.trials.tolist()) == trials
    assert design.apply(DATA[["x"]]).trials is None


def test_a_category_may_lack_one_of_two_levels() -> None:
    frame = pd.DataFrame({"y": pd.Categorical(["b", "b"], categories=["a", "b"]), "x": [1.0, 2]})
    design = make("y ~ x", frame, BINOMIAL)
    assert (design.y.tolist(), design.response_levels) == ([1, 1], ("a", "b"))


def test_another_response() -> None:
    design = make("y ~ hole")
    other = design.with_response([4, 3, 2, 1])
    assert other.y.tolist() == [4, 3, 2, 1]
    assert other.x is design.x
    with pytest.raises(DataError, match=r"shape \(6,\); the design has 4 rows \(6 in the data"):
        design.with_response(np.ones(6))
    with pytest.raises(DataError, match="not finite in row 1"):
        design.with_response([1, np.nan, 2, 3])


def test_the_users_frame_can_change_without_harm() -> None:
    columns = {name: DATA[name].to_numpy().copy() for name in ("y", "x", "s", "h", "n")}
    formula = "s / n ~ x + (1 | h)"
    design = make(formula, columns, BINOMIAL, offset="y", freq="n")
    before = pickle.loads(pickle.dumps(design))
    for values in columns.values():
        values += 1
    assert equal(design, before)
    assert equal(restore(*record(design), family=BINOMIAL), before)


def test_unused_levels_are_left_out() -> None:
    design = make("y ~ hole + cat + (1 | f)")
    assert design.used_columns["cat"].levels == ("n", "m")
    assert design.terms[0].levels == ("a", "b", "c")
    assert make("y ~ hole + (1 | cat)").rows.tolist() == [0, 2, 4, 5]


def test_as_many_groups_as_rows_are_allowed() -> None:
    assert len(make("y ~ x + (1 | digits)").terms[0].levels) == 6


def test_constant_and_collinear_columns_are_left_to_the_core() -> None:
    design = make("y ~ x + I(2 * x) + I(x - x)")
    assert design.x_names == ("(Intercept)", "x", "I(2 * x)", "I(x - x)")


def test_plain_sums_of_columns_need_no_library_for_formulas() -> None:
    code = (
        "import sys, glimm\n"
        "data = {'y': [0, 1, 1, 0] * 5, 'x': list(range(20)), 'g': list(range(4)) * 5}\n"
        "glimm.fit('y ~ x + (1 | g)', data, family='binomial')\n"
        "print('formulaic' in sys.modules)"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_slow_libraries_are_imported_when_needed_only() -> None:
    code = (
        "import sys, glimm.design, glimm.data, glimm.formula\n"
        "slow = {'formulaic', 'pandas', 'polars', 'pyarrow', 'scipy'}\n"
        "print(sorted(slow & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
