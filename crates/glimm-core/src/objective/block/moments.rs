//! Moments over the rows of one tile, from which the objective and its derivatives follow.
//!
//! With F', F'', ... the row derivatives in the linear predictors of the columns involved, w the columns of X and Z and
//! z those of Z:
//!
//! ```text
//! first[a]  = sum F' w_a,  sum F'' w_a z_c,  sum F''' w_a z_c z_d      (for every c <= d)
//! second[a, b] = sum A w_a w_b,      A = F'' + F'''' v / 2 - F''' c
//! fourth[c, b] = sum F'''' v z_c w_b
//! ```

use std::ops::Range;

use super::lanes::{LANES, Lanes};
use super::work::{STRIP, Work, tri, width};
use crate::objective::laplace::{pair, sorted};
use crate::special::vectorized;

impl Work<'_> {
    /// Fills `first`.
    pub fn first_moments(&mut self, q: usize) {
        vectorized(
            #[inline(always)]
            || self.first_moments_rows(q),
        )
    }

    #[inline(always)]
    fn first_moments_rows(&mut self, q: usize) {
        let (mut products, mut first) = (std::mem::take(&mut self.products), std::mem::take(&mut self.first));
        first.fill(Lanes::ZERO);
        if !self.store.all_meet() {
            self.add_meetings(q, &mut products, &mut first);
            Self::gather_lanes(self.tile.wide, &mut first);
            (self.first, self.products) = (first, products);
            return;
        }
        for strip in self.strips() {
            for (k, span) in self.store.spans.iter().enumerate() {
                self.first_products(q, k, &strip, &mut products);
                for a in span.clone() {
                    add_products(self.column(a, &strip), &products, &mut first[a * width(q)..(a + 1) * width(q)]);
                }
            }
        }
        Self::gather_lanes(self.tile.wide, &mut first);
        (self.first, self.products) = (first, products);
    }

    /// The first moments of columns and effects that meet; the others are zero.
    #[inline(always)]
    fn add_meetings(&self, q: usize, products: &mut [f64], first: &mut [Lanes]) {
        for strip in self.strips() {
            for (k, span) in self.store.spans.iter().enumerate() {
                let f1 = &self.derivs.get(&[k])[strip.clone()];
                span.clone().for_each(|a| first[a * width(q)] += dot_lanes(self.column(a, &strip), f1));
                for c in 0..q {
                    self.add_meetings_of(q, k, c, &strip, products, first);
                }
            }
        }
    }

    /// Those of effect `c` with columns of predictor `k` over a strip.
    #[inline(always)]
    fn add_meetings_of(
        &self,
        q: usize,
        k: usize,
        c: usize,
        strip: &Range<usize>,
        products: &mut [f64],
        first: &mut [Lanes],
    ) {
        let (span, room) = (self.store.spans[k].clone(), &mut products[..strip.len()]);
        let (l, zc) = (self.store.predictor[self.store.z[c]], self.column(self.store.z[c], strip));
        multiply(zc, &self.derivs.get(&sorted([k, l]))[strip.clone()], room);
        for a in span.clone().filter(|&a| self.store.meet(a, c)) {
            first[a * width(q) + 1 + c] += dot_lanes(self.column(a, strip), room);
        }
        for d in (0..=c).filter(|&d| self.store.meet(self.store.z[c], d)) {
            let (m, zd) = (self.store.predictor[self.store.z[d]], self.column(self.store.z[d], strip));
            multiply(zc, &self.derivs.get(&sorted([k, l, m]))[strip.clone()], room);
            let zd = &zd[..room.len()];
            for i in 0..room.len() {
                room[i] *= zd[i];
            }
            for a in span.clone().filter(|&a| self.store.meet(a, c) && self.store.meet(a, d)) {
                first[a * width(q) + 1 + q + tri(d, c)] += dot_lanes(self.column(a, strip), room);
            }
        }
    }

    /// F', F'' z_c and F''' z_c z_d over a strip, for columns of predictor k.
    #[inline(always)]
    fn first_products(&self, q: usize, k: usize, strip: &Range<usize>, products: &mut [f64]) {
        let n = strip.len();
        products[..n].copy_from_slice(&self.derivs.get(&[k])[strip.clone()]);
        for c in 0..q {
            let (l, zc) = (self.store.predictor[self.store.z[c]], self.column(self.store.z[c], strip));
            let f2 = &self.derivs.get(&sorted([k, l]))[strip.clone()];
            multiply(zc, f2, &mut products[(1 + c) * STRIP..][..n]);
            for d in 0..=c {
                let (m, zd) = (self.store.predictor[self.store.z[d]], self.column(self.store.z[d], strip));
                let f3 = &self.derivs.get(&sorted([k, l, m]))[strip.clone()];
                let out = &mut products[(1 + q + tri(d, c)) * STRIP..][..n];
                multiply(zc, f3, out);
                let zd = &zd[..n];
                for i in 0..n {
                    out[i] *= zd[i];
                }
            }
        }
    }

    /// Fills `out` with sum F' w_a.
    pub fn score_moments(&self, out: &mut [Lanes]) {
        vectorized(
            #[inline(always)]
            || {
                out.fill(Lanes::ZERO);
                for strip in self.strips() {
                    for (k, span) in self.store.spans.iter().enumerate() {
                        let first = &self.derivs.get(&[k])[strip.clone()];
                        self.add_dots(span.clone(), &strip, first, &mut out[span.start..]);
                    }
                }
                Self::gather_lanes(self.tile.wide, out);
            },
        )
    }

    /// Fills `out` with sum F'' w_a w_b.
    pub fn curvature_moments(&self, room: &mut [f64], out: &mut [Lanes]) {
        vectorized(
            #[inline(always)]
            || {
                let (p, predictors) = (self.store.columns.len(), self.store.spans.len());
                out.fill(Lanes::ZERO);
                for strip in self.strips() {
                    for k in 0..predictors {
                        for l in k..predictors {
                            let second = &self.derivs.get(&[k, l])[strip.clone()];
                            self.add_squares([k, l], second, &strip, room, out);
                        }
                    }
                }
                Self::gather_lanes(self.tile.wide, out);
                mirror(p, out);
            },
        )
    }

    /// out[a, b] += sum f w_a w_b for the columns a of one predictor and b >= a of another.
    #[inline(always)]
    fn add_squares(&self, [k, l]: [usize; 2], f: &[f64], strip: &Range<usize>, room: &mut [f64], out: &mut [Lanes]) {
        let (n, p) = (strip.len(), self.store.columns.len());
        for a in self.store.spans[k].clone() {
            multiply(self.column(a, strip), f, &mut room[..n]);
            let span = self.store.spans[l].start.max(a)..self.store.spans[l].end;
            match self.store.effect(a) {
                Some(c) => self.add_meeting_dots(c, span.clone(), strip, &room[..n], &mut out[a * p + span.start..]),
                None => self.add_dots(span.clone(), strip, &room[..n], &mut out[a * p + span.start..]),
            }
        }
    }

    /// Fills `second` and `fourth`, with v_i = z_i'B z_i and c_i = z_i'la.
    pub fn second_moments(&mut self, q: usize, b: &[Lanes], la: &[Lanes]) {
        vectorized(
            #[inline(always)]
            || self.second_moments_rows(q, b, la),
        )
    }

    #[inline(always)]
    fn second_moments_rows(&mut self, q: usize, b: &[Lanes], la: &[Lanes]) {
        let (p, k_all) = (self.store.columns.len(), self.store.spans.len());
        let mut products = std::mem::take(&mut self.products);
        let (mut second, mut fourth) = (std::mem::take(&mut self.second), std::mem::take(&mut self.fourth));
        second.fill(Lanes::ZERO);
        fourth.fill(Lanes::ZERO);
        for strip in self.strips() {
            let n = strip.len();
            let (bends, room) = products.split_at_mut(k_all * (k_all + 1) * STRIP);
            self.bends(q, b, la, &strip, bends, room);
            for k in 0..k_all {
                for l in k..k_all {
                    let at = 2 * pair(k, l, k_all) * STRIP;
                    self.add_squares([k, l], &bends[at..at + n], &strip, room, &mut second);
                }
            }
            for c in 0..q {
                let k = self.store.predictor[self.store.z[c]];
                for (l, span) in self.store.spans.iter().enumerate() {
                    let at = (2 * pair(k.min(l), k.max(l), k_all) + 1) * STRIP;
                    multiply(self.column(self.store.z[c], &strip), &bends[at..at + n], &mut room[..n]);
                    self.add_meeting_dots(c, span.clone(), &strip, &room[..n], &mut fourth[c * p + span.start..]);
                }
            }
        }
        Self::gather_lanes(self.tile.wide, &mut second);
        Self::gather_lanes(self.tile.wide, &mut fourth);
        mirror(p, &mut second);
        (self.second, self.fourth, self.products) = (second, fourth, products);
    }

    /// sums[m] += sum over slots of w_m r for the columns w of `span`.
    #[inline(always)]
    fn add_dots(&self, span: Range<usize>, strip: &Range<usize>, r: &[f64], sums: &mut [Lanes]) {
        let mut a = span.start;
        while a < span.end {
            let sums = &mut sums[a - span.start..];
            a += match span.end - a {
                1 => add_column_dots(self.columns::<1>(a, strip), r, sums),
                2 => add_column_dots(self.columns::<2>(a, strip), r, sums),
                3 => add_column_dots(self.columns::<3>(a, strip), r, sums),
                4 => add_column_dots(self.columns::<4>(a, strip), r, sums),
                _ => add_column_dots(self.columns::<5>(a, strip), r, sums),
            };
        }
    }

    /// The same for those columns of `span` that meet effect `c`.
    #[inline(always)]
    fn add_meeting_dots(&self, c: usize, span: Range<usize>, strip: &Range<usize>, r: &[f64], sums: &mut [Lanes]) {
        if self.store.all_meet() {
            return self.add_dots(span, strip, r, sums);
        }
        for a in span.clone().filter(|&a| self.store.meet(a, c)) {
            sums[a - span.start] += dot_lanes(self.column(a, strip), r);
        }
    }

    /// A^kl and (F'''' v)^kl for every pair k <= l of predictors.
    #[inline(always)]
    fn bends(&self, q: usize, b: &[Lanes], la: &[Lanes], strip: &Range<usize>, out: &mut [f64], room: &mut [f64]) {
        let (n, k_all) = (strip.len(), self.store.spans.len());
        for k in 0..k_all {
            for l in k..k_all {
                let (a, fv) = out[2 * pair(k, l, k_all) * STRIP..].split_at_mut(STRIP);
                let (a, fv, row) = (&mut a[..n], &mut fv[..n], &mut room[..n]);
                a.copy_from_slice(&self.derivs.get(&[k, l])[strip.clone()]);
                fv.fill(0.0);
                for m in 0..self.store.random {
                    row.fill(0.0);
                    self.add_effects(q, m, la, strip, row);
                    subtract_products(&self.derivs.get(&sorted([k, l, m]))[strip.clone()], row, a);
                    for o in m..self.store.random {
                        row.fill(0.0);
                        self.add_variances(q, m, o, b, strip, row);
                        add_multiples(&self.derivs.get(&sorted([k, l, m, o]))[strip.clone()], row, fv);
                    }
                }
                for i in 0..n {
                    a[i] += 0.5 * fv[i];
                }
            }
        }
    }

    /// out += v^mo, over both orders of m and o.
    #[inline(always)]
    fn add_variances(&self, q: usize, m: usize, o: usize, b: &[Lanes], strip: &Range<usize>, out: &mut [f64]) {
        for c in 0..q {
            for d in 0..=c {
                let (ac, ad) = (self.store.z[c], self.store.z[d]);
                let (k, l) = (self.store.predictor[ac], self.store.predictor[ad]);
                if (k.min(l), k.max(l)) != (m, o) || !self.store.meet(ac, d) {
                    continue;
                }
                let weight = b[c * q + d] * if c == d { 1.0 } else { 2.0 };
                let zc = self.column(ac, strip).as_chunks::<LANES>().0;
                let zd = self.column(ad, strip).as_chunks::<LANES>().0;
                for ((o, x), y) in out.as_chunks_mut::<LANES>().0.iter_mut().zip(zc).zip(zd) {
                    for l in 0..LANES {
                        o[l] = (weight.0[l] * x[l]).mul_add(y[l], o[l]);
                    }
                }
            }
        }
    }
}

