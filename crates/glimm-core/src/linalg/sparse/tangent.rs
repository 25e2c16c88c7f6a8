//! The derivative of the inverse on the pattern, in one direction, exactly.
//!
//! Front `F` over `J` and `S`, with `P = F_JJ^-1` and `Y = F_SJ P` (which is `L_SJ L_JJ^-1`), has
//! Schur complement `F_SS - Y F_SJ'`. Differentials, `d` before a letter:
//!
//! ```text
//! up    dP = -P dF_JJ P        dY = (dF_SJ - Y dF_JJ) P
//!       dF_SS - W Y' - Y W'    with W = dF_SJ - Y dF_JJ / 2     (goes to the parent)
//! down  dC_SJ = -dC_SS Y - C_SS dY
//!       dC_JJ = dP + Y' dC_SS Y - C_SJ' dY - dY' C_SJ
//! ```

use super::factor::{Factor, collect, scatter};
use super::fronts::{extend_add, gather};
use super::kernels::{self, Block, BlockMut};

impl Factor {
    /// Entries of `-C dH C`, the derivative of the inverse in the direction `dvalues`, at the
    /// positions of the caller's pattern. Values outside the pattern of `dH` are zero.
    ///
    /// # Panics
    /// If nothing is factorised, or an argument is not as long as the pattern.
    pub fn selected_inverse_tangent(&mut self, dvalues: &[f64], out: &mut [f64]) {
        self.invert();
        self.reserve_tangent();
        scatter(&self.symbolic, dvalues, self.d.get_mut());
        for s in 0..self.symbolic.nodes.len() {
            self.tangent_up(s);
        }
        for s in (0..self.symbolic.nodes.len()).rev() {
            self.tangent_down(s);
        }
        collect(&self.symbolic, self.d.get(), out);
    }

    fn reserve_tangent(&mut self) {
        let symbolic = &self.symbolic;
        let largest = symbolic.nodes.iter().map(|s| s.cols * s.cols.max(s.below)).max();
        self.d.reserve(symbolic.panel_storage);
        self.front_tangents.reserve(symbolic.front_storage);
        self.scratch.iter_mut().for_each(|buffer| buffer.reserve(largest.unwrap_or(0)));
    }

    /// Pass the derivative of the Schur complement on; leave `dP` and `dY` in the panel.
    fn tangent_up(&mut self, s: usize) {
        let node = &self.symbolic.nodes[s];
        let (below, cols) = (node.below, node.cols);
        let (p, y) = node.split(self.y.get());
        let (mut top, mut bottom) = node.split_mut(self.d.get_mut());
        let [first, second] = &mut self.scratch;
        kernels::mirror(top.reborrow());

        let mut change = BlockMut::new(first.get_mut(), below, cols);
        let w = BlockMut::new(second.get_mut(), below, cols);
        kernels::product(change.reborrow(), false, 1.0, y, top.as_block());
        for ((w, d), change) in w.data.iter_mut().zip(&*bottom.data).zip(&mut *change.data) {
            *w = d - 0.5 * *change;
            *change = d - *change;
        }
        kernels::product(bottom.reborrow(), false, 1.0, change.as_block(), p);
        let fronts = self.front_tangents.get_mut();
        let front = BlockMut::new(&mut fronts[node.front()], below, below);
        kernels::subtract_cross(front, w.as_block(), y, node.has_children);

        kernels::negative_sandwich(top, p, BlockMut::new(first.get_mut(), cols, cols));
        extend_add(&self.symbolic, s, self.d.get_mut(), fronts);
    }

    /// Replace `dP` and `dY` in the panel by the columns `J` of `dC`.
    fn tangent_down(&mut self, s: usize) {
        gather(&self.symbolic, s, self.c.get(), self.fronts.get_mut());
        gather(&self.symbolic, s, self.d.get(), self.front_tangents.get_mut());
        let node = &self.symbolic.nodes[s];
        let (below, cols) = (node.below, node.cols);
        let c_ss = Block::new(&self.fronts.get()[node.front()], below, below);
        let dc_ss = Block::new(&self.front_tangents.get()[node.front()], below, below);
        let (_, y) = node.split(self.y.get());
        let (_, c_sj) = node.split(self.c.get());
        let (mut top, dy) = node.split_mut(self.d.get_mut());

        let mut sum = BlockMut::new(self.scratch[0].get_mut(), below, cols);
        kernels::symmetric_product(sum.reborrow(), false, 1.0, dc_ss, y);
        kernels::add_inner(top.reborrow(), 1.0, y, sum.as_block());
        kernels::add_inner(top.reborrow(), -1.0, c_sj, dy.as_block());
        kernels::add_inner(top, -1.0, dy.as_block(), c_sj);
        kernels::symmetric_product(sum.reborrow(), true, 1.0, c_ss, dy.as_block());
        for (to, sum) in dy.data.iter_mut().zip(&*sum.data) {
            *to = -sum;
        }
    }
}
