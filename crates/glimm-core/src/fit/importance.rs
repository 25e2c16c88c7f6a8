//! What Laplace's approximation gets wrong with crossed and nested effects: measured by importance sampling, and put right.

use super::path::Engine;
use super::{CONVERGED, Fitted, INNER_LAST, Observer, Problem, inference};
use crate::error::Error;
use crate::integration::{Certificate, Integration};
use crate::objective::crossed::importance::Importance;
use crate::objective::penalty::{Penalised, Prior};
use crate::objective::{Evaluation, Objective, Order, Reject};
use crate::optim::{Curvature, Outcome, Reason, Settings, stationary};

/// Draws per unit of the first look at the error.
const PILOT: usize = 512;
/// What "auto" wants to know: the log-likelihood with two standard errors of at most this, in nats, and every estimate
/// with an error by chance of at most this part of its standard error.
const LOGLIK: f64 = 0.01;
const ESTIMATE: f64 = 0.05;
/// Row evaluations that "auto" spends at most, and "laplace" for no more than a look.
const LIMIT: f64 = 3e8;
const LIMIT_OF_LOOK: f64 = 2e6;
/// Least effective number of draws of every unit for results to be believed.
const TRUSTED: f64 = 50.0;
/// Evaluations that a search takes, about, and more draws than a forecast says.
const SEARCH: f64 = 6.0;
const MARGIN: f64 = 1.2;
/// Part of the limit that second derivatives may take, and the least and most draws for them.
const BENDING: f64 = 0.2;
const LEAST_BENDING: f64 = 64.0;
const MOST_BENDING: f64 = 1024.0;
/// Squared distance to the zero of the gradient at which a search stops.
const DECREMENT: f64 = 1e-8;
const MAX_STEPS: usize = 30;

/// What draws say at one point.
struct Measure {
    draws: usize,
    evaluation: Evaluation,
    value_se: f64,
    effective: f64,
    /// How far the estimates are from where the gradient vanishes, and what chance makes of that, in standard errors.
    bias: Vec<f64>,
    bias_se: Vec<f64>,
    /// Covariance of the estimates by chance, in the user's units.
    chance: Vec<f64>,
}

impl Measure {
    /// Draws that would reach what "auto" wants.
    fn needed(&self) -> f64 {
        let value = 2.0 * self.value_se / LOGLIK;
        self.draws as f64 * value.max(largest(&self.bias_se) / ESTIMATE).powi(2)
    }

    /// Whether so many draws would leave more to chance than there is to correct.
    fn blurred(&self, draws: usize) -> bool {
        let left = largest(&self.bias_se) * (self.draws as f64 / draws as f64).sqrt();
        left.is_nan() || left > largest(&self.bias).max(ESTIMATE)
    }

    fn trusted(&self) -> bool {
        self.effective >= TRUSTED && self.value_se.is_finite() && largest(&self.bias_se).is_finite()
    }

    /// Whether an approximation off by `error` nats here is as good as the truth.
    fn negligible(&self, error: f64) -> bool {
        let worst = self.bias.iter().zip(&self.bias_se).map(|(b, se)| b.abs() + 2.0 * se).fold(0.0, f64::max);
        worst < ESTIMATE && error.abs() + 2.0 * self.value_se < LOGLIK
    }
}

/// A NaN counts as the largest.
fn largest(x: &[f64]) -> f64 {
    x.iter().fold(0.0, |most: f64, x| if x.abs() > most || x.is_nan() { x.abs() } else { most })
}

/// The verdict on the integral, and the covariance of the estimates by chance where they were moved.
struct Judgement {
    certificate: Certificate,
    chance: Option<Vec<f64>>,
    passes: f64,
}

impl Judgement {
    fn unchecked() -> Judgement {
        let certificate = Certificate {
            method: "laplace",
            loglik_error: f64::NAN,
            laplace_error: f64::NAN,
            ..Certificate::default()
        };
        Judgement { certificate, chance: None, passes: 0.0 }
    }

    /// No effect varies.
    fn exact() -> Judgement {
        Judgement { certificate: Certificate { method: "none", ..Certificate::default() }, chance: None, passes: 0.0 }
    }
}

impl Problem {
    /// Ends a fit of crossed or nested effects: where Laplace's approximation matters the estimates move to the maximum
    /// of the true likelihood, found by as many draws as that takes.
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

