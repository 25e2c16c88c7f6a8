//! H = [A B; B'D] with the levels of the largest factor first: A is block diagonal and eliminated
//! exactly. Where its numbers stand in a matrix of blocks, and its factor E = A^-1 B.

use std::ops::Range;

use super::pattern::Pattern;
use crate::linalg::dense;

/// Where the numbers of A, B and D stand; made once per pattern.
pub struct Border {
    /// Effects of one level of the largest factor, and its levels.
    pub q: usize,
    pub levels: usize,
    /// Place in a vector of each effect of level 0, and its distance to the next level's.
    own: Vec<(usize, usize)>,
    /// Places of the blocks of A, q x q per level.
    a: Vec<u32>,
    /// First entry of each level in B, and the end of the last.
    pub starts: Vec<usize>,
    /// Rest effect of each entry of B, ascending within a level.
    pub columns: Vec<u32>,
    /// Places of B's numbers, q per entry.
    b: Vec<u32>,
    /// (row, column, place) of the numbers of D, each in the lower triangle; both halves of a
    /// diagonal block stand for the same entries.
    pub d: Vec<(u32, u32, u32)>,
    /// Where the rest stands in a vector.
    rest: Vec<Range<usize>>,
    pub rest_len: usize,
}

impl Border {
    pub fn new(pattern: &Pattern) -> Border {
        let own = pattern.own(0);
        let levels = pattern.groupings[0].levels;
        let (terms, firsts) = rest_terms(pattern);
        let mut border = Border {
            q: own.len(),
            levels,
            own: own.iter().map(|&(t, c)| (pattern.term(t).start + c, pattern.sizes[t])).collect(),
            a: Vec::with_capacity(levels * own.len() * own.len()),
            starts: vec![0],
            columns: Vec::new(),
            b: Vec::new(),
            d: Vec::new(),
            rest: terms.iter().map(|&t| pattern.term(t)).collect(),
            rest_len: firsts[terms.len()],
        };
        for g in 0..levels {
            for &i in &own {
                border.a.extend(own.iter().map(|&j| pattern.place(i, j, g) as u32));
            }
        }
        border.add_entries(pattern, &own, &firsts);
        border.add_rest(pattern, &terms, &firsts);
        border
    }

    /// The entries of B, level by level.
    fn add_entries(&mut self, pattern: &Pattern, own: &[(usize, usize)], firsts: &[usize]) {
        let mut next = vec![0; pattern.groupings.len()];
        for g in 0..self.levels {
            let mut at = 0;
            for f in 1..pattern.groupings.len() {
                // Meetings with the largest factor are listed first, in the order of the other.
                let found = &pattern.meetings[f - 1].levels;
                let first = next[f];
                let count = found[first..].iter().take_while(|cell| cell.0 as usize == g).count();
                next[f] += count;
                for &t in &pattern.groupings[f].terms {
                    for cell in first..first + count {
                        let h = found[cell].1 as usize;
                        for d in 0..pattern.sizes[t] {
                            self.columns.push((firsts[at] + h * pattern.sizes[t] + d) as u32);
                            self.b.extend(own.iter().map(|&i| pattern.place(i, (t, d), cell) as u32));
                        }
                    }
                    at += 1;
                }
            }
            self.starts.push(self.columns.len());
        }
    }

    /// The numbers of D.
    fn add_rest(&mut self, pattern: &Pattern, terms: &[usize], firsts: &[usize]) {
        for (x, &s) in terms.iter().enumerate() {
            for (y, &t) in terms.iter().enumerate().skip(x) {
                let pair = pattern.pair(s, t);
                for cell in 0..pair.cells {
                    let (g, h) = pattern.levels(pair, cell);
                    // s and t are in the order of the factors, not of the terms.
                    let (g, h) = if s <= t { (g, h) } else { (h, g) };
                    for c in 0..pattern.sizes[s] {
                        for d in 0..pattern.sizes[t] {
                            let column = firsts[x] + g * pattern.sizes[s] + c;
                            let row = firsts[y] + h * pattern.sizes[t] + d;
                            let place = pattern.place((s, c), (t, d), cell);
                            self.d.push((row.max(column) as u32, row.min(column) as u32, place as u32));
                        }
                    }
                }
            }
        }
    }

    /// Copies the rest of `columns` interleaved vectors out, and back in.
    pub fn take_rest(&self, x: &[f64], columns: usize, rest: &mut [f64]) {
        let mut at = 0;
        for range in &self.rest {
            let (from, to) = (range.start * columns..range.end * columns, at + range.len() * columns);
            rest[at..to].copy_from_slice(&x[from]);
            at = to;
        }
    }

    pub fn put_rest(&self, rest: &[f64], columns: usize, x: &mut [f64]) {
        let mut at = 0;
        for range in &self.rest {
            let (from, to) = (range.start * columns..range.end * columns, at + range.len() * columns);
            x[from].copy_from_slice(&rest[at..to]);
            at = to;
        }
    }

