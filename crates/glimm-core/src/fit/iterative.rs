//! Fits by an engine that draws: the gradient is known up to its noise, the value only at the end.

use super::{CONVERGED, Fitted, INNER, Observer, Problem, REDUCED, inference};
use crate::error::Error;
use crate::linalg::dense;
use crate::objective::{Evaluation, Objective, Order};
use crate::optim::{Curvature, Outcome, Reason, Settings, stationary};

/// Steps after which a search counts as stuck.
const MAX_STEPS: usize = 30;
/// Information below this part of the curvature is none.
const NOTHING: f64 = 0.01;

impl Problem {
    /// Solves gradient = 0 from `start`; standard errors are those of the average information.
    pub(super) fn fit_iterative(
        &mut self,
        mut start: Vec<f64>,
        before: f64,
        observe: Observer<'_>,
    ) -> Result<Fitted, Error> {
        let mut outcome = self.search(&start, observe)?;
        // Too strong random effects at the start can overflow; weaker ones cannot.
        for _ in 0..REDUCED {
            if outcome.reason != Reason::BadStart {
                break;
            }
            self.layout.theta.iter().flat_map(|r| r.clone()).for_each(|j| start[j] *= 0.1);
            outcome = self.search(&start, observe)?;
        }
        if outcome.reason == Reason::BadStart {
            return Err(Error::Degenerate { why: "the likelihood has no value at any starting point".into() });
        }
        let curvature = std::mem::take(&mut outcome.curvature);
        let (flipped, dropped) = (self.orient(&mut outcome.psi), self.drop_zeros(&mut outcome.psi));
        if flipped || dropped {
            // Other signs make other draws, whose maximum is a little elsewhere.
            outcome = self.search(&outcome.psi, observe)?;
        }
        let no_value = || Error::Degenerate { why: "the likelihood has no value where the search ended".into() };
        let crossed = self.engine.crossed().ok_or_else(no_value)?;
        let mut last = crossed.evaluate(&outcome.psi, Order::Information, INNER).map_err(|_| no_value())?;
        crossed.accept();
        let information = crossed.information().ok_or_else(no_value)?;
        let chance = crossed.chance().map_err(|_| no_value())?;
        last.value += chance.value;
        last.hessian = Some(negative_information(&information, &curvature));
        outcome.decrement = inference::decrement(&last);
        let errors = [noise_in_errors(&last, &chance.score), chance.value_se];
        let mut fitted = self.finish(outcome, last, before)?;
        [fitted.draws_se, fitted.loglik_se] = errors;
        Ok(fitted)
    }

    fn search(&mut self, start: &[f64], observe: Observer<'_>) -> Result<Outcome, Error> {
        let settings = Settings {
            curvature: Curvature::Updated,
            // Far below the noise of the draws, and one more step is taken from there.
            tolerance: CONVERGED,
            inner_tolerance: INNER,
            max_iterations: MAX_STEPS,
            reach: self.reach(),
            limits: Vec::new(),
            rows: Vec::new(),
        };
        let objective = self.engine.objective();
        let outcome = stationary(objective, start, &settings, &mut |i, v, d| observe("climb", i, v, d));
        if outcome.reason == Reason::Interrupted { Err(Error::Interrupted) } else { Ok(outcome) }
    }
}

/// The negative average information. That of a zero variance vanishes; what the search has seen of the
/// curvature there does not.
fn negative_information(information: &[f64], curvature: &[f64]) -> Vec<f64> {
    let p = information.len().isqrt();
    let mut h: Vec<f64> = information.iter().map(|h| -h).collect();
    for j in (0..p).map(|j| j * p + j) {
        if information[j] < NOTHING * curvature[j] {
            h[j] = -curvature[j];
        }
    }
    h
}

/// The largest standard deviation of an estimate due to the draws, in its own standard errors: noise of
/// covariance K in the gradient moves the estimates by covariance CKC, C = H^-1.
fn noise_in_errors(last: &Evaluation, score: &[f64]) -> f64 {
    let p = last.gradient.len();
    let mut root: Vec<f64> = last.hessian.iter().flatten().map(|h| -h).collect();
    if !dense::cholesky(&mut root, p) {
        return f64::NAN;
    }
    let mut c = vec![0.0; p * p];
    dense::cholesky_inverse(&root, p, &mut c);
    let moved = |j: usize| -> f64 {
        let own = &c[j * p..(j + 1) * p];
        let ratio: f64 = (0..p * p).map(|k| own[k / p] * score[k] * own[k % p]).sum::<f64>() / own[j];
        ratio.sqrt()
    };
    (0..p).map(moved).fold(0.0, f64::max)
}
