//! Known precision of the levels of a grouping factor: relatives, neighbours, any covariance given beforehand.
//!
//! The spherical effects of a term, q for each of its levels, have the distribution
//!
//! ```text
//! u ~ N(0, K (x) I_q)      K = P^-1      b = (I (x) Lambda) u      Cov(b) = K (x) Lambda Lambda'
//! ```
//!
//! with a sparse P. Whatever is differentiated with respect to Lambda never sees P; the log-likelihood has
//! q log|P| / 2 as a constant. (Henderson 1976, Biometrics 32, 69-83, for relatives.)
//!
//! Where effects must sum to zero over sets of levels, A u = 0, the distribution is the conditional one:
//!
//! ```text
//! G = P^-1 A'      W = A G      K = P^-1 - G W^-1 G'      log|P| + log|W| - log|A A'| for log|P|
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::RngExt;
use rand::SeedableRng;

use crate::error::Error;
use crate::family::Random;
use crate::linalg::dense;
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
    sums: Arc<Sums>,
}

/// Sets of levels over which effects sum to zero.
#[derive(Default)]
struct Sums {
    sets: Vec<Vec<u32>>,
    /// G by columns and the Cholesky factor of W, of P / scale.
    g: Vec<f64>,
    w: Vec<f64>,
}

impl Sums {
    fn new(sets: Vec<Vec<u32>>, levels: usize, factor: &mut Factor) -> Option<Sums> {
        let count = sets.len();
        let mut g = vec![0.0; levels * count];
        for (set, g) in sets.iter().zip(g.chunks_exact_mut(levels.max(1))) {
            set.iter().for_each(|&j| g[j as usize] = 1.0);
        }
        if count > 0 {
            factor.solve_in_place(&mut g);
        }
        let mut sums = Sums { sets, g, w: Vec::new() };
        let mut w: Vec<f64> = (0..count).flat_map(|k| sums.of(&sums.g[k * levels..(k + 1) * levels])).collect();
        let definite = dense::cholesky(&mut w, count);
        sums.w = w;
        definite.then_some(sums)
    }

    /// A x.
    fn of(&self, x: &[f64]) -> Vec<f64> {
        self.sets.iter().map(|set| set.iter().map(|&j| x[j as usize]).sum()).collect()
    }

    /// x -= G W^-1 b.
    fn subtract(&self, mut b: Vec<f64>, x: &mut [f64]) {
        dense::cholesky_solve(&self.w, b.len(), &mut b);
        for (b, g) in b.iter().zip(self.g.chunks_exact(x.len().max(1))) {
            x.iter_mut().zip(g).for_each(|(x, g)| *x -= b * g);
        }
    }

    /// log|W| - log|A A'|.
    fn log_determinant(&self) -> f64 {
        let squares: f64 = self.sets.iter().map(|set| (set.len() as f64).ln()).sum();
        dense::cholesky_logdet(&self.w, self.sets.len()) - squares
    }
}

fn degenerate(why: String) -> Error {
    Error::Degenerate { why: format!("the precision of the levels {why}") }
}

impl Precision {
    /// From the lower triangle by columns, the diagonal first, and disjoint sets of levels over which effects sum to
    /// zero; refused unless positive definite.
    pub fn new(
        levels: usize,
        starts: Vec<usize>,
        rows: Vec<usize>,
        values: Vec<f64>,
        sets: Vec<Vec<u32>>,
    ) -> Result<Precision, Error> {
        if values.len() != rows.len() || values.iter().any(|v| !v.is_finite()) {
            return Err(degenerate("has entries without a finite value".into()));
        }
        if sets.iter().flatten().any(|&j| j as usize >= levels) || sets.iter().any(Vec::is_empty) {
            return Err(degenerate(format!("has sums of levels that are not among its {levels}")));
        }
        let symbolic = Symbolic::new(levels, &starts, &rows).map_err(|e| degenerate(format!("has no pattern: {e}")))?;
        let mut factor = Factor::new(symbolic);
        factor
            .refactor(&values)
            .map_err(|e| degenerate(format!("is not positive definite (found at level {})", e.column)))?;
        let sums = Sums::new(sets, levels, &mut factor);
        let sums = sums.ok_or_else(|| degenerate("has sums of levels that are not independent".into()))?;
        Ok(Precision {
            levels,
            starts: Arc::new(starts),
            rows: Arc::new(rows),
            values,
            log_determinant: factor.logdet() + sums.log_determinant(),
            factor: Arc::new(Mutex::new(factor)),
            scale: 1.0,
            sums: Arc::new(sums),
        })
    }

