//! Where each family is tested: one row for a family, or for one of its links (that row first).

use glimm_core::family::Family;

/// The kind of response.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Support {
    /// Whole numbers from this one on.
    Counts {
        least: u16,
    },
    /// Successes out of a number of trials.
    Trials,
    Real,
    Positive,
    /// Positive, or zero with a probability of its own.
    NonNegative,
    /// Between 0 and 1, with probabilities of their own at the ends where true.
    Proportion {
        zero: bool,
        one: bool,
    },
}

impl Support {
    pub fn is_discrete(self) -> bool {
        matches!(self, Support::Counts { .. } | Support::Trials)
    }

    pub fn least_count(self) -> u16 {
        if let Support::Counts { least } = self { least } else { 0 }
    }

    /// Means of data that do not vary.
    pub fn levels(self) -> [f64; 2] {
        match self {
            Support::Trials => [0.0, 1.0],
            Support::Proportion { .. } => [0.2, 0.9],
            _ => [1.0, 1e6],
        }
    }
}

pub struct Points {
    pub family: &'static str,
    /// Empty for all links.
    pub link: &'static str,
    pub support: Support,
    /// (response, trials) at which derivatives are taken.
    pub responses: &'static [(f64, f64)],
    /// Predictors at which derivatives are taken: all combinations.
    pub grid: &'static [&'static [f64]],
    /// Predictors of distributions that sums and draws can tell: all combinations.
    pub moderate: &'static [&'static [f64]],
    /// (response, trials) for far predictors.
    pub far: &'static [(f64, f64)],
    /// (response, trials) that are refused, with words of the message.
    pub refused: &'static [(f64, f64, &'static str)],
    /// Predictors whose parameters starting values recover from draws, within 0.15: as many of them as stated.
    pub truth: (&'static [f64], usize),
}

const MEANS: &[f64] = &[-6.0, -2.3, -0.4, 0.3, 0.9, 2.0, 3.7, 7.0];
/// Means of which a response of 1 still tells something that differences can see.
const NOT_RARE: &[f64] = &[-2.3, -0.4, 0.3, 0.9, 2.0, 3.7, 7.0];
const DISPERSIONS: &[f64] = &[-2.0, -0.3, 0.8, 2.2, 6.0];
const MODERATE: &[f64] = &[-1.0, 0.4, 2.1];
const MODERATE_DISPERSIONS: &[f64] = &[-0.9, 0.2, 1.3];
pub const COUNTS: &[(f64, f64)] = &[(0.0, 1.0), (1.0, 1.0), (7.0, 1.0), (60.0, 1.0), (1000.0, 1.0)];
pub const FAR_COUNTS: &[(f64, f64)] = &[(0.0, 1.0), (1.0, 1.0), (17.0, 1.0), (1e7, 1.0)];
pub const NOT_COUNTS: &[(f64, f64, &str)] = &[
    (-1.0, 1.0, "whole number"),
    (0.5, 1.0, "whole number"),
    (2.25, 1.0, "whole number"),
    (f64::NAN, 1.0, "whole number"),
    (f64::INFINITY, 1.0, "whole number"),
];
const POSITIVE_COUNTS: &[(f64, f64)] = &[(1.0, 1.0), (2.0, 1.0), (7.0, 1.0), (60.0, 1.0), (1000.0, 1.0)];
const FAR_POSITIVE_COUNTS: &[(f64, f64)] = &[(1.0, 1.0), (2.0, 1.0), (17.0, 1.0), (1e7, 1.0)];
const NOT_POSITIVE_COUNTS: &[(f64, f64, &str)] = &[
    (0.0, 1.0, "1 or more"),
    (-1.0, 1.0, "1 or more"),
    (1.5, 1.0, "whole number"),
    (f64::NAN, 1.0, "whole number"),
    (f64::INFINITY, 1.0, "whole number"),
];
const TRIALS: &[(f64, f64)] = &[(0.0, 1.0), (1.0, 1.0), (3.0, 10.0), (0.0, 5.0), (40.0, 41.0)];
const FAR_TRIALS: &[(f64, f64)] = &[(0.0, 1.0), (1.0, 1.0), (3.0, 10.0), (10.0, 10.0), (5e6, 1e7)];
const NOT_TRIALS: &[(f64, f64, &str)] = &[
    (3.0, 2.0, "exceed"),
    (-1.0, 2.0, "0 or more"),
    (0.5, 2.0, "whole number"),
    (f64::NAN, 2.0, "whole number"),
    (0.0, 0.0, "trials"),
    (1.0, 2.5, "trials"),
    (1.0, f64::NAN, "trials"),
];
pub const POSITIVE: &[(f64, f64)] = &[(0.2, 1.0), (1.0, 1.0), (8.0, 1.0)];
pub const FAR_POSITIVE: &[(f64, f64)] = &[(1e-8, 1.0), (1.0, 1.0), (1e8, 1.0)];
pub const NOT_POSITIVE: &[(f64, f64, &str)] =
    &[(0.0, 1.0, "above 0"), (-2.0, 1.0, "above 0"), (f64::INFINITY, 1.0, "finite"), (f64::NAN, 1.0, "finite")];
