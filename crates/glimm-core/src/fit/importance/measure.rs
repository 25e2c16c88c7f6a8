//! What draws say at one point, in the terms of a fit.

use crate::fit::{Problem, inference};
use crate::objective::Evaluation;
use crate::objective::crossed::importance::Noise;

/// What "auto" wants to know: the log-likelihood with two standard errors of at most this, in nats, and every estimate
/// with an error by chance of at most this part of its standard error.
const LOGLIK: f64 = 0.01;
const ESTIMATE: f64 = 0.05;
/// Least effective number of draws of every unit for results to be believed.
const TRUSTED: f64 = 50.0;

pub struct Measure {
    pub draws: usize,
    pub evaluation: Evaluation,
    pub value_se: f64,
    pub effective: f64,
    /// How far the estimates are from where the gradient vanishes, and what chance makes of that, in standard errors.
    pub bias: Vec<f64>,
    pub bias_se: Vec<f64>,
    /// Covariance of the estimates by chance, in the user's units.
    pub chance: Vec<f64>,
}

impl Measure {
    /// Noise of covariance K in the gradient moves estimates by covariance CKC, C the inverse of the negative Hessian.
    pub fn new(fit: &Problem, draws: usize, evaluation: Evaluation, noise: &Noise) -> Measure {
        let p = evaluation.gradient.len();
        let (c, mut score) = (inference::covariance(&evaluation).0, noise.score.clone());
        if let Some(prior) = &fit.prior {
            prior.pull_both(p, &mut score);
        }
        let by_chance =
            |i: usize, j: usize| -> f64 { (0..p * p).map(|k| c[i * p + k / p] * score[k] * c[k % p * p + j]).sum() };
        let chance: Vec<f64> = (0..p * p).map(|k| by_chance(k / p, k % p)).collect();
        let (chance, own) = (fit.standard.covariance_to_user(&chance), fit.standard.covariance_to_user(&c));
        let step = fit.standard.direction_to_user(&inference::newton_step(&evaluation));
        // What the data do not tell has no bias.
        let in_errors = |x: f64, j: usize| if own[j * p + j] > 0.0 { x / own[j * p + j].sqrt() } else { 0.0 };
        Measure {
            draws,
            value_se: noise.value_se,
            effective: noise.effective,
            bias: (0..p).map(|j| in_errors(-step[j], j)).collect(),
            bias_se: (0..p).map(|j| in_errors(chance[j * p + j].max(0.0).sqrt(), j)).collect(),
            chance,
            evaluation,
        }
    }

    /// Draws that would reach what "auto" wants.
    pub fn needed(&self) -> f64 {
        let value = 2.0 * self.value_se / LOGLIK;
        self.draws as f64 * value.max(largest(&self.bias_se) / ESTIMATE).powi(2)
    }

    pub fn trusted(&self) -> bool {
        self.effective >= TRUSTED && self.value_se.is_finite() && largest(&self.bias_se).is_finite()
    }

    /// Whether an approximation off by `error` nats here is as good as the truth.
    pub fn negligible(&self, error: f64) -> bool {
        let worst = self.bias.iter().zip(&self.bias_se).map(|(b, se)| b.abs() + 2.0 * se).fold(0.0, f64::max);
        self.trusted() && worst < ESTIMATE && error.abs() + 2.0 * self.value_se < LOGLIK
    }

    /// Whether so many draws would leave more to chance than there is to correct.
    pub fn blurred(&self, draws: usize) -> bool {
        self.smaller_than(largest(&self.bias_se) * (self.draws as f64 / draws as f64).sqrt())
    }

    /// Whether a correction, as it was found, leaves more to chance than there was to correct.
    pub fn blurred_by(&self, found: &Measure) -> bool {
        self.smaller_than(largest(&found.bias_se))
    }

    fn smaller_than(&self, chance: f64) -> bool {
        chance.is_nan() || chance > largest(&self.bias).max(ESTIMATE)
    }
}

/// A NaN counts as the largest.
fn largest(x: &[f64]) -> f64 {
    x.iter().fold(0.0, |most: f64, x| if x.abs() > most || x.is_nan() { x.abs() } else { most })
}