    fn judge(
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
        let settled = outcome.decrement < CONVERGED && !matches!(outcome.reason, Reason::Saddle | Reason::Runaway);
        if !settled || (self.data.n() * PILOT) as f64 > limit {
            return Ok(Judgement::unchecked());
        }
        let mut study = Study { importance: self.importance(&outcome.psi)?, laplace: last.clone(), limit };
        if study.importance.units() == 0 {
            return Ok(Judgement::exact());
        }
        if study.cost(PILOT) > limit {
            return Ok(Judgement::unchecked());
        }
        let Some(first) = study.look(self, &outcome.psi, PILOT, Order::Gradient)? else {
            return Ok(Judgement::unchecked());
        };
        let enough = self.integration == Integration::Auto && study.negligible(&first);
        if enough || self.integration == Integration::Laplace {
            return Ok(study.kept(&first, first.trusted()));
        }
        match study.climb(self, &outcome.psi, &first, observe)? {
            Some((_, found)) if !found.trusted() => Ok(study.kept(&first, false)),
            Some((psi, found)) if largest(&found.bias_se) <= largest(&first.bias).max(ESTIMATE) => {
                self.take(&study, psi, found, outcome, last)
            }
            _ => Ok(study.kept(&first, first.trusted())),
        }
    }

    fn importance(&self, psi: &[f64]) -> Result<Importance, Error> {
        match &self.engine {
            Engine::Crossed(crossed) => Importance::new(crossed, psi),
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
        let there = self.objective().evaluate(&psi, Order::Gradient, INNER_LAST);
        let no_value = |_| Error::Degenerate { why: "the likelihood has no value where the search ended".into() };
        let laplace = there.map_err(no_value)?.value;
        self.objective().accept();
        let certificate = Certificate {
            method: "importance",
            loglik_error: 2.0 * found.value_se,
            ..study.certificate(&found, laplace - found.evaluation.value)
        };
        outcome.psi = psi;
        outcome.decrement = inference::decrement(&found.evaluation);
        *last = found.evaluation;
        Ok(Judgement { certificate, chance: Some(found.chance), passes: study.importance.passes() })
    }
}

/// Draws about a fit by Laplace's approximation.
struct Study {
    importance: Importance,
    laplace: Evaluation,
    /// Row evaluations that may be spent.
    limit: f64,
}

impl Study {
    /// Row evaluations of one look.
    fn cost(&self, draws: usize) -> f64 {
        let (fixed, each) = self.importance.cost();
        fixed + each * draws as f64
    }

    /// As many draws as wanted, or as a search can still have.
    fn affordable(&self, wanted: f64) -> usize {
        let (fixed, each) = self.importance.cost();
        let left = (self.limit - self.importance.passes() * each) / SEARCH - fixed;
        (MARGIN * wanted).min(left / each).max(0.0) as usize
    }

    fn evaluate(
        &mut self,
        fit: &Problem,
        psi: &[f64],
        draws: usize,
        order: Order,
    ) -> Result<Option<Evaluation>, Error> {
        self.importance.set_draws(draws);
        match penalised(&mut self.importance, &fit.prior).evaluate(psi, order, INNER_LAST) {
            Ok(evaluation) => Ok(Some(evaluation)),
            Err(Reject::Interrupted) => Err(Error::Interrupted),
            Err(_) => Ok(None),
        }
    }

    /// Draws for second derivatives, which take two evaluations for every parameter.
    fn bending_draws(&self, parameters: usize) -> usize {
        let (fixed, each) = self.importance.cost();
        let affordable = (BENDING * self.limit / (2 * parameters) as f64 - fixed) / each;
        affordable.clamp(LEAST_BENDING, MOST_BENDING) as usize
    }

    /// What `draws` say at `psi`, with the curvature of Laplace's approximation or, as `order` tells, with their own.
    fn look(&mut self, fit: &Problem, psi: &[f64], draws: usize, order: Order) -> Result<Option<Measure>, Error> {
        let hessian = match order {
            Order::Hessian => self.evaluate(fit, psi, draws.min(self.bending_draws(psi.len())), order)?,
            _ => None,
        };
        let Some(mut evaluation) = self.evaluate(fit, psi, draws, Order::Gradient)? else { return Ok(None) };
        evaluation.hessian = hessian.and_then(|e| e.hessian);
        self.complete(&mut evaluation);
        let p = psi.len();
        let (c, noise) = (inference::covariance(&evaluation).0, self.importance.noise());
        let by_chance = |i: usize, j: usize| -> f64 {
            (0..p * p).map(|k| c[i * p + k / p] * noise.score[k] * c[k % p * p + j]).sum()
        };
        let chance: Vec<f64> = (0..p * p).map(|k| by_chance(k / p, k % p)).collect();
        let chance = fit.standard.covariance_to_user(&chance);
        let covariance = fit.standard.covariance_to_user(&c);
        let step = fit.standard.direction_to_user(&inference::newton_step(&evaluation));
        // What the data do not tell has no bias.
        let in_errors =
            |x: f64, j: usize| if covariance[j * p + j] > 0.0 { x / covariance[j * p + j].sqrt() } else { 0.0 };
        Ok(Some(Measure {
            draws: self.importance.draws(),
            value_se: noise.value_se,
            effective: noise.effective,
            bias: (0..p).map(|j| in_errors(-step[j], j)).collect(),
            bias_se: (0..p).map(|j| in_errors(chance[j * p + j].sqrt(), j)).collect(),
            chance,
            evaluation,
        }))
    }

