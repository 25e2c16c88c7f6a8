//! Sums over the rows of a group at the bottom, for many values of the effects at once.
//!
//! Successive numbers belong to successive nodes: a loop over the nodes of one row is long however few rows there are.

use std::ops::Range;

use super::Detail;
use crate::design::{Column, Data, Predictor};
use crate::family::{self, Derivs, Want};
use crate::objective::laplace::{pair, sorted};
use crate::special::vectorized;

/// Numbers looked at together.
const STRIP: usize = 4096;

/// A column of the fixed effects, then of the random ones, with its linear predictor.
struct Wide<'a> {
    column: &'a Column,
    predictor: usize,
}

pub struct RowSums<'a> {
    data: &'a Data,
    /// X beta + offset, by predictor and row.
    fixed: &'a [Vec<f64>],
    columns: Vec<Wide<'a>>,
    /// How many of the columns are fixed effects.
    first_random: usize,
    /// For every column the first that is the same: intercepts are summed once.
    same: Vec<usize>,
    eta: Vec<Vec<f64>>,
    y: Vec<f64>,
    size: Vec<f64>,
    freq: Vec<f64>,
    derivs: Derivs,
    /// Sums of f, of f'w by column, and of f''ww' by pair of columns a <= b, each over all nodes. Where f is no number all
    /// others are zero.
    pub value: Vec<f64>,
    first: Vec<f64>,
    second: Vec<f64>,
    pub evaluated: usize,
}

impl<'a> RowSums<'a> {
    /// `path` lists the effects of a path as (term, column).
    pub fn new(data: &'a Data, fixed: &'a [Vec<f64>], path: &[(usize, usize)]) -> RowSums<'a> {
        let of_predictor =
            |(predictor, p): (usize, &'a Predictor)| p.columns.iter().map(move |column| Wide { column, predictor });
        let mut columns: Vec<Wide<'a>> = data.predictors.iter().enumerate().flat_map(of_predictor).collect();
        let first_random = columns.len();
        columns.extend(path.iter().map(|&(t, c)| {
            let term = &data.terms[t];
            Wide { column: &term.columns[c], predictor: term.predictors[c] }
        }));
        let ones = |a: &Wide<'_>, b: &Wide<'_>| {
            a.predictor == b.predictor && matches!((a.column, b.column), (Column::One, Column::One))
        };
        let same = |i: usize| columns.iter().position(|c| ones(c, &columns[i])).unwrap_or(i);
        RowSums {
            data,
            fixed,
            same: (0..columns.len()).map(same).collect(),
            columns,
            first_random,
            eta: vec![Vec::new(); data.predictors.len()],
            y: Vec::new(),
            size: Vec::new(),
            freq: Vec::new(),
            derivs: Derivs::default(),
            value: Vec::new(),
            first: Vec::new(),
            second: Vec::new(),
            evaluated: 0,
        }
    }

    /// Sums of f'w for a column, by node.
    #[inline(always)]
    pub fn first(&self, column: usize, nodes: usize) -> &[f64] {
        &self.first[self.same[column] * nodes..][..nodes]
    }

    /// Sums of f''ww' for two columns, by node.
    #[inline(always)]
    pub fn second(&self, columns: [usize; 2], nodes: usize) -> &[f64] {
        let [a, b] = sorted(columns.map(|c| self.same[c]));
        &self.second[pair(a, b, self.columns.len()) * nodes..][..nodes]
    }

    /// All sums over `rows` at `nodes` nodes, where effect c of the path has the values b[c nodes..].
    pub fn sum(&mut self, rows: Range<usize>, b: &[f64], nodes: usize, detail: Detail) {
        let (columns, pairs) = (self.columns.len(), self.columns.len() * (self.columns.len() + 1) / 2);
        let clear = |v: &mut Vec<f64>, len: usize| {
            v.clear();
            v.resize(len * nodes, 0.0);
        };
        clear(&mut self.value, 1);
        clear(&mut self.first, if detail == Detail::Value { 0 } else { columns });
        clear(&mut self.second, if detail == Detail::Hessian { pairs } else { 0 });
        let step = (STRIP / nodes).max(1);
        for start in rows.clone().step_by(step) {
            let strip = start..rows.end.min(start + step);
            vectorized(
                #[inline(always)]
                || self.strip(strip, b, nodes, detail),
            );
        }
        self.drop_overflown(nodes);
    }

