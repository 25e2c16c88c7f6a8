//! Effects of one grouping factor: independent q x q blocks, equal ones kept once.
//!
//! Everything but the moments Z'W of a group depends on its Z'Z alone, and groups enter the likelihood
//! only through sums of quadratic forms in their moments a_g. So k groups with one Z'Z become at most
//! rank(sum a a') of them with the same sum, and the cost of an evaluation does not grow with groups.

use crate::design::{Column, Data};
use crate::linalg::dense::{self, by_size};
use crate::objective::geometry::{Effects, Factors};
use crate::special::vectorized;
use crate::suffstat::{Moments, RowSums};

use super::effects::Linear;

/// Pivots below this fraction of the largest are rounding.
const NEGLIGIBLE: f64 = 1e-15;

/// Columns with fewer rows than one in so many that are not zero are taken row by row.
const SPARSE: usize = 3;

/// Rows of one grouping factor.
pub struct Grouped<'a> {
    codes: &'a [u32],
    levels: usize,
    columns: Vec<&'a Column>,
}

impl<'a> Grouped<'a> {
    pub fn new(data: &'a Data) -> Grouped<'a> {
        let (codes, levels) = data.terms.first().map_or((&[][..], 0), |t| (&t.codes[..], t.levels));
        Grouped { codes, levels, columns: data.terms.iter().flat_map(|t| &t.columns).collect() }
    }

    /// Calls `op(place, z_c row)` for every row; `stride` numbers belong to a level.
    #[inline(always)]
    fn each(&self, column: &Column, row: &[f64], stride: usize, mut op: impl FnMut(usize, f64)) {
        let places = self.codes.iter().map(|&g| g as usize * stride);
        match column {
            Column::One => places.zip(row).for_each(|(at, r)| op(at, *r)),
            Column::Values(z) => places.zip(row.iter().zip(z.iter())).for_each(|(at, (r, z))| op(at, r * z)),
        }
    }

    /// Calls `op(place, z_c z_d row)` for every row, or for those alone that are given.
    #[inline(always)]
    fn each_pair(
        &self,
        [first, second]: [&Column; 2],
        rows: Option<&[u32]>,
        row: &[f64],
        stride: usize,
        mut op: impl FnMut(usize, f64),
    ) {
        if let Some(rows) = rows {
            for i in rows.iter().map(|&i| i as usize).filter(|&i| first.at(i) != 0.0) {
                op(self.codes[i] as usize * stride, row[i] * second.at(i) * first.at(i));
            }
            return;
        }
        match second {
            Column::One => self.each(first, row, stride, op),
            Column::Values(z) => {
                let both: Vec<f64> = row.iter().zip(z.iter()).map(|(r, z)| r * z).collect();
                self.each(first, &both, stride, op);
            }
        }
    }
}

/// The rows in which a column is not zero, where these are few.
fn present(column: &Column) -> Option<Vec<u32>> {
    let Column::Values(z) = column else { return None };
    let few = z.iter().filter(|z| **z != 0.0).count() * SPARSE < z.len();
    few.then(|| (0..z.len() as u32).filter(|&i| z[i as usize] != 0.0).collect())
}

impl RowSums for Grouped<'_> {
    fn vector_len(&self) -> usize {
        self.levels * self.columns.len()
    }

    fn matrix_len(&self) -> usize {
        self.levels * self.columns.len() * self.columns.len()
    }

    fn sum(&self, row: &[f64], out: &mut [f64]) {
        let q = self.columns.len();
        for (c, column) in self.columns.iter().enumerate() {
            self.each(column, row, q, |at, x| out[at + c] += x);
        }
    }

    fn sum_outer(&self, row: &[f64], out: &mut [f64]) {
        let q = self.columns.len();
        for (d, second) in self.columns.iter().enumerate() {
            let rows = present(second);
            for (c, first) in self.columns.iter().enumerate().skip(d) {
                let add = |at: usize, x: f64| {
                    out[at + c * q + d] += x;
                    if c != d {
                        out[at + d * q + c] += x;
                    }
                };
                self.each_pair([first, second], rows.as_deref(), row, q * q, add);
            }
        }
    }
}

