//! A regression of the correlation on covariates of pairs.

use super::{Cluster, Moments, Room, Weighted, Working};

/// How a pair is described by a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Covariate {
    One,
    /// |a - b| of the column at this place.
    Distance(usize),
    /// 1 where a = b, else 0.
    Same(usize),
    /// (a + b) / 2.
    Mean(usize),
}

impl Covariate {
    /// The covariate of this name.
    pub fn parse(name: &str, column: usize) -> Option<Covariate> {
        Some(match name {
            "1" => Covariate::One,
            "distance" => Covariate::Distance(column),
            "same" => Covariate::Same(column),
            "mean" => Covariate::Mean(column),
            _ => return None,
        })
    }
}

pub struct Pairwise {
    pub covariates: Vec<Covariate>,
    /// The correlation is tanh(z' alpha), else z' alpha itself.
    pub bounded: bool,
}

impl Pairwise {
    fn z(&self, cluster: Cluster<'_>, i: usize, j: usize, k: usize) -> f64 {
        let pair =
            |column: usize| (cluster.columns[i * cluster.width + column], cluster.columns[j * cluster.width + column]);
        match self.covariates[k] {
            Covariate::One => 1.0,
            Covariate::Distance(column) => (pair(column).0 - pair(column).1).abs(),
            Covariate::Same(column) => f64::from(pair(column).0 == pair(column).1),
            Covariate::Mean(column) => 0.5 * (pair(column).0 + pair(column).1),
        }
    }

    fn rho(&self, alpha: &[f64], cluster: Cluster<'_>, i: usize, j: usize) -> f64 {
        let sum = alpha.iter().enumerate().map(|(k, a)| a * self.z(cluster, i, j, k)).sum::<f64>();
        if self.bounded { sum.tanh() } else { sum }
    }
}

impl Working for Pairwise {
    fn parameters(&self) -> usize {
        self.covariates.len()
    }

    fn linear(&self) -> bool {
        false
    }

    fn whiten(&self, alpha: &[f64], cluster: Cluster<'_>, rows: &mut [f64], width: usize, room: &mut Room) -> bool {
        room.whiten(cluster.n, None, |i, j| self.rho(alpha, cluster, i, j), rows, width)
    }

    fn moments(&self, alpha: &[f64], cluster: Cluster<'_>, given: Weighted<'_>, into: &mut Moments) {
        let q = self.covariates.len();
        let mut slope = vec![0.0; q];
        for i in 0..cluster.n {
            for j in 0..i {
                let rho = self.rho(alpha, cluster, i, j);
                let d = if self.bounded { 1.0 - rho * rho } else { 1.0 };
                (0..q).for_each(|k| slope[k] = d * self.z(cluster, i, j, k));
                let both = given.root[i] * given.root[j];
                let rest = given.weight * (given.residual[i] * given.residual[j] - both * rho);
                for k in 0..q {
                    into.gradient[k] += slope[k] * rest;
                    (0..q).for_each(|l| into.curvature[k * q + l] += given.weight * both * slope[k] * slope[l]);
                }
            }
        }
    }

    fn inside(&self, alpha: &[f64]) -> bool {
        alpha.iter().all(|a| a.is_finite())
    }
}
