//! The geometry of crossed and nested factors: matrices are one block per pair of levels that meet.

use super::pattern::{Pattern, Prior};
use super::rows::Rows;
use super::solver::Solver;
use crate::design::Column;
use crate::linalg::dense;
use crate::objective::geometry::{Effects, Factors, Geometry};
use crate::objective::sums::dot;
use crate::special::vectorized;

/// Effects of a level up to which products are summed entry by entry.
const FEW: usize = 4;

/// Effects with a way to factorise H; with `R = Rows`, also what joins them to rows.
pub struct Cells<'a, R = ()> {
    pub pattern: &'a Pattern,
    pub solver: Box<dyn Solver>,
    pub rows: R,
}

/// out_(at_i stride) += value(i). Successive rows of one level are summed in a register.
#[inline(always)]
fn scatter(at: &[u32], stride: usize, out: &mut [f64], value: impl Fn(usize) -> f64) {
    let Some(&first) = at.first() else { return };
    let (mut level, mut sum) = (first, 0.0);
    for (i, &a) in at.iter().enumerate() {
        if a != level {
            out[level as usize * stride] += sum;
            (level, sum) = (a, 0.0);
        }
        sum += value(i);
    }
    out[level as usize * stride] += sum;
}

/// out_i += x_(at_i stride) weight(i).
#[inline(always)]
fn gather(at: &[u32], stride: usize, x: &[f64], out: &mut [f64], weight: impl Fn(usize) -> f64) {
    for (i, (o, &a)) in out.iter_mut().zip(at).enumerate() {
        *o += weight(i) * x[a as usize * stride];
    }
}

impl Geometry for Cells<'_, Rows<'_>> {
    fn expand(&self, k: usize, x: &[f64], out: &mut [f64]) {
        for (t, codes, q, (c, z)) in self.rows.terms(k) {
            let x = &x[self.pattern.term(t)][c..];
            match z {
                Column::One => gather(codes, q, x, out, |_| 1.0),
                Column::Values(z) => gather(codes, q, x, out, |i| z[i]),
            }
        }
    }

    fn sum(&self, k: usize, row: &[f64], out: &mut [f64]) {
        for (t, codes, q, (c, z)) in self.rows.terms(k) {
            let out = &mut out[self.pattern.term(t)][c..];
            match z {
                Column::One => scatter(codes, q, out, |i| row[i]),
                Column::Values(z) => scatter(codes, q, out, |i| z[i] * row[i]),
            }
        }
    }

    fn sum_outer(&self, k: usize, l: usize, row: &[f64], out: &mut [f64]) {
        let couples = |a: usize, b: usize| (a, b) == (k, l) || (a, b) == (l, k);
        for pair in &self.pattern.pairs {
            let stride = pair.size.0 * pair.size.1;
            for couple in self.rows.couples(pair) {
                let at = couple.cells;
                self.rows.columns(pair, &couple, couples, |columns, first| match columns {
                    [Column::One, Column::One] => scatter(at, stride, &mut out[first..], |i| row[i]),
                    [Column::One, Column::Values(z)] | [Column::Values(z), Column::One] => {
                        scatter(at, stride, &mut out[first..], |i| row[i] * z[i]);
                    }
                    [Column::Values(x), Column::Values(z)] => {
                        scatter(at, stride, &mut out[first..], |i| row[i] * x[i] * z[i]);
                    }
                });
            }
            if pair.s == pair.t {
                self.rows.sum_crosswise(pair, self.pattern.count(pair.s), (k, l), row, out);
            }
        }
    }

