"""The pictures of docs/how-to: curves of both estimands, a power curve, a page of checks."""

from __future__ import annotations

from pathlib import Path

import matplotlib

import glimm

matplotlib.use("svg")
import matplotlib.pyplot as plt

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "how-to"
plt.rcParams |= {"svg.hashsalt": "glimm", "font.size": 10}


def save(figure: object, name: str) -> None:
    figure.savefig(PICTURES / f"{name}.svg", metadata={"Date": None})  # type: ignore[attr-defined]


def curves() -> None:
    data = glimm.datasets.load("toenail")
    fit = glimm.fit("infection ~ treatment * month + (1 | patient)", data, family="binomial")
    save(glimm.plots.curves(fit, "month", by="treatment")[0].figure, "effects-curves")


def power() -> None:
    design = {
        "subject": [i // 4 for i in range(96)],
        "visit": [i % 4 for i in range(96)],
        "drug": [i // 4 % 2 for i in range(96)],
    }
    curve = glimm.power_curve(
        "count ~ visit * drug + (1 + visit | subject)",
        design,
        {"(Intercept)": 1.0, "visit": 0.0, "drug": 0.0, "visit:drug": -0.25},
        family="poisson",
        random={"subject": {"(Intercept)": 0.6, "visit": 0.15}},
        sizes={"subject": [24, 48, 96]},
        target="visit:drug",
        integration="laplace",
        n=50,
        seed=1,
    )
    save(curve.plot().figure, "power-curve")


def checks() -> None:
    data = glimm.datasets.load("epilepsy")
    formula = "seizures ~ log(baseline) + treatment * period + (1 | patient)"
    page = glimm.fit(formula, data, family="poisson").check(seed=1, try_next=False)
    save(page.plot(), "checks-page")


if __name__ == "__main__":
    checks()
    curves()
    power()
