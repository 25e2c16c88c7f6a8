//! The geometry of crossed and nested factors: matrices are one block per pair of levels that meet.
//!
//! Effects are numbered term by term, level by level. For terms s <= t a *cell* is a pair of levels
//! (g of s, h of t) found together in some row (g = h when s = t); its block has q_s x q_t numbers.

use std::sync::Arc;

use crate::design::{Column, Data, Term};
use crate::linalg::sparse::{Factor, Symbolic};
use crate::objective::geometry::{Effects, Factors, Geometry};

/// The cells of one pair of terms.
pub(super) struct Pair {
    pub(super) s: usize,
    pub(super) t: usize,
    /// Levels of each cell, in lexicographic order.
    pub(super) levels: Vec<(u32, u32)>,
    /// The cell of each row; empty when s = t, where it is the level itself.
    of_row: Vec<u32>,
    /// Where the pair's blocks begin in a matrix.
    pub(super) first: usize,
}

/// What does not depend on parameters, shared by all evaluations.
pub struct Pattern {
    pub(super) pairs: Vec<Pair>,
    /// First effect of each term, and the total.
    pub(super) first: Vec<usize>,
    matrix_len: usize,
    /// For every number of a matrix, its place among the values of H; mirrored and unused ones share theirs.
    place: Vec<usize>,
    values: usize,
    symbolic: Arc<Symbolic>,
}

pub struct Cells<'a> {
    pub(super) pattern: &'a Pattern,
    pub(super) data: &'a Data,
    pub(super) factor: Factor,
    values: Vec<f64>,
    ones: &'a [f64],
}

fn cells_of(s: &Term, t: &Term) -> (Vec<(u32, u32)>, Vec<u32>) {
    let key = |i: usize| (u64::from(s.codes[i]) << 32) | u64::from(t.codes[i]);
    let keys: Vec<u64> = (0..s.codes.len()).map(key).collect();
    let mut distinct = keys.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let of_row = keys.iter().map(|k| distinct.binary_search(k).expect("every key is listed") as u32).collect();
    (distinct.iter().map(|k| ((k >> 32) as u32, *k as u32)).collect(), of_row)
}

impl Pattern {
    pub fn new(data: &Data) -> Result<Pattern, crate::error::Error> {
        let terms = &data.terms;
        let mut first = vec![0];
        for t in terms {
            first.push(first[first.len() - 1] + t.levels * t.effects());
        }
        let (mut pairs, mut matrix_len) = (Vec::new(), 0);
        for s in 0..terms.len() {
            for t in s..terms.len() {
                let (levels, of_row) = if s == t {
                    ((0..terms[s].levels as u32).map(|g| (g, g)).collect(), Vec::new())
                } else {
                    cells_of(&terms[s], &terms[t])
                };
                let size = terms[s].effects() * terms[t].effects();
                pairs.push(Pair { s, t, first: matrix_len, of_row, levels });
                matrix_len += size * pairs[pairs.len() - 1].levels.len();
            }
        }
        let (place, columns, rows) = places(&pairs, terms, &first, matrix_len);
        let symbolic = Symbolic::new(first[terms.len()], &columns, &rows)
            .map_err(|e| crate::error::Error::Degenerate { why: format!("sparse factorisation: {e}") })?;
        Ok(Pattern { pairs, first, matrix_len, place, values: rows.len(), symbolic })
    }

    pub fn effects(&self) -> usize {
        self.first[self.first.len() - 1]
    }

    pub fn term(&self, t: usize) -> std::ops::Range<usize> {
        self.first[t]..self.first[t + 1]
    }

    /// Where the diagonal blocks of term `t` stand in a matrix, level by level.
    pub fn own_blocks(&self, t: usize) -> std::ops::Range<usize> {
        let own = self.pairs.iter().position(|p| p.s == t && p.t == t).expect("every term pairs with itself");
        self.pairs[own].first..self.pairs.get(own + 1).map_or(self.matrix_len, |p| p.first)
    }

