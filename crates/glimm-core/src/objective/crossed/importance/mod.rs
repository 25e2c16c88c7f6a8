//! The marginal likelihood of crossed and nested effects by importance sampling: no approximation, but chance.
//!
//! Effects that share no row with others form a unit, whose integral stands alone. Its effects u are drawn from a
//! Gaussian near their distribution given the responses ([`proposal`]):
//!
//! ```text
//! u = m + S z,  S S' = C         w = exp(sum_i f_i(u) - u'u / 2 + z'z / 2) |C|^1/2
//! L = log mean(w)                dL = sum(w s) / sum(w)
//! ```
//!
//! where s is the derivative of the log density along moving nodes ([`sampler`]). The draws z are the same at every
//! point, so that all of this is smooth in the parameters. They come in antithetic pairs, which are the independent
//! pieces of what chance leaves uncertain. Second derivatives are differences of the gradient.

mod proposal;
mod root;
mod sampler;
mod tally;
mod units;

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use self::proposal::Proposal;
use self::sampler::{LANES, Sampler, Work};
use self::tally::{Share, Tally};
use self::units::Unit;
use super::super::{Evaluation, Objective, Order, Posterior, Reject, proceed};
use super::Crossed;
use crate::control::Control;
use crate::design::{Data, Layout};
use crate::error::Error;

/// Batches of draws that one thread takes at a time, and units that are in work together.
const TASK: usize = 16;
const CHUNK: usize = 64;
/// Multiplications that take as long as the log density of a row.
const PER_ROW: f64 = 16.0;
/// Step of the differences that second derivatives are, in standard units.
const STEP: f64 = 1e-3;

/// What chance leaves uncertain at a point.
#[derive(Clone)]
pub struct Noise {
    /// Standard error of the value.
    pub value_se: f64,
    /// Covariance of the gradient, row by row.
    pub score: Vec<f64>,
    /// Least effective number of draws of a unit.
    pub effective: f64,
}

pub struct Importance {
    units: Vec<Unit>,
    /// For each parameter that is free its place in the units' own parameters. Variances of zero stay zero, and the
    /// terms that have no other do not exist for the units.
    place: Vec<Option<usize>>,
    kept: Vec<usize>,
    rows: usize,
    predictors: usize,
    draws: usize,
    /// The negative Hessian with which a search begins.
    curvature: Option<Vec<f64>>,
    /// The last evaluation, with its point and draws, and what is uncertain about it.
    seen: Option<(Vec<f64>, usize, Evaluation)>,
    noise: Noise,
    passes: f64,
    control: Arc<Control>,
}

impl Importance {
    /// For parameters that share with `psi` which variances are zero.
    pub fn new(crossed: &Crossed, psi: &[f64]) -> Result<Importance, Error> {
        Importance::of(&crossed.data, &crossed.layout, &crossed.control, psi)
    }

    /// The same of data whose units need not be crossed.
    pub fn of(data: &Data, layout: &Layout, control: &Arc<Control>, psi: &[f64]) -> Result<Importance, Error> {
        let (smaller, kept) = without_zeros(data, layout, psi);
        let mut place = vec![None; layout.total];
        for (own, &j) in kept.iter().enumerate() {
            place[j] = (j < layout.fixed() || psi[j] != 0.0).then_some(own);
        }
        Ok(Importance {
            units: units::split(&smaller, control)?,
            place,
            kept,
            rows: data.n(),
            predictors: data.predictors.len(),
            draws: LANES,
            curvature: None,
            seen: None,
            noise: Noise { value_se: f64::NAN, score: Vec::new(), effective: f64::NAN },
            passes: 0.0,
            control: control.clone(),
        })
    }

    pub fn units(&self) -> usize {
        self.units.len()
    }

    /// What an evaluation costs, and what each draw adds, in evaluations of rows with one predictor; k predictors have
    /// about k^2 derivatives.
    pub fn cost(&self) -> (f64, f64) {
        let (rows, random) =
            ((self.rows * self.predictors.pow(2)) as f64, self.units.first().map_or(0, Unit::random_predictors));
        let fixed: f64 = self.units.iter().map(|u| u.multiplications()[0]).sum();
        let draw: f64 = self.units.iter().map(|u| u.multiplications()[1]).sum();
        (rows * proposal::evaluations(random) + fixed / PER_ROW, rows + draw / PER_ROW)
    }

    pub fn draws(&self) -> usize {
        self.draws
    }

    /// Draws per unit from now on, rounded up to whole batches.
    pub fn set_draws(&mut self, draws: usize) {
        self.draws = draws.next_multiple_of(LANES);
    }

    /// Whether parameter `j` may move.
    pub fn free(&self, j: usize) -> bool {
        self.place[j].is_some()
    }

    /// The negative Hessian with which a search is to begin.
    pub fn set_curvature(&mut self, mut curvature: Vec<f64>) {
        let p = self.place.len();
        let held = |k: &usize| k / p != k % p && !(self.free(k / p) && self.free(k % p));
        (0..p * p).filter(held).for_each(|k| curvature[k] = 0.0);
        self.curvature = Some(curvature);
    }

    /// What is uncertain about the last evaluation.
    pub fn noise(&self) -> &Noise {
        &self.noise
    }

