"""The printed Fit: what was fitted and how, to which rows, whether to trust it, the estimates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .data import Frame
from .errors import CODES
from .fit import RESIDUAL
from .inference.freedom import Freedom, Normal, freedom, t_tail
from .inference.wald import bounds
from .mixed import MIXED, FamilyBy
from .problem import ENGINES
from .tables import WIDTH, Block, Bullets, Cell, Column, Facts, Table, draw, even_decimals

if TYPE_CHECKING:
    from .design import DesignTerm
    from .fit import Fit
    from .parts import Coefficients

_LEVEL = 0.95
_SAID_ABOVE = {"rows_dropped"}
_NATS, _MOVE = 1e-8, 1e-4  # nobody needs to know how far below these a fit stopped

# What one unit of the linear predictor is, and what exp() of an estimate is.
_SCALES: Mapping[str, tuple[str, str]] = {
    "identity": ("units of {response}", ""),
    "log": ("log of the expected {response}", "a ratio of expected values"),
    "logit": ("log odds", "an odds ratio"),
    "probit": ("probit, a standard normal quantile", ""),
    "cloglog": ("log of the cumulative hazard", "a ratio of cumulative hazards"),
    "loglog": ("log-log, minus the log of -log(probability)", ""),
    "sqrt": ("square root of the expected {response}", ""),
    "1/mu^2": ("1 / (expected {response})^2", ""),
    "cauchit": ("cauchit, a standard Cauchy quantile", ""),
    "inverse": ("1 / expected {response}", ""),
    MIXED: ("scale of each link", ""),
}
_ORDERED: Mapping[str, tuple[str, str]] = {
    "logit": ("log odds of a higher {response}", "an odds ratio, the same at every threshold"),
    "probit": ("sd of a normal variable behind {response}", ""),
    "cloglog": ("cloglog scale, up with {response}", ""),
}


@dataclass(frozen=True, slots=True)
class Summary:
    """A fit in words and tables.

    Attributes
    ----------
    blocks : tuple of Block
        Facts, tables and sentences in their order on the page.
    """

    blocks: tuple[Block, ...]

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables, in their order on the page."""
        return tuple(block for block in self.blocks if isinstance(block, Table))

    def to_text(self, width: int = WIDTH, *, colour: bool = False) -> str:
        """Text of at most `width` characters a line, with codes for bold and dim on request."""
        return draw(self.blocks, width=width, colour=colour)

    def to_markdown(self) -> str:
        """Markdown with pipe tables."""
        return "\n\n".join(block.to_markdown() for block in self.blocks)

    def to_html(self) -> str:
        """An HTML fragment, as notebooks show it."""
        inner = "\n".join(block.to_html() for block in self.blocks)
        return f'<div class="glimm">\n{inner}\n</div>'

    def to_latex(self) -> str:
        """LaTeX for the booktabs package."""
        return "\n\n".join(block.to_latex() for block in self.blocks)

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        return self.to_html()


def summary(fit: Fit, df: str = "auto") -> Summary:
    """A fit in words and tables, in the order a careful reader asks.

    What was fitted and how; rows, groups and what was dropped; whether it converged; the
    log-likelihood; random effects; dispersion; fixed effects; what was found; what to ask next.

    Parameters
    ----------
    fit : Fit
    df : str
        Degrees of freedom of the fixed effects; see `Fit.summary`.

    Returns
    -------
    Summary
        With `to_text`, `to_markdown`, `to_html`, `to_latex`, and its `tables` as values.

    Examples
    --------
    >>> import glimm
    >>> data = glimm.datasets.load("sleepstudy")
    >>> fit = glimm.fit("reaction ~ days + (1 + days | subject)", data)
    >>> print(glimm.summary(fit).tables[0].to_text())
    Random effects (units of reaction)
    group    name            sd  corr
    ─────────────────────────────────
    subject  (Intercept)  24.74
    subject  days          5.92  0.07
    """
    blocks: list[Block] = [Facts(_title(fit), tuple(_facts(fit)))]
    blocks += [_random_effects(fit, own) for own in _sources(fit)]
    if constants := (fit.dispersion or {}) | fit.shape:
        blocks.append(_constants(fit, constants))
    blocks.append(_fixed_effects(fit, freedom(fit, df)))
    blocks += [_other_part(part) for part in fit.parts if part.part != "mean" and _is_table(part)]
    findings = tuple(
        _finding(finding) for finding in fit.diagnostics.findings if finding.code not in _SAID_ABOVE
    )
    if findings:
        blocks.append(Bullets("Findings", findings))
    blocks.append(Bullets("Next", tuple(_next(fit))))
    return Summary(tuple(blocks))


