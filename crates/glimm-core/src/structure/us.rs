//! Unstructured covariance: any variances and correlations.

use super::Structure;
use std::ops::Range;

/// Lambda is any lower-triangular matrix; its entries, row by row, are the parameters.
pub struct Us {
    q: usize,
}

impl Us {
    pub fn new(q: usize) -> Self {
        Us { q }
    }

    /// (row, column) of each parameter.
    fn cells(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let q = self.q;
        (0..q).flat_map(|r| (0..=r).map(move |c| (r, c)))
    }
}

impl Structure for Us {
    fn name(&self) -> &'static str {
        "us"
    }

    fn effects(&self) -> usize {
        self.q
    }

    fn parameters(&self) -> usize {
        self.q * (self.q + 1) / 2
    }

    fn start(&self, sd: f64) -> Vec<f64> {
        self.cells().map(|(r, c)| if r == c { sd } else { 0.0 }).collect()
    }

    fn factor(&self, theta: &[f64], lambda: &mut [f64]) {
        lambda.fill(0.0);
        for ((r, c), &t) in self.cells().zip(theta) {
            lambda[r * self.q + c] = t;
        }
    }

    fn derivative(&self, _theta: &[f64], j: usize, out: &mut [f64]) {
        out.fill(0.0);
        let (r, c) = self.cells().nth(j).expect("parameter within range");
        out[r * self.q + c] = 1.0;
    }

    fn mixes(&self) -> bool {
        true
    }

    fn transform(&self, theta: &mut [f64], m: &[f64]) {
        let (q, mut lambda) = (self.q, vec![0.0; self.q * self.q]);
        self.factor(theta, &mut lambda);
        for ((r, c), t) in self.cells().zip(theta) {
            *t = (c..=r).map(|k| m[r * q + k] * lambda[k * q + c]).sum();
        }
    }

    fn drop_small(&self, theta: &mut [f64], least: f64) -> bool {
        let mut variances = vec![0.0; self.q];
        self.cells().zip(theta.iter()).for_each(|((r, _), t)| variances[r] += t * t);
        let small = |r: usize| variances[r] > 0.0 && variances[r] < least * least;
        for ((r, _), t) in self.cells().zip(theta) {
            if small(r) {
                *t = 0.0;
            }
        }
        (0..self.q).any(small)
    }

    fn raise(&self, theta: &mut [f64], least: f64) {
        for (_, t) in self.cells().zip(theta).filter(|((r, c), _)| r == c) {
            if t.abs() < least {
                *t = least;
            }
        }
    }

    fn rows(&self) -> Vec<Range<usize>> {
        (1..self.q).map(|r| r * (r + 1) / 2..(r + 1) * (r + 2) / 2).collect()
    }

    fn diagonal(&self) -> Vec<usize> {
        self.cells().enumerate().filter(|(_, (r, c))| r == c).map(|(j, _)| j).collect()
    }

    fn orient(&self, theta: &mut [f64]) -> bool {
        let negative: Vec<bool> =
            self.cells().zip(theta.iter()).filter(|((r, c), _)| r == c).map(|(_, &t)| t < 0.0).collect();
        for ((_, c), t) in self.cells().zip(theta) {
            if negative[c] {
                *t = -*t;
            }
        }
        negative.contains(&true)
    }
}