    /// Effect i of level g of the largest factor: its place in a vector.
    #[inline(always)]
    pub fn own(&self, g: usize, i: usize) -> usize {
        self.own[i].0 + g * self.own[i].1
    }

    /// The entries of level g.
    #[inline(always)]
    pub fn entries(&self, g: usize) -> Range<usize> {
        self.starts[g]..self.starts[g + 1]
    }

    /// The block of A of level g in a matrix m.
    #[inline(always)]
    pub fn block(&self, m: &[f64], g: usize, q: usize, out: &mut [f64]) {
        for (o, &place) in out[..q * q].iter_mut().zip(&self.a[g * q * q..]) {
            *o = m[place as usize];
        }
    }

    pub fn put_block(&self, block: &[f64], g: usize, m: &mut [f64]) {
        let size = self.q * self.q;
        for (o, &place) in block.iter().zip(&self.a[g * size..(g + 1) * size]) {
            m[place as usize] = *o;
        }
    }

    /// B of a matrix m, q numbers per entry.
    pub fn gather(&self, m: &[f64], b: &mut [f64]) {
        b.iter_mut().zip(&self.b).for_each(|(b, &place)| *b = m[place as usize]);
    }

    pub fn scatter(&self, b: &[f64], m: &mut [f64]) {
        b.iter().zip(&self.b).for_each(|(b, &place)| m[place as usize] = *b);
    }

    /// A^-1 of every level and log|A|; `None` when A is not positive definite.
    pub fn invert_a(&self, m: &[f64], inverse: &mut [f64]) -> Option<f64> {
        let mut logdet = 0.0;
        let q = self.q;
        let mut root = vec![0.0; q * q];
        for (g, inverse) in inverse.chunks_exact_mut(q * q).enumerate() {
            self.block(m, g, q, &mut root);
            if !dense::cholesky(&mut root, q) {
                return None;
            }
            logdet += dense::cholesky_logdet(&root, q);
            dense::cholesky_inverse(&root, q, inverse);
        }
        Some(logdet)
    }

    /// x_1 = A^-1 x_1 and rest -= E'x_1 with the old x_1: the first half of a solution.
    pub fn eliminate(&self, inverse: &[f64], e: &[f64], x: &mut [f64], rest: &mut [f64]) {
        dense::by_size(
            self.q,
            #[inline(always)]
            |q| {
                let (mut small, mut large) = ([0.0; 16], Vec::new());
                let (own, solved) = dense::scratch(2 * q, &mut small, &mut large).split_at_mut(q);
                for g in 0..self.levels {
                    (0..q).for_each(|i| own[i] = x[self.own(g, i)]);
                    // Vectors of one row have one level.
                    if own.iter().all(|x| *x == 0.0) {
                        continue;
                    }
                    dense::matvec(&inverse[g * q * q..(g + 1) * q * q], own, q, solved);
                    (0..q).for_each(|i| x[self.own(g, i)] = solved[i]);
                    let entries = self.entries(g);
                    let e = e[entries.start * q..entries.end * q].chunks_exact(q);
                    for (e, &column) in e.zip(&self.columns[entries]) {
                        let mut sum = 0.0;
                        for i in 0..q {
                            sum += e[i] * own[i];
                        }
                        rest[column as usize] -= sum;
                    }
                }
            },
        );
    }

    /// x_1 -= E rest: the second half.
    pub fn substitute(&self, e: &[f64], rest: &[f64], x: &mut [f64]) {
        dense::by_size(
            self.q,
            #[inline(always)]
            |q| {
                let (mut small, mut large) = ([0.0; 16], Vec::new());
                let sum = dense::scratch(q, &mut small, &mut large);
                for g in 0..self.levels {
                    sum.fill(0.0);
                    let entries = self.entries(g);
                    let e = e[entries.start * q..entries.end * q].chunks_exact(q);
                    for (e, &column) in e.zip(&self.columns[entries]) {
                        let x = rest[column as usize];
                        (0..q).for_each(|i| sum[i] += e[i] * x);
                    }
                    (0..q).for_each(|i| x[self.own(g, i)] -= sum[i]);
                }
            },
        );
    }

    /// E = A^-1 B, q numbers per entry.
    pub fn divide(&self, inverse: &[f64], b: &[f64], e: &mut [f64]) {
        let q = self.q;
        for g in 0..self.levels {
            let (at, a) = (self.entries(g), &inverse[g * q * q..(g + 1) * q * q]);
            let at = at.start * q..at.end * q;
            for (b, e) in b[at.clone()].chunks_exact(q).zip(e[at].chunks_exact_mut(q)) {
                dense::matvec(a, b, q, e);
            }
        }
    }
}

/// The terms of all factors but the largest, in the order of the factors, and the first rest effect of each.
fn rest_terms(pattern: &Pattern) -> (Vec<usize>, Vec<usize>) {
    let terms: Vec<usize> = pattern.groupings[1..].iter().flat_map(|g| g.terms.iter().copied()).collect();
    let mut firsts = vec![0];
    for &t in &terms {
        firsts.push(firsts[firsts.len() - 1] + pattern.term(t).len());
    }
    (terms, firsts)
}