def record(fit: Fit) -> dict[str, Any]:
    """The numbers of a fit as plain values, ready for JSON.

    Returns
    -------
    dict
        Not-a-number and infinite values are None, as JSON has no word for them.
    """
    diagnostics = fit.diagnostics
    return {
        "formula": fit.model.formula.text,
        "family": fit.model.family.name,
        "link": fit.model.link,
        "reml": fit.model.reml,
        "penalty": None if fit.model.penalty is None else str(fit.model.penalty),
        "rows": fit.design.n,
        "rows_given": fit.design.n_input,
        "dropped": [
            {"reason": drop.reason, "column": drop.column, "count": drop.count}
            for drop in fit.design.dropped
        ],
        "groups": dict(fit.groups),
        "compression": diagnostics.compression,
        "converged": diagnostics.converged,
        "reason": diagnostics.reason,
        "loglik_left": _plain(diagnostics.loglik_left),
        "loglik": _plain(fit.loglik),
        "certificate": _certificate(fit),
        "aic": _plain(fit.aic),
        "bic": _plain(fit.bic),
        "df_model": fit.df_model,
        "df_resid": fit.df_resid,
        "dispersion": {name: _plain(value) for name, value in (fit.dispersion or {}).items()},
        "shape": {name: _plain(value) for name, value in fit.shape.items()},
        "parts": {
            part.part: _records(_other_part(part))
            for part in fit.parts
            if part.part != "mean" and _is_table(part)
        },
        "random_effects": [
            row for own in _sources(fit) for row in _records(_random_effects(fit, own))
        ],
        "fixed_effects": _records(_fixed_effects(fit, freedom(fit))),
        "findings": [
            {"code": f.code, "message": f.message, "remedy": f.remedy} for f in diagnostics.findings
        ],
    }


def _certificate(fit: Fit) -> dict[str, Any]:
    values = fit.certificate.record()
    for name in ("bias", "bias_se"):
        values[name] = [_plain(value) for value in values[name]]
    return {k: v if isinstance(v, list) else _plain(v) for k, v in values.items()}


def _title(fit: Fit) -> str:
    if not fit.design.terms:
        return "Generalized linear model (no random effects)"
    return "Linear mixed model" if _is_exact(fit) else "Generalized linear mixed model"


def _is_exact(fit: Fit) -> bool:
    """Whether the integral over the random effects has a closed form."""
    return fit.model.family.name == "gaussian" and fit.model.link == "identity"


def _known(term: DesignTerm) -> str:
    """What is known of the levels of a term."""
    if term.relation is None:
        return ""
    seen = {int(c) for codes, _ in term.memberships for c in np.unique(codes[codes >= 0])}
    empty = len(term.levels) - len(seen)
    without = f", {empty:,} without rows" if empty else ""
    return f"{without}; {term.relation.word} {term.named}"


def _facts(fit: Fit) -> Iterator[tuple[str, str]]:
    yield "Formula", fit.model.formula.text
    family, link = fit.model.family, fit.model.link
    words = family.words if isinstance(family, FamilyBy) else f"{family.name}, {link} link"
    yield "Family", words
    for name, side in (("Dispersion", fit.model.disp), ("Extra zeros", fit.model.zi)):
        if side is not None:
            yield name, side.text
    yield "Estimator", _estimator(fit)
    if fit.model.penalty is not None:
        yield "Penalty", str(fit.model.penalty)
    yield "Rows", _rows(fit)
    for drop in fit.design.dropped:
        yield "Dropped", str(drop)
    if fit.groups:
        known = {term.label: _known(term) for term in fit.design.terms}
        levels = (f"{name} ({n:,} levels{known.get(name, '')})" for name, n in fit.groups.items())
        yield "Groups", ", ".join(levels)
    if fit.design.response_levels is not None and fit.model.family.ordered:
        classes = " < ".join(str(level) for level in fit.design.response_levels)
        yield "Response", f"{fit.design.response_name}: {classes}"
    elif fit.design.response_levels is not None:
        failure, success = fit.design.response_levels
        yield "Response", f"{fit.design.response_name}: {success!r} is success, {failure!r} failure"
    if fit.diagnostics.compression is not None:
        yield "Compressed", fit.diagnostics.compression
    yield "Converged", _converged(fit)
    if fit.diagnostics.path in ENGINES and fit.groups:
        yield "Engine", _engine(fit)
    if fit.design.terms:
        yield "Integral", fit.certificate.verdict
    yield "Parameters", f"{fit.df_model:,}, leaving {fit.df_resid:,} residual degrees of freedom"
    name = "REML logLik" if fit.model.reml else "logLik"
    yield "Fit", f"{name} {fit.loglik + 0.0:.3f}, AIC {fit.aic:.1f}, BIC {fit.bic:.1f}"


