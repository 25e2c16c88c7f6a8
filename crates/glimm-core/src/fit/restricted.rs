//! Fits by restricted maximum likelihood: what is refused, and the coefficients after the climb in all other parameters.

use super::path::Engine;
use super::{Identified, Options, Problem};
use crate::design::Data;
use crate::error::Error;
use crate::integration::Integration;
use crate::objective::Evaluation;

/// Models whose coefficients cannot be integrated out.
pub fn refuse(data: &Data, options: &Options) -> Result<(), Error> {
    let why = match () {
        () if data.family.ordered() => "thresholds of ordered classes, which stand for an intercept, would not be",
        () if options.penalty.is_some() => "a penalty is a prior density of its own in place of the flat one",
        () if data.predictors[0].columns.is_empty() => "the mean has none",
        () if !matches!(options.integration, Integration::Auto | Integration::Laplace) => {
            "only by Laplace's approximation"
        }
        () => return Ok(()),
    };
    Err(Error::Degenerate {
        why: format!("restricted maximum likelihood (reml) integrates the coefficients of the mean out, but {why}"),
    })
}

/// Coefficients over which the integral has no value.
fn infinite() -> Error {
    Error::Degenerate {
        why: "the restricted likelihood (reml) has no value, as when a coefficient runs to infinity (separation) and \
              the integral over it too; maximum likelihood (reml=False) names the coefficient, penalty= keeps it finite"
            .into(),
    }
}

impl Problem {
    pub(super) fn restricted(&self) -> bool {
        match &self.engine {
            Engine::Lmm(l) => l.reml(),
            engine => matches!(engine, Engine::Restricted(_)),
        }
    }

    /// What the log-likelihood gains by the change to the user's units.
    pub(super) fn unit_change(&self) -> f64 {
        let integrated = if self.restricted() { self.layout.beta[0].clone() } else { 0..0 };
        let columns: f64 = integrated.map(|j| self.standard.unit(j).ln()).sum();
        columns - self.log_scale
    }

    /// The coefficients where they are best, and how they depend on the other parameters.
    pub(super) fn join(&self, psi: &mut [f64], last: &mut Evaluation) {
        if let Engine::Restricted(restricted) = &self.engine {
            psi[self.layout.beta[0].clone()].copy_from_slice(restricted.coefficients());
            last.hessian.iter_mut().for_each(|h| restricted.join(h));
        }
    }

    /// An integral over coefficients that run to infinity is infinite.
    pub(super) fn refuse_runaway(&self, identified: &[Identified]) -> Result<(), Error> {
        let integrated = &identified[self.layout.beta[0].clone()];
        let runaway = self.restricted() && integrated.contains(&Identified::Runaway);
        if runaway { Err(infinite()) } else { Ok(()) }
    }

    /// The climb found no value at a `place`.
    pub(super) fn no_value(&self, place: &str) -> Error {
        let why = format!("the likelihood has no value {place}");
        if self.restricted() { infinite() } else { Error::Degenerate { why } }
    }
}
