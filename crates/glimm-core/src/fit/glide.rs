//! The last step of a climb over many rows, when it is too short to be worth an evaluation.
//!
//! Newton's method squares distances: with d the distance to the maximum in standard errors, the next one is about
//! d^3 / d_before^2. After a step of 0.001 the log-likelihood is known to its third order and second derivatives to
//! parts in 10^5 or better.

use super::path::Engine;
use super::{Problem, SAMPLE_ROWS, inference};
use crate::objective::Evaluation;
use crate::optim::{Outcome, Reason};

/// Squared length of the step, in standard errors, up to which second derivatives hold where it ends.
const SHORT: f64 = 1e-6;
/// Squared distance to the maximum that may be left where steps become shorter by the same factor only.
const NOTHING: f64 = 1e-9;

impl Problem {
    /// What an evaluation at `outcome.psi`, where the last step of the climb ended, would say.
    pub(super) fn end_by_glide(&mut self, outcome: &mut Outcome) -> Option<Evaluation> {
        let here = outcome.here.take().filter(|_| outcome.reason == Reason::Converged)?;
        let psi = outcome.psi.clone();
        let before = outcome.before;
        self.glide(outcome, here, psi, before)
    }

    /// Moves to `psi`, a Newton step from `here`; `before` is the decrement one step earlier.
    pub(super) fn glide(
        &mut self,
        outcome: &mut Outcome,
        here: Evaluation,
        mut psi: Vec<f64>,
        before: f64,
    ) -> Option<Evaluation> {
        let decrement = outcome.decrement;
        let short = decrement < SHORT && decrement * (decrement / before) < NOTHING;
        if self.data.n() < SAMPLE_ROWS || !short || inference::is_saddle(&here) || self.would_move(&psi) {
            return None;
        }
        self.tie(&mut psi);
        let Engine::Block(block) = &mut self.engine else { return None };
        if !block.glide(&psi) {
            return None;
        }
        outcome.psi = psi;
        outcome.decrement = decrement * (decrement / before).powi(2);
        let left = decrement / before;
        let gradient = here.gradient.iter().map(|g| g * left).collect();
        Some(Evaluation { value: here.value + 0.5 * decrement, gradient, hessian: here.hessian })
    }

    /// Whether the signs of a factor would be changed or a variance dropped, which takes an evaluation.
    fn would_move(&self, psi: &[f64]) -> bool {
        let mut moved = psi.to_vec();
        let terms = self.data.terms.iter().zip(&self.layout.theta);
        let turned = terms.fold(false, |any, (t, range)| t.structure.orient(&mut moved[range.clone()]) || any);
        turned || self.drop_zeros(&mut moved)
    }
}