def _estimator(fit: Fit) -> str:
    if fit.model.reml and not _is_exact(fit):
        return "restricted maximum likelihood (REML, coefficients integrated out by Laplace)"
    kind = "penalised maximum likelihood" if fit.model.penalty is not None else "maximum likelihood"
    return "restricted maximum likelihood (REML)" if fit.model.reml else kind


def _engine(fit: Fit) -> str:
    """How the factors' linear algebra is done, and the error that leaves."""
    levels = " x ".join(f"{count:,}" for count in sorted(fit.groups.values(), reverse=True))
    how = f"{fit.diagnostics.path}; {levels} levels"
    if fit.diagnostics.path != "iterative":
        return f"{how}, exact"
    draws, loglik = fit.diagnostics.draws_se, fit.diagnostics.loglik_se
    error = f"Monte Carlo error <= {draws:.2g} SE, log-likelihood +- {loglik:.2g}"
    return f"{how}; {error}; SE from average information"


def _rows(fit: Fit) -> str:
    design = fit.design
    of = f"of {design.n_input:,}" if design.dropped else "(none dropped)"
    rows = f"{design.n:,} {of}"
    if design.freq is None:
        return rows
    return f"{rows}; {fit.nobs:,} observations by frequency weights"


def _converged(fit: Fit) -> str:
    left = f"log-likelihood left {_below(fit.diagnostics.loglik_left, _NATS)} nats"
    where = f"{left}, {_below(fit.diagnostics.se_moved, _MOVE)} SE from the maximum"
    if fit.diagnostics.converged:
        return f"yes; {where}"
    return f"NO: {fit.diagnostics.reason}; {where}"


def _below(value: float, floor: float) -> str:
    """A size in one digit; below the floor only that, as smaller ones are rounding noise."""
    small = value < floor
    digit = f"{floor if small else value:.1g}".replace("e-0", "e-")
    return f"< {digit}" if small else digit


def _sources(fit: Fit) -> list[bool]:
    """Whether each table of random effects is that of residuals."""
    return sorted({term.residual for term in fit.design.terms})


def _random_effects(fit: Fit, residual: bool) -> Table:
    """One row per random effect: group, name, standard deviation, correlations with earlier."""
    frame = fit.varcorr()
    own = np.asarray([group == RESIDUAL for group in frame["group"]]) == residual
    values = {name: np.asarray(frame[name])[own].tolist() for name in Frame(frame).names}
    corr = [name for name in values if name.startswith("corr") and not _all_nan(values[name])]
    heads = ["corr"] if len(corr) == 1 else [f"corr {k + 1}" for k in range(len(corr))]
    columns = (
        Column("group"),
        Column("name"),
        Column("sd", "number"),
        *(Column(head, "ratio", name) for head, name in zip(heads, corr, strict=True)),
    )
    rows = zip(*(values[name] for name in ("group", "name", "sd", *corr)), strict=True)
    cells = tuple(tuple(None if _is_nan(cell) else cell for cell in row) for row in rows)
    notes: tuple[str, ...] = ()
    notes += ("corr k: correlation with the k-th effect of the group.",) if len(corr) > 1 else ()
    if not residual:
        notes += tuple(f"{name} = {value:g} (held)." for name, value in fit.model.random_hold)
        notes += tuple(f"{b} = {a} (shared)." for a, b in fit.model.share)
    title = "Residuals of a record" if residual else "Random effects"
    return Table(f"{title} ({_scale(fit)[0]})", columns, cells, notes)


def _is_nan(cell: Cell) -> bool:
    return isinstance(cell, float) and math.isnan(cell)


def _all_nan(cells: Sequence[Cell]) -> bool:
    return all(map(_is_nan, cells))


def _constants(fit: Fit, values: Mapping[str, float]) -> Table:
    """Parameters of the family that are one number for all rows."""
    family = fit.model.family
    known = {parameter.name: parameter for parameter in family.parameters}
    if isinstance(family, FamilyBy):
        known |= family.named
    of_family = family.held if isinstance(family, FamilyBy) else fit.model.hold
    held = {name: " (held)" for name, _ in of_family}
    rows = tuple(
        (name, value, known[name].meaning + held.get(name, "")) for name, value in values.items()
    )
    columns = (Column("name"), Column("estimate", "number"), Column("meaning"))
    only = all(known[name].dispersion for name in values)
    return Table("Dispersion" if only else "Dispersion and shape", columns, rows)


