//! Entries of the inverse on the pattern, by the recursion of Takahashi, Fagan and Chen.

use super::factor::{Factor, State, collect};
use super::fronts::gather;
use super::kernels::{self, Block};

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
        self.y.reserve(self.symbolic.panel_storage);
        self.c.reserve(self.symbolic.panel_storage);
        for s in (0..self.symbolic.nodes.len()).rev() {
            self.invert_node(s);
        }
        self.state = State::Inverted;
    }

    /// Columns `J` of C: `C_SJ = -C_SS Y` and `C_JJ = (L_JJ L_JJ')^-1 - Y' C_SJ`.
    fn invert_node(&mut self, s: usize) {
        let node = &self.symbolic.nodes[s];
        let (l_top, l_bottom) = node.split(self.l.get());
        let (mut p, mut y) = node.split_mut(self.y.get_mut());
        y.data.copy_from_slice(l_bottom.data);
        kernels::solve_right(l_top, y.reborrow());
        kernels::inverse(l_top, p.reborrow(), &mut self.memory);

        gather(&self.symbolic, s, self.c.get(), self.fronts.get_mut());
        let c_ss = Block::new(&self.fronts.get()[node.front()], node.below, node.below);
        let (c_jj, mut c_sj) = node.split_mut(self.c.get_mut());
        kernels::symmetric_product(c_sj.reborrow(), false, -1.0, c_ss, y.as_block());
        c_jj.data.copy_from_slice(p.data);
        kernels::add_inner(c_jj, -1.0, y.as_block(), c_sj.as_block());
    }
}