    fn quadratic(&self, k: usize, l: usize, m: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        for pair in &self.pattern.pairs {
            let stride = pair.size.0 * pair.size.1;
            // A pair of different terms stands for both of its orders; that of a term with itself holds both.
            let apart = pair.s != pair.t;
            let times = if apart && k == l { 2.0 } else { 1.0 };
            let wanted = |a: usize, b: usize| (a, b) == (k, l) || (apart && (a, b) == (l, k));
            for couple in self.rows.couples(pair) {
                let at = couple.cells;
                self.rows.columns(pair, &couple, wanted, |columns, first| match columns {
                    [Column::One, Column::One] => gather(at, stride, &m[first..], out, |_| times),
                    [Column::One, Column::Values(z)] | [Column::Values(z), Column::One] => {
                        gather(at, stride, &m[first..], out, |i| times * z[i]);
                    }
                    [Column::Values(x), Column::Values(z)] => {
                        gather(at, stride, &m[first..], out, |i| times * x[i] * z[i]);
                    }
                });
            }
            if !apart {
                self.rows.quadratic_crosswise(pair, (k, l), m, out);
            }
        }
    }
}

impl Cells<'_, Rows<'_>> {
    /// out += the i-th column of Z' in predictor k.
    pub fn add_row(&self, k: usize, i: usize, out: &mut [f64]) {
        for (t, codes, q, (c, z)) in self.rows.terms(k) {
            out[self.pattern.term(t)][codes[i] as usize * q + c] += z.at(i);
        }
    }
}

/// out += L'M R of one block, or L M R' when `OUTER`.
#[inline(always)]
fn add_product<const OUTER: bool>(l: &[f64], m: &[f64], r: &[f64], (qs, qt): (usize, usize), out: &mut [f64]) {
    for i in 0..qs {
        for j in 0..qt {
            let mut sum = 0.0;
            for a in 0..qs {
                let mut inner = 0.0;
                for b in 0..qt {
                    inner += m[a * qt + b] * if OUTER { r[j * qt + b] } else { r[b * qt + j] };
                }
                sum += inner * if OUTER { l[i * qs + a] } else { l[a * qs + i] };
            }
            out[i * qt + j] += sum;
        }
    }
}

/// The same for many effects, product after product: M is often diagonal and L triangular, whose zeros are left out.
fn add_large_products<const OUTER: bool>(l: &[f64], m: &[f64], r: &[f64], (qs, qt): (usize, usize), out: &mut [f64]) {
    let left = if OUTER { l.to_vec() } else { transposed(l, qs, qs) };
    let right = if OUTER { transposed(r, qt, qt) } else { r.to_vec() };
    let mut product = vec![0.0; qs * qt];
    vectorized(
        #[inline(always)]
        || {
            for (m, out) in m.chunks_exact(qs * qt).zip(out.chunks_exact_mut(qs * qt)) {
                product.fill(0.0);
                add_matmul(m, &right, qt, &mut product);
                add_matmul(&left, &product, qt, out);
            }
        },
    );
}

/// A', of a matrix of so many rows and columns.
fn transposed(a: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    (0..columns).flat_map(|j| (0..rows).map(move |i| a[i * columns + j])).collect()
}

/// out += A B, row by row of B, which has `width` columns; zeros of A cost nothing.
#[inline(always)]
fn add_matmul(a: &[f64], b: &[f64], width: usize, out: &mut [f64]) {
    let rows = b.len() / width;
    for (a, out) in a.chunks_exact(rows).zip(out.chunks_exact_mut(width)) {
        for (&a, b) in a.iter().zip(b.chunks_exact(width)).filter(|(a, _)| **a != 0.0) {
            out.iter_mut().zip(b).for_each(|(out, b)| *out += a * b);
        }
    }
}

