"""Tables: how values are written, and that every form holds the same cells."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser

import pytest

from glimm.tables import Bullets, Column, Facts, Table, decimals_for, draw, format_p

TABLE = Table(
    title="Effects of <a & b>",
    columns=(
        Column("name"),
        Column("estimate", "number"),
        Column("SE", "number", "se"),
        Column("rows", "integer"),
        Column("z", "ratio"),
        Column("p", "p"),
    ),
    rows=(
        ("(Intercept)", 251.405, 6.6323, 180, 37.9, 1e-300),
        ("x[T.a_b]|g", -1.25, 0.104, 1200, -2.4, 0.0164),
        ("empty", None, math.nan, None, math.nan, math.nan),
    ),
    notes=("50 % of x_1.",),
)


@pytest.mark.parametrize(
    ("p", "written"),
    [
        (1.0, "1.000"),
        (0.0431, "0.043"),
        (0.001, "0.001"),
        (0.00099, "9.9e-04"),
        (2.2e-5, "2.2e-05"),
        (1e-16, "1.0e-16"),
        (9e-17, "< 1e-16"),
        (0.0, "< 1e-16"),
    ],
)
def test_p_is_never_zero(p: float, written: str) -> None:
    assert format_p(p) == written


@pytest.mark.parametrize(
    ("value", "decimals"),
    [(0.0234, 4), (0.1, 3), (1.0, 2), (99.0, 1), (153.2, 0), (1e6, 0), (0, 0)],
)
def test_decimals_show_three_digits(value: float, decimals: int) -> None:
    assert decimals_for(value) == decimals


def _number_column(*values: float | None, decimals: tuple[int, ...] = ()) -> list[str]:
    table = Table("t", (Column("v", "number"),), tuple((v,) for v in values), (), decimals)
    return [row[0] for row in table.cells()]


def test_a_column_shares_its_decimals() -> None:
    assert _number_column(1.5, 0.25) == ["1.500", "0.250"]
    assert _number_column(24.74, 5.92) == ["24.74", "5.92"]


def test_a_tiny_number_does_not_stretch_the_column() -> None:
    assert _number_column(1234.6, 1e-9) == ["1235", "1.00e-09"]
    assert _number_column(0.5, 0.0) == ["0.500", "0.000"]


def test_a_number_of_many_digits_is_shortened() -> None:
    assert _number_column(1e6, decimals=(6,)) == ["1e+06"]
    assert _number_column(1.5e13) == ["1.5e+13"]
    assert _number_column(123456.789, decimals=(3,)) == ["123456.789"]


def test_zero_has_no_sign() -> None:
    assert _number_column(-0.0001, 1.0, decimals=(2, 2)) == ["0.00", "1.00"]
    table = Table("t", (Column("z", "ratio"),), ((-0.001,), (-1.0,), (4.4e9,)))
    assert [row[0] for row in table.cells()] == ["0.00", "-1.00", "4.4e+09"]


def test_a_column_of_tiny_numbers_has_exponents() -> None:
    assert _number_column(1.234e-9) == ["1.23e-09"]


def test_decimals_of_rows_line_up_at_the_point() -> None:
    assert _number_column(251.4, 0.00123, None, decimals=(1, 5, 0)) == ["251.4    ", "0.00123", ""]


def test_numbers_without_value_are_dashes() -> None:
    assert _number_column(math.nan, math.inf, -math.inf, 2.0) == ["-", "inf", "-inf", "2.00"]


def test_text_aligns_and_fits() -> None:
    lines = TABLE.to_text().splitlines()
    assert lines[0] == TABLE.title
    assert set(lines[2]) == {"─"}
    ends = [
        line.index(cell) + len(cell) for line, cell in ((lines[1], "rows"), (lines[4], "1,200"))
    ]
    assert ends[0] == ends[1]
    assert max(map(len, lines)) <= 88


def test_text_has_no_terminal_codes_unless_asked() -> None:
    assert "\x1b" not in TABLE.to_text()
    assert "\x1b[1m" in draw([TABLE], colour=True)
    bare = re.sub(r"\x1b\[[\d;]+m", "", draw([TABLE], colour=True))
    assert [line.rstrip() for line in bare.splitlines()] == TABLE.to_text().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_text_keeps_to_its_width_and_numbers_stay_whole(width: int) -> None:
    text = TABLE.to_text(width)
    assert max(map(len, text.splitlines())) <= width
    assert "251.41" in text
    assert "< 1e-16" in text


def test_square_brackets_are_text_not_markup() -> None:
    assert "[bold]x" in Table("t", (Column("[red]"),), (("[bold]x",),)).to_text()


def test_markdown_has_one_bar_more_than_columns() -> None:
    lines = [line for line in TABLE.to_markdown().splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(TABLE.rows)
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {1 + len(TABLE.columns)}
    assert lines[1] == "| :-- | --: | --: | --: | --: | --: |"


class _Cells(HTMLParser):
    """Collect the text of the cells of an HTML table."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1] and data.strip():
            self.rows[-1][-1] += data


def test_html_holds_the_cells_of_the_text() -> None:
    parser = _Cells()
    parser.feed(TABLE.to_html().split("<p>")[0])
    written = [[cell.strip() for cell in row] for row in TABLE.cells()]
    assert parser.rows == [[column.head for column in TABLE.columns], *written]
    assert "&lt;a &amp; b&gt;" in TABLE.to_html()


def test_latex_escapes_and_counts_columns() -> None:
    latex = TABLE.to_latex()
    assert r"\begin{tabular}{lrrrrr}" in latex
    assert r"x[T.a\_b]\textbar{}g" in latex
    assert r"50 \% of x\_1." in latex
    body = latex[latex.index(r"\toprule") : latex.index(r"\bottomrule")]
    assert {line.count(" & ") for line in body.splitlines() if line.endswith(r"\\")} == {5}


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_frames_hold_exact_values(kind: str) -> None:
    frame = TABLE.to_frame(kind)
    assert type(frame).__module__.split(".")[0] == kind
    assert float(frame["se"][0].as_py() if kind == "pyarrow" else frame["se"][0]) == 6.6323


def test_facts_and_bullets_wrap_with_hanging_indent() -> None:
    words = "word " * 30
    text = draw([Facts("Head", (("Label", words),)), Bullets("List", (words,))], width=40)
    lines = text.splitlines()
    assert lines[:2] == ["Head", "Label  word word word word word word"]
    assert lines[2].startswith("       word")
    bullet = lines.index("List") + 1
    assert lines[bullet].startswith("- word")
    assert lines[bullet + 1].startswith("  word")


@pytest.mark.parametrize("block", [Facts("H_1", (("a|b", "x*y"),)), Bullets("H_1", ("x*y <z>",))])
def test_other_blocks_escape_too(block: Facts | Bullets) -> None:
    assert r"H\_1" in block.to_markdown()
    assert r"x\*y" in block.to_markdown()
    assert r"H\_1" in block.to_latex()
    assert "<z>" not in block.to_html()
