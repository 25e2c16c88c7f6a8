//! Which levels of crossed and nested factors meet: the pattern of Z'WZ and of H.
//!
//! Effects are numbered term by term, level by level. Terms with equal codes share a *factor*; factors
//! are ordered by their number of effects, the largest first. A *cell* is a level g of one factor and
//! a level h of a later one found together in some row. A matrix holds, for each pair of terms s <= t,
//! one block of q_s x q_t numbers per cell of their factors (per level, if they share one).
//!
//! A term whose levels are *tied*, by a prior precision over them or by rows that belong to several, is a factor of its
//! own. Its own blocks are those of its levels, then one for each pair of levels g < h that its prior or a row ties.

use std::ops::Range;
use std::sync::Arc;

use crate::design::Term;
use crate::error::Error;
use crate::precision::Precision;

/// A grouping factor and the terms on it.
pub struct Grouping {
    pub terms: Vec<usize>,
    pub levels: usize,
    /// Effects per level, over all terms.
    pub effects: usize,
    /// Whether its levels hang together.
    pub tied: bool,
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
    /// Where the cells are listed; none when the terms share a factor, and cells are levels, then ties.
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

/// The precision of u over the levels of a term.
pub enum Prior {
    /// The same for all, independently.
    Each(f64),
    /// With the number of every cell of the term's own blocks.
    Known(Arc<Precision>, Vec<f64>),
}

/// The cell of each row, and of the two ways to lay its block whether it has the later level first.
#[derive(Clone, Default)]
pub struct Sight {
    pub cells: Vec<u32>,
    pub turned: Vec<bool>,
}

/// The cells of the rows.
pub struct OfRow {
    /// By meeting, then by membership of the first and of the second factor.
    meetings: Vec<Vec<Vec<u32>>>,
    /// By term, then by pair of its memberships a < b.
    own: Vec<Vec<Sight>>,
}

impl OfRow {
    /// The cells of rows by membership `a` of the first and `b` of the second factor of a meeting; `count` are the
    /// memberships of the second.
    pub fn meeting(&self, m: usize, (a, b): (usize, usize), count: usize) -> &[u32] {
        &self.meetings[m][a * count + b]
    }

    /// The cells of rows by two memberships of one term, pair by pair.
    pub fn own(&self, t: usize) -> &[Sight] {
        &self.own[t]
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
    pub priors: Vec<Prior>,
    /// Pairs of levels g < h of each term that hang together, in lexicographic order.
    pub ties: Vec<Vec<(u32, u32)>>,
    /// First effect of each term, and the total.
    first: Vec<usize>,
    matrix_len: usize,
}

impl Pattern {
    /// The pattern, and the cell of each row for every pair of factors that meet.
    pub fn new(terms: &[Term]) -> Result<(Pattern, OfRow), Error> {
        let (groupings, grouping_of) = group(terms);
        let (mut meetings, mut met) = (Vec::new(), Vec::new());
        for e in 0..groupings.len() {
            for f in e + 1..groupings.len() {
                let (levels, rows) = meeting(&terms[groupings[e].terms[0]], &terms[groupings[f].terms[0]]);
                meetings.push(Meeting { e, f, levels });
                met.push(rows);
            }
        }
        let ties: Vec<Vec<(u32, u32)>> = terms.iter().map(ties).collect();
        let own = terms.iter().zip(&ties).map(|(t, ties)| sights(t, ties)).collect();
        let sizes: Vec<usize> = terms.iter().map(Term::effects).collect();
        let first = terms.iter().fold(vec![0], |mut first, t| {
            first.push(first[first.len() - 1] + t.levels * t.effects());
            first
        });
        let priors = terms.iter().zip(&ties).map(|(t, ties)| prior(t, ties)).collect();
        let (pairs, matrix_len) = (Vec::new(), 0);
        let mut pattern = Pattern { groupings, meetings, pairs, grouping_of, sizes, priors, ties, first, matrix_len };
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
        Ok((pattern, OfRow { meetings: met, own }))
    }