pub struct Blocks {
    /// Effects per level of each term, and of all.
    sizes: Vec<usize>,
    q: usize,
    /// Groups of each kind of Z'Z.
    counts: Vec<f64>,
    /// The kind of each vector's block, and of each level's.
    kind: Vec<u32>,
    of_level: Vec<u32>,
    /// Cholesky factors of H, one per kind.
    chol: Vec<f64>,
}

impl Blocks {
    pub fn new(sizes: Vec<usize>, levels: usize) -> Blocks {
        let q = sizes.iter().sum();
        let kind: Vec<u32> = (0..levels as u32).collect();
        let of_level = kind.clone();
        Blocks { sizes, q, counts: vec![1.0; levels], kind, of_level, chol: vec![0.0; levels * q * q] }
    }

    /// Effects of all levels, each with a vector of its own; matrices remain those of the kinds.
    pub fn all_levels(&self) -> Blocks {
        let (kind, of_level) = (self.of_level.clone(), self.of_level.clone());
        Blocks {
            sizes: self.sizes.clone(),
            q: self.q,
            counts: self.counts.clone(),
            kind,
            of_level,
            chol: self.chol.clone(),
        }
    }

    fn first(&self, t: usize) -> usize {
        self.sizes[..t].iter().sum()
    }

    /// The effects of term `t` in a vector of all levels.
    pub fn part(&self, t: usize, x: &[f64]) -> Vec<f64> {
        let own = self.first(t)..self.first(t) + self.sizes[t];
        x.chunks_exact(self.q).flat_map(|x| x[own.clone()].iter().copied()).collect()
    }

    /// The blocks of term `t` in a matrix, level by level.
    pub fn own_blocks(&self, t: usize, m: &[f64]) -> Vec<f64> {
        let (first, size, q) = (self.first(t), self.sizes[t], self.q);
        let entry = |block: &[f64], i: usize| block[(first + i / size) * q + first + i % size];
        let mut blocks = Vec::with_capacity(self.of_level.len() * size * size);
        for &kind in &self.of_level {
            let block = &m[kind as usize * q * q..(kind as usize + 1) * q * q];
            blocks.extend((0..size * size).map(|i| entry(block, i)));
        }
        blocks
    }

    /// See the head of this file.
    pub fn condense(&mut self, full: &Moments) -> Moments {
        let (q, width) = (self.q, full.width);
        let groups = if q == 0 { 0 } else { full.zz.len() / (q * q) };
        let block = |g: usize| &full.zz[g * q * q..(g + 1) * q * q];
        let members = equal_blocks(groups, block);
        let mut zw: Vec<Vec<f64>> = vec![Vec::new(); width];
        self.of_level = vec![0; groups];
        (self.counts, self.kind) = (Vec::new(), Vec::new());
        let mut zz = Vec::with_capacity(members.len() * q * q);
        for (k, groups) in members.iter().enumerate() {
            zz.extend_from_slice(block(groups[0]));
            groups.iter().for_each(|&g| self.of_level[g] = k as u32);
            let moments = merged(groups, full, q);
            for a in moments.chunks_exact(q * width) {
                self.kind.push(k as u32);
                zw.iter_mut().zip(a.chunks_exact(q)).for_each(|(column, a)| column.extend_from_slice(a));
            }
            self.counts.push(groups.len() as f64);
        }
        self.chol = vec![0.0; zz.len()];
        Moments { n: full.n, width, ww: full.ww.clone(), zw: zw.concat(), zz }
    }

    /// The block-diagonal factor of all terms.
    fn whole(&self, f: &Factors) -> Vec<f64> {
        let (q, mut out, mut first) = (self.q, vec![0.0; self.q * self.q], 0);
        for (size, f) in self.sizes.iter().zip(f) {
            for i in 0..size * size {
                out[(first + i / size) * q + first + i % size] = f[i];
            }
            first += size;
        }
        out
    }

