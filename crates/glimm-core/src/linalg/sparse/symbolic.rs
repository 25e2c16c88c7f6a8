//! What depends on the pattern alone: supernodes, their tree, and where every value goes.

use std::ops::Range;
use std::sync::Arc;

use faer::sparse::linalg::cholesky::supernodal::SymbolicSupernodalCholesky;

use super::error::SparseError;
use super::kernels::{Block, BlockMut};
use super::order::{Pattern, elimination_order, inverse, minimum_degree};

/// Columns of a supernode beyond which it is split. Of a square block half is stored in vain, and
/// products with what lies below need less work than those within it; narrow ones lose speed.
const WIDEST: usize = 256;

/// A supernode: `cols` successive columns of L, dense, with `below` rows underneath.
#[derive(Clone, Debug)]
pub struct Node {
    /// Place of the first column.
    pub start: usize,
    pub cols: usize,
    pub below: usize,
    /// Where its rows begin in `Symbolic::rows`.
    pub row_start: usize,
    /// Where its panel begins: the square block of the columns, then the block below.
    pub panel_start: usize,
}

impl Node {
    /// The place after its last column.
    pub fn end(&self) -> usize {
        self.start + self.cols
    }

    pub fn panel(&self) -> Range<usize> {
        self.panel_start..self.panel_start + (self.cols + self.below) * self.cols
    }

    pub fn row_range(&self) -> Range<usize> {
        self.row_start..self.row_start + self.below
    }

    /// The block of the columns and the block below, out of all panels.
    pub fn split<'a>(&self, panels: &'a [f64]) -> (Block<'a>, Block<'a>) {
        self.split_later(panels, 0)
    }

    pub fn split_mut<'a>(&self, panels: &'a mut [f64]) -> (BlockMut<'a>, BlockMut<'a>) {
        self.split_later_mut(panels, 0)
    }

    /// The same out of panels without the first `left` numbers.
    pub fn split_later<'a>(&self, panels: &'a [f64], left: usize) -> (Block<'a>, Block<'a>) {
        let Range { start, end } = self.panel();
        let (top, bottom) = panels[start - left..end - left].split_at(self.cols * self.cols);
        (Block::new(top, self.cols, self.cols), Block::new(bottom, self.below, self.cols))
    }

    pub fn split_later_mut<'a>(&self, panels: &'a mut [f64], left: usize) -> (BlockMut<'a>, BlockMut<'a>) {
        let Range { start, end } = self.panel();
        let (top, bottom) = panels[start - left..end - left].split_at_mut(self.cols * self.cols);
        (BlockMut::new(top, self.cols, self.cols), BlockMut::new(bottom, self.below, self.cols))
    }

    /// The blocks of this supernode, and the panels of all after it, which lack the first
    /// `panel().end` numbers.
    pub fn detach<'a>(&self, panels: &'a mut [f64]) -> (BlockMut<'a>, BlockMut<'a>, &'a mut [f64]) {
        let (head, later) = panels.split_at_mut(self.panel().end);
        let (top, bottom) = self.split_mut(head);
        (top, bottom, later)
    }
}

/// The analysis of a pattern; shared by all factors of matrices with that pattern.
#[derive(Debug)]
pub struct Symbolic {
    n: usize,
    /// Caller's column at each place.
    pub(super) order: Vec<usize>,
    pub(super) nodes: Vec<Node>,
    /// The supernode of each place.
    pub(super) owner: Vec<u32>,
    /// Places of the rows below each supernode.
    pub(super) rows: Vec<u32>,
    /// Where each of the caller's entries lies in the panels.
    pub(super) position: Vec<usize>,
    pub(super) panel_storage: usize,
}

impl Symbolic {
    /// Analyse the lower triangle (with diagonal) of a symmetric matrix of order `n`, by columns,
    /// rows ascending.
    ///
    /// # Errors
    /// [`SparseError`] names the column at which the pattern is not as described.
    pub fn new(n: usize, col_ptr: &[usize], row_idx: &[usize]) -> Result<Arc<Self>, SparseError> {
        let too_large = SparseError::TooLarge { n, nonzeros: row_idx.len() };
        Self::within(n, col_ptr, row_idx, f64::INFINITY)?.ok_or(too_large)
    }

