"""Time problems x engines, each run in a fresh process, and write tables of ratios.

    python benchmarks/run.py --setup            make the peers' virtual environments
    python benchmarks/run.py                    everything that is installed
    python benchmarks/run.py --smoke            glimm alone on 300 rows: does it run, is it right?
    python benchmarks/run.py --max-rows 1e5 --engines glimm glmm lme4 --reuse-peers

Peers that are not installed are listed as missing. Raw measurements go to the cache; the tables,
which hold ratios to glimm in the same run and no absolute times, go to benchmarks/results.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import report
from engines import ENGINES, Engine
from measure import MARKER
from problems import PROBLEMS, Problem, write

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "glimm-bench"
THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS", "POLARS_MAX_THREADS",
)  # fmt: skip
SMOKE_ERRORS = 6.0  # simulated truth lies within this many rough standard errors of a right fit

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Options:
    problems: list[Problem]
    engines: list[Engine]
    envs: Path
    cache: Path
    output: Path
    threads: int
    repeats: int
    repeat_limit: float
    second_limit: float
    time_limit: float
    reuse_peers: bool


def python_of(engine: Engine, envs: Path) -> Path:
    if not engine.env:
        return Path(sys.executable)
    folder = "Scripts/python.exe" if os.name == "nt" else "bin/python"
    return envs / engine.env / folder


def output_of(command: list[str]) -> str:
    """What a short command prints; nothing when it cannot run or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def parse(text: str) -> Record:
    lines = (line for line in text.splitlines() if line.startswith(MARKER))
    return {name: v for line in lines for name, v in json.loads(line[len(MARKER) :]).items()}


def installed(engines: list[Engine], envs: Path) -> dict[str, str]:
    """Engine name -> version of its package, for the engines that can run here."""
    in_r = parse(output_of(["Rscript", str(HERE / "engine_r.R"), "--versions"]))
    found = {}
    for engine in engines:
        if engine.language == "R":
            version = in_r.get(engine.package, "")
        else:
            code = f"import importlib.metadata as m; print(m.version({engine.package!r}))"
            version = output_of([str(python_of(engine, envs)), "-c", code]).strip()
        if version:
            found[engine.name] = version
    return found


def command(engine: Engine, problem: Problem, folder: Path, options: Options) -> list[str]:
    threads, second = str(options.threads), str(options.second_limit)
    if engine.language == "R":
        groups = ",".join(bar.group for bar in problem.bars)
        model = [problem.formula, problem.family, groups]
        script = ["Rscript", str(HERE / "engine_r.R")]
        method = "reml" if problem.reml else "ml"
        return [*script, engine.name, str(folder), *model, threads, second, method, problem.zi]
    script = [str(python_of(engine, options.envs)), str(HERE / "measure.py")]
    return [*script, engine.name, str(folder), "--threads", threads, "--second-limit", second]


def run_once(engine: Engine, problem: Problem, folder: Path, options: Options) -> Record:
    """One fresh process with its thread count enforced; stopped at the time limit."""
    env = os.environ | dict.fromkeys(THREAD_VARIABLES, str(options.threads))
    # Peers were compiled to bytecode when they were installed.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = subprocess.Popen(
            command(engine, problem, folder, options),
            stdout=out, stderr=err, env=env, start_new_session=True,
        )  # fmt: skip
        try:
            code = child.wait(options.time_limit)
        except BaseException as stop:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            if not isinstance(stop, subprocess.TimeoutExpired):
                raise
            code = None
        out.seek(0), err.seek(0)
        found, complaint = parse(out.read()), err.read().strip()[-300:]
    return outcome(found, code, complaint, options.time_limit) | found


def outcome(found: Record, code: int | None, complaint: str, limit: float) -> Record:
    if "loglik" in found:
        return {"status": "ok"}
    if code is None:
        return {"status": "stopped at the time limit", "stopped": limit}
    return {"status": f"failed: {found.get('error', f'exit {code}: {complaint}')}"}


