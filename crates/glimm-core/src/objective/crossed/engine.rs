//! Which linear algebra a crossed model gets, by its predicted cost.

use std::sync::Arc;

use super::border::Border;
use super::constrained::{Conditions, Constrained};
use super::dense::Dense;
use super::iterative::Iterative;
use super::pattern::Pattern;
use super::schur::Layout;
use super::solver::Solver;
use super::sparse::{Analysis, Sparse};
use crate::design::{Data, Term, one_factor};
use crate::error::Error;
use crate::linalg::sparse::Factor;

/// Multiplications of a sparse factorisation take this many times as long as those of a dense one.
const SPARSE_PRICE: f64 = 4.0;
/// Multiplications of a dense evaluation below which nothing else is worth an analysis.
const CHEAP: f64 = 3e8;
/// Multiplications of an exact evaluation beyond which an iterative one takes over.
const FEASIBLE: f64 = 3e10;
/// How far a first guess at a sparse factorisation may be above what is feasible before the second look is spared.
const SLACK: f64 = 4.0;
/// Largest order of a dense Schur complement.
const DENSE_ORDER: usize = 30_000;

/// Matrices of that order: the factor, the inverse, its derivative and a product.
const DENSE_MATRICES: u64 = 4;

/// Ways to compute with the random effects of crossed factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The cheapest that is exact, or an iterative one where that would take too long.
    Auto,
    Dense,
    Sparse,
    Iterative,
}

impl Engine {
    pub const ALL: [Engine; 4] = [Engine::Auto, Engine::Dense, Engine::Sparse, Engine::Iterative];

    pub fn lookup(name: &str) -> Result<Engine, Error> {
        let found = Engine::ALL.into_iter().find(|e| e.name() == name);
        found.ok_or_else(|| Error::Unknown {
            what: "engine",
            name: name.to_string(),
            allowed: Engine::ALL.iter().map(|e| e.name().to_string()).collect(),
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Engine::Auto => "auto",
            Engine::Dense => "dense",
            Engine::Sparse => "sparse",
            Engine::Iterative => "iterative",
        }
    }
}

/// What was chosen, with all that depends on the pattern alone.
pub enum Plan {
    Dense(Arc<Border>),
    /// With effects that must sum to zero.
    Sparse(Arc<Analysis>, Option<Arc<Conditions>>),
    Iterative(Arc<Layout>),
}

/// Whether the inverse can be had from draws: the reason if not.
pub fn can_draw(data: &Data) -> Result<(), &'static str> {
    match () {
        () if data.terms.iter().any(|t| t.structure.precision() == 0.0) => {
            Err("the coefficients are integrated out (reml)")
        }
        () if data.terms.iter().any(Term::tied) => {
            Err("levels of a term hang together by a known relation or by rows with several of them")
        }
        () if one_factor(&data.terms) => {
            Err("all random effects share one grouping factor, which is exact and quick without it")
        }
        () if data.random_predictors() > 1 => Err("random effects enter more than one linear predictor"),
        () if data.family.concordance().is_none() => {
            Err("the log density of this family and link is not known to be concave in the linear predictor")
        }
        () => Ok(()),
    }
}

impl Plan {
    pub fn new(pattern: &Arc<Pattern>, engine: Engine, can_draw: Result<(), &str>) -> Result<Plan, Error> {
        let refuse = |why: String| Err(Error::Engine { name: engine.name(), why });
        match (engine, can_draw) {
            (Engine::Sparse, _) => Plan::sparse(pattern),
            (Engine::Dense, _) if pattern.all_tied() => refuse("no grouping factor has independent levels".into()),
            (Engine::Dense, _) if Conditions::new(pattern).is_some() => refuse("effects must sum to zero".into()),
            (Engine::Dense, _) => match Border::new(pattern) {
                border if border.rest_len > DENSE_ORDER => {
                    let n = border.rest_len;
                    refuse(format!("it would need a matrix of order {n}; the largest it takes is {DENSE_ORDER}"))
                }
                border => Ok(Plan::Dense(Arc::new(border))),
            },
            (Engine::Iterative, Err(why)) => refuse(why.to_string()),
            (Engine::Iterative, Ok(())) => Ok(Plan::iterative(Border::new(pattern), pattern)),
            (Engine::Auto, can_draw) => Plan::cheapest(pattern, can_draw.is_ok()),
        }
    }

