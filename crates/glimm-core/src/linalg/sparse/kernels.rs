//! Dense algebra on column-major blocks: plain loops for little work, faer's kernels for much.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::{matmul, triangular_solve};
use faer::{Accum, MatMut, MatRef, Par};

/// Multiply-adds below which a call into a blocked kernel costs more than it saves (measured).
const SMALL: usize = 1_000;
/// Order up to which a triangle is treated by plain loops (measured).
const SMALL_ORDER: usize = 8;

#[derive(Clone, Copy)]
pub struct Block<'a> {
    pub data: &'a [f64],
    pub rows: usize,
    pub cols: usize,
}

pub struct BlockMut<'a> {
    pub data: &'a mut [f64],
    pub rows: usize,
    pub cols: usize,
}

impl<'a> Block<'a> {
    #[inline]
    pub fn new(data: &'a [f64], rows: usize, cols: usize) -> Self {
        Self { data: &data[..rows * cols], rows, cols }
    }

    #[inline]
    pub fn col(&self, j: usize) -> &'a [f64] {
        &self.data[j * self.rows..][..self.rows]
    }

    fn mat(&self) -> MatRef<'a, f64> {
        MatRef::from_column_major_slice(self.data, self.rows, self.cols)
    }
}

impl<'a> BlockMut<'a> {
    #[inline]
    pub fn new(data: &'a mut [f64], rows: usize, cols: usize) -> Self {
        Self { data: &mut data[..rows * cols], rows, cols }
    }

    #[inline]
    pub fn col_mut(&mut self, j: usize) -> &mut [f64] {
        &mut self.data[j * self.rows..][..self.rows]
    }

    #[inline]
    pub fn as_block(&self) -> Block<'_> {
        Block { data: self.data, rows: self.rows, cols: self.cols }
    }

    #[inline]
    pub fn reborrow(&mut self) -> BlockMut<'_> {
        BlockMut { data: self.data, rows: self.rows, cols: self.cols }
    }

    fn mat_mut(&mut self) -> MatMut<'_, f64> {
        MatMut::from_column_major_slice_mut(self.data, self.rows, self.cols)
    }
}

/// Run a loop compiled for the widest vectors there are. Products and sums stay apart (no fused
/// operations), so that the width does not change a bit.
#[inline(always)]
pub fn wide<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// `y += f x`.
#[inline(always)]
pub fn axpy(f: f64, x: &[f64], y: &mut [f64]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y += f * x;
    }
}

/// Lanes of independent sums, so that a dot product is not one chain of additions.
const LANES: usize = 8;

#[inline(always)]
pub fn dot(x: &[f64], y: &[f64]) -> f64 {
    let mut lanes = [0.0; LANES];
    let (x_body, x_tail) = x.as_chunks::<LANES>();
    let (y_body, y_tail) = y.as_chunks::<LANES>();
    for (x, y) in x_body.iter().zip(y_body) {
        for l in 0..LANES {
            lanes[l] += x[l] * y[l];
        }
    }
    let tail: f64 = x_tail.iter().zip(y_tail).map(|(x, y)| x * y).sum();
    lanes.iter().sum::<f64>() + tail
}

/// `y += f a` and returns `a'x`: one pass over a column of a symmetric matrix.
#[inline(always)]
fn axpy_dot(f: f64, a: &[f64], x: &[f64], y: &mut [f64]) -> f64 {
    let mut lanes = [0.0; LANES];
    let (a_body, a_tail) = a.as_chunks::<LANES>();
    let (x_body, x_tail) = x.as_chunks::<LANES>();
    let (y_body, y_tail) = y.as_chunks_mut::<LANES>();
    for ((a, x), y) in a_body.iter().zip(x_body).zip(y_body) {
        for l in 0..LANES {
            y[l] += f * a[l];
            lanes[l] += a[l] * x[l];
        }
    }
    let mut tail = 0.0;
    for ((a, x), y) in a_tail.iter().zip(x_tail).zip(y_tail) {
        *y += f * a;
        tail += a * x;
    }
    lanes.iter().sum::<f64>() + tail
}

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
        return llt::factor::cholesky_in_place(a.mat_mut(), none, Par::Seq, stack, Default::default())
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
        return triangular_solve::solve_lower_triangular_in_place(l.mat(), b, Par::Seq);
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
        return triangular_solve::solve_upper_triangular_in_place(upper, b, Par::Seq);
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
        llt::inverse::inverse(out.mat_mut(), l.mat(), Par::Seq, MemStack::new(memory));
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
            for i in j..n {
                column[i] += alpha * dot(a.col(i), b.col(j));
            }
        }
    });
}

fn lower_product(
    mut out: BlockMut<'_>,
    accum: Accum,
    alpha: f64,
    a: MatRef<'_, f64>,
    b: MatRef<'_, f64>,
) {
    triangular::matmul(
        out.mat_mut(),
        BlockStructure::TriangularLower,
        accum,
        a,
        BlockStructure::Rectangular,
        b,
        BlockStructure::Rectangular,
        alpha,
        Par::Seq,
    );
}

fn accum(keep: bool) -> Accum {
    if keep { Accum::Add } else { Accum::Replace }
}

/// `D = alpha V B`, or `D += alpha V B`, for the symmetric `V` of which the lower triangle is read.
pub fn symmetric_product(
    mut d: BlockMut<'_>,
    keep: bool,
    alpha: f64,
    v: Block<'_>,
    b: Block<'_>,
) {
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

fn symmetric_product_large(
    mut d: BlockMut<'_>,
    accum: Accum,
    alpha: f64,
    v: Block<'_>,
    b: Block<'_>,
) {
    let halves = [
        (accum, v.mat(), BlockStructure::TriangularLower),
        (Accum::Add, v.mat().transpose(), BlockStructure::StrictTriangularUpper),
    ];
    for (accum, half, structure) in halves {
        triangular::matmul(
            d.mat_mut(),
            BlockStructure::Rectangular,
            accum,
            half,
            structure,
            b.mat(),
            BlockStructure::Rectangular,
            alpha,
            Par::Seq,
        );
    }
}

/// `D = alpha A B`, or `D += alpha A B`.
pub fn product(mut d: BlockMut<'_>, keep: bool, alpha: f64, a: Block<'_>, b: Block<'_>) {
    let (m, k, n) = (a.rows, a.cols, b.cols);
    if n > 1 && m * k * n > SMALL {
        return matmul::matmul(d.mat_mut(), accum(keep), a.mat(), b.mat(), alpha, Par::Seq);
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
        return matmul::matmul(d.mat_mut(), replace, a.mat(), b, 1.0, Par::Seq);
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

#[inline(always)]
fn scale(f: f64, x: &mut [f64]) {
    x.iter_mut().for_each(|x| *x *= f);
}
