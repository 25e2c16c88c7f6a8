//! What Laplace's approximation gets wrong with crossed and nested effects: measured by importance sampling, and
//! put right; by expectation propagation where the draws would be too many.

mod measure;
mod propagation;
mod study;

use self::measure::Measure;
use self::study::{PILOT, Study};
use super::path::Engine;
use super::refusals::{refuse_draws, refuse_propagation};
use super::{CONVERGED, Fitted, INNER_LAST, Observer, Problem, inference};
use crate::design::Term;
use crate::error::Error;
use crate::integration::{Certificate, Integration};
use crate::objective::crossed::importance::Importance;
use crate::objective::{Evaluation, Objective, Order};
use crate::optim::{Outcome, Reason};

/// Row evaluations that "auto" spends at most, and "laplace" for no more than a look.
const LIMIT: f64 = 1e8;
const LIMIT_OF_LOOK: f64 = 2e6;

/// Multiplications of a product of all levels' matrices that "auto" takes in rounds, and "laplace" for a look: cubes of
/// the effects of a level, which chains of any length do without.
const LIMIT_OF_CUBES: f64 = 3e8;
const LIMIT_OF_CUBES_OF_LOOK: f64 = 1e8;

/// The verdict on the integral, and the covariance of the estimates by chance where they were moved.
struct Judgement {
    certificate: Certificate,
    chance: Option<Vec<f64>>,
    passes: f64,
}

impl Judgement {
    fn unchecked() -> Judgement {
        let unknown = Certificate { loglik_error: f64::NAN, laplace_error: f64::NAN, ..Certificate::default() };
        Judgement { certificate: Certificate { method: "laplace", ..unknown }, chance: None, passes: 0.0 }
    }

    /// No effect varies.
    fn exact() -> Judgement {
        Judgement { certificate: Certificate { method: "none", ..Certificate::default() }, chance: None, passes: 0.0 }
    }

    /// The fit stays as it was, with what the first look says if it is to be believed.
    fn kept(study: &Study, first: &Measure, believed: bool) -> Judgement {
        let certificate = match believed && first.trusted() {
            true => study.certificate(first, study.error(first)),
            false => Certificate { effective_size: Some(first.effective), ..Judgement::unchecked().certificate },
        };
        Judgement { certificate, chance: None, passes: study.importance.passes() }
    }
}

/// Whether Laplace's approximation has a maximum from which to go on.
fn settled(outcome: &Outcome) -> bool {
    outcome.decrement < CONVERGED && !matches!(outcome.reason, Reason::Saddle | Reason::Runaway)
}

impl Problem {
    /// Ends a fit of crossed or nested effects. Where Laplace's approximation matters the estimates move to the maximum
    /// of the true likelihood, found by as many draws as that takes; their covariance is then that of its Hessian, by
    /// differences of the gradient, plus what chance adds.
    pub(super) fn finish_crossed(
        &mut self,
        mut outcome: Outcome,
        mut last: Evaluation,
        before: f64,
        observe: Observer<'_>,
    ) -> Result<Fitted, Error> {
        let judgement = self.judge(&mut outcome, &mut last, observe)?;
        let mut fitted = self.finish(outcome, last, before)?;
        fitted.certificate = judgement.certificate;
        fitted.passes += judgement.passes;
        if let Some(chance) = judgement.chance {
            fitted.verdict.covariance.iter_mut().zip(chance).for_each(|(c, by_chance)| *c += by_chance);
        }
        Ok(fitted)
    }

    /// Looks at the error and moves the fit to where it belongs.
    fn judge(
        &mut self,
        outcome: &mut Outcome,
        last: &mut Evaluation,
        observe: Observer<'_>,
    ) -> Result<Judgement, Error> {
        let asked = self.integration == Integration::Propagation;
        if self.too_long() {
            return Ok(Judgement::unchecked());
        }
        if !asked {
            let found = self.judge_by_draws(outcome, last, observe)?;
            if !found.certificate.loglik_error.is_nan() || matches!(self.integration, Integration::Importance(_)) {
                return Ok(found);
            }
        }
        match self.judge_by_propagation(outcome, last, observe)? {
            None if asked => Err(refuse_propagation()),
            found => Ok(found.unwrap_or_else(Judgement::unchecked)),
        }
    }

