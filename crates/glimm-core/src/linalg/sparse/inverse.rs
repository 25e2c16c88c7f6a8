//! Entries of the inverse on the pattern, by the recursion of Takahashi, Fagan and Chen.

use super::ancestors::add_product;
use super::buffer::Buffer;
use super::factor::{Factor, State, collect};
use super::kernels::{self, Block, BlockMut};

impl Factor {
    /// Entries of `C = H^-1` at the positions of the caller's pattern.
    ///
    /// # Panics
    /// If nothing is factorised, or `out` is not as long as the pattern.
    pub fn selected_inverse(&mut self, out: &mut [f64]) {
        self.invert();
        collect(&self.symbolic, self.c.get(), out);
    }

    pub(super) fn invert(&mut self) {
        self.require(State::Factored);
        if self.state == State::Inverted {
            return;
        }
        self.c.reserve(self.symbolic.panel_storage);
        self.work[0].reserve(self.symbolic.largest().1);
        for s in (0..self.symbolic.nodes.len()).rev() {
            self.invert_node(s);
        }
        self.state = State::Inverted;
    }

    /// With `Y = L_SJ L_JJ^-1`, columns `J` of C: `C_SJ = -C_SS Y` and `C_JJ = (L_JJ L_JJ')^-1 - Y' C_SJ`.
    fn invert_node(&mut self, s: usize) {
        let node = &self.symbolic.nodes[s];
        let (l_jj, l_sj) = node.split(self.l.get());
        let y = ratio(l_jj, l_sj, &mut self.work[0]);
        let (mut c_jj, mut c_sj, later) = node.detach(self.c.get_mut());
        c_sj.data.fill(0.0);
        add_product(&self.symbolic, node, later, &mut self.passage, -1.0, y, c_sj.reborrow());
        kernels::inverse(l_jj, c_jj.reborrow(), &mut self.memory);
        kernels::add_inner(c_jj, -1.0, y, c_sj.as_block());
    }
}

/// `L_SJ L_JJ^-1`: cheap enough beside its products not to be kept.
pub fn ratio<'a>(l_jj: Block<'_>, l_sj: Block<'_>, storage: &'a mut Buffer) -> Block<'a> {
    let mut y = BlockMut::new(storage.get_mut(), l_sj.rows, l_sj.cols);
    y.data.copy_from_slice(l_sj.data);
    kernels::solve_right(l_jj, y.reborrow());
    Block::new(y.data, l_sj.rows, l_sj.cols)
}
