//! What is handed down, as a sparse precision: Q = (I - C)' D^-1 (I - C).

use super::UNKNOWN;

/// Up to two parents of each individual, which precede it, with their weights, and the variance of what is its own.
#[derive(Clone, Debug)]
pub struct Descent {
    pub parents: Vec<[u32; 2]>,
    pub weights: Vec<[f64; 2]>,
    pub variance: Vec<f64>,
}

/// The lower triangle of a symmetric matrix by columns, rows ascending, the diagonal first.
#[derive(Clone, Debug, PartialEq)]
pub struct Lower {
    pub starts: Vec<usize>,
    pub rows: Vec<u32>,
    pub values: Vec<f64>,
}

impl Descent {
    /// The precision by Henderson's rules (1976): each individual adds t t' / D with t = e_i - sum_j c_ij e_j.
    pub fn precision(&self) -> Lower {
        let n = self.parents.len();
        let mut starts = vec![0usize; n + 1];
        self.each(|_, column, _| starts[column as usize + 1] += 1);
        (0..n).for_each(|j| starts[j + 1] += starts[j]);
        let mut entries = vec![(0u32, 0.0f64); starts[n]];
        let mut next = starts.clone();
        self.each(|row, column, value| {
            entries[next[column as usize]] = (row, value);
            next[column as usize] += 1;
        });
        summed(&starts, entries)
    }

    /// log|Q^-1|, exactly: I - C is unit triangular.
    pub fn log_determinant(&self) -> f64 {
        self.variance.iter().map(|v| libm::log(*v)).sum()
    }

    /// Calls `add` with (row, column, value) of every piece of the lower triangle, individuals in order.
    fn each(&self, mut add: impl FnMut(u32, u32, f64)) {
        for (i, ((parents, weights), variance)) in
            self.parents.iter().zip(&self.weights).zip(&self.variance).enumerate()
        {
            let (piece, count) = piece(i as u32, *parents, *weights);
            for (k, &(row, t)) in piece[..count].iter().enumerate() {
                for &(column, u) in &piece[..=k] {
                    add(row.max(column), row.min(column), t * u / variance);
                }
            }
        }
    }

    /// Q^-1 x: down the pedigree after up.
    pub fn covariance_times(&self, x: &[f64]) -> Vec<f64> {
        let mut v = x.to_vec();
        for i in (0..v.len()).rev() {
            for (&p, w) in self.parents[i].iter().zip(self.weights[i]).filter(|(p, _)| **p != UNKNOWN) {
                v[p as usize] += w * v[i];
            }
        }
        v.iter_mut().zip(&self.variance).for_each(|(v, d)| *v *= d);
        self.down(&mut v);
        v
    }

    /// (I - C)^-1 x in place: what each has from its ancestors and itself.
    pub fn down(&self, v: &mut [f64]) {
        for i in 0..v.len() {
            for (&p, w) in self.parents[i].iter().zip(self.weights[i]).filter(|(p, _)| **p != UNKNOWN) {
                v[i] += w * v[p as usize];
            }
        }
    }
}

/// The entries of t: the individual and its known parents, one that is both counted once.
fn piece(i: u32, [s, d]: [u32; 2], [a, b]: [f64; 2]) -> ([(u32, f64); 3], usize) {
    let mut found = ([(i, 1.0), (UNKNOWN, 0.0), (UNKNOWN, 0.0)], 1);
    if s == d && s != UNKNOWN {
        found.0[1] = (s, -(a + b));
        return (found.0, 2);
    }
    for (p, w) in [(s, a), (d, b)] {
        if p != UNKNOWN {
            found.0[found.1] = (p, -w);
            found.1 += 1;
        }
    }
    found
}

/// Entries of one place added up, in the order in which they came.
fn summed(starts: &[usize], mut entries: Vec<(u32, f64)>) -> Lower {
    let n = starts.len() - 1;
    let mut out = Lower { starts: Vec::with_capacity(n + 1), rows: Vec::new(), values: Vec::new() };
    out.starts.push(0);
    for j in 0..n {
        let column = &mut entries[starts[j]..starts[j + 1]];
        column.sort_by_key(|e| e.0);
        for same in column.chunk_by(|x, y| x.0 == y.0) {
            out.rows.push(same[0].0);
            out.values.push(same.iter().map(|e| e.1).sum());
        }
        out.starts.push(out.rows.len());
    }
    out
}
