//! The numerical factorisation, and the storage of all that is computed from it.

use std::sync::Arc;

use faer::dyn_stack::MemBuffer;

use super::ancestors::{Passage, subtract};
use super::buffer::Buffer;
use super::error::NotPositiveDefinite;
use super::kernels;
use super::symbolic::Symbolic;

/// What the storage holds at present.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Empty,
    Factored,
    Inverted,
}

/// Blocks of one supernode that its derivative is made with.
const WORK: usize = 4;

/// A matrix of the analysed pattern, factorised. Panels are laid out as [`Symbolic`] says.
pub struct Factor {
    pub(super) symbolic: Arc<Symbolic>,
    pub(super) state: State,
    /// Columns of L.
    pub(super) l: Buffer,
    /// Columns of C, the inverse.
    pub(super) c: Buffer,
    /// Columns of the derivative, of what is left to eliminate on the way up and of C on the way down.
    pub(super) d: Buffer,
    pub(super) passage: Passage,
    /// Blocks of one supernode.
    pub(super) work: [Buffer; WORK],
    /// Vectors.
    pub(super) scratch: [Buffer; 2],
    pub(super) memory: MemBuffer,
}

impl Factor {
    /// Storage follows at first use: of the factor, of its inverse and of the derivative.
    pub fn new(symbolic: Arc<Symbolic>) -> Self {
        Self {
            state: State::Empty,
            l: Buffer::default(),
            c: Buffer::default(),
            d: Buffer::default(),
            passage: Passage::default(),
            work: Default::default(),
            scratch: Default::default(),
            memory: kernels::memory(symbolic.widest()),
            symbolic,
        }
    }

    /// Bytes of the factor, of its inverse, of the derivative and of what they are made with.
    pub fn bytes(symbolic: &Symbolic) -> u64 {
        let work = Passage::numbers(symbolic) + WORK * symbolic.largest().1;
        3 * symbolic.panel_bytes() + (work * size_of::<f64>()) as u64
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
        self.l.reserve(self.symbolic.panel_storage);
        self.passage.reserve(&self.symbolic);
        scatter(&self.symbolic, values, self.l.get_mut());
        for s in 0..self.symbolic.nodes.len() {
            self.eliminate(s)?;
        }
        self.state = State::Factored;
        Ok(())
    }

    /// Columns `J` of L; `L_SJ L_SJ'` is taken off the columns `S`.
    fn eliminate(&mut self, s: usize) -> Result<(), NotPositiveDefinite> {
        let node = &self.symbolic.nodes[s];
        let (mut top, mut bottom, later) = node.detach(self.l.get_mut());
        kernels::cholesky(top.reborrow(), &mut self.memory)
            .map_err(|index| NotPositiveDefinite { column: self.symbolic.order[node.start + index] })?;
        kernels::solve_transposed_right(top.as_block(), bottom.reborrow());
        let l = bottom.as_block();
        subtract(&self.symbolic, node, later, &mut self.passage, |columns, out| {
            kernels::lower_columns(out, false, l, l, columns);
        });
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
