//! Where a gradient vanishes, for objectives whose value is not known well enough to compare points.
//!
//! Quasi-Newton steps d = H^-1 g with the objective's information, corrected by BFGS updates. A step
//! is taken when the decrement g'H^-1 g, with H held, does not grow (the natural monotonicity test of
//! Deuflhard 2004, Newton Methods for Nonlinear Problems, section 3.1.3) or the value rises; far from
//! the top, where what the value lacks weighs little, only the value counts. Other steps are halved.

use super::newton::{Model, Outcome, Reason, Settings, add, bfgs, informs};
use crate::objective::{Objective, Order, Reject};

/// Decrement beyond which only the value counts.
const BY_VALUE: f64 = 100.0;
/// Part of the predicted gain that makes a step good.
const GAIN: f64 = 1e-3;
/// Halvings of a step after which no progress is possible.
const HALVINGS: usize = 12;

/// Searches from `start`; the last step, from a decrement below the tolerance, is taken without an evaluation. `observe`
/// sees (iteration, value, decrement) and may end the search by returning false.
pub fn stationary(
    objective: &mut dyn Objective,
    start: &[f64],
    settings: &Settings,
    observe: &mut dyn FnMut(usize, f64, f64) -> bool,
) -> Outcome {
    let mut here = match objective.evaluate(start, Order::Information, settings.inner_tolerance) {
        Ok(e) => e,
        Err(reject) => return Outcome::rejected(start, reject),
    };
    let mut outcome = Outcome { evaluations: 1, ..Outcome::at(start) };
    objective.accept();
    outcome.curvature = objective.information().unwrap_or_default();
    loop {
        outcome.value = here.value;
        let Some(model) = Model::new(&outcome.curvature, &here.gradient) else {
            outcome.reason = Reason::NoProgress;
            return outcome;
        };
        outcome.decrement = model.decrement();
        if !observe(outcome.iterations, here.value, outcome.decrement) {
            outcome.reason = Reason::Interrupted;
            return outcome;
        }
        let (mut step, _) = model.step_within(f64::INFINITY, &settings.reach);
        if outcome.decrement < settings.tolerance {
            add(&mut outcome.psi, &step);
            outcome.reason = Reason::Converged;
            return outcome;
        }
        if outcome.iterations == settings.max_iterations {
            outcome.reason = Reason::IterationLimit;
            return outcome;
        }
        let order = if informs(outcome.iterations, outcome.decrement) { Order::Information } else { Order::Gradient };
        let mut halvings = 0;
        let next = loop {
            let mut psi = outcome.psi.clone();
            add(&mut psi, &step);
            outcome.evaluations += 1;
            match objective.evaluate(&psi, order, settings.inner_tolerance) {
                Err(Reject::Interrupted) => {
                    outcome.reason = Reason::Interrupted;
                    return outcome;
                }
                Ok(next) => {
                    let slope: f64 = step.iter().zip(&here.gradient).map(|(s, g)| s * g).sum();
                    let rises = next.value - here.value > GAIN * slope;
                    let near = outcome.decrement < BY_VALUE;
                    if rises || near && falls(&outcome.curvature, &next.gradient, outcome.decrement) {
                        break next;
                    }
                }
                Err(_) => {}
            }
            halvings += 1;
            if halvings > HALVINGS {
                outcome.reason = Reason::NoProgress;
                return outcome;
            }
            step.iter_mut().for_each(|s| *s *= 0.5);
        };
        objective.accept();
        add(&mut outcome.psi, &step);
        outcome.curvature = objective.information().unwrap_or(outcome.curvature);
        // What the step has shown holds also where the information knows nothing, as at zero variances.
        bfgs(&mut outcome.curvature, &step, &here.gradient, &next.gradient);
        here = next;
        outcome.iterations += 1;
    }
}

/// Whether the decrement of a new gradient in the old metric is below the old one.
fn falls(curvature: &[f64], gradient: &[f64], decrement: f64) -> bool {
    Model::new(curvature, gradient).is_some_and(|m| m.decrement() < decrement)
}
