//! Products of blocks. Of symmetric blocks only the lower triangle is written.

use std::ops::Range;

use faer::linalg::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, MatRef, Par};

use super::block::{Block, BlockMut};
use super::vector::{axpy, axpy_dot, dot, wide};
use super::{SMALL, SMALL_ORDER};
use crate::linalg::clean::clean;

/// Columns `range` of `A B'`, or of `D + A B'`, from the diagonal down; `D` begins at their first row.
pub fn lower_columns(mut d: BlockMut<'_>, keep: bool, a: Block<'_>, b: Block<'_>, range: Range<usize>) {
    let (m, k, from) = (d.rows, a.cols, range.start);
    if k > 2 && m * range.len() * k > SMALL {
        let (a, b) = (a.mat().subrows(from, m), b.mat().subrows(from, range.len()).transpose());
        return lower_columns_large(d, accum(keep), a, b);
    }
    wide(|| {
        for j in range {
            let column = &mut d.col_mut(j - from)[j - from..];
            if !keep {
                column.fill(0.0);
            }
            for p in 0..k {
                axpy(b.col(p)[j], &a.col(p)[j..], column);
            }
        }
    });
}

fn lower_columns_large(mut d: BlockMut<'_>, accum: Accum, a: MatRef<'_, f64>, b: MatRef<'_, f64>) {
    let (w, m) = (d.cols, d.rows);
    let (lower, whole) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
    let (top, bottom) = d.mat_mut().split_at_row_mut(w);
    clean(|| {
        triangular::matmul(top, lower, accum, a.subrows(0, w), whole, b, whole, 1.0, Par::Seq);
        matmul::matmul(bottom, accum, a.subrows(w, m - w), b, 1.0, Par::Seq);
    });
}

/// Lower triangle of `T += alpha A'B`.
pub fn add_inner(mut t: BlockMut<'_>, alpha: f64, a: Block<'_>, b: Block<'_>) {
    let (m, n) = (a.rows, a.cols);
    if n > 2 && m * n * n > SMALL {
        return lower_product(t, Accum::Add, alpha, a.mat().transpose(), b.mat());
    }
    wide(|| {
        for j in 0..n {
            let column = t.col_mut(j);
            for (i, sum) in column.iter_mut().enumerate().skip(j) {
                *sum += alpha * dot(a.col(i), b.col(j));
            }
        }
    });
}

fn lower_product(mut out: BlockMut<'_>, accum: Accum, alpha: f64, a: MatRef<'_, f64>, b: MatRef<'_, f64>) {
    let (lower, whole) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
    clean(|| triangular::matmul(out.mat_mut(), lower, accum, a, whole, b, whole, alpha, Par::Seq));
}

fn accum(keep: bool) -> Accum {
    if keep { Accum::Add } else { Accum::Replace }
}

/// `D += alpha V B` for those columns of a symmetric `V`, and the rows of the same numbers, that begin
/// at `from`; `columns` has them from their first diagonal entry down.
pub fn add_symmetric(mut d: BlockMut<'_>, alpha: f64, columns: Block<'_>, b: Block<'_>, from: usize) {
    let (m, w, k) = (columns.rows, columns.cols, b.cols);
    if k > 2 && m * w * k > SMALL {
        return add_symmetric_large(d, alpha, columns, b, from);
    }
    wide(|| {
        for j in 0..w {
            let column = &columns.col(j)[j..];
            for p in 0..k {
                let b = &b.col(p)[from + j..];
                let d = &mut d.col_mut(p)[from + j..];
                let f = alpha * b[0];
                let rest = axpy_dot(f, &column[1..], &b[1..], &mut d[1..]);
                d[0] += f * column[0] + alpha * rest;
            }
        }
    });
}

fn add_symmetric_large(mut d: BlockMut<'_>, alpha: f64, columns: Block<'_>, b: Block<'_>, from: usize) {
    let (m, w) = (columns.rows, columns.cols);
    let (square, rest) = columns.mat().split_at_row(w);
    let (own, other) = b.mat().subrows(from, m).split_at_row(w);
    let (mut to_own, to_other) = d.mat_mut().subrows_mut(from, m).split_at_row_mut(w);
    let halves =
        [(square, BlockStructure::TriangularLower), (square.transpose(), BlockStructure::StrictTriangularUpper)];
    let whole = BlockStructure::Rectangular;
    clean(|| {
        for (half, structure) in halves {
            let to = to_own.as_mut();
            triangular::matmul(to, whole, Accum::Add, half, structure, own, whole, alpha, Par::Seq);
        }
        matmul::matmul(to_other, Accum::Add, rest, own, alpha, Par::Seq);
        matmul::matmul(to_own, Accum::Add, rest.transpose(), other, alpha, Par::Seq);
    });
}

/// `D = alpha A B`, or `D += alpha A B`.
pub fn product(mut d: BlockMut<'_>, keep: bool, alpha: f64, a: Block<'_>, b: Block<'_>) {
    let (m, k, n) = (a.rows, a.cols, b.cols);
    if n > 1 && m * k * n > SMALL {
        return clean(|| matmul::matmul(d.mat_mut(), accum(keep), a.mat(), b.mat(), alpha, Par::Seq));
    }
    if !keep {
        d.data.fill(0.0);
    }
    wide(|| {
        for j in 0..n {
            let column = d.col_mut(j);
            for (p, &b) in b.col(j).iter().enumerate() {
                axpy(alpha * b, a.col(p), column);
            }
        }
    });
}

/// `D = A B'`.
pub fn product_transposed(mut d: BlockMut<'_>, a: Block<'_>, b: Block<'_>) {
    let (m, k, n) = (a.rows, a.cols, b.rows);
    if m == 1 {
        // Vectors: the columns of B are contiguous, those of D are single numbers.
        let d = BlockMut::new(d.data, n, 1);
        return product(d, false, 1.0, b, Block::new(a.data, k, 1));
    }
    if m * k * n > SMALL {
        let (b, replace) = (b.mat().transpose(), Accum::Replace);
        return clean(|| matmul::matmul(d.mat_mut(), replace, a.mat(), b, 1.0, Par::Seq));
    }
    d.data.fill(0.0);
    for j in 0..n {
        let column = d.col_mut(j);
        for p in 0..k {
            axpy(b.col(p)[j], a.col(p), column);
        }
    }
}

/// `D -= A B`, quick also if A is a single row.
pub fn subtract_product(d: BlockMut<'_>, a: Block<'_>, b: Block<'_>) {
    if a.rows > 1 {
        return product(d, true, -1.0, a, b);
    }
    wide(|| {
        for (j, d) in d.data.iter_mut().enumerate() {
            *d -= dot(a.data, b.col(j));
        }
    });
}

/// Lower triangle of `-P F P` in place of the symmetric `F`; the scratch is as large as `F`.
pub fn negative_sandwich(f: BlockMut<'_>, p: Block<'_>, mut scratch: BlockMut<'_>) {
    product(scratch.reborrow(), false, 1.0, p, f.as_block());
    if f.rows > SMALL_ORDER {
        lower_product(f, Accum::Replace, -1.0, scratch.as_block().mat(), p.mat());
    } else {
        product(f, false, -1.0, scratch.as_block(), p);
    }
}
