//! Effects that sum to zero over sets of levels, A u = 0: any solver of H, conditioned.
//!
//! ```text
//! G = H^-1 A'      W = A G      C = H^-1 - G W^-1 G'      log|H| + log|W| - log|A A'| for log|H|
//! E = H^-1 dH G    -C dH C = -H^-1 dH H^-1 + E W^-1 G' + G W^-1 E' - G W^-1 A E W^-1 G'
//! ```
//!
//! With C for H^-1 every formula in it holds on the effects that sum to zero. H need not be that of the model but on
//! these. (Rue and Held 2005, Gaussian Markov Random Fields, section 2.3.)

use std::sync::Arc;

use super::pattern::Pattern;
use super::solver::Solver;
use crate::linalg::dense;

/// The effects of every sum, and the pattern.
pub struct Conditions {
    sums: Vec<Vec<u32>>,
    pattern: Arc<Pattern>,
}

impl Conditions {
    /// `None` where no effects must sum to zero.
    pub fn new(pattern: &Arc<Pattern>) -> Option<Arc<Conditions>> {
        let mut sums = Vec::new();
        for t in 0..pattern.sizes.len() {
            let (first, q) = (pattern.term(t).start as u32, pattern.sizes[t] as u32);
            for set in pattern.sets(t) {
                sums.extend((0..q).map(|c| set.iter().map(|g| first + g * q + c).collect::<Vec<u32>>()));
            }
        }
        (!sums.is_empty()).then(|| Arc::new(Conditions { sums, pattern: pattern.clone() }))
    }

    /// A x.
    fn of(&self, x: &[f64]) -> Vec<f64> {
        self.sums.iter().map(|sum| sum.iter().map(|&i| x[i as usize]).sum()).collect()
    }

    /// Takes its mean off every sum of x.
    fn project(&self, x: &mut [f64]) {
        for (sum, total) in self.sums.iter().zip(self.of(x)) {
            let mean = total / sum.len() as f64;
            sum.iter().for_each(|&i| x[i as usize] -= mean);
        }
    }

    /// Calls `op` with every number of a matrix on the pattern: its place, row and column.
    fn each(&self, mut op: impl FnMut(usize, usize, usize)) {
        for pair in &self.pattern.pairs {
            let (qs, qt) = pair.size;
            for cell in 0..pair.cells {
                let (g, h) = self.pattern.levels(pair, cell);
                let row = self.pattern.term(pair.s).start + g * qs;
                let column = self.pattern.term(pair.t).start + h * qt;
                for k in 0..qs * qt {
                    op(pair.first + cell * qs * qt + k, row + k / qt, column + k % qt);
                }
            }
        }
    }

    /// M X for symmetric M on the pattern and columns X.
    fn times(&self, m: &[f64], x: &[f64]) -> Vec<f64> {
        let (n, mut out) = (self.pattern.effects(), vec![0.0; x.len()]);
        let own = |i: usize, j: usize| {
            // Blocks on the diagonal hold both halves, others stand for their mirror too.
            let t = (0..self.pattern.sizes.len()).find(|&t| self.pattern.term(t).contains(&i)).unwrap_or(0);
            let (range, q) = (self.pattern.term(t), self.pattern.sizes[t]);
            range.contains(&j) && (i - range.start) / q == (j - range.start) / q
        };
        self.each(|place, i, j| {
            let mirrored = !own(i, j);
            for k in (0..x.len()).step_by(n) {
                out[k + i] += m[place] * x[k + j];
                if mirrored {
                    out[k + j] += m[place] * x[k + i];
                }
            }
        });
        out
    }
}

pub struct Constrained<S> {
    inner: S,
    conditions: Arc<Conditions>,
    /// G and G W^-1, by columns, and the Cholesky factor of W.
    g: Vec<f64>,
    gw: Vec<f64>,
    w: Vec<f64>,
}

impl<S: Solver> Constrained<S> {
    pub fn new(inner: S, conditions: Arc<Conditions>) -> Constrained<S> {
        Constrained { inner, conditions, g: Vec::new(), gw: Vec::new(), w: Vec::new() }
    }

    /// Sum over the columns of x_i y_j.
    fn products(x: &[f64], y: &[f64], n: usize, i: usize, j: usize) -> f64 {
        (0..x.len()).step_by(n).map(|k| x[k + i] * y[k + j]).sum()
    }
}

impl<S: Solver> Solver for Constrained<S> {
    fn factorise(&mut self, h: &[f64]) -> Option<f64> {
        let logdet = self.inner.factorise(h)?;
        let (n, count) = (self.conditions.pattern.effects(), self.conditions.sums.len());
        self.g = vec![0.0; n * count];
        for (sum, g) in self.conditions.sums.iter().zip(self.g.chunks_exact_mut(n)) {
            sum.iter().for_each(|&i| g[i as usize] = 1.0);
            self.inner.solve(g);
        }
        self.w = self.g.chunks_exact(n).flat_map(|g| self.conditions.of(g)).collect();
        if !dense::cholesky(&mut self.w, count) {
            return None;
        }
        let mut inverse = vec![0.0; count * count];
        dense::cholesky_inverse(&self.w, count, &mut inverse);
        self.gw = vec![0.0; n * count];
        for (k, gw) in self.gw.chunks_exact_mut(n).enumerate() {
            for (l, g) in self.g.chunks_exact(n).enumerate() {
                gw.iter_mut().zip(g).for_each(|(x, g)| *x += inverse[l * count + k] * g);
            }
        }
        let squares: f64 = self.conditions.sums.iter().map(|sum| (sum.len() as f64).ln()).sum();
        Some(logdet + dense::cholesky_logdet(&self.w, count) - squares)
    }

    fn solve(&mut self, x: &mut [f64]) {
        // C A' is zero, but only to rounding: what stands along A' is left out beforehand.
        self.conditions.project(x);
        self.inner.solve(x);
        let left = self.conditions.of(x);
        for (b, gw) in left.iter().zip(self.gw.chunks_exact(x.len())) {
            x.iter_mut().zip(gw).for_each(|(x, gw)| *x -= b * gw);
        }
        self.conditions.project(x);
    }

    fn inverse(&mut self, out: &mut [f64]) {
        self.inner.inverse(out);
        let n = self.conditions.pattern.effects();
        self.conditions.each(|place, i, j| out[place] -= Self::products(&self.gw, &self.g, n, i, j));
    }

    fn inverse_tangent(&mut self, dh: &[f64], out: &mut [f64]) {
        self.inner.inverse_tangent(dh, out);
        let (n, count) = (self.conditions.pattern.effects(), self.conditions.sums.len());
        let mut e = self.conditions.times(dh, &self.g);
        e.chunks_exact_mut(n).for_each(|e| self.inner.solve(e));
        // F = E - G W^-1 A E / 2 gives F W^-1 G' and its transpose.
        let ae: Vec<f64> = e.chunks_exact(n).flat_map(|e| self.conditions.of(e)).collect();
        for (k, e) in e.chunks_exact_mut(n).enumerate() {
            for (l, gw) in self.gw.chunks_exact(n).enumerate() {
                let half = 0.5 * ae[k * count + l];
                e.iter_mut().zip(gw).for_each(|(e, gw)| *e -= half * gw);
            }
        }
        let (e, gw) = (&e, &self.gw);
        self.conditions.each(|place, i, j| {
            out[place] += Self::products(e, gw, n, i, j) + Self::products(e, gw, n, j, i);
        });
    }

    fn forget(&mut self) {
        self.inner.forget();
    }
}