/// out += L'M R, or L M R' when `OUTER`, for all blocks of a pair.
fn add_products<const OUTER: bool>(l: &[f64], m: &[f64], r: &[f64], size: (usize, usize), out: &mut [f64]) {
    if size == (1, 1) {
        let times = l[0] * r[0];
        return vectorized(
            #[inline(always)]
            || out.iter_mut().zip(m).for_each(|(o, m)| *o += times * m),
        );
    }
    let block = size.0 * size.1;
    let blocks = m.chunks_exact(block).zip(out.chunks_exact_mut(block));
    match size {
        (2, 1) => blocks.for_each(|(m, o)| add_product::<OUTER>(l, m, r, (2, 1), o)),
        (1, 2) => blocks.for_each(|(m, o)| add_product::<OUTER>(l, m, r, (1, 2), o)),
        (2, 2) => blocks.for_each(|(m, o)| add_product::<OUTER>(l, m, r, (2, 2), o)),
        size if size.0.max(size.1) <= FEW => blocks.for_each(|(m, o)| add_product::<OUTER>(l, m, r, size, o)),
        size => add_large_products::<OUTER>(l, m, r, size, out),
    }
}

/// Adds a number for each block of q x q to its diagonal.
pub fn add_to_diagonals(out: &mut [f64], q: usize, number: impl Fn(usize) -> f64) {
    for (cell, block) in out.chunks_exact_mut(q * q).enumerate() {
        (0..q).for_each(|c| block[c * q + c] += number(cell));
    }
}

/// The same as [`subtract_block`] for many effects, product after product.
fn subtract_large_block<const TRANSPOSED: bool>(
    s: &[f64],
    l: &[f64],
    c: &[f64],
    (qs, qt): (usize, usize),
    out: &mut [f64],
) {
    let (q, inner) = if TRANSPOSED { (qt, qs) } else { (qs, qt) };
    let left = if TRANSPOSED { transposed(s, qs, qt) } else { s.to_vec() };
    let right = if TRANSPOSED { c.to_vec() } else { transposed(c, qs, qt) };
    let mut product = vec![0.0; q * inner];
    vectorized(
        #[inline(always)]
        || {
            add_matmul(&left, l, inner, &mut product);
            product.iter_mut().for_each(|x| *x = -*x);
            add_matmul(&product, &right, q, out);
        },
    );
}

/// out -= S L C' of one block pair (`qs` x `qt` each), or S'L C when `TRANSPOSED`.
#[inline(always)]
fn subtract_block<const TRANSPOSED: bool>(s: &[f64], l: &[f64], c: &[f64], (qs, qt): (usize, usize), out: &mut [f64]) {
    if qs.max(qt) > FEW {
        return subtract_large_block::<TRANSPOSED>(s, l, c, (qs, qt), out);
    }
    let (q, inner) = if TRANSPOSED { (qt, qs) } else { (qs, qt) };
    let at = |i: usize, b: usize| if TRANSPOSED { b * qt + i } else { i * qt + b };
    for i in 0..q {
        for j in 0..q {
            let mut sum = 0.0;
            for b in 0..inner {
                for d in 0..inner {
                    sum += s[at(i, b)] * l[b * inner + d] * c[at(j, d)];
                }
            }
            out[i * q + j] -= sum;
        }
    }
}

