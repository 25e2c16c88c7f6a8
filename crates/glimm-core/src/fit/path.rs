//! Which objective a model gets.

use super::{Options, lmm};
use crate::design::Data;
use crate::error::Error;
use crate::objective::block::Block;
use crate::objective::crossed::{self, Crossed, Restricted};
use crate::objective::lmm::Lmm;
use crate::objective::nested::Nested;
use crate::objective::{Objective, Units};

/// Effects of a structure in a group beyond which lanes are no place for it, unless they are a chain.
const MOST_IN_LANES: usize = 48;
/// Effects of a structure in a group beyond which its integral is not taken by products of nodes.
const MOST_IN_PRODUCTS: usize = 4;

/// How random effects are integrated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// No random effects.
    Glm,
    Block,
    Dense,
    Sparse,
    Iterative,
    /// In closed form: gaussian responses with the identity link.
    Lmm,
}

impl Path {
    pub fn of(engine: crossed::Engine) -> Path {
        match engine {
            crossed::Engine::Iterative => Path::Iterative,
            crossed::Engine::Dense => Path::Dense,
            crossed::Engine::Auto | crossed::Engine::Sparse => Path::Sparse,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Path::Glm => "glm",
            Path::Block => "block",
            Path::Dense => "dense",
            Path::Sparse => "sparse",
            Path::Iterative => "iterative",
            Path::Lmm => "lmm",
        }
    }
}

/// Whether all random effects share one grouping factor.
pub fn one_factor(data: &Data) -> bool {
    crate::design::one_factor(&data.terms)
}

/// Whether the integrand is gaussian in the random effects, so that Laplace's approximation is the integral itself.
pub fn linear(data: &Data) -> bool {
    data.family.affine() && data.terms.iter().all(|t| t.predictors.iter().all(|&k| k == 0))
}

/// Random effects of a level, all terms together.
fn effects(data: &Data) -> usize {
    data.terms.iter().map(|t| t.effects()).sum()
}

fn curved(data: &Data) -> bool {
    data.terms.iter().any(|t| t.structure.curved())
}

/// Whether groups are climbed by themselves, in lanes: chains of any length. Fields of hundreds of places are matrices
/// for other engines.
pub fn in_lanes(data: &Data) -> bool {
    one_factor(data) && (!curved(data) || effects(data) <= MOST_IN_LANES || Block::chains(data))
}

/// Whether a group has so many effects of a structure that products of nodes are out of reach, and draws near the
/// nearest Gaussian take their place.
pub fn series(data: &Data) -> bool {
    curved(data) && effects(data) > MOST_IN_PRODUCTS
}

/// Whether nothing is asked that the closed form does not know.
fn closed(options: &Options) -> bool {
    !options.laplace && options.penalty.is_none() && options.ties.is_empty()
}

/// The path of some data; of those for several factors, which only a plan tells apart, the sparse one.
pub fn natural(data: &Data, options: &Options) -> Result<Path, Error> {
    match options.engine {
        crossed::Engine::Auto if lmm::applies(data) && closed(options) => Ok(Path::Lmm),
        crossed::Engine::Auto if options.reml => Ok(Path::Sparse),
        crossed::Engine::Auto if data.terms.is_empty() => Ok(Path::Glm),
        crossed::Engine::Auto if in_lanes(data) => Ok(Path::Block),
        engine if data.terms.is_empty() => {
            Err(Error::Engine { name: engine.name(), why: "the model has no random effects".into() })
        }
        _ => Ok(Path::Sparse),
    }
}

/// The objective that is climbed.
pub enum Engine {
    Block(Box<Block>),
    Crossed(Box<Crossed>),
    /// Nested factors, while their integral is taken by quadrature.
    Nested(Box<Nested>),
    Restricted(Box<Restricted>),
    Lmm(Box<Lmm>),
}

impl Engine {
    pub fn objective(&mut self) -> &mut dyn Objective {
        match self {
            Engine::Block(b) => b.as_mut(),
            Engine::Crossed(s) => s.as_mut(),
            Engine::Nested(n) => n.as_mut(),
            Engine::Restricted(r) => r.as_mut(),
            Engine::Lmm(l) => l.as_mut(),
        }
    }

    /// Bytes of the factors of crossed effects, which are taken as a fit goes on.
    pub fn storage(&self) -> u64 {
        let plan = match self {
            Engine::Crossed(c) => Some(c.plan()),
            Engine::Restricted(r) => Some(r.plan()),
            Engine::Lmm(l) => l.plan(),
            Engine::Block(_) | Engine::Nested(_) => None,
        };
        plan.map_or(0, crossed::Plan::storage)
    }

    /// The engine as a sum over units, if it is one.
    pub fn units(&self) -> Option<&dyn Units> {
        match self {
            Engine::Block(block) => Some(block.as_ref()),
            Engine::Nested(nested) => Some(nested.as_ref()),
            _ => None,
        }
    }

    pub fn units_mut(&mut self) -> Option<&mut dyn Units> {
        match self {
            Engine::Block(block) => Some(block.as_mut()),
            Engine::Nested(nested) => Some(nested.as_mut()),
            _ => None,
        }
    }

    pub fn crossed(&mut self) -> Option<&mut Crossed> {
        match self {
            Engine::Crossed(c) => Some(c),
            _ => None,
        }
    }
}
