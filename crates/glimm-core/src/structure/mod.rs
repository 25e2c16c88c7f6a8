//! Covariance structures of random effects: b = Lambda u with u ~ N(0, I).
//!
//! A structure is one file in this folder and one row in [`lookup`]. It writes the lower-triangular
//! factor Lambda (q x q, row by row) of one level from its parameters. Parameters are raw, not logs,
//! so that a variance of zero and a correlation of one are ordinary interior points.

mod diag;
mod flat;
mod us;

pub use diag::Diag;
pub use flat::Flat;
pub use us::Us;

use std::ops::Range;
use std::sync::Arc;

pub trait Structure: Send + Sync {
    fn name(&self) -> &'static str;

    /// Effects per level, q.
    fn effects(&self) -> usize;

    /// Number of parameters.
    fn parameters(&self) -> usize;

    /// Prior precision of the spherical effects u: 1, or 0 where the prior is flat.
    fn precision(&self) -> f64 {
        1.0
    }

    /// Parameters of independent effects with standard deviation `sd` each.
    fn start(&self, sd: f64) -> Vec<f64>;

    /// Writes Lambda, row by row.
    fn factor(&self, theta: &[f64], lambda: &mut [f64]);

    /// Writes the derivative of Lambda with respect to parameter `j`.
    fn derivative(&self, theta: &[f64], j: usize, out: &mut [f64]);

    /// Writes the second derivative with respect to parameters `i` and `j`; false when it is zero.
    fn second_derivative(&self, _theta: &[f64], _i: usize, _j: usize, _out: &mut [f64]) -> bool {
        false
    }

    /// Whether M Lambda has this structure for every lower-triangular M, not only for diagonal ones.
    fn mixes(&self) -> bool;

    /// Changes `theta` so that Lambda becomes M Lambda: effects in other units.
    fn transform(&self, theta: &mut [f64], m: &[f64]);

    /// Sets effects with a standard deviation below `least` to exactly zero; true when there were any.
    fn drop_small(&self, theta: &mut [f64], least: f64) -> bool;

    /// Raises Lambda's diagonal to at least `least` in size. Where it is zero the likelihood is flat in
    /// it by symmetry, so that no climb should start there.
    fn raise(&self, theta: &mut [f64], least: f64);

    /// Parameters on the diagonal of Lambda.
    fn diagonal(&self) -> Vec<usize>;

    /// Parameters of the rows of Lambda that have more than one.
    fn rows(&self) -> Vec<Range<usize>> {
        Vec::new()
    }

    /// The same covariance with a non-negative diagonal of Lambda; true when signs changed.
    fn orient(&self, theta: &mut [f64]) -> bool;
}

/// All structures that a model may name; `lookup` and the documentation read this table.
type Maker = fn(usize) -> Arc<dyn Structure>;
pub const REGISTRY: &[(&str, Maker)] = &[("diag", |q| Arc::new(Diag::new(q))), ("us", |q| Arc::new(Us::new(q)))];

pub fn lookup(name: &str, effects: usize) -> Option<Arc<dyn Structure>> {
    REGISTRY.iter().find(|(n, _)| *n == name).map(|(_, make)| make(effects))
}