    pub fn levels(&self) -> usize {
        self.levels
    }

    /// Sets of levels over which effects sum to zero.
    pub fn sets(&self) -> &[Vec<u32>] {
        &self.sums.sets
    }

    /// Of P, on the effects that sum to zero.
    pub fn log_determinant(&self) -> f64 {
        self.log_determinant
    }

    /// What the matrix given was multiplied by.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Bytes of its factor.
    pub fn bytes(&self) -> u64 {
        self.factor().symbolic().panel_bytes()
    }

    /// (row, column, value) of the lower triangle, column by column.
    pub fn entries(&self) -> impl Iterator<Item = (usize, usize, f64)> + '_ {
        let column =
            move |j: usize| (self.starts[j]..self.starts[j + 1]).map(move |k| (self.rows[k], j, self.values[k]));
        (0..self.levels).flat_map(column)
    }

    /// c P.
    pub fn scaled(&self, c: f64) -> Precision {
        let free = (self.levels - self.sums.sets.len()) as f64;
        Precision {
            values: self.values.iter().map(|v| c * v).collect(),
            log_determinant: self.log_determinant + free * c.ln(),
            scale: c * self.scale,
            ..self.clone()
        }
    }

    /// A power of four near the mean of the diagonal of K: the units of the relation.
    pub fn unit(&self) -> f64 {
        let (n, mut rng) = (self.levels, Random::seed_from_u64(0));
        let signs: Vec<f64> = (0..n * PROBES).map(|_| if rng.random_range(0..2) == 0 { 1.0 } else { -1.0 }).collect();
        let mut solved = signs.clone();
        self.solve(&mut solved, PROBES);
        let sum: f64 = signs.iter().zip(&solved).map(|(z, x)| z * x).sum();
        4.0_f64.powi((sum / (n * PROBES) as f64).log(4.0).round() as i32)
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

    /// x = (K (x) I) x.
    pub fn solve(&self, x: &mut [f64], q: usize) {
        self.by_effect(x, q, |factor, columns| {
            factor.solve_in_place(columns);
            for x in columns.chunks_exact_mut(self.levels.max(1)) {
                self.sums.subtract(self.sums.of(x), x);
                x.iter_mut().for_each(|x| *x /= self.scale);
            }
        });
    }

    /// Independent standard normal numbers become a draw of u.
    pub fn colour(&self, z: &mut [f64], q: usize) {
        let root = self.scale.sqrt();
        self.by_effect(z, q, |factor, columns| {
            factor.half_solve_transpose_in_place(columns);
            for x in columns.chunks_exact_mut(self.levels.max(1)) {
                self.sums.subtract(self.sums.of(x), x);
                x.iter_mut().for_each(|x| *x /= root);
            }
        });
    }

    /// The diagonal of K.
    pub fn variances(&self) -> Vec<f64> {
        let mut inverse = vec![0.0; self.values.len()];
        self.factor().selected_inverse(&mut inverse);
        let mut found: Vec<f64> = self.starts[..self.levels].iter().map(|&k| inverse[k]).collect();
        let count = self.sums.sets.len();
        for (j, x) in found.iter_mut().enumerate() {
            let row: Vec<f64> = (0..count).map(|k| self.sums.g[k * self.levels + j]).collect();
            let mut solved = row.clone();
            dense::cholesky_solve(&self.sums.w, count, &mut solved);
            *x = (*x - row.iter().zip(&solved).map(|(a, b)| a * b).sum::<f64>()) / self.scale;
        }
        found
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
