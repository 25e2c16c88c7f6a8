//! Standard units of the columns: centred where there is an intercept, and scaled; results are mapped back.

use crate::linalg::dense::cholesky_solve;

/// Squared length, relative to the column's own, below which what a column adds to the earlier ones is rounding.
const COLLINEAR: f64 = 1e-11;

/// User's coefficients are `map` times those in standard units.
pub struct Standard {
    /// Columns of X that are kept.
    pub kept: Vec<usize>,
    /// Thresholds before the coefficients.
    pub thresholds: usize,
    centers: Vec<f64>,
    scales: Vec<f64>,
    intercept: Option<usize>,
}

impl Standard {
    /// Standardises a matrix of `n` rows and `p` columns, stored row by row, and drops columns that repeat earlier ones.
    pub fn new(x: &mut Vec<f64>, n: usize, p: usize, thresholds: usize) -> Standard {
        let intercept = constant(x, p);
        let shifts = intercept.is_some() || thresholds > 0;
        let (mut centers, mut scales) = (vec![0.0; p], vec![1.0; p]);
        let means = means(x, n, p, |_, v| v);
        for j in 0..p {
            centers[j] = if shifts && Some(j) != intercept { means[j] } else { 0.0 };
        }
        let squares = self::means(x, n, p, |j, v| (v - centers[j]).powi(2));
        for j in 0..p {
            let visible = squares[j] > COLLINEAR * means[j] * means[j];
            scales[j] = if visible { squares[j].sqrt() } else { 0.0 };
        }
        for row in x.chunks_exact_mut(p.max(1)) {
            for j in 0..p {
                row[j] = if scales[j] > 0.0 { (row[j] - centers[j]) / scales[j] } else { 0.0 };
            }
        }
        let kept = independent(x, n, p);
        let take = |all: &[f64]| kept.iter().map(|&j| all[j]).collect::<Vec<f64>>();
        let (centers, scales) = (take(&centers), take(&scales));
        if kept.len() < p {
            *x = x.chunks_exact(p).flat_map(|row| kept.iter().map(|&j| row[j]).collect::<Vec<f64>>()).collect();
        }
        let intercept = intercept.and_then(|j| kept.iter().position(|&k| k == j));
        Standard { kept, thresholds, centers, scales, intercept }
    }

    /// Number of coefficients, thresholds included.
    pub fn len(&self) -> usize {
        self.thresholds + self.kept.len()
    }

    pub fn to_user(&self, beta: &[f64]) -> Vec<f64> {
        let t = self.thresholds;
        let mut out = beta.to_vec();
        let mut shift = 0.0;
        for (j, (center, scale)) in self.centers.iter().zip(&self.scales).enumerate() {
            out[t + j] /= scale;
            shift += center * out[t + j];
        }
        // A threshold is crossed by eta, an intercept is part of it.
        out[..t].iter_mut().for_each(|threshold| *threshold += shift);
        if let (Some(j), 0) = (self.intercept, t) {
            out[j] -= shift;
        }
        out
    }

    pub fn to_standard(&self, beta: &[f64]) -> Vec<f64> {
        let t = self.thresholds;
        let mut out = beta.to_vec();
        let shift: f64 = self.centers.iter().zip(&beta[t..]).map(|(center, b)| center * b).sum();
        for (j, scale) in self.scales.iter().enumerate() {
            out[t + j] = beta[t + j] * scale;
        }
        out[..t].iter_mut().for_each(|threshold| *threshold -= shift);
        if let (Some(j), 0) = (self.intercept, t) {
            out[j] = (beta[j] + shift) * self.scales[j];
        }
        out
    }

    /// The matrix of `to_user`, row by row.
    pub fn map(&self) -> Vec<f64> {
        let p = self.len();
        let mut map = vec![0.0; p * p];
        for k in 0..p {
            let mut unit = vec![0.0; p];
            unit[k] = 1.0;
            self.to_user(&unit).iter().enumerate().for_each(|(i, v)| map[i * p + k] = *v);
        }
        map
    }

    /// The matrix of `to_standard`, row by row.
    pub fn inverse_map(&self) -> Vec<f64> {
        let p = self.len();
        let mut map = vec![0.0; p * p];
        for k in 0..p {
            let mut unit = vec![0.0; p];
            unit[k] = 1.0;
            self.to_standard(&unit).iter().enumerate().for_each(|(i, v)| map[i * p + k] = *v);
        }
        map
    }

    /// T V T' with T of [`Standard::map`].
    pub fn covariance_to_user(&self, v: &[f64]) -> Vec<f64> {
        sandwich(&self.map(), v, self.len())
    }
}

/// The first column that is the same number other than zero in all rows.
fn constant(x: &[f64], p: usize) -> Option<usize> {
    let first = x.get(..p)?;
    (0..p).find(|&j| first[j] != 0.0 && x.chunks_exact(p).all(|row| row[j] == first[j]))
}

/// The mean of a function of each column.
fn means(x: &[f64], n: usize, p: usize, f: impl Fn(usize, f64) -> f64) -> Vec<f64> {
    let mut sums = vec![0.0; p];
    x.chunks_exact(p.max(1)).for_each(|row| (0..p).for_each(|j| sums[j] += f(j, row[j])));
    sums.iter().map(|s| s / n as f64).collect()
}

/// A V A'.
pub(super) fn sandwich(a: &[f64], v: &[f64], p: usize) -> Vec<f64> {
    let av: Vec<f64> = (0..p * p).map(|i| (0..p).map(|k| a[i / p * p + k] * v[k * p + i % p]).sum()).collect();
    (0..p * p).map(|i| (0..p).map(|k| av[i / p * p + k] * a[i % p * p + k]).sum()).collect()
}

/// The columns that are not combinations of earlier ones, by Cholesky's method on X'X.
fn independent(x: &[f64], n: usize, p: usize) -> Vec<usize> {
    let mut gram = vec![0.0; p * p];
    for row in x.chunks_exact(p.max(1)).take(n) {
        for i in 0..p {
            for j in 0..=i {
                gram[i * p + j] += row[i] * row[j];
            }
        }
    }
    let mut kept: Vec<usize> = Vec::new();
    let mut factor: Vec<Vec<f64>> = Vec::new();
    for j in 0..p {
        let mut line = Vec::with_capacity(kept.len() + 1);
        for (a, &k) in kept.iter().enumerate() {
            let cross: f64 = (0..a).map(|c| line[c] * factor[a][c]).sum();
            line.push((gram[j * p + k] - cross) / factor[a][a]);
        }
        let rest = gram[j * p + j] - line.iter().map(|v| v * v).sum::<f64>();
        if gram[j * p + j] > 0.0 && rest > COLLINEAR * gram[j * p + j] {
            line.push(rest.sqrt());
            kept.push(j);
            factor.push(line);
        }
    }
    kept
}

/// The inverse of L L', row by row.
pub(super) fn inverse(l: &[f64], p: usize) -> Vec<f64> {
    let mut out = vec![0.0; p * p];
    for (j, row) in out.chunks_exact_mut(p.max(1)).enumerate() {
        row[j] = 1.0;
        cholesky_solve(l, p, row);
    }
    out
}
