//! What the climbs are told of each kind of parameter: how far a step may go, where there is no return, which move
//! along circles; and the user's penalty in standard units.

use std::ops::Range;

use super::options::{Options, Tie};
use super::standard::Standard;
use super::{MAX_ITERATIONS, Problem};
use crate::design::{Data, Term};
use crate::objective::penalty::{Coefficient, Penalty, Prior, Tied};
use crate::optim::{Curvature, Settings};

/// Coefficient of extra zeros (standard units, log odds) from which a climb has no end.
const RUNAWAY_ZERO: f64 = 30.0;
/// Largest change in one step of a coefficient, a dispersion, a parameter of a factor (standard units; those of the
/// mean in units of a notable effect).
const REACH: [f64; 3] = [10.0, 2.0, 1.5];
/// The same of an angle, or of the log of a range.
pub(super) const TURN: f64 = 0.5;

/// A penalty in terms of standard parameters.
pub(super) fn prior(options: &Options, data: &Data, standard: &Standard) -> Option<Prior> {
    let tied = tied(&options.ties, data, standard);
    match &options.penalty {
        Some(penalty) => Some(Prior { tied, ..penalising(penalty, data, standard) }),
        None => (!tied.is_empty()).then(|| Prior { tied, ..Prior::default() }),
    }
}

/// Ties in terms of standard parameters, whose units are the user's but for a factor.
fn tied(ties: &[Tie], data: &Data, standard: &Standard) -> Vec<Tied> {
    let layout = data.layout();
    let place = |(term, j): (usize, usize)| layout.theta[term].start + j;
    let one = |tie: &Tie| {
        let (parameter, to) = (place(tie.parameter), tie.to.map(place));
        let unit = standard.unit(parameter);
        Tied { parameter, to, ratio: to.map_or(1.0, |j| standard.unit(j)) / unit, value: tie.value / unit }
    };
    ties.iter().map(one).collect()
}

fn penalising(penalty: &Penalty, data: &Data, standard: &Standard) -> Prior {
    let layout = data.layout();
    let columns = layout.beta.iter().zip(&standard.kept).zip(&penalty.scales).flat_map(|((range, kept), scales)| {
        range.clone().zip(kept.iter().map(|&j| scales.get(j).copied().unwrap_or(f64::INFINITY)))
    });
    let coefficient = |(j, scale): (usize, f64)| {
        let (map, shift) = standard.row(j);
        Coefficient { map, shift, scale }
    };
    let coefficients = columns.filter(|(_, scale)| scale.is_finite()).map(coefficient).collect();
    let of_term = |(term, range): (&Term, &Range<usize>)| {
        let first = range.start;
        term.structure.diagonal().into_iter().map(move |j| first + j).collect::<Vec<usize>>()
    };
    let diagonals = data.terms.iter().zip(&layout.theta).flat_map(of_term).collect();
    Prior { coefficients, df: penalty.df, diagonals, power: penalty.power, ..Prior::default() }
}

impl Problem {
    pub(super) fn reach(&self) -> Vec<f64> {
        let mut reach = vec![REACH[0] * self.unit(); self.layout.total];
        self.layout.beta[1..].iter().flat_map(|r| r.clone()).for_each(|j| reach[j] = REACH[1]);
        for (term, range) in self.data.terms.iter().zip(&self.layout.theta) {
            let unit = if term.predictors.contains(&0) { self.unit() } else { 1.0 };
            reach[range.clone()].fill(REACH[2] * unit);
            // Long ways around a circle lead to its ends, where angles are stationary by symmetry.
            let shapes = || (0..range.len()).filter(|j| !term.structure.diagonal().contains(j));
            shapes().filter(|_| term.structure.curved()).for_each(|j| reach[range.start + j] = TURN);
        }
        reach
    }

    /// A probability of an extra zero of 0 or 1 in all but a few rows is one that runs to infinity.
    pub(super) fn limits(&self) -> Vec<f64> {
        let mut limits = vec![f64::INFINITY; self.layout.total];
        if let Some(zeros) = self.layout.beta.last().filter(|_| self.data.family.zero_inflated()) {
            limits[zeros.clone()].fill(RUNAWAY_ZERO);
        }
        limits
    }

    /// Rows of the factors.
    pub(super) fn rows(&self) -> Vec<Range<usize>> {
        let shifted = |(term, range): (&Term, &Range<usize>)| {
            let first = range.start;
            term.structure.rows().into_iter().map(move |r| first + r.start..first + r.end).collect::<Vec<_>>()
        };
        self.data.terms.iter().zip(&self.layout.theta).flat_map(shifted).collect()
    }

    pub(super) fn settings(&self, curvature: Curvature, tolerance: f64, inner_tolerance: f64) -> Settings {
        Settings {
            curvature,
            tolerance,
            inner_tolerance,
            max_iterations: MAX_ITERATIONS,
            reach: self.reach(),
            limits: self.limits(),
            rows: self.rows(),
        }
    }
}
