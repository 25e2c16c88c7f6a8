//! Marginal log-likelihoods: what an optimiser climbs.

pub mod block;
mod chain;
pub mod corrected;
pub mod crossed;
pub mod geometry;
mod laplace;
pub mod lmm;
pub mod nested;
pub mod penalty;
mod tangent;

pub(crate) use crate::linalg::sums;
pub use crate::linalg::sums::dot;

use std::sync::Arc;

use crate::control::Control;
use crate::integration::{Nodes, Rule};

/// How much of an objective is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    Gradient,
    /// The gradient, and the information of [`Objective::information`].
    Information,
    Hessian,
}

/// An objective at one point.
#[derive(Clone, Debug)]
pub struct Evaluation {
    pub value: f64,
    pub gradient: Vec<f64>,
    /// Second derivatives, row by row; present when asked for.
    pub hessian: Option<Vec<f64>>,
}

impl Evaluation {
    pub fn is_finite(&self) -> bool {
        let rest = self.gradient.iter().chain(self.hessian.iter().flatten());
        self.value.is_finite() && rest.into_iter().all(|x| x.is_finite())
    }
}

/// Why a point has no value. The optimiser shortens its step; a fit never returns such a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// The integrand has no mode that Newton's method can reach, or it overflows.
    NoMode,
    /// The curvature at the mode is not positive definite.
    NotPositiveDefinite,
    /// The user asked to stop.
    Interrupted,
}

/// An engine's look, once for every chunk of rows or step of a search, whether it should end.
fn proceed(control: &Control) -> Result<(), Reject> {
    if control.stopped() { Err(Reject::Interrupted) } else { Ok(()) }
}

/// Modes of the random effects and their conditional covariance, by term.
pub struct Posterior {
    /// Modes b of one term: levels x effects, row by row.
    pub modes: Vec<Vec<f64>>,
    /// Conditional covariances of one term given the parameters: levels x effects x effects.
    pub covariances: Vec<Vec<f64>>,
}

/// An objective whose integral can be refined.
pub trait Quadrature: Objective {
    /// Chooses the nodes of every unit at `psi` by `rule`. They keep their places relative to the mode and the scale of
    /// each unit, so that the objective stays smooth, until they are chosen again.
    fn choose(&mut self, psi: &[f64], rule: Rule) -> Result<Nodes, Reject>;
}

/// One that is a sum over units, which can be looked at by themselves.
pub trait Units: Quadrature + Send + Sync {
    /// Number of units.
    fn units(&self) -> usize;

    /// A problem of some of the units.
    fn of_units(&self, units: &[usize]) -> Box<dyn Units>;

    /// The part of the value that depends on the responses alone.
    fn log_constant(&self) -> f64;

    /// Laplace's approximation at `psi`, whatever nodes there are; NaN where it has no value.
    fn laplace_value(&mut self, psi: &[f64]) -> f64;

    /// Value and gradient by the reference that the nodes were held against when they were chosen, with the error that it
    /// stated of itself, once, if it was kept.
    fn by_reference(&mut self, _psi: &[f64]) -> Option<Result<(Evaluation, f64), Reject>> {
        None
    }

    /// Back to Laplace's approximation.
    fn forget_nodes(&mut self);

    /// All methods of an objective.
    fn as_objective(&mut self) -> &mut dyn Objective;
}

/// A log-likelihood with exact derivatives. It keeps the modes of the last accepted point as the
/// start of the next search.
pub trait Objective {
    /// The objective at `psi`. Modes are found to the square of their Newton decrement `tolerance`.
    fn evaluate(&mut self, psi: &[f64], order: Order, tolerance: f64) -> Result<Evaluation, Reject>;

    /// Makes the modes of the last successful evaluation the start of the next.
    fn accept(&mut self);

    /// A cheap positive definite stand-in for the negative Hessian at the last evaluated point, if it was asked for.
    fn information(&mut self) -> Option<Vec<f64>>;

    /// Forgets the modes, as after a change of signs in the factors.
    fn reset(&mut self);

    /// Whom to ask, often, whether to stop; an objective that is never long need not.
    fn set_control(&mut self, _control: &Arc<Control>) {}

    /// Row evaluations so far, in passes over all rows.
    fn passes(&self) -> f64;

    /// Modes and conditional covariances at the last evaluated point.
    fn posterior(&self) -> Posterior;
}
