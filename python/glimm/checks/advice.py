"""What to try next, as code."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..data import values_of
from ..design import fixed_terms
from ..errors import GlimmError
from ..model import fit_design, specify

if TYPE_CHECKING:
    from ..design import Design
    from ..fit import Fit

Array = NDArray[np.float64]

_WIDER = {
    "poisson": ("nbinom2",),
    "truncated_poisson": ("truncated_nbinom2",),
    "binomial": ("betabinomial",),
    "nbinom2": ("nbinom1", "nbinom"),
    "nbinom1": ("nbinom2", "nbinom"),
    "truncated_nbinom2": ("truncated_nbinom1",),
    "truncated_nbinom1": ("truncated_nbinom2",),
}
_NARROWER = {
    "poisson": ("compois", "genpois"),
    "nbinom2": ("compois", "genpois"),
    "nbinom1": ("compois", "genpois"),
    "truncated_poisson": ("truncated_compois", "truncated_genpois"),
    "truncated_nbinom2": ("truncated_compois",),
}
_OTHER_SHAPES = {"gaussian": ("student_t", "skewnormal"), "gamma": ("lognormal", "tweedie"),
                 "lognormal": ("gamma",), "beta": ("ordbeta",)}  # fmt: skip
_SOME_ZEROS = 1e-3


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to try.

    Parameters
    ----------
    topic : str
        The check that led to it.
    code : str
        What to change in the call of `glimm.fit`, as it is typed.
    why : str
        A few words.
    changes : mapping
        The same as arguments of `glimm.fit`; empty where new data are needed.
    aic : float, optional
        AIC with the change less that without, both by maximum likelihood; None when not tried.
    """

    topic: str
    code: str
    why: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    aic: float | None = None

    @property
    def words(self) -> str:
        """One line."""
        tried = "" if self.aic is None else f" (tried: AIC {self.aic:+.1f})"
        return f"{self.code}: {self.why}{tried}"


def wider(fit: Fit, topic: str) -> Iterator[Advice]:
    """More variance than the family has."""
    if fit.model.family.trials and not _has_trials(fit.design):
        return
    for name in _WIDER.get(fit.model.family.name, ())[:2]:
        yield _family(topic, name, "a family with more variance")


def narrower(fit: Fit, topic: str) -> Iterator[Advice]:
    """Less variance than the family has."""
    for name in _NARROWER.get(fit.model.family.name, ())[:1]:
        yield _family(topic, name, "a family that can have less variance than the Poisson")


def zeros(fit: Fit, topic: str, more: bool) -> Iterator[Advice]:
    """More or fewer zeros than the model."""
    if more and fit.model.zi is None:
        yield Advice(topic, 'zi="~ 1"', "extra zeros", {"zi": "~ 1"})
    elif more:
        name = next(iter(_plain_labels(fit)), None)
        if name is not None:
            why = "let the probability of extra zeros differ"
            yield Advice(topic, f'zi="~ {name}"', why, {"zi": f"~ {name}"})
    elif fit.model.zi is not None:
        yield Advice(topic, "zi=None", "no extra zeros", {"zi": None})


def shape(fit: Fit, topic: str) -> Iterator[Advice]:
    """Another distribution of the same kind of response."""
    y, name = fit.design.y, fit.model.family.name
    if name == "gaussian" and fit.model.link == "identity" and bool((y > 0).all()):
        yield _family(topic, "gamma", "positive responses, variance that grows", link="log")
    for other in _OTHER_SHAPES.get(name, ())[:2]:
        yield _family(topic, other, "tails or skewness of its own")


def tails(fit: Fit, topic: str) -> Iterator[Advice]:
    """More values far out than the family has."""
    yield from wider(fit, topic)
    yield from shape(fit, topic)


def spread(fit: Fit, topic: str, label: str) -> Iterator[Advice]:
    """A variance that changes along a covariate."""
    if fit.model.family.dispersion is not None and fit.model.disp is None:
        why = "let the dispersion differ"
        yield Advice(topic, f'disp="~ {label}"', why, {"disp": f"~ {label}"})


def curve(fit: Fit, topic: str, label: str) -> Iterator[Advice]:
    """A covariate that acts in a curve."""
    column = fit.design.used_columns.get(label)
    if column is None or column.levels is not None:
        return
    count = np.unique(column.values).size
    code = f"bs({label}, df=4)" if count > 6 else f"C({label})" if count > 2 else ""
    if code:
        changed = replaced_label(fit.model.formula.text, label, code)
        changes = {"formula": changed} if changed != fit.model.formula.text else {}
        yield Advice(topic, f"{code} for {label}", "a curve instead of a line", changes)


