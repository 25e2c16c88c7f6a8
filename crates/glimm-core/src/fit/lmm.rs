//! Fits of linear mixed models: the climb is in the relative factors alone.

use super::settings::TURN;
use super::{DECREMENT, INNER, MAX_ITERATIONS, MORE_CLIMBS, NO_WORSE, Observer, WARM_SD, ZERO_SD};
use super::{inference, refusals};
use crate::design::{Column, Data, Term};
use crate::error::Error;
use crate::objective::lmm::{Averaged, Joint, Lmm};
use crate::optim::{Curvature, Outcome, Reason, Settings, maximise};

/// Squared distance to the maximum, in standard errors, at which exact second derivatives take over.
const NEAR: f64 = 1e-2;
/// The distance at which a climb without them ends; its last step goes well below.
const CLOSE: f64 = 1e-10;
/// The distance at which results are taken.
const SETTLED: f64 = 1e-12;

/// Whether the likelihood has a closed form: gaussian, identity link, one residual variance.
pub fn applies(data: &Data) -> bool {
    let one_variance = matches!(&data.predictors[1..], [p] if matches!(p.columns[..], [Column::One]));
    data.family.affine() && one_variance && data.random_predictors() <= 1
}

fn settings(reach: Vec<f64>, tolerance: f64) -> Settings {
    Settings {
        curvature: Curvature::Exact,
        tolerance,
        inner_tolerance: INNER,
        max_iterations: MAX_ITERATIONS,
        reach,
        limits: Vec::new(),
        rows: Vec::new(),
    }
}

pub struct Climb<'a> {
    pub lmm: &'a mut Lmm,
    pub terms: &'a [Term],
}

impl Climb<'_> {
    /// From the standard parameters of a previous fit, or from scratch, to the top.
    pub fn run(&mut self, warm: Option<&[f64]>, observe: Observer<'_>) -> Result<(Outcome, Joint), Error> {
        let start = match warm {
            Some(psi) => {
                let tau = self.lmm.relative_of(psi);
                self.raised(tau)
            }
            None => self.lmm.start(),
        };
        let outcome = self.climb(start, observe)?;
        self.settle(outcome, observe)
    }

    /// Calls `op` with each term and its part of tau.
    fn each(&self, tau: &mut [f64], mut op: impl FnMut(&Term, &mut [f64])) {
        for (term, range) in self.terms.iter().zip(self.lmm.tau()) {
            op(term, &mut tau[range.clone()]);
        }
    }

    /// Scales may move freely.
    fn reach(&self) -> Vec<f64> {
        let of_term = |term: &Term| {
            let turns = if term.structure.curved() { TURN } else { f64::INFINITY };
            let mut reach = vec![turns; term.structure.parameters()];
            term.structure.diagonal().into_iter().for_each(|j| reach[j] = f64::INFINITY);
            reach
        };
        self.terms.iter().flat_map(of_term).collect()
    }

    /// Away from singular covariances, where the likelihood is flat in tau by symmetry.
    fn raised(&self, mut tau: Vec<f64>) -> Vec<f64> {
        self.each(&mut tau, |term, tau| term.structure.raise(tau, WARM_SD));
        tau
    }

    /// By average information, which is the better guide far from the top; where exact second
    /// derivatives cost little they take over near it.
    fn climb(&mut self, mut start: Vec<f64>, observe: Observer<'_>) -> Result<Outcome, Error> {
        let near = if self.lmm.is_crossed() { CLOSE } else { NEAR };
        // Too strong random effects at the start can overflow; weaker ones cannot.
        for _ in 0..4 {
            let settings = settings(self.reach(), near);
            let objective = &mut Averaged(self.lmm);
            let outcome = maximise(objective, &start, settings, &mut |i, v, d| observe("climb", i, v, d));
            match outcome.reason {
                Reason::Interrupted => return Err(Error::Interrupted),
                Reason::BadStart => start.iter_mut().for_each(|t| *t *= 0.1),
                _ if near == NEAR => return self.climb_exactly(outcome, observe),
                _ => return Ok(outcome),
            }
        }
        Err(refusals::perfect())
    }

    /// Exact Newton steps from where another climb ended.
    fn climb_exactly(&mut self, before: Outcome, observe: Observer<'_>) -> Result<Outcome, Error> {
        let settings = settings(self.reach(), DECREMENT);
        let more = maximise(self.lmm, &before.psi, settings, &mut |i, v, d| observe("settle", i, v, d));
        match more.reason {
            Reason::Interrupted => Err(Error::Interrupted),
            Reason::BadStart => Ok(before),
            _ => Ok(Outcome {
                iterations: before.iterations + more.iterations,
                evaluations: before.evaluations + more.evaluations,
                ..more
            }),
        }
    }

    /// The likelihood in all parameters at the top; climbs on if that shows the top was not reached.
    fn settle(&mut self, mut outcome: Outcome, observe: Observer<'_>) -> Result<(Outcome, Joint), Error> {
        let mut attempt = 0;
        loop {
            self.each(&mut outcome.psi, |term, tau| {
                term.structure.orient(tau);
            });
            let top = self.top(&mut outcome.psi).ok_or_else(refusals::perfect)?;
            outcome.decrement = inference::decrement(&top.evaluation);
            let saddle = inference::is_saddle(&top.evaluation);
            if (outcome.decrement < SETTLED && !saddle) || attempt == MORE_CLIMBS {
                if saddle {
                    outcome.reason = Reason::Saddle;
                }
                return Ok((outcome, top));
            }
            match top.step {
                Some(step) if outcome.decrement < NEAR && !saddle => {
                    outcome.psi.iter_mut().zip(step).for_each(|(t, s)| *t += s);
                    outcome.evaluations += 1;
                }
                _ => {
                    outcome.psi = if saddle { self.raised(outcome.psi) } else { outcome.psi };
                    outcome = self.climb_exactly(outcome, observe)?;
                }
            }
            attempt += 1;
        }
    }

    /// The top, with effects that hardly vary at a variance of exactly zero when the likelihood is no worse.
    fn top(&mut self, tau: &mut Vec<f64>) -> Option<Joint> {
        let (mut simpler, mut any) = (tau.clone(), false);
        self.each(&mut simpler, |term, tau| any |= term.structure.drop_small(tau, ZERO_SD));
        if !any {
            return self.lmm.joint(tau).ok();
        }
        let value = |joint: &Joint| joint.evaluation.value;
        let here = self.lmm.joint(tau).as_ref().map_or(f64::NEG_INFINITY, value);
        match self.lmm.joint(&simpler) {
            Ok(zero) if value(&zero) >= here - NO_WORSE * (1.0 + here.abs()) => {
                *tau = simpler;
                Some(zero)
            }
            // Leaves the objective at the point that is reported.
            _ => self.lmm.joint(tau).ok(),
        }
    }
}
