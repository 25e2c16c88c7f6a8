//! Crossed and nested effects in a linear mixed model: products with several vectors at once.

use super::cells::{Cells, add_to_diagonals};
use super::pattern::Pair;
use crate::objective::lmm::Linear;

impl<R> Cells<'_, R> {
    /// The block of a cell times the later term's effects, added to the earlier term's, and the
    /// transpose the other way round.
    fn multiply_pair(&self, pair: &Pair, m: &[f64], x: &[f64], out: &mut [f64]) {
        let (qs, qt) = pair.size;
        for (cell, block) in m[pair.range()].chunks_exact(qs * qt).enumerate() {
            let (g, h) = self.pattern.levels(pair, cell);
            let row = self.pattern.term(pair.s).start + g * qs;
            let column = self.pattern.term(pair.t).start + h * qt;
            for (c, d) in (0..qs).flat_map(|c| (0..qt).map(move |d| (c, d))) {
                out[row + c] += block[c * qt + d] * x[column + d];
                if pair.s != pair.t || g != h {
                    out[column + d] += block[c * qt + d] * x[row + c];
                }
            }
        }
    }
}

impl<R> Linear for Cells<'_, R> {
    fn multiply(&self, m: &[f64], x: &[f64], out: &mut [f64]) {
        let n = self.pattern.effects();
        for (x, out) in x.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
            self.pattern.pairs.iter().for_each(|pair| self.multiply_pair(pair, m, x, out));
        }
    }

    fn solve_all(&mut self, x: &mut [f64]) {
        self.solver.solve_all(x, self.pattern.effects());
    }

    fn add_identity(&self, out: &mut [f64]) {
        for t in 0..self.pattern.sizes.len() {
            add_to_diagonals(&mut out[self.pattern.own_blocks(t)], self.pattern.sizes[t], |_| 1.0);
        }
    }
}
