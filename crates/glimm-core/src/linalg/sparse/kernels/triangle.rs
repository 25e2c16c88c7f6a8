//! Cholesky factors of blocks, and what is done with them.

use faer::Par;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt;
use faer::linalg::triangular_solve;

use super::block::{Block, BlockMut};
use super::vector::{axpy, dot, scale, wide};
use super::{SMALL, SMALL_ORDER};
use crate::linalg::clean::clean;

/// Bytes of stack the kernels need for triangles of order up to `n`.
pub fn memory(n: usize) -> MemBuffer {
    let cholesky = llt::factor::cholesky_in_place_scratch::<f64>(n, Par::Seq, Default::default());
    let inverse = llt::inverse::inverse_scratch::<f64>(n, Par::Seq);
    MemBuffer::new(cholesky.or(inverse))
}

/// Lower triangle of `a` becomes its Cholesky factor; the index of the first bad pivot otherwise.
/// The part above the diagonal is left undefined.
pub fn cholesky(mut a: BlockMut<'_>, memory: &mut MemBuffer) -> Result<(), usize> {
    let n = a.rows;
    if n > SMALL_ORDER {
        let stack = MemStack::new(memory);
        let none = Default::default();
        return clean(|| llt::factor::cholesky_in_place(a.mat_mut(), none, Par::Seq, stack, Default::default()))
            .map(|_| ())
            .map_err(|llt::factor::LltError::NonPositivePivot { index }| index);
    }
    for j in 0..n {
        let (done, rest) = a.data.split_at_mut(j * n);
        let column = &mut rest[j..n];
        for done in done.chunks_exact(n) {
            axpy(-done[j], &done[j..], column);
        }
        if !(column[0] > 0.0 && column[0].is_finite()) {
            return Err(j);
        }
        let root = column[0].sqrt();
        column[0] = root;
        column[1..].iter_mut().for_each(|x| *x /= root);
    }
    Ok(())
}

/// `B L^-T` in place of `B`.
pub fn solve_transposed_right(l: Block<'_>, mut b: BlockMut<'_>) {
    let (m, n) = (b.rows, b.cols);
    if m == 1 {
        return solve_vector(l, b.data);
    }
    if n > 2 && m * n * n > SMALL {
        let b = b.mat_mut().transpose_mut();
        return clean(|| triangular_solve::solve_lower_triangular_in_place(l.mat(), b, Par::Seq));
    }
    for j in 0..n {
        let (done, rest) = b.data.split_at_mut(j * m);
        let column = &mut rest[..m];
        for k in 0..j {
            axpy(-l.col(k)[j], &done[k * m..][..m], column);
        }
        scale(1.0 / l.col(j)[j], column);
    }
}

/// `B L^-1` in place of `B`.
pub fn solve_right(l: Block<'_>, mut b: BlockMut<'_>) {
    let (m, n) = (b.rows, b.cols);
    if m == 1 {
        return solve_transposed_vector(l, b.data);
    }
    if n > 2 && m * n * n > SMALL {
        let (upper, b) = (l.mat().transpose(), b.mat_mut().transpose_mut());
        return clean(|| triangular_solve::solve_upper_triangular_in_place(upper, b, Par::Seq));
    }
    for j in (0..n).rev() {
        let (rest, done) = b.data.split_at_mut((j + 1) * m);
        let column = &mut rest[j * m..];
        for k in j + 1..n {
            axpy(-l.col(j)[k], &done[(k - j - 1) * m..][..m], column);
        }
        scale(1.0 / l.col(j)[j], column);
    }
}

/// `L^-1 x` in place of `x`.
fn solve_vector(l: Block<'_>, x: &mut [f64]) {
    wide(|| {
        for j in 0..l.cols {
            let column = l.col(j);
            let (head, tail) = x.split_at_mut(j + 1);
            head[j] /= column[j];
            axpy(-head[j], &column[j + 1..], tail);
        }
    });
}

/// `L^-T x` in place of `x`.
fn solve_transposed_vector(l: Block<'_>, x: &mut [f64]) {
    wide(|| {
        for j in (0..l.cols).rev() {
            let column = l.col(j);
            x[j] = (x[j] - dot(&column[j + 1..], &x[j + 1..])) / column[j];
        }
    });
}

/// `(L L')^-1`, both triangles.
pub fn inverse(l: Block<'_>, mut out: BlockMut<'_>, memory: &mut MemBuffer) {
    let n = l.rows;
    if n == 1 {
        out.data[0] = 1.0 / (l.data[0] * l.data[0]);
        return;
    }
    if n > SMALL_ORDER {
        clean(|| llt::inverse::inverse(out.mat_mut(), l.mat(), Par::Seq, MemStack::new(memory)));
    } else {
        small_inverse(l, out.reborrow());
    }
    mirror(out);
}

/// Lower triangle of `(L L')^-1` for small orders.
fn small_inverse(l: Block<'_>, out: BlockMut<'_>) {
    let n = l.rows;
    let mut root = [0.0; SMALL_ORDER * SMALL_ORDER];
    for j in 0..n {
        let column = &mut root[j * n..][..n];
        column[j] = 1.0;
        for k in j..n {
            let pivot = column[k] / l.col(k)[k];
            column[k] = pivot;
            axpy(-pivot, &l.col(k)[k + 1..], &mut column[k + 1..]);
        }
    }
    for j in 0..n {
        for i in j..n {
            let (a, b) = (&root[i * n..][..n], &root[j * n..][..n]);
            out.data[j * n + i] = dot(&a[i..], &b[i..]);
        }
    }
}

/// Copy the lower triangle to the upper one.
pub fn mirror(a: BlockMut<'_>) {
    // Tiles, because one of the two accesses is strided.
    const TILE: usize = 16;
    let n = a.rows;
    for j0 in (0..n).step_by(TILE) {
        for i0 in (j0..n).step_by(TILE) {
            for j in j0..n.min(j0 + TILE) {
                for i in i0.max(j + 1)..n.min(i0 + TILE) {
                    a.data[i * n + j] = a.data[j * n + i];
                }
            }
        }
    }
}
