//! The geometry of consecutive independent groups: matrices are one q x q block per group.

use crate::linalg::dense::{self, by_size};
use crate::objective::geometry::{Effects, Factors, Geometry};
use crate::objective::sums::{dot, dot3};
use crate::special::vectorized;

/// Rows looked at together.
const LANES: usize = 8;

pub struct Groups<'a> {
    /// Start of each group's rows and end of the last, counted from the first row of the patch.
    pub starts: Vec<usize>,
    /// Columns of Z over the rows of the patch, and the linear predictor of each.
    pub z: Vec<&'a [f64]>,
    pub predictor: &'a [usize],
    /// Cholesky factors of H, one per group.
    chol: Vec<f64>,
}

impl<'a> Groups<'a> {
    pub fn new(starts: Vec<usize>, z: Vec<&'a [f64]>, predictor: &'a [usize]) -> Groups<'a> {
        let chol = vec![0.0; (starts.len() - 1) * z.len() * z.len()];
        Groups { starts, z, predictor, chol }
    }

    #[inline(always)]
    pub fn q(&self) -> usize {
        self.z.len()
    }

    #[inline(always)]
    pub fn count(&self) -> usize {
        self.starts.len() - 1
    }

    #[inline(always)]
    pub fn rows(&self, g: usize) -> std::ops::Range<usize> {
        self.starts[g]..self.starts[g + 1]
    }

    /// Calls `op(q, g, rows of g)` for every group, compiled for small q and vectorised.
    #[inline(always)]
    fn each_group(&self, mut op: impl FnMut(usize, usize, std::ops::Range<usize>)) {
        vectorized(
            #[inline(always)]
            || {
                by_size(
                    self.q(),
                    #[inline(always)]
                    |q| {
                        for g in 0..self.count() {
                            op(q, g, self.rows(g));
                        }
                    },
                );
            },
        );
    }

    /// max_i |z_i^k' b| over the rows of group g and the predictors k.
    #[inline(always)]
    pub fn reach(&self, g: usize, b: &[f64]) -> f64 {
        let rows = self.rows(g);
        let last = self.predictor.iter().copied().max().unwrap_or(0);
        let mut reach = [0.0; LANES];
        for k in 0..=last {
            for first in (rows.start..rows.end).step_by(LANES) {
                let lanes = LANES.min(rows.end - first);
                let mut moves = [0.0; LANES];
                for (c, b) in b.iter().enumerate().filter(|(c, _)| self.predictor[*c] == k) {
                    let z = &self.z[c][first..first + lanes];
                    moves.iter_mut().zip(z).for_each(|(m, z)| *m += z * b);
                }
                for (r, m) in reach.iter_mut().zip(moves) {
                    // Not f64::max, whose care for NaN keeps this loop from vectorising.
                    *r = if m.abs() > *r { m.abs() } else { *r };
                }
            }
        }
        reach.into_iter().fold(0.0, f64::max)
    }
}

impl Geometry for Groups<'_> {
    fn expand(&self, k: usize, x: &[f64], out: &mut [f64]) {
        self.each_group(
            #[inline(always)]
            |q, g, rows| {
                let out = &mut out[rows.clone()];
                for c in (0..q).filter(|&c| self.predictor[c] == k) {
                    let b = x[g * q + c];
                    for (o, z) in out.iter_mut().zip(&self.z[c][rows.clone()]) {
                        *o += z * b;
                    }
                }
            },
        );
    }

    fn sum(&self, k: usize, row: &[f64], out: &mut [f64]) {
        self.each_group(
            #[inline(always)]
            |q, g, rows| {
                let row = &row[rows.clone()];
                for c in (0..q).filter(|&c| self.predictor[c] == k) {
                    out[g * q + c] += dot(&self.z[c][rows.clone()], row);
                }
            },
        );
    }

    fn sum_outer(&self, k: usize, l: usize, row: &[f64], out: &mut [f64]) {
        self.each_group(
            #[inline(always)]
            |q, g, rows| {
                let row = &row[rows.clone()];
                for c in (0..q).filter(|&c| self.predictor[c] == k) {
                    for d in (0..q).filter(|&d| self.predictor[d] == l && (k != l || d <= c)) {
                        let s = dot3(&self.z[c][rows.clone()], &self.z[d][rows.clone()], row);
                        out[(g * q + c) * q + d] += s;
                        if c != d {
                            out[(g * q + d) * q + c] += s;
                        }
                    }
                }
            },
        );
    }

    fn quadratic(&self, k: usize, l: usize, m: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        self.each_group(
            #[inline(always)]
            |q, g, rows| {
                let out = &mut out[rows.clone()];
                for c in (0..q).filter(|&c| self.predictor[c] == k) {
                    for d in (0..q).filter(|&d| self.predictor[d] == l && (k != l || d <= c)) {
                        let times = if k == l && d < c { 2.0 } else { 1.0 };
                        let m = times * m[(g * q + c) * q + d];
                        let (zc, zd) = (&self.z[c][rows.clone()], &self.z[d][rows.clone()]);
                        for ((o, x), y) in out.iter_mut().zip(zc).zip(zd) {
                            *o += m * x * y;
                        }
                    }
                }
            },
        );
    }
}

