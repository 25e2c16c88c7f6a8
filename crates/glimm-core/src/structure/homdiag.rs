//! Independent effects with one variance.

use super::dual::Number;
use super::scaled::Correlation;

pub struct Independent {
    pub q: usize,
}

impl Correlation for Independent {
    fn name(&self) -> &'static str {
        "homdiag"
    }

    fn effects(&self) -> usize {
        self.q
    }

    fn start(&self) -> Vec<f64> {
        Vec::new()
    }

    fn root<T: Number>(&self, _shape: &[T], c: &mut [T]) {
        (0..self.q).for_each(|r| c[r * self.q + r] = T::of(1.0));
    }

    fn fold(&self, _shape: &mut [f64]) -> bool {
        false
    }
}