def cache_file(engine: Engine, problem: Problem, options: Options) -> Path:
    name = f"{engine.name.replace(' ', '_')}.jsonl"
    return options.cache / "runs" / f"threads-{options.threads}" / problem.name / name


def reusable(engine: Engine, problem: Problem, version: str, options: Options) -> list[Record]:
    """Cached records of the same data and version; glimm itself is always measured.

    Runs that were cut off or failed under a shorter time limit are made again.
    """
    path = cache_file(engine, problem, options)
    if not options.reuse_peers or engine.package == "glimm" or not path.exists():
        return []
    records: list[Record] = [json.loads(line) for line in path.read_text().splitlines()]
    wanted = (problem.digest, version)
    same = all((r["digest"], r["version"]) == wanted for r in records)
    settled = all(r["status"] == "ok" or r["limit"] >= options.time_limit for r in records)
    return records if same and settled else []


def store(engine: Engine, problem: Problem, records: list[Record], options: Options) -> None:
    path = cache_file(engine, problem, options)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def worth_repeating(records: list[Record], limit: float) -> bool:
    """Runs that failed, ran over or are long are not repeated."""
    return all(r["status"] == "ok" and r["first_seconds"] <= limit for r in records)


def measure_problem(problem: Problem, versions: dict[str, str], options: Options) -> list[Record]:
    """All engines on one problem, interleaved so that each repeat sees the same machine state."""
    try:
        folder = write(problem, options.cache / "data")
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"{problem.name}: its data could not be made: {error}", flush=True)
        return []
    runnable = [e for e in options.engines if e.name in versions and e.covers(problem)]
    kept = {e.name: reusable(e, problem, versions[e.name], options) for e in runnable}
    fresh: dict[str, list[Record]] = {e.name: [] for e in runnable if not kept[e.name]}
    for repeat, engine in itertools.product(range(options.repeats), runnable):
        records = fresh.get(engine.name)
        if records is None or not worth_repeating(records, options.repeat_limit):
            continue
        key: Record = {"problem": problem.name, "digest": problem.digest, "engine": engine.name}
        key |= {"version": versions[engine.name], "threads": options.threads, "repeat": repeat}
        key |= {"limit": options.time_limit}
        record = key | run_once(engine, problem, folder, options)
        print(report.progress_line(record), flush=True)
        records.append(record)
        store(engine, problem, records, options)
    return [record for e in runnable for record in kept[e.name] or fresh[e.name]]


def setup(engines: list[Engine], envs: Path) -> None:
    """One virtual environment per Python peer; one that fails is reported and left out."""
    for engine in engines:
        if not engine.requirements:
            continue
        folder = envs / engine.env
        pip = [str(python_of(engine, envs)), "-m", "pip", "install", "--quiet", "--upgrade"]
        for step in ([sys.executable, "-m", "venv", str(folder)], [*pip, *engine.requirements]):
            if subprocess.run(step).returncode:
                print(f"{engine.name}: could not be installed into {folder}")
                break
        else:
            print(f"{engine.name}: ready in {folder}")
    print("R peers are found by Rscript: install.packages(c('lme4', 'glmmTMB', 'GLMMadaptive'))")


def faults(problem: Problem, record: Record) -> list[str]:
    """Say what is wrong with a fit of simulated data; empty when nothing is."""
    if record["status"] != "ok":
        return [record["status"]]
    found = [] if record["converged"] else ["not converged"]
    between = sum(bar.sd[0] ** 2 / bar.levels for bar in problem.bars)
    allowed = SMOKE_ERRORS * (between + 16 / problem.rows) ** 0.5
    fixed = zip(("intercept", "x", "w"), problem.beta, record["beta"], strict=True)
    for name, truth, estimate in fixed:
        if abs(estimate - truth) > allowed:
            found.append(f"{name}: {estimate:.3f}, simulated with {truth:g}")
    allowed = SMOKE_ERRORS / min(bar.levels for bar in problem.bars) ** 0.5
    sds = [sd for bar in problem.bars for sd in bar.sd]
    for truth, estimate in zip(sds, record["sd"], strict=True):
        if not 0 <= estimate <= truth + allowed:
            found.append(f"standard deviation: {estimate:.3f}, simulated with {truth:g}")
    return found


