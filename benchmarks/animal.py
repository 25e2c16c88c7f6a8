"""Animal models: how fast, and how true.

    python benchmarks/animal.py speed [gaussian animals] [poisson animals]    100,000 and 50,000
    python benchmarks/animal.py calibrate [pedigrees] [animals]               200 and 2,000

`speed` writes results/animal-speed.md: wall-clock seconds from a frame to estimates with standard
errors, and the peak of memory of a process of its own. Gaussian REML with additive,
maternal and permanent environmental variance, two records per animal; Poisson (Laplace) with one
record. Then the models
of tests/reference/animal beside the seconds that pedigreemm needed for them where they were made.

`calibrate` writes results/animal-calibration.md: bias of the heritability of Gaussian, Poisson and
binary traits over simulated pedigrees, and how often intervals hold the truth.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

if "calibrate" in sys.argv:
    # Two processes, one thread each.
    os.environ.setdefault("RAYON_NUM_THREADS", "1")

import numpy as np
import pandas as pd

import glimm
from glimm.datasets.pedigreed import FECUNDITY, inherited, make_fecundity, mated

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
REFERENCE = HERE.parent / "tests" / "reference" / "animal"
ALL = "sex + season + (1 | animal, pedigree=ped) + (1 | animal) + (1 | dam)"


def study(trait: str, animals: int) -> tuple[Any, glimm.Pedigree, str, dict[str, Any]]:
    """Data, pedigree, formula and options of a timed fit."""
    if trait.startswith("reference"):
        family = trait.split()[1]
        data = pd.read_csv(REFERENCE / f"{family}.csv").astype({"gen": str})
        ped = glimm.Pedigree(pd.read_csv(REFERENCE / "pedigree_large.csv"))
        extra = "" if family == "gaussian" else " + (1 | dam)"
        formula = f"y ~ sex + gen + (1 | animal, pedigree=ped){extra}"
    else:
        family = trait
        made = make_fecundity(animals, 10, 2 if family == "gaussian" else 1, seed=1)
        data, ped = made.frame, glimm.Pedigree(made.records)
        formula = (
            f"weight ~ {ALL}"
            if family == "gaussian"
            else "eggs ~ (1 | animal, pedigree=ped) + (1 | dam)"
        )
    options = {"family": family} | ({} if family == "gaussian" else {"integration": "laplace"})
    return data, ped, formula, options


def one(trait: str, animals: int) -> None:
    """Fit in this process; print a line of JSON."""
    import resource

    start = time.perf_counter()
    data, ped, formula, options = study(trait, animals)
    made = time.perf_counter()
    fit = glimm.fit(formula, data, relations={"ped": ped}, progress=False, **options)
    done = time.perf_counter()
    found = {
        "animals": len(ped.animals),
        "rows": fit.design.n,
        "made": made - start,
        "fit": done - made,
        "converged": fit.estimates.converged,
        "path": fit.estimates.path,
        "variances": [float(c[0, 0]) for c in fit.covariances],
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }
    print(json.dumps(found))


def speed(gaussian: int, poisson: int) -> None:
    """Write the table of times."""
    lines = [
        "# Animal models: time and memory",
        "",
        "Written by `make bench-animal`. All threads; memory is the peak of the process.",
        "",
        "| model | animals | records | fit, s | memory, GB | converged | variances (truth) |",
        "| :-- | --: | --: | --: | --: | :-- | :-- |",
    ]
    truths = {
        "gaussian": list(FECUNDITY["weight"].values())[:3],
        "poisson": [
            FECUNDITY["eggs"]["additive"] + FECUNDITY["eggs"]["permanent"],
            FECUNDITY["eggs"]["dam"],
        ],
    }
    for trait, count in (("gaussian", gaussian), ("poisson", poisson)):
        found = run(trait, count)
        pairs = zip(found["variances"], truths[trait], strict=True)
        values = ", ".join(f"{v:.3f} ({t:g})" for v, t in pairs)
        lines.append(
            f"| {trait} | {found['animals']:,} | {found['rows']:,} | {found['fit']:.1f} |"
            f" {found['memory']:.2f} | {found['converged']} | {values} |"
        )
    lines += [
        "",
        "The models of `tests/reference/animal` (1,300 records, 1,500 animals) beside pedigreemm",
        "0.3-5 (lme4 1.1-31), in seconds; those of pedigreemm were taken when the references were",
        "made, on another machine.",
        "",
        "| model | glimm | pedigreemm | ratio |",
        "| :-- | --: | --: | --: |",
    ]
    for family in ("gaussian", "poisson"):
        peer = json.loads((REFERENCE / f"{family}.json").read_text())["pedigreemm_seconds"][0]
        seconds = run(f"reference {family}", 0)["fit"]
        lines.append(f"| {family} | {seconds:.3f} | {peer:.1f} | 1 / {peer / seconds:.0f} |")
    write("animal-speed.md", lines)


def run(trait: str, animals: int) -> dict[str, Any]:
    """A fit in a process of its own."""
    command = [sys.executable, __file__, "one", trait, str(animals)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def write(name: str, lines: list[str]) -> None:
    """Write a table and show it."""
    text = "\n".join(lines) + "\n"
    (RESULTS / name).write_text(text)
    print(text)


H2 = 0.35
BINARY = 0.6
POISSON = 0.2
SMALL = 0.1
"""Variances: h2 of the normal trait; V_A of the binary and Poisson ones; their dams'."""


