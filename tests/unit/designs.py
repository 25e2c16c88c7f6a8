"""The data, and the ways to make a design from them, that the tests of designs share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from glimm.design import Design, build


@dataclass(frozen=True)
class Family:
    name: str
    trials: bool
    ordered: bool = False


GAUSSIAN = Family("gaussian", False)
BINOMIAL = Family("binomial", True)

DATA = pd.DataFrame(
    {
        "y": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        "x": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
        "f": list("acbacb"),
        "g": ["q", "p", "q", "p", "r", "r"],
        "h": [1, 1, 2, 2, 1, 2],
        "flag": [True, False, True, True, False, False],
        "s": [1, 2, 3, 0, 1, 2],
        "n": [4, 4, 5, 5, 6, 6],
        "answer": ["yes", "no", "yes", "no", "no", "yes"],
        "cat": pd.Categorical(list("mnmnmn"), categories=["z", "n", "m"]),
        "dose": [0.5, 0.5, 1.5, 1.5, 2.5, 2.5],
        "w": [1.0, 0.0, 2.5, 1.0, 0.0, 1.0],
        "hole": [1.0, np.nan, 2.0, np.nan, 3.0, 4.0],
        "mark": [None, "a", "b", "a", None, "a"],
        "empty": [np.nan] * 6,
        "one": ["only"] * 6,
        "minus": [-1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
        "inf": [1.0, np.inf, 1.0, 1.0, 1.0, 1.0],
        "mix": [1, "a", 2, 3, 4, 5],
        "when": pd.to_datetime(["2020-01-01"] * 6),
        "my y": [2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
        "a.b": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        "digits": [str(i) for i in range(6)],
    }
)


def make(formula: str, data: Any = DATA, family: Family = GAUSSIAN, **options: Any) -> Design:
    return build(formula, data, family=family, **options)


def equal(a: Design, b: Design) -> bool:
    def arrays(design: Design) -> list[Any]:
        terms = [array for term in design.terms for array in (term.codes, term.z)]
        return [design.y, design.x, design.trials, design.freq, design.offset, *terms]

    names = [(d.x_names, [(t.label, t.columns, t.levels) for t in d.terms]) for d in (a, b)]
    return names[0] == names[1] and all(
        (u is None and v is None) or np.array_equal(u, v)
        for u, v in zip(arrays(a), arrays(b), strict=True)
    )


FORMULAS = [
    "y ~ x + (1 + x | g)",
    "y ~ x * f + (x || g) + (1 | h)",
    "y ~ C(dose) + (0 + f | cat)",
    "y ~ 0 + f + scale(x) + (1 | g/h)",
    "y ~ bs(x, 4) + (1 | g)",
    "y ~ poly(x, 2) + center(s):flag + (1 | g:h)",
    "log(y) ~ C(f, contr.helmert) + offset(log(n)) + (1 | g)",
    "y ~ I(f == 'a') + np.where(x > 2, x, 0) + (1 | h)",
    "`my y` ~ a.b + log(a.b) + log(`a.b` + 1) + (1 | flag)",
    "y ~ offset(`a.b`) + x",
    "y ~ C(h, levels=[2, 1]) + factor(flag)",
    "y ~ (1 | g)",
    "y ~ 0 + (1 | g)",
]
