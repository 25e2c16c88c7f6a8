//! corr = alpha^|t - s|: with rows in the order of time a Markov chain, at any spacing.

use super::{Cluster, Moments, Room, Weighted, Working};

pub struct Ar1 {
    /// Times are whole, so that alpha may be negative.
    pub whole: bool,
}

/// Parameters closer to 0 or 1 than this count as being there.
const EDGE: f64 = 1e-9;

impl Ar1 {
    /// alpha^(t_k - t_(k-1))
    fn step(&self, alpha: f64, cluster: Cluster<'_>, k: usize) -> f64 {
        let gap = cluster.time[k] - cluster.time[k - 1];
        if self.whole { alpha.powi(gap as i32) } else { alpha.powf(gap) }
    }
}

impl Working for Ar1 {
    fn parameters(&self) -> usize {
        1
    }

    fn start(&self) -> Vec<f64> {
        vec![0.5]
    }

    fn linear(&self) -> bool {
        false
    }

    fn whiten(&self, alpha: &[f64], cluster: Cluster<'_>, rows: &mut [f64], width: usize, _: &mut Room) -> bool {
        // From the last row, so that the row before is still as it was.
        for k in (1..cluster.n).rev() {
            let rho = self.step(alpha[0], cluster, k);
            let rest = 1.0 - rho * rho;
            if rest <= 0.0 {
                return false;
            }
            let scale = 1.0 / rest.sqrt();
            let (before, after) = rows.split_at_mut(k * width);
            let pairs = after[..width].iter_mut().zip(&before[(k - 1) * width..]);
            pairs.for_each(|(a, b)| *a = (*a - rho * b) * scale);
        }
        true
    }

    fn moments(&self, alpha: &[f64], cluster: Cluster<'_>, given: Weighted<'_>, into: &mut Moments) {
        let a = alpha[0];
        let steps: Vec<f64> = (1..cluster.n).map(|k| self.step(a, cluster, k)).collect();
        for j in 0..cluster.n {
            let mut rho = 1.0;
            for k in j + 1..cluster.n {
                rho *= steps[k - 1];
                let slope = (cluster.time[k] - cluster.time[j]) * rho / a;
                let both = given.root[j] * given.root[k];
                into.gradient[0] += given.weight * slope * (given.residual[j] * given.residual[k] - both * rho);
                into.curvature[0] += given.weight * both * slope * slope;
            }
        }
    }

    fn inside(&self, alpha: &[f64]) -> bool {
        let (a, low) = (alpha[0], if self.whole { -1.0 + EDGE } else { EDGE });
        a > low && a < 1.0 - EDGE && a.abs() > EDGE
    }
}