    pub fn factor(&self) -> Factor {
        Factor::new(self.symbolic.clone())
    }
}

/// The lower-triangular pattern of H by columns, and where each number of a block matrix stands in it.
fn places(pairs: &[Pair], terms: &[Term], first: &[usize], matrix_len: usize) -> (Vec<usize>, Vec<usize>, Vec<usize>) {
    let n = first[terms.len()];
    // (column, row) of every stored number; the column belongs to the earlier effect.
    let mut entries: Vec<(u32, u32, u32)> = Vec::with_capacity(matrix_len);
    let mut mirrored = Vec::new();
    for pair in pairs {
        let (qs, qt) = (terms[pair.s].effects(), terms[pair.t].effects());
        for (cell, &(g, h)) in pair.levels.iter().enumerate() {
            for c in 0..qs {
                for d in 0..qt {
                    let at = pair.first + (cell * qs + c) * qt + d;
                    let column = first[pair.s] + g as usize * qs + c;
                    let row = first[pair.t] + h as usize * qt + d;
                    if row >= column {
                        entries.push((column as u32, row as u32, at as u32));
                    } else {
                        mirrored.push((at, pair.first + (cell * qs + d) * qt + c));
                    }
                }
            }
        }
    }
    entries.sort_unstable();
    let (mut columns, mut rows, mut place) = (vec![0; n + 1], Vec::with_capacity(entries.len()), vec![0; matrix_len]);
    for (i, &(column, row, at)) in entries.iter().enumerate() {
        columns[column as usize + 1] += 1;
        rows.push(row as usize);
        place[at as usize] = i;
    }
    (0..n).for_each(|c| columns[c + 1] += columns[c]);
    mirrored.iter().for_each(|&(at, twin)| place[at] = place[twin]);
    (place, columns, rows)
}