    /// Multiplications, about, that a factorisation takes.
    ///
    /// # Errors
    /// As those of [`Symbolic::new`].
    pub fn multiplications(n: usize, col_ptr: &[usize], row_idx: &[usize]) -> Result<f64, SparseError> {
        Ok(minimum_degree(&Pattern::checked(n, col_ptr, row_idx)?)?.1)
    }

    /// The analysis of [`Symbolic::new`]; none where a factorisation would take more than `most` multiplications, about.
    ///
    /// # Errors
    /// As those of [`Symbolic::new`].
    pub fn within(n: usize, col_ptr: &[usize], row_idx: &[usize], most: f64) -> Result<Option<Arc<Self>>, SparseError> {
        let pattern = Pattern::checked(n, col_ptr, row_idx)?;
        let too_large = SparseError::TooLarge { n, nonzeros: row_idx.len() };
        if n >= u32::MAX as usize {
            return Err(too_large);
        }
        let Some(order) = elimination_order(&pattern, most)? else { return Ok(None) };
        let mut symbolic = Self::empty(n, order);
        if n > 0 {
            let place = inverse(&symbolic.order);
            let supernodes = pattern.permuted(&place).supernodes().ok_or(too_large)?;
            symbolic.add_nodes(&supernodes);
            symbolic.locate(&pattern, &place);
        }
        Ok(Some(Arc::new(symbolic)))
    }

    /// Order of the matrix.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Entries of L, with the zeros stored to make supernodes dense.
    pub fn factor_nonzeros(&self) -> usize {
        self.nodes.iter().map(|s| s.cols * (s.cols + 1) / 2 + s.cols * s.below).sum()
    }

    /// Bytes of the columns of L.
    pub fn panel_bytes(&self) -> u64 {
        (self.panel_storage * size_of::<f64>()) as u64
    }

    /// Predicted multiplications and additions of one factorisation.
    pub fn flops(&self) -> f64 {
        let column = |length: usize| (length * length) as f64;
        let node = |s: &Node| (1..=s.cols).map(|k| column(s.below + k)).sum::<f64>();
        self.nodes.iter().map(node).sum()
    }

    /// Rows below the supernode with most of them, and the largest block below one.
    pub(super) fn largest(&self) -> (usize, usize) {
        let below = self.nodes.iter().map(|s| s.below).max().unwrap_or(0);
        (below, self.nodes.iter().map(|s| s.below * s.cols).max().unwrap_or(0))
    }

    /// Columns of the widest supernode.
    pub(super) fn widest(&self) -> usize {
        self.nodes.iter().map(|s| s.cols).max().unwrap_or(0)
    }

    fn empty(n: usize, order: Vec<usize>) -> Self {
        let (nodes, owner, rows, position) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { n, order, nodes, owner, rows, position, panel_storage: 0 }
    }

    fn add_nodes(&mut self, found: &SymbolicSupernodalCholesky<usize>) {
        for s in 0..found.n_supernodes() {
            let (start, end) = (found.supernode_begin()[s], found.supernode_end()[s]);
            let parts = (end - start).div_ceil(WIDEST).max(1);
            for from in (start..end).step_by((end - start).div_ceil(parts).max(1)) {
                let to = end.min(from + (end - start).div_ceil(parts));
                self.add_node(from..to, (to..end).chain(found.supernode(s).pattern().iter().copied()));
            }
        }
    }

    fn add_node(&mut self, columns: Range<usize>, below: impl Iterator<Item = usize>) {
        let row_start = self.rows.len();
        self.rows.extend(below.map(|row| row as u32));
        let node = Node {
            start: columns.start,
            cols: columns.len(),
            below: self.rows.len() - row_start,
            row_start,
            panel_start: self.panel_storage,
        };
        self.panel_storage = node.panel().end;
        self.owner.resize(node.end(), self.nodes.len() as u32);
        self.nodes.push(node);
    }

    fn locate(&mut self, pattern: &Pattern<'_>, place: &[usize]) {
        let position = pattern.entries().map(|(i, j)| {
            let (row, column) = (place[i].max(place[j]), place[i].min(place[j]));
            self.position_of(&self.nodes[self.owner[column] as usize], row, column)
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
