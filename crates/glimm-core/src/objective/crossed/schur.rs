//! The Schur complement S = D - B'A^-1 B of the largest factor as an operator, with the Cholesky factors of its
//! own blocks as its preconditioner.

use std::ops::Range;
use std::sync::Arc;

use super::border::Border;
use super::pattern::Pattern;
use crate::linalg::dense;
use crate::linalg::iterative::{Operator, by_columns};
use crate::special::vectorized;

/// What the iterations need of the pattern.
pub struct Layout {
    pub border: Border,
    pub pattern: Arc<Pattern>,
    /// D by rows: first entry of each rest effect, columns, places.
    starts: Vec<usize>,
    pub columns: Vec<u32>,
    pub places: Vec<u32>,
    pub blocks: Vec<Blocks>,
}

/// The rest effects of one term.
pub struct Blocks {
    pub term: usize,
    pub at: Range<usize>,
    /// Effects per level.
    pub q: usize,
}

impl Layout {
    pub fn new(border: Border, pattern: Arc<Pattern>) -> Layout {
        let mut entries: Vec<(u32, u32, u32)> = border.d.clone();
        entries.sort_unstable();
        entries.dedup_by_key(|e| (e.0, e.1));
        let mirrored: Vec<_> = entries.iter().filter(|e| e.0 != e.1).map(|&(r, c, p)| (c, r, p)).collect();
        entries.extend(mirrored);
        entries.sort_unstable();
        let mut starts = vec![0; border.rest_len + 1];
        entries.iter().for_each(|e| starts[e.0 as usize + 1] += 1);
        (0..border.rest_len).for_each(|i| starts[i + 1] += starts[i]);
        let (mut blocks, mut first) = (Vec::new(), 0);
        for &t in pattern.groupings[1..].iter().flat_map(|g| &g.terms) {
            let len = pattern.term(t).len();
            blocks.push(Blocks { term: t, at: first..first + len, q: pattern.sizes[t] });
            first += len;
        }
        let (columns, places) = entries.iter().map(|e| (e.1, e.2)).unzip();
        Layout { border, pattern, starts, columns, places, blocks }
    }

    /// The term of a rest effect and its number among the effects of that term.
    #[inline(always)]
    pub fn block_of(&self, column: usize) -> (usize, usize) {
        let own = self.blocks.iter().position(|b| column < b.at.end).expect("the blocks make up the rest");
        (own, column - self.blocks[own].at.start)
    }
}

/// S = D - B'A^-1 B with the Cholesky factors of its own blocks, level by level of each term.
pub struct Schur {
    pub layout: Arc<Layout>,
    pub a_inverse: Vec<f64>,
    pub b: Vec<f64>,
    pub d: Vec<f64>,
    /// One vector of blocks per term of the rest.
    pub roots: Vec<Vec<f64>>,
}

impl Schur {
    /// Calls `op` with y = B rest of every level, and room for as much.
    #[inline(always)]
    fn each_level(&self, q: usize, columns: usize, rest: &[f64], mut op: impl FnMut(usize, &mut [f64], &mut [f64])) {
        let border = &self.layout.border;
        let (mut y, mut z) = (vec![0.0; q * columns], vec![0.0; q * columns]);
        for g in 0..border.levels {
            // Slices of known length: what is done to a few numbers is then no call.
            let (y, z) = (&mut y[..q * columns], &mut z[..q * columns]);
            y.fill(0.0);
            let entries = border.entries(g);
            let b = self.b[entries.start * q..entries.end * q].chunks_exact(q);
            for (b, &column) in b.zip(&border.columns[entries]) {
                let x = &rest[column as usize * columns..][..columns];
                for i in 0..q {
                    for m in 0..columns {
                        y[i * columns + m] += b[i] * x[m];
                    }
                }
            }
            op(g, y, z);
        }
    }

