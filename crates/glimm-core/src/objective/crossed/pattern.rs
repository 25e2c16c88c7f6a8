//! Which levels of crossed and nested factors meet: the pattern of Z'WZ and of H.
//!
//! Effects are numbered term by term, level by level. Terms with equal codes share a *factor*; factors
//! are ordered by their number of effects, the largest first. A *cell* is a level g of one factor and
//! a level h of a later one found together in some row. A matrix holds, for each pair of terms s <= t,
//! one block of q_s x q_t numbers per cell of their factors (per level, if they share one).

use std::ops::Range;

use crate::design::Term;
use crate::error::Error;

/// A grouping factor and the terms on it.
pub struct Grouping {
    pub terms: Vec<usize>,
    pub levels: usize,
    /// Effects per level, over all terms.
    pub effects: usize,
}

/// The cells of two factors, in lexicographic order of their levels.
pub struct Meeting {
    /// Positions among the factors, e < f.
    pub e: usize,
    pub f: usize,
    pub levels: Vec<(u32, u32)>,
}

/// The blocks of one pair of terms.
pub struct Pair {
    pub s: usize,
    pub t: usize,
    /// Effects per level of s and of t.
    pub size: (usize, usize),
    /// Where the cells are listed; none when the terms share a factor, and cells are levels.
    pub meeting: Option<usize>,
    /// Whether the factor of s comes after that of t.
    pub swapped: bool,
    pub cells: usize,
    /// Where the pair's blocks begin in a matrix.
    pub first: usize,
}

impl Pair {
    /// Where the numbers of this pair stand in a matrix.
    pub fn range(&self) -> Range<usize> {
        self.first..self.first + self.cells * self.size.0 * self.size.1
    }
}

/// What does not depend on parameters, shared by all evaluations. It needs no rows.
pub struct Pattern {
    pub groupings: Vec<Grouping>,
    pub meetings: Vec<Meeting>,
    pub pairs: Vec<Pair>,
    /// Factor of each term.
    pub grouping_of: Vec<usize>,
    /// Effects per level of each term.
    pub sizes: Vec<usize>,
    /// Prior precision of the effects of each term.
    pub precisions: Vec<f64>,
    /// First effect of each term, and the total.
    first: Vec<usize>,
    matrix_len: usize,
}

impl Pattern {
    /// The pattern, and the cell of each row for every pair of factors that meet.
    pub fn new(terms: &[Term]) -> Result<(Pattern, Vec<Vec<u32>>), Error> {
        let (groupings, grouping_of) = group(terms);
        let (mut meetings, mut of_row) = (Vec::new(), Vec::new());
        for e in 0..groupings.len() {
            for f in e + 1..groupings.len() {
                let codes = |g: usize| &terms[groupings[g].terms[0]].codes;
                let (levels, rows) = cells(codes(e), groupings[e].levels, codes(f));
                meetings.push(Meeting { e, f, levels });
                of_row.push(rows);
            }
        }
        let sizes: Vec<usize> = terms.iter().map(Term::effects).collect();
        let first = terms.iter().fold(vec![0], |mut first, t| {
            first.push(first[first.len() - 1] + t.levels * t.effects());
            first
        });
        let precisions = terms.iter().map(|t| t.structure.precision()).collect();
        let (pairs, matrix_len) = (Vec::new(), 0);
        let mut pattern = Pattern { groupings, meetings, pairs, grouping_of, sizes, precisions, first, matrix_len };
        pattern.add_pairs(terms);
        if pattern.matrix_len.max(pattern.effects()) >= u32::MAX as usize {
            let why = format!(
                "{} random effects meet in {} pairs; the indices of one fit hold at most {}",
                pattern.effects(),
                pattern.matrix_len,
                u32::MAX
            );
            return Err(Error::Degenerate { why });
        }
        Ok((pattern, of_row))
    }

    fn add_pairs(&mut self, terms: &[Term]) {
        for s in 0..terms.len() {
            for t in s..terms.len() {
                let (a, b) = (self.grouping_of[s], self.grouping_of[t]);
                let meeting = self.meetings.iter().position(|m| (m.e, m.f) == (a.min(b), a.max(b)));
                let cells = meeting.map_or(terms[s].levels, |m| self.meetings[m].levels.len());
                let pair = Pair {
                    s,
                    t,
                    size: (self.sizes[s], self.sizes[t]),
                    meeting,
                    swapped: a > b,
                    cells,
                    first: self.matrix_len,
                };
                self.matrix_len = pair.range().end;
                self.pairs.push(pair);
            }
        }
    }

