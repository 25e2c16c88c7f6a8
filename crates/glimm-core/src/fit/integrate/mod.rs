//! From Laplace's approximation to the integral itself, for random effects of one grouping factor.
//!
//! Small problems are integrated group by group, with nodes whose error is measured against a rule that cannot be
//! fooled. Large ones are climbed with a cheap rule, which the reference corrects and certifies on a sample of the groups.

mod check;
mod full;
mod sampled;

use super::path::{self, Engine};
use super::refusals::refuse_quadrature;
use super::{Fitted, Identified, Observer, Problem};
use crate::error::Error;
use crate::integration::{Certificate, Integration, Rule};
use crate::objective::nested::Nested;
use crate::objective::{Evaluation, Objective, Reject, Units};
use crate::optim::Outcome;

/// Row evaluations, in units of a cheap family's, up to which every group is integrated to the last digit.
const AFFORDABLE: f64 = 2e7;
/// Units up to which that is done.
const MOST_UNITS: usize = 5_000;
/// The same for a look at the error of a fit that is not to be moved.
const LOOK: f64 = 2e6;
/// Nodes per random effect that the reference rule takes.
const PANEL_NODES: f64 = 100.0;
/// Draws that it takes where there are too many effects for panels.
const DRAWS: f64 = 4000.0;
/// Nodes that the reference of nested factors takes, all levels together, and the error of all its log-integrals.
const NESTED_NODES: f64 = 500.0;
const NESTED_ERROR: f64 = 2e-3;
/// Error of the log-integral of a group that is negligible, by the number of its effects.
const NEGLIGIBLE: [f64; 3] = [1e-10, 1e-7, 1e-6];
/// The error at which nodes serve a climb that is far from its end, or a look at a place.
const COARSE: f64 = 1e-5;
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
    /// Parameters in which Laplace's approximation was flat at its maximum, away from zero variances: so is the likelihood,
    /// but nodes know that up to their error only.
    pub flat: Vec<usize>,
}

impl Problem {
    /// Goes on from the maximum of Laplace's approximation, or from the start where that has none.
    pub(super) fn integrate(
        &mut self,
        laplace: Result<(Outcome, Evaluation), Error>,
        observe: Observer<'_>,
    ) -> Result<Integrated, Error> {
        let stays = matches!(self.integration, Integration::Laplace | Integration::Gauss(1));
        let known = laplace.as_ref().map_or_else(|_| Vec::new(), |(o, last)| self.verdict(o, last).identified);
        match laplace {
            // Where a coefficient runs to infinity no other integral brings it back.
            Ok((outcome, last)) if stays || known.contains(&Identified::Runaway) => {
                let certificate = self.certify_laplace(&outcome, &last)?;
                Ok(Integrated { outcome, last, certificate, flat: Vec::new() })
            }
            Err(error) if stays => Err(error),
            laplace => {
                let before = laplace.as_ref().map_or_else(|_| Vec::new(), |(o, _)| o.psi.clone());
                let mut found = self.integrate_on(laplace, observe)?;
                let free = |j: &usize| before[*j] != 0.0 && found.outcome.psi[*j] != 0.0;
                found.flat = (0..known.len()).filter(|&j| known[j] == Identified::No).filter(free).collect();
                Ok(found)
            }
        }
    }

    fn integrate_on(
        &mut self,
        laplace: Result<(Outcome, Evaluation), Error>,
        observe: Observer<'_>,
    ) -> Result<Integrated, Error> {
        match (self.rule(), self.integration) {
            (Some(rule), _) => self.by_rule(laplace, rule, observe),
            (None, Integration::Auto) => self.by_sample(laplace?, observe),
            (None, _) => Err(Error::Unknown {
                what: "integration for one grouping factor",
                name: if self.integration == Integration::Propagation { "ep" } else { "importance" }.into(),
                allowed: ["auto", "laplace", "agq:k", "exact"].map(String::from).to_vec(),
            }),
        }
    }

    /// The rule for all units that was asked for, if it is one.
    pub(super) fn rule(&self) -> Option<Rule> {
        match self.integration {
            _ if path::series(&self.data) => None,
            Integration::Gauss(k) => Some(Rule::Gauss(k)),
            Integration::Exact => Some(Rule::Adaptive(self.negligible())),
            Integration::Auto if self.each_unit_affordable() => Some(Rule::Adaptive(self.negligible())),
            _ => None,
        }
    }

