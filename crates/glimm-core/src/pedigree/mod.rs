//! Relatives: who descends from whom, and the precision of what they inherit.
//!
//! A value that is handed down obeys, for each individual i with parents p(i),
//!
//! ```text
//! a_i = sum over its parents j of c_ij a_j + m_i,    m_i ~ N(0, D_i) independent
//! ```
//!
//! so that with T^-1 = I - C the precision is (I - C)' D^-1 (I - C): as sparse as the pedigree (`descent`). In a pedigree
//! both weights are 1/2 and D_i needs the inbreeding of the parents (`inbreeding`); in a phylogeny the one weight is 1 and D_i is the
//! length of the branch.

mod descent;
mod inbreeding;
mod order;
mod relatives;

pub use descent::{Descent, Lower};
pub use order::{Generations, sorted};

use crate::control::Control;
use crate::error::Error;

/// No parent known.
pub const UNKNOWN: u32 = u32::MAX;

/// Animals, parents before their offspring, with what they inherit.
#[derive(Clone, Debug)]
pub struct Pedigree {
    /// Sire and dam of each animal, `UNKNOWN` or smaller than the animal.
    pub parents: Vec<[u32; 2]>,
    /// The longest line of known ancestors.
    pub generation: Vec<u32>,
    /// Inbreeding F of each animal: A_ii = 1 + F_i.
    pub inbreeding: Vec<f64>,
    /// Mendelian variance D of each animal: what neither parent tells.
    pub mendelian: Vec<f64>,
}

impl Pedigree {
    /// From parents that precede their offspring; all animals of a generation at once.
    pub fn new(parents: Vec<[u32; 2]>, control: &Control) -> Result<Pedigree, Error> {
        if let Some(i) = (0..parents.len()).find(|&i| parents[i].iter().any(|&p| p != UNKNOWN && p as usize >= i)) {
            return Err(Error::Degenerate { why: format!("animal {i} of the pedigree precedes a parent") });
        }
        let generation = order::generations(&parents);
        let (inbreeding, mendelian) = inbreeding::inbreeding(&parents, &generation, control)?;
        Ok(Pedigree { parents, generation, inbreeding, mendelian })
    }

    pub fn len(&self) -> usize {
        self.parents.len()
    }

    pub fn is_empty(&self) -> bool {
        self.parents.is_empty()
    }

    /// Each animal as half of either parent and a Mendelian sample.
    pub fn descent(&self) -> Descent {
        let known = |p: u32| if p == UNKNOWN { 0.0 } else { 0.5 };
        let weights = self.parents.iter().map(|&[s, d]| [known(s), known(d)]).collect();
        Descent { parents: self.parents.clone(), weights, variance: self.mendelian.clone() }
    }
}