def drawn(seed: int, animals: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One population with a normal, a Poisson and a binary trait, one record each."""
    rng = np.random.default_rng(seed)
    parents = mated(np.full(5, animals // 5), rng)
    n = len(parents)
    names = np.array([f"a{i}" for i in range(n)] + [None], dtype=object)
    records = pd.DataFrame(
        {"animal": names[:-1], "sire": names[parents[:, 0]], "dam": names[parents[:, 1]]}
    )
    x = rng.normal(size=n)
    value = {k: inherited(parents, v, rng) for k, v in (("y", H2), ("n", POISSON), ("b", BINARY))}
    data = pd.DataFrame({"animal": names[:-1], "x": x})
    data["y"] = 0.3 * x + value["y"] + rng.normal(0, math.sqrt(1 - H2), n)
    data["n"] = rng.poisson(np.exp(1.0 + 0.2 * x + value["n"] + rng.normal(0, math.sqrt(SMALL), n)))
    data["b"] = (0.3 * x + value["b"] + rng.normal(size=n) > 0).astype(int)
    data["row"] = np.arange(n)
    return data, records


def observed_truth() -> float:
    """Heritability of the counts, Psi^2 V_A / V_P over the distribution of x."""
    v = POISSON + SMALL
    mean = math.exp(1.0 + 0.2**2 / 2 + v / 2)
    expected = math.exp(2.0 + 2 * 0.2**2 + v) * math.expm1(v)
    return mean**2 * POISSON / (expected + mean)


TRAITS = (
    ("gaussian, REML", "y ~ x + (1 | animal, pedigree=ped)", {}, "observed", H2),
    (
        "poisson, observed scale",
        "n ~ x + (1 | animal, pedigree=ped) + (1 | row)",
        {"family": "poisson"},
        "observed",
        observed_truth(),
    ),
    (
        "binary, liability scale",
        "b ~ x + (1 | animal, pedigree=ped)",
        {"family": "binomial", "link": "probit"},
        "liability",
        BINARY / (BINARY + 1),
    ),
)
"""Title, formula, options, scale, truth. Profiles are of the latent scale: none for counts."""


def recovered(job: tuple[int, int]) -> dict[str, tuple[float, ...]]:
    """Errors, their standard errors and whether intervals hold the truth, of fits that succeed."""
    seed, animals = job
    data, records = drawn(seed, animals)
    relations = {"ped": glimm.Pedigree(records)}
    found = {}
    for title, formula, options, scale, truth in TRAITS:
        try:
            fit = glimm.fit(
                formula, data, relations=relations, progress=False, threads=1, **options
            )
            one = fit.heritability().line("h2", scale)
            inside, wide = float(one.lower <= truth <= one.upper), math.nan
            if options.get("family") != "poisson":
                both = fit.heritability(method="profile").line("h2", scale)
                wide = float(both.lower <= truth <= both.upper)
            found[title] = (one.estimate - truth, one.se, inside, wide)
        except glimm.FitError:
            continue
    return found


def calibrate(pedigrees: int, animals: int) -> None:
    """Write the table of bias and coverage."""
    found: dict[str, list[tuple[float, ...]]] = {trait[0]: [] for trait in TRAITS}
    with ProcessPoolExecutor(2) as pool:
        jobs = [(seed, animals) for seed in range(pedigrees)]
        for done, traits in enumerate(pool.map(recovered, jobs)):
            for title, values in traits.items():
                found[title].append(values)
            print(done + 1, {k: len(v) for k, v in found.items()}, flush=True)
            if (done + 1) % 25 == 0 or done + 1 == pedigrees:
                tabulate(found, done + 1, animals)


def tabulate(found: dict[str, list[tuple[float, ...]]], pedigrees: int, animals: int) -> None:
    """Write the table of what was found so far."""
    failed = {title: pedigrees - len(values) for title, values in found.items()}
    lines = [
        "# Heritability: bias and coverage",
        "",
        f"Written by `make calibrate-animal`: {pedigrees} pedigrees of {animals:,} animals in five",
        "generations, one record each. Bias with its Monte Carlo error; intervals of 95 %.",
        "",
        "| trait | truth | bias | its se | sd of estimates | mean se | delta | profile | failed |",
        "| :-- | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for title, *_, truth in TRAITS:
        values = np.array(found[title])
        error = values[:, 0]
        spread = error.std(ddof=1)
        profile = "-" if np.isnan(values[:, 3]).all() else f"{100 * values[:, 3].mean():.1f} %"
        cells = [
            title,
            f"{truth:.3f}",
            f"{error.mean():+.4f}",
            f"{spread / math.sqrt(len(error)):.4f}",
            f"{spread:.4f}",
            f"{np.nanmean(values[:, 1]):.4f}",
            f"{100 * values[:, 2].mean():.1f} %",
            profile,
            str(failed[title]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    write("animal-calibration.md", lines)


def main() -> None:
    """See the top of the file."""
    what, *rest = [*sys.argv[1:], "speed"][: max(len(sys.argv) - 1, 1)]
    if what == "one":
        one(rest[0], int(rest[1]))
        return
    numbers = [int(x) for x in rest]
    defaults = [100_000, 50_000] if what == "speed" else [200, 2000]
    chosen = numbers + defaults[len(numbers) :]
    (speed if what == "speed" else calibrate)(*chosen)


if __name__ == "__main__":
    main()
