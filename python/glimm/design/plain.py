"""Sums of columns as they stand, which need no library."""

from __future__ import annotations

import keyword
import re
from functools import lru_cache

INTERCEPT = "(Intercept)"
_SUM = re.compile(r"\s*(?:([01])\s*(?:\+|$))?\s*((?:[A-Za-z_]\w*)(?:\s*\+\s*[A-Za-z_]\w*)*)?\s*")


@lru_cache(maxsize=512)
def plain_sum(part: str) -> tuple[str, ...] | None:
    """Return the columns of a right-hand side such as ``1 + x + w``; None for any other.

    Examples
    --------
    >>> plain_sum("x + w"), plain_sum("0 + x"), plain_sum("log(x)")
    (('(Intercept)', 'x', 'w'), ('x',), None)
    """
    found = _SUM.fullmatch(part)
    if found is None or part.rstrip().endswith("+"):
        return None
    first, rest = found.groups()
    names = re.split(r"\s*\+\s*", rest) if rest else []
    if any(keyword.iskeyword(name) for name in names) or not (first or names):
        return None
    return tuple(dict.fromkeys(([] if first == "0" else [INTERCEPT]) + names))
