//! Matrices of many patterns, and their dense inverses.

use std::ops::Range;
use std::sync::Arc;

use glimm_core::linalg::sparse::{Factor, Symbolic};

/// Uniform numbers in (-1, 1) (splitmix64).
pub struct Uniform(pub u64);

impl Uniform {
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    pub fn below(&mut self, n: usize) -> usize {
        (((self.next() + 1.0) / 2.0) * n as f64) as usize
    }

    pub fn vector(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.next()).collect()
    }
}

/// Lower triangle by columns.
#[derive(Clone)]
pub struct Sparse {
    pub n: usize,
    pub col_ptr: Vec<usize>,
    pub row_idx: Vec<usize>,
    pub values: Vec<f64>,
}

impl Sparse {
    /// Random values on these off-diagonal positions, made positive definite by the diagonal.
    pub fn new(n: usize, pairs: impl IntoIterator<Item = (usize, usize)>, rng: &mut Uniform) -> Self {
        let mut columns: Vec<Vec<usize>> = (0..n).map(|j| vec![j]).collect();
        for (i, j) in pairs {
            columns[i.min(j)].push(i.max(j));
        }
        let (mut col_ptr, mut row_idx) = (vec![0], Vec::new());
        for mut rows in columns {
            rows.sort_unstable();
            rows.dedup();
            row_idx.extend(rows);
            col_ptr.push(row_idx.len());
        }
        let values = vec![0.0; row_idx.len()];
        let mut matrix = Self { n, col_ptr, row_idx, values };
        matrix.fill(rng);
        matrix
    }

    pub fn fill(&mut self, rng: &mut Uniform) {
        let mut diagonal = vec![0.0; self.n];
        let entries = self.entries();
        for (p, &(i, j)) in entries.iter().enumerate() {
            if i != j {
                self.values[p] = rng.next();
                diagonal[i] += self.values[p].abs();
                diagonal[j] += self.values[p].abs();
            }
        }
        for (p, &(i, j)) in entries.iter().enumerate() {
            if i == j {
                self.values[p] = diagonal[i] + 0.05 + (rng.next() + 1.0);
            }
        }
    }

    pub fn entries(&self) -> Vec<(usize, usize)> {
        let column = |j: usize| (self.col_ptr[j]..self.col_ptr[j + 1]).map(move |p| (p, j));
        (0..self.n).flat_map(column).map(|(p, j)| (self.row_idx[p], j)).collect()
    }

    pub fn dense(&self, values: &[f64]) -> Vec<Vec<f64>> {
        let mut dense = vec![vec![0.0; self.n]; self.n];
        for (&(i, j), &value) in self.entries().iter().zip(values) {
            (dense[i][j], dense[j][i]) = (value, value);
        }
        dense
    }

    pub fn on_pattern(&self, dense: &[Vec<f64>]) -> Vec<f64> {
        self.entries().iter().map(|&(i, j)| dense[i][j]).collect()
    }

    pub fn symbolic(&self) -> Arc<Symbolic> {
        Symbolic::new(self.n, &self.col_ptr, &self.row_idx).unwrap()
    }

    pub fn factor(&self) -> Factor {
        let mut factor = Factor::new(self.symbolic());
        factor.refactor(&self.values).unwrap();
        factor
    }

    pub fn factor_inverse(&self) -> Vec<f64> {
        let mut out = vec![f64::NAN; self.values.len()];
        self.factor().selected_inverse(&mut out);
        out
    }

    pub fn moved(&self, direction: &[f64], step: f64) -> Self {
        let mut moved = self.clone();
        moved.values.iter_mut().zip(direction).for_each(|(x, d)| *x += step * d);
        moved
    }
}

/// Inverse and log-determinant by Gauss-Jordan elimination (pivots of a definite matrix are
/// positive in any order).
pub fn invert(a: &[Vec<f64>]) -> (Vec<Vec<f64>>, f64) {
    let n = a.len();
    let (mut a, mut logdet) = (a.to_vec(), 0.0);
    for k in 0..n {
        let pivot = a[k][k];
        logdet += pivot.ln();
        a[k][k] = 1.0;
        a[k].iter_mut().for_each(|x| *x /= pivot);
        let row = a[k].clone();
        for (i, other) in a.iter_mut().enumerate() {
            if i != k {
                let factor = std::mem::replace(&mut other[k], 0.0);
                other.iter_mut().zip(&row).for_each(|(x, r)| *x -= factor * r);
            }
        }
    }
    (a, logdet)
}

pub fn multiply(a: &[Vec<f64>], b: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let row = |a: &Vec<f64>| {
        let mut sum = vec![0.0; b[0].len()];
        for (x, b) in a.iter().zip(b) {
            sum.iter_mut().zip(b).for_each(|(s, b)| *s += x * b);
        }
        sum
    };
    a.iter().map(row).collect()
}

