//! Residuals and slopes of all rows at a linear predictor.

use rayon::prelude::*;

use super::data::{Data, PARALLEL_ROWS};
use crate::linalg::dense::cholesky;

/// Residuals divided by their standard deviation at scale 1, and what a coefficient's column is multiplied by to
/// give the derivative of the mean in the same units: for ordered classes m numbers and m x m numbers a row.
pub struct Rows {
    pub residual: Vec<f64>,
    pub slope: Vec<f64>,
}

/// Piece of rows for one thread.
const PIECE: usize = 4096;

impl Rows {
    /// At coefficients; `None` where a mean is outside of the family's range.
    pub fn new(data: &Data, beta: &[f64]) -> Option<Rows> {
        Rows::at(data, beta, |i| eta(data, &beta[data.standard.thresholds..], i))
    }

    /// Before any coefficient is known: every row at the starting value of its own response. The residuals then are
    /// those of the linear predictor, slope (eta - offset), whose least squares start the search.
    pub fn start(data: &Data) -> Option<Rows> {
        let guess = |i: usize| data.family.start(data.y[i], data.size.as_ref().map_or(1.0, |s| s[i]));
        let own = |i: usize| Some(guess(i)).filter(|e| e.is_finite()).unwrap_or(0.0);
        let mut rows = Rows::at(data, &[], own)?;
        for i in 0..data.n() {
            rows.residual[i] += rows.slope[i] * (own(i) - data.offset.as_ref().map_or(0.0, |o| o[i]));
        }
        Some(rows)
    }

    fn at(data: &Data, beta: &[f64], eta: impl Fn(usize) -> f64 + Sync) -> Option<Rows> {
        let m = data.parts;
        let mut rows = Rows { residual: vec![0.0; data.n() * m], slope: vec![0.0; data.n() * m * m] };
        let piece = |(piece, (residual, slope)): (usize, (&mut [f64], &mut [f64]))| {
            let each = residual.chunks_exact_mut(m).zip(slope.chunks_exact_mut(m * m));
            each.enumerate().all(|(k, (residual, slope))| {
                let i = piece * PIECE + k;
                match data.standard.thresholds {
                    0 => plain(data, i, eta(i), residual, slope),
                    t => classes(data, i, eta(i), &beta[..t], residual, slope),
                }
            })
        };
        let (residual, slope) = (&mut rows.residual, &mut rows.slope);
        let valid = if data.n() < PARALLEL_ROWS {
            residual.chunks_mut(PIECE * m).zip(slope.chunks_mut(PIECE * m * m)).enumerate().all(piece)
        } else {
            let pieces = residual.par_chunks_mut(PIECE * m).zip(slope.par_chunks_mut(PIECE * m * m));
            pieces.enumerate().map(piece).reduce(|| true, |a, b| a && b)
        };
        valid.then_some(rows)
    }
}

/// x beta + offset.
pub fn eta(data: &Data, beta: &[f64], i: usize) -> f64 {
    let x = &data.x[i * data.columns..(i + 1) * data.columns];
    let sum: f64 = x.iter().zip(beta).map(|(x, b)| x * b).sum();
    sum + data.offset.as_ref().map_or(0.0, |o| o[i])
}

/// (y - mu) / sd and (d mu / d eta) / sd.
fn plain(data: &Data, i: usize, eta: f64, residual: &mut [f64], slope: &mut [f64]) -> bool {
    let size = data.size.as_ref().map_or(1.0, |s| s[i]);
    let mut predictors = [eta, 0.0, 0.0, 0.0];
    predictors[1..=data.extra.len()].copy_from_slice(&data.extra);
    let [mean, d, ..] = data.family.link().inverse_derivatives(eta);
    let variance = data.family.variance(&predictors[..=data.extra.len()], size);
    let root = data.precision.as_ref().map_or(1.0, |p| p[i]) / variance.sqrt();
    residual[0] = (data.y[i] / size - mean) * root;
    slope[0] = d * root;
    variance > 0.0 && residual[0].is_finite() && slope[0].is_finite()
}

/// The indicators y <= k have means F(theta_k - eta) and covariances F_j (1 - F_k), j <= k. With their Cholesky
/// factor L: L^-1 (indicator - mean), and L^-1 diag(F').
fn classes(data: &Data, i: usize, eta: f64, thresholds: &[f64], residual: &mut [f64], slope: &mut [f64]) -> bool {
    let m = thresholds.len();
    let link = data.family.link();
    let tails: Vec<(f64, f64)> = thresholds.iter().map(|t| (link.inverse(t - eta), link.complement(t - eta))).collect();
    let mut l = vec![0.0; m * m];
    for j in 0..m {
        for k in 0..=j {
            l[j * m + k] = tails[k].0 * tails[j].1;
        }
        residual[j] = if data.y[i] <= (j + 1) as f64 { tails[j].1 } else { -tails[j].0 };
    }
    if !cholesky(&mut l, m) {
        return false;
    }
    let root = data.precision.as_ref().map_or(1.0, |p| p[i]);
    slope.fill(0.0);
    for j in 0..m {
        slope[j * m + j] = link.inverse_derivatives(thresholds[j] - eta)[1] * root;
        residual[j] *= root;
    }
    forward(&l, m, residual, 1);
    forward(&l, m, slope, m);
    residual.iter().chain(slope.iter()).all(|v| v.is_finite())
}

/// Overwrites `width` columns, stored row by row, by L^-1 times them.
pub fn forward(l: &[f64], n: usize, rows: &mut [f64], width: usize) {
    for i in 0..n {
        let (before, rest) = rows.split_at_mut(i * width);
        let row = &mut rest[..width];
        for k in 0..i {
            let factor = l[i * n + k];
            if factor != 0.0 {
                row.iter_mut().zip(&before[k * width..(k + 1) * width]).for_each(|(a, b)| *a -= factor * b);
            }
        }
        let d = 1.0 / l[i * n + i];
        row.iter_mut().for_each(|a| *a *= d);
    }
}
