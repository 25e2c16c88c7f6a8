"""Bad input ends in an error that names column, row or level.

One row of a table per mistake: how the data go wrong, the call, the class of the error and the
words its message must hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hard_frames import good_frame

import glimm
from glimm.errors import DataError, FamilyError, FormulaError, GlimmError

FORMULA = "y ~ x + (1 | g)"
COUNTS = ("poisson", "nbinom2")

Change = Callable[[pd.DataFrame], pd.DataFrame]


def put(column: str, row: int, value: Any) -> Change:
    """Return a change that writes one value."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        if isinstance(value, str) and frame[column].dtype != object:
            frame[column] = frame[column].astype(object)
        frame.loc[row, column] = value
        return frame

    return change


def assign(**columns: Any) -> Change:
    """Return a change that replaces whole columns."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(**columns)

    return change


def unchanged(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave the frame as it is; the mistake is in the call."""
    return frame


@dataclass(frozen=True, slots=True)
class Mistake:
    """One way to go wrong."""

    name: str
    change: Change
    words: tuple[str, ...]
    error: type[GlimmError] = DataError
    formula: str = FORMULA
    options: dict[str, Any] = field(default_factory=dict)


def infinite() -> list[Mistake]:
    """Infinities in every place a number can stand."""
    inf = float("inf")
    return [
        Mistake("inf in response", put("y", 3, inf), ("'y'", "row 3", "inf")),
        Mistake("minus inf in covariate", put("x", 5, -inf), ("'x'", "row 5", "inf")),
        Mistake(
            "inf in slope",
            put("weight", 7, inf),
            ("'weight'", "row 7"),
            formula="y ~ x + (1 + weight | g)",
        ),
        Mistake(
            "inf in offset",
            put("exposure", 2, inf),
            ("'exposure'", "row 2"),
            options={"offset": "exposure"},
        ),
        Mistake(
            "log of zero in offset",
            put("exposure", 2, 0.0),
            ("log(exposure)", "row 2"),
            formula="y ~ x + offset(log(exposure)) + (1 | g)",
        ),
        Mistake(
            "log of a negative in the formula",
            put("exposure", 4, -1.0),
            ("log(exposure)", "row 4"),
            formula="y ~ log(exposure) + (1 | g)",
        ),
        Mistake(
            "inf in freq", put("weight", 1, inf), ("'weight'", "row 1"), options={"freq": "weight"}
        ),
        Mistake(
            "inf in trials",
            put("trials", 1, inf),
            ("'trials'", "row 1"),
            options={"family": "binomial", "trials": "trials"},
        ),
        Mistake(
            "inf in numeric group", assign(g=np.r_[np.inf, np.arange(47) // 6]), ("'g'", "row 0")
        ),
    ]


def missing_refused() -> list[Mistake]:
    """Return missing values where the caller asked for an error."""
    options = {"missing": "error"}
    columns = ("y", "x", "g")
    rows = [
        Mistake(f"missing in {c}", put(c, 9, None), (f"'{c}'", "row 9"), options=options)
        for c in columns
    ]
    whole = Mistake("column all missing", assign(x=np.full(48, np.nan)), ("'x'",))
    return [*rows, whole]


def names() -> list[Mistake]:
    """Return misspelt names; the nearest one is offered."""
    return [
        Mistake(
            "covariate", unchanged, ("'exposur'", "'exposure'"), formula="y ~ exposur + (1 | g)"
        ),
        Mistake("group", unchanged, ("'G'", "'g'"), formula="y ~ x + (1 | G)"),
        Mistake("response", unchanged, ("'Y'", "'y'"), formula="Y ~ x + (1 | g)"),
        Mistake("slope", unchanged, ("'expsure'", "'exposure'"), formula="y ~ x + (expsure | g)"),
        Mistake(
            "trials",
            unchanged,
            ("'trails'", "'trials'"),
            options={"family": "binomial", "trials": "trails"},
        ),
        Mistake("freq", unchanged, ("'wieght'", "'weight'"), options={"freq": "wieght"}),
        Mistake("offset", unchanged, ("'expsure'", "'exposure'"), options={"offset": "expsure"}),
        Mistake(
            "family", unchanged, ("poison", "poisson"), FamilyError, options={"family": "poison"}
        ),
        Mistake(
            "link",
            unchanged,
            ("logg", "log"),
            FamilyError,
            options={"family": "poisson", "link": "logg"},
        ),
        Mistake(
            "link of another family",
            unchanged,
            ("logit", "log"),
            FamilyError,
            options={"family": "poisson", "link": "logit"},
        ),
        Mistake(
            "missing policy",
            unchanged,
            ("omit", "drop", "error"),
            GlimmError,
            options={"missing": "omit"},
        ),
    ]


def outside_the_range() -> list[Mistake]:
    """Responses that a family cannot have."""
    counts = [
        Mistake(
            f"{family}: {what}",
            put("y", 3, value),
            ("'y'", "row 3", text),
            options={"family": family},
        )
        for family in COUNTS
        for what, value, text in [("negative", -1.0, "-1"), ("not an integer", 2.5, "2.5")]
    ]
    gamma = [
        Mistake(
            f"gamma: {value}",
            put("positive", 3, value),
            ("'positive'", "row 3"),
            formula="positive ~ x + (1 | g)",
            options={"family": "gamma"},
        )
        for value in (0.0, -0.5)
    ]
    binomial = [
        Mistake(
            f"binomial: {value}",
            put("binary", 3, value),
            ("'binary'", "row 3", f"{value:g}"),
            formula="binary ~ x + (1 | g)",
            options={"family": "binomial"},
        )
        for value in (2.0, -1.0, 0.5)
    ]
    trials = {"family": "binomial", "trials": "trials"}
    few = "cbind(y, trials - y) ~ x + (1 | g)"
    return [
        *counts,
        *gamma,
        *binomial,
        Mistake(
            "more successes than trials", put("trials", 3, 0.0), ("row 3", "trials"), options=trials
        ),
        Mistake("negative trials", put("trials", 3, -4.0), ("'trials'", "row 3"), options=trials),
        Mistake(
            "trials not an integer",
            put("trials", 3, 30.5),
            ("'trials'", "row 3", "30.5"),
            options=trials,
        ),
        Mistake(
            "negative failures",
            put("trials", 3, 0.0),
            ("trials - y", "row 3"),
            formula=few,
            options={"family": "binomial"},
        ),
        Mistake(
            "negative freq",
            put("weight", 3, -1.0),
            ("'weight'", "row 3"),
            options={"freq": "weight"},
        ),
        Mistake(
            "text response",
            assign(y=["low", "mid", "high"] * 16),
            ("'y'",),
            GlimmError,
            options={"family": "poisson"},
        ),
        Mistake(
            "three levels of a binary response",
            assign(binary=["a", "b", "c"] * 16),
            ("'binary'", "3"),
            GlimmError,
            formula="binary ~ x + (1 | g)",
            options={"family": "binomial"},
        ),
        Mistake(
            "trials for a family without",
            unchanged,
            ("trials", "poisson"),
            GlimmError,
            options={"family": "poisson", "trials": "trials"},
        ),
    ]


def structure() -> list[Mistake]:
    """Frames whose shape or types cannot be fitted."""
    duplicate = pd.DataFrame(good_frame())
    return [
        Mistake("group of one level", assign(g="only"), ("'g'", "only")),
        Mistake("empty data", lambda d: d.iloc[:0], ("no row",)),
        Mistake("empty after dropping", assign(x=[np.nan] * 48), ("'x'", "48")),
        Mistake("text mixed with numbers", put("x", 6, "seven"), ("'x'", "row 6", "seven")),
        Mistake(
            "numbers stored as text", lambda d: d.assign(x=d["x"].astype(str)), ("'x'", "text")
        ),
        Mistake(
            "dates as covariate", assign(x=pd.date_range("2020-01-01", periods=48)), ("'x'", "date")
        ),
        Mistake("lists as covariate", lambda d: d.assign(x=[[1.0]] * 48), ("'x'",)),
        Mistake("fractional group labels", assign(g=np.arange(48) / 7), ("'g'",)),
        Mistake(
            "duplicate column names", lambda d: pd.concat([d, duplicate[["x"]]], axis=1), ("'x'",)
        ),
        Mistake(
            "offset of wrong length",
            unchanged,
            ("offset", "47", "48"),
            options={"offset": np.zeros(47)},
        ),
        Mistake("factor of one level", assign(f="a"), ("'f'",), formula="y ~ f + (1 | g)"),
    ]


def formulas() -> list[Mistake]:
    """Formulas that cannot be read; the text is shown with the piece marked."""
    texts = {
        "no tilde": "y x + (1 | g)",
        "empty group": "y ~ x + (1 | )",
        "bar without parentheses": "y ~ x + 1 | g",
        "unbalanced": "y ~ x + (1 | g",
        "random term in a product": "y ~ x * (1 | g)",
        "duplicate random term": "y ~ x + (1 | g) + (1 | g)",
        "structure not available": "y ~ x + ar1(x | g)",
        "no right-hand side": "y ~",
    }
    return [
        Mistake(name, unchanged, ("^",), FormulaError, formula=text) for name, text in texts.items()
    ]


MISTAKES = [
    *infinite(),
    *missing_refused(),
    *names(),
    *outside_the_range(),
    *structure(),
    *formulas(),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.name)
def test_mistake_is_named(mistake: Mistake) -> None:
    frame = mistake.change(good_frame())
    options = {"family": "poisson"} | mistake.options
    with pytest.raises(mistake.error) as caught:
        glimm.fit(mistake.formula, frame, **options)
    message = str(caught.value)
    for word in mistake.words:
        assert word.lower() in message.lower(), message
