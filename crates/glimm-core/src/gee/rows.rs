//! Residuals and slopes of all rows at a linear predictor.

use rayon::prelude::*;

use super::data::{Data, PARALLEL_ROWS};
use crate::linalg::dense::cholesky;

/// Residuals divided by their standard deviation at scale 1, and what a coefficient's column is multiplied by to
/// give the derivative of the mean in the same units: for ordered classes m numbers and m x m numbers a row.
pub struct Rows {
    pub residual: Vec<f64>,
    pub slope: Vec<f64>,
    /// Sum of squares of the residuals.
    pub squares: f64,
    /// Of ordered classes the probabilities of those up to each threshold.
    pub below: Vec<f64>,
}

/// Piece of rows for one thread.
const PIECE: usize = 1024;

impl Rows {
    /// At coefficients; `None` where a mean is outside of the family's range.
    pub fn new(data: &Data, beta: &[f64]) -> Option<Rows> {
        let t = data.standard.thresholds;
        Rows::at(data, &beta[..t], |first, out| eta(data, &beta[t..], first, out))
    }

    /// Before any coefficient is known: every row at the starting value of its own response. The residuals then are
    /// those of the linear predictor, slope (eta - offset), whose least squares start the search.
    pub fn start(data: &Data) -> Option<Rows> {
        let guess = |i: usize| data.family.start(data.y[i], data.size.as_ref().map_or(1.0, |s| s[i]));
        let own = |i: usize| Some(guess(i)).filter(|e| e.is_finite()).unwrap_or(0.0);
        let each = |first: usize, out: &mut [f64]| out.iter_mut().enumerate().for_each(|(k, e)| *e = own(first + k));
        let mut rows = Rows::at(data, &[], each)?;
        for i in 0..data.n() {
            rows.residual[i] += rows.slope[i] * (own(i) - data.offset.as_ref().map_or(0.0, |o| o[i]));
        }
        Some(rows)
    }

    fn at(data: &Data, thresholds: &[f64], eta: impl Fn(usize, &mut [f64]) + Sync) -> Option<Rows> {
        let m = data.parts;
        let (mut residual, mut slope) = (vec![0.0; data.n() * m], vec![0.0; data.n() * m * m]);
        let piece = |(piece, (residual, slope)): (usize, (&mut [f64], &mut [f64]))| {
            let (mut etas, first) = (vec![0.0; residual.len() / m], piece * PIECE);
            eta(first, &mut etas);
            let valid = match thresholds {
                [] => plain(data, first, &etas, residual, slope),
                _ => {
                    let each = residual.chunks_exact_mut(m).zip(slope.chunks_exact_mut(m * m)).zip(&etas).enumerate();
                    each.map(|(k, ((r, s), eta))| classes(data, first + k, *eta, thresholds, r, s)).all(|valid| valid)
                }
            };
            valid.then(|| residual.iter().map(|e| e * e).sum::<f64>())
        };
        let squares: Vec<Option<f64>> = if data.n() < PARALLEL_ROWS {
            residual.chunks_mut(PIECE * m).zip(slope.chunks_mut(PIECE * m * m)).enumerate().map(piece).collect()
        } else {
            let pieces = residual.par_chunks_mut(PIECE * m).zip(slope.par_chunks_mut(PIECE * m * m));
            pieces.enumerate().map(piece).collect()
        };
        let squares = squares.into_iter().sum::<Option<f64>>()?;
        let mut below = Vec::new();
        if !thresholds.is_empty() {
            let (mut etas, link) = (vec![0.0; data.n()], data.family.link());
            eta(0, &mut etas);
            etas.iter().for_each(|eta| below.extend(thresholds.iter().map(|t| link.inverse(t - eta))));
        }
        Some(Rows { residual, slope, squares, below })
    }
}

/// x beta + offset of some rows.
fn eta(data: &Data, beta: &[f64], first: usize, out: &mut [f64]) {
    out.fill(0.0);
    if let Some(offset) = &data.offset {
        out.copy_from_slice(&offset[first..first + out.len()]);
    }
    if data.columns > 0 {
        let x = data.x[first * data.columns..].chunks_exact(data.columns);
        out.iter_mut().zip(x).for_each(|(e, x)| *e += x.iter().zip(beta).map(|(x, b)| x * b).sum::<f64>());
    }
}

/// (y - mu) / sd and (d mu / d eta) / sd of some rows.
fn plain(data: &Data, first: usize, eta: &[f64], residual: &mut [f64], slope: &mut [f64]) -> bool {
    let some = |all: &Option<Vec<f64>>| all.as_ref().map(|v| v[first..first + eta.len()].to_vec());
    let (size, precision) = (some(&data.size), some(&data.precision));
    let (mut mean, mut root) = (vec![0.0; eta.len()], vec![0.0; eta.len()]);
    data.family.link().means(eta, &mut mean, slope);
    data.family.variances(eta, &data.extra, size.as_deref(), &mut root);
    root.iter_mut().for_each(|v| *v = 1.0 / v.sqrt());
    if let Some(precision) = precision {
        root.iter_mut().zip(&precision).for_each(|(r, p)| *r *= p);
    }
    residual.copy_from_slice(&data.y[first..first + eta.len()]);
    if let Some(size) = size {
        residual.iter_mut().zip(&size).for_each(|(y, n)| *y /= n);
    }
    residual.iter_mut().zip(&mean).zip(&root).for_each(|((e, mean), root)| *e = (*e - mean) * root);
    slope.iter_mut().zip(&root).for_each(|(d, root)| *d *= root);
    // A variance that is not above zero has made one of them infinite or NaN.
    residual.iter().chain(slope.iter()).all(|v| v.is_finite())
}

/// The indicators y <= k have means F(theta_k - eta) and covariances F_j (1 - F_k), j <= k. With their Cholesky
/// factor L: L^-1 (indicator - mean), and L^-1 diag(F').
fn classes(data: &Data, i: usize, eta: f64, thresholds: &[f64], residual: &mut [f64], slope: &mut [f64]) -> bool {
    let m = thresholds.len();
    let link = data.family.link();
    let tails: Vec<(f64, f64)> = thresholds.iter().map(|t| (link.inverse(t - eta), link.complement(t - eta))).collect();
    let mut l = vec![0.0; m * m];
    covariance_of_classes(tails.iter().copied(), &mut l);
    for j in 0..m {
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

/// Covariances of the indicators y <= k, below the diagonal, from P(y <= k) and P(y > k).
pub fn covariance_of_classes(tails: impl Iterator<Item = (f64, f64)> + Clone, out: &mut [f64]) {
    let m = out.len().isqrt();
    for (j, (_, above)) in tails.clone().enumerate() {
        tails.clone().take(j + 1).enumerate().for_each(|(k, (below, _))| out[j * m + k] = below * above);
    }
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