    /// z = A^-1 y for level g.
    #[inline(always)]
    pub fn divide(&self, q: usize, columns: usize, g: usize, y: &[f64], z: &mut [f64]) {
        let a = &self.a_inverse[g * q * q..(g + 1) * q * q];
        for i in 0..q {
            for m in 0..columns {
                let mut sum = 0.0;
                for j in 0..q {
                    sum += a[i * q + j] * y[j * columns + m];
                }
                z[i * columns + m] = sum;
            }
        }
    }

    /// out -= B_g'z.
    #[inline(always)]
    fn subtract(&self, q: usize, columns: usize, g: usize, z: &[f64], out: &mut [f64]) {
        let border = &self.layout.border;
        let entries = border.entries(g);
        let b = self.b[entries.start * q..entries.end * q].chunks_exact(q);
        for (b, &column) in b.zip(&border.columns[entries]) {
            let out = &mut out[column as usize * columns..][..columns];
            for i in 0..q {
                for m in 0..columns {
                    out[m] -= b[i] * z[i * columns + m];
                }
            }
        }
    }

    /// rest -= B'A^-1 x_1.
    #[inline(always)]
    pub fn eliminate(&self, q: usize, columns: usize, x: &[f64], rest: &mut [f64]) {
        let border = &self.layout.border;
        let (mut y, mut z) = (vec![0.0; q * columns], vec![0.0; q * columns]);
        for g in 0..border.levels {
            for i in 0..q {
                let at = border.own(g, i) * columns;
                y[i * columns..(i + 1) * columns].copy_from_slice(&x[at..at + columns]);
            }
            self.divide(q, columns, g, &y, &mut z);
            self.subtract(q, columns, g, &z, rest);
        }
    }

    /// x_1 = A^-1 (x_1 - B rest).
    #[inline(always)]
    pub fn substitute(&self, q: usize, columns: usize, rest: &[f64], x: &mut [f64]) {
        let border = &self.layout.border;
        self.each_level(
            q,
            columns,
            rest,
            #[inline(always)]
            |g, y, z| {
                for i in 0..q {
                    let at = border.own(g, i) * columns;
                    for m in 0..columns {
                        y[i * columns + m] = x[at + m] - y[i * columns + m];
                    }
                }
                self.divide(q, columns, g, y, z);
                for i in 0..q {
                    let at = border.own(g, i) * columns;
                    x[at..at + columns].copy_from_slice(&z[i * columns..(i + 1) * columns]);
                }
            },
        );
    }

    /// Calls `f(q, columns)` compiled for the usual sizes.
    #[inline(always)]
    pub fn by_size(&self, columns: usize, mut f: impl FnMut(usize, usize)) {
        by_columns(
            columns,
            #[inline(always)]
            |columns| {
                dense::by_size(
                    self.layout.border.q,
                    #[inline(always)]
                    |q| f(q, columns),
                )
            },
        );
    }

    /// Cholesky factors of the blocks of S, and the logarithm of their determinant.
    pub fn precondition_by(&mut self, h: &[f64]) -> Option<f64> {
        let layout = self.layout.clone();
        for (blocks, roots) in layout.blocks.iter().zip(&mut self.roots) {
            roots.copy_from_slice(&h[layout.pattern.pair(blocks.term, blocks.term).range()]);
        }
        vectorized(
            #[inline(always)]
            || {
                dense::by_size(
                    layout.border.q,
                    #[inline(always)]
                    |q| subtract_own_blocks(&layout, q, &self.a_inverse, &self.b, &mut self.roots),
                )
            },
        );
        let mut logdet = 0.0;
        for (blocks, roots) in layout.blocks.iter().zip(&mut self.roots) {
            for root in roots.chunks_exact_mut(blocks.q * blocks.q) {
                if !dense::cholesky(root, blocks.q) {
                    return None;
                }
                logdet += dense::cholesky_logdet(root, blocks.q);
            }
        }
        Some(logdet)
    }

