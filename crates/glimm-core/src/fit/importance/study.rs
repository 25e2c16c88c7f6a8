//! Draws about a fit by Laplace's approximation.

use super::measure::Measure;
use crate::error::Error;
use crate::fit::{CONVERGED, INNER_LAST, Observer, Problem, inference};
use crate::integration::{Certificate, Integration};
use crate::objective::crossed::importance::Importance;
use crate::objective::penalty::{Penalised, Prior};
use crate::objective::{Evaluation, Objective, Order, Reject};
use crate::optim::{Curvature, Reason, Settings, stationary};

/// Draws per unit of the first look at the error.
pub const PILOT: usize = 512;
/// Evaluations with all draws that the end of a search takes, about, and more draws than a forecast says.
const SEARCH: f64 = 2.5;
const MARGIN: f64 = 1.2;
/// Part of the limit that second derivatives may take, and the least and most draws for them.
const BENDING: f64 = 0.2;
const LEAST_BENDING: f64 = 64.0;
const MOST_BENDING: f64 = 1024.0;
/// Squared distance to the zero of the gradient at which a search stops.
const DECREMENT: f64 = 1e-6;
const MAX_STEPS: usize = 30;

pub struct Study {
    pub importance: Importance,
    pub laplace: Evaluation,
    /// Row evaluations that may be spent.
    pub limit: f64,
    pub iterations: usize,
    pub evaluations: usize,
}

impl Study {
    pub fn new(importance: Importance, laplace: &Evaluation, limit: f64) -> Study {
        Study { importance, laplace: laplace.clone(), limit, iterations: 0, evaluations: 0 }
    }

    /// Whether the limit allows a first look.
    pub fn affordable(&self) -> bool {
        let (fixed, each) = self.importance.cost();
        fixed + each * PILOT as f64 <= self.limit
    }

    /// As many draws as wanted, or as the end of a search can still have.
    fn draws(&self, wanted: f64) -> usize {
        let (fixed, each) = self.importance.cost();
        let left = (self.limit - self.importance.passes() * each) / SEARCH - fixed;
        (MARGIN * wanted).max(PILOT as f64).min(left / each).max(0.0) as usize
    }

    /// Draws for second derivatives, which take two evaluations for every parameter.
    fn bending_draws(&self, parameters: usize) -> usize {
        let (fixed, each) = self.importance.cost();
        let affordable = (BENDING * self.limit / (2 * parameters) as f64 - fixed) / each;
        affordable.clamp(LEAST_BENDING, MOST_BENDING) as usize
    }

    /// What `draws` say at `psi`, with the curvature of Laplace's approximation or, as `order` tells, with their own.
    pub fn look(&mut self, fit: &Problem, psi: &[f64], draws: usize, order: Order) -> Result<Option<Measure>, Error> {
        let Some(mut evaluation) = self.evaluate(fit, psi, draws, Order::Gradient)? else { return Ok(None) };
        let (draws, noise) = (self.importance.draws(), self.importance.noise().clone());
        if order == Order::Hessian {
            let fewer = draws.min(self.bending_draws(psi.len()));
            evaluation.hessian = self.evaluate(fit, psi, fewer, order)?.and_then(|e| e.hessian);
        }
        self.complete(&mut evaluation);
        Ok(Some(Measure::new(fit, draws, evaluation, &noise)))
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
    pub fn climb(
        &mut self,
        fit: &Problem,
        psi: &[f64],
        first: &Measure,
        observe: Observer<'_>,
    ) -> Result<Option<(Vec<f64>, Measure)>, Error> {
        let asked = if let Integration::Importance(draws) = fit.integration { Some(draws) } else { None };
        let (mut psi, mut draws) = (psi.to_vec(), asked.unwrap_or_else(|| self.draws(first.needed())));
        if asked.is_none() && (first.blurred(draws) || self.hopeless(fit, &psi, first, draws)?) {
            return Ok(None);
        }
        if !self.search(fit, &mut psi, draws.min(PILOT), observe)? {
            return Ok(None);
        }
        loop {
            if !self.search(fit, &mut psi, draws, observe)? {
                return Ok(None);
            }
            let Some(found) = self.look(fit, &psi, draws, Order::Gradient)? else { return Ok(None) };
            let more = self.draws(found.needed());
            if asked.is_some() || found.needed() <= draws as f64 || more <= draws {
                return Ok(self.look(fit, &psi, draws, Order::Hessian)?.map(|found| (psi, found)));
            }
            draws = more;
        }
    }

    /// Whether the weights are too uneven for the first look and for one with as many draws as can be had.
    fn hopeless(&mut self, fit: &Problem, psi: &[f64], first: &Measure, draws: usize) -> Result<bool, Error> {
        let trusted = |found: Option<Measure>| found.is_some_and(|found| found.trusted());
        Ok(!first.trusted() && !trusted(self.look(fit, psi, draws, Order::Gradient)?))
    }

    /// Moves `psi` to the zero of the gradient; whether there is one.
    fn search(
        &mut self,
        fit: &Problem,
        psi: &mut Vec<f64>,
        draws: usize,
        observe: Observer<'_>,
    ) -> Result<bool, Error> {
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
        self.importance.set_draws(draws);
        self.importance.set_curvature(hessian.map(|h| -h).collect());
        let mut objective = penalised(&mut self.importance, &fit.prior);
        let found = stationary(&mut objective, psi, &settings, &mut |i, v, d| observe("importance", i, v, d));
        if found.reason == Reason::Interrupted {
            return Err(Error::Interrupted);
        }
        self.iterations += found.iterations;
        self.evaluations += found.evaluations;
        *psi = found.psi;
        let mut flipped = false;
        for (term, range) in fit.data.terms.iter().zip(&fit.layout.theta) {
            flipped |= term.structure.orient(&mut psi[range.clone()]);
        }
        if fit.drop_zeros(psi) || flipped {
            self.importance = fit.importance(psi)?;
        }
        Ok(found.decrement < CONVERGED)
    }

    /// What Laplace's approximation adds to the log-likelihood where it was first looked at.
    pub fn error(&self, first: &Measure) -> f64 {
        self.laplace.value - first.evaluation.value
    }

    /// The verdict on an approximation that adds `error` to the log-likelihood.
    pub fn certificate(&self, measure: &Measure, error: f64) -> Certificate {
        Certificate {
            method: "laplace",
            units: self.importance.units(),
            checked: self.importance.units(),
            nodes: [measure.draws; 3],
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
