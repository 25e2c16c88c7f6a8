"""One page on whether a model fits: verdicts in words, and what to try next."""

from __future__ import annotations

import html
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..tables import Block, Bullets, Cell, Column, Facts, Printed, Table

if TYPE_CHECKING:
    from .advice import Advice
    from .base import Check

Array = NDArray[np.float64]

STATES = ("found", "weak", "ok", "note")
_SMALL = 0.05
_NOTE = "found: Holm p over the page below 0.05; weak: p below 0.05 alone; ok: nothing found."


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """What was found about one assumption.

    Parameters
    ----------
    topic : str
        A key, such as ``"zeros"`` or ``"slope: days by subject"``.
    label : str
        The assumption, as it is printed.
    words : str
        What was found, with its size.
    p : float
        NaN where nothing was tested.
    adjusted : float
        p by Holm's method over all tests of the page.
    state : str
        ``"found"``: adjusted p below 0.05. ``"weak"``: p below 0.05 alone. ``"ok"``: nothing found.
        ``"note"``: not a test.
    check : Check, optional
    rank : int
        Where it stands: lower ones matter first.
    """

    topic: str
    label: str
    words: str
    p: float = math.nan
    adjusted: float = math.nan
    state: str = "note"
    check: Check | None = None
    rank: int = 50


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CheckPage(Printed):
    """Verdicts on a model; made by `Fit.check`.

    Parameters
    ----------
    title : str
        The model.
    verdicts : tuple of Verdict
        What was found first, in the order in which it matters; then what is weak, then the rest.
    advice : tuple of Advice
        What to try next; those that were tried by their AIC, the best first.
    residuals : Residuals
    fit : Fit, optional
        None for a foreign model.
    seed : int
    null : str
        Where p-values of residuals come from: ``"refit"`` or ``"exact"``; see
        `glimm.checks.study`. ``"none"``: there are none.
    """

    title: str
    verdicts: tuple[Verdict, ...]
    advice: tuple[Advice, ...]
    residuals: Any
    fit: Any
    seed: int
    null: str

    @property
    def found(self) -> tuple[str, ...]:
        """Topics with a finding."""
        return tuple(v.topic for v in self.verdicts if v.state == "found")

    @property
    def calm(self) -> bool:
        """Whether nothing was found."""
        return not self.found

    def __getitem__(self, topic: str) -> Verdict:
        """Return the verdict of a topic.

        Raises
        ------
        KeyError
            With the topics of the page.
        """
        for verdict in self.verdicts:
            if verdict.topic == topic:
                return verdict
        raise KeyError(f"{topic!r}; the page has {[v.topic for v in self.verdicts]}")

    @property
    def headline(self) -> str:
        """The page in a sentence."""
        tested = sum(not math.isnan(v.p) for v in self.verdicts)
        weak = sum(v.state == "weak" for v in self.verdicts)
        if not self.calm:
            fail = "assumption fails" if len(self.found) == 1 else "assumptions fail"
            first = self.verdicts[0]
            return (
                f"{len(self.found)} of {tested} {fail}, first of all: {first.label.lower()} "
                f"({first.words})."
            )
        if not tested:
            return "No tests: rows of a cluster are dependent, and the model does not say how."
        signs = "a weak sign" if weak == 1 else f"{weak} weak signs"
        chance = f" ({signs}, as one test in twenty gives for a true model)" if weak else ""
        return f"Nothing found in {tested} tests{chance}."

    @property
    def table(self) -> Table:
        """The verdicts."""
        columns = (
            Column("", key="state"), Column("assumption"), Column("finding"),
            Column("p", "p"), Column("Holm p", "p", "adjusted"),
        )  # fmt: skip
        rows = tuple(
            (v.state, v.label, v.words, _cell(v.p), _cell(v.adjusted)) for v in self.verdicts
        )
        return Table("Verdicts", columns, rows, (_NOTE,))

    @property
    def tables(self) -> Sequence[Block]:
        """Headline, verdicts, and what to try next."""
        head = Facts(f"Check of {self.title}", (("Verdict", self.headline),))
        blocks: list[Block] = [head, self.table]
        if self.advice:
            blocks.append(Bullets("What to try next", tuple(a.words for a in self.advice)))
        return blocks

    def to_frame(self) -> Any:
        """Return one row for each verdict."""
        from ..data import frame_like

        kind = self.residuals.frame_kind
        rows = [(v.state, v.topic, v.label, v.words, v.p, v.adjusted) for v in self.verdicts]
        keys = ("state", "topic", "assumption", "finding", "p", "adjusted")
        return frame_like(kind, {key: [row[k] for row in rows] for k, key in enumerate(keys)})

    def plot(self) -> Any:
        """Draw it; see `glimm.plots.checks`."""
        from ..plots import checks

        return checks(self)

    def to_html(self) -> str:
        """Return the page as one HTML document, with its pictures."""
        picture = io.StringIO()
        figure = self.plot()
        figure.savefig(picture, format="svg", metadata={"Date": None})
        drawing = picture.getvalue()
        drawing = drawing[drawing.index("<svg") :]
        body = "\n".join(block.to_html() for block in self.tables)
        title = html.escape(f"Check of {self.title}")
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
            f"<style>{_STYLE}</style></head>\n<body>\n{body}\n{drawing}\n</body></html>\n"
        )

    def __repr__(self) -> str:
        return f"<CheckPage {self.headline}>"


_STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;margin:1em 0}caption{text-align:left;font-weight:600}"
    "td,th{padding:.2em .8em .2em 0;text-align:left;vertical-align:top}svg{max-width:100%;height:auto}"  # noqa: E501
)


def first_things_first(
    verdicts: Sequence[Verdict], advice: Sequence[Advice]
) -> tuple[Verdict, ...]:
    """Return verdicts with those first whose remedy raises the likelihood most."""
    gain = {one.topic: one.aic for one in reversed(advice) if one.aic is not None}

    def key(verdict: Verdict) -> tuple[int, float]:
        found = verdict.state == "found"
        return _ORDER[verdict.state], gain.get(verdict.topic, 0.0) if found else 0.0

    return tuple(sorted(verdicts, key=key))


def _cell(p: float) -> Cell:
    return None if math.isnan(p) else p


def settled(verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """Return verdicts with Holm's p and their state, in the order of the page.

    References
    ----------
    Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal
    of Statistics 6, 65-70.
    """
    tested = sorted((v.p, i) for i, v in enumerate(verdicts) if not math.isnan(v.p))
    adjusted, running = dict.fromkeys(range(len(verdicts)), math.nan), 0.0
    for k, (p, i) in enumerate(tested):
        running = max(running, min(1.0, (len(tested) - k) * p))
        adjusted[i] = running
    done = [_state(v, adjusted[i]) for i, v in enumerate(verdicts)]
    return tuple(sorted(done, key=lambda v: (_ORDER[v.state], v.rank)))


_ORDER = {"found": 0, "weak": 1, "ok": 3, "note": 2}


def _state(verdict: Verdict, adjusted: float) -> Verdict:
    if math.isnan(verdict.p):
        return verdict
    state = "found" if adjusted < _SMALL else "weak" if verdict.p < _SMALL else "ok"
    words = verdict.words if state != "ok" else "nothing found"
    return replace(verdict, adjusted=adjusted, state=state, words=words)
