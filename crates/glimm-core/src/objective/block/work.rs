//! Loops over the rows of one tile: linear predictors, row derivatives, and their moments. Each is compiled once; the
//! number of effects matters little here.

use std::ops::Range;

use super::Job;
use super::lanes::{LANES, Lanes};
use super::moments::{dot_lanes, multiply};
use super::store::Store;
use super::tiles::Tile;
use crate::design::Column;
use crate::family::{Derivs, Want, chains};
use crate::objective::laplace::sorted;
use crate::special::vectorized;

/// Places looked at together: products of columns then stay in the first-level cache.
pub(super) const STRIP: usize = 32 * LANES;
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
    pub(super) fixed: Vec<Vec<f64>>,
    pub(super) eta: Vec<Vec<f64>>,
    pub(super) derivs: Derivs,
    /// Moments, one number per lane's group.
    pub first: Vec<Lanes>,
    pub second: Vec<Lanes>,
    pub fourth: Vec<Lanes>,
    /// Moments at a node: sum F' w_a and sum F'' w_a w_b.
    pub(super) node_score: Vec<Lanes>,
    pub(super) node_curvature: Vec<Lanes>,
    /// Components of the row derivatives with their derivatives in predictor 0.
    pub(super) chains: Vec<Vec<usize>>,
    /// Strips of products of row derivatives and columns.
    pub(super) products: Vec<f64>,
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
            node_score: vec![Lanes::ZERO; p],
            node_curvature: vec![Lanes::ZERO; p * p],
            chains: chains(k, job.row_order()),
            products: vec![0.0; (width(q) + 1 + k * (k + 1)) * STRIP],
            evaluated: 0,
        }
    }

    pub(super) fn strips(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let places = self.tile.slots * LANES;
        (0..places).step_by(STRIP).map(move |s| s..places.min(s + STRIP))
    }

    /// Column `a` over a strip of the tile.
    #[inline(always)]
    pub(super) fn column(&self, a: usize, strip: &Range<usize>) -> &'a [f64] {
        match &self.store.columns[a] {
            Column::One => &ONES[..strip.len()],
            Column::Values(v) => &v[self.tile.first + strip.start..self.tile.first + strip.end],
        }
    }

    /// A wide tile has one group, whose sums run over all lanes.
    #[inline(always)]
    pub(super) fn gather_lanes(wide: bool, sums: &mut [Lanes]) {
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
    pub(super) fn columns<const N: usize>(&self, a: usize, strip: &Range<usize>) -> [&'a [f64]; N] {
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
    pub(super) fn add_effects(&self, q: usize, k: usize, b: &[Lanes], strip: &Range<usize>, out: &mut [f64]) {
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
        if self.tile.wide { Lanes([reach.largest(); LANES]) } else { reach }
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
        Self::gather_lanes(self.tile.wide, &mut sum);
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
        let wide = self.tile.wide;
        zr[..q].fill(Lanes::ZERO);
        s[..q * q].fill(Lanes::ZERO);
        for strip in self.strips() {
            let n = strip.len();
            for c in 0..q {
                let (k, zc) = (self.store.predictor[self.store.z[c]], self.column(self.store.z[c], &strip));
                zr[c] += dot_lanes(zc, &self.derivs.get(&[k])[strip.clone()]);
                for d in (0..=c).filter(|&d| self.store.meet(self.store.z[c], d)) {
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
}
