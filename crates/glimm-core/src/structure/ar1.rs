//! First-order autoregression: correlation rho^|i - j|, rho = sin(phi).

use super::dual::Number;
use super::scaled::{Correlation, fold_angle};

pub struct Autoregression {
    pub name: &'static str,
    pub q: usize,
}

impl Correlation for Autoregression {
    fn name(&self) -> &'static str {
        self.name
    }

    fn effects(&self) -> usize {
        self.q
    }

    fn start(&self) -> Vec<f64> {
        vec![0.0]
    }

    /// Each effect is rho times the one before plus an innovation of variance 1 - rho^2 = cos^2(phi).
    fn root<T: Number>(&self, shape: &[T], c: &mut [T]) {
        let (q, rho, fresh) = (self.q, shape[0].sin(), shape[0].cos());
        for i in 0..q {
            c[i * q + i] = if i == 0 { T::of(1.0) } else { fresh };
            (0..i).for_each(|j| c[i * q + j] = rho * c[(i - 1) * q + j]);
        }
    }

    fn fold(&self, shape: &mut [f64]) -> bool {
        fold_angle(&mut shape[0])
    }
}
