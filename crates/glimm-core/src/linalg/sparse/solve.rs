//! Solves with the matrix and with its square root.

use super::factor::{Factor, State};
use super::kernels::{self, BlockMut};

/// Right-hand sides treated together: bounds the scratch, and fills the blocked kernels.
const GROUP: usize = 32;

impl Factor {
    /// `H^-1 rhs` in place of `rhs`: one or more columns of length `n`, one after the other.
    ///
    /// # Panics
    /// If nothing is factorised, or the length of `rhs` is no multiple of `n`.
    pub fn solve_in_place(&mut self, rhs: &mut [f64]) {
        self.in_groups(rhs, |factor, group, cols| {
            factor.permute(group, cols);
            factor.forward(cols);
            factor.backward(cols);
            factor.permute_back(group, cols);
        });
    }

    /// `L^-1 P rhs` in place of `rhs` (columns of length `n`): vectors `x` with
    /// `x'x = rhs' H^-1 rhs`.
    ///
    /// # Panics
    /// As [`Factor::solve_in_place`].
    pub fn half_solve_in_place(&mut self, rhs: &mut [f64]) {
        self.in_groups(rhs, |factor, group, cols| {
            factor.permute(group, cols);
            factor.forward(cols);
            let n = factor.symbolic.n();
            let x = factor.scratch[0].get();
            for (i, value) in group.iter_mut().enumerate() {
                *value = x[(i % n) * cols + i / n];
            }
        });
    }

    /// `P' L^-T z` in place of `z` (columns of length `n`): turns independent standard normal
    /// numbers into draws from `N(0, H^-1)`.
    ///
    /// # Panics
    /// As [`Factor::solve_in_place`].
    pub fn half_solve_transpose_in_place(&mut self, rhs: &mut [f64]) {
        self.in_groups(rhs, |factor, group, cols| {
            let n = factor.symbolic.n();
            let x = factor.scratch[0].get_mut();
            for (i, value) in group.iter().enumerate() {
                x[(i % n) * cols + i / n] = *value;
            }
            factor.backward(cols);
            factor.permute_back(group, cols);
        });
    }

    fn in_groups(&mut self, rhs: &mut [f64], action: impl Fn(&mut Self, &mut [f64], usize)) {
        self.require(State::Factored);
        let n = self.symbolic.n();
        if n == 0 {
            return;
        }
        assert_eq!(rhs.len() % n, 0, "the length of `rhs` must be a multiple of {n}");
        let longest = self.symbolic.nodes.iter().map(|s| s.below).max().unwrap_or(0);
        let cols = GROUP.min(rhs.len() / n);
        self.scratch[0].reserve(n * cols);
        self.scratch[1].reserve(longest * cols);
        for group in rhs.chunks_mut(n * GROUP) {
            let cols = group.len() / n;
            action(self, group, cols);
        }
    }

    /// Bring `rhs` into the order of elimination, in the first scratch: one place after the other,
    /// each with its value in every column, so that a supernode's part is one block.
    fn permute(&mut self, rhs: &[f64], cols: usize) {
        let n = self.symbolic.n();
        let x = self.scratch[0].get_mut()[..n * cols].chunks_exact_mut(cols);
        for (x, &place) in x.zip(&self.symbolic.order) {
            for (k, x) in x.iter_mut().enumerate() {
                *x = rhs[k * n + place];
            }
        }
    }

    fn permute_back(&self, rhs: &mut [f64], cols: usize) {
        let n = self.symbolic.n();
        let x = self.scratch[0].get()[..n * cols].chunks_exact(cols);
        for (x, &place) in x.zip(&self.symbolic.order) {
            for (k, x) in x.iter().enumerate() {
                rhs[k * n + place] = *x;
            }
        }
    }

    /// `L^-1 X`: each supernode solves for its rows and takes their part off the rows below.
    fn forward(&mut self, cols: usize) {
        let [x, part] = &mut self.scratch;
        let x = x.get_mut();
        for node in &self.symbolic.nodes {
            let (l_jj, l_sj) = node.split(self.l.get());
            let (own, below) = x.split_at_mut((node.start + node.cols) * cols);
            let mut own = BlockMut::new(&mut own[node.start * cols..], cols, node.cols);
            kernels::solve_transposed_right(l_jj, own.reborrow());
            let mut part = BlockMut::new(part.get_mut(), cols, node.below);
            kernels::product_transposed(part.reborrow(), own.as_block(), l_sj);
            let parts = part.data.chunks_exact(cols);
            for (&row, part) in self.symbolic.rows[node.row_range()].iter().zip(parts) {
                let row = (row as usize - node.start - node.cols) * cols;
                for (x, part) in below[row..][..cols].iter_mut().zip(part) {
                    *x -= part;
                }
            }
        }
    }

    /// `L^-T X`, from the last supernode to the first.
    fn backward(&mut self, cols: usize) {
        let [x, part] = &mut self.scratch;
        let x = x.get_mut();
        for node in self.symbolic.nodes.iter().rev() {
            let (l_jj, l_sj) = node.split(self.l.get());
            let part = BlockMut::new(part.get_mut(), cols, node.below);
            let parts = part.data.chunks_exact_mut(cols);
            for (&row, part) in self.symbolic.rows[node.row_range()].iter().zip(parts) {
                part.copy_from_slice(&x[row as usize * cols..][..cols]);
            }
            let mut own = BlockMut::new(&mut x[node.start * cols..], cols, node.cols);
            kernels::subtract_product(own.reborrow(), part.as_block(), l_sj);
            kernels::solve_right(l_jj, own);
        }
    }
}