pub fn apply(a: &[Vec<f64>], x: &[f64]) -> Vec<f64> {
    a.iter().map(|row| row.iter().zip(x).map(|(a, x)| a * x).sum()).collect()
}

pub fn inner(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// Every pair in which a member of a group meets another.
fn clique(members: &[usize]) -> Vec<(usize, usize)> {
    let after = |a: usize| members[a + 1..].iter().map(move |&j| (members[a], j));
    (0..members.len()).flat_map(after).collect()
}

/// Cliques of successive numbers.
pub fn overlapping<const N: usize>(ranges: [Range<usize>; N]) -> Vec<(usize, usize)> {
    ranges.map(|range| clique(&range.collect::<Vec<_>>())).concat()
}

/// Cells of two crossed factors.
pub fn crossed(a: usize, b: usize, cells: usize, rng: &mut Uniform) -> Vec<(usize, usize)> {
    (0..cells).map(|_| (rng.below(a), a + rng.below(b))).collect()
}

/// A tree: every unit meets its parent, and its parent's parents.
fn nested(n: usize, branches: usize) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    for j in 1..n {
        let mut up = j;
        while up > 0 {
            up = (up - 1) / branches;
            pairs.push((j, up));
        }
    }
    pairs
}

fn grid(side: usize) -> Vec<(usize, usize)> {
    let at = |i: usize, j: usize| i * side + j;
    let mut pairs = Vec::new();
    for i in 0..side {
        for j in 0..side {
            pairs.extend((i + 1 < side).then(|| (at(i, j), at(i + 1, j))));
            pairs.extend((j + 1 < side).then(|| (at(i, j), at(i, j + 1))));
        }
    }
    pairs
}

fn cube(side: usize) -> Vec<(usize, usize)> {
    let plane = side * side;
    let layer = |k: usize| grid(side).into_iter().map(move |(i, j)| (i + k * plane, j + k * plane));
    let between = (0..plane * (side - 1)).map(|i| (i, i + plane));
    (0..side).flat_map(layer).chain(between).collect()
}

pub fn cases() -> Vec<(String, Sparse)> {
    let mut rng = Uniform(1);
    let mut cases = Vec::new();
    let mut add = |name: &str, n: usize, pairs: Vec<(usize, usize)>, rng: &mut Uniform| {
        cases.push((name.to_string(), Sparse::new(n, pairs, rng)));
    };
    add("one", 1, vec![], &mut rng);
    add("two", 2, vec![(0, 1)], &mut rng);
    add("diagonal", 7, vec![], &mut rng);
    let blocks = (0..12).flat_map(|b| clique(&[3 * b, 3 * b + 1, 3 * b + 2])).collect();
    add("block-diagonal", 36, blocks, &mut rng);
    add("arrow", 40, (1..40).map(|i| (i, 0)).collect(), &mut rng);
    add("reversed arrow", 40, (0..39).map(|i| (i, 39)).collect(), &mut rng);
    add("tridiagonal", 60, (1..60).map(|i| (i, i - 1)).collect(), &mut rng);
    add("dense", 90, clique(&(0..90).collect::<Vec<_>>()), &mut rng);
    add("nested", 121, nested(121, 3), &mut rng);
    add("grid", 196, grid(14), &mut rng);
    let halves = clique(&[0, 1, 2, 3]).into_iter().chain((6..30).map(|i| (i, i - 1))).collect();
    add("cube", 512, cube(8), &mut rng);
    add("overlapping cliques", 190, overlapping([0..80, 50..150, 130..190]), &mut rng);
    add("disconnected", 31, halves, &mut rng);
    // Supernodes wider than those that stay whole, over more rows than are passed on together.
    add("wide overlapping cliques", 460, overlapping([0..330, 250..420, 400..460]), &mut rng);
    let pairs = crossed(90, 25, 700, &mut rng);
    add("crossed", 115, pairs, &mut rng);
    let pairs: Vec<_> = crossed(60, 30, 300, &mut rng)
        .into_iter()
        .flat_map(|(i, j)| clique(&[2 * i, 2 * i + 1, 2 * j, 2 * j + 1, 180 + i % 4]))
        .collect();
    add("crossed with slopes and a third factor", 184, pairs, &mut rng);
    for n in [5, 23, 64, 130] {
        for per_column in [1, 3, 9] {
            let pairs: Vec<_> =
                (0..n * per_column / 2).map(|_| (rng.below(n), rng.below(n))).filter(|(i, j)| i != j).collect();
            add(&format!("random {n} x {per_column}"), n, pairs, &mut rng);
        }
    }
    cases
}