    fn drop_overflown(&mut self, nodes: usize) {
        let lost: Vec<usize> = (0..nodes).filter(|&i| !self.value[i].is_finite()).collect();
        for i in lost {
            self.value[i] = f64::NEG_INFINITY;
            let sums = [&mut self.first, &mut self.second];
            sums.into_iter().for_each(|s| s.iter_mut().skip(i).step_by(nodes).for_each(|s| *s = 0.0));
        }
    }

    #[inline(always)]
    fn strip(&mut self, rows: Range<usize>, b: &[f64], nodes: usize, detail: Detail) {
        self.predict(&rows, b, nodes);
        self.derive(&rows, nodes, detail);
        for (i, row) in rows.enumerate() {
            let at = i * nodes..(i + 1) * nodes;
            add(&mut self.value, 1.0, &self.derivs.value()[at.clone()]);
            if detail == Detail::Value {
                continue;
            }
            for (a, wide) in self.columns.iter().enumerate().filter(|(a, _)| self.same[*a] == *a) {
                let w = wide.column.at(row);
                let r = &self.derivs.get(&[wide.predictor])[at.clone()];
                add(&mut self.first[a * nodes..(a + 1) * nodes], w, r);
            }
            if detail == Detail::Hessian {
                self.add_second(row, &at, nodes);
            }
        }
    }

    #[inline(always)]
    fn add_second(&mut self, row: usize, at: &Range<usize>, nodes: usize) {
        let n = self.columns.len();
        let distinct = || self.columns.iter().enumerate().filter(|(a, _)| self.same[*a] == *a);
        for (a, one) in distinct() {
            for (b, two) in distinct().filter(|(b, _)| *b >= a) {
                let w = one.column.at(row) * two.column.at(row);
                let f = &self.derivs.get(&sorted([one.predictor, two.predictor]))[at.clone()];
                let place = pair(a, b, n) * nodes;
                add(&mut self.second[place..place + nodes], w, f);
            }
        }
    }

    /// eta = X beta + offset + z'b.
    #[inline(always)]
    fn predict(&mut self, rows: &Range<usize>, b: &[f64], nodes: usize) {
        for (k, (eta, fixed)) in self.eta.iter_mut().zip(self.fixed).enumerate() {
            eta.clear();
            for row in rows.clone() {
                eta.extend(std::iter::repeat_n(fixed[row], nodes));
                let out = &mut eta[(row - rows.start) * nodes..];
                for (c, wide) in self.columns[self.first_random..].iter().enumerate().filter(|(_, w)| w.predictor == k)
                {
                    add(out, wide.column.at(row), &b[c * nodes..(c + 1) * nodes]);
                }
            }
        }
    }

    #[inline(always)]
    fn derive(&mut self, rows: &Range<usize>, nodes: usize, detail: Detail) {
        let spread = |out: &mut Vec<f64>, of: &[f64]| {
            out.clear();
            of.iter().for_each(|v| out.extend(std::iter::repeat_n(*v, nodes)));
        };
        spread(&mut self.y, &self.data.y[rows.clone()]);
        if let Some(size) = &self.data.size {
            spread(&mut self.size, &size[rows.clone()]);
        }
        let all = family::Rows { y: &self.y, size: self.data.size.as_ref().map(|_| self.size.as_slice()) };
        let order = if detail == Detail::Hessian { 2 } else { 1 };
        let want = Want { dims: self.eta.len(), order, value: true };
        let eta: Vec<&[f64]> = self.eta.iter().map(Vec::as_slice).collect();
        self.derivs.reshape(want.dims, want.order, self.y.len());
        self.data.family.derivs(all, &eta, want, &mut self.derivs);
        if let Some(freq) = &self.data.freq {
            spread(&mut self.freq, &freq[rows.clone()]);
            self.derivs.weigh(&self.freq, want);
        }
        self.evaluated += self.y.len();
    }
}

/// out += times x.
#[inline(always)]
fn add(out: &mut [f64], times: f64, x: &[f64]) {
    for (o, x) in out.iter_mut().zip(x) {
        *o += times * x;
    }
}
