//! Refits to many responses of the same rows: what a bootstrap needs, and no more.

use super::path::{self, Engine};
use super::{DECREMENT, INNER, Path, Problem, lmm};
use crate::error::Error;
use crate::integration::{Integration, Rule};
use crate::objective::{Evaluation, Objective, Units};
use crate::optim::{Curvature, Outcome, Reason, maximise};

/// One refit, in the user's units.
#[derive(Clone, Debug)]
pub struct Replicate {
    pub psi: Vec<f64>,
    pub loglik: f64,
    pub converged: bool,
    /// Joint covariance, row by row; NaN where a parameter is not told.
    pub covariance: Vec<f64>,
}

impl Problem {
    /// The maximum for other responses, from `start` (user's parameters). For one grouping factor integrated by
    /// quadrature with `nodes` nodes per random effect, fixed beforehand, without a certificate; other problems are fitted
    /// as ever.
    pub fn replicate(&mut self, y: &[f64], start: &[f64], nodes: usize) -> Result<Replicate, Error> {
        self.set_response(y)?;
        let quick = match self.path {
            Path::Lmm => self.quick_linear(start)?,
            Path::Block | Path::Glm if self.prior.is_none() && !self.draws() => self.quick_block(start, nodes)?,
            _ => None,
        };
        if let Some((outcome, last)) = quick {
            return Ok(self.replicated(&outcome, &last));
        }
        let fitted = self.fit(Some(start), &mut |_, _, _, _| true)?;
        Ok(Replicate {
            psi: fitted.psi,
            loglik: fitted.loglik,
            converged: fitted.verdict.converged,
            covariance: fitted.verdict.covariance,
        })
    }

    /// Whether a fit may go on to draws.
    fn draws(&self) -> bool {
        !matches!(self.integration, Integration::Laplace) && path::series(&self.data)
    }

    fn replicated(&self, outcome: &Outcome, last: &Evaluation) -> Replicate {
        let verdict = self.verdict(outcome, last);
        Replicate {
            psi: self.standard.to_user(&outcome.psi),
            loglik: last.value + self.unit_change(),
            converged: verdict.converged,
            covariance: verdict.covariance,
        }
    }

    fn quick_linear(&mut self, start: &[f64]) -> Result<Option<(Outcome, Evaluation)>, Error> {
        let psi = self.standard_parameters(start)?;
        let Engine::Lmm(lmm) = &mut self.engine else { return Ok(None) };
        let mut climb = lmm::Climb { lmm, terms: &self.data.terms };
        let (outcome, top) = climb.run(Some(&psi), &mut |_, _, _, _| true)?;
        Ok(Some((Outcome { psi: top.psi, ..outcome }, top.evaluation)))
    }

    /// None where the short way does not lead to the top.
    fn quick_block(&mut self, start: &[f64], nodes: usize) -> Result<Option<(Outcome, Evaluation)>, Error> {
        let psi = self.standard_parameters(start)?;
        if self.unit.is_none() {
            self.start();
        }
        let psi = self.lift(psi);
        self.objective().reset();
        if let Engine::Block(block) = &mut self.engine {
            block.forget_nodes();
        }
        if let Some(units) = self.engine.units_mut().filter(|_| nodes > 1 && !path::series(&self.data)) {
            let rule = Rule::Gauss(nodes);
            if units.choose(&psi, rule).is_err() {
                return Ok(None);
            }
        }
        let settings = self.settings(Curvature::Exact, DECREMENT, INNER);
        let mut objective = self.objective();
        let mut outcome = maximise(&mut objective, &psi, settings, &mut |_, _, _| true);
        if self.control.stopped() {
            return Err(Error::Interrupted);
        }
        if outcome.reason != Reason::Converged {
            return Ok(None);
        }
        match self.settle(&mut outcome, &mut |_, _, _, _| true) {
            Err(Error::Interrupted) => Err(Error::Interrupted),
            Ok(last) if outcome.decrement < DECREMENT => Ok(Some((outcome, last))),
            _ => Ok(None),
        }
    }
}
