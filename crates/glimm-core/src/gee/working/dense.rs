//! A correlation matrix without a closed form: its Cholesky factor, kept for the next cluster with rows at the same positions.

use crate::gee::rows::forward;
use crate::linalg::dense::cholesky;

/// Room for the factor of one cluster.
#[derive(Default)]
pub struct Room {
    factor: Vec<f64>,
    key: Vec<u32>,
    known: bool,
}

impl Room {
    /// Multiplies rows by the inverse of the Cholesky factor of the matrix with these entries below the diagonal.
    /// With a `key` the factor is kept for clusters with the same one.
    pub fn whiten(
        &mut self,
        n: usize,
        key: Option<&[u32]>,
        entry: impl Fn(usize, usize) -> f64,
        rows: &mut [f64],
        width: usize,
    ) -> bool {
        if !(self.known && key == Some(self.key.as_slice())) {
            self.factor.clear();
            self.factor.resize(n * n, 0.0);
            for i in 0..n {
                self.factor[i * n + i] = 1.0;
                (0..i).for_each(|j| self.factor[i * n + j] = entry(i, j));
            }
            self.known = false;
            if !cholesky(&mut self.factor, n) {
                return false;
            }
            if let Some(key) = key {
                self.key.clear();
                self.key.extend_from_slice(key);
                self.known = true;
            }
        }
        forward(&self.factor, n, rows, width);
        true
    }
}