impl Effects for Groups<'_> {
    fn vector_len(&self) -> usize {
        self.count() * self.q()
    }

    fn matrix_len(&self) -> usize {
        self.count() * self.q() * self.q()
    }

    fn sizes(&self) -> Vec<usize> {
        vec![self.q()]
    }

    fn apply(&self, f: &Factors, x: &[f64], out: &mut [f64]) {
        by_size(
            self.q(),
            #[inline(always)]
            |q| {
                x.chunks_exact(q.max(1))
                    .zip(out.chunks_exact_mut(q.max(1)))
                    .for_each(|(x, o)| dense::matvec(&f[0], x, q, o));
            },
        );
    }

    fn apply_transpose(&self, f: &Factors, x: &[f64], out: &mut [f64]) {
        by_size(
            self.q(),
            #[inline(always)]
            |q| {
                x.chunks_exact(q.max(1))
                    .zip(out.chunks_exact_mut(q.max(1)))
                    .for_each(|(x, o)| dense::matvec_t(&f[0], x, q, o));
            },
        );
    }

    fn add_inner(&self, l: &Factors, m: &[f64], r: &Factors, out: &mut [f64]) {
        by_size(
            self.q(),
            #[inline(always)]
            |q| dense::each_sandwich::<true>(q, &l[0], m, &r[0], out),
        );
    }

    fn add_outer(&self, l: &Factors, m: &[f64], r: &Factors, out: &mut [f64]) {
        by_size(
            self.q(),
            #[inline(always)]
            |q| dense::each_sandwich::<false>(q, &l[0], m, &r[0], out),
        );
    }

    fn add_identity(&self, out: &mut [f64]) {
        let q = self.q();
        for g in 0..self.count() {
            for c in 0..q {
                out[(g * q + c) * q + c] += 1.0;
            }
        }
    }

    fn add_dyads(&self, x: &[f64], y: &[f64], out: &mut Factors) {
        vectorized(
            #[inline(always)]
            || {
                let q = self.q();
                for c in 0..q {
                    for d in 0..q {
                        let mut sum = 0.0;
                        for g in 0..self.count() {
                            sum += x[g * q + c] * y[g * q + d];
                        }
                        out[0][c * q + d] += sum;
                    }
                }
            },
        )
    }

    fn subtract_product(&self, s: &[f64], l: &Factors, c: &[f64], out: &mut Factors) {
        by_size(
            self.q(),
            #[inline(always)]
            |q| dense::subtract_products(q, s, &l[0], c, &mut out[0]),
        );
    }

    fn factorise(&mut self, h: &[f64]) -> Option<f64> {
        self.chol.copy_from_slice(h);
        by_size(
            self.q(),
            #[inline(always)]
            |q| {
                let mut logdet = 0.0;
                for l in self.chol.chunks_exact_mut((q * q).max(1)) {
                    if !dense::cholesky(l, q) {
                        return None;
                    }
                    logdet += dense::cholesky_logdet(l, q);
                }
                Some(logdet)
            },
        )
    }

    fn solve(&mut self, x: &mut [f64]) {
        by_size(
            self.q(),
            #[inline(always)]
            |q| {
                for (l, x) in self.chol.chunks_exact((q * q).max(1)).zip(x.chunks_exact_mut(q.max(1))) {
                    dense::cholesky_solve(l, q, x);
                }
            },
        );
    }

    fn inverse(&mut self, out: &mut [f64]) {
        by_size(
            self.q(),
            #[inline(always)]
            |q| {
                for (l, c) in self.chol.chunks_exact((q * q).max(1)).zip(out.chunks_exact_mut((q * q).max(1))) {
                    dense::cholesky_inverse(l, q, c);
                }
            },
        );
    }

    fn inverse_tangent(&mut self, c: &[f64], dh: &[f64], out: &mut [f64]) {
        by_size(
            self.q(),
            #[inline(always)]
            |q| dense::minus_sandwiches(q, c, dh, out),
        );
    }
}