    /// Nodes at `psi` by the rule that was asked for, before an evaluation there.
    pub(super) fn place_nodes(&mut self, psi: &[f64]) -> Result<(), Error> {
        let rule = self.rule();
        match (self.engine.units_mut(), rule) {
            (Some(units), Some(rule)) => units.choose(psi, rule).map(|_| ()).map_err(rejected),
            (Some(units), None) => {
                units.forget_nodes();
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }

    /// Whether the fit takes the integral of a sample of the units only.
    pub(super) fn samples(&self) -> bool {
        self.rule().is_none() && matches!(self.integration, Integration::Auto) && !path::series(&self.data)
    }

    fn each_unit_affordable(&self) -> bool {
        self.reference_cost(self.data.n()) <= AFFORDABLE
            && self.engine.units().is_some_and(|all| all.units() <= MOST_UNITS)
    }

    /// Random effects of a group.
    fn effects(&self) -> usize {
        self.data.terms.iter().map(|t| t.effects()).sum()
    }

    fn negligible(&self) -> f64 {
        if let Engine::Nested(nested) = &self.engine {
            return (NESTED_ERROR / nested.units() as f64).clamp(NEGLIGIBLE[1], COARSE);
        }
        NEGLIGIBLE[self.effects().clamp(1, NEGLIGIBLE.len()) - 1]
    }

    /// Products of rules over the many effects of a series are out of reach.
    pub(super) fn refuse_products(&self) -> Result<(), Error> {
        let asked = matches!(self.integration, Integration::Gauss(2..) | Integration::Exact);
        if asked && path::series(&self.data) { Err(refuse_quadrature()) } else { Ok(()) }
    }

    /// Whether the factors are nested and quadrature of them is wanted and can be afforded; refuses wishes that cannot be met.
    pub(super) fn nested(&self) -> Result<Option<Nested>, Error> {
        let affordable = NESTED_NODES * self.data.n() as f64 * self.data.family.price() <= AFFORDABLE;
        let (tried, asked) = match self.integration {
            Integration::Gauss(k) => (k > 1, k > 1),
            Integration::Exact => (true, true),
            Integration::Auto => (affordable, false),
            Integration::Laplace | Integration::Importance(_) | Integration::Propagation => (false, false),
        };
        // Products of rules over the many effects of a series are out of reach.
        let few = !self.data.terms.iter().any(|t| t.structure.curved());
        let found = if tried && few && !self.restricted() { Nested::new(&self.data) } else { None };
        match found {
            None if asked => Err(refuse_quadrature()),
            found => Ok(found.filter(|nested| asked || nested.units() <= MOST_UNITS)),
        }
    }

    /// As [`Problem::integrate`], by the units of nested factors.
    pub(super) fn integrate_nested(
        &mut self,
        mut nested: Nested,
        laplace: Result<(Outcome, Evaluation), Error>,
        before: f64,
        observe: Observer<'_>,
    ) -> Result<Fitted, Error> {
        nested.set_control(&self.control);
        let crossed = std::mem::replace(&mut self.engine, Engine::Nested(Box::new(nested)));
        let found = self.integrate(laplace, observe);
        let fitted = found.and_then(|found| self.finish_integrated(found, before));
        self.engine = crossed;
        fitted
    }

    pub(super) fn finish_integrated(&mut self, found: Integrated, before: f64) -> Result<Fitted, Error> {
        let mut fitted = self.finish(found.outcome, found.last, before)?;
        found.flat.iter().for_each(|&j| fitted.verdict.forget(j));
        Ok(Fitted { certificate: found.certificate, ..fitted })
    }

    /// Row evaluations of the reference rule over some rows, in units of a cheap family's.
    fn reference_cost(&self, rows: usize) -> f64 {
        let nodes = match (&self.engine, self.effects()) {
            (Engine::Nested(_), _) => NESTED_NODES,
            (_, q @ 0..=2) => PANEL_NODES.powi(q as i32),
            _ => DRAWS,
        };
        rows as f64 * nodes * self.data.family.price()
    }
}

fn rejected(reject: Reject) -> Error {
    match reject {
        Reject::Interrupted => Error::Interrupted,
        _ => Error::Degenerate { why: "the likelihood has no value where the search ended".into() },
    }
}