    /// Adds the diagonal blocks of `whole` to those of the terms.
    fn add_blocks(&self, whole: &[f64], out: &mut Factors) {
        let (q, mut first) = (self.q, 0);
        for (size, out) in self.sizes.iter().zip(out) {
            for i in 0..size * size {
                out[i] += whole[(first + i / size) * q + first + i % size];
            }
            first += size;
        }
    }

    /// Calls `op(q, kind, place)` for the block of every vector's levels.
    #[inline(always)]
    fn each(&self, vectors: usize, mut op: impl FnMut(usize, usize, usize)) {
        vectorized(
            #[inline(always)]
            || {
                by_size(
                    self.q,
                    #[inline(always)]
                    |q| {
                        for v in 0..vectors {
                            for (g, &k) in self.kind.iter().enumerate() {
                                op(q, k as usize * q * q, (v * self.kind.len() + g) * q);
                            }
                        }
                    },
                );
            },
        );
    }

    fn vectors(&self, x: &[f64]) -> usize {
        x.len() / (self.kind.len() * self.q).max(1)
    }
}

/// Groups with bitwise equal blocks, in the order of their first member.
fn equal_blocks<'a>(groups: usize, block: impl Fn(usize) -> &'a [f64]) -> Vec<Vec<usize>> {
    let key = |g: usize| block(g).iter().map(|x| x.to_bits());
    let mut order: Vec<usize> = (0..groups).collect();
    order.sort_by(|&a, &b| key(a).cmp(key(b)));
    let mut members: Vec<Vec<usize>> = order.chunk_by(|&a, &b| key(a).eq(key(b))).map(<[usize]>::to_vec).collect();
    members.sort_by_key(|m| m[0]);
    members
}

/// The moments a (width x q each) of the groups, or fewer with the same sum of a a'.
fn merged(groups: &[usize], full: &Moments, q: usize) -> Vec<f64> {
    let (d, len) = (q * full.width, full.zw.len() / full.width);
    let of = |g: usize| (0..d).map(move |i| full.zw[i / q * len + g * q + i % q]);
    if groups.len() <= d {
        return groups.iter().flat_map(|&g| of(g)).collect();
    }
    let mut sum = vec![0.0; d * d];
    for &g in groups {
        let a: Vec<f64> = of(g).collect();
        for i in 0..d {
            for j in 0..d {
                sum[i * d + j] += a[i] * a[j];
            }
        }
    }
    square_root(&mut sum, d)
}

/// Vectors f with sum f f' = T, as many as the rank of T: Cholesky with pivoting.
fn square_root(t: &mut [f64], d: usize) -> Vec<f64> {
    let mut out = Vec::new();
    let largest = (0..d).map(|i| t[i * d + i]).fold(0.0, f64::max);
    for _ in 0..d {
        let pivot = (0..d).max_by(|&i, &j| t[i * d + i].total_cmp(&t[j * d + j])).unwrap_or(0);
        let size = t[pivot * d + pivot];
        if size <= NEGLIGIBLE * largest {
            break;
        }
        let f: Vec<f64> = (0..d).map(|i| t[i * d + pivot] / size.sqrt()).collect();
        for i in 0..d {
            for j in 0..d {
                t[i * d + j] -= f[i] * f[j];
            }
        }
        // What is left of the pivot's row is rounding.
        (0..d).for_each(|i| (t[i * d + pivot], t[pivot * d + i]) = (0.0, 0.0));
        out.extend(f);
    }
    out
}

impl Linear for Blocks {
    fn multiply(&self, m: &[f64], x: &[f64], out: &mut [f64]) {
        self.each(
            self.vectors(x),
            #[inline(always)]
            |q, block, at| {
                let (m, x, out) = (&m[block..block + q * q], &x[at..at + q], &mut out[at..at + q]);
                for i in 0..q {
                    // A plain loop: an iterator's sum is not always inlined.
                    let mut sum = 0.0;
                    for j in 0..q {
                        sum += m[i * q + j] * x[j];
                    }
                    out[i] += sum;
                }
            },
        );
    }

    fn solve_all(&mut self, x: &mut [f64]) {
        self.each(
            self.vectors(x),
            #[inline(always)]
            |q, block, at| dense::cholesky_solve(&self.chol[block..block + q * q], q, &mut x[at..at + q]),
        );
    }

