//! The sparse factor against dense algebra.

use std::sync::Arc;

use glimm_core::linalg::sparse::{Factor, NotPositiveDefinite, SparseError, Symbolic};

/// Relative to the largest entry; the matrices have condition numbers up to about 1e3.
const TOLERANCE: f64 = 1e-12;
/// What Richardson extrapolation leaves of truncation and rounding.
const DIFFERENCE_TOLERANCE: f64 = 1e-8;

/// Uniform numbers in (-1, 1) (splitmix64).
struct Uniform(u64);

impl Uniform {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    fn below(&mut self, n: usize) -> usize {
        (((self.next() + 1.0) / 2.0) * n as f64) as usize
    }

    fn vector(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.next()).collect()
    }
}

/// Lower triangle by columns.
#[derive(Clone)]
struct Sparse {
    n: usize,
    col_ptr: Vec<usize>,
    row_idx: Vec<usize>,
    values: Vec<f64>,
}

impl Sparse {
    /// Random values on these off-diagonal positions, made positive definite by the diagonal.
    fn new(n: usize, pairs: impl IntoIterator<Item = (usize, usize)>, rng: &mut Uniform) -> Self {
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

    fn fill(&mut self, rng: &mut Uniform) {
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

    fn entries(&self) -> Vec<(usize, usize)> {
        let column = |j: usize| (self.col_ptr[j]..self.col_ptr[j + 1]).map(move |p| (p, j));
        (0..self.n).flat_map(column).map(|(p, j)| (self.row_idx[p], j)).collect()
    }

    fn dense(&self, values: &[f64]) -> Vec<Vec<f64>> {
        let mut dense = vec![vec![0.0; self.n]; self.n];
        for (&(i, j), &value) in self.entries().iter().zip(values) {
            (dense[i][j], dense[j][i]) = (value, value);
        }
        dense
    }

    fn on_pattern(&self, dense: &[Vec<f64>]) -> Vec<f64> {
        self.entries().iter().map(|&(i, j)| dense[i][j]).collect()
    }

    fn symbolic(&self) -> Arc<Symbolic> {
        Symbolic::new(self.n, &self.col_ptr, &self.row_idx).unwrap()
    }

    fn factor(&self) -> Factor {
        let mut factor = Factor::new(self.symbolic());
        factor.refactor(&self.values).unwrap();
        factor
    }
}

/// Inverse and log-determinant by Gauss-Jordan elimination (pivots of a definite matrix are
/// positive in any order).
fn invert(a: &[Vec<f64>]) -> (Vec<Vec<f64>>, f64) {
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

fn multiply(a: &[Vec<f64>], b: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let row = |a: &Vec<f64>| {
        let mut sum = vec![0.0; b[0].len()];
        for (x, b) in a.iter().zip(b) {
            sum.iter_mut().zip(b).for_each(|(s, b)| *s += x * b);
        }
        sum
    };
    a.iter().map(row).collect()
}

fn apply(a: &[Vec<f64>], x: &[f64]) -> Vec<f64> {
    a.iter().map(|row| row.iter().zip(x).map(|(a, x)| a * x).sum()).collect()
}

fn inner(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

fn assert_close(name: &str, what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    let size = expected.iter().fold(f64::MIN_POSITIVE, |m, x| m.max(x.abs()));
    let worst = found.iter().zip(expected).map(|(f, e)| (f - e).abs());
    let worst = worst.fold(0.0, |m: f64, x| if x > m || x.is_nan() { x } else { m });
    assert!(worst <= tolerance * size, "{name}: {what} off by {:e}", worst / size);
}

/// Every pair in which a member of a group meets another.
fn clique(members: &[usize]) -> Vec<(usize, usize)> {
    let after = |a: usize| members[a + 1..].iter().map(move |&j| (members[a], j));
    (0..members.len()).flat_map(after).collect()
}

/// Cells of two crossed factors.
fn crossed(a: usize, b: usize, cells: usize, rng: &mut Uniform) -> Vec<(usize, usize)> {
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

fn cases() -> Vec<(String, Sparse)> {
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
    add("disconnected", 31, halves, &mut rng);
    let pairs = crossed(90, 25, 700, &mut rng);
    add("crossed", 115, pairs, &mut rng);
    let pairs: Vec<_> = crossed(60, 30, 300, &mut rng)
        .into_iter()
        .flat_map(|(i, j)| clique(&[2 * i, 2 * i + 1, 2 * j, 2 * j + 1, 180 + i % 4]))
        .collect();
    add("crossed with slopes and a third factor", 184, pairs, &mut rng);
    for n in [5, 23, 64, 130] {
        for per_column in [1, 3, 9] {
            let pairs: Vec<_> = (0..n * per_column / 2)
                .map(|_| (rng.below(n), rng.below(n)))
                .filter(|(i, j)| i != j)
                .collect();
            add(&format!("random {n} x {per_column}"), n, pairs, &mut rng);
        }
    }
    cases
}

#[test]
fn inverse_and_logdet_equal_dense_ones() {
    for (name, matrix) in cases() {
        let mut factor = matrix.factor();
        let (inverse, logdet) = invert(&matrix.dense(&matrix.values));
        let mut selected = vec![f64::NAN; matrix.values.len()];
        factor.selected_inverse(&mut selected);
        assert_close(&name, "inverse", &selected, &matrix.on_pattern(&inverse), TOLERANCE);
        assert_close(&name, "logdet", &[factor.logdet()], &[logdet], TOLERANCE);
    }
}

#[test]
fn solves_equal_dense_ones() {
    let mut rng = Uniform(2);
    for (name, matrix) in cases() {
        let mut factor = matrix.factor();
        let (inverse, _) = invert(&matrix.dense(&matrix.values));
        // One column, some, and more than one group of columns.
        for cols in [1, 3, 70] {
            let rhs = rng.vector(matrix.n * cols);
            let mut solution = rhs.clone();
            factor.solve_in_place(&mut solution);
            let expected: Vec<f64> =
                rhs.chunks(matrix.n).flat_map(|column| apply(&inverse, column)).collect();
            assert_close(&name, "solution", &solution, &expected, TOLERANCE);
        }
    }
}

#[test]
fn half_solves_are_square_roots_of_the_inverse() {
    let mut rng = Uniform(3);
    for (name, matrix) in cases() {
        let n = matrix.n;
        let mut factor = matrix.factor();
        let (inverse, _) = invert(&matrix.dense(&matrix.values));
        for cols in [1, 5] {
            let (rhs, z) = (rng.vector(n * cols), rng.vector(n * cols));
            let (mut half, mut draw) = (rhs.clone(), z.clone());
            factor.half_solve_in_place(&mut half);
            factor.half_solve_transpose_in_place(&mut draw);
            for k in 0..cols {
                let column = k * n..(k + 1) * n;
                let (rhs, half) = (&rhs[column.clone()], &half[column.clone()]);
                let form = inner(rhs, &apply(&inverse, rhs));
                assert_close(&name, "quadratic form", &[inner(half, half)], &[form], TOLERANCE);
                // z' (L^-1 P r) and (P' L^-T z)' r are the same number.
                let (left, right) = (inner(&z[column.clone()], half), inner(&draw[column], rhs));
                let scale = inner(half, half).sqrt() * n as f64;
                assert!((left - right).abs() <= TOLERANCE * scale, "{name}: not transposes");
            }
        }
        let mut root = vec![0.0; n * n];
        (0..n).for_each(|j| root[j * n + j] = 1.0);
        factor.half_solve_transpose_in_place(&mut root);
        let columns: Vec<Vec<f64>> = root.chunks(n).map(<[f64]>::to_vec).collect();
        let rows: Vec<Vec<f64>> =
            (0..n).map(|i| columns.iter().map(|column| column[i]).collect()).collect();
        let covariance = multiply(&rows, &columns);
        let (found, expected) = (covariance.concat(), inverse.concat());
        assert_close(&name, "covariance of draws", &found, &expected, TOLERANCE);
    }
}

#[test]
fn tangent_equals_dense_one() {
    let mut rng = Uniform(4);
    for (name, matrix) in cases() {
        let mut factor = matrix.factor();
        let (inverse, _) = invert(&matrix.dense(&matrix.values));
        let mut out = vec![f64::NAN; matrix.values.len()];
        factor.selected_inverse(&mut out);
        for _ in 0..2 {
            let direction = rng.vector(matrix.values.len());
            factor.selected_inverse_tangent(&direction, &mut out);
            let change = multiply(&multiply(&inverse, &matrix.dense(&direction)), &inverse);
            let expected: Vec<f64> = matrix.on_pattern(&change).iter().map(|x| -x).collect();
            assert_close(&name, "tangent", &out, &expected, TOLERANCE);
        }
        let before = matrix.factor_inverse();
        factor.selected_inverse(&mut out);
        assert_eq!(out, before, "{name}: a tangent must not disturb the inverse");
    }
}

impl Sparse {
    fn factor_inverse(&self) -> Vec<f64> {
        let mut out = vec![f64::NAN; self.values.len()];
        self.factor().selected_inverse(&mut out);
        out
    }

    fn moved(&self, direction: &[f64], step: f64) -> Self {
        let mut moved = self.clone();
        moved.values.iter_mut().zip(direction).for_each(|(x, d)| *x += step * d);
        moved
    }
}

#[test]
fn tangent_equals_differences_of_the_inverse() {
    let mut rng = Uniform(5);
    for (name, matrix) in cases() {
        let direction = rng.vector(matrix.values.len());
        let mut tangent = vec![f64::NAN; direction.len()];
        let mut factor = matrix.factor();
        factor.selected_inverse_tangent(&direction, &mut tangent);
        let central = |step: f64| -> Vec<f64> {
            let up = matrix.moved(&direction, step).factor_inverse();
            let down = matrix.moved(&direction, -step).factor_inverse();
            up.iter().zip(&down).map(|(u, d)| (u - d) / (2.0 * step)).collect()
        };
        let step = 1e-3;
        let (whole, half, quarter) = (central(step), central(step / 2.0), central(step / 4.0));
        let refine = |coarse: &[f64], fine: &[f64], order: f64| -> Vec<f64> {
            let pairs = coarse.iter().zip(fine);
            pairs.map(|(c, f)| (order * f - c) / (order - 1.0)).collect()
        };
        let twice = refine(&refine(&whole, &half, 4.0), &refine(&half, &quarter, 4.0), 16.0);
        assert_close(&name, "difference", &tangent, &twice, DIFFERENCE_TOLERANCE);
    }
}

#[test]
fn same_input_gives_same_bits() {
    let mut rng = Uniform(6);
    let pairs = crossed(300, 80, 4_000, &mut rng);
    let mut matrix = Sparse::new(380, pairs, &mut rng);
    let first = matrix.values.clone();
    let direction = rng.vector(first.len());
    let rhs = rng.vector(matrix.n * 3);
    let symbolic = matrix.symbolic();
    let run = |factor: &mut Factor| {
        let mut all = vec![0.0; 2 * first.len()];
        factor.refactor(&first).unwrap();
        let (inverse, tangent) = all.split_at_mut(first.len());
        factor.selected_inverse(inverse);
        factor.selected_inverse_tangent(&direction, tangent);
        let mut solution = rhs.clone();
        factor.solve_in_place(&mut solution);
        all.extend(solution);
        all.push(factor.logdet());
        all.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
    };
    let mut factor = Factor::new(symbolic.clone());
    let reference = run(&mut factor);
    matrix.fill(&mut rng);
    // Other storage at other addresses, other matrices in between, and a failure.
    let mut kept: Vec<Vec<f64>> = Vec::new();
    for k in 0..6 {
        kept.push(vec![1.0; 1 + 3 * k]);
        assert_eq!(run(&mut Factor::new(symbolic.clone())), reference);
        factor.refactor(&matrix.values).unwrap();
        let negative: Vec<f64> = first.iter().map(|x| -x).collect();
        factor.refactor(&negative).unwrap_err();
        factor.refactor(&vec![f64::NAN; first.len()]).unwrap_err();
        assert_eq!(run(&mut factor), reference);
    }
}

#[test]
fn bad_pivot_names_the_callers_column() {
    for (name, matrix) in cases() {
        let mut factor = Factor::new(matrix.symbolic());
        for column in (0..matrix.n).step_by(7) {
            for bad in [-1e6, f64::NAN, f64::INFINITY] {
                let mut values = matrix.values.clone();
                values[matrix.col_ptr[column]] = bad;
                let error = factor.refactor(&values).unwrap_err();
                assert_eq!(error, NotPositiveDefinite { column }, "{name} {bad}");
                assert!(error.to_string().contains(&format!("column {column} ")));
            }
        }
        factor.refactor(&matrix.values).unwrap();
    }
}

#[test]
fn bad_patterns_are_named() {
    let error = |n, col_ptr: &[usize], row_idx: &[usize]| {
        Symbolic::new(n, col_ptr, row_idx).unwrap_err()
    };
    assert_eq!(error(2, &[0, 1], &[0]), SparseError::ColumnPointers { n: 2, at: 2 });
    assert_eq!(error(2, &[1, 1, 2], &[0, 1]), SparseError::ColumnPointers { n: 2, at: 0 });
    assert_eq!(error(2, &[0, 1, 3], &[0, 1]), SparseError::ColumnPointers { n: 2, at: 2 });
    assert_eq!(error(3, &[0, 2, 1, 3], &[0, 1, 2]), SparseError::ColumnPointers { n: 3, at: 2 });
    let missing = SparseError::Diagonal { column: 1, first_row: None };
    assert_eq!(error(2, &[0, 1, 1], &[0]), missing);
    let upper = SparseError::Diagonal { column: 1, first_row: Some(0) };
    assert_eq!(error(2, &[0, 1, 3], &[0, 0, 1]), upper);
    let twice = SparseError::RowOrder { column: 0, previous: 1, row: 1 };
    assert_eq!(error(2, &[0, 3, 4], &[0, 1, 1, 1]), twice);
    let range = SparseError::RowRange { column: 0, row: 2, n: 2 };
    assert_eq!(error(2, &[0, 2, 3], &[0, 2, 1]), range);
    assert!(range.to_string().contains("row 2 in column 0"));
}

#[test]
fn an_empty_matrix_has_determinant_one() {
    let mut factor = Factor::new(Symbolic::new(0, &[0], &[]).unwrap());
    factor.refactor(&[]).unwrap();
    assert_eq!(factor.logdet(), 0.0);
    factor.selected_inverse(&mut []);
    factor.selected_inverse_tangent(&[], &mut []);
    factor.solve_in_place(&mut []);
}

/// Two crossed factors: eliminating the levels of the larger one first fills in the smaller one
/// only, and no order does better.
#[test]
fn crossed_factors_fill_in_the_smaller_one_only() {
    let mut rng = Uniform(7);
    let (a, b) = (400, 60);
    let matrix = Sparse::new(a + b, crossed(a, b, 4_000, &mut rng), &mut rng);
    let symbolic = matrix.symbolic();
    let cells = matrix.values.len() - a - b;
    let ideal = a + cells + b * (b + 1) / 2;
    assert_eq!(symbolic.n(), a + b);
    // Supernodes may store a few zeros.
    assert!((symbolic.factor_nonzeros() as f64) < 1.05 * ideal as f64);
    assert!(symbolic.factor_nonzeros() >= ideal);
    assert!(symbolic.flops() >= (b * b * b) as f64 / 3.0);
}
