//! Products of blocks. Of symmetric blocks only the lower triangle is written.

use faer::linalg::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, MatRef, Par};

use super::block::{Block, BlockMut};
use super::vector::{axpy, axpy_dot, dot, wide};
use super::{SMALL, SMALL_ORDER};
use crate::linalg::clean::clean;

/// Lower triangle of `F - B B'`, or of `-B B'` if `F` holds nothing yet.
pub fn subtract_square(mut f: BlockMut<'_>, b: Block<'_>, keep: bool) {
    let (m, k) = (b.rows, b.cols);
    if k > 2 && m * m * k > SMALL {
        return lower_product(f, accum(keep), -1.0, b.mat(), b.mat().transpose());
    }
    wide(|| {
        for j in 0..m {
            let column = &mut f.col_mut(j)[j..];
            if !keep {
                column.fill(0.0);
            }
            for p in 0..k {
                let b = b.col(p);
                axpy(-b[j], &b[j..], column);
            }
        }
    });
}

/// Lower triangle of `F - W Y' - Y W'`, or without `F` if it holds nothing yet.
pub fn subtract_cross(mut f: BlockMut<'_>, w: Block<'_>, y: Block<'_>, keep: bool) {
    let (m, k) = (w.rows, w.cols);
    if k > 2 && m * m * k > SMALL {
        lower_product(f.reborrow(), accum(keep), -1.0, w.mat(), y.mat().transpose());
        return lower_product(f, Accum::Add, -1.0, y.mat(), w.mat().transpose());
    }
    wide(|| {
        for j in 0..m {
            let column = &mut f.col_mut(j)[j..];
            if !keep {
                column.fill(0.0);
            }
            for p in 0..k {
                let (w, y) = (w.col(p), y.col(p));
                for ((c, w_i), y_i) in column.iter_mut().zip(&w[j..]).zip(&y[j..]) {
                    *c -= w_i * y[j] + y_i * w[j];
                }
            }
        }
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

/// `D = alpha V B`, or `D += alpha V B`, for the symmetric `V` of which the lower triangle is read.
pub fn symmetric_product(mut d: BlockMut<'_>, keep: bool, alpha: f64, v: Block<'_>, b: Block<'_>) {
    let (m, k) = (b.rows, b.cols);
    if k > 2 && m * m * k > SMALL {
        return symmetric_product_large(d, accum(keep), alpha, v, b);
    }
    if !keep {
        d.data.fill(0.0);
    }
    wide(|| {
        for j in 0..m {
            let column = &v.col(j)[j..];
            for p in 0..k {
                let b = &b.col(p)[j..];
                let d = &mut d.col_mut(p)[j..];
                let f = alpha * b[0];
                let rest = axpy_dot(f, &column[1..], &b[1..], &mut d[1..]);
                d[0] += f * column[0] + alpha * rest;
            }
        }
    });
}

fn symmetric_product_large(mut d: BlockMut<'_>, accum: Accum, alpha: f64, v: Block<'_>, b: Block<'_>) {
    let halves = [
        (accum, v.mat(), BlockStructure::TriangularLower),
        (Accum::Add, v.mat().transpose(), BlockStructure::StrictTriangularUpper),
    ];
    let whole = BlockStructure::Rectangular;
    for (accum, half, structure) in halves {
        clean(|| triangular::matmul(d.mat_mut(), whole, accum, half, structure, b.mat(), whole, alpha, Par::Seq));
    }
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
