//! Expectation propagation: what it says of Laplace's approximation, and estimates in its place.

use super::{Judgement, settled};
use crate::error::Error;
use crate::fit::path::Engine;
use crate::fit::{CONVERGED, INNER_LAST, Observer, Problem, inference};
use crate::integration::{Certificate, Integration};
use crate::objective::crossed::propagation::{Left, Propagation};
use crate::objective::penalty::Penalised;
use crate::objective::{Evaluation, Objective, Order, Reject};
use crate::optim::{Curvature, Outcome, Reason, Settings, stationary};

/// Row evaluations, in units of a cheap family's, that "auto" spends at most, and "laplace" for no more than a look.
const LIMIT: f64 = 2e9;
const LIMIT_OF_LOOK: f64 = 1e7;
/// The same for profiles, and evaluations with second derivatives that the profile of one goal takes, about.
const LIMIT_OF_PROFILES: f64 = 2e10;
const OF_PROFILE: usize = 20;
/// Evaluations of a search, about.
const SEARCH: usize = 6;
const DECREMENT: f64 = 1e-8;
const MAX_STEPS: usize = 30;
/// Error of the log-likelihood, in nats, and bias, in standard errors, with which "auto" leaves Laplace's approximation.
const LOGLIK: f64 = 0.01;
const ESTIMATE: f64 = 0.05;

/// Newton steps by which the remainder is taken in, at most, and the squared length of one, in standard errors, beyond
/// which it is too large for that.
const MOST_CORRECTIONS: usize = 5;
const SHORT: f64 = 0.25;
/// What the remainder leaves out, as a part of it: a twentieth was the most in tests against exact integrals.
const NEXT_ORDER: f64 = 0.1;

/// Where the fit ends.
struct Top {
    psi: Vec<f64>,
    evaluation: Evaluation,
    /// What the remainder has moved, in standard units; `None` where it is not in the value.
    moved: Option<Vec<f64>>,
}

impl Problem {
    /// Looks at Laplace's maximum and moves the fit to that of expectation propagation, where that is wanted; `None` where
    /// it cannot be had or is too dear.
    pub(super) fn judge_by_propagation(
        &mut self,
        outcome: &mut Outcome,
        last: &mut Evaluation,
        observe: Observer<'_>,
    ) -> Result<Option<Judgement>, Error> {
        let auto = self.integration == Integration::Auto;
        let bend = 1 + 2 * outcome.psi.len();
        let (limit, search, looks) = match self.integration {
            Integration::Propagation => (f64::INFINITY, 0, 0),
            Integration::Auto => (LIMIT, SEARCH, 1 + 2 * bend),
            _ => (LIMIT_OF_LOOK, 0, bend),
        };
        if self.data.random_predictors() != 1 || !settled(outcome) {
            return Ok(None);
        }
        // Rows alone may say that it is too dear, before their effects are laid out.
        let least = (search + looks) as f64 * Propagation::least_cost(self.data.n()) * self.data.family.price();
        if looks > 0 && least > limit {
            return Ok(None);
        }
        let mut ep = self.propagation()?;
        let [evaluation, remainder] = ep.cost();
        let cost = (search + looks) as f64 * evaluation + looks as f64 * remainder;
        if looks > 0 && cost * self.data.family.price() > limit {
            return Ok(None);
        }
        if !(auto && self.is_coarse(&mut ep, &outcome.psi, last)?) && looks > 0 {
            let Some(seen) = self.bend(&mut ep, &outcome.psi)? else { return Ok(None) };
            let certificate = self.certify_at_laplace(ep.left(), &seen, last);
            let worst = certificate.bias.iter().zip(&certificate.bias_se).map(|(b, se)| b.abs() + 2.0 * se);
            let negligible = certificate.loglik_error < LOGLIK && worst.fold(0.0, f64::max) < ESTIMATE;
            if negligible || !auto {
                return Ok(Some(Judgement { certificate, chance: None, passes: ep.passes() }));
            }
        }
        self.take_propagation(&mut ep, outcome, last, observe)
    }

    /// Whether a glance tells that Laplace's approximation must be left.
    fn is_coarse(&self, ep: &mut Propagation, psi: &[f64], laplace: &Evaluation) -> Result<bool, Error> {
        let seen = self.propagate(ep, psi, Order::Gradient)?;
        Ok(seen.is_some_and(|seen| (laplace.value - seen.value - ep.left().remainder.value()).abs() > LOGLIK))
    }

    /// Moves the fit to the maximum, corrected for the remainder where that is small.
    fn take_propagation(
        &mut self,
        ep: &mut Propagation,
        outcome: &mut Outcome,
        last: &mut Evaluation,
        observe: Observer<'_>,
    ) -> Result<Option<Judgement>, Error> {
        let Some(found) = self.climb_propagation(ep, outcome, last, observe)? else { return Ok(None) };
        let Some(top) = self.correct(ep, found.psi)? else { return Ok(None) };
        if inference::is_saddle(&top.evaluation) || inference::decrement(&top.evaluation) >= CONVERGED {
            return Ok(None);
        }
        let Ok(laplace) = self.objective().evaluate(&top.psi, Order::Gradient, INNER_LAST) else { return Ok(None) };
        self.objective().accept();
        let certificate = self.certify_propagation(ep, &top, laplace.value);
        outcome.decrement = inference::decrement(&top.evaluation);
        outcome.iterations += found.iterations;
        outcome.evaluations += found.evaluations + 2 * top.psi.len();
        outcome.psi = top.psi;
        *last = top.evaluation;
        Ok(Some(Judgement { certificate, chance: None, passes: ep.passes() }))
    }

