//! Effects of which nothing is known beforehand: coefficients that are integrated out.

use super::Structure;

/// Lambda is the identity, and the prior density of the effects is one everywhere.
pub struct Flat {
    q: usize,
}

impl Flat {
    pub fn new(q: usize) -> Self {
        Flat { q }
    }
}

impl Structure for Flat {
    fn name(&self) -> &'static str {
        "flat"
    }

    fn effects(&self) -> usize {
        self.q
    }

    fn parameters(&self) -> usize {
        0
    }

    fn precision(&self) -> f64 {
        0.0
    }

    fn start(&self, _sd: f64) -> Vec<f64> {
        Vec::new()
    }

    fn factor(&self, _theta: &[f64], lambda: &mut [f64]) {
        lambda.fill(0.0);
        (0..self.q).for_each(|r| lambda[r * self.q + r] = 1.0);
    }

    fn derivative(&self, _theta: &[f64], _j: usize, _out: &mut [f64]) {}

    fn mixes(&self) -> bool {
        false
    }

    fn transform(&self, _theta: &mut [f64], _m: &[f64]) {}

    fn drop_small(&self, _theta: &mut [f64], _least: f64) -> bool {
        false
    }

    fn raise(&self, _theta: &mut [f64], _least: f64) {}

    fn diagonal(&self) -> Vec<usize> {
        Vec::new()
    }

    fn orient(&self, _theta: &mut [f64]) -> bool {
        false
    }
}
