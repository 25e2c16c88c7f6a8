"""How values are written in a table's cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

Cell = str | int | float | None
Format = Literal["text", "integer", "number", "ratio", "p"]

_DIGITS = 3  # significant digits of the smallest number of a column
_MOST_DECIMALS = 6  # a number needing more is written with an exponent
_MOST_DIGITS = 12  # likewise a number with more digits than this
_EVEN_OUT = 2  # sizes whose decimals differ by no more than this share the larger number
_LEAST_P = 1e-16  # below this the normal approximation itself means nothing


def write(form: Format, values: Sequence[Cell], decimals: Sequence[int]) -> list[str]:
    """The cells of one column as they are printed.

    Parameters
    ----------
    form : Format
    values : sequence of Cell
        None is an empty cell, NaN a dash.
    decimals : sequence of int
        Decimals of each "number"; empty: the column finds its own.
    """
    if form == "number":
        return _write_numbers(values, decimals)
    writers: dict[str, Callable[[Any], str]] = {
        "text": str,
        "integer": "{:,}".format,
        "ratio": _write_ratio,
        "p": lambda p: format_p(p) if math.isfinite(p) else "-",
    }
    return ["" if value is None else writers[form](value) for value in values]


def _write_numbers(values: Sequence[Cell], decimals: Sequence[int]) -> list[str]:
    """Numbers lined up at the decimal point by blanks after the shorter ones."""
    numbers = [math.nan if value is None else float(value) for value in values]
    places = list(decimals) or even_decimals(numbers)
    written = [
        "" if value is None else _write_number(number, place)
        for value, number, place in zip(values, numbers, places, strict=True)
    ]
    plain = [cell[-1:].isdigit() and "e" not in cell for cell in written]
    after = [len(cell) - cell.find(".") if "." in cell else 0 for cell in written]
    longest = max(
        (tail for tail, is_plain in zip(after, plain, strict=True) if is_plain), default=0
    )
    return [
        cell + " " * (longest - tail) if is_plain else cell
        for cell, tail, is_plain in zip(written, after, plain, strict=True)
    ]


def _write_number(number: float, decimals: int) -> str:
    if not math.isfinite(number):
        return "-" if math.isnan(number) else ("inf" if number > 0 else "-inf")
    if decimals > _MOST_DECIMALS:
        return f"{number:.{_DIGITS - 1}e}"
    too_long = number != 0 and decimals_for(number, _MOST_DIGITS) < decimals
    if too_long or abs(number) >= 10**_MOST_DIGITS:
        return f"{number:.{_MOST_DIGITS // 2}g}"
    return _fixed(number, decimals)


def _fixed(number: float, decimals: int) -> str:
    """So many decimals, and no sign before a zero."""
    text = f"{number:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text


def _write_ratio(ratio: float) -> str:
    if not math.isfinite(ratio):
        return "-"
    return _fixed(ratio, 2) if abs(ratio) < 10 ** (_MOST_DIGITS // 2) else f"{ratio:.1e}"


def even_decimals(sizes: Sequence[float]) -> tuple[int, ...]:
    """Decimals that show each size well; the same for sizes that differ little.

    Examples
    --------
    >>> even_decimals([24.74, 5.92]), even_decimals([251.0, 0.00123])
    ((2, 2), (0, 5))
    """
    known = [decimals_for(size) for size in sizes if size != 0 and math.isfinite(size)]
    most = max(known, default=_DIGITS)
    if most - min(known, default=most) <= _EVEN_OUT:
        return (most,) * len(sizes)
    shown = max((d for d in known if d <= _MOST_DECIMALS), default=_DIGITS)
    return tuple(decimals_for(s) if s != 0 and math.isfinite(s) else shown for s in sizes)


def array(form: Format, values: Sequence[Cell]) -> np.ndarray[Any, Any]:
    """The exact values of one column: strings, integers or floats (None as NaN)."""
    if form == "text":
        return np.array(["" if value is None else str(value) for value in values])
    if form == "integer" and None not in values:
        return np.array(values, dtype=np.int64)
    return np.array([math.nan if v is None else v for v in values], dtype=np.float64)


def decimals_for(value: float, digits: int = _DIGITS) -> int:
    """Decimals that show `value` to so many significant digits; at least 0.

    Examples
    --------
    >>> decimals_for(0.0234), decimals_for(153.2)
    (4, 0)
    """
    if value == 0 or not math.isfinite(value):
        return 0
    return max(0, digits - 1 - math.floor(math.log10(abs(value))))


def format_p(p: float) -> str:
    """A p-value as it is printed: never 0.

    Examples
    --------
    >>> format_p(0.04312), format_p(2.2e-5), format_p(1e-40)
    ('0.043', '2.2e-05', '< 1e-16')
    """
    if p < _LEAST_P:
        return f"< {_LEAST_P:.0e}"
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"
