//! R = (1 - alpha) I + alpha J: every pair has the same correlation.

use super::{Cluster, Moments, Room, Working};

pub struct Exchangeable;

/// Multiplies rows by R^(-1/2) = (I - k J / n) / sqrt(1 - alpha), k = 1 - sqrt((1 - alpha) / (1 + (n - 1) alpha)).
pub fn whiten_block(within: f64, whole: f64, n: usize, rows: &mut [f64], width: usize) -> bool {
    if !(within > 0.0 && whole > 0.0) {
        return false;
    }
    let scale = 1.0 / within.sqrt();
    let k = (1.0 - (within / whole).sqrt()) / n as f64;
    for column in 0..width {
        let sum: f64 = rows[column..].iter().step_by(width).sum();
        rows[column..].iter_mut().step_by(width).for_each(|v| *v = (*v - k * sum) * scale);
    }
    true
}

impl Working for Exchangeable {
    fn parameters(&self) -> usize {
        1
    }

    fn whiten(&self, alpha: &[f64], cluster: Cluster<'_>, rows: &mut [f64], width: usize, _: &mut Room) -> bool {
        let (a, n) = (alpha[0], cluster.n);
        n == 1 || whiten_block(1.0 - a, 1.0 + (n as f64 - 1.0) * a, n, rows, width)
    }

    fn moments(&self, _: &[f64], cluster: Cluster<'_>, residual: &[f64], weight: f64, into: &mut Moments) {
        let n = cluster.n as f64;
        into.add(0, weight * products(residual), weight * 0.5 * n * (n - 1.0));
    }
}

/// The sum of the products of all pairs.
pub fn products(residual: &[f64]) -> f64 {
    let sum: f64 = residual.iter().sum();
    0.5 * (sum * sum - residual.iter().map(|r| r * r).sum::<f64>())
}
