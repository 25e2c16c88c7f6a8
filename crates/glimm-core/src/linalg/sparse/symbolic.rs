//! What depends on the pattern alone: supernodes, their tree, and where every value goes.

use std::ops::Range;
use std::sync::Arc;

use faer::sparse::linalg::cholesky::supernodal::SymbolicSupernodalCholesky;

use super::error::SparseError;
use super::kernels::{Block, BlockMut};
use super::order::{Pattern, elimination_order, inverse};

/// Stands for "no parent".
pub const NONE: usize = usize::MAX;

/// A supernode: `cols` successive columns of L, dense, with `below` rows underneath.
#[derive(Clone, Debug)]
pub struct Node {
    /// Place of the first column.
    pub start: usize,
    pub cols: usize,
    pub below: usize,
    /// Where its rows begin in `Symbolic::rows` and `Symbolic::relative`.
    pub row_start: usize,
    /// Where its panel begins: the square block of the columns, then the block below.
    pub panel_start: usize,
    /// Where its front (`below` squared) begins.
    pub front_start: usize,
    pub parent: usize,
    /// How many of its rows are columns of the parent.
    pub shared: usize,
    pub has_children: bool,
    pub first_child: bool,
}

impl Node {
    pub fn panel(&self) -> Range<usize> {
        self.panel_start..self.panel_start + (self.cols + self.below) * self.cols
    }

    pub fn front(&self) -> Range<usize> {
        self.front_start..self.front_start + self.below * self.below
    }

    pub fn row_range(&self) -> Range<usize> {
        self.row_start..self.row_start + self.below
    }

    /// The block of the columns and the block below, out of all panels.
    pub fn split<'a>(&self, panels: &'a [f64]) -> (Block<'a>, Block<'a>) {
        let (top, bottom) = panels[self.panel()].split_at(self.cols * self.cols);
        (Block::new(top, self.cols, self.cols), Block::new(bottom, self.below, self.cols))
    }

    pub fn split_mut<'a>(&self, panels: &'a mut [f64]) -> (BlockMut<'a>, BlockMut<'a>) {
        let (top, bottom) = panels[self.panel()].split_at_mut(self.cols * self.cols);
        (BlockMut::new(top, self.cols, self.cols), BlockMut::new(bottom, self.below, self.cols))
    }
}

/// The analysis of a pattern; shared by all factors of matrices with that pattern.
#[derive(Debug)]
pub struct Symbolic {
    n: usize,
    /// Caller's column at each place.
    pub(super) order: Vec<usize>,
    pub(super) nodes: Vec<Node>,
    /// Places of the rows below each supernode.
    pub(super) rows: Vec<u32>,
    /// The same rows, counted within the parent: first among its columns, then among its rows.
    pub(super) relative: Vec<u32>,
    /// Where each of the caller's entries lies in the panels.
    pub(super) position: Vec<usize>,
    pub(super) panel_storage: usize,
    pub(super) front_storage: usize,
}

impl Symbolic {
    /// Analyse the lower triangle (with diagonal) of a symmetric matrix of order `n`, by columns,
    /// rows ascending.
    ///
    /// # Errors
    /// [`SparseError`] names the column at which the pattern is not as described.
    pub fn new(n: usize, col_ptr: &[usize], row_idx: &[usize]) -> Result<Arc<Self>, SparseError> {
        let pattern = Pattern::checked(n, col_ptr, row_idx)?;
        let too_large = SparseError::TooLarge { n, nonzeros: row_idx.len() };
        if n >= u32::MAX as usize {
            return Err(too_large);
        }
        let order = elimination_order(&pattern)?;
        let mut symbolic = Self::empty(n, order);
        if n > 0 {
            let place = inverse(&symbolic.order);
            let supernodes = pattern.permuted(&place).supernodes().ok_or(too_large)?;
            symbolic.add_nodes(&supernodes);
            symbolic.link();
            symbolic.plan_fronts();
            symbolic.locate(&pattern, &place);
        }
        Ok(Arc::new(symbolic))
    }

    /// Order of the matrix.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Entries of L, with the zeros stored to make supernodes dense.
    pub fn factor_nonzeros(&self) -> usize {
        self.nodes.iter().map(|s| s.cols * (s.cols + 1) / 2 + s.cols * s.below).sum()
    }

    /// Predicted multiplications and additions of one factorisation.
    pub fn flops(&self) -> f64 {
        let column = |length: usize| (length * length) as f64;
        let node = |s: &Node| (1..=s.cols).map(|k| column(s.below + k)).sum::<f64>();
        self.nodes.iter().map(node).sum()
    }

    fn empty(n: usize, order: Vec<usize>) -> Self {
        Self {
            n,
            order,
            nodes: Vec::new(),
            rows: Vec::new(),
            relative: Vec::new(),
            position: Vec::new(),
            panel_storage: 0,
            front_storage: 0,
        }
    }

