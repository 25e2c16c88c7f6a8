//! The numerical factorisation, and the storage of all that is computed from it.

use std::sync::Arc;

use faer::dyn_stack::MemBuffer;

use super::buffer::Buffer;
use super::error::NotPositiveDefinite;
use super::fronts::extend_add;
use super::kernels;
use super::kernels::BlockMut;
use super::symbolic::Symbolic;

/// What the storage holds at present.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Empty,
    Factored,
    Inverted,
}

/// A matrix of the analysed pattern, factorised. Panels are laid out as [`Symbolic`] says.
pub struct Factor {
    pub(super) symbolic: Arc<Symbolic>,
    pub(super) state: State,
    /// Columns of L.
    pub(super) l: Buffer,
    /// For each supernode `J` with rows `S`: `(L_JJ L_JJ')^-1`, and `Y = L_SJ L_JJ^-1`.
    pub(super) y: Buffer,
    /// Columns of C, the inverse.
    pub(super) c: Buffer,
    /// Columns of the derivative, of the front on the way up and of C on the way down.
    pub(super) d: Buffer,
    pub(super) fronts: Buffer,
    pub(super) front_tangents: Buffer,
    pub(super) scratch: [Buffer; 2],
    pub(super) memory: MemBuffer,
}

impl Factor {
    /// Storage for the factor; that for the inverse and its derivative follows at first use.
    pub fn new(symbolic: Arc<Symbolic>) -> Self {
        let widest = symbolic.nodes.iter().map(|s| s.cols).max().unwrap_or(0);
        Self {
            state: State::Empty,
            l: Buffer::new(symbolic.panel_storage),
            y: Buffer::default(),
            c: Buffer::default(),
            d: Buffer::default(),
            fronts: Buffer::new(symbolic.front_storage),
            front_tangents: Buffer::default(),
            scratch: [Buffer::default(), Buffer::default()],
            memory: kernels::memory(widest),
            symbolic,
        }
    }

    pub fn symbolic(&self) -> &Arc<Symbolic> {
        &self.symbolic
    }

    /// Factorise the matrix with these values.
    ///
    /// # Errors
    /// [`NotPositiveDefinite`] names the column, in the caller's order, of a pivot that is not
    /// positive and finite; the factor cannot be used until the next success.
    ///
    /// # Panics
    /// If `values` is not as long as the pattern.
    pub fn refactor(&mut self, values: &[f64]) -> Result<(), NotPositiveDefinite> {
        self.state = State::Empty;
        scatter(&self.symbolic, values, self.l.get_mut());
        for s in 0..self.symbolic.nodes.len() {
            self.eliminate(s)?;
        }
        self.state = State::Factored;
        Ok(())
    }

    /// Columns `J` of L, and what they leave over on the rows `S`: `F_SS - L_SJ L_SJ'`.
    fn eliminate(&mut self, s: usize) -> Result<(), NotPositiveDefinite> {
        let node = &self.symbolic.nodes[s];
        let (mut top, mut bottom) = node.split_mut(self.l.get_mut());
        kernels::cholesky(top.reborrow(), &mut self.memory)
            .map_err(|index| NotPositiveDefinite { column: self.symbolic.order[node.start + index] })?;
        kernels::solve_transposed_right(top.as_block(), bottom.reborrow());
        let fronts = self.fronts.get_mut();
        let front = BlockMut::new(&mut fronts[node.front()], node.below, node.below);
        kernels::subtract_square(front, bottom.as_block(), node.has_children);
        extend_add(&self.symbolic, s, self.l.get_mut(), fronts);
        Ok(())
    }

    /// Logarithm of the determinant of the matrix.
    pub fn logdet(&self) -> f64 {
        self.require(State::Factored);
        let l = self.l.get();
        let node = |s: &super::symbolic::Node| -> f64 {
            let (top, _) = s.split(l);
            (0..s.cols).map(|j| top.col(j)[j].ln()).sum()
        };
        2.0 * self.symbolic.nodes.iter().map(node).sum::<f64>()
    }

    pub(super) fn require(&self, state: State) {
        assert!(self.state >= state, "a sparse factor was used before a successful call of `refactor`");
    }
}

/// Put values on the caller's pattern into otherwise empty panels.
pub(super) fn scatter(symbolic: &Symbolic, values: &[f64], panels: &mut [f64]) {
    check_length("values", values.len(), symbolic);
    panels.fill(0.0);
    for (&at, &value) in symbolic.position.iter().zip(values) {
        panels[at] = value;
    }
}

/// Read values on the caller's pattern from panels.
pub(super) fn collect(symbolic: &Symbolic, panels: &[f64], out: &mut [f64]) {
    check_length("out", out.len(), symbolic);
    for (&at, value) in symbolic.position.iter().zip(out) {
        *value = panels[at];
    }
}

fn check_length(name: &str, found: usize, symbolic: &Symbolic) {
    let expected = symbolic.position.len();
    assert_eq!(found, expected, "length of `{name}`: one value per entry of the pattern");
}
