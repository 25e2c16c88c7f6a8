//! Where families of continuous responses are tested.

use super::points::{Points, Support};

const LINKED: &[f64] = &[-4.0, -1.3, -0.4, 0.3, 0.9, 2.0, 3.3];
const PROPORTIONS: &[(f64, f64)] = &[(1e-3, 1.0), (0.2, 1.0), (0.5, 1.0), (0.97, 1.0)];
const FAR_PROPORTIONS: &[(f64, f64)] = &[(1e-300, 1.0), (1e-9, 1.0), (0.4, 1.0), (1.0 - 1e-15, 1.0)];
const NOT_OPEN: &[(f64, f64, &str)] =
    &[(0.0, 1.0, "above 0"), (1.0, 1.0, "below 1"), (-0.1, 1.0, "above 0"), (f64::NAN, 1.0, "below 1")];

const MEANS: &[f64] = &[-2.3, -0.4, 0.3, 0.9, 2.0, 3.7];
const DISPERSIONS: &[f64] = &[-2.0, -0.3, 0.8, 2.2];
const POSITIVE: &[(f64, f64)] = &[(0.2, 1.0), (1.0, 1.0), (8.0, 1.0)];
const FAR_POSITIVE: &[(f64, f64)] = &[(1e-8, 1.0), (1.0, 1.0), (1e8, 1.0)];
const NOT_POSITIVE: &[(f64, f64, &str)] =
    &[(0.0, 1.0, "above 0"), (-2.0, 1.0, "above 0"), (f64::INFINITY, 1.0, "finite"), (f64::NAN, 1.0, "finite")];
const REAL: &[(f64, f64)] = &[(-1.3, 1.0), (0.0, 1.0), (2.5, 1.0)];
const FAR_REAL: &[(f64, f64)] = &[(-1e8, 1.0), (0.0, 1.0), (3.0, 1.0)];
const NOT_REAL: &[(f64, f64, &str)] = &[(f64::NAN, 1.0, "finite"), (f64::NEG_INFINITY, 1.0, "finite")];

pub const POINTS: &[Points] = &[
    Points {
        family: "beta",
        link: "",
        support: Support::Proportion { zero: false, one: false },
        responses: PROPORTIONS,
        grid: &[LINKED, &[-2.0, -0.3, 0.8, 2.2, 6.0]],
        moderate: &[&[-1.1, -0.2, 0.4], &[1.6, 2.0, 2.4]],
        far: FAR_PROPORTIONS,
        refused: NOT_OPEN,
        truth: (&[0.4, 1.3], 1),
    },
    Points {
        family: "inverse_gaussian",
        link: "log",
        support: Support::Positive,
        responses: POSITIVE,
        grid: &[MEANS, DISPERSIONS],
        moderate: &[&[0.1, 0.6, 1.1], &[-1.2, -0.9, 0.2]],
        far: FAR_POSITIVE,
        refused: NOT_POSITIVE,
        truth: (&[0.8, -1.3], 1),
    },
    Points {
        family: "inverse_gaussian",
        link: "",
        support: Support::Positive,
        responses: POSITIVE,
        grid: &[&[0.9, 1.4, 2.0, 3.7, 7.0], DISPERSIONS],
        moderate: &[&[0.5, 1.4], &[-0.9, 0.2]],
        far: FAR_POSITIVE,
        refused: NOT_POSITIVE,
        truth: (&[0.8, -1.3], 1),
    },
    Points {
        family: "lognormal",
        link: "",
        support: Support::Positive,
        responses: POSITIVE,
        grid: &[MEANS, DISPERSIONS],
        moderate: &[&[-0.7, 0.4], &[0.2, 1.0]],
        far: FAR_POSITIVE,
        refused: NOT_POSITIVE,
        truth: (&[0.8, 0.1], 1),
    },
    Points {
        family: "ordbeta",
        link: "",
        support: Support::Proportion { zero: true, one: true },
        responses: &[(0.0, 1.0), (1e-3, 1.0), (0.5, 1.0), (0.97, 1.0), (1.0, 1.0)],
        grid: &[&[-4.0, -0.4, 0.9, 3.3], &[-2.0, 0.8, 5.0], &[-3.0, -0.2], &[-1.0, 1.5]],
        moderate: &[&[-1.1, 0.4], &[1.6, 2.4], &[-1.3, 0.2], &[-0.4, 1.1]],
        far: &[(0.0, 1.0), (1e-300, 1.0), (0.4, 1.0), (1.0 - 1e-15, 1.0), (1.0, 1.0)],
        refused: &[(-0.1, 1.0, "between 0 and 1"), (1.1, 1.0, "between 0 and 1"), (f64::NAN, 1.0, "between")],
        truth: (&[0.0, 1.3, -1.0, 0.7], 0),
    },
    Points {
        family: "skewnormal",
        link: "",
        support: Support::Real,
        responses: REAL,
        grid: &[&[-2.3, -0.4, 0.3, 2.0], &[-0.3, 0.8, 2.2], &[-3.0, -0.5, 0.0, 0.2, 4.0]],
        moderate: &[&[-1.2, 0.7], &[-0.9, 1.3], &[-2.0, 0.0, 1.0]],
        far: FAR_REAL,
        refused: NOT_REAL,
        truth: (&[0.8, 0.3, 2.0], 1),
    },
    Points {
        family: "student_t",
        link: "log",
        support: Support::Real,
        responses: REAL,
        grid: &[&[-2.3, -0.4, 0.3, 0.9], &[-0.3, 0.8, 2.2], &[0.2, 1.2, 3.0, 9.0]],
        moderate: &[&[-1.2, 0.7], &[-0.9, 1.3], &[1.3, 3.0]],
        far: FAR_REAL,
        refused: NOT_REAL,
        truth: (&[0.8, 0.3, 1.2], 2),
    },
    Points {
        family: "student_t",
        link: "",
        support: Support::Real,
        responses: REAL,
        grid: &[MEANS, &[-0.3, 0.8, 2.2], &[0.2, 1.2, 3.0, 9.0]],
        moderate: &[&[-1.2, 0.7], &[-0.9, 1.3], &[1.3, 3.0]],
        far: FAR_REAL,
        refused: NOT_REAL,
        truth: (&[0.8, 0.3, 1.2], 2),
    },
    Points {
        family: "tweedie",
        link: "",
        support: Support::NonNegative,
        responses: &[(0.0, 1.0), (0.03, 1.0), (1.0, 1.0), (8.0, 1.0), (300.0, 1.0)],
        grid: &[MEANS, &[-3.0, -0.3, 0.8], &[-4.0, -1.1, 0.4, 3.0]],
        moderate: &[&[-0.7, 0.4], &[-0.9, 0.8], &[-0.7, 0.4, 2.0]],
        far: &[(0.0, 1.0), (1e-8, 1.0), (1.0, 1.0), (1e8, 1.0)],
        refused: &[(-1.0, 1.0, "0 or more"), (f64::INFINITY, 1.0, "finite"), (f64::NAN, 1.0, "finite")],
        truth: (&[0.8, 0.3, 0.0], 1),
    },
];
