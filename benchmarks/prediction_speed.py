"""What predictions with intervals cost, and how that grows: results/prediction-speed.md.

    python benchmarks/prediction_speed.py

Processor time, the least of some calls; the table holds ratios of one run.
"""

from __future__ import annotations

import functools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from inference_speed import cost

import glimm

OUTPUT = Path(__file__).resolve().parent / "results" / "prediction-speed.md"
FAMILIES = ("gaussian", "binomial", "binomial, 1 to 20 trials", "poisson", "nbinom2", "gamma")
COUNTS = (10_000, 100_000, 1_000_000)
GROUPS = 10_000
FITTED = 100_000
CALLS = 2


def response(draw: np.random.Generator, family: str, eta: Any, trials: Any) -> Any:
    """Responses with log or logit link, of two predictors of dispersion."""
    if family == "gaussian":
        return eta + draw.normal(size=eta.size)
    if family.startswith("binomial"):
        return draw.binomial(trials, 1 / (1 + np.exp(-eta))).astype(float)
    rate = np.exp(1 + eta)
    if family == "gamma":
        return draw.gamma(2.5, rate / 2.5)
    if family == "nbinom2":
        rate = draw.gamma(2.5, rate / 2.5)
    return draw.poisson(rate).astype(float)


def problem(family: str) -> tuple[Any, dict[str, Any]]:
    """A fit of some rows, and all of them to be predicted."""
    draw = np.random.default_rng(1)
    rows = COUNTS[-1]
    g = draw.integers(0, GROUPS, rows)
    g[:GROUPS] = np.arange(GROUPS)
    x, z = draw.normal(size=rows), draw.normal(size=rows)
    eta = 0.3 * x - 0.2 * z + 0.7 * draw.normal(size=GROUPS)[g]
    trials = draw.integers(1, 21, rows) if "trials" in family else np.ones(rows, dtype=int)
    y = response(draw, family, eta, trials)
    data = {"y": y, "x": x, "z": z, "g": g, "n": trials}
    some = {name: values[:FITTED] for name, values in data.items()}
    given = {"trials": "n"} if "trials" in family else {}
    link = {"link": "log"} if family == "gamma" else {}
    name = family.split(",")[0]
    return glimm.fit("y ~ x + z + (1 | g)", some, name, threads=1, **given, **link), data


def costs(family: str) -> dict[str, list[float]]:
    """Seconds of each kind of interval by number of rows."""
    fit, data = problem(family)
    found: dict[str, list[float]] = {}
    for interval in ("confidence", "prediction"):
        found[interval] = []
        for count in COUNTS:
            part = {name: values[:count] for name, values in data.items()}
            work = functools.partial(fit.predict, part, interval=interval)
            found[interval].append(min(cost(work) for _ in range(CALLS)))
        print(family, interval, [f"{s:.3f} s" for s in found[interval]], flush=True)
    return found


def line(family: str, found: dict[str, list[float]]) -> str:
    """One row of the table."""
    sure, new = found["confidence"], found["prediction"]
    cells = [family, *(f"{b / a:.1f}" for a, b in zip(sure, new, strict=True))]
    cells += [f"{times[-1] / times[-2]:.1f}" for times in (sure, new)]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    text = [
        "# What intervals of predictions cost",
        "",
        "Made by `make bench-prediction`: processor time, the least of two calls. The model has "
        f"two covariates and {GROUPS:,} random intercepts; the standard error of the linear "
        "predictor differs from row to row.",
        "",
        "| family | prediction / confidence, 10^4 rows | 10^5 rows | 10^6 rows "
        "| confidence, 10^6 / 10^5 rows | prediction, 10^6 / 10^5 rows |",
        "| --- | --: | --: | --: | --: | --: |",
        *(line(family, costs(family)) for family in FAMILIES),
    ]
    OUTPUT.write_text("\n".join(text) + "\n")