    /// Whether series are so long that draws and sites, which know nothing of chains, would take many times the fit.
    fn too_long(&self) -> bool {
        let limit = match self.integration {
            Integration::Auto => LIMIT_OF_CUBES,
            Integration::Laplace => LIMIT_OF_CUBES_OF_LOOK,
            _ => f64::INFINITY,
        };
        let cubes = self.data.terms.iter().map(|t| t.levels as f64 * (t.effects() as f64).powi(3)).sum::<f64>();
        matches!(self.engine, Engine::Block(_)) && cubes > limit
    }

    fn judge_by_draws(
        &mut self,
        outcome: &mut Outcome,
        last: &mut Evaluation,
        observe: Observer<'_>,
    ) -> Result<Judgement, Error> {
        let limit = match self.integration {
            Integration::Importance(_) => f64::INFINITY,
            Integration::Auto => LIMIT,
            _ => LIMIT_OF_LOOK,
        };
        let tied = self.data.terms.iter().any(Term::tied);
        if tied && matches!(self.integration, Integration::Importance(_)) {
            return Err(refuse_draws());
        }
        if tied || !settled(outcome) || (self.data.n() * PILOT) as f64 > limit {
            return Ok(Judgement::unchecked());
        }
        let mut study = Study::new(self.importance(&outcome.psi)?, last, limit);
        if study.importance.units() == 0 {
            return Ok(Judgement::exact());
        }
        if !study.affordable() {
            return Ok(Judgement::unchecked());
        }
        let Some(first) = study.look(self, &outcome.psi, PILOT, Order::Gradient)? else {
            return Ok(Judgement::unchecked());
        };
        let stays = match self.integration {
            Integration::Importance(_) => false,
            Integration::Auto => first.negligible(study.error(&first)),
            _ => true,
        };
        if stays {
            return Ok(Judgement::kept(&study, &first, true));
        }
        match study.climb(self, &outcome.psi, &first, observe)? {
            None => Ok(Judgement::kept(&study, &first, true)),
            Some((_, found)) if !found.trusted() => Ok(Judgement::kept(&study, &first, false)),
            Some((_, found)) if first.blurred_by(&found) => Ok(Judgement::kept(&study, &first, true)),
            // The work ran out on the way.
            Some((_, found)) if inference::decrement(&found.evaluation) >= CONVERGED => {
                Ok(Judgement::kept(&study, &first, true))
            }
            Some((psi, found)) => self.take(&study, psi, found, outcome, last),
        }
    }

    fn importance(&self, psi: &[f64]) -> Result<Importance, Error> {
        match &self.engine {
            Engine::Crossed(c) => Importance::new(c, psi),
            Engine::Block(block) => Importance::of(&block.data(), &self.layout, &self.control, psi),
            _ => Err(Error::Degenerate { why: "importance sampling is for crossed and nested effects".into() }),
        }
    }

    /// Moves the fit to `psi`.
    fn take(
        &mut self,
        study: &Study,
        psi: Vec<f64>,
        found: Measure,
        outcome: &mut Outcome,
        last: &mut Evaluation,
    ) -> Result<Judgement, Error> {
        let no_value = |_| Error::Degenerate { why: "the likelihood has no value where the search ended".into() };
        let laplace = self.objective().evaluate(&psi, Order::Gradient, INNER_LAST).map_err(no_value)?.value;
        self.objective().accept();
        let certificate = Certificate {
            method: "importance",
            loglik_error: 2.0 * found.value_se,
            ..study.certificate(&found, laplace - found.evaluation.value)
        };
        outcome.psi = psi;
        outcome.decrement = inference::decrement(&found.evaluation);
        outcome.iterations += study.iterations;
        outcome.evaluations += study.evaluations;
        *last = found.evaluation;
        Ok(Judgement { certificate, chance: Some(found.chance), passes: study.importance.passes() })
    }
}