    fn add_pairs(&mut self, terms: &[Term]) {
        for s in 0..terms.len() {
            for t in s..terms.len() {
                let (a, b) = (self.grouping_of[s], self.grouping_of[t]);
                let meeting = self.meetings.iter().position(|m| (m.e, m.f) == (a.min(b), a.max(b)));
                let ties = if s == t { self.ties[t].len() } else { 0 };
                let cells = meeting.map_or(terms[s].levels + ties, |m| self.meetings[m].levels.len());
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

    /// Whether no factor has independent levels.
    pub fn all_tied(&self) -> bool {
        self.groupings.first().is_some_and(|g| g.tied)
    }

    /// Sets of levels over which the effects of term `t` sum to zero.
    pub fn sets(&self, t: usize) -> &[Vec<u32>] {
        match &self.priors[t] {
            Prior::Known(known, _) => known.sets(),
            Prior::Each(_) => &[],
        }
    }

    /// Levels of term `t`.
    pub fn count(&self, t: usize) -> usize {
        self.groupings[self.grouping_of[t]].levels
    }

    /// Where the blocks of the levels of term `t` stand in a matrix.
    pub fn own_blocks(&self, t: usize) -> Range<usize> {
        let first = self.pair(t, t).first;
        first..first + self.count(t) * self.sizes[t] * self.sizes[t]
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
        let Some(m) = pair.meeting else {
            let tie = cell.checked_sub(self.count(pair.s));
            return tie.map_or((cell, cell), |k| (self.ties[pair.s][k].0 as usize, self.ties[pair.s][k].1 as usize));
        };
        let (g, h) = self.meetings[m].levels[cell];
        if pair.swapped { (h as usize, g as usize) } else { (g as usize, h as usize) }
    }

    /// Terms with the effects of a factor's level, one after another: (term, effect).
    pub fn own(&self, grouping: usize) -> Vec<(usize, usize)> {
        self.groupings[grouping].terms.iter().flat_map(|&t| (0..self.sizes[t]).map(move |c| (t, c))).collect()
    }
}

/// The factors, those of independent levels first and of these the largest, and the factor of each term.
fn group(terms: &[Term]) -> (Vec<Grouping>, Vec<usize>) {
    let mut groupings: Vec<Grouping> = Vec::new();
    for (t, term) in terms.iter().enumerate() {
        let same = |g: &&mut Grouping| !g.tied && !term.tied() && terms[g.terms[0]].codes == term.codes;
        match groupings.iter_mut().find(same) {
            Some(known) => {
                known.effects += term.effects();
                known.terms.push(t);
            }
            None => {
                let (levels, effects, tied) = (term.levels, term.effects(), term.tied());
                groupings.push(Grouping { terms: vec![t], levels, effects, tied });
            }
        }
    }
    groupings.sort_by_key(|g| (g.tied, std::cmp::Reverse(g.levels * g.effects)));
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

/// The cells of two factors, and those of the rows by membership of the first and of the second. Coefficients that are
/// integrated out meet every level of a known relation, which tells of those without rows.
fn meeting(first: &Term, second: &Term) -> (Vec<(u32, u32)>, Vec<Vec<u32>>) {
    let n = first.codes.len();
    let (mut e, mut f) = (Vec::new(), Vec::new());
    for (a, _) in first.memberships() {
        for (b, _) in second.memberships() {
            e.extend_from_slice(a);
            f.extend_from_slice(b);
        }
    }
    let flat = |t: &Term| t.structure.precision() == 0.0;
    if first.prior.is_some() && flat(second) {
        e.extend(0..first.levels as u32);
        f.resize(e.len(), 0);
    } else if second.prior.is_some() && flat(first) {
        f.extend(0..second.levels as u32);
        e.resize(f.len(), 0);
    }
    let (levels, rows) = cells(&e, first.levels, &f);
    let memberships = (1 + first.also.len()) * (1 + second.also.len());
    (levels, (0..memberships).map(|k| rows[k * n..(k + 1) * n].to_vec()).collect())
}

/// Pairs of levels g < h that the prior or a row of the term ties.
fn ties(term: &Term) -> Vec<(u32, u32)> {
    let mut found: Vec<(u32, u32)> = Vec::new();
    if let Some(prior) = &term.prior {
        found.extend(prior.entries().filter(|(i, j, _)| i != j).map(|(i, j, _)| (j as u32, i as u32)));
    }
    let codes: Vec<&[u32]> = term.memberships().map(|m| m.0).collect();
    for (a, first) in codes.iter().enumerate() {
        for second in &codes[a + 1..] {
            let pairs = first.iter().zip(*second).map(|(&g, &h)| (g.min(h), g.max(h)));
            found.extend(pairs.filter(|(g, h)| g != h));
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// The cell of two levels of a term.
fn own_cell(ties: &[(u32, u32)], levels: usize, g: u32, h: u32) -> usize {
    let tie = (g.min(h), g.max(h));
    if g == h { g as usize } else { levels + ties.partition_point(|t| *t < tie) }
}

/// The cells of the rows by two memberships of a term.
fn sights(term: &Term, ties: &[(u32, u32)]) -> Vec<Sight> {
    let codes: Vec<&[u32]> = term.memberships().map(|m| m.0).collect();
    let mut found = Vec::new();
    for (a, first) in codes.iter().enumerate() {
        for second in &codes[a + 1..] {
            let both = || first.iter().zip(*second);
            found.push(Sight {
                cells: both().map(|(&g, &h)| own_cell(ties, term.levels, g, h) as u32).collect(),
                turned: both().map(|(g, h)| g > h).collect(),
            });
        }
    }
    found
}

fn prior(term: &Term, ties: &[(u32, u32)]) -> Prior {
    let Some(known) = &term.prior else { return Prior::Each(term.structure.precision()) };
    let mut numbers = vec![0.0; term.levels + ties.len()];
    for (i, j, value) in known.entries() {
        numbers[own_cell(ties, term.levels, j as u32, i as u32)] = value;
    }
    Prior::Known(known.clone(), numbers)
}

/// The order of rows by the largest factor, within its levels by the second.
pub fn row_order(terms: &[Term]) -> Vec<u32> {
    let (groupings, _) = group(terms);
    let n = terms.first().map_or(0, |t| t.codes.len()) as u32;
    let by = |rows: Vec<u32>, g: &Grouping| sorted(&terms[g.terms[0]].codes, g.levels, rows.into_iter()).0;
    groupings.iter().take(2).rev().fold((0..n).collect(), by)
}
