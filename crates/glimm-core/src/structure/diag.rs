//! Independent effects, each with its own variance.

use super::Structure;

/// Lambda is diagonal; the standard deviations are the parameters.
pub struct Diag {
    q: usize,
}

impl Diag {
    pub fn new(q: usize) -> Self {
        Diag { q }
    }
}

impl Structure for Diag {
    fn name(&self) -> &'static str {
        "diag"
    }

    fn effects(&self) -> usize {
        self.q
    }

    fn parameters(&self) -> usize {
        self.q
    }

    fn start(&self, sd: f64) -> Vec<f64> {
        vec![sd; self.q]
    }

    fn factor(&self, theta: &[f64], lambda: &mut [f64]) {
        lambda.fill(0.0);
        for (r, &t) in theta.iter().enumerate() {
            lambda[r * self.q + r] = t;
        }
    }

    fn derivative(&self, _theta: &[f64], j: usize, out: &mut [f64]) {
        out.fill(0.0);
        out[j * self.q + j] = 1.0;
    }

    fn mixes(&self) -> bool {
        false
    }

    fn transform(&self, theta: &mut [f64], m: &[f64]) {
        for (r, t) in theta.iter_mut().enumerate() {
            *t *= m[r * self.q + r];
        }
    }

    fn drop_small(&self, theta: &mut [f64], least: f64) -> bool {
        let mut any = false;
        for t in theta.iter_mut().filter(|t| **t != 0.0 && t.abs() < least) {
            *t = 0.0;
            any = true;
        }
        any
    }

    fn raise(&self, theta: &mut [f64], least: f64) {
        theta.iter_mut().filter(|t| t.abs() < least).for_each(|t| *t = least);
    }

    fn diagonal(&self) -> Vec<usize> {
        (0..self.q).collect()
    }

    fn orient(&self, theta: &mut [f64]) -> bool {
        let flipped = theta.iter().any(|&t| t < 0.0);
        theta.iter_mut().for_each(|t| *t = t.abs());
        flipped
    }
}