    /// Calls `op` with the block and the numbers of every level of every term.
    #[inline(always)]
    fn each_root(&self, x: &mut [f64], columns: usize, mut op: impl FnMut(usize, &[f64], &mut [f64])) {
        for (blocks, roots) in self.layout.blocks.iter().zip(&self.roots) {
            let q = blocks.q;
            let x = &mut x[blocks.at.start * columns..blocks.at.end * columns];
            for (root, x) in roots.chunks_exact(q * q).zip(x.chunks_exact_mut(q * columns)) {
                op(q, root, x);
            }
        }
    }
}

impl Operator for Schur {
    fn order(&self) -> usize {
        self.layout.border.rest_len
    }

    fn apply(&self, x: &[f64], columns: usize, out: &mut [f64]) {
        let layout = &self.layout;
        self.by_size(
            columns,
            #[inline(always)]
            |q, columns| {
                for (i, out) in out.chunks_exact_mut(columns).enumerate() {
                    out.fill(0.0);
                    for k in layout.starts[i]..layout.starts[i + 1] {
                        let (d, at) = (self.d[k], layout.columns[k] as usize * columns);
                        for (o, x) in out.iter_mut().zip(&x[at..at + columns]) {
                            *o += d * x;
                        }
                    }
                }
                self.each_level(
                    q,
                    columns,
                    x,
                    #[inline(always)]
                    |g, y, z| {
                        self.divide(q, columns, g, y, z);
                        self.subtract(q, columns, g, z, out);
                    },
                );
            },
        );
    }

    fn precondition(&self, x: &mut [f64], columns: usize) {
        self.each_root(x, columns, |q, root, x| {
            for i in 0..q {
                for k in 0..i {
                    combine(x, columns, i, k, -root[i * q + k]);
                }
                x[i * columns..(i + 1) * columns].iter_mut().for_each(|x| *x /= root[i * q + i]);
            }
            for i in (0..q).rev() {
                for k in i + 1..q {
                    combine(x, columns, i, k, -root[k * q + i]);
                }
                x[i * columns..(i + 1) * columns].iter_mut().for_each(|x| *x /= root[i * q + i]);
            }
        });
    }

    fn unscale(&self, x: &mut [f64], columns: usize) {
        self.each_root(x, columns, |q, root, x| {
            for i in (0..q).rev() {
                x[i * columns..(i + 1) * columns].iter_mut().for_each(|x| *x *= root[i * q + i]);
                for k in 0..i {
                    combine(x, columns, i, k, root[i * q + k]);
                }
            }
        });
    }
}

/// x_i += times x_k, all columns.
#[inline(always)]
fn combine(x: &mut [f64], columns: usize, i: usize, k: usize, times: f64) {
    for m in 0..columns {
        x[i * columns + m] += times * x[k * columns + m];
    }
}

/// Takes b'A^-1 b off the blocks of D, over the effects of every level that meets one of the largest factor.
#[inline(always)]
fn subtract_own_blocks(layout: &Layout, q: usize, a_inverse: &[f64], b: &[f64], roots: &mut [Vec<f64>]) {
    let border = &layout.border;
    let (mut small, mut large) = ([0.0; 16], Vec::new());
    let e = dense::scratch(q, &mut small, &mut large);
    for g in 0..border.levels {
        let a = &a_inverse[g * q * q..(g + 1) * q * q];
        let mut k = border.starts[g];
        while k < border.starts[g + 1] {
            let column = border.columns[k] as usize;
            // The effects of one level stand side by side.
            let (own, at) = layout.block_of(column);
            let (size, level) = (layout.blocks[own].q, at / layout.blocks[own].q);
            let (b, root) =
                (&b[k * q..(k + size) * q], &mut roots[own][level * size * size..(level + 1) * size * size]);
            for d in 0..size {
                dense::matvec(a, &b[d * q..(d + 1) * q], q, e);
                for c in 0..size {
                    let mut product = 0.0;
                    for i in 0..q {
                        product += b[c * q + i] * e[i];
                    }
                    root[c * size + d] -= product;
                }
            }
            k += size;
        }
    }
}
