//! Which linear algebra a crossed model gets, by its predicted cost.

use std::sync::Arc;

use super::border::Border;
use super::dense::Dense;
use super::pattern::Pattern;
use super::solver::Solver;
use super::sparse::{Analysis, Sparse};
use crate::error::Error;

/// Multiplications of a sparse factorisation take this many times as long as those of a dense one.
const SPARSE_PRICE: f64 = 4.0;
/// Multiplications of a dense evaluation below which nothing else is worth an analysis.
const CHEAP: f64 = 3e8;
/// Largest order of a dense Schur complement.
const DENSE_ORDER: usize = 30_000;

/// Ways to compute with the random effects of crossed factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The cheapest that is exact, or an iterative one where that would take too long.
    Auto,
    Dense,
    Sparse,
}

/// What was chosen, with all that depends on the pattern alone.
pub enum Plan {
    Dense(Arc<Border>),
    Sparse(Arc<Analysis>),
}

impl Plan {
    pub fn new(pattern: &Pattern, engine: Engine) -> Result<Plan, Error> {
        if engine == Engine::Sparse {
            return Ok(Plan::Sparse(Arc::new(Analysis::new(pattern)?)));
        }
        let border = Border::new(pattern);
        if engine == Engine::Dense || dense_flops(&border) < CHEAP {
            return Plan::dense(border);
        }
        let analysis = Analysis::new(pattern)?;
        if border.rest_len > DENSE_ORDER || SPARSE_PRICE * analysis.symbolic.flops() < dense_flops(&border) {
            return Ok(Plan::Sparse(Arc::new(analysis)));
        }
        Plan::dense(border)
    }

    fn dense(border: Border) -> Result<Plan, Error> {
        if border.rest_len > DENSE_ORDER {
            let why = format!("engine 'dense' would need a matrix of order {}", border.rest_len);
            return Err(Error::Degenerate { why });
        }
        Ok(Plan::Dense(Arc::new(border)))
    }

    pub fn solver(&self) -> Box<dyn Solver> {
        match self {
            Plan::Dense(border) => Box::new(Dense::new(border.clone())),
            Plan::Sparse(analysis) => Box::new(Sparse::new(analysis.clone())),
        }
    }
}

/// Multiplications of one factorisation with its inverse: S, its Cholesky factor and inverse, C_12.
fn dense_flops(border: &Border) -> f64 {
    let n = border.rest_len as f64;
    let level = |g: usize| (border.entries(g).len() as f64).powi(2);
    n * n * n + border.q as f64 * 2.0 * (0..border.levels).map(level).sum::<f64>()
}
