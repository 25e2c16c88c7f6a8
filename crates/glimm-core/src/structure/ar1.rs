//! First-order autoregression: correlation rho^|i - j|, rho = sin(phi).

use super::dual::Number;
use super::scaled::{Correlation, chain_root, fold_angle};

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

    fn root<T: Number>(&self, shape: &[T], c: &mut [T]) {
        chain_root(self.transitions(shape), c);
    }

    /// Each effect is rho times the one before plus an innovation of variance 1 - rho^2 = cos^2(phi).
    fn transitions<T: Number>(&self, shape: &[T]) -> Option<Vec<[T; 2]>> {
        let mut all = vec![[shape[0].sin(), shape[0].cos()]; self.q];
        all.iter_mut().take(1).for_each(|first| *first = [T::of(0.0), T::of(1.0)]);
        Some(all)
    }

    fn fold(&self, shape: &mut [f64]) -> bool {
        fold_angle(&mut shape[0])
    }
}
