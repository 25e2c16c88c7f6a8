"""What is known about each shipped study: where it comes from and what its columns mean."""

from __future__ import annotations

from dataclasses import dataclass

_FACTS = "Published facts; no rights are claimed on the numbers. Please cite the source."


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a shipped study.

    Attributes
    ----------
    name : str
        The column's name in the frame.
    meaning : str
        What it holds, with its unit or its values.
    """

    name: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Description:
    """What a shipped study is and how it may be analysed.

    Attributes
    ----------
    name : str
        The name that `glimm.datasets.load` takes.
    title, field : str
        One line on the study; the field of science it belongs to.
    source : str
        The publication, with its DOI.
    licence : str
        The standing of the numbers.
    rows : int
        Number of rows.
    columns : tuple of Column
        The columns in their order in the frame.
    formula, family : str
        A sensible first model, to be given to `glimm.fit`.
    notes : tuple of str
        What a careful reader should know about the numbers.
    """

    name: str
    title: str
    field: str
    source: str
    licence: str
    rows: int
    columns: tuple[Column, ...]
    formula: str
    family: str
    notes: tuple[str, ...] = ()


CATALOG = (
    Description(
        name="bcg",
        title="BCG vaccine against tuberculosis: 13 trials, two arms each",
        field="epidemiology, meta-analysis",
        source=(
            "Colditz GA, Brewer TF, Berkey CS, et al. (1994). Efficacy of BCG vaccine in the "
            "prevention of tuberculosis: meta-analysis of the published literature. JAMA 271, "
            "698-702. doi:10.1001/jama.1994.03510330076038"
        ),
        licence=_FACTS,
        rows=26,
        columns=(
            Column("trial", "first authors and year of the report; 13 trials"),
            Column("year", "year of the report"),
            Column("latitude", "absolute latitude of the place, degrees"),
            Column("allocation", "how people were allocated: alternate, random, systematic"),
            Column("arm", "control or vaccine"),
            Column("cases", "people who developed tuberculosis"),
            Column("people", "people in the arm"),
        ),
        formula="cases / people ~ arm + (1 + arm | trial)",
        family="binomial",
    ),
    Description(
        name="cbpp",
        title="Bovine pleuropneumonia: new cases in 15 herds, by quarter",
        field="veterinary epidemiology",
        source=(
            "Lesnoff M, Laval G, Bonnet P, et al. (2004). Within-herd spread of contagious bovine "
            "pleuropneumonia in Ethiopian highlands. Preventive Veterinary Medicine 64, 27-40. "
            "doi:10.1016/j.prevetmed.2004.03.005"
        ),
        licence=_FACTS,
        rows=56,
        columns=(
            Column("herd", "herd number, 1 to 15"),
            Column("period", "quarter of follow-up, 1 to 4; not every herd has all four"),
            Column("incidence", "new serological cases in the period"),
            Column("size", "animals at risk at the beginning of the period"),
        ),
        formula="incidence / size ~ C(period) + (1 | herd)",
        family="binomial",
    ),
    Description(
        name="epilepsy",
        title="Progabide or placebo: seizures of 59 patients in four periods",
        field="clinical trials, neurology",
        source=(
            "Thall PF, Vail SC (1990). Some covariance models for longitudinal count data with "
            "overdispersion. Biometrics 46, 657-671. doi:10.2307/2532086"
        ),
        licence=_FACTS,
        rows=236,
        columns=(
            Column("patient", "patient number, 1 to 59"),
            Column("treatment", "placebo (28 patients) or progabide (31)"),
            Column("age", "age at entry, years"),
            Column("baseline", "seizures in the eight weeks before randomisation"),
            Column("period", "two-week period after randomisation, 1 to 4"),
            Column("seizures", "seizures in the period"),
        ),
        formula="seizures ~ log(baseline) + treatment * period + (1 | patient)",
        family="nbinom2",
        notes=(
            "Two transcriptions of the published table are in use. This one has 21 seizures for "
            "patient 8 in period 3, 4 for patient 12 in period 4, 3 for patient 46 in period 4 "
            "and a baseline of 41 for patient 51; the other has 23, 5, 4 and 42, and ages 20, 57 "
            "and 43 for patients 32, 37 and 43.",
            "Patient 49 (baseline 151) is an outlier that many analyses set aside.",
        ),
    ),
    Description(
        name="sleepstudy",
        title="Sleep restriction: reaction times of 18 people on ten days",
        field="psychology, sleep research",
        source=(
            "Belenky G, Wesensten NJ, Thorne DR, et al. (2003). Patterns of performance "
            "degradation and restoration during sleep restriction and subsequent recovery: a "
            "sleep dose-response study. Journal of Sleep Research 12, 1-12. "
            "doi:10.1046/j.1365-2869.2003.00337.x"
        ),
        licence=_FACTS,
        rows=180,
        columns=(
            Column("subject", "number of the person; 18 people"),
            Column("days", "day of the study, 0 to 9; three hours in bed per night from day 2"),
            Column("reaction", "mean reaction time of the day's tests, milliseconds"),
        ),
        formula="reaction ~ days + (1 + days | subject)",
        family="gaussian",
        notes=("Days 0 and 1 were adaptation and training; day 2 was the baseline.",),
    ),
    Description(
        name="toenail",
        title="Toenail infection under two treatments: 294 patients, 7 visits",
        field="clinical trials, dermatology",
        source=(
            "De Backer M, De Vroey C, Lesaffre E, Scheys I, De Keyser P (1998). Twelve weeks of "
            "continuous oral therapy for toenail onychomycosis caused by dermatophytes: a "
            "double-blind comparative trial of terbinafine 250 mg/day versus itraconazole 200 "
            "mg/day. Journal of the American Academy of Dermatology 38, S57-S63. "
            "doi:10.1016/S0190-9622(98)70486-4"
        ),
        licence=_FACTS,
        rows=1908,
        columns=(
            Column("patient", "patient number; 294 patients"),
            Column("treatment", "itraconazole (146 patients) or terbinafine (148)"),
            Column("visit", "visit, 1 to 7; some visits were missed"),
            Column("month", "time since the start of treatment, months"),
            Column("infection", "1: the nail is moderately or severely separated; 0: not"),
        ),
        formula="infection ~ treatment * month + (1 | patient)",
        family="binomial",
        notes=(
            "People differ so much here that the Laplace approximation is visibly off: the "
            "standard deviation between patients is 4.57 by Laplace and 4.01 by fine quadrature.",
        ),
    ),
)
