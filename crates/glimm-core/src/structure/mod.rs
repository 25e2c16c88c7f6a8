//! Covariance structures of random effects: b = Lambda u with u ~ N(0, I).
//!
//! A structure is one file in this folder and one row in [`lookup`]. It writes the lower-triangular
//! factor Lambda (q x q, row by row) of one level from its parameters. Parameters are raw, not logs,
//! so that a variance of zero and a correlation of one are ordinary interior points.

mod ar1;
mod cs;
mod diag;
mod dual;
mod field;
mod flat;
mod homdiag;
mod ou;
mod rr;
mod scaled;
mod toep;
mod us;

use ar1::Autoregression;
use cs::CompoundSymmetry;
pub use diag::Diag;
pub use dual::Dual;
use field::{Field, Kernel};
pub use flat::Flat;
use homdiag::Independent;
use ou::OrnsteinUhlenbeck;
use rr::ReducedRank;
use scaled::Scaled;
use toep::Toeplitz;
pub use us::Us;

use std::ops::Range;
use std::sync::Arc;

/// One step of effects that are a Markov chain: s_t = carry s_(t-1) + fresh u_t and b_t = scale s_t, with s_(-1) = 0.
#[derive(Clone, Copy, Debug)]
pub struct Step<T> {
    pub carry: T,
    pub fresh: T,
    pub scale: T,
}

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

    /// Whether second derivatives are not all zero.
    fn curved(&self) -> bool {
        false
    }

    /// The effects as a Markov chain, with derivatives along parameters `i` and `j`; `None` where they are none.
    fn steps(&self, _theta: &[f64], _i: usize, _j: usize) -> Option<Vec<Step<Dual>>> {
        None
    }

    /// Correlations of effects at other points with those of the structure, point by point, with their derivatives along
    /// parameter `j`; `None` where effects have no points.
    fn between(&self, _theta: &[f64], _j: usize, _points: &[f64]) -> Option<Vec<Dual>> {
        None
    }

    /// Whether each effect may have units of its own: D Lambda has this structure for every diagonal D, not only for
    /// multiples of the identity.
    fn own_units(&self) -> bool {
        true
    }

    /// Whether M Lambda has this structure for every lower-triangular M, not only for diagonal ones.
    fn mixes(&self) -> bool;

    /// Changes `theta` so that Lambda becomes M Lambda: effects in other units.
    fn transform(&self, theta: &mut [f64], m: &[f64]);

    /// Lambda is a form of this degree in the parameters that units change.
    fn degree(&self) -> f64 {
        1.0
    }

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

/// A structure by its number of effects and the constants behind its name, `None` where they do not fit.
type Maker = fn(usize, &[f64]) -> Option<Arc<dyn Structure>>;

/// All structures that a model may name; `lookup` and the documentation read this table.
pub const REGISTRY: &[(&str, Maker)] = &[
    ("ar1", |q, _| some(Scaled::common(Autoregression { name: "ar1", q }))),
    ("cs", |q, _| (q > 1).then_some(()).and_then(|()| some(Scaled::each(CompoundSymmetry { name: "cs", q })))),
    ("diag", |q, _| some(Diag::new(q))),
    ("exp", |q, places| some(Scaled::common(Field::new("exp", Kernel::Matern(1), q, places)?))),
    ("gau", |q, places| some(Scaled::common(Field::new("gau", Kernel::Gaussian, q, places)?))),
    ("hetar1", |q, _| some(Scaled::each(Autoregression { name: "hetar1", q }))),
    ("homcs", |q, _| (q > 1).then_some(()).and_then(|()| some(Scaled::common(CompoundSymmetry { name: "homcs", q })))),
    ("homdiag", |q, _| some(Scaled::common(Independent { q }))),
    ("homtoep", |q, _| some(Scaled::common(Toeplitz { name: "homtoep", q }))),
    ("mat", |q, constants| {
        // Smoothness first, then as for the others.
        let (&nu, places) = constants.split_first()?;
        some(Scaled::common(Field::new("mat", Kernel::matern(nu)?, q, places)?))
    }),
    ("ou", |q, times| {
        let found = OrnsteinUhlenbeck::new(times).filter(|_| times.len() == q)?;
        some(Scaled::common(found))
    }),
    ("rr", |q, constants| some(ReducedRank::new(q, constants.first().map_or(2, |&d| d as usize))?)),
    ("toep", |q, _| some(Scaled::each(Toeplitz { name: "toep", q }))),
    ("us", |q, _| some(Us::new(q))),
];

fn some(structure: impl Structure + 'static) -> Option<Arc<dyn Structure>> {
    Some(Arc::new(structure))
}

/// The structure of a name such as `us`, `rr(2)` or `ou(0,0.5,2)`: constants stand in brackets behind it.
pub fn lookup(text: &str, effects: usize) -> Option<Arc<dyn Structure>> {
    let (name, constants) = match text.split_once('(') {
        Some((name, rest)) => {
            (name, rest.strip_suffix(')')?.split(',').map(str::parse).collect::<Result<_, _>>().ok()?)
        }
        None => (text, Vec::new()),
    };
    let (_, make) = REGISTRY.iter().find(|(known, _)| *known == name)?;
    make(effects, &constants)
}
