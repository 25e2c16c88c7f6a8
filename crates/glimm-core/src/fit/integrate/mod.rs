//! From Laplace's approximation to the integral itself, for random effects of one grouping factor.
//!
//! Small problems are integrated group by group, with nodes whose error is measured against a rule that cannot be
//! fooled. Large ones are climbed with a cheap rule, which the reference corrects and certifies on a sample of the groups.

mod check;
mod full;
mod sampled;

use super::path::Engine;
use super::{Observer, Problem};
use crate::error::Error;
use crate::integration::{Certificate, Integration, Rule};
use crate::objective::block::Block;
use crate::objective::{Evaluation, Quadrature, Reject};
use crate::optim::Outcome;

/// Row evaluations, in units of a cheap family's, up to which every group is integrated to the last digit.
const AFFORDABLE: f64 = 2e7;
/// Nodes per random effect that the reference rule takes.
const PANEL_NODES: f64 = 100.0;
/// Draws that it takes where there are too many effects for panels.
const DRAWS: f64 = 4000.0;
/// Error of the log-integral of a group that is negligible, by the number of its effects.
const NEGLIGIBLE: [f64; 3] = [1e-10, 1e-7, 1e-4];
/// The error at which nodes serve a climb that is far from its end, or a look at a place.
const COARSE: f64 = 1e-3;
/// How much coarser than the nodes the reference may be that they are held against.
const SLACK: f64 = 10.0;
/// Largest predicted bias, in standard errors, and error of the log-likelihood at which a Laplace maximum is a place to
/// climb on from.
const SANE_BIAS: f64 = 5.0;
const SANE_ERROR: f64 = 5.0;

/// A maximum with its certificate.
pub(super) struct Integrated {
    pub outcome: Outcome,
    pub last: Evaluation,
    pub certificate: Certificate,
}

impl Problem {
    /// Goes on from the maximum of Laplace's approximation, or from the start where that has none.
    pub(super) fn integrate(
        &mut self,
        laplace: Result<(Outcome, Evaluation), Error>,
        observe: Observer<'_>,
    ) -> Result<Integrated, Error> {
        match self.integration {
            Integration::Laplace => {
                let (outcome, last) = laplace?;
                let certificate = self.certify_laplace(&outcome, &last)?;
                Ok(Integrated { outcome, last, certificate })
            }
            Integration::Gauss(k) => self.by_rule(laplace, Rule::Gauss(k), observe),
            Integration::Exact => self.by_rule(laplace, Rule::Adaptive(self.negligible()), observe),
            Integration::Auto if self.reference_cost(self.data.n()) <= AFFORDABLE => {
                self.by_rule(laplace, Rule::Adaptive(self.negligible()), observe)
            }
            Integration::Auto => self.by_sample(laplace?, observe),
            Integration::Importance(_) => Err(Error::Unknown {
                what: "integration for one grouping factor",
                name: "importance".into(),
                allowed: ["auto", "laplace", "agq:k", "exact"].map(String::from).to_vec(),
            }),
        }
    }

    /// Nodes at `psi` by the rule that was asked for, before an evaluation there.
    pub(super) fn place_nodes(&mut self, psi: &[f64]) -> Result<(), Error> {
        let affordable = self.reference_cost(self.data.n()) <= AFFORDABLE;
        let rule = match self.integration {
            Integration::Gauss(k) => Some(Rule::Gauss(k)),
            Integration::Exact => Some(Rule::Adaptive(self.negligible())),
            Integration::Auto if affordable => Some(Rule::Adaptive(self.negligible())),
            _ => None,
        };
        match (self.block_mut(), rule) {
            (Some(block), Some(rule)) => block.choose(psi, rule).map(|_| ()).map_err(rejected),
            (Some(block), None) => {
                block.forget_nodes();
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }

    /// Random effects of a group.
    fn effects(&self) -> usize {
        self.data.terms.iter().map(|t| t.effects()).sum()
    }

    fn negligible(&self) -> f64 {
        NEGLIGIBLE[self.effects().clamp(1, NEGLIGIBLE.len()) - 1]
    }

    fn block(&self) -> Option<&Block> {
        match &self.engine {
            Engine::Block(block) => Some(block),
            _ => None,
        }
    }

    fn block_mut(&mut self) -> Option<&mut Block> {
        match &mut self.engine {
            Engine::Block(block) => Some(block),
            _ => None,
        }
    }

    /// Row evaluations of the reference rule over some rows, in units of a cheap family's.
    fn reference_cost(&self, rows: usize) -> f64 {
        let q = self.effects();
        let nodes = if q <= 2 { PANEL_NODES.powi(q as i32) } else { DRAWS };
        rows as f64 * nodes * self.data.family.price()
    }
}

fn rejected(reject: Reject) -> Error {
    match reject {
        Reject::Interrupted => Error::Interrupted,
        _ => Error::Degenerate { why: "the likelihood has no value where the search ended".into() },
    }
}
