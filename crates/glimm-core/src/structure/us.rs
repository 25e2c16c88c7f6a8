//! Unstructured covariance: any variances and correlations.

use super::Structure;

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

    fn rescale(&self, theta: &mut [f64], scale: &[f64]) {
        for ((r, _), t) in self.cells().zip(theta) {
            *t *= scale[r];
        }
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
