//! A correlation matrix without a closed form: its Cholesky factor, kept for the next cluster with rows at the same positions.

use crate::gee::rows::forward;
use crate::linalg::dense::cholesky;

/// Room for the sums of columns, or the factor, of one cluster.
#[derive(Default)]
pub struct Room {
    pub sums: Vec<f64>,
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
            let matrix = self.identity(n);
            for i in 0..n {
                (0..i).for_each(|j| matrix[i * n + j] = entry(i, j));
            }
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

    /// An identity matrix to write another one below its diagonal.
    pub fn identity(&mut self, n: usize) -> &mut [f64] {
        self.known = false;
        self.factor.clear();
        self.factor.resize(n * n, 0.0);
        (0..n).for_each(|i| self.factor[i * n + i] = 1.0);
        &mut self.factor
    }

    /// Multiplies rows by the inverse of the Cholesky factor of the matrix written.
    pub fn factored(&mut self, n: usize, rows: &mut [f64], width: usize) -> bool {
        let valid = cholesky(&mut self.factor, n);
        if valid {
            forward(&self.factor, n, rows, width);
        }
        valid
    }
}
