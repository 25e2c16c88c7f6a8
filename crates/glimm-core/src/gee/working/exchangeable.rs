//! R = (1 - alpha) I + alpha J: every pair has the same correlation.

use super::{Cluster, Moments, Room, Weighted, Working};

pub struct Exchangeable;

/// Multiplies rows by R^(-1/2) = (I - k J / n) / sqrt(1 - alpha), k = 1 - sqrt((1 - alpha) / (1 + (n - 1) alpha)).
pub fn whiten_block(within: f64, whole: f64, rows: &mut [f64], width: usize, sums: &mut Vec<f64>) -> bool {
    if !(within > 0.0 && whole > 0.0) {
        return false;
    }
    let scale = 1.0 / within.sqrt();
    let k = (1.0 - (within / whole).sqrt()) * width as f64 / rows.len() as f64;
    sums.clear();
    sums.resize(width, 0.0);
    rows.chunks_exact(width).for_each(|row| sums.iter_mut().zip(row).for_each(|(s, v)| *s += v));
    sums.iter_mut().for_each(|s| *s *= k);
    rows.chunks_exact_mut(width).for_each(|row| row.iter_mut().zip(&*sums).for_each(|(v, s)| *v = (*v - s) * scale));
    true
}

impl Working for Exchangeable {
    fn parameters(&self) -> usize {
        1
    }

    fn whiten(&self, alpha: &[f64], cluster: Cluster<'_>, rows: &mut [f64], width: usize, room: &mut Room) -> bool {
        let (a, n) = (alpha[0], cluster.n);
        n == 1 || whiten_block(1.0 - a, 1.0 + (n as f64 - 1.0) * a, rows, width, &mut room.sums)
    }

    fn moments(&self, _: &[f64], _: Cluster<'_>, given: Weighted<'_>, into: &mut Moments) {
        into.add(0, given.weight * products(given.residual), given.weight * products(given.root));
    }
}

/// The sum of the products of all pairs.
pub fn products(values: &[f64]) -> f64 {
    let sum: f64 = values.iter().sum();
    0.5 * (sum * sum - values.iter().map(|v| v * v).sum::<f64>())
}
