//! Ordered classes: the classes of two rows have a joint distribution with their own probabilities and uniform association,
//! every local odds ratio p_ab p_(a+1)(b+1) / (p_a(b+1) p_(a+1)b) being exp(phi) (Touloumis, Agresti and Kateri 2013,
//! Biometrics 69, 633-640), for all pairs of rows or for those of two times. phi is the maximum of the likelihood of the
//! tables of the responses at two times, all rows of a time together; it says nothing of covariates and is not updated.

use super::unstructured::at;
use super::{Cluster, Moments, Room, Weighted, Working};
use crate::gee::equations::Task;
use crate::gee::rows::{covariance_of_classes, forward};
use crate::linalg::dense::cholesky;

pub struct LocalOdds {
    /// Number of times, each pair of which has a phi of its own; none where all share one.
    pub places: usize,
}

/// Margins are met to this.
const CLOSE: f64 = 1e-14;
const SWEEPS: usize = 10_000;
/// Largest |phi|.
const MOST: f64 = 30.0;
const HALVINGS: usize = 80;

impl LocalOdds {
    fn phi(&self, alpha: &[f64], cluster: Cluster<'_>, i: usize, j: usize) -> f64 {
        if self.places == 0 { alpha[0] } else { alpha[at(cluster.place[i], cluster.place[j])] }
    }

    /// Tables (classes x classes) of the responses of two rows of a cluster, one for each pair of times, the later one
    /// down; without times one table, in which every pair stands both ways.
    fn tables(&self, task: &Task<'_>) -> Vec<Vec<f64>> {
        let (data, classes) = (task.data, task.data.parts + 1);
        let timed = !data.places.place.is_empty();
        let places = if timed { data.places.place.iter().max().map_or(0, |p| *p as usize + 1) } else { 2 };
        let mut tables = vec![vec![0.0; classes * classes]; places * (places - 1) / 2];
        for c in 0..data.clusters() {
            let (rows, copies) = (data.rows(c), task.copies(c));
            for i in rows.clone() {
                for j in rows.start..i {
                    let weight = copies * data.weights.as_ref().map_or(1.0, |w| (w[i] * w[j]).sqrt());
                    let (a, b) = (data.y[i] as usize - 1, data.y[j] as usize - 1);
                    if timed {
                        // Rows of a cluster are in the order of time.
                        tables[at(data.places.place[i], data.places.place[j])][a * classes + b] += weight;
                    } else {
                        tables[0][a * classes + b] += 0.5 * weight;
                        tables[0][b * classes + a] += 0.5 * weight;
                    }
                }
            }
        }
        tables
    }
}

impl Working for LocalOdds {
    fn parameters(&self) -> usize {
        if self.places == 0 { 1 } else { self.places * (self.places - 1) / 2 }
    }

    fn known(&self, task: &Task<'_>) -> Option<Vec<f64>> {
        let (tables, classes) = (self.tables(task), task.data.parts + 1);
        Some(match self.places {
            0 => vec![association(&tables, classes)],
            _ => tables.chunks(1).map(|table| association(table, classes)).collect(),
        })
    }

    fn joint(&self) -> bool {
        true
    }

    /// Of two rows, with L the Cholesky factors of their own covariances, the block L_i^-1 S_ij L_j^-T.
    fn whiten_classes(
        &self,
        alpha: &[f64],
        cluster: Cluster<'_>,
        below: &[f64],
        rows: &mut [f64],
        width: usize,
        room: &mut Room,
    ) -> bool {
        let m = below.len() / cluster.n;
        let own = |i: usize| &below[i * m..(i + 1) * m];
        let factor = |i: usize| {
            let mut l = vec![0.0; m * m];
            covariance_of_classes(own(i).iter().map(|f| (*f, 1.0 - f)), &mut l);
            cholesky(&mut l, m).then_some(l)
        };
        let Some(factors) = (0..cluster.n).map(factor).collect::<Option<Vec<_>>>() else { return false };
        let joint = |i: usize, j: usize| {
            let mut block = covariance(self.phi(alpha, cluster, i, j), own(i), own(j));
            forward(&factors[i], m, &mut block, m);
            let mut turned: Vec<f64> = (0..m * m).map(|k| block[k % m * m + k / m]).collect();
            forward(&factors[j], m, &mut turned, m);
            turned
        };
        let size = cluster.n * m;
        let matrix = room.identity(size);
        for i in 0..cluster.n {
            for j in 0..i {
                for (k, value) in joint(i, j).into_iter().enumerate() {
                    matrix[(i * m + k % m) * size + j * m + k / m] = value;
                }
            }
        }
        room.factored(size, rows, width)
    }

