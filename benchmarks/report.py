"""Raw records of runs -> rows of ratios -> markdown and CSV.

glimm's median in the same run is 1 in every ratio, so that the tables do not depend on the
machine; log-likelihoods are differences from glimm's, in nats.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from engines import ENGINES, LEFT_OUT, Engine
from problems import PROBLEMS, Problem

Record = dict[str, Any]

SPARE_CPU = 1.25  # CPU time may exceed threads x elapsed by this factor before it is remarked on
MEMORY_ROWS = 100_000  # below, an interpreter's own noise is larger than the data
CALLS = ("first", "second", "refit")

HEADER = """# Speed and log-likelihood side by side

Every number is a ratio to glimm in the same run on the same machine (glimm = 1; 20 means that the
engine needed twenty times as long), the median over fresh processes of {clock};
{threads} thread(s) for every engine, enforced by environment variables and arguments. Data are in
memory before the clock starts.{reused}

- **first fit**: the first call in the process. Engines with formulas include formula and design
  (glimm: from a pandas frame, with whatever it imports on first use); GPBoost is given matrices.
  Importing a package is before the clock: glimm's own import loads narwhals.
- **second fit**: the same call again. **new response**: `refit` on a second simulated response, or,
  where an engine has none, the faster of that and its second fit. `>`: stopped at the time limit.
