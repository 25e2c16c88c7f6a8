//! The end of a climb: exact derivatives, zero variances, saddles, and the last step.

use std::ops::Range;

use super::{
    DECREMENT, Engine, INNER, INNER_LAST, MAX_ITERATIONS, MORE_CLIMBS, NO_WORSE, Observer, PERFECT, Path, Problem,
    ZERO_SD, inference, refusals::perfect,
};
use crate::design::Term;
use crate::error::Error;
use crate::objective::{Evaluation, Objective, Order};
use crate::optim::{Curvature, Outcome, Reason, maximise};

/// Squared distance to the maximum, in standard errors, below which no step is worth an evaluation.
const ARRIVED: f64 = 1e-14;
/// Steps of the first climb here before singular covariances are tried.
const PATIENCE: usize = 5;
/// Log-likelihood below the climb's from which a singular covariance is worth climbing on.
const EDGE: f64 = 1e-3;

impl Problem {
    /// Exact derivatives at the top, with tight modes; climbs on by exact Newton steps if that shows
    /// the top was not reached.
    pub(super) fn settle(&mut self, outcome: &mut Outcome, observe: Observer<'_>) -> Result<Evaluation, Error> {
        if let Some(last) = self.end_by_glide(outcome) {
            return Ok(last);
        }
        for attempt in 0..=MORE_CLIMBS {
            self.orient(&mut outcome.psi);
            if let Some(last) = self.evaluate_top(&mut outcome.psi) {
                let before = std::mem::replace(&mut outcome.decrement, inference::decrement(&last));
                let saddle = inference::is_saddle(&last);
                let runaway = outcome.reason == Reason::Runaway;
                let arrived = outcome.decrement < DECREMENT && !saddle;
                if arrived || runaway || attempt == MORE_CLIMBS {
                    if saddle {
                        outcome.reason = Reason::Saddle;
                    } else if arrived && !runaway {
                        outcome.reason = Reason::Converged;
                    }
                    return Ok(if saddle { last } else { self.last_step(outcome, last, before) });
                }
                if saddle {
                    outcome.psi = self.lift(std::mem::take(&mut outcome.psi));
                }
            }
            let steps = if attempt == 0 { PATIENCE } else { MAX_ITERATIONS };
            self.climb_on(outcome, steps, observe)?;
            if attempt == 0 && outcome.reason == Reason::IterationLimit {
                outcome.evaluations += self.try_edges(&mut outcome.psi, outcome.value - EDGE);
                self.climb_on(outcome, MAX_ITERATIONS, observe)?;
            }
        }
        if self.spread(&outcome.psi).is_some_and(|spread| spread < PERFECT) {
            return Err(perfect());
        }
        Err(self.no_value("where the search ended"))
    }

    /// More exact Newton steps, at most so many.
    fn climb_on(&mut self, outcome: &mut Outcome, steps: usize, observe: Observer<'_>) -> Result<(), Error> {
        let mut settings = self.settings(Curvature::Exact, DECREMENT, INNER_LAST);
        settings.max_iterations = steps;
        let mut objective = self.objective();
        let more = maximise(&mut objective, &outcome.psi, settings, &mut |i, v, d| observe("settle", i, v, d));
        if more.reason == Reason::Interrupted {
            return Err(Error::Interrupted);
        }
        let (iterations, evaluations) = (outcome.iterations + more.iterations, outcome.evaluations + more.evaluations);
        *outcome = Outcome { iterations, evaluations, ..more };
        Ok(())
    }

    /// Moves `psi` to the likeliest singular covariance next to it, where one is likelier than `least`; the number of
    /// evaluations. Maxima there are flat in the diagonal of the factor, by symmetry, so that climbs come near in many
    /// short steps; on the edge itself, which they do not leave, they are like any other.
    fn try_edges(&mut self, psi: &mut Vec<f64>, mut least: f64) -> usize {
        let from = psi.clone();
        let edges: Vec<Vec<f64>> = self.rows().into_iter().filter_map(|row| self.edge(&from, row)).collect();
        for edge in &edges {
            match self.objective().evaluate(edge, Order::Gradient, INNER) {
                Ok(e) if e.value > least => {
                    least = e.value;
                    psi.clone_from(edge);
                }
                _ => {}
            }
        }
        edges.len()
    }

    /// The same variances with a zero on the diagonal of one row of a factor, if the row ends there.
    fn edge(&self, psi: &[f64], row: Range<usize>) -> Option<Vec<f64>> {
        let terms = self.data.terms.iter().zip(&self.layout.theta);
        let ends_there = |(term, range): (&Term, &Range<usize>)| {
            range.contains(&row.start) && term.structure.diagonal().contains(&(row.end - 1 - range.start))
        };
        if !terms.into_iter().any(ends_there) {
            return None;
        }
        let mut edge = psi.to_vec();
        let (beside, last) = (psi[row.end - 2], psi[row.end - 1]);
        edge[row.end - 2] = (beside * beside + last * last).sqrt().copysign(beside);
        edge[row.end - 1] = 0.0;
        self.tie(&mut edge);
        Some(edge)
    }

    /// One more Newton step, which squares what distance is left, where an evaluation costs little.
    fn last_step(&mut self, outcome: &mut Outcome, last: Evaluation, before: f64) -> Evaluation {
        let cheap = self.path == Path::Block || matches!(self.engine, Engine::Restricted(_));
        if !cheap || !(ARRIVED..DECREMENT).contains(&outcome.decrement) {
            return last;
        }
        let step = inference::step_from(&outcome.psi, &last);
        let mut psi: Vec<f64> = outcome.psi.iter().zip(step).map(|(x, d)| x + d).collect();
        self.tie(&mut psi);
        if let Some(end) = self.glide(outcome, last.clone(), psi.clone(), before) {
            return end;
        }
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
    pub(super) fn evaluate_top(&mut self, psi: &mut Vec<f64>) -> Option<Evaluation> {
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
