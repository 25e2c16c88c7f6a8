//! Loops over the rows of one tile: linear predictors, row derivatives, and their moments. Each is compiled once; the
//! number of effects matters little here.
//!
//! With F', F'', ... the row derivatives in the linear predictors of the columns involved, w the columns of
//! X and Z and z those of Z, everything the objective and its derivatives need are sums over rows:
//!
//! ```text
//! first[a]  = sum F' w_a,  sum F'' w_a z_c,  sum F''' w_a z_c z_d      (for every c <= d)
//! second[a, b] = sum A w_a w_b,      A = F'' + F'''' v / 2 - F''' c
//! fourth[c, b] = sum F'''' v z_c w_b
//! ```

use std::ops::Range;

use super::Job;
use super::lanes::{LANES, Lanes};
use super::store::Store;
use super::tiles::Tile;
use crate::design::Column;
use crate::family::{Derivs, Want, chains};
use crate::objective::laplace::{pair, sorted};
use crate::special::vectorized;

/// Places looked at together: products of columns then stay in the first-level cache.
const STRIP: usize = 32 * LANES;
/// A strip of ones, for intercepts.
static ONES: [f64; STRIP] = [1.0; STRIP];

/// Position of the pair (c, d) of effects among the pairs c <= d.
#[inline(always)]
pub fn tri(c: usize, d: usize) -> usize {
    if c <= d { d * (d + 1) / 2 + c } else { c * (c + 1) / 2 + d }
}

/// Numbers of `first` per column: one, one per effect, one per pair of effects.
#[inline(always)]
pub fn width(q: usize) -> usize {
    1 + q + q * (q + 1) / 2
}

pub struct Work<'a> {
    pub store: &'a Store,
    pub job: &'a Job<'a>,
    pub tile: &'a Tile,
    /// X beta + offset of each predictor, and eta, over the places of the tile.
    fixed: Vec<Vec<f64>>,
    eta: Vec<Vec<f64>>,
    derivs: Derivs,
    /// Moments, one number per lane's group.
    pub first: Vec<Lanes>,
    pub second: Vec<Lanes>,
    pub fourth: Vec<Lanes>,
    /// Components of the row derivatives with their derivatives in predictor 0.
    chains: Vec<Vec<usize>>,
    /// Strips of products of row derivatives and columns.
    products: Vec<f64>,
    /// Rows whose derivatives were computed.
    pub evaluated: usize,
}