    fn whiten(&self, _: &[f64], _: Cluster<'_>, _: &mut [f64], _: usize, _: &mut Room) -> bool {
        false
    }

    fn moments(&self, _: &[f64], _: Cluster<'_>, _: Weighted<'_>, _: &mut Moments) {}

    fn inside(&self, alpha: &[f64]) -> bool {
        alpha.iter().all(|a| a.is_finite())
    }
}

/// Score of a class, centred.
fn score(class: usize, classes: usize) -> f64 {
    class as f64 - 0.5 * (classes - 1) as f64
}

/// The table with these margins and all local odds ratios exp(phi), by iterative proportional fitting.
fn table(phi: f64, down: &[f64], across: &[f64]) -> Vec<f64> {
    let n = down.len();
    let mut p: Vec<f64> = (0..n * n).map(|k| (phi * score(k / n, n) * score(k % n, n)).exp()).collect();
    let ratio = |wanted: f64, sum: f64| if sum > 0.0 { wanted / sum } else { 0.0 };
    for _ in 0..SWEEPS {
        for (row, wanted) in p.chunks_exact_mut(n).zip(down) {
            let change = ratio(*wanted, row.iter().sum());
            row.iter_mut().for_each(|v| *v *= change);
        }
        let mut most = 0.0f64;
        for (b, wanted) in across.iter().enumerate() {
            let sum: f64 = p[b..].iter().step_by(n).sum();
            let change = ratio(*wanted, sum);
            most = most.max((sum - wanted).abs());
            p[b..].iter_mut().step_by(n).for_each(|v| *v *= change);
        }
        if most < CLOSE {
            break;
        }
    }
    p
}

/// Cov(y_i <= a, y_j <= b) of two rows, (m, m).
fn covariance(phi: f64, down: &[f64], across: &[f64]) -> Vec<f64> {
    let m = down.len();
    let classes = |below: &[f64]| -> Vec<f64> {
        (0..=m).map(|k| below.get(k).unwrap_or(&1.0) - if k > 0 { below[k - 1] } else { 0.0 }).collect()
    };
    let p = table(phi, &classes(down), &classes(across));
    let mut out = vec![0.0; m * m];
    let mut sums = vec![0.0; m];
    for a in 0..m {
        let mut along = 0.0;
        for b in 0..m {
            along += p[a * (m + 1) + b];
            sums[b] += along;
            out[a * m + b] = sums[b] - down[a] * across[b];
        }
    }
    out
}

/// The phi of some tables together, each with its own margins: sum of scores a b (n_ab - N p_ab(phi)) = 0.
fn association(tables: &[Vec<f64>], classes: usize) -> f64 {
    let shares: Vec<_> = tables.iter().filter_map(|t| Margins::of(t, classes)).collect();
    let lacks = |phi: f64| shares.iter().map(|s| s.total * (s.product - expected(phi, s))).sum::<f64>();
    let (mut low, mut high) = (-MOST, MOST);
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        match lacks(middle) {
            0.0 => return middle,
            rest if rest > 0.0 => low = middle,
            _ => high = middle,
        }
    }
    0.5 * (low + high)
}

/// Margins of a table as shares, and the mean product of scores.
struct Margins {
    total: f64,
    down: Vec<f64>,
    across: Vec<f64>,
    product: f64,
}

impl Margins {
    fn of(table: &[f64], n: usize) -> Option<Margins> {
        let total: f64 = table.iter().sum();
        let share = |k: usize| table[k] / total;
        (total > 0.0).then(|| Margins {
            total,
            down: (0..n).map(|a| (0..n).map(|b| share(a * n + b)).sum()).collect(),
            across: (0..n).map(|b| (0..n).map(|a| share(a * n + b)).sum()).collect(),
            product: (0..n * n).map(|k| score(k / n, n) * score(k % n, n) * share(k)).sum(),
        })
    }
}

fn expected(phi: f64, margins: &Margins) -> f64 {
    let n = margins.down.len();
    let p = table(phi, &margins.down, &margins.across);
    (0..n * n).map(|k| score(k / n, n) * score(k % n, n) * p[k]).sum()
}