    /// The shares of some units, the first of which is `first`.
    fn sample(&mut self, units: Range<usize>, psi: &[f64], tolerance: f64) -> Result<Vec<Share>, Reject> {
        let (control, first, batches) = (self.control.clone(), units.start, self.draws / LANES);
        let propose = |unit: &mut Unit| {
            proceed(&control)?;
            unit.propose(psi, tolerance)
        };
        let units = &mut self.units[units];
        let proposals: Vec<Proposal> = units.par_iter_mut().map(propose).collect::<Result<_, Reject>>()?;
        let samplers: Vec<Sampler<'_>> =
            units.iter().zip(&proposals).map(|(unit, proposal)| Sampler::new(unit, proposal, psi)).collect();
        let run = |(g, start): (usize, usize)| {
            proceed(&control)?;
            let (mut work, mut tally) = (Work::new(&samplers[g]), Tally::new(psi.len()));
            for batch in start..batches.min(start + TASK) {
                tally.add(work.batch(((first + g) as u64) << 32 | batch as u64));
                control.advance(samplers[g].rows() * LANES);
            }
            Ok((g, tally))
        };
        let tasks = (0..samplers.len()).flat_map(|g| (0..batches).step_by(TASK).map(move |start| (g, start)));
        let tasks: Vec<(usize, usize)> = tasks.collect();
        let parts: Vec<(usize, Tally)> = tasks.into_par_iter().map(run).collect::<Result<_, Reject>>()?;
        let mut tallies: Vec<Tally> = samplers.iter().map(|_| Tally::new(psi.len())).collect();
        parts.iter().for_each(|(g, part)| tallies[*g].merge(part));
        Ok(tallies.iter().map(Tally::share).collect())
    }

    fn gradient_at(&mut self, psi: &[f64], tolerance: f64) -> Result<Evaluation, Reject> {
        if let Some((at, draws, evaluation)) = &self.seen
            && at == psi
            && *draws == self.draws
        {
            return Ok(evaluation.clone());
        }
        let own: Vec<f64> = self.kept.iter().map(|&j| psi[j]).collect();
        let (mut variance, all) = (0.0, psi.len());
        let mut evaluation = Evaluation { value: 0.0, gradient: vec![0.0; all], hessian: None };
        let mut noise = Noise { value_se: 0.0, score: vec![0.0; all * all], effective: f64::INFINITY };
        for start in (0..self.units.len()).step_by(CHUNK) {
            let units = start..self.units.len().min(start + CHUNK);
            for (share, g) in self.sample(units.clone(), &own, tolerance)?.iter().zip(units) {
                evaluation.value += share.value + self.units[g].log_constant();
                variance += share.variance;
                noise.effective = noise.effective.min(share.effective);
                self.add(share, &mut evaluation.gradient, &mut noise.score);
            }
        }
        noise.value_se = variance.sqrt();
        self.passes += self.draws as f64;
        self.noise = noise;
        self.seen = Some((psi.to_vec(), self.draws, evaluation.clone()));
        if evaluation.is_finite() { Ok(evaluation) } else { Err(Reject::NoMode) }
    }

    /// Adds a unit's gradient and its covariance by chance.
    fn add(&self, share: &Share, gradient: &mut [f64], noise: &mut [f64]) {
        let (p, all) = (share.gradient.len(), gradient.len());
        let free = || self.place.iter().enumerate().filter_map(|(j, place)| place.map(|own| (j, own)));
        for (i, a) in free() {
            gradient[i] += share.gradient[a];
            free().for_each(|(j, b)| noise[i * all + j] += share.noise[a * p + b]);
        }
    }

    /// Differences of the gradient; zero for parameters that are not free.
    fn hessian_at(&mut self, psi: &[f64], tolerance: f64) -> Result<Vec<f64>, Reject> {
        let (p, mut moved) = (psi.len(), psi.to_vec());
        let mut rows = vec![vec![0.0; p]; p];
        let free: Vec<usize> = (0..p).filter(|&j| self.free(j)).collect();
        for j in free {
            moved[j] = psi[j] + STEP;
            let above = self.gradient_at(&moved, tolerance)?.gradient;
            moved[j] = psi[j] - STEP;
            let below = self.gradient_at(&moved, tolerance)?.gradient;
            moved[j] = psi[j];
            rows[j] = above.iter().zip(&below).map(|(a, b)| (a - b) / (2.0 * STEP)).collect();
        }
        Ok((0..p * p).map(|k| 0.5 * (rows[k / p][k % p] + rows[k % p][k / p])).collect())
    }
}

/// The data without terms whose effects do not vary, and the parameters that are left.
fn without_zeros(data: &Data, layout: &Layout, psi: &[f64]) -> (Data, Vec<usize>) {
    let varies = |t: &usize| psi[layout.theta[*t].clone()].iter().any(|x| *x != 0.0);
    let terms: Vec<usize> = (0..data.terms.len()).filter(varies).collect();
    let thetas = terms.iter().flat_map(|&t| layout.theta[t].clone());
    let kept = (0..layout.fixed()).chain(thetas).collect();
    let mut smaller = data.clone();
    smaller.terms = terms.iter().map(|&t| data.terms[t].clone()).collect();
    (smaller, kept)
}

impl Objective for Importance {
    fn evaluate(&mut self, psi: &[f64], order: Order, tolerance: f64) -> Result<Evaluation, Reject> {
        let hessian = if order == Order::Hessian { Some(self.hessian_at(psi, tolerance)?) } else { None };
        Ok(Evaluation { hessian, ..self.gradient_at(psi, tolerance)? })
    }

    fn accept(&mut self) {
        self.units.iter_mut().for_each(Unit::accept);
    }

    fn information(&mut self) -> Option<Vec<f64>> {
        self.curvature.take()
    }

    fn reset(&mut self) {
        self.units.iter_mut().for_each(Unit::reset);
        self.seen = None;
    }

    fn set_control(&mut self, control: &Arc<Control>) {
        self.control = control.clone();
        self.seen = None;
        self.units.iter_mut().for_each(|unit| unit.crossed.set_control(control));
    }

    fn passes(&self) -> f64 {
        self.passes
    }

    fn posterior(&self) -> Posterior {
        Posterior { modes: Vec::new(), covariances: Vec::new() }
    }
}