    fn add_identity(&self, out: &mut [f64]) {
        self.add_precision(out);
    }
}

impl Effects for Blocks {
    fn vector_len(&self) -> usize {
        self.kind.len() * self.q
    }

    fn matrix_len(&self) -> usize {
        self.counts.len() * self.q * self.q
    }

    fn sizes(&self) -> Vec<usize> {
        self.sizes.clone()
    }

    fn apply(&self, f: &Factors, x: &[f64], out: &mut [f64]) {
        let f = self.whole(f);
        self.each(
            self.vectors(x),
            #[inline(always)]
            |q, _, at| dense::matvec(&f, &x[at..at + q], q, &mut out[at..at + q]),
        );
    }

    fn apply_transpose(&self, f: &Factors, x: &[f64], out: &mut [f64]) {
        let f = self.whole(f);
        self.each(
            self.vectors(x),
            #[inline(always)]
            |q, _, at| dense::matvec_t(&f, &x[at..at + q], q, &mut out[at..at + q]),
        );
    }

    fn add_inner(&self, l: &Factors, m: &[f64], r: &Factors, out: &mut [f64]) {
        let (l, r) = (self.whole(l), self.whole(r));
        by_size(
            self.q,
            #[inline(always)]
            |q| dense::each_sandwich::<true>(q, &l, m, &r, out),
        );
    }

    fn add_outer(&self, l: &Factors, m: &[f64], r: &Factors, out: &mut [f64]) {
        let (l, r) = (self.whole(l), self.whole(r));
        by_size(
            self.q,
            #[inline(always)]
            |q| dense::each_sandwich::<false>(q, &l, m, &r, out),
        );
    }

    fn add_precision(&self, out: &mut [f64]) {
        let q = self.q;
        for block in out.chunks_exact_mut((q * q).max(1)) {
            (0..q).for_each(|c| block[c * q + c] += 1.0);
        }
    }

    fn weigh(&self, _x: &mut [f64]) {}

    fn add_dyads(&self, x: &[f64], y: &[f64], out: &mut Factors) {
        let mut sum = vec![0.0; self.q * self.q];
        self.each(
            self.vectors(x),
            #[inline(always)]
            |q, _, at| {
                let (x, y, sum) = (&x[at..at + q], &y[at..at + q], &mut sum[..q * q]);
                for c in 0..q {
                    for d in 0..q {
                        sum[c * q + d] += x[c] * y[d];
                    }
                }
            },
        );
        self.add_blocks(&sum, out);
    }

    fn subtract_product(&self, s: &[f64], l: &Factors, c: &[f64], out: &mut Factors) {
        let (l, n) = (self.whole(l), (self.q * self.q).max(1));
        let mut sum = vec![0.0; self.q * self.q];
        by_size(
            self.q,
            #[inline(always)]
            |q| {
                let mut one = vec![0.0; q * q];
                for ((s, c), count) in s.chunks_exact(n).zip(c.chunks_exact(n)).zip(&self.counts) {
                    one.fill(0.0);
                    dense::subtract_products(q, s, &l, c, &mut one);
                    sum.iter_mut().zip(&one).for_each(|(sum, x)| *sum += count * x);
                }
            },
        );
        self.add_blocks(&sum, out);
    }

    fn factorise(&mut self, h: &[f64]) -> Option<f64> {
        self.chol.copy_from_slice(h);
        by_size(
            self.q,
            #[inline(always)]
            |q| {
                let mut logdet = 0.0;
                for (l, count) in self.chol.chunks_exact_mut((q * q).max(1)).zip(&self.counts) {
                    if !dense::cholesky(l, q) {
                        return None;
                    }
                    logdet += count * dense::cholesky_logdet(l, q);
                }
                Some(logdet)
            },
        )
    }

    fn solve(&mut self, x: &mut [f64]) {
        self.solve_all(x);
    }

    fn inverse(&mut self, out: &mut [f64]) {
        by_size(
            self.q,
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
            self.q,
            #[inline(always)]
            |q| dense::minus_sandwiches(q, c, dh, out),
        );
    }
}