impl<'a> Cells<'a> {
    pub fn new(pattern: &'a Pattern, data: &'a Data, factor: Factor, ones: &'a [f64]) -> Cells<'a> {
        Cells { pattern, data, factor, values: vec![0.0; pattern.values], ones }
    }

    pub fn into_factor(self) -> Factor {
        self.factor
    }

    fn z(&self, column: &'a Column) -> &'a [f64] {
        column.rows(0..self.data.n(), self.ones)
    }

    fn terms(&self, k: usize) -> impl Iterator<Item = (usize, &'a Term)> + use<'a> {
        self.data.terms.iter().enumerate().filter(move |(_, t)| t.predictor == k)
    }

    /// Pairs whose block couples predictors k and l, with true when the earlier term belongs to l.
    fn pairs(&self, k: usize, l: usize) -> impl Iterator<Item = &'a Pair> + use<'a> {
        let (terms, pattern) = (&self.data.terms, self.pattern);
        pattern.pairs.iter().filter(move |p| {
            let (a, b) = (terms[p.s].predictor, terms[p.t].predictor);
            (a.min(b), a.max(b)) == (k.min(l), k.max(l))
        })
    }

    fn cell(pair: &Pair, code: u32, row: usize) -> usize {
        if pair.of_row.is_empty() { code as usize } else { pair.of_row[row] as usize }
    }

    /// Calls `op` with (z_c, z_d, first number of column pair (c, d), stride between cells) of a pair.
    fn columns(&self, pair: &Pair, mut op: impl FnMut(&[f64], &[f64], usize, usize)) {
        let (s, t) = (&self.data.terms[pair.s], &self.data.terms[pair.t]);
        let (qs, qt) = (s.effects(), t.effects());
        for (c, zc) in s.columns.iter().enumerate() {
            for (d, zd) in t.columns.iter().enumerate() {
                op(self.z(zc), self.z(zd), pair.first + c * qt + d, qs * qt);
            }
        }
    }

    fn blocks(&self, pair: &Pair) -> (usize, usize, usize) {
        let (qs, qt) = (self.data.terms[pair.s].effects(), self.data.terms[pair.t].effects());
        (qs, qt, pair.levels.len())
    }

    /// Sums a matrix's stored lower half into the values of H.
    fn gather(&mut self, m: &[f64]) {
        for (v, &p) in m.iter().zip(&self.pattern.place) {
            // Mirrored numbers are equal and overwrite each other.
            self.values[p] = *v;
        }
    }

    fn scatter(&self, out: &mut [f64]) {
        for (o, &p) in out.iter_mut().zip(&self.pattern.place) {
            *o = self.values[p];
        }
    }
}

impl Geometry for Cells<'_> {
    fn expand(&self, k: usize, x: &[f64], out: &mut [f64]) {
        for (t, term) in self.terms(k) {
            let (q, x) = (term.effects(), &x[self.pattern.term(t)]);
            for (c, z) in term.columns.iter().enumerate() {
                for ((o, z), &code) in out.iter_mut().zip(self.z(z)).zip(&term.codes) {
                    *o += z * x[code as usize * q + c];
                }
            }
        }
    }

    fn sum(&self, k: usize, row: &[f64], out: &mut [f64]) {
        for (t, term) in self.terms(k) {
            let (q, out) = (term.effects(), &mut out[self.pattern.term(t)]);
            for (c, z) in term.columns.iter().enumerate() {
                for ((r, z), &code) in row.iter().zip(self.z(z)).zip(&term.codes) {
                    out[code as usize * q + c] += z * r;
                }
            }
        }
    }

    fn sum_outer(&self, k: usize, l: usize, row: &[f64], out: &mut [f64]) {
        for pair in self.pairs(k, l) {
            let codes = &self.data.terms[pair.s].codes;
            self.columns(pair, |zc, zd, first, stride| {
                for (i, (((r, x), y), &code)) in row.iter().zip(zc).zip(zd).zip(codes).enumerate() {
                    out[first + Self::cell(pair, code, i) * stride] += x * r * y;
                }
            });
        }
    }

    fn quadratic(&self, k: usize, l: usize, m: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        for pair in self.pairs(k, l) {
            let codes = &self.data.terms[pair.s].codes;
            // A pair of different terms of one predictor stands for both of its orders.
            let times = if pair.s != pair.t && k == l { 2.0 } else { 1.0 };
            self.columns(pair, |zc, zd, first, stride| {
                for (i, (((o, x), y), &code)) in out.iter_mut().zip(zc).zip(zd).zip(codes).enumerate() {
                    *o += times * x * y * m[first + Self::cell(pair, code, i) * stride];
                }
            });
        }
    }
}

impl Effects for Cells<'_> {
    fn vector_len(&self) -> usize {
        self.pattern.effects()
    }

    fn matrix_len(&self) -> usize {
        self.pattern.matrix_len
    }

    fn sizes(&self) -> Vec<usize> {
        self.data.terms.iter().map(Term::effects).collect()
    }

    fn apply(&self, f: &Factors, x: &[f64], out: &mut [f64]) {
        for (t, f) in f.iter().enumerate() {
            let (q, at) = (self.data.terms[t].effects(), self.pattern.term(t));
            for (x, o) in x[at.clone()].chunks_exact(q).zip(out[at].chunks_exact_mut(q)) {
                crate::linalg::dense::matvec(f, x, q, o);
            }
        }
    }

    fn apply_transpose(&self, f: &Factors, x: &[f64], out: &mut [f64]) {
        for (t, f) in f.iter().enumerate() {
            let (q, at) = (self.data.terms[t].effects(), self.pattern.term(t));
            for (x, o) in x[at.clone()].chunks_exact(q).zip(out[at].chunks_exact_mut(q)) {
                crate::linalg::dense::matvec_t(f, x, q, o);
            }
        }
    }

    fn add_inner(&self, l: &Factors, m: &[f64], r: &Factors, out: &mut [f64]) {
        for pair in &self.pattern.pairs {
            let (qs, qt, cells) = self.blocks(pair);
            let (l, r) = (&l[pair.s], &r[pair.t]);
            for at in (0..cells).map(|c| pair.first + c * qs * qt) {
                for i in 0..qs {
                    for j in 0..qt {
                        let inner = |a: usize| (0..qt).map(|b| m[at + a * qt + b] * r[b * qt + j]).sum::<f64>();
                        out[at + i * qt + j] += (0..qs).map(|a| l[a * qs + i] * inner(a)).sum::<f64>();
                    }
                }
            }
        }
    }

    fn add_outer(&self, l: &Factors, m: &[f64], r: &Factors, out: &mut [f64]) {
        for pair in &self.pattern.pairs {
            let (qs, qt, cells) = self.blocks(pair);
            let (l, r) = (&l[pair.s], &r[pair.t]);
            for at in (0..cells).map(|c| pair.first + c * qs * qt) {
                for i in 0..qs {
                    for j in 0..qt {
                        let inner = |a: usize| (0..qt).map(|b| m[at + a * qt + b] * r[j * qt + b]).sum::<f64>();
                        out[at + i * qt + j] += (0..qs).map(|a| l[i * qs + a] * inner(a)).sum::<f64>();
                    }
                }
            }
        }
    }

    fn add_identity(&self, out: &mut [f64]) {
        for pair in self.pattern.pairs.iter().filter(|p| p.s == p.t) {
            let (q, _, cells) = self.blocks(pair);
            for cell in 0..cells {
                (0..q).for_each(|c| out[pair.first + (cell * q + c) * q + c] += 1.0);
            }
        }
    }

    fn add_dyads(&self, x: &[f64], y: &[f64], out: &mut Factors) {
        for (t, out) in out.iter_mut().enumerate() {
            let (q, at) = (self.data.terms[t].effects(), self.pattern.term(t));
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
        for pair in &self.pattern.pairs {
            let (qs, qt, cells) = self.blocks(pair);
            let (ls, lt) = (&l[pair.s], &l[pair.t]);
            for at in (0..cells).map(|c| pair.first + c * qs * qt) {
                let (s, c) = (&s[at..at + qs * qt], &c[at..at + qs * qt]);
                // (S_st L_t C_st') for kind s
                for i in 0..qs {
                    for j in 0..qs {
                        let lc = |b: usize| (0..qt).map(|d| lt[b * qt + d] * c[j * qt + d]).sum::<f64>();
                        out[pair.s][i * qs + j] -= (0..qt).map(|b| s[i * qt + b] * lc(b)).sum::<f64>();
                    }
                }
                if pair.s == pair.t {
                    continue;
                }
                // (S_st' L_s C_st) for kind t
                for i in 0..qt {
                    for j in 0..qt {
                        let lc = |a: usize| (0..qs).map(|d| ls[a * qs + d] * c[d * qt + j]).sum::<f64>();
                        out[pair.t][i * qt + j] -= (0..qs).map(|a| s[a * qt + i] * lc(a)).sum::<f64>();
                    }
                }
            }
        }
    }

    fn factorise(&mut self, h: &[f64]) -> Option<f64> {
        self.gather(h);
        self.factor.refactor(&self.values).ok()?;
        Some(self.factor.logdet())
    }

    fn solve(&mut self, x: &mut [f64]) {
        self.factor.solve_in_place(x);
    }

    fn inverse(&mut self, out: &mut [f64]) {
        self.factor.selected_inverse(&mut self.values);
        self.scatter(out);
    }

    fn inverse_tangent(&mut self, _c: &[f64], dh: &[f64], out: &mut [f64]) {
        self.gather(dh);
        let dh = self.values.clone();
        self.factor.selected_inverse_tangent(&dh, &mut self.values);
        self.scatter(out);
    }
}
