"""A formula taken apart: what the parser returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class RandomTerm:
    """A random-effect term ``(columns | group)``.

    Parameters
    ----------
    columns : str
        Right-hand side for formulaic, such as ``"1 + x"`` or ``"0 + f"``.
    group : tuple of str
        Columns whose observed combinations are the groups.
    structure : str
        ``"us"`` (any covariance, from ``|``) or ``"diag"`` (independent columns, from ``||``).
    text : str
        The term as the user wrote it.
    label : str, optional
        From ``(columns |label| group)``: terms of one group and label, in several formulas of a
        model, are one term with a covariance between them.
    relation : (str, str), optional
        From ``(columns | group, word=name)``: the kind of a known relation among the groups, and
        its name.
    several : bool
        Whether a row belongs to a group in each of the columns, from ``mm(a, b)``.
    weights : tuple of str
        The columns with the weights of these groups; none: equal ones.
    residual : bool
        Whether it is the covariance of the residuals of a record, from
        ``residual(0 + trait | record)``.
    """

    columns: str
    group: tuple[str, ...]
    structure: str
    text: str
    label: str | None = None
    relation: tuple[str, str] | None = None
    several: bool = False
    weights: tuple[str, ...] = ()
    residual: bool = False


@dataclass(frozen=True, slots=True)
class Response:
    """The left-hand side.

    Parameters
    ----------
    kind : str
        ``"plain"``; ``"cbind"`` (successes, failures); ``"ratio"`` (successes, trials).
    expressions : tuple of str
        One expression, or two in the order above; a name that Python cannot read is in backticks.
    text : str
        The left-hand side as the user wrote it.
    """

    kind: Literal["plain", "cbind", "ratio"]
    expressions: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula taken apart.

    Parameters
    ----------
    text : str
        The formula as the user wrote it.
    response : Response
    fixed : str
        Right-hand side for formulaic, without the random-effect terms and offsets.
    offsets : tuple of str
        What stands inside each ``offset(...)``.
    random : tuple of RandomTerm
    """

    text: str
    response: Response
    fixed: str
    offsets: tuple[str, ...]
    random: tuple[RandomTerm, ...]

    @property
    def residual(self) -> RandomTerm | None:
        """The term that is the covariance of the residuals, if there is one."""
        return next((term for term in self.random if term.residual), None)

    def __str__(self) -> str:
        return self.text


def show(formula: Formula) -> str:
    """Return the parts of a formula, one per line."""
    response = formula.response
    lines = [f"response  {response.kind}: {', '.join(response.expressions)}"]
    lines = lines if response.expressions else []
    lines.append(f"fixed     {formula.fixed}")
    lines += [f"offset    {offset}" for offset in formula.offsets]
    for term in formula.random:
        label = "" if term.label is None else f", label {term.label}"
        lines.append(f"random    {term.structure}: {term.columns} by {':'.join(term.group)}{label}")
    return "\n".join(lines)