def smoke(options: Options) -> int:
    """Fit the smallest size of every model with glimm; 1 when a fit fails or is far off."""
    simulated = (p for p in PROBLEMS.values() if p.study is None)
    models = {(p.family, p.reml, tuple(bar.text for bar in p.bars)): p for p in simulated}
    bad = 0
    for problem in (p.smallest() for p in models.values()):
        folder = write(problem, options.cache / "data")
        record = run_once(ENGINES["glimm"], problem, folder, options)
        found = faults(problem, record)
        bad += bool(found)
        print(f"{problem.title}: {'; '.join(found) or 'ok'}")
    return 1 if bad else 0


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    envs = Path(os.environ.get("GLIMM_BENCH_ENVS", CACHE / "envs"))
    add("--setup", action="store_true", help="make the peers' virtual environments with pip")
    add("--smoke", action="store_true", help="glimm alone, smallest sizes, in seconds")
    add("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS), metavar="NAME")
    add("--engines", nargs="+", choices=ENGINES, default=list(ENGINES), metavar="NAME")
    add("--max-rows", type=float, default=float("inf"), help="leave out larger problems")
    add("--threads", type=int, default=1, help="for every engine (default: 1)")
    add("--repeats", type=int, default=3, help="fresh processes per problem and engine")
    add("--repeat-limit", type=float, default=30, help="no repeats of fits longer than this (s)")
    add("--second-limit", type=float, default=30, help="no second fit after a longer first (s)")
    add("--time-limit", type=float, default=600, help="per process (s)")
    add("--clock", choices=("wall", "cpu"), default="wall", help="cpu suits a busy machine")
    add("--reuse-peers", action="store_true", help="measure glimm, take peers from the cache")
    add("--envs", type=Path, default=envs, help="folder of environments (GLIMM_BENCH_ENVS)")
    add("--cache", type=Path, default=CACHE, help="data and raw measurements")
    add("--output", type=Path, default=HERE / "results", help="folder of the tables")
    add("--list", action="store_true", help="list problems and engines")
    return parser


def options_from(found: argparse.Namespace) -> Options:
    chosen = [PROBLEMS[name] for name in found.problems]
    return Options(
        problems=[problem for problem in chosen if problem.rows <= found.max_rows],
        engines=[ENGINES[name] for name in found.engines],
        envs=found.envs.expanduser(),
        cache=found.cache.expanduser(),
        output=found.output,
        threads=found.threads,
        repeats=found.repeats,
        repeat_limit=found.repeat_limit,
        second_limit=found.second_limit,
        time_limit=found.time_limit,
        reuse_peers=found.reuse_peers,
    )


def main() -> int:
    # A plain `kill` then also ends the engine that is running, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    found = arguments().parse_args()
    options = options_from(found)
    if found.list:
        print(*(f"{p.name}: {p.title}" for p in PROBLEMS.values()), *ENGINES, sep="\n")
        return 0
    if found.setup:
        setup(options.engines, options.envs)
        return 0
    if found.smoke:
        return smoke(options)
    versions = installed(options.engines, options.envs)
    records = [r for p in options.problems for r in measure_problem(p, versions, options)]
    rows = report.rows(options.problems, options.engines, versions, records, found.clock)
    print(report.seconds_table(rows))
    if "glimm" in versions:
        how = {"threads": options.threads, "clock": found.clock, "reused": options.reuse_peers}
        report.save(rows, options.output, versions, **how)
    return 0


if __name__ == "__main__":
    sys.exit(main())
