//! The derivative of the inverse on the pattern, in one direction, exactly.
//!
//! What is left of the matrix when `J` is eliminated, `F` over `J` and `S`, with `P = F_JJ^-1` and
//! `Y = F_SJ P` (which is `L_SJ L_JJ^-1`), has Schur complement `F_SS - Y F_SJ'`. Differentials, `d`
//! before a letter:
//!
//! ```text
//! up    dP = -P dF_JJ P        dY = (dF_SJ - Y dF_JJ) P
//!       dF_SS - W Y' - Y W'    with W = dF_SJ - Y dF_JJ / 2
//! down  dC_SJ = -dC_SS Y - C_SS dY
//!       dC_JJ = dP + Y' dC_SS Y - C_SJ' dY - dY' C_SJ
//! ```

use super::ancestors::{add_product, subtract};
use super::factor::{Factor, collect, scatter};
use super::inverse::ratio;
use super::kernels::{self, BlockMut};

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
        let (block, square) = (self.symbolic.largest().1, self.symbolic.widest().pow(2));
        self.d.reserve(self.symbolic.panel_storage);
        self.work.iter_mut().for_each(|buffer| buffer.reserve(block.max(square)));
    }

    /// Take the derivative of the Schur complement off; leave `dP` and `dY` in the panel.
    fn tangent_up(&mut self, s: usize) {
        let node = &self.symbolic.nodes[s];
        let (below, cols) = (node.below, node.cols);
        let [y, p, change, w] = &mut self.work;
        let (l_jj, l_sj) = node.split(self.l.get());
        let y = ratio(l_jj, l_sj, y);
        let mut p = BlockMut::new(p.get_mut(), cols, cols);
        kernels::inverse(l_jj, p.reborrow(), &mut self.memory);
        let p = p.as_block();

        let (mut top, mut bottom, later) = node.detach(self.d.get_mut());
        kernels::mirror(top.reborrow());
        let scratch = change.get_mut();
        let mut change = BlockMut::new(scratch, below, cols);
        let w = BlockMut::new(w.get_mut(), below, cols);
        kernels::product(change.reborrow(), false, 1.0, y, top.as_block());
        for ((w, d), change) in w.data.iter_mut().zip(&*bottom.data).zip(&mut *change.data) {
            *w = d - 0.5 * *change;
            *change = d - *change;
        }
        kernels::product(bottom.reborrow(), false, 1.0, change.as_block(), p);
        let w = w.as_block();
        subtract(&self.symbolic, node, later, &mut self.passage, |columns, mut out| {
            kernels::lower_columns(out.reborrow(), false, w, y, columns.clone());
            kernels::lower_columns(out, true, y, w, columns);
        });
        kernels::negative_sandwich(top, p, BlockMut::new(scratch, cols, cols));
    }

    /// Replace `dP` and `dY` in the panel by the columns `J` of `dC`.
    fn tangent_down(&mut self, s: usize) {
        let node = &self.symbolic.nodes[s];
        let (below, cols) = (node.below, node.cols);
        let [y, sum, ..] = &mut self.work;
        let (l_jj, l_sj) = node.split(self.l.get());
        let y = ratio(l_jj, l_sj, y);

        let (mut top, dy, later) = node.detach(self.d.get_mut());
        let (symbolic, passage) = (&self.symbolic, &mut self.passage);
        let mut sum = BlockMut::new(sum.get_mut(), below, cols);
        sum.data.fill(0.0);
        add_product(symbolic, node, later, passage, 1.0, y, sum.reborrow());
        kernels::add_inner(top.reborrow(), 1.0, y, sum.as_block());
        let (_, c_sj) = node.split(self.c.get());
        kernels::add_inner(top.reborrow(), -1.0, c_sj, dy.as_block());
        kernels::add_inner(top, -1.0, dy.as_block(), c_sj);
        let later = &self.c.get()[node.panel().end..];
        add_product(symbolic, node, later, passage, 1.0, dy.as_block(), sum.reborrow());
        for (to, sum) in dy.data.iter_mut().zip(&*sum.data) {
            *to = -sum;
        }
    }
}
