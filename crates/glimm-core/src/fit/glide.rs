//! The last step of a climb over many rows, when it is too short to be worth an evaluation.
//!
//! Newton's method squares distances: with d the distance to the maximum in standard errors and e the one a step
//! earlier, the next is about d^3 / e^2. Over a step of d, second derivatives and standard errors change by some d^2 / e^2
//! of themselves; the log-likelihood is known to its third order.

use super::path::Engine;
use super::{NEAR, Problem, SAMPLE_ROWS, inference};
use crate::objective::Evaluation;
use crate::optim::{Outcome, Reason};

/// d^2 / e^2 up to which second derivatives hold where the step ends.
const STILL: f64 = 3e-5;

impl Problem {
    /// What an evaluation at `outcome.psi`, where the last step of the climb ended, would say.
    pub(super) fn end_by_glide(&mut self, outcome: &mut Outcome) -> Option<Evaluation> {
        let here = outcome.here.take().filter(|_| outcome.reason == Reason::Converged)?;
        let psi = outcome.psi.clone();
        let before = outcome.before;
        let last = self.glide(outcome, here, psi, before)?;
        // There is none at the top, which is counted when the fit ends.
        outcome.evaluations -= 1;
        Some(last)
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
        // How fast decrements fall; one alone says nothing of it.
        let left = if before.is_finite() { decrement / before } else { 1.0 };
        let still = decrement < NEAR && left < STILL;
        if self.data.n() < SAMPLE_ROWS || !still || inference::is_saddle(&here) || self.would_move(&psi) {
            return None;
        }
        self.tie(&mut psi);
        let Engine::Block(block) = &mut self.engine else { return None };
        if !block.glide(&psi) {
            return None;
        }
        outcome.psi = psi;
        outcome.decrement = decrement * left * left;
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