    /// Exact where that is feasible, by the cheaper way.
    fn cheapest(pattern: &Arc<Pattern>, can_draw: bool) -> Result<Plan, Error> {
        if pattern.all_tied() || Conditions::new(pattern).is_some() {
            return Plan::sparse(pattern);
        }
        let border = Border::new(pattern);
        let dense = dense_cost(&border);
        if dense < CHEAP {
            return Ok(Plan::Dense(Arc::new(border)));
        }
        let most = if can_draw && dense > FEASIBLE { SLACK * FEASIBLE / SPARSE_PRICE } else { f64::INFINITY };
        let Some(analysis) = Analysis::within(pattern, most)? else { return Ok(Plan::iterative(border, pattern)) };
        let sparse = SPARSE_PRICE * analysis.symbolic.flops();
        if can_draw && sparse.min(dense) > FEASIBLE {
            return Ok(Plan::iterative(border, pattern));
        }
        if border.rest_len > DENSE_ORDER || sparse < dense {
            return Ok(Plan::Sparse(Arc::new(analysis), None));
        }
        Ok(Plan::Dense(Arc::new(border)))
    }

    fn sparse(pattern: &Arc<Pattern>) -> Result<Plan, Error> {
        let too_large = || Error::Degenerate { why: "the factor of this model's matrix is too large".into() };
        let analysis = Analysis::within(pattern, f64::INFINITY)?.ok_or_else(too_large)?;
        Ok(Plan::Sparse(Arc::new(analysis), Conditions::new(pattern)))
    }

    fn iterative(border: Border, pattern: &Arc<Pattern>) -> Plan {
        Plan::Iterative(Arc::new(Layout::new(border, pattern.clone())))
    }

    pub fn solver(&self) -> Box<dyn Solver> {
        match self {
            Plan::Dense(border) => Box::new(Dense::new(border.clone())),
            Plan::Sparse(analysis, conditions) => {
                let plain = Sparse::new(analysis.clone());
                match conditions {
                    Some(conditions) => Box::new(Constrained::new(plain, conditions.clone())),
                    None => Box::new(plain),
                }
            }
            Plan::Iterative(layout) => Box::new(Iterative::new(layout.clone())),
        }
    }

    /// Multiplications, about, of one factorisation with its inverse, in those of a dense one.
    pub fn multiplications(&self) -> f64 {
        match self {
            Plan::Dense(border) => dense_cost(border),
            Plan::Sparse(analysis, _) => SPARSE_PRICE * analysis.symbolic.flops(),
            Plan::Iterative(_) => f64::INFINITY,
        }
    }

    /// Bytes of the factor of H, of its inverse and of the inverse's derivative.
    pub fn storage(&self) -> u64 {
        match self {
            Plan::Dense(border) => DENSE_MATRICES * (border.rest_len as u64).pow(2) * size_of::<f64>() as u64,
            Plan::Sparse(analysis, _) => Factor::bytes(&analysis.symbolic),
            Plan::Iterative(_) => 0,
        }
    }

    pub fn engine(&self) -> Engine {
        match self {
            Plan::Dense(_) => Engine::Dense,
            Plan::Sparse(..) => Engine::Sparse,
            Plan::Iterative(_) => Engine::Iterative,
        }
    }
}

/// Multiplications of one factorisation with its inverse: S, its Cholesky factor and inverse, C_12.
fn dense_cost(border: &Border) -> f64 {
    let n = border.rest_len as f64;
    n * n * n + 2.0 * border.q as f64 * pairs(border)
}

/// Pairs of rest effects that meet at some level of the largest factor, with repetitions.
fn pairs(border: &Border) -> f64 {
    (0..border.levels).map(|g| (border.entries(g).len() as f64).powi(2)).sum()
}
