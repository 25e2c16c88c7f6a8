"""One engine on one problem in this process; prints its measurements as they come.

    python measure.py ENGINE PROBLEM_FOLDER --threads 1 --second-limit 30

Each line that starts with the marker holds a JSON object. The caller merges them, so that a run
that is cut off by its time limit still leaves what it had measured.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from engines import ENGINES, Session
from problems import read

MARKER = "@@ "
SHORT_CALLS, SHORT_SECONDS = 15, 0.5  # a short call is timed so often, or for so long


def plain(value: Any) -> Any:
    """Turn numpy numbers into Python's, and numbers that JSON lacks into None."""
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def emit(**found: Any) -> None:
    line = json.dumps({name: plain(value) for name, value in found.items()})
    print(f"\n{MARKER}{line}", flush=True)


def memory_mb(field: str) -> float | None:
    """VmRSS (now) or VmHWM (peak) of this process; None where /proc is not there."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return None
    line = next((line for line in text.splitlines() if line.startswith(field)), None)
    return int(line.split()[1]) / 1024 if line else None


def reset_peak() -> None:
    """Start the peak afresh, so that loading the data does not count."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # the peak then includes loading


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    result = call()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def settled(call: Callable[[], Any]) -> tuple[float, float]:
    """Median elapsed and CPU seconds of a call, made several times when it is short."""
    runs: list[tuple[float, float]] = []
    while not runs or (len(runs) < SHORT_CALLS and sum(wall for wall, _ in runs) < SHORT_SECONDS):
        _, wall, cpu = timed(call)
        runs.append((wall, cpu))
    return median(wall for wall, _ in runs), median(cpu for _, cpu in runs)


def run(session: Session, second_limit: float) -> None:
    reset_peak()
    before = memory_mb("VmRSS")
    result, wall, cpu = timed(session.fit)
    peak = memory_mb("VmHWM")
    emit(first_seconds=wall, first_cpu_seconds=cpu, before_mb=before, peak_mb=peak)
    emit(**session.read(result))
    if wall > second_limit:
        return
    wall, cpu = settled(session.fit)
    emit(second_seconds=wall, second_cpu_seconds=cpu)
    if session.refit is not None:
        refit = session.refit
        wall, cpu = settled(lambda: refit(result))
        emit(refit_seconds=wall, refit_cpu_seconds=cpu)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--second-limit", type=float, default=30.0)
    options = parser.parse_args()
    engine = ENGINES[options.engine]
    prepare = engine.prepare
    if prepare is None:
        parser.error(f"{engine.name} is driven by engine_r.R")
    problem, columns = read(options.folder)
    emit(version=version(engine.package))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            session, wall, _ = timed(lambda: prepare(problem, columns, options.threads))
            emit(prepare_seconds=wall)
            run(session, options.second_limit)
        except BaseException as error:  # a failing engine (even a panic) is a result, not a crash
            emit(error=f"{type(error).__name__}: {str(error)[:300]}")
    emit(warnings=sorted({str(w.message)[:160] for w in seen})[:8])
    return 0


if __name__ == "__main__":
    sys.exit(main())
