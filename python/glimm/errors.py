"""Every error glimm raises on purpose: the classes, and one table of codes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

_FIRST = 5


@dataclass(frozen=True, slots=True)
class Code:
    """A thing that can go wrong: its name, its meaning, and where the docs explain it."""

    name: str
    meaning: str

    @property
    def anchor(self) -> str:
        """Address of the explanation, relative to the root of the docs."""
        return f"troubleshooting.md#{self.name}"


_ROWS = (
    ("formula_syntax", "The formula's text cannot be read."),
    ("formula_random_term", "A random-effect term is not written as (columns | group)."),
    ("formula_duplicate_term", "Two random-effect terms give the same group the same column."),
    ("formula_function", "A formula calls a function that is not known, or that mixes rows."),
    ("formula_response", "The left-hand side of the formula does not suit the family."),
    ("unknown_structure", "A covariance structure that is not available, such as mat(...)."),
    ("unknown_column", "A column named in the call is not in the data."),
    ("duplicate_columns", "Two columns of the data have the same name."),
    ("unknown_frame", "The data are not of a kind of frame that glimm reads."),
    ("column_type", "A column holds values of a type that cannot be used in its place."),
    ("mixed_column", "A column mixes text with numbers."),
    ("numbers_as_text", "A covariate holds numbers stored as text."),
    ("array_shape", "An array does not have one value for each row of the data."),
    ("missing_values", "A column has missing values where none are allowed."),
    ("infinite_values", "A column, or an expression of columns, is not finite."),
    ("empty_data", "No row is left to fit."),
    ("one_level_group", "A grouping column has a single level."),
    ("one_level_factor", "A covariate made of categories has a single level."),
    ("new_levels", "New data have a level that the fit never saw."),
    ("unknown_relation", "A known relation that was not given, or lacks a level of the data."),
    ("relation_matrix", "A matrix that cannot be the covariance or precision of levels."),
    ("relation_labels", "Labels of a relation that do not fit it, or stand twice."),
    ("pedigree_records", "Records of a pedigree that contradict each other, or name nobody."),
    ("pedigree_loop", "Animals of a pedigree are their own ancestors."),
    ("newick", "The text of a tree cannot be read, or lacks branch lengths."),
    ("no_heritability", "A fit has no random effect whose variance is inherited."),
    ("outside_domain", "The response, trials or weights lie outside the range allowed."),
    ("unknown_option", "An argument has a value outside the list of allowed values."),
    ("unknown_family", "The family or link is not known, or they do not go together."),
    ("no_freedom", "A fit has no degrees of freedom of the kind asked for."),
    ("no_scores", "A fit is no sum over independent units, which robust errors need."),
    ("split_units", "Clusters split rows that share random effects."),
    ("unknown_coefficient", "A hypothesis names a coefficient that the fit does not have."),
    ("not_comparable", "Two fits whose likelihoods are not of the same responses."),
    ("no_interval", "What was asked of a prediction has no value for this model."),
    ("no_residuals", "The model states no distribution, or none of the kind that a check needs."),
    ("degenerate", "The data cannot tell any parameter, such as a response that never varies."),
    ("unidentified", "The likelihood is flat in a parameter: the data do not tell it."),
    ("fit_failed", "The numbers overflowed, or no step could be taken."),
    ("simulation_failed", "Every one of the first simulated data sets failed."),
    ("higher_elsewhere", "A profile found a higher likelihood than that of the fit."),
    ("memory", "The fit takes more memory than the machine has available."),
    ("file_format", "A file is not a saved fit, or was written by another version."),
    ("not_converged", "The optimiser stopped before reaching the maximum."),
    ("integral_bias", "The integral over the random effects is too coarse for the estimates."),
    ("integral_unknown", "The error of the integral over the random effects is not known."),
    ("laplace_runaway", "The Laplace approximation alone leads far away from the maximum."),
    ("monte_carlo", "The draws of the iterative engine leave estimates noticeably uncertain."),
    ("singular", "A random-effect variance is 0, or a correlation is 1: on the boundary."),
    ("aliased", "Columns of the fixed effects repeat others and were left out."),
    ("separation", "A covariate predicts the response perfectly: its effect is infinite."),
    ("boundary_dispersion", "The dispersion lies at the end of its range."),
    ("no_extra_zeros", "The probability of an extra zero is estimated at zero."),
    ("few_levels", "A grouping column has too few levels to estimate a variance well."),
    ("one_row_per_level", "Every level of a group has one row only."),
    ("few_clusters", "Too few clusters for robust standard errors, or one only."),
    ("duplicate_times", "A cluster has two rows of one time."),
    ("working_correlation", "A working correlation that is not positive definite."),
    ("working_size", "Times that a working correlation cannot hold."),
    ("weights_within", "Weights that differ within a cluster where they must not, or bias."),
    ("not_dropout", "Rows missing in another way than by dropout."),
    ("rows_dropped", "Rows were left out, for the reason and from the columns reported."),
)

CODES: dict[str, Code] = {name: Code(name, meaning) for name, meaning in _ROWS}
"""All codes by name: errors first, then the findings of a fit."""


class GlimmError(Exception):
    """Base of all errors that glimm raises on purpose.

    Parameters
    ----------
    message : str
        What happened, where, what was found, what is allowed, what to do.
    code : str
        Name of a row of `CODES`.
    """

    default_code = "fit_failed"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = CODES[code or self.default_code].name

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, (type(self), self.args, self.__dict__)


def _revive(cls: type[GlimmError], args: tuple[Any, ...], state: dict[str, Any]) -> GlimmError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class FormulaError(GlimmError, ValueError):
    """A formula that cannot be read; the message shows its text with the piece marked.

    Parameters
    ----------
    message : str
        What is wrong.
    text : str
        The whole formula.
    start, end : int
        The offending piece is ``text[start:end]``.
    allowed : str
        What may stand there, or what to write instead.
    code : str
        Name of a row of `CODES`.

    Examples
    --------
    >>> print(FormulaError("no group", "y ~ (1 | )", 9, 10, "a column name"))
    no group
      y ~ (1 | )
               ^
    Allowed: a column name
    """

    default_code = "formula_syntax"

    def __init__(
        self,
        message: str,
        text: str,
        start: int,
        end: int,
        allowed: str,
        *,
        code: str | None = None,
    ) -> None:
        super().__init__(f"{message}\n{mark(text, start, end)}\nAllowed: {allowed}", code=code)
        self.text = text
        self.span = (start, end)


class DataError(GlimmError, ValueError):
    """Data that cannot be used as asked; the message names the column, and rows or levels."""

    default_code = "column_type"


class FamilyError(GlimmError, ValueError):
    """A family or link that is not known, or that does not suit the call."""

    default_code = "unknown_family"


class FitError(GlimmError, RuntimeError):
    """A fit that could not be computed."""

    default_code = "fit_failed"


class FitWarning(UserWarning):
    """A fit whose estimates cannot be taken at face value; its diagnostics say why."""


def mark(text: str, start: int, end: int) -> str:
    """Return the text on one line with ``text[start:end]`` underlined by carets."""
    line = "".join(" " if c.isspace() else c for c in text)
    width = max(1, end - start)
    return f"  {line}\n  {' ' * start}{'^' * width}"


def nearest_first(wanted: str, allowed: Iterable[str]) -> list[str]:
    """Return the allowed names sorted, those that look most like `wanted` in front.

    Examples
    --------
    >>> nearest_first("treatmnt", ["age", "patient", "treatment"])
    ['treatment', 'age', 'patient']
    """
    names = sorted(allowed)
    lower = {name.lower(): name for name in reversed(names)}
    close = difflib.get_close_matches(wanted.lower(), lower, n=3, cutoff=0.6)
    front = [lower[name] for name in close]
    return front + [name for name in names if name not in front]


def listed(names: Sequence[str], limit: int = 12) -> str:
    """Return quoted names joined by commas; beyond `limit`, how many more there are."""
    shown = ", ".join(repr(name) for name in names[:limit])
    more = len(names) - limit
    return f"{shown} and {more} more" if more > 0 else shown


def rows_text(rows: Sequence[int], count: int | None = None) -> str:
    """Return "row 3 (counted from 0)" or "rows 3, 7, ... and 12 more (counted from 0)".

    Parameters
    ----------
    rows : sequence of int
        Positions in the user's frame, the first of them at least.
    count : int, optional
        How many there are in all; by default the length of `rows`.
    """
    total = len(rows) if count is None else count
    shown = ", ".join(str(int(row)) for row in rows[:_FIRST])
    more = total - min(_FIRST, len(rows))
    word = "row" if total == 1 else "rows"
    rest = f" and {more} more" if more > 0 else ""
    return f"{word} {shown}{rest} (counted from 0)"
