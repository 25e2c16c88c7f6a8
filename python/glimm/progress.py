"""Progress of a long fit: shown on a terminal or in a notebook, never for a short one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from .memory import size_text

_PATIENCE = 2.0
"""Seconds before anything is shown; also between two lines where a display cannot be redrawn."""
_DECREMENT = 1e-8
"""Squared distance to the maximum, in standard errors, at which a climb ends."""
_RECENT = 4
_LAST = 3.0
"""What the exact derivatives at the end cost, in steps."""

Step = tuple[float, float]
"""Time at which a step ended, in seconds, and the squared distance to the maximum after it."""


def time_left(steps: Sequence[Step]) -> float | None:
    """Estimate the seconds left from the fall of the distance to the maximum.

    Parameters
    ----------
    steps : sequence of (time, decrement)
        Of one stage, in their order.

    Returns
    -------
    float or None
        None while the distance does not fall.

    Examples
    --------
    >>> time_left([(0.0, 1.0), (2.0, 1e-4)])  # one more step of two seconds, and the end
    8.0
    """
    recent = steps[-_RECENT:]
    if len(recent) < 2 or not all(math.isfinite(d) and d > 0 for _, d in recent):
        return None
    (start, first), (now, last) = recent[0], recent[-1]
    count = len(recent) - 1
    fall = math.log(first / last) / count
    if fall <= 0:
        return None
    left = max(0.0, math.ceil(math.log(last / _DECREMENT) / fall - 1e-9))
    return (left + _LAST) * (now - start) / count


class Progress:
    """What the core calls while it works; a context manager that takes its display away again.

    Parameters
    ----------
    wanted : bool, optional
        None: on a terminal or in a notebook, after two seconds. True: anywhere, as lines of text
        where a display cannot be redrawn. False: never.
    memory : int
        Bytes that the fit takes.
    clock : callable
        Seconds from some start.
    console : rich.console.Console, optional
        Where to show; standard error by default.
    """

    def __init__(
        self,
        wanted: bool | None,
        memory: int,
        clock: Callable[[], float] = time.monotonic,
        console: Any = None,
    ) -> None:
        self._wanted, self._memory, self._clock, self._console = wanted, memory, clock, console
        self._start = clock()
        self._shown_at = -math.inf
        self._live: Any = None
        self._stage, self._iteration = "", -1
        self._steps: list[Step] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(
        self, stage: str, iteration: int, loglik: float, decrement: float, rows: int
    ) -> None:
        """Take note of how far the core is, and show it if it is time."""
        now = self._clock()
        if stage != self._stage or iteration < self._iteration:
            self._steps = []
        if (stage, iteration) != (self._stage, self._iteration):
            self._steps.append((now, decrement))
        self._stage, self._iteration = stage, iteration
        if self._wanted is not False and now - self._start >= _PATIENCE:
            self._show(self._text(loglik, decrement, rows, now), now)

    def _text(self, loglik: float, decrement: float, rows: int, now: float) -> str:
        passed, memory = f"{now - self._start:.0f} s", size_text(self._memory)
        if not math.isfinite(loglik):  # still in the first evaluation
            evaluated = f", {rows:,} rows evaluated" if rows else ""
            return f"glimm: {self._stage}; {passed}{evaluated} ({memory})"
        left = time_left(self._steps)
        # A step that takes longer than the ones before has used up part of what is left.
        since = now - self._steps[-1][0]
        rest = "" if left is None else f", about {max(left - since, 1):.0f} s left"
        away = f"{math.sqrt(max(decrement, 0)):.2g} SE away"
        return (
            f"glimm: {self._stage} {self._iteration}, logLik {loglik:.3f}, {away}; "
            f"{passed}{rest} ({memory})"
        )

    def _show(self, text: str, now: float) -> None:
        if self._console is None:
            from rich.console import Console

            self._console = Console(stderr=True)
        redraws = self._console.is_terminal or self._console.is_jupyter
        if redraws:
            self._redraw(text)
        elif self._wanted and now - self._shown_at >= _PATIENCE:
            self._shown_at = now
            self._console.print(text, highlight=False, soft_wrap=True)

    def _redraw(self, text: str) -> None:
        from rich.live import Live
        from rich.text import Text

        if self._live is None:
            self._live = Live(console=self._console, transient=True, auto_refresh=False)
            self._live.start()
        self._live.update(Text(text), refresh=True)


class Counting(Progress):
    """Progress of work on many data sets: how many are done, and how long the rest takes.

    Parameters
    ----------
    wanted, clock, console
        As in `Progress`.
    what : str
        What is counted: ``"simulated data sets"``.
    total : int
    """

    def __init__(
        self,
        wanted: bool | None,
        what: str,
        total: int,
        clock: Callable[[], float] = time.monotonic,
        console: Any = None,
    ) -> None:
        super().__init__(wanted, 0, clock, console)
        self._what, self._total = what, total

    def done(self, count: int) -> None:
        """Take note that so many are done, and show it if it is time."""
        now = self._clock()
        passed = now - self._start
        if self._wanted is False or passed < _PATIENCE:
            return
        left = f", about {passed * (self._total - count) / count:.0f} s left" if count else ""
        self._show(f"glimm: {count:,} of {self._total:,} {self._what}; {passed:.0f} s{left}", now)
