//! The end of a climb: exact derivatives, zero variances, saddles, and the last step.

use super::{
    DECREMENT, Engine, INNER_LAST, MORE_CLIMBS, NO_WORSE, Observer, PERFECT, Path, Problem, ZERO_SD, inference,
    refusals::perfect,
};
use crate::error::Error;
use crate::objective::{Evaluation, Objective, Order};
use crate::optim::{Curvature, Outcome, Reason, maximise};

/// Squared distance to the maximum, in standard errors, below which no step is worth an evaluation.
const ARRIVED: f64 = 1e-14;

impl Problem {
    /// Exact derivatives at the top, with tight modes; climbs on by exact Newton steps if that shows
    /// the top was not reached.
    pub(super) fn settle(&mut self, outcome: &mut Outcome, observe: Observer<'_>) -> Result<Evaluation, Error> {
        for attempt in 0..=MORE_CLIMBS {
            self.orient(&mut outcome.psi);
            if let Some(last) = self.evaluate_top(&mut outcome.psi) {
                outcome.decrement = inference::decrement(&last);
                let saddle = inference::is_saddle(&last);
                let runaway = outcome.reason == Reason::Runaway;
                if (outcome.decrement < DECREMENT && !saddle) || runaway || attempt == MORE_CLIMBS {
                    if saddle {
                        outcome.reason = Reason::Saddle;
                    }
                    return Ok(if saddle { last } else { self.last_step(outcome, last) });
                }
                if saddle {
                    outcome.psi = self.lift(std::mem::take(&mut outcome.psi));
                }
            }
            let settings = self.settings(Curvature::Exact, DECREMENT, INNER_LAST);
            let mut objective = self.objective();
            let more = maximise(&mut objective, &outcome.psi, settings, &mut |i, v, d| observe("settle", i, v, d));
            if more.reason == Reason::Interrupted {
                return Err(Error::Interrupted);
            }
            outcome.iterations += more.iterations;
            outcome.evaluations += more.evaluations;
            outcome.reason = more.reason;
            outcome.psi = more.psi;
        }
        if self.spread(&outcome.psi).is_some_and(|spread| spread < PERFECT) {
            return Err(perfect());
        }
        Err(self.no_value("where the search ended"))
    }

    /// One more Newton step, which squares what distance is left, where an evaluation costs little.
    fn last_step(&mut self, outcome: &mut Outcome, last: Evaluation) -> Evaluation {
        let cheap = self.path == Path::Block || matches!(self.engine, Engine::Restricted(_));
        if !cheap || !(ARRIVED..DECREMENT).contains(&outcome.decrement) {
            return last;
        }
        let step = inference::newton_step(&last);
        // A zero variance stays zero.
        let psi: Vec<f64> = outcome.psi.iter().zip(step).map(|(x, d)| if *x == 0.0 { 0.0 } else { x + d }).collect();
        let mut psi = psi;
        self.tie(&mut psi);
        let mut objective = self.objective();
        match objective.evaluate(&psi, Order::Hessian, INNER_LAST) {
            Ok(e) if e.value >= last.value - NO_WORSE * (1.0 + last.value.abs()) => {
                objective.accept();
                outcome.psi = psi;
                outcome.decrement = inference::decrement(&e);
                e
            }
            _ => {
                // Leaves the objective at the point that is reported.
                let back = objective.evaluate(&outcome.psi, Order::Hessian, INNER_LAST);
                objective.accept();
                back.unwrap_or(last)
            }
        }
    }

    /// Exact derivatives at `psi`, moved to zero variances where that costs nothing.
    fn evaluate_top(&mut self, psi: &mut Vec<f64>) -> Option<Evaluation> {
        let top = self.objective().evaluate(psi, Order::Hessian, INNER_LAST).ok()?;
        self.objective().accept();
        Some(self.prefer_zeros(psi, top))
    }

    /// Effects that hardly vary get a variance of exactly zero, when the likelihood is no worse.
    fn prefer_zeros(&mut self, psi: &mut Vec<f64>, last: Evaluation) -> Evaluation {
        let mut simpler = psi.clone();
        if !self.drop_zeros(&mut simpler) {
            return last;
        }
        match self.objective().evaluate(&simpler, Order::Hessian, INNER_LAST) {
            Ok(e) if e.value >= last.value - NO_WORSE * (1.0 + last.value.abs()) => {
                self.objective().accept();
                *psi = simpler;
                e
            }
            _ => {
                // Leaves the objective at the point that is reported.
                let back = self.objective().evaluate(psi, Order::Hessian, INNER_LAST);
                self.objective().accept();
                back.unwrap_or(last)
            }
        }
    }

    /// Sets variances that are hardly above zero to zero; whether there were any.
    pub(super) fn drop_zeros(&self, psi: &mut [f64]) -> bool {
        let unit = self.residual_sd(psi).unwrap_or(self.unit());
        let mut any = false;
        for (term, range) in self.data.terms.iter().zip(&self.layout.theta) {
            any |= term.structure.drop_small(&mut psi[range.clone()], ZERO_SD * unit);
        }
        self.tie(psi);
        any
    }
}