pub const REAL: &[(f64, f64)] = &[(-1.3, 1.0), (0.0, 1.0), (2.5, 1.0)];
pub const FAR_REAL: &[(f64, f64)] = &[(-1e8, 1.0), (0.0, 1.0), (3.0, 1.0)];
pub const NOT_REAL: &[(f64, f64, &str)] = &[(f64::NAN, 1.0, "finite"), (f64::NEG_INFINITY, 1.0, "finite")];

/// A family of counts with the log link.
const fn counts(
    family: &'static str,
    grid: &'static [&'static [f64]],
    moderate: &'static [&'static [f64]],
    truth: (&'static [f64], usize),
) -> Points {
    let support = Support::Counts { least: 0 };
    let (responses, far, refused) = (COUNTS, FAR_COUNTS, NOT_COUNTS);
    Points { family, link: "", support, responses, grid, moderate, far, refused, truth }
}

/// A family of counts with the log link, without zeros.
const fn truncated(
    family: &'static str,
    grid: &'static [&'static [f64]],
    moderate: &'static [&'static [f64]],
) -> Points {
    let support = Support::Counts { least: 1 };
    let truth: (&[f64], usize) = if grid.len() == 1 { (&[0.8], 0) } else { (&[0.8, 0.3], 0) };
    let (responses, far, refused) = (POSITIVE_COUNTS, FAR_POSITIVE_COUNTS, NOT_POSITIVE_COUNTS);
    Points { family, link: "", support, responses, grid, moderate, far, refused, truth }
}