def slope(fit: Fit, topic: str, name: str, group: str) -> Iterator[Advice]:
    """A slope that differs between groups; for categories an effect of each of their levels."""
    label, text = label_of(fit, name), fit.model.formula.text
    term = next((t for t in fit.design.terms if t.label == group and t.structure in _FREE), None)
    if label is None or term is None:
        return
    column = fit.design.used_columns.get(label)
    if column is not None and column.levels is not None and len(column.levels) > 2:
        new = f"(1 | {group}:{label})"
        changes = {"formula": f"{text} + {new}"}
        yield Advice(topic, f"+ {new}", f"effects of {label} for each {group}", changes)
        return
    inside, _, rest = term.text.strip("()").partition("|")
    new = f"({inside.strip()} + {label} | {rest.strip(' |')})"
    changes = {"formula": text.replace(term.text, new)} if term.text in text else {}
    yield Advice(topic, new, f"a slope of {label} for each {group}", changes)


_FREE = ("us", "diag", "homdiag", "")


def means(fit: Fit, topic: str, name: str, group: str) -> Iterator[Advice]:
    """Slopes within and between clusters."""
    label = label_of(fit, name)
    if label in fit.design.used_columns and group in fit.design.used_columns:
        code = f'data["{label}_mean"] = data.groupby("{group}")["{label}"].transform("mean")'
        yield Advice(topic, f"+ {label}_mean", f"its means over {group} as a covariate: {code}")


def links(fit: Fit, topic: str) -> Iterator[Advice]:
    """Other links of the family; a line of a gaussian response bends by its covariates."""
    if fit.model.link == "identity":
        return
    for name in [link for link in fit.model.family.links if link != fit.model.link][:2]:
        yield Advice(topic, f'link="{name}"', "another link", {"link": name})


def _family(topic: str, name: str, why: str, link: str | None = None) -> Advice:
    text = f'family="{name}"' + (f', link="{link}"' if link else "")
    return Advice(topic, text, why, {"family": name, "link": link})


def _has_trials(design: Design) -> bool:
    return design.trials is not None and bool((design.trials > 1).any())


def _plain_labels(fit: Fit) -> Iterator[str]:
    for term in fixed_terms(fit.design):
        if len(term.factors) == 1:
            yield term.label


def label_of(fit: Fit, name: str) -> str | None:
    """Return the main effect that a coefficient belongs to."""
    for term in fixed_terms(fit.design):
        if len(term.factors) == 1 and name in {fit.design.x_names[j] for j in term.columns}:
            return term.label
    return None


def replaced_label(text: str, label: str, code: str) -> str:
    """Return a formula with a covariate replaced on its right side, outside random effects."""
    left, tilde, right = text.partition("~")
    pattern = re.compile(rf"(?<![\w.\[(]){re.escape(label)}(?![\w.(\])])")
    pieces = re.split(r"(\([^()]*\|[^()]*\))", right)
    done = [p if "|" in p else pattern.sub(code, p) for p in pieces]
    return left + tilde + "".join(done)


def tried(fit: Fit, advice: Sequence[Advice]) -> list[Advice]:
    """Return advice with the AIC that it gives, without what cannot be fitted.

    All fits are by maximum likelihood, integrals by Laplace, which is enough to see what is better.
    """
    if fit.model.family.ordered or fit.model.penalty is not None:
        return list(advice)
    base: float | None = None
    found = []
    for one in advice:
        if not one.changes:
            found.append(one)
            continue
        if base is None:
            own = _quietly(fit, {})
            base = math.nan if own is None else own.aic
        other = _quietly(fit, one.changes)
        if other is not None and math.isfinite(base):
            found.append(replace(one, aic=other.aic - base))
    return found


def _quietly(fit: Fit, changes: Mapping[str, Any]) -> Fit | None:
    """A fit with changes; None where it has no maximum."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            other = changed(fit, **changes)
        except (GlimmError, ValueError, ArithmeticError):
            return None
    return other if other.estimates.converged and other.design.n == fit.design.n else None


def changed(fit: Fit, **changes: Any) -> Fit:
    """Return a fit of the same rows by maximum likelihood, with other arguments of `glimm.fit`."""
    model, design, request = fit.model, fit.design, fit.design.request
    data = {name: values_of(column) for name, column in design.used_columns.items()}
    sides = {"zi": model.zi, "disp": model.disp}
    arguments: dict[str, Any] = {
        "formula": model.formula.text,
        "family": model.family,
        "link": None if "family" in changes else model.link,
        "hold": None if "family" in changes else dict(model.hold),
        "integration": "laplace",
        "engine": model.engine,
        "threads": model.threads,
    }
    arguments |= {name: None if side is None else side.text for name, side in sides.items()}
    for name in ("trials", "freq", "offset", "precision"):
        key = getattr(request, name)
        arguments[name] = data[key] if key == f"{name}=" else key
    arguments |= changes
    formula, family = arguments.pop("formula"), arguments.pop("family")
    return fit_design(*specify(formula, data, family, reml=False, **arguments), progress=False)