/// Copies the upper triangle of a p x p matrix to the lower one.
#[inline(always)]
fn mirror(p: usize, out: &mut [Lanes]) {
    for a in 0..p {
        for b in 0..a {
            out[a * p + b] = out[b * p + a];
        }
    }
}

/// out -= f x.
#[inline(always)]
fn subtract_products(f: &[f64], x: &[f64], out: &mut [f64]) {
    let (f, x) = (&f[..out.len()], &x[..out.len()]);
    for i in 0..out.len() {
        out[i] = (-f[i]).mul_add(x[i], out[i]);
    }
}

/// out += f x.
#[inline(always)]
fn add_multiples(f: &[f64], x: &[f64], out: &mut [f64]) {
    let (f, x) = (&f[..out.len()], &x[..out.len()]);
    for i in 0..out.len() {
        out[i] = f[i].mul_add(x[i], out[i]);
    }
}

/// Sum over slots of a b.
#[inline(always)]
pub(super) fn dot_lanes(a: &[f64], b: &[f64]) -> Lanes {
    let mut sums = [Lanes::ZERO];
    add_column_dots([a], b, &mut sums);
    sums[0]
}

/// sums[m] += sum over slots of w_m r.
#[inline(always)]
fn add_column_dots<const N: usize>(w: [&[f64]; N], r: &[f64], sums: &mut [Lanes]) -> usize {
    let r = r.as_chunks::<LANES>().0;
    let mut columns: [&[[f64; LANES]]; N] = [&[]; N];
    for m in 0..N {
        columns[m] = &w[m].as_chunks::<LANES>().0[..r.len()];
    }
    let mut acc = [[0.0; LANES]; N];
    for j in 0..r.len() {
        for m in 0..N {
            for l in 0..LANES {
                acc[m][l] = columns[m][j][l].mul_add(r[j][l], acc[m][l]);
            }
        }
    }
    for m in 0..N {
        sums[m] += Lanes(acc[m]);
    }
    N
}

