//! Random effects of a linear mixed model, and the one place that chooses their algebra.

use std::sync::Arc;

use super::blocks::{Blocks, Grouped};
use crate::design::{Data, Term, one_factor};
use crate::error::Error;
use crate::objective::crossed::{Cells, Engine, OfRow, Pattern, Plan, Rows, Solver};
use crate::objective::geometry::{Effects, Geometry};
use crate::suffstat::{Moments, RowSums};

/// What the likelihood of a linear mixed model asks of random effects besides [`Effects`]. Several
/// vectors stand one after the other.
pub trait Linear: Effects {
    /// out += M x for every vector.
    fn multiply(&self, m: &[f64], x: &[f64], out: &mut [f64]);

    /// x = H^-1 x for every vector, with the last factor.
    fn solve_all(&mut self, x: &mut [f64]);

    /// out += I on the pattern.
    fn add_identity(&self, out: &mut [f64]);
}

/// The algebra that suits the terms.
pub enum Algebra {
    OneFactor(Blocks),
    Crossed(Box<Crossed>),
}

pub struct Crossed {
    pattern: Arc<Pattern>,
    /// The cell of each row, by pair of factors.
    of_row: OfRow,
    plan: Plan,
    solver: Option<Box<dyn Solver>>,
}

impl Algebra {
    pub fn new(data: &Data) -> Result<Algebra, Error> {
        if one_factor(&data.terms) {
            let sizes = data.terms.iter().map(Term::effects).collect();
            return Ok(Algebra::OneFactor(Blocks::new(sizes, data.terms.first().map_or(0, |t| t.levels))));
        }
        let (pattern, of_row) = Pattern::new(&data.terms)?;
        let pattern = Arc::new(pattern);
        let plan = Plan::new(&pattern, Engine::Auto, Err("a linear mixed model is fitted exactly"))?;
        Ok(Algebra::Crossed(Box::new(Crossed { pattern, of_row, plan, solver: None })))
    }

    /// How crossed effects are solved for.
    pub fn plan(&self) -> Option<&Plan> {
        match self {
            Algebra::OneFactor(_) => None,
            Algebra::Crossed(crossed) => Some(&crossed.plan),
        }
    }

    /// Calls `act` with the effects.
    pub fn with<R>(&mut self, act: impl FnOnce(&mut dyn Linear) -> R) -> R {
        match self {
            Algebra::OneFactor(blocks) => act(blocks),
            Algebra::Crossed(crossed) => {
                let Crossed { pattern, plan, solver, .. } = crossed.as_mut();
                let ready = solver.take().unwrap_or_else(|| plan.solver());
                let mut cells = Cells { pattern, solver: ready, rows: () };
                let result = act(&mut cells);
                *solver = Some(cells.solver);
                result
            }
        }
    }

    /// Calls `act` with the sums over the rows of `data`.
    pub fn with_rows<R>(&mut self, data: &Data, act: impl FnOnce(&dyn RowSums) -> R) -> R {
        match self {
            Algebra::OneFactor(_) => act(&Grouped::new(data)),
            Algebra::Crossed(crossed) => {
                let Crossed { pattern, of_row, plan, solver } = crossed.as_mut();
                let ready = solver.take().unwrap_or_else(|| plan.solver());
                let cells = Cells { pattern, solver: ready, rows: Rows { data, of_row } };
                let result = act(&cells);
                *solver = Some(cells.solver);
                result
            }
        }
    }

    /// The moments with groups that share Z'Z brought together; the effects change accordingly.
    pub fn condense(&mut self, full: &Moments) -> Moments {
        match self {
            Algebra::OneFactor(blocks) => blocks.condense(full),
            Algebra::Crossed(_) => full.clone(),
        }
    }

    /// Calls `act` with new effects for the moments as they were summed, every level on its own.
    pub fn with_all_levels<R>(&self, act: impl FnOnce(&mut dyn Linear) -> R) -> R {
        match self {
            Algebra::OneFactor(blocks) => act(&mut blocks.all_levels()),
            Algebra::Crossed(c) => act(&mut Cells { pattern: &c.pattern, solver: c.plan.solver(), rows: () }),
        }
    }

    /// The part of a vector that belongs to term `t`, level by level.
    pub fn modes(&self, t: usize, b: &[f64]) -> Vec<f64> {
        match self {
            Algebra::OneFactor(blocks) => blocks.part(t, b),
            Algebra::Crossed(c) => b[c.pattern.term(t)].to_vec(),
        }
    }

    /// The diagonal blocks of a matrix that belong to term `t`, level by level.
    pub fn own_covariances(&self, t: usize, m: &[f64]) -> Vec<f64> {
        match self {
            Algebra::OneFactor(blocks) => blocks.own_blocks(t, m),
            Algebra::Crossed(c) => m[c.pattern.own_blocks(t)].to_vec(),
        }
    }
}

impl RowSums for Cells<'_, Rows<'_>> {
    fn vector_len(&self) -> usize {
        Effects::vector_len(self)
    }

    fn matrix_len(&self) -> usize {
        Effects::matrix_len(self)
    }

    fn sum(&self, row: &[f64], out: &mut [f64]) {
        Geometry::sum(self, 0, row, out);
    }

    fn sum_outer(&self, row: &[f64], out: &mut [f64]) {
        Geometry::sum_outer(self, 0, 0, row, out);
    }
}
