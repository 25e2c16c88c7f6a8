//! Dense symmetric positive definite matrices: Cholesky factor, solves, inverse, sandwich.
//!
//! Matrices are stored by columns; of symmetric ones only the lower triangle (with the diagonal) is
//! read and written, unless said otherwise. One thread: equal input gives equal bits.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt;
use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::triangular_solve::{solve_lower_triangular_in_place, solve_upper_triangular_in_place};
use faer::{Accum, MatMut, MatRef, Par};

use super::clean::clean;

/// Columns of a right-hand side beyond which blocked solves are quicker than one column at a time.
const BLOCKED: usize = 4;
/// Edge of the tiles in which a matrix is mirrored: one of the two accesses is strided.
const TILE: usize = 16;

fn mat(data: &[f64], rows: usize, cols: usize) -> MatRef<'_, f64> {
    MatRef::from_column_major_slice(data, rows, cols)
}

fn mat_mut(data: &mut [f64], rows: usize, cols: usize) -> MatMut<'_, f64> {
    MatMut::from_column_major_slice_mut(data, rows, cols)
}

/// Overwrites the lower triangle of `a` (n x n) by its Cholesky factor and returns log|A|; `None`
/// when `a` is not positive definite. What stands above the diagonal is lost.
pub fn cholesky(a: &mut [f64], n: usize) -> Option<f64> {
    let scratch = llt::factor::cholesky_in_place_scratch::<f64>(n, Par::Seq, Default::default());
    let mut memory = MemBuffer::new(scratch);
    let (none, stack) = (Default::default(), MemStack::new(&mut memory));
    clean(|| llt::factor::cholesky_in_place(mat_mut(a, n, n), none, Par::Seq, stack, Default::default())).ok()?;
    let half: f64 = (0..n).map(|j| a[j * n + j].ln()).sum();
    half.is_finite().then_some(2.0 * half)
}

/// X = (L L')^-1 X for the columns of X (n x columns).
pub fn solve(l: &[f64], n: usize, x: &mut [f64]) {
    let columns = x.len().checked_div(n).unwrap_or(0);
    if columns >= BLOCKED {
        let (lower, mut x) = (mat(l, n, n), mat_mut(x, n, columns));
        return clean(|| {
            solve_lower_triangular_in_place(lower, x.as_mut(), Par::Seq);
            solve_upper_triangular_in_place(lower.transpose(), x, Par::Seq);
        });
    }
    for x in x.chunks_exact_mut(n.max(1)) {
        solve_one(l, n, x);
    }
}

fn solve_one(l: &[f64], n: usize, x: &mut [f64]) {
    crate::special::vectorized(
        #[inline(always)]
        || {
            for j in 0..n {
                let column = &l[j * n + j..(j + 1) * n];
                x[j] /= column[0];
                let pivot = x[j];
                x[j + 1..].iter_mut().zip(&column[1..]).for_each(|(x, l)| *x -= pivot * l);
            }
            for j in (0..n).rev() {
                let column = &l[j * n + j..(j + 1) * n];
                x[j] = (x[j] - dot(&column[1..], &x[j + 1..])) / column[0];
            }
        },
    );
}

/// A dot product with eight lanes.
#[inline(always)]
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let ((a8, a1), (b8, b1)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut lanes = [0.0; 8];
    for (x, y) in a8.iter().zip(b8) {
        for k in 0..8 {
            lanes[k] += x[k] * y[k];
        }
    }
    let rest: f64 = a1.iter().zip(b1).map(|(x, y)| x * y).sum();
    lanes.iter().sum::<f64>() + rest
}

/// Both triangles of (L L')^-1.
pub fn inverse(l: &[f64], n: usize, out: &mut [f64]) {
    let mut memory = MemBuffer::new(llt::inverse::inverse_scratch::<f64>(n, Par::Seq));
    let stack = MemStack::new(&mut memory);
    clean(|| llt::inverse::inverse(mat_mut(out, n, n), mat(l, n, n), Par::Seq, stack));
    mirror(out, n);
}

/// Lower triangle of C A C in `a`, for symmetric `a` and `c` of which both triangles are read; `product` is
/// scratch of the same size.
pub fn sandwich(c: &[f64], a: &mut [f64], n: usize, product: &mut [f64]) {
    let (replace, c) = (Accum::Replace, mat(c, n, n));
    let (lower, whole) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
    clean(|| {
        matmul(mat_mut(product, n, n), replace, c, mat(a, n, n), 1.0, Par::Seq);
        triangular::matmul(mat_mut(a, n, n), lower, replace, mat(product, n, n), whole, c, whole, 1.0, Par::Seq);
    });
}

/// Copies the lower triangle to the upper one.
pub fn mirror(a: &mut [f64], n: usize) {
    for j0 in (0..n).step_by(TILE) {
        for i0 in (j0..n).step_by(TILE) {
            for j in j0..n.min(j0 + TILE) {
                for i in i0.max(j + 1)..n.min(i0 + TILE) {
                    a[i * n + j] = a[j * n + i];
                }
            }
        }
    }
}
