//! Working correlations: one file each, and a row of [`lookup`].

mod ar1;
mod dense;
mod exchangeable;
mod fixed;
mod independence;
mod lagged;
mod local_odds;
mod nested;
mod pairwise;
mod unstructured;

use super::equations::Task;
use super::moments::Moments;
use crate::error::Error;
pub use dense::Room;
pub use pairwise::Covariate;

/// Where the rows of a problem stand within their cluster; columns that are not needed are empty.
#[derive(Default, Clone)]
pub struct Places {
    /// Time in units of the shortest distance.
    pub time: Vec<f64>,
    /// Position among all times.
    pub place: Vec<u32>,
    /// Subcluster.
    pub sub: Vec<u32>,
    /// Columns that pairs are compared by, row by row.
    pub columns: Vec<f64>,
    pub width: usize,
}

impl Places {
    pub fn taken(&self, order: &[u32]) -> Places {
        let rows = order.iter().map(|&i| i as usize);
        Places {
            time: if self.time.is_empty() { Vec::new() } else { rows.clone().map(|i| self.time[i]).collect() },
            place: if self.place.is_empty() { Vec::new() } else { rows.clone().map(|i| self.place[i]).collect() },
            sub: if self.sub.is_empty() { Vec::new() } else { rows.clone().map(|i| self.sub[i]).collect() },
            columns: rows.flat_map(|i| self.columns[i * self.width..(i + 1) * self.width].iter().copied()).collect(),
            width: self.width,
        }
    }

    /// Sorts the rows of a cluster.
    pub fn sort(&self, rows: &mut [u32]) {
        if !self.sub.is_empty() {
            rows.sort_by_key(|&i| self.sub[i as usize]);
        } else if !self.time.is_empty() {
            rows.sort_by(|&a, &b| self.time[a as usize].total_cmp(&self.time[b as usize]));
        } else if !self.place.is_empty() {
            rows.sort_by_key(|&i| self.place[i as usize]);
        }
    }

    /// Those of some rows.
    pub fn of(&self, rows: std::ops::Range<usize>) -> Cluster<'_> {
        fn part<T>(all: &[T], rows: std::ops::Range<usize>) -> &[T] {
            if all.is_empty() { &[] } else { &all[rows] }
        }
        Cluster {
            n: rows.len(),
            time: part(&self.time, rows.clone()),
            place: part(&self.place, rows.clone()),
            sub: part(&self.sub, rows.clone()),
            columns: &self.columns[rows.start * self.width..rows.end * self.width],
            width: self.width,
        }
    }
}

/// The rows of one cluster.
#[derive(Clone, Copy)]
pub struct Cluster<'a> {
    pub n: usize,
    pub time: &'a [f64],
    pub place: &'a [u32],
    pub sub: &'a [u32],
    pub columns: &'a [f64],
    pub width: usize,
}

/// Standardised residuals of a cluster's rows, times the square roots of their weights; these roots; and the weight of
/// the cluster.
#[derive(Clone, Copy)]
pub struct Weighted<'a> {
    pub residual: &'a [f64],
    pub root: &'a [f64],
    pub weight: f64,
}

impl Weighted<'_> {
    /// Adds a pair of rows to the moments of parameter k.
    fn pair(&self, i: usize, j: usize, k: usize, into: &mut Moments) {
        let both = |v: &[f64]| self.weight * v[i] * v[j];
        into.add(k, both(self.residual), both(self.root));
    }
}

/// A correlation matrix R(alpha) of the rows of any cluster.
pub trait Working: Send + Sync {
    /// Number of parameters.
    fn parameters(&self) -> usize {
        0
    }

    /// Where the search starts.
    fn start(&self) -> Vec<f64> {
        vec![0.0; self.parameters()]
    }

    /// Whether each parameter is the correlation of some pairs, each pair having one; its estimate is then a mean.
    fn linear(&self) -> bool {
        true
    }

    /// Multiplies the rows of a cluster, `width` numbers each, by a W with W'W = R^-1; false when R is not positive definite.
    fn whiten(&self, alpha: &[f64], cluster: Cluster<'_>, rows: &mut [f64], width: usize, room: &mut Room) -> bool;

    /// Adds the products of pairs of standardised residuals. Where the model is linear: their sums, and how many there are;
    /// else gradient and curvature of the squared distance between them and the correlations.
    fn moments(&self, alpha: &[f64], cluster: Cluster<'_>, given: Weighted<'_>, into: &mut Moments);

    /// Parameters that the responses tell before the fit, in place of moments of residuals.
    fn known(&self, _task: &Task<'_>) -> Option<Vec<f64>> {
        None
    }

    /// Whether all thresholds of a row are made uncorrelated together, by `whiten_classes`.
    fn joint(&self) -> bool {
        false
    }

    /// As `whiten` for the m thresholds of every row, one after the other, which are uncorrelated within a row.
    /// `below` has the probabilities of the classes up to each threshold.
    fn whiten_classes(
        &self,
        _alpha: &[f64],
        _cluster: Cluster<'_>,
        _below: &[f64],
        _rows: &mut [f64],
        _width: usize,
        _room: &mut Room,
    ) -> bool {
        false
    }

    /// Whether parameters are in range.
    fn inside(&self, alpha: &[f64]) -> bool {
        alpha.iter().all(|a| a.abs() < 1.0)
    }
}

/// What is known of a structure besides its name.
#[derive(Default, Clone)]
pub struct Extent {
    /// Number of positions, or of lags with a parameter.
    pub size: usize,
    /// A given matrix, row by row.
    pub matrix: Vec<f64>,
    /// Covariates of pairs, and whether the correlation is the hyperbolic tangent of the predictor.
    pub covariates: Vec<Covariate>,
    pub bounded: bool,
    /// Whether all times are whole.
    pub whole: bool,
}

pub const NAMES: [&str; 10] = [
    "ar1",
    "exchangeable",
    "fixed",
    "independence",
    "local_odds",
    "m_dependent",
    "nested",
    "pairwise",
    "toeplitz",
    "unstructured",
];

/// The structure of this name.
pub fn lookup(name: &str, extent: Extent) -> Result<Box<dyn Working>, Error> {
    Ok(match name {
        "independence" => Box::new(independence::Independence),
        "exchangeable" => Box::new(exchangeable::Exchangeable),
        "ar1" => Box::new(ar1::Ar1 { whole: extent.whole }),
        "m_dependent" | "toeplitz" => Box::new(lagged::Lagged { lags: extent.size }),
        "local_odds" => Box::new(local_odds::LocalOdds { places: extent.size }),
        "unstructured" => Box::new(unstructured::Unstructured { places: extent.size }),
        "nested" => Box::new(nested::Nested),
        "fixed" => Box::new(fixed::Fixed { matrix: extent.matrix, places: extent.size }),
        "pairwise" => Box::new(pairwise::Pairwise { covariates: extent.covariates, bounded: extent.bounded }),
        _ => {
            let allowed = NAMES.iter().map(|&n| n.to_owned()).collect();
            return Err(Error::Unknown { what: "working correlation", name: name.to_owned(), allowed });
        }
    })
}
