//! Ornstein-Uhlenbeck: correlation exp(-|t_i - t_j| / range) between effects at any times.
//!
//! The parameter is the log of the range in units of the mean distance of neighbouring times.

use super::dual::Number;
use super::scaled::{Correlation, chain_root};

pub struct OrnsteinUhlenbeck {
    /// Distances of each time from the one before, in units of their mean.
    steps: Vec<f64>,
}

impl OrnsteinUhlenbeck {
    /// Of increasing times.
    pub fn new(times: &[f64]) -> Option<Self> {
        let steps: Vec<f64> = times.windows(2).map(|t| t[1] - t[0]).collect();
        let mean = steps.iter().sum::<f64>() / steps.len() as f64;
        let increasing = steps.iter().all(|s| *s > 0.0 && s.is_finite());
        (increasing && !steps.is_empty()).then(|| OrnsteinUhlenbeck { steps: steps.iter().map(|s| s / mean).collect() })
    }
}

impl Correlation for OrnsteinUhlenbeck {
    fn name(&self) -> &'static str {
        "ou"
    }

    fn effects(&self) -> usize {
        self.steps.len() + 1
    }

    /// A correlation of neighbours of exp(-2).
    fn start(&self) -> Vec<f64> {
        vec![-(2.0_f64.ln())]
    }

    fn root<T: Number>(&self, shape: &[T], c: &mut [T]) {
        chain_root(self.transitions(shape), c);
    }

    /// Each effect is exp(-step / range) times the one before plus an innovation.
    fn transitions<T: Number>(&self, shape: &[T]) -> Option<Vec<[T; 2]>> {
        let rate = (-shape[0]).exp();
        let transition = |step: &f64| {
            let apart = rate * T::of(*step);
            [(-apart).exp(), apart.through(fresh)]
        };
        Some(std::iter::once([T::of(0.0), T::of(1.0)]).chain(self.steps.iter().map(transition)).collect())
    }

    fn fold(&self, _shape: &mut [f64]) -> bool {
        false
    }
}

/// sqrt(1 - exp(-2 x)) and its derivatives, for small x too.
fn fresh(x: f64) -> [f64; 3] {
    let (left, gone) = (-(-2.0 * x).exp_m1(), (-2.0 * x).exp());
    let root = left.sqrt();
    [root, gone / root, -2.0 * gone / root - gone * gone / (root * left)]
}
