//! Nested grouping factors as a tree: every group of a finer factor lies within one group of the next coarser.

use std::ops::Range;

use crate::design::{Data, Term};
use crate::objective::crossed::{OfRow, Pattern, Rows};

/// The terms of each factor, the coarsest factor first; `None` where factors are not nested.
pub fn chain(terms: &[Term]) -> Option<Vec<Vec<usize>>> {
    if terms.iter().any(Term::tied) {
        return None;
    }
    let mut factors: Vec<Vec<usize>> = Vec::new();
    for (t, term) in terms.iter().enumerate() {
        match factors.iter_mut().find(|f| terms[f[0]].codes == term.codes) {
            Some(known) => known.push(t),
            None => factors.push(vec![t]),
        }
    }
    factors.sort_by_key(|f| present(&terms[f[0]]));
    let nested = factors.windows(2).all(|f| within(&terms[f[1][0]], &terms[f[0][0]]));
    (nested && !factors.is_empty()).then_some(factors)
}

/// Number of levels that have rows.
fn present(term: &Term) -> usize {
    let mut seen = vec![false; term.levels];
    term.codes.iter().for_each(|&c| seen[c as usize] = true);
    seen.into_iter().filter(|s| *s).count()
}

/// Whether all rows of a level of `fine` have one level of `coarse`.
fn within(fine: &Term, coarse: &Term) -> bool {
    let mut of = vec![u32::MAX; fine.levels];
    fine.codes.iter().zip(&coarse.codes).all(|(&f, &c)| {
        let known = &mut of[f as usize];
        let agrees = *known == u32::MAX || *known == c;
        *known = c;
        agrees
    })
}

/// A group. Its path goes from the group at the top down to itself.
pub struct Group {
    pub parent: Option<usize>,
    pub children: Vec<usize>,
    pub rows: Range<usize>,
    /// Its own effects, and those of its path (its own last), as numbered by the pattern.
    pub own: usize,
    pub path: Vec<usize>,
    /// Where the block of own effects by effects of the path stands in a matrix on the pattern.
    pub places: Vec<usize>,
    /// Where the same block begins in packed storage; where own by own, and path by path.
    pub block: usize,
    pub corner: usize,
    pub square: usize,
}

impl Group {
    /// Effects of its path above itself.
    pub fn above(&self) -> usize {
        self.path.len() - self.own
    }

    pub fn block(&self) -> Range<usize> {
        self.block..self.block + self.own * self.path.len()
    }

    pub fn corner(&self) -> Range<usize> {
        self.corner..self.corner + self.own * self.own
    }

    pub fn square(&self) -> Range<usize> {
        self.square..self.square + self.path.len() * self.path.len()
    }
}

/// Groups, parents before their children, units one after another.
pub struct Tree {
    pub groups: Vec<Group>,
    /// The groups of each unit: a group at the top and all below it.
    pub units: Vec<Range<usize>>,
    /// Terms of each factor, the coarsest first.
    pub chain: Vec<Vec<usize>>,
}

impl Tree {
    /// The tree of rows sorted by the codes of the chain.
    pub fn new(data: &Data, chain: &[Vec<usize>], pattern: &Pattern, of_row: &OfRow) -> Tree {
        let mut tree = Tree { groups: Vec::new(), units: Vec::new(), chain: chain.to_vec() };
        let code = |depth: usize, row: usize| data.terms[chain[depth][0]].codes[row];
        let mut open: Vec<usize> = Vec::new();
        for row in 0..data.n() {
            let changed = (0..chain.len()).find(|&d| row == 0 || code(d, row) != code(d, row - 1));
            if let Some(first) = changed {
                open.truncate(first);
                for depth in first..chain.len() {
                    let group = tree.group(open.last().copied(), depth, row, data, pattern, of_row);
                    open.push(group);
                }
            }
            open.iter().for_each(|&g| tree.groups[g].rows.end = row + 1);
        }
        let tops = (0..tree.groups.len()).filter(|&g| tree.groups[g].parent.is_none());
        let mut edges: Vec<usize> = tops.collect();
        edges.push(tree.groups.len());
        tree.units = edges.windows(2).map(|e| e[0]..e[1]).collect();
        tree
    }

    /// Adds a group that begins with `row`.
    fn group(
        &mut self,
        parent: Option<usize>,
        depth: usize,
        row: usize,
        data: &Data,
        pattern: &Pattern,
        of_row: &OfRow,
    ) -> usize {
        let rows = Rows { data, of_row };
        let labels = |depth: usize| self.chain[depth].iter().flat_map(|&t| (0..pattern.sizes[t]).map(move |c| (t, c)));
        let path: Vec<(usize, usize)> = (0..=depth).flat_map(labels).collect();
        let own: Vec<(usize, usize)> = labels(depth).collect();
        let number =
            |&(t, c): &(usize, usize)| pattern.term(t).start + data.terms[t].codes[row] as usize * pattern.sizes[t] + c;
        let place = |a: (usize, usize), b: (usize, usize)| {
            pattern.place(a, b, rows.cell_of(pattern.pair(a.0, b.0))[row] as usize)
        };
        let places = own.iter().flat_map(|&a| path.iter().map(move |&b| (a, b))).map(|(a, b)| place(a, b)).collect();
        let last = self.groups.last();
        let group = Group {
            parent,
            children: Vec::new(),
            rows: row..row,
            own: own.len(),
            path: path.iter().map(number).collect(),
            places,
            block: last.map_or(0, |g| g.block().end),
            corner: last.map_or(0, |g| g.corner().end),
            square: last.map_or(0, |g| g.square().end),
        };
        self.groups.push(group);
        let index = self.groups.len() - 1;
        if let Some(parent) = parent {
            self.groups[parent].children.push(index);
        }
        index
    }
}