impl<R> Effects for Cells<'_, R> {
    fn vector_len(&self) -> usize {
        self.pattern.effects()
    }

    fn matrix_len(&self) -> usize {
        self.pattern.matrix_len()
    }

    fn sizes(&self) -> Vec<usize> {
        self.pattern.sizes.clone()
    }

    fn apply(&self, f: &Factors, x: &[f64], out: &mut [f64]) {
        for (t, f) in f.iter().enumerate() {
            let (q, at) = (self.pattern.sizes[t], self.pattern.term(t));
            for (x, o) in x[at.clone()].chunks_exact(q).zip(out[at].chunks_exact_mut(q)) {
                dense::matvec(f, x, q, o);
            }
        }
    }

    fn apply_transpose(&self, f: &Factors, x: &[f64], out: &mut [f64]) {
        for (t, f) in f.iter().enumerate() {
            let (q, at) = (self.pattern.sizes[t], self.pattern.term(t));
            for (x, o) in x[at.clone()].chunks_exact(q).zip(out[at].chunks_exact_mut(q)) {
                dense::matvec_t(f, x, q, o);
            }
        }
    }

    fn add_inner(&self, l: &Factors, m: &[f64], r: &Factors, out: &mut [f64]) {
        for p in &self.pattern.pairs {
            add_products::<false>(&l[p.s], &m[p.range()], &r[p.t], p.size, &mut out[p.range()]);
        }
    }

    fn add_outer(&self, l: &Factors, m: &[f64], r: &Factors, out: &mut [f64]) {
        for p in &self.pattern.pairs {
            add_products::<true>(&l[p.s], &m[p.range()], &r[p.t], p.size, &mut out[p.range()]);
        }
    }

    fn add_precision(&self, out: &mut [f64]) {
        for (t, prior) in self.pattern.priors.iter().enumerate() {
            let (q, pair) = (self.pattern.sizes[t], self.pattern.pair(t, t));
            match prior {
                Prior::Each(precision) => add_to_diagonals(&mut out[self.pattern.own_blocks(t)], q, |_| *precision),
                Prior::Known(_, numbers) => add_to_diagonals(&mut out[pair.range()], q, |cell| numbers[cell]),
            }
        }
    }

    fn weigh(&self, x: &mut [f64]) {
        for (t, prior) in self.pattern.priors.iter().enumerate() {
            let x = &mut x[self.pattern.term(t)];
            match prior {
                Prior::Each(precision) => x.iter_mut().for_each(|x| *x *= precision),
                Prior::Known(known, _) => known.times(x, self.pattern.sizes[t]),
            }
        }
    }

    fn unweigh(&self, x: &mut [f64]) {
        for (t, prior) in self.pattern.priors.iter().enumerate() {
            if let Prior::Known(known, _) = prior {
                known.solve(&mut x[self.pattern.term(t)], self.pattern.sizes[t]);
            }
        }
    }

    fn add_dyads(&self, x: &[f64], y: &[f64], out: &mut Factors) {
        for (t, out) in out.iter_mut().enumerate() {
            let (q, at) = (self.pattern.sizes[t], self.pattern.term(t));
            for (x, y) in x[at.clone()].chunks_exact(q).zip(y[at].chunks_exact(q)) {
                for c in 0..q {
                    for d in 0..q {
                        out[c * q + d] += x[c] * y[d];
                    }
                }
            }
        }
    }

    fn subtract_product(&self, s: &[f64], l: &Factors, c: &[f64], out: &mut Factors) {
        for p in &self.pattern.pairs {
            // Blocks of two different levels or terms stand for both of their orders.
            let single = if p.s == p.t { self.pattern.own_blocks(p.s).len() } else { 0 };
            let (s, c, block) = (&s[p.range()], &c[p.range()], p.size.0 * p.size.1);
            let both = |from: usize| s[from..].chunks_exact(block).zip(c[from..].chunks_exact(block));
            if p.size == (1, 1) {
                let sum = |from: usize| {
                    vectorized(
                        #[inline(always)]
                        || dot(&s[from..], &c[from..]),
                    )
                };
                out[p.s][0] -= l[p.t][0] * sum(0);
                if single < s.len() {
                    out[p.t][0] -= l[p.s][0] * sum(single);
                }
                continue;
            }
            both(0).for_each(|(s, c)| subtract_block::<false>(s, &l[p.t], c, p.size, &mut out[p.s]));
            both(single).for_each(|(s, c)| subtract_block::<true>(s, &l[p.s], c, p.size, &mut out[p.t]));
        }
    }

    fn factorise(&mut self, h: &[f64]) -> Option<f64> {
        self.solver.factorise(h)
    }

    fn solve(&mut self, x: &mut [f64]) {
        self.solver.solve(x);
    }

    fn inverse(&mut self, out: &mut [f64]) {
        self.solver.inverse(out);
    }

    fn inverse_tangent(&mut self, _c: &[f64], dh: &[f64], out: &mut [f64]) {
        self.solver.inverse_tangent(dh, out);
    }
}