    /// From the maximum of expectation propagation to that of its sum with the remainder, by Newton steps with the
    /// curvature of the former: where these are so short that the next order is far below.
    fn correct(&self, ep: &mut Propagation, mut psi: Vec<f64>) -> Result<Option<Top>, Error> {
        let Some(mut plain) = self.bend(ep, &psi)? else { return Ok(None) };
        let mut moved = vec![0.0; psi.len()];
        for _ in 0..MOST_CORRECTIONS {
            let slope = self.slope(ep.left());
            let mut corrected = with_remainder(&plain, ep.left(), &slope);
            let left = inference::decrement(&corrected);
            if left < CONVERGED {
                return Ok(Some(Top { psi, evaluation: corrected, moved: Some(moved) }));
            }
            if left > SHORT {
                break;
            }
            self.step(&mut psi, &mut moved, &corrected);
            // Second derivatives are dear, a gradient is not: a step with those of before.
            let Some(near) = self.propagate(ep, &psi, Order::Gradient)? else { return Ok(None) };
            corrected.gradient = near.gradient.iter().zip(&slope).map(|(g, s)| g + s).collect();
            self.step(&mut psi, &mut moved, &corrected);
            match self.bend(ep, &psi)? {
                Some(bent) => plain = bent,
                None => return Ok(None),
            }
        }
        Ok(Some(Top { psi, evaluation: plain, moved: None }))
    }

    /// A Newton step; a zero variance stays zero.
    fn step(&self, psi: &mut [f64], moved: &mut [f64], at: &Evaluation) {
        let step = inference::step_from(psi, at);
        for ((x, moved), step) in psi.iter_mut().zip(moved).zip(step) {
            *x += step;
            *moved += step;
        }
        self.tie(psi);
    }

    /// The gradient of the remainder.
    fn slope(&self, left: &Left) -> Vec<f64> {
        let mut slope: Vec<f64> = left.slopes.iter().map(|s| left.remainder.mean(s).0).collect();
        self.prior.iter().for_each(|prior| prior.pull(&mut slope));
        slope
    }

    /// Expectation propagation for profiles of so many goals from `psi`, with its derivatives there; `None` where the
    /// fit does not rest on it, or that is too dear.
    pub(in crate::fit) fn propagation_of_profiles(
        &self,
        goals: usize,
        psi: &[f64],
    ) -> Result<Option<(Propagation, Evaluation)>, Error> {
        let limit = match self.integration {
            Integration::Propagation => f64::INFINITY,
            Integration::Auto => LIMIT_OF_PROFILES,
            _ => return Ok(None),
        };
        if self.data.random_predictors() != 1 {
            return Ok(None);
        }
        // Nested factors are integrated by nodes.
        let Ok(mut ep) = self.propagation() else { return Ok(None) };
        let evaluations = OF_PROFILE * goals * (1 + 2 * psi.len());
        let cost = evaluations as f64 * ep.cost().iter().sum::<f64>() * self.data.family.price();
        if cost > limit {
            return Ok(None);
        }
        Ok(self.bend_whole(&mut ep, psi)?.map(|found| (ep, found)))
    }

    /// All derivatives of expectation propagation; value and gradient with the remainder.
    pub(in crate::fit) fn bend_whole(&self, ep: &mut Propagation, psi: &[f64]) -> Result<Option<Evaluation>, Error> {
        let plain = self.bend(ep, psi)?;
        Ok(plain.map(|plain| with_remainder(&plain, ep.left(), &self.slope(ep.left()))))
    }

    fn propagation(&self) -> Result<Propagation, Error> {
        match &self.engine {
            Engine::Crossed(crossed) => Propagation::new(crossed.data(), &self.control),
            Engine::Block(block) => Propagation::new(&block.data(), &self.control),
            _ => Err(Error::Degenerate { why: "expectation propagation is for crossed and nested effects".into() }),
        }
    }

    /// All derivatives, and those of the remainder.
    fn bend(&self, ep: &mut Propagation, psi: &[f64]) -> Result<Option<Evaluation>, Error> {
        self.propagate(ep, psi, Order::Hessian)
    }

    fn propagate(&self, ep: &mut Propagation, psi: &[f64], order: Order) -> Result<Option<Evaluation>, Error> {
        match (Penalised { objective: ep, prior: self.prior.as_ref() }).evaluate(psi, order, INNER_LAST) {
            Ok(found) => Ok(Some(found)),
            Err(Reject::Interrupted) => Err(Error::Interrupted),
            Err(_) => Ok(None),
        }
    }

