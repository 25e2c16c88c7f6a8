from __future__ import annotations

import io
import subprocess
import sys

import pytest
from rich.console import Console

from glimm.progress import Progress, time_left


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def shown(wanted: bool | None, *, terminal: bool, seconds: float) -> str:
    """What a fit of one report per second shows."""
    clock, file = Clock(), io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=200)
    with Progress(wanted, 3_000_000_000, clock, console) as show:
        while clock.now < seconds:
            clock.now += 1.0
            step = int(clock.now)
            show("climb", step, -1234.5 + step, 10.0**-step, 1000 * step)
    return file.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("wanted", [True, False, None])
def test_a_short_fit_shows_nothing(wanted: bool | None, terminal: bool) -> None:
    assert shown(wanted, terminal=terminal, seconds=1.0) == ""


def test_a_long_fit_shows_where_it_is_on_a_terminal() -> None:
    text = shown(None, terminal=True, seconds=5.0)
    assert "climb 5, logLik -1229.500, 0.0032 SE away; 5 s" in text
    assert "about 6 s left (3 GB)" in text  # three more steps, and the end worth three


def test_elsewhere_only_what_was_asked_for() -> None:
    assert shown(None, terminal=False, seconds=9.0) == ""
    assert shown(False, terminal=True, seconds=9.0) == ""
    lines = shown(True, terminal=False, seconds=9.0).splitlines()
    assert [line.split(",")[0] for line in lines] == [f"glimm: climb {k}" for k in (2, 4, 6, 8)]


def test_time_left_follows_the_fall_of_the_distance() -> None:
    assert time_left([]) is None
    assert time_left([(0.0, 1.0)]) is None
    assert time_left([(0.0, 1.0), (1.0, 2.0)]) is None
    assert time_left([(0.0, float("inf")), (1.0, 2.0)]) is None
    # One decade a second: five more to 1e-8, and three for the end.
    assert time_left([(0.0, 1e-1), (1.0, 1e-2), (2.0, 1e-3)]) == pytest.approx(8.0)


def test_an_earlier_stage_does_not_count() -> None:
    clock, file = Clock(), io.StringIO()
    show = Progress(True, 1, clock, Console(file=file, width=200))
    for second, stage in ((1.0, "sample"), (2.0, "sample"), (3.0, "climb")):
        clock.now = second
        show(stage, int(second), -1.0, 10.0**-second, 1)
    assert "sample" in file.getvalue()
    assert "climb" not in file.getvalue()
    clock.now = 5.0
    show("climb", 3, -1.0, 1e-3, 1)
    assert "climb 3" in file.getvalue()
    assert "left" not in file.getvalue().splitlines()[-1]


def test_the_first_evaluation_says_how_many_rows_it_has_seen() -> None:
    clock, file = Clock(), io.StringIO()
    show = Progress(True, 3_000_000, clock, Console(file=file, width=200))
    clock.now = 4.0
    show("start", 0, float("nan"), float("inf"), 25_000)
    assert file.getvalue() == "glimm: start; 4 s, 25,000 rows evaluated (3 MB)\n"


def test_fits_import_no_display() -> None:
    program = "import glimm, sys; d = glimm.datasets.load('cbpp');"
    program += "glimm.fit('incidence / size ~ 1 + (1 | herd)', d, 'binomial');"
    program += "print('rich.live' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "False\n"
    assert done.stderr == ""