    fn add_nodes(&mut self, found: &SymbolicSupernodalCholesky<usize>) {
        for s in 0..found.n_supernodes() {
            let (start, end) = (found.supernode_begin()[s], found.supernode_end()[s]);
            let below = found.supernode(s).pattern();
            let node = Node {
                start,
                cols: end - start,
                below: below.len(),
                row_start: self.rows.len(),
                panel_start: self.panel_storage,
                front_start: 0,
                parent: NONE,
                shared: 0,
                has_children: false,
                first_child: false,
            };
            self.panel_storage = node.panel().end;
            self.nodes.push(node);
            self.rows.extend(below.iter().map(|&row| row as u32));
        }
    }

    /// The supernode of each place.
    fn owners(&self) -> Vec<usize> {
        let mut owner = Vec::with_capacity(self.n);
        for (s, node) in self.nodes.iter().enumerate() {
            owner.resize(node.start + node.cols, s);
        }
        owner
    }

    /// Find each supernode's parent (the owner of its first row) and its rows therein.
    fn link(&mut self) {
        let owner = self.owners();
        self.relative = vec![0; self.rows.len()];
        for s in 0..self.nodes.len() {
            let rows = &self.rows[self.nodes[s].row_range()];
            let Some(&first) = rows.first() else { continue };
            let parent = &self.nodes[owner[first as usize]];
            let (start, end) = (parent.start as u32, (parent.start + parent.cols) as u32);
            let shared = rows.partition_point(|&row| row < end);
            let relative = &mut self.relative[self.nodes[s].row_range()];
            for (to, &row) in relative.iter_mut().zip(&rows[..shared]) {
                *to = row - start;
            }
            locate_rows(&rows[shared..], &self.rows[parent.row_range()], &mut relative[shared..]);
            let parent = owner[first as usize];
            let first_child = !self.nodes[parent].has_children;
            self.nodes[parent].has_children = true;
            let node = &mut self.nodes[s];
            (node.parent, node.shared, node.first_child) = (parent, shared, first_child);
        }
    }

    /// Place the fronts in one array. A front lives from its first child to its own elimination.
    /// Lifetimes nest, but for a parent and its first child, which meet: with these two on opposite
    /// stacks, both stacks are last in, first out.
    fn plan_fronts(&mut self) {
        let mut stacks = Stacks::default();
        let mut side = vec![0; self.nodes.len()];
        for s in 0..self.nodes.len() {
            if !self.nodes[s].has_children {
                stacks.push(&mut self.nodes[s], 0);
            }
            let parent = self.nodes[s].parent;
            if self.nodes[s].first_child {
                side[parent] = 1 - side[s];
                stacks.push(&mut self.nodes[parent], side[parent]);
            }
            stacks.top[side[s]] = self.nodes[s].front_start;
        }
        for (node, &side) in self.nodes.iter_mut().zip(&side) {
            node.front_start += side * stacks.height[0];
        }
        self.front_storage = stacks.height[0] + stacks.height[1];
    }

    fn locate(&mut self, pattern: &Pattern<'_>, place: &[usize]) {
        let owner = self.owners();
        let position = pattern.entries().map(|(i, j)| {
            let (row, column) = (place[i].max(place[j]), place[i].min(place[j]));
            self.position_of(&self.nodes[owner[column]], row, column)
        });
        self.position = position.collect();
    }

    fn position_of(&self, node: &Node, row: usize, column: usize) -> usize {
        let (i, j) = (row - node.start, column - node.start);
        if i < node.cols {
            return node.panel_start + j * node.cols + i;
        }
        let rows = &self.rows[node.row_range()];
        let i = rows.partition_point(|&r| (r as usize) < row);
        assert_eq!(rows[i] as usize, row, "the symbolic factor contains the pattern");
        node.panel_start + node.cols * node.cols + j * node.below + i
    }
}

#[derive(Default)]
struct Stacks {
    top: [usize; 2],
    height: [usize; 2],
}

impl Stacks {
    fn push(&mut self, node: &mut Node, side: usize) {
        node.front_start = self.top[side];
        self.top[side] = node.front().end;
        self.height[side] = self.height[side].max(self.top[side]);
    }
}

/// Indices of `wanted` in `rows`; both ascend and `rows` contains `wanted`.
fn locate_rows(wanted: &[u32], rows: &[u32], index: &mut [u32]) {
    let mut at = 0;
    for (to, &row) in index.iter_mut().zip(wanted) {
        at += rows[at..].partition_point(|&r| r < row);
        assert_eq!(rows[at], row, "a parent's front contains its child's rows");
        *to = at as u32;
    }
}