    /// Gives the evaluation the curvature of Laplace's approximation where the draws have none of their own: at zero
    /// variances, where both agree, and everywhere when theirs is not that of a maximum.
    fn complete(&self, evaluation: &mut Evaluation) {
        let p = evaluation.gradient.len();
        match (&mut evaluation.hessian, &self.laplace.hessian) {
            (Some(own), Some(laplace)) => {
                let known = |k: &usize| self.importance.free(k / p) && self.importance.free(k % p);
                (0..p * p).filter(|k| !known(k)).for_each(|k| own[k] = laplace[k]);
            }
            (own, laplace) => own.clone_from(laplace),
        }
        if inference::is_saddle(evaluation) {
            evaluation.hessian.clone_from(&self.laplace.hessian);
        }
    }

    /// The zero of the gradient, from `psi`, with draws enough for what is wanted or as many as the limit allows; none
    /// where these would leave more to chance than Laplace's approximation has wrong.
    fn climb(
        &mut self,
        fit: &Problem,
        psi: &[f64],
        first: &Measure,
        observe: Observer<'_>,
    ) -> Result<Option<(Vec<f64>, Measure)>, Error> {
        let (mut psi, asked) = (psi.to_vec(), matches!(fit.integration, Integration::Importance(_)));
        let mut draws = match fit.integration {
            Integration::Importance(draws) => draws,
            _ => self.affordable(first.needed()),
        };
        if !asked && first.blurred(draws) {
            return Ok(None);
        }
        loop {
            self.importance.set_draws(draws);
            if !self.search(fit, &mut psi, observe)? {
                return Ok(None);
            }
            let Some(found) = self.look(fit, &psi, draws, Order::Hessian)? else { return Ok(None) };
            let more = if asked { 0 } else { self.affordable(found.needed()) };
            if found.needed() <= draws as f64 || more <= draws {
                return Ok(Some((psi, found)));
            }
            draws = more;
        }
    }

    /// Moves `psi` to the zero of the gradient; whether there is one.
    fn search(&mut self, fit: &Problem, psi: &mut Vec<f64>, observe: Observer<'_>) -> Result<bool, Error> {
        let settings = Settings {
            curvature: Curvature::Updated,
            tolerance: DECREMENT,
            inner_tolerance: INNER_LAST,
            max_iterations: MAX_STEPS,
            reach: fit.reach(),
            limits: Vec::new(),
            rows: Vec::new(),
        };
        let hessian = self.laplace.hessian.iter().flatten();
        self.importance.set_curvature(hessian.map(|h| -h).collect());
        let mut objective = penalised(&mut self.importance, &fit.prior);
        let found = stationary(&mut objective, psi, &settings, &mut |i, v, d| observe("importance", i, v, d));
        *psi = found.psi;
        if found.reason == Reason::Interrupted {
            return Err(Error::Interrupted);
        }
        let mut flipped = false;
        for (term, range) in fit.data.terms.iter().zip(&fit.layout.theta) {
            flipped |= term.structure.orient(&mut psi[range.clone()]);
        }
        let dropped = fit.drop_zeros(psi);
        if flipped || dropped {
            self.importance = fit.importance(psi)?;
        }
        Ok(found.decrement < CONVERGED)
    }

    fn negligible(&self, first: &Measure) -> bool {
        first.trusted() && first.negligible(self.laplace.value - first.evaluation.value)
    }

    /// The fit stays as it was, with what the first look says if it is to be believed.
    fn kept(&self, first: &Measure, believed: bool) -> Judgement {
        let passes = self.importance.passes();
        if !believed {
            let mut unchecked = Judgement::unchecked();
            unchecked.certificate.effective_size = Some(first.effective);
            return Judgement { passes, ..unchecked };
        }
        let certificate = self.certificate(first, self.laplace.value - first.evaluation.value);
        Judgement { certificate, chance: None, passes }
    }

    fn certificate(&self, measure: &Measure, error: f64) -> Certificate {
        let (units, draws) = (self.importance.units(), measure.draws);
        Certificate {
            method: "laplace",
            units,
            checked: units,
            nodes: [draws; 3],
            loglik_error: error.abs() + 2.0 * measure.value_se,
            laplace_error: error,
            bias: measure.bias.clone(),
            bias_se: measure.bias_se.clone(),
            effective_size: Some(measure.effective),
            runaway: false,
        }
    }
}

fn penalised<'a>(importance: &'a mut Importance, prior: &'a Option<Prior>) -> Penalised<'a> {
    Penalised { objective: importance, prior: prior.as_ref() }
}