- **memory**: peak during the first fit above the loaded data, as a multiple of the data's size.
- **log-likelihood**: engine minus glimm, in nats; a negative number means that glimm is higher.
  In brackets where the engine maximises something else (see the remark); such rows do not count
  as the fastest peer.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One engine on one problem: medians in seconds and MB, log-likelihood in nats."""

    problem: str
    engine: str
    language: str
    version: str
    status: str
    like_for_like: bool
    remark: str
    runs: int = 0
    first: float | None = None
    second: float | None = None
    renewed: float | None = None
    memory: float | None = None
    loglik: float | None = None
    stopped: float | None = None  # time limit that the first fit ran over


def _median(records: Sequence[Record], field: str) -> float | None:
    values = [r[field] for r in records if r.get(field) is not None]
    return median(values) if values else None


def _memory(records: Sequence[Record], problem: Problem) -> float | None:
    """Peak above the loaded data as a multiple of the data (eight bytes a number)."""
    used = [r | {"used": r["peak_mb"] - r["before_mb"]} for r in records if r.get("peak_mb")]
    found = _median(used, "used")
    if found is None or problem.rows < MEMORY_ROWS:
        return None
    return found * 2**20 / (8 * problem.rows * (3 + len(problem.bars)))


def _remark(engine: Engine, problem: Problem, records: Sequence[Record]) -> str:
    caveat = engine.caveat(problem)
    parts = [f"{caveat.kind}: {caveat.text}"] if caveat else []
    if any(not r.get("converged", True) for r in records):
        parts.append("says that it did not converge")
    if any("error" in r for r in records):
        parts.append("second fit or refit failed")
    for r in records:
        if r["first_cpu_seconds"] > SPARE_CPU * r["threads"] * r["first_seconds"] + 0.1:
            parts.append("used more threads than it was given")
            break
    return "; ".join(parts)


def _row(
    problem: Problem, engine: Engine, version: str, records: Sequence[Record], clock: str
) -> Row:
    good = [r for r in records if r["status"] == "ok"]
    failed = next((r["status"] for r in records if r["status"] != "ok"), "ok")
    if not records:
        failed = "not installed" if not version else "not run"
    unit = "cpu_seconds" if clock == "cpu" else "seconds"
    first, second, refit = (_median(good, f"{call}_{unit}") for call in CALLS)
    return Row(
        problem.name, engine.name, engine.language, version, failed,
        like_for_like=engine.caveat(problem) is None,
        remark=_remark(engine, problem, good),
        runs=len(good),
        first=first,
        second=second,
        renewed=min((t for t in (second, refit) if t is not None), default=None)
        if engine.package != "glimm" else refit,
        memory=_memory(good, problem),
        loglik=_median(good, "loglik"),
        stopped=None if good else _median(records, "stopped"),
    )  # fmt: skip


def rows(
    problems: Sequence[Problem],
    engines: Sequence[Engine],
    versions: dict[str, str],
    records: Sequence[Record],
    clock: str,
) -> list[Row]:
    """One row per problem and engine that has the model, run or not; clock is wall or cpu."""
    return [
        _row(p, e, versions.get(e.name, ""),
             [r for r in records if (r["problem"], r["engine"]) == (p.name, e.name)], clock)
        for p in problems for e in engines if e.covers(p)
    ]  # fmt: skip


def progress_line(record: Record) -> str:
    found = record.get("first_seconds")
    spent = "" if found is None else f" {found:.4g} s, loglik {record.get('loglik')}"
    return f"{record['problem']} | {record['engine']} | {record['status']}{spent}"


def _number(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}g}"


def _table(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def seconds_table(found: Sequence[Row]) -> str:
    """Absolute times, for the terminal only."""
    header = ["problem", "engine", "first s", "second s", "new response s", "loglik", "remark"]
    body = [
        [r.problem, r.engine, _number(r.first), _number(r.second), _number(r.renewed),
         _number(r.loglik, 12), r.remark if r.status == "ok" else r.status]
        for r in found
    ]  # fmt: skip
    return _table(header, body)


def _ratio(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None


def compared(row: Row, glimm: Row) -> dict[str, Any]:
    """The machine-independent part of a row, as written to the CSV file."""
    difference = None
    if row.loglik is not None and glimm.loglik is not None:
        difference = row.loglik - glimm.loglik
    return {
        "problem": row.problem,
        "engine": row.engine,
        "version": row.version,
        "status": row.status,
        "runs": row.runs,
        "first_fit": _ratio(row.first, glimm.first),
        "first_fit_at_least": _ratio(row.stopped, glimm.first),
        "second_fit": _ratio(row.second, glimm.second),
        "new_response": _ratio(row.renewed, glimm.renewed),
        "memory": row.memory,
        "loglik_difference": difference,
        "like_for_like": row.like_for_like,
        "remark": row.remark,
    }


def _problem_part(problem: Problem, lines: Sequence[dict[str, Any]]) -> str:
    body = []
    for line in lines:
        nats = line["loglik_difference"]
        shown = "-" if nats is None else f"{nats:+.2g}" if abs(nats) < 0.01 else f"{nats:+.2f}"
        first = _number(line["first_fit"], 3)
        if line["first_fit_at_least"] is not None:
            first = f"> {line['first_fit_at_least']:.3g}"
        body.append(
            [
                line["engine"],
                first,
                *(_number(line[name], 3) for name in ("second_fit", "new_response")),
                _number(line["memory"], 2),
                shown if line["like_for_like"] or nats is None else f"({shown})",
                line["remark"] if line["status"] == "ok" else line["status"],
            ]
        )
    header = ["engine", "first fit", "second fit", "new response", "memory", "log-lik.", "remark"]
    return f"## {problem.name}\n\n{problem.title}\n\n{_table(header, body)}\n"


def fastest(lines: Sequence[dict[str, Any]], field: str, language: str) -> str:
    """The least ratio among like-for-like peers of one language, with its name."""
    peers = [
        line for line in lines
        if ENGINES[line["engine"]].package != "glimm"
        and ENGINES[line["engine"]].language == language
        and line["like_for_like"] and line[field] is not None
    ]  # fmt: skip
    if not peers:
        return "-"
    best = min(peers, key=lambda line: line[field])
    return f"{best[field]:.3g} ({best['engine']})"


OVERVIEW = {
    "Python, first fit": ("first_fit", "python"),
    "Python, second fit": ("second_fit", "python"),
    "Python, new response": ("new_response", "python"),
    "R, first fit": ("first_fit", "R"),
}


def _overview(parts: dict[str, list[dict[str, Any]]]) -> str:
    columns = OVERVIEW.values()
    body = [[name, *(fastest(lines, *c) for c in columns)] for name, lines in parts.items()]
    title = "## Fastest like-for-like peer, time as a multiple of glimm's"
    return f"{title}\n\n{_table(['problem', *OVERVIEW], body)}\n"


def _closing(found: Sequence[Row], versions: dict[str, str]) -> str:
    names = dict.fromkeys(row.engine for row in found)
    used = ", ".join(f"{n} {versions[n]} ({ENGINES[n].call})" for n in names if n in versions)
    missing = ", ".join(name for name in names if name not in versions) or "none"
    left_out = "\n".join(f"- {name}: {reason}." for name, reason in LEFT_OUT.items())
    parts = [f"Versions and calls: {used}.", f"Not installed when this ran: {missing}."]
    return "\n\n".join(["## Engines", *parts, "Left out on purpose:", left_out]) + "\n"


def save(
    found: Sequence[Row],
    folder: Path,
    versions: dict[str, str],
    *,
    threads: int,
    clock: str,
    reused: bool,
) -> None:
    """Write `benchmark-N-threads.md` and `.csv` into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    base = {row.problem: row for row in found if row.engine == "glimm"}
    parts: dict[str, list[dict[str, Any]]] = {}
    for row in found:
        parts.setdefault(row.problem, []).append(compared(row, base[row.problem]))
    words = {"wall": "elapsed time", "cpu": "processor time"}
    note = " Peers' times were taken from an earlier run on the same machine." if reused else ""
    header = HEADER.format(threads=threads, clock=words[clock], reused=note)
    text = [header, _overview(parts)]
    text += [_problem_part(PROBLEMS[name], lines) for name, lines in parts.items()]
    stem = folder / f"benchmark-{threads}-thread{'s' if threads > 1 else ''}"
    stem.with_suffix(".md").write_text("\n".join([*text, _closing(found, versions)]))
    with stem.with_suffix(".csv").open("w", newline="") as file:
        lines = [line for part in parts.values() for line in part]
        writer = csv.DictWriter(file, fieldnames=list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