    fn climb_propagation(
        &mut self,
        ep: &mut Propagation,
        outcome: &Outcome,
        laplace: &Evaluation,
        observe: Observer<'_>,
    ) -> Result<Option<Outcome>, Error> {
        let settings = Settings {
            curvature: Curvature::Updated,
            tolerance: DECREMENT,
            inner_tolerance: INNER_LAST,
            max_iterations: MAX_STEPS,
            reach: self.reach(),
            limits: Vec::new(),
            rows: Vec::new(),
        };
        ep.set_remainder(false);
        ep.set_curvature(laplace.hessian.iter().flatten().map(|h| -h).collect());
        let mut objective = Penalised { objective: ep, prior: self.prior.as_ref() };
        let mut found =
            stationary(&mut objective, &outcome.psi, &settings, &mut |i, v, d| observe("propagation", i, v, d));
        ep.set_remainder(true);
        if found.reason == Reason::Interrupted {
            return Err(Error::Interrupted);
        }
        self.orient(&mut found.psi);
        self.drop_zeros(&mut found.psi);
        Ok((found.decrement < CONVERGED).then_some(found))
    }

    /// The verdict on Laplace's maximum, by expectation propagation with its remainder.
    fn certify_at_laplace(&self, left: &Left, seen: &Evaluation, laplace: &Evaluation) -> Certificate {
        let remainder = &left.remainder;
        let error = laplace.value - seen.value - remainder.value();
        let (bias, bias_se) = self.bias(left, &seen.gradient, laplace);
        let loglik_error = error.abs() + remainder.blur(NEXT_ORDER);
        Certificate { loglik_error, bias, bias_se, ..certificate("laplace", 1, error) }
    }

    /// The verdict on the maximum of expectation propagation: without the remainder that is what is missing, with it the
    /// next order.
    fn certify_propagation(&self, ep: &Propagation, top: &Top, laplace: f64) -> Certificate {
        let (left, p) = (ep.left(), top.psi.len());
        let remainder = &left.remainder;
        let Some(moved) = &top.moved else {
            let (bias, bias_se) = self.bias(left, &vec![0.0; p], &top.evaluation);
            let loglik_error = remainder.value().abs() + remainder.blur(NEXT_ORDER);
            let error = laplace - top.evaluation.value - remainder.value();
            return Certificate { loglik_error, bias, bias_se, ..certificate("propagation", ep.nodes(), error) };
        };
        let plain: Vec<f64> = top.evaluation.gradient.iter().zip(self.slope(left)).map(|(g, s)| g - s).collect();
        let (bias, mut bias_se) = self.bias(left, &plain, &top.evaluation);
        let own = self.standard.covariance_to_user(&inference::covariance(&top.evaluation).0);
        for (j, moved) in self.standard.direction_to_user(moved).iter().enumerate() {
            let se = own[j * p + j].sqrt();
            bias_se[j] += if se > 0.0 { 0.5 * NEXT_ORDER * moved.abs() / se } else { 0.0 };
        }
        let error = laplace - top.evaluation.value;
        let loglik_error = remainder.blur(NEXT_ORDER);
        Certificate { loglik_error, bias, bias_se, ..certificate("propagation, corrected", ep.nodes(), error) }
    }

    /// How far estimates with curvature `at` are from where `gradient` and that of the remainder vanish together, in
    /// standard errors, with the standard error of that.
    fn bias(&self, left: &Left, gradient: &[f64], at: &Evaluation) -> (Vec<f64>, Vec<f64>) {
        let p = gradient.len();
        let c = inference::covariance(at).0;
        let own = self.standard.covariance_to_user(&c);
        let step = |r: usize| -> Vec<f64> {
            let mut slope: Vec<f64> = left.slopes.iter().map(|s| s[r]).collect();
            self.prior.iter().for_each(|prior| prior.pull(&mut slope));
            slope.iter_mut().zip(gradient).for_each(|(s, g)| *s += g);
            let along = |i: usize| (0..p).map(|j| c[i * p + j] * slope[j]).filter(|x| x.is_finite()).sum();
            self.standard.direction_to_user(&(0..p).map(along).collect::<Vec<f64>>())
        };
        let steps: Vec<Vec<f64>> = (0..left.remainder.each.len()).map(step).collect();
        let of = |j: usize| match own[j * p + j] > 0.0 {
            true => left.remainder.mean(&steps.iter().map(|s| -s[j] / own[j * p + j].sqrt()).collect::<Vec<f64>>()),
            // What the data do not tell has no bias.
            false => (0.0, 0.0),
        };
        (0..p).map(of).unzip()
    }
}

fn with_remainder(plain: &Evaluation, left: &Left, slope: &[f64]) -> Evaluation {
    let gradient = plain.gradient.iter().zip(slope).map(|(g, s)| g + s).collect();
    Evaluation { value: plain.value + left.remainder.value(), gradient, hessian: plain.hessian.clone() }
}

fn certificate(method: &'static str, nodes: usize, laplace_error: f64) -> Certificate {
    Certificate { method, units: 1, checked: 1, nodes: [nodes; 3], laplace_error, ..Certificate::default() }
}
