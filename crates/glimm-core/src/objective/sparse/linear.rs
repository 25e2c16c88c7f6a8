//! Crossed and nested effects in a linear mixed model: products with several vectors at once.

use super::cells::{Cells, Pair};
use crate::objective::lmm::Linear;

impl Cells<'_> {
    /// The block of a cell times the later term's effects, added to the earlier term's, and the
    /// transpose the other way round.
    fn multiply_pair(&self, pair: &Pair, m: &[f64], x: &[f64], out: &mut [f64]) {
        let (s, t) = (&self.data.terms[pair.s], &self.data.terms[pair.t]);
        let (qs, qt) = (s.effects(), t.effects());
        for (cell, &(g, h)) in pair.levels.iter().enumerate() {
            let block = &m[pair.first + cell * qs * qt..][..qs * qt];
            let row = self.pattern.first[pair.s] + g as usize * qs;
            let column = self.pattern.first[pair.t] + h as usize * qt;
            for (c, d) in (0..qs).flat_map(|c| (0..qt).map(move |d| (c, d))) {
                out[row + c] += block[c * qt + d] * x[column + d];
                if pair.s != pair.t {
                    out[column + d] += block[c * qt + d] * x[row + c];
                }
            }
        }
    }
}

impl Linear for Cells<'_> {
    fn multiply(&self, m: &[f64], x: &[f64], out: &mut [f64]) {
        let n = self.pattern.effects();
        for (x, out) in x.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
            self.pattern.pairs.iter().for_each(|pair| self.multiply_pair(pair, m, x, out));
        }
    }

    fn solve_all(&mut self, x: &mut [f64]) {
        self.factor.solve_in_place(x);
    }
}
