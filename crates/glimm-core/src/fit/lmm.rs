//! Fits of linear mixed models: the climb is in the relative factors alone.

use super::{CONVERGED, DECREMENT, INNER, MAX_ITERATIONS, MORE_CLIMBS, NO_WORSE, PERFECT, WARM_SD, ZERO_SD};
use super::{Engine, Fitted, Observer, Problem};
use super::{inference, refusals};
use crate::design::{Column, Data};
use crate::error::Error;
use crate::objective::lmm::{Averaged, Joint, Lmm};
use crate::objective::Objective;
use crate::optim::{Curvature, Outcome, Reason, Settings, maximise};

/// Whether the likelihood has a closed form: gaussian, identity link, one residual variance.
pub fn applies(data: &Data) -> bool {
    let one_variance = matches!(&data.predictors[1..], [p] if matches!(p.columns[..], [Column::One]) && p.offset.is_none());
    data.family.affine() && one_variance && data.terms.iter().all(|t| t.predictor == 0)
}

pub fn refuse_reml() -> Error {
    Error::Degenerate {
        why: "restricted maximum likelihood (reml) is defined for gaussian responses with the identity link".into(),
    }
}

impl Problem {
    fn lmm(&mut self) -> &mut Lmm {
        match &mut self.engine {
            Engine::Lmm(lmm) => lmm,
            _ => unreachable!("called for linear mixed models alone"),
        }
    }

    pub(super) fn fit_linear(&mut self, warm: Option<&[f64]>, observe: Observer<'_>) -> Result<Fitted, Error> {
        let start = match warm {
            Some(psi) => {
                let psi = self.standard_parameters(psi)?;
                let sigma_at = self.layout.fixed() - 1;
                let tau = self.lmm().relative(&psi[sigma_at + 1..], psi[sigma_at]);
                self.raised(tau)
            }
            None => self.lmm().start(),
        };
        let mut outcome = self.climb_linear(start, "climb", observe)?;
        let top = self.settle_linear(&mut outcome, observe)?;
        outcome.psi = top.psi;
        if self.residual_sd(&outcome.psi).is_some_and(|sd| sd < PERFECT) {
            return Err(refusals::perfect());
        }
        // The one pass that took the sums was before the climb.
        let before = self.engine.objective().passes() - 1.0;
        self.finish(outcome, top.evaluation, before)
    }

    /// Away from singular covariances, where the likelihood is flat in tau by symmetry.
    fn raised(&self, mut tau: Vec<f64>) -> Vec<f64> {
        let fixed = self.layout.fixed();
        for (term, range) in self.data.terms.iter().zip(&self.layout.theta) {
            term.structure.raise(&mut tau[range.start - fixed..range.end - fixed], WARM_SD);
        }
        tau
    }

    fn climb_linear(
        &mut self,
        mut start: Vec<f64>,
        stage: &'static str,
        observe: Observer<'_>,
    ) -> Result<Outcome, Error> {
        let settings = |parameters: usize| Settings {
            curvature: Curvature::Exact,
            tolerance: DECREMENT,
            inner_tolerance: INNER,
            max_iterations: MAX_ITERATIONS,
            reach: vec![f64::INFINITY; parameters],
        };
        // Too strong random effects at the start can overflow; weaker ones cannot.
        for _ in 0..4 {
            let lmm = self.lmm();
            let mut averaged;
            let objective: &mut dyn Objective = if lmm.is_crossed() {
                averaged = Averaged(lmm);
                &mut averaged
            } else {
                lmm
            };
            let settings = settings(start.len());
            let outcome = maximise(objective, &start, settings, &mut |i, v, d| observe(stage, i, v, d));
            match outcome.reason {
                Reason::Interrupted => return Err(Error::Interrupted),
                Reason::BadStart => start.iter_mut().for_each(|t| *t *= 0.1),
                _ => return Ok(outcome),
            }
        }
        Err(refusals::perfect())
    }

    /// The likelihood in all parameters at the top; climbs on if that shows the top was not reached.
    fn settle_linear(&mut self, outcome: &mut Outcome, observe: Observer<'_>) -> Result<Joint, Error> {
        for attempt in 0..=MORE_CLIMBS {
            let mut tau = std::mem::take(&mut outcome.psi);
            self.orient_relative(&mut tau);
            let top = self.top(&mut tau).ok_or_else(refusals::perfect)?;
            outcome.decrement = inference::decrement(&top.evaluation);
            let saddle = inference::is_saddle(&top.evaluation);
            if (outcome.decrement < CONVERGED && !saddle) || attempt == MORE_CLIMBS {
                if saddle {
                    outcome.reason = Reason::Saddle;
                }
                return Ok(top);
            }
            let start = if saddle { self.raised(tau) } else { tau };
            let more = self.climb_linear(start, "settle", observe)?;
            outcome.iterations += more.iterations;
            outcome.evaluations += more.evaluations;
            (outcome.psi, outcome.reason) = (more.psi, more.reason);
        }
        Err(refusals::perfect())
    }

    fn orient_relative(&self, tau: &mut [f64]) {
        let fixed = self.layout.fixed();
        for (term, range) in self.data.terms.iter().zip(&self.layout.theta) {
            term.structure.orient(&mut tau[range.start - fixed..range.end - fixed]);
        }
    }

    /// The top, with effects that hardly vary at a variance of exactly zero when the likelihood is no worse.
    fn top(&mut self, tau: &mut Vec<f64>) -> Option<Joint> {
        let (fixed, mut simpler, mut any) = (self.layout.fixed(), tau.clone(), false);
        for (term, range) in self.data.terms.iter().zip(&self.layout.theta) {
            any |= term.structure.drop_small(&mut simpler[range.start - fixed..range.end - fixed], ZERO_SD);
        }
        if any {
            let (before, zero) = (self.lmm().joint(tau), self.lmm().joint(&simpler));
            let least = before.as_ref().map_or(f64::NEG_INFINITY, |j| {
                j.evaluation.value - NO_WORSE * (1.0 + j.evaluation.value.abs())
            });
            if let Ok(zero) = zero
                && zero.evaluation.value >= least
            {
                *tau = simpler;
                return Some(zero);
            }
        }
        self.lmm().joint(tau).ok()
    }
}