    pub fn effects(&self) -> usize {
        self.first[self.first.len() - 1]
    }

    pub fn matrix_len(&self) -> usize {
        self.matrix_len
    }

    /// The effects of term `t`.
    pub fn term(&self, t: usize) -> Range<usize> {
        self.first[t]..self.first[t + 1]
    }

    /// The pair of terms `s` and `t`, in either order.
    pub fn pair(&self, s: usize, t: usize) -> &Pair {
        let (s, t) = (s.min(t), s.max(t));
        let n = self.sizes.len();
        // Pairs stand row by row of the upper triangle.
        &self.pairs[s * n - s * (s + 1) / 2 + t]
    }

    /// Where the number of effect c of term s with effect d of term t stands in cell `cell`.
    pub fn place(&self, (s, c): (usize, usize), (t, d): (usize, usize), cell: usize) -> usize {
        let pair = self.pair(s, t);
        let (i, j) = if s <= t { (c, d) } else { (d, c) };
        pair.first + (cell * pair.size.0 + i) * pair.size.1 + j
    }

    /// Levels of the terms s and t of a pair in one of its cells.
    #[inline(always)]
    pub fn levels(&self, pair: &Pair, cell: usize) -> (usize, usize) {
        let Some(m) = pair.meeting else { return (cell, cell) };
        let (g, h) = self.meetings[m].levels[cell];
        if pair.swapped { (h as usize, g as usize) } else { (g as usize, h as usize) }
    }

    /// Terms with the effects of a factor's level, one after another: (term, effect).
    pub fn own(&self, grouping: usize) -> Vec<(usize, usize)> {
        self.groupings[grouping].terms.iter().flat_map(|&t| (0..self.sizes[t]).map(move |c| (t, c))).collect()
    }
}

/// The factors, largest first, and the factor of each term.
fn group(terms: &[Term]) -> (Vec<Grouping>, Vec<usize>) {
    let mut groupings: Vec<Grouping> = Vec::new();
    for (t, term) in terms.iter().enumerate() {
        match groupings.iter_mut().find(|g| terms[g.terms[0]].codes == term.codes) {
            Some(known) => {
                known.effects += term.effects();
                known.terms.push(t);
            }
            None => groupings.push(Grouping { terms: vec![t], levels: term.levels, effects: term.effects() }),
        }
    }
    groupings.sort_by_key(|g| std::cmp::Reverse(g.levels * g.effects));
    let of = |t: usize| groupings.iter().position(|g| g.terms.contains(&t)).expect("every term has a factor");
    let grouping_of = (0..terms.len()).map(of).collect();
    (groupings, grouping_of)
}

/// Rows in a stable order of their codes, and where each level begins.
pub fn sorted(codes: &[u32], levels: usize, rows: impl Iterator<Item = u32>) -> (Vec<u32>, Vec<usize>) {
    let mut starts = vec![0usize; levels + 1];
    codes.iter().for_each(|&c| starts[c as usize + 1] += 1);
    (0..levels).for_each(|g| starts[g + 1] += starts[g]);
    let (mut next, mut order) = (starts.clone(), vec![0u32; codes.len()]);
    for row in rows {
        let at = &mut next[codes[row as usize] as usize];
        order[*at] = row;
        *at += 1;
    }
    (order, starts)
}

/// The cells of two factors and the cell of each row.
fn cells(e: &[u32], levels: usize, f: &[u32]) -> (Vec<(u32, u32)>, Vec<u32>) {
    let (order, starts) = sorted(e, levels, 0..e.len() as u32);
    let (mut cells, mut of_row) = (Vec::new(), vec![0; e.len()]);
    let mut found: Vec<(u32, u32)> = Vec::new();
    for g in 0..levels {
        found.clear();
        found.extend(order[starts[g]..starts[g + 1]].iter().map(|&row| (f[row as usize], row)));
        found.sort_unstable();
        let mut last = None;
        for &(h, row) in &found {
            if last != Some(h) {
                cells.push((g as u32, h));
                last = Some(h);
            }
            of_row[row as usize] = cells.len() as u32 - 1;
        }
    }
    (cells, of_row)
}

/// The order of rows by the largest factor, within its levels by the second.
pub fn row_order(terms: &[Term]) -> Vec<u32> {
    let (groupings, _) = group(terms);
    let n = terms.first().map_or(0, |t| t.codes.len()) as u32;
    let by = |rows: Vec<u32>, g: &Grouping| sorted(&terms[g.terms[0]].codes, g.levels, rows.into_iter()).0;
    groupings.iter().take(2).rev().fold((0..n).collect(), by)
}