const POINTS: &[Points] = &[
    Points {
        family: "betabinomial",
        link: "",
        support: Support::Trials,
        responses: TRIALS,
        grid: &[&[-2.3, -1.1, -0.4, 0.3, 0.9, 1.6], &[-4.0, -0.9, 0.8, 3.0, 9.0, 20.0]],
        moderate: &[&[-1.5, -0.2, 0.9], MODERATE_DISPERSIONS],
        far: FAR_TRIALS,
        refused: NOT_TRIALS,
        truth: (&[0.8, 0.3], 0),
    },
    Points {
        family: "binomial",
        link: "",
        support: Support::Trials,
        responses: TRIALS,
        grid: &[MEANS],
        moderate: &[&[-1.5, -0.2, 0.9]],
        far: FAR_TRIALS,
        refused: NOT_TRIALS,
        truth: (&[0.8], 0),
    },
    // smaller phi, where derivatives change from each whole number to the next, is in values_counts.rs
    counts(
        "compois",
        &[&[-2.3, -0.4, 0.3, 0.9, 2.0, 3.7, 7.0], &[-1.2, -0.3, 0.8, 2.2, 6.0]],
        &[MODERATE, &[-1.5, -0.4, 0.0, 0.9, 3.0]],
        (&[2.8, 0.3], 1),
    ),
    Points {
        family: "gamma",
        link: "inverse",
        support: Support::Positive,
        responses: POSITIVE,
        grid: &[&[0.3, 0.9, 2.0, 3.7, 7.0], DISPERSIONS],
        moderate: &[&[0.3, 2.0], MODERATE_DISPERSIONS],
        far: FAR_POSITIVE,
        refused: NOT_POSITIVE,
        truth: (&[0.8, 0.3], 1),
    },
    Points {
        family: "gamma",
        link: "",
        support: Support::Positive,
        responses: POSITIVE,
        grid: &[MEANS, DISPERSIONS],
        moderate: &[MODERATE, MODERATE_DISPERSIONS],
        far: FAR_POSITIVE,
        refused: NOT_POSITIVE,
        truth: (&[0.8, 0.3], 1),
    },
    Points {
        family: "gaussian",
        link: "",
        support: Support::Real,
        responses: REAL,
        grid: &[MEANS, DISPERSIONS],
        moderate: &[&[-1.2, 0.7], MODERATE_DISPERSIONS],
        far: FAR_REAL,
        refused: NOT_REAL,
        truth: (&[0.8, 0.3], 1),
    },
    // below phi = 1 only where no response is impossible, and the probabilities that are cut off are below rounding
    counts(
        "genpois",
        &[&[-2.3, -0.4, 0.9, 2.0, 3.7, 7.0], &[0.4, 0.8, 2.2, 6.0]],
        &[&[2.1, 3.0], &[-0.4, 0.0, 0.2, 1.3]],
        (&[0.8, 0.3], 1),
    ),
    counts(
        "nbinom",
        &[MEANS, &[-2.0, 0.8, 2.2, 6.0], &[-3.0, -0.6, 0.7]],
        &[&[-1.0, 0.4, 1.6], MODERATE_DISPERSIONS, &[-0.7, 0.3]],
        (&[0.8, 0.3, 0.0], 1),
    ),
    counts("nbinom1", &[MEANS, DISPERSIONS], &[MODERATE, MODERATE_DISPERSIONS], (&[0.8, 0.3], 1)),
    counts("nbinom2", &[MEANS, DISPERSIONS], &[MODERATE, MODERATE_DISPERSIONS], (&[0.8, 0.3], 1)),
    counts("poisson", &[MEANS], &[MODERATE], (&[0.8], 0)),
    truncated(
        "truncated_compois",
        &[&[-2.3, -0.4, 0.3, 0.9, 2.0, 3.7, 7.0], &[-1.2, -0.3, 0.8, 2.2, 6.0]],
        &[MODERATE, &[-1.5, -0.4, 0.0, 0.9, 3.0]],
    ),
    truncated(
        "truncated_genpois",
        &[&[-2.3, -0.4, 0.9, 2.0, 3.7, 7.0], &[0.4, 0.8, 2.2, 6.0]],
        &[&[2.1, 3.0], &[0.2, 1.3]],
    ),
    truncated("truncated_nbinom1", &[NOT_RARE, DISPERSIONS], &[MODERATE, MODERATE_DISPERSIONS]),
    truncated("truncated_nbinom2", &[NOT_RARE, DISPERSIONS], &[MODERATE, MODERATE_DISPERSIONS]),
    truncated("truncated_poisson", &[NOT_RARE], &[MODERATE]),
];

/// The row of a family with its link.
pub fn points(f: &dyn Family) -> &'static Points {
    let fits = |p: &&Points| p.family == f.name() && (p.link.is_empty() || p.link == f.link().name());
    super::amounts::POINTS
        .iter()
        .chain(POINTS)
        .find(fits)
        .unwrap_or_else(|| panic!("{} needs a row in points.rs", f.name()))
}

/// All combinations of one value from each list.
pub fn combinations(lists: &[&[f64]]) -> Vec<Vec<f64>> {
    let mut all = vec![Vec::new()];
    for list in lists {
        let longer = |head: &Vec<f64>| list.iter().map(|&v| [&head[..], &[v]].concat()).collect::<Vec<_>>();
        all = all.iter().flat_map(longer).collect();
    }
    all
}

#[test]
fn rows_name_families_and_give_every_predictor() {
    for f in super::all() {
        let p = points(&*f);
        let lengths = [p.grid.len(), p.moderate.len(), p.truth.0.len()];
        assert_eq!(lengths, [f.predictors(); 3], "{}", p.family);
        assert!(p.truth.1 < f.predictors(), "{}", p.family);
    }
    let known = |p: &Points| glimm_core::family::families().iter().any(|e| e.name == p.family);
    assert!(POINTS.iter().chain(super::amounts::POINTS).all(known));
}
