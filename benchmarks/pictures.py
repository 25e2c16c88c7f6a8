"""The pictures of docs/how-to and docs/tutorials: curves, power, checks, shares of variance."""

from __future__ import annotations

from pathlib import Path

import matplotlib

import glimm

matplotlib.use("svg")
import matplotlib.pyplot as plt

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "how-to"
TUTORIALS = PICTURES.parent / "tutorials"
plt.rcParams |= {"svg.hashsalt": "glimm", "font.size": 10}


def save(figure: object, name: str, place: Path = PICTURES) -> None:
    figure.savefig(place / f"{name}.svg", metadata={"Date": None})  # type: ignore[attr-defined]


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


def shares() -> None:
    study = glimm.datasets.make_fecundity(600, seed=8)
    relations = {"ped": glimm.Pedigree(study.records)}
    traits = "season + (1 | animal, pedigree=ped) + (1 | animal) + (1 | dam)"
    weight = glimm.fit(f"weight ~ sex + {traits}", study.frame, relations=relations)
    eggs = glimm.fit(
        f"eggs ~ {traits}", study.frame, "poisson", relations=relations, integration="laplace"
    )
    found = {"weight": weight.heritability(), "eggs": eggs.heritability()}
    save(glimm.plots.shares(found).figure, "fecundity-shares", TUTORIALS)


if __name__ == "__main__":
    checks()
    curves()
    power()
    shares()