#[inline(always)]
pub(super) fn multiply(a: &[f64], b: &[f64], out: &mut [f64]) {
    let (a, b) = (&a[..out.len()], &b[..out.len()]);
    for i in 0..out.len() {
        out[i] = a[i] * b[i];
    }
}

/// sums[m] += sum over slots of w r_m, where the strips r_m follow one another.
#[inline(always)]
fn add_products(w: &[f64], r: &[f64], sums: &mut [Lanes]) {
    let mut m = 0;
    while m < sums.len() {
        let (sums, r) = (&mut sums[m..], &r[m * STRIP..]);
        m += match sums.len() {
            1 => add_block::<1>(w, r, sums),
            2 => add_block::<2>(w, r, sums),
            3 => add_block::<3>(w, r, sums),
            4 => add_block::<4>(w, r, sums),
            6 => add_block::<6>(w, r, sums),
            _ => add_block::<5>(w, r, sums),
        };
    }
}

#[inline(always)]
fn add_block<const N: usize>(w: &[f64], r: &[f64], sums: &mut [Lanes]) -> usize {
    let w = w.as_chunks::<LANES>().0;
    let mut rows: [&[[f64; LANES]]; N] = [&[]; N];
    for m in 0..N {
        rows[m] = &r[m * STRIP..m * STRIP + w.len() * LANES].as_chunks::<LANES>().0[..w.len()];
    }
    let mut acc = [[0.0; LANES]; N];
    for j in 0..w.len() {
        for m in 0..N {
            for l in 0..LANES {
                acc[m][l] = w[j][l].mul_add(rows[m][j][l], acc[m][l]);
            }
        }
    }
    for m in 0..N {
        sums[m] += Lanes(acc[m]);
    }
    N
}