impl<'a> Work<'a> {
    pub fn new(store: &'a Store, job: &'a Job<'a>, tile: &'a Tile) -> Work<'a> {
        let (p, q, k) = (store.columns.len(), store.z.len(), store.spans.len());
        Work {
            store,
            job,
            tile,
            fixed: vec![Vec::new(); k],
            eta: vec![Vec::new(); k],
            derivs: Derivs::default(),
            first: vec![Lanes::ZERO; p * width(q)],
            second: vec![Lanes::ZERO; p * p],
            fourth: vec![Lanes::ZERO; q * p],
            chains: chains(k, job.row_order()),
            products: vec![0.0; (width(q) + 1 + k * (k + 1)) * STRIP],
            evaluated: 0,
        }
    }

    fn strips(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let places = self.tile.slots * LANES;
        (0..places).step_by(STRIP).map(move |s| s..places.min(s + STRIP))
    }

    /// Column `a` over a strip of the tile.
    #[inline(always)]
    fn column(&self, a: usize, strip: &Range<usize>) -> &'a [f64] {
        match &self.store.columns[a] {
            Column::One => &ONES[..strip.len()],
            Column::Values(v) => &v[self.tile.first + strip.start..self.tile.first + strip.end],
        }
    }

    /// A wide tile has one group, whose sums run over all lanes.
    #[inline(always)]
    fn gather_lanes(wide: bool, sums: &mut [Lanes]) {
        if wide {
            for s in sums {
                *s = Lanes([s.sum(); LANES]);
            }
        }
    }

    /// Begins a tile: X beta + offset.
    pub fn open(&mut self, tile: &'a Tile) {
        vectorized(
            #[inline(always)]
            || self.open_rows(tile),
        )
    }

    #[inline(always)]
    fn open_rows(&mut self, tile: &'a Tile) {
        self.tile = tile;
        let places = tile.slots * LANES;
        for k in 0..self.fixed.len() {
            let mut fixed = std::mem::take(&mut self.fixed[k]);
            fixed.resize(places, 0.0);
            match self.store.offset(k, tile.places()) {
                Some(offset) => fixed.copy_from_slice(offset),
                None => fixed.fill(0.0),
            }
            for strip in self.strips() {
                let mut a = self.store.spans[k].start;
                while a < self.store.spans[k].end {
                    let (out, left) = (&mut fixed[strip.clone()], self.store.spans[k].end - a);
                    a += match left {
                        1 => self.add_columns::<1>(a, &strip, out),
                        2 => self.add_columns::<2>(a, &strip, out),
                        3 => self.add_columns::<3>(a, &strip, out),
                        _ => self.add_columns::<4>(a, &strip, out),
                    };
                }
            }
            if k >= self.store.random || self.store.z.is_empty() {
                self.eta[k].resize(places, 0.0);
                self.eta[k].copy_from_slice(&fixed);
            }
            self.fixed[k] = fixed;
        }
    }

    /// out += w_a beta_a for N columns from `a` on.
    #[inline(always)]
    fn add_columns<const N: usize>(&self, a: usize, strip: &Range<usize>, out: &mut [f64]) -> usize {
        let (w, mut beta) = (self.columns::<N>(a, strip), [0.0; N]);
        for m in 0..N {
            if let Some(j) = self.store.coefficient[a + m] {
                beta[m] = self.job.psi[j];
            }
        }
        for i in 0..out.len() {
            let mut sum = out[i];
            for m in 0..N {
                sum = beta[m].mul_add(w[m][i], sum);
            }
            out[i] = sum;
        }
        N
    }

    /// Columns from `a` on over a strip, all of one known length.
    #[inline(always)]
    fn columns<const N: usize>(&self, a: usize, strip: &Range<usize>) -> [&'a [f64]; N] {
        let mut w: [&[f64]; N] = [&[]; N];
        for m in 0..N {
            w[m] = &self.column(a + m, strip)[..strip.len()];
        }
        w
    }

    /// eta = X beta + offset + Z b.
    pub fn predict(&mut self, q: usize, b: &[Lanes]) {
        vectorized(
            #[inline(always)]
            || self.predict_rows(q, b),
        )
    }

    #[inline(always)]
    fn predict_rows(&mut self, q: usize, b: &[Lanes]) {
        for k in 0..self.store.random {
            let mut eta = std::mem::take(&mut self.eta[k]);
            eta.resize(self.fixed[k].len(), 0.0);
            for strip in self.strips() {
                let eta = &mut eta[strip.clone()];
                eta.copy_from_slice(&self.fixed[k][strip.clone()]);
                self.add_effects(q, k, b, &strip, eta);
            }
            self.eta[k] = eta;
        }
    }

    /// out += z^k' b.
    #[inline(always)]
    fn add_effects(&self, q: usize, k: usize, b: &[Lanes], strip: &Range<usize>, out: &mut [f64]) {
        for c in 0..q {
            if self.store.predictor[self.store.z[c]] != k {
                continue;
            }
            let z = self.column(self.store.z[c], strip).as_chunks::<LANES>().0;
            let b = b[c].0;
            for (o, z) in out.as_chunks_mut::<LANES>().0.iter_mut().zip(z) {
                for l in 0..LANES {
                    o[l] = z[l].mul_add(b[l], o[l]);
                }
            }
        }
    }

    /// The largest |z'b| over the rows of each lane, and over all lanes of a wide tile.
    pub fn reach(&self, q: usize, b: &[Lanes]) -> Lanes {
        vectorized(
            #[inline(always)]
            || self.reach_rows(q, b),
        )
    }

    #[inline(always)]
    fn reach_rows(&self, q: usize, b: &[Lanes]) -> Lanes {
        let (mut reach, mut moves) = (Lanes::ZERO, [0.0; STRIP]);
        for k in 0..self.store.random {
            for strip in self.strips() {
                let moves = &mut moves[..strip.len()];
                moves.fill(0.0);
                self.add_effects(q, k, b, &strip, moves);
                for m in moves.as_chunks::<LANES>().0 {
                    for l in 0..LANES {
                        let size = m[l].abs();
                        // NaN wins.
                        reach.0[l] = if size <= reach.0[l] { reach.0[l] } else { size };
                    }
                }
            }
        }
        if self.tile.is_wide() { Lanes([reach.largest(); LANES]) } else { reach }
    }

    /// Row derivatives at eta, times the weights.
    pub fn derive(&mut self, want: Want) {
        let eta: [&[f64]; 4] = std::array::from_fn(|k| self.eta.get(k).map_or(&[][..], |e| e));
        let places = self.tile.slots * LANES;
        self.evaluated += self.tile.rows;
        self.derivs.reshape(want.dims, want.order, places);
        let rows = self.store.rows(self.tile.places());
        self.store.family.derivs(rows, &eta[..self.eta.len()], want, &mut self.derivs);
        if let Some(weights) = self.store.weights(self.tile) {
            self.derivs.weigh(weights, want);
        }
    }

    /// Sums of the log density.
    #[inline(always)]
    pub fn total(&self) -> Lanes {
        let mut sum = [Lanes::ZERO];
        for f in self.derivs.value().as_chunks::<LANES>().0 {
            sum[0] += Lanes(*f);
        }
        Self::gather_lanes(self.tile.is_wide(), &mut sum);
        sum[0]
    }

    /// Z'F' and S = -Z'F''Z. `bent` leaves rows out of S that would make it indefinite.
    pub fn score_and_curvature(&mut self, q: usize, bent: bool, zr: &mut [Lanes], s: &mut [Lanes]) {
        vectorized(
            #[inline(always)]
            || self.score_and_curvature_rows(q, bent, zr, s),
        )
    }

    #[inline(always)]
    fn score_and_curvature_rows(&mut self, q: usize, bent: bool, zr: &mut [Lanes], s: &mut [Lanes]) {
        let mut products = std::mem::take(&mut self.products);
        let wide = self.tile.is_wide();
        zr[..q].fill(Lanes::ZERO);
        s[..q * q].fill(Lanes::ZERO);
        for strip in self.strips() {
            let n = strip.len();
            for c in 0..q {
                let (k, zc) = (self.store.predictor[self.store.z[c]], self.column(self.store.z[c], &strip));
                zr[c] += dot_lanes(zc, &self.derivs.get(&[k])[strip.clone()]);
                for d in 0..=c {
                    let (l, zd) = (self.store.predictor[self.store.z[d]], self.column(self.store.z[d], &strip));
                    let f2 = &self.derivs.get(&sorted([k, l]))[strip.clone()];
                    multiply(zc, f2, &mut products[..n]);
                    if bent {
                        for (p, f) in products[..n].iter_mut().zip(f2) {
                            *p = if *f < 0.0 && k == l { *p } else { 0.0 };
                        }
                    }
                    s[c * q + d] = s[c * q + d] - dot_lanes(zd, &products[..n]);
                }
            }
        }
        self.products = products;
        Self::gather_lanes(wide, &mut zr[..q]);
        for c in 0..q {
            for d in 0..=c {
                Self::gather_lanes(wide, &mut s[c * q + d..c * q + d + 1]);
                s[d * q + c] = s[c * q + d];
            }
        }
    }

    /// Moves eta by z'b, b small, and the row derivatives with it by their Taylor series: no exponential.
    /// For random effects in the first predictor only.
    pub fn polish(&mut self, q: usize, b: &[Lanes]) {
        vectorized(
            #[inline(always)]
            || self.polish_rows(q, b),
        )
    }

    #[inline(always)]
    fn polish_rows(&mut self, q: usize, b: &[Lanes]) {
        let mut moves = [0.0; STRIP];
        for strip in self.strips() {
            let moves = &mut moves[..strip.len()];
            moves.fill(0.0);
            self.add_effects(q, 0, b, &strip, moves);
            let eta = &mut self.eta[0][strip.clone()];
            for i in 0..eta.len() {
                eta[i] += moves[i];
            }
            for chain in &self.chains {
                self.derivs.shift(chain, strip.clone(), moves);
            }
        }
    }

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
        for strip in self.strips() {
            for (k, span) in self.store.spans.iter().enumerate() {
                self.first_products(q, k, &strip, &mut products);
                for a in span.clone() {
                    add_products(self.column(a, &strip), &products, &mut first[a * width(q)..(a + 1) * width(q)]);
                }
            }
        }
        Self::gather_lanes(self.tile.is_wide(), &mut first);
        (self.first, self.products) = (first, products);
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
                    for a in self.store.spans[k].clone() {
                        multiply(self.column(a, &strip), &bends[at..at + n], &mut room[..n]);
                        let span = self.store.spans[l].start.max(a)..self.store.spans[l].end;
                        self.add_dots(span.clone(), &strip, &room[..n], &mut second[a * p + span.start..]);
                    }
                }
            }
            for c in 0..q {
                let k = self.store.predictor[self.store.z[c]];
                for (l, span) in self.store.spans.iter().enumerate() {
                    let at = (2 * pair(k.min(l), k.max(l), k_all) + 1) * STRIP;
                    multiply(self.column(self.store.z[c], &strip), &bends[at..at + n], &mut room[..n]);
                    self.add_dots(span.clone(), &strip, &room[..n], &mut fourth[c * p + span.start..]);
                }
            }
        }
        Self::gather_lanes(self.tile.is_wide(), &mut second);
        Self::gather_lanes(self.tile.is_wide(), &mut fourth);
        for a in 0..p {
            for b in 0..a {
                second[a * p + b] = second[b * p + a];
            }
        }
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
                if (k.min(l), k.max(l)) != (m, o) {
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
fn dot_lanes(a: &[f64], b: &[f64]) -> Lanes {
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
fn multiply(a: &[f64], b: &[f64], out: &mut [f64]) {
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