_TITLES = {"zi": "Extra zeros (log odds)", "thresholds": "Thresholds ({scale} scale)"}


def _is_table(part: Coefficients) -> bool:
    return part.modelled or part.part == "thresholds"


def _other_part(part: Coefficients) -> Table:
    name = "" if part.parameter is None else part.parameter.name
    scale = part.scale if part.scale != "log" else f"log of {name}"
    title = _TITLES.get(part.part, "Dispersion ({scale})").format(scale=scale)
    notes: tuple[str, ...] = ()
    if part.parameter is not None:
        notes = (f"{part.parameter.name}: {part.parameter.meaning}.",)
    known = Normal(part.covariance)
    return _coefficients(part, f"{title}, 95 % Wald intervals", notes, known)


def _fixed_effects(fit: Fit, known: Freedom) -> Table:
    title = f"Fixed effects ({_scale(fit)[0]}), 95 % Wald intervals"
    return _coefficients(fit.parts[0], title, tuple(_readings(fit, known)), known)


def _coefficients(part: Coefficients, title: str, notes: tuple[str, ...], known: Freedom) -> Table:
    found = bounds(part.estimates, known, _LEVEL)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(found.se > 0, part.estimates / found.se, math.nan)
    numbers = [part.estimates, found.se, found.lower, found.upper, ratio, t_tail(ratio, found.df)]
    columns = [
        Column("name"),
        Column("estimate", "number"),
        Column("SE", "number", "se"),
        Column("lower", "number"),
        Column("upper", "number"),
        Column("z", "ratio"),
        Column("p", "p"),
    ]
    if not isinstance(known, Normal):
        columns[5:6] = [Column("t", "ratio"), Column("df", "ratio")]
        numbers.insert(5, found.df)
    rows = zip(part.names, *(values.tolist() for values in numbers), strict=True)
    return Table(title, tuple(columns), tuple(rows), notes, even_decimals(found.se.tolist()))


def _scale(fit: Fit) -> tuple[str, str]:
    """What the linear predictor is measured in, and what exp() of an estimate is."""
    return scale_words(fit.model.link, fit.model.family.ordered, fit.design.response_name)


def scale_words(link: str, ordered: bool, response: str) -> tuple[str, str]:
    """Return what a linear predictor is measured in, and what exp() of a coefficient is.

    Examples
    --------
    >>> scale_words("logit", False, "y")
    ('log odds', 'an odds ratio')
    """
    unit, ratio = _SCALES.get(link, (f"{link} scale", ""))
    if ordered and link in _ORDERED:
        unit, ratio = _ORDERED[link]
    return unit.format(response=response), ratio


def _readings(fit: Fit, known: Freedom) -> Iterator[str]:
    """How to read the fixed effects, in sentences."""
    if fit.design.terms and not _is_exact(fit):
        groups = " and ".join(dict.fromkeys(term.label for term in fit.design.terms))
        yield f"Subject-specific: effects for a given {groups}, not averaged over all."
    _, ratio = _scale(fit)
    if ratio:
        yield f"exp(estimate) is {ratio}."
    if fit.model.link == MIXED:
        yield "Each row is on the scale of the link of its family, named above."
    name = "z = estimate / SE; p is two-sided, from the"
    if isinstance(known, Normal):
        yield f"{name} {known.source}."
    else:
        yield f"t{name[1:]} t distribution, as the interval; {known.source}."


def _finding(finding: Any) -> str:
    return f"{finding.message} {finding.remedy} (docs/{CODES[finding.code].anchor})"


def _next(fit: Fit) -> Iterator[str]:
    """One or two questions worth asking, of those that a Fit can answer."""
    if fit.design.terms:
        yield f"fit.ranef(): how each {fit.design.terms[0].label} differs, with its uncertainty"
    expected = f"expected {fit.design.response_name}"
    if fit.model.family.trials and not isinstance(fit.model.family, FamilyBy):
        expected = "probabilities"
    yield (
        f"fit.predict(new): {expected} of new rows; "
        "fit.simulate(100, seed=1): data as this fit would make them"
    )


def _records(table: Table) -> list[dict[str, Any]]:
    keys = [column.key or column.head for column in table.columns]
    return [dict(zip(keys, map(_plain, row), strict=True)) for row in table.rows]


def _plain(value: Cell) -> Cell:
    """A value that JSON can hold."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
