//! Which objective a model gets.

use crate::objective::Objective;
use crate::objective::block::Block;
use crate::objective::crossed::{self, Crossed};

/// How random effects are integrated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// No random effects.
    Glm,
    Block,
    Dense,
    Sparse,
    Iterative,
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
        }
    }
}

/// The objective that is climbed.
pub enum Engine {
    Block(Box<Block>),
    Crossed(Box<Crossed>),
}

impl Engine {
    pub fn objective(&mut self) -> &mut dyn Objective {
        match self {
            Engine::Block(b) => b.as_mut(),
            Engine::Crossed(s) => s.as_mut(),
        }
    }

    pub fn crossed(&mut self) -> Option<&mut Crossed> {
        match self {
            Engine::Block(_) => None,
            Engine::Crossed(c) => Some(c),
        }
    }
}
