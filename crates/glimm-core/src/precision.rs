//! Known precision of the levels of a grouping factor: relatives, neighbours, any covariance given beforehand.
//!
//! The spherical effects of a term, q for each of its levels, have the distribution
//!
//! ```text
//! u ~ N(0, P^-1 (x) I_q)      b = (I (x) Lambda) u      Cov(b) = P^-1 (x) Lambda Lambda'
//! ```
//!
//! with a sparse P. Whatever is differentiated with respect to Lambda never sees P; the log-likelihood has
//! q log|P| / 2 as a constant. (Henderson 1976, Biometrics 32, 69-83, for relatives.)

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::RngExt;
use rand::SeedableRng;

use crate::error::Error;
use crate::family::Random;
use crate::linalg::sparse::{Factor, Symbolic};

/// Random signs by which the size of the variances is guessed.
const PROBES: usize = 16;

#[derive(Clone)]
pub struct Precision {
    levels: usize,
    /// Lower triangle by columns, rows ascending, the diagonal first.
    starts: Arc<Vec<usize>>,
    rows: Arc<Vec<usize>>,
    values: Vec<f64>,
    log_determinant: f64,
    /// The factor of P / scale.
    factor: Arc<Mutex<Factor>>,
    scale: f64,
}

impl Precision {
    /// From the lower triangle by columns, the diagonal first; refused unless positive definite.
    pub fn new(levels: usize, starts: Vec<usize>, rows: Vec<usize>, values: Vec<f64>) -> Result<Precision, Error> {
        let degenerate = |why: String| Error::Degenerate { why: format!("the precision of the levels {why}") };
        if values.len() != rows.len() || values.iter().any(|v| !v.is_finite()) {
            return Err(degenerate("has entries without a finite value".into()));
        }
        let symbolic = Symbolic::new(levels, &starts, &rows).map_err(|e| degenerate(format!("has no pattern: {e}")))?;
        let mut factor = Factor::new(symbolic);
        factor
            .refactor(&values)
            .map_err(|e| degenerate(format!("is not positive definite (found at level {})", e.column)))?;
        Ok(Precision {
            levels,
            starts: Arc::new(starts),
            rows: Arc::new(rows),
            values,
            log_determinant: factor.logdet(),
            factor: Arc::new(Mutex::new(factor)),
            scale: 1.0,
        })
    }

    pub fn levels(&self) -> usize {
        self.levels
    }

    pub fn log_determinant(&self) -> f64 {
        self.log_determinant
    }

    /// What the matrix given was multiplied by.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// (row, column, value) of the lower triangle, column by column.
    pub fn entries(&self) -> impl Iterator<Item = (usize, usize, f64)> + '_ {
        let column =
            move |j: usize| (self.starts[j]..self.starts[j + 1]).map(move |k| (self.rows[k], j, self.values[k]));
        (0..self.levels).flat_map(column)
    }

    /// c P.
    pub fn scaled(&self, c: f64) -> Precision {
        Precision {
            values: self.values.iter().map(|v| c * v).collect(),
            log_determinant: self.log_determinant + self.levels as f64 * c.ln(),
            scale: c * self.scale,
            ..self.clone()
        }
    }

    /// A power of four near the mean of the diagonal of P^-1: the units of the relation.
    pub fn unit(&self) -> f64 {
        let (n, mut rng) = (self.levels, Random::seed_from_u64(0));
        let signs: Vec<f64> = (0..n * PROBES).map(|_| if rng.random_range(0..2) == 0 { 1.0 } else { -1.0 }).collect();
        let mut solved = signs.clone();
        self.factor().solve_in_place(&mut solved);
        let sum: f64 = signs.iter().zip(&solved).map(|(z, x)| z * x).sum();
        4.0_f64.powi((sum / (self.scale * (n * PROBES) as f64)).log(4.0).round() as i32)
    }

    /// x = (P (x) I) x, q numbers per level.
    pub fn times(&self, x: &mut [f64], q: usize) {
        let old = x.to_vec();
        x.fill(0.0);
        for (i, j, value) in self.entries() {
            for c in 0..q {
                x[i * q + c] += value * old[j * q + c];
                if i != j {
                    x[j * q + c] += value * old[i * q + c];
                }
            }
        }
    }

    /// x = (P^-1 (x) I) x.
    pub fn solve(&self, x: &mut [f64], q: usize) {
        let scale = self.scale;
        self.by_effect(x, q, |factor, columns| {
            factor.solve_in_place(columns);
            columns.iter_mut().for_each(|x| *x /= scale);
        });
    }

    /// Independent standard normal numbers become a draw of u.
    pub fn colour(&self, z: &mut [f64], q: usize) {
        let root = self.scale.sqrt();
        self.by_effect(z, q, |factor, columns| {
            factor.half_solve_transpose_in_place(columns);
            columns.iter_mut().for_each(|x| *x /= root);
        });
    }

    /// The diagonal of P^-1.
    pub fn variances(&self) -> Vec<f64> {
        let mut inverse = vec![0.0; self.values.len()];
        self.factor().selected_inverse(&mut inverse);
        self.starts[..self.levels].iter().map(|&k| inverse[k] / self.scale).collect()
    }

    /// Calls `act` with one column for each of the q effects.
    fn by_effect(&self, x: &mut [f64], q: usize, act: impl Fn(&mut Factor, &mut [f64])) {
        let n = self.levels;
        let mut columns: Vec<f64> = (0..n * q).map(|i| x[i % n * q + i / n]).collect();
        act(&mut self.factor(), &mut columns);
        (0..n * q).for_each(|i| x[i % n * q + i / n] = columns[i]);
    }

    /// A panic elsewhere leaves the factor as it was.
    fn factor(&self) -> MutexGuard<'_, Factor> {
        self.factor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
