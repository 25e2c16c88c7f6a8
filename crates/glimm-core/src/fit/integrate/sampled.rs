//! A cheap rule for all groups, corrected by the reference on a sample of them.

use super::super::{CONVERGED, INNER, INNER_LAST, NEAR, Observer, Problem, inference};
use super::check::{Check, References, Sample};
use super::full::spread;
use super::{AFFORDABLE, Integrated, rejected};
use crate::error::Error;
use crate::integration::{Certificate, Rule};
use crate::linalg::dense;
use crate::objective::corrected::{Batch, Corrected};
use crate::objective::penalty::Penalised;
use crate::objective::{Evaluation, Objective, Order, Reject, Units};
use crate::optim::{Curvature, Outcome, Reason, maximise};

/// Nodes per effect of the cheap rules that are tried, cheapest first.
const CHEAP: [usize; 5] = [3, 5, 7, 9, 11];
/// Bias, in standard errors, and error of the log-likelihood that need no correction.
const SMALL_BIAS: f64 = 0.02;
const SMALL_ERROR: f64 = 0.05;
/// Error that the sample may leave in a corrected estimate, in standard errors.
const SAMPLE_ERROR: f64 = 0.03;
/// Error of the log-integral of a group in the sample that is negligible beside the sampling.
const ENOUGH: f64 = 1e-5;
/// Row evaluations that the sample may take.
const SAMPLE_WORK: f64 = 1e7;
/// Squared distance to the maximum, in standard errors, that is too short to spoil the nodes.
const NEAR_ENOUGH: f64 = 1e-2;
/// The same at which the first climb ends: its last step is looked at with the nodes of the next.
const FIRST: f64 = 0.5;
/// The same that is too short to change second derivatives by more than the sample leaves open.
const CURVED: f64 = 1e-3;
/// Climbs with nodes chosen anew.
const ROUNDS: usize = 4;

impl Problem {
    pub(super) fn by_sample(
        &mut self,
        (outcome, last): (Outcome, Evaluation),
        observe: Observer<'_>,
    ) -> Result<Integrated, Error> {
        let Some(all) = self.engine.units() else { return Err(rejected(Reject::NoMode)) };
        let sample = self.sample_for_check(all.units(), Rule::Adaptive(ENOUGH), SAMPLE_WORK);
        let mut references = sample.references(all, &outcome.psi).map_err(rejected)?;
        let laplace = self.reduced(sample.check(all, &outcome.psi, None, &mut references).map_err(rejected)?);
        let (bias, se) = laplace.bias(&self.standard, &last);
        let fine = bias.iter().zip(&se).all(|(b, se)| b.abs() + 2.0 * se < SMALL_BIAS);
        if fine && laplace.value.abs() + 2.0 * laplace.value_se < SMALL_ERROR {
            let certificate = self.certify_laplace(&outcome, &last)?;
            return Ok(Integrated { outcome, last, certificate, flat: Vec::new() });
        }
        let nodes = self.cheapest(&outcome, &last, laplace, &sample, &mut references)?;
        self.climb_corrected(outcome, nodes, &sample, references, observe)
    }

    /// Nodes per effect of the cheapest rule that the sample can correct well enough, among those that can be afforded for
    /// all groups.
    fn cheapest(
        &self,
        outcome: &Outcome,
        last: &Evaluation,
        laplace: Check,
        sample: &Sample,
        references: &mut References,
    ) -> Result<usize, Error> {
        let Some(all) = self.engine.units() else { return Err(rejected(Reject::NoMode)) };
        let noise = |c: &Check| c.bias(&self.standard, last).1.into_iter().fold(0.0, f64::max);
        let mut best = (1, noise(&laplace));
        for k in CHEAP {
            let cost = (k as f64).powi(self.effects() as i32) * self.data.n() as f64 * self.data.family.price();
            if best.1 < SAMPLE_ERROR || cost > AFFORDABLE {
                break;
            }
            let rule = Some(Rule::Gauss(k));
            let left = noise(&self.reduced(sample.check(all, &outcome.psi, rule, references).map_err(rejected)?));
            if left < best.1 {
                best = (k, left);
            }
        }
        Ok(best.0)
    }

    /// Climbs with the correction. The nodes of the sample are chosen anew while that moves the maximum.
    fn climb_corrected(
        &mut self,
        mut outcome: Outcome,
        k: usize,
        sample: &Sample,
        mut references: References,
        observe: Observer<'_>,
    ) -> Result<Integrated, Error> {
        let settings = [FIRST, NEAR].map(|tolerance| self.settings(Curvature::Exact, tolerance, INNER));
        let (prior, engine) = (self.prior.as_ref(), &mut self.engine);
        let Some(all) = engine.units_mut() else { return Err(rejected(Reject::NoMode)) };
        let mut rounds = 0;
        let (mut last, check) = loop {
            let stated = references.stated;
            // The first climb is long, and its end only a place to look again.
            let k = if rounds == 0 { k.min(CHEAP[0]) } else { k };
            let mut corrected = corrected(all, &outcome.psi, k, sample, references.batches).map_err(rejected)?;
            let mut objective = Penalised { objective: &mut corrected, prior };
            if rounds > 0 {
                let here = arrive(&mut objective, &mut outcome).map_err(rejected)?;
                if outcome.decrement < CONVERGED || rounds == ROUNDS {
                    let order = Order::Gradient;
                    let differences = corrected.differences(&outcome.psi, order, INNER_LAST).map_err(rejected)?;
                    break (here, Check { stated, ..Check::new(&differences, sample.weight) });
                }
            }
            let settings = settings[rounds.min(1)].clone();
            let more = maximise(&mut objective, &outcome.psi, settings, &mut |i, v, d| observe("sample", i, v, d));
            if more.reason == Reason::Interrupted {
                return Err(Error::Interrupted);
            }
            outcome = Outcome {
                iterations: outcome.iterations + more.iterations,
                evaluations: outcome.evaluations + more.evaluations,
                ..more
            };
            references = sample.references(all, &outcome.psi).map_err(rejected)?;
            rounds += 1;
        };
        let certificate = self.certify_sample(&outcome, &last, k, &check, sample);
        widen(&mut last, &check.covariance);
        Ok(Integrated { outcome, last, certificate, flat: Vec::new() })
    }

    fn certify_sample(
        &mut self,
        outcome: &Outcome,
        last: &Evaluation,
        k: usize,
        check: &Check,
        sample: &Sample,
    ) -> Certificate {
        let q = self.effects();
        let units = self.engine.units().map_or(0, |all| all.units());
        let laplace = self.engine.units_mut().map_or(f64::NAN, |u| u.laplace_value(&outcome.psi));
        let prior = self.prior.as_ref().map_or(0.0, |p| p.value(&outcome.psi));
        Certificate {
            method: if k > 1 { "quadrature" } else { "laplace, corrected" },
            units,
            checked: sample.batches.iter().map(Vec::len).sum(),
            nodes: spread(&[k.pow(q as u32)]),
            loglik_error: 2.0 * check.value_se + check.stated,
            laplace_error: laplace - (last.value - prior),
            bias: vec![0.0; outcome.psi.len()],
            bias_se: check.bias(&self.standard, last).1,
            effective_size: None,
            runaway: false,
        }
    }
}

/// `all` by the cheap rule with `k` nodes per effect, corrected on the sample.
fn corrected<'a>(
    all: &'a mut dyn Units,
    psi: &[f64],
    k: usize,
    sample: &Sample,
    references: Vec<Box<dyn Units>>,
) -> Result<Corrected<'a>, Reject> {
    let mut batches = Vec::new();
    for (groups, better) in sample.batches.iter().zip(references) {
        batches.push(Batch { better, cheap: all.of_units(groups) });
    }
    if k > 1 {
        all.choose(psi, Rule::Gauss(k))?;
        for batch in &mut batches {
            batch.cheap.choose(psi, Rule::Gauss(k))?;
        }
    }
    Ok(Corrected { all, batches, weight: sample.weight })
}

/// All derivatives where a climb with older nodes ended, after one more Newton step if that is near.
fn arrive(objective: &mut dyn Objective, outcome: &mut Outcome) -> Result<Evaluation, Reject> {
    let mut here = objective.evaluate(&outcome.psi, Order::Hessian, INNER_LAST)?;
    objective.accept();
    outcome.decrement = inference::decrement(&here);
    if (CONVERGED..NEAR_ENOUGH).contains(&outcome.decrement) {
        let step = inference::step_from(&outcome.psi, &here);
        outcome.psi.iter_mut().zip(step).for_each(|(x, d)| *x += d);
        let order = if outcome.decrement < CURVED { Order::Gradient } else { Order::Hessian };
        let hessian = here.hessian.take();
        here = objective.evaluate(&outcome.psi, order, INNER_LAST)?;
        here.hessian = here.hessian.take().or(hessian);
        objective.accept();
        outcome.decrement = inference::decrement(&here);
    }
    Ok(here)
}

/// Adds the covariance S of the gradient, due to the sample, to that of the estimates: with H the negative Hessian,
/// H^-1 + H^-1 S H^-1 = (H (H + S)^-1 H)^-1.
fn widen(last: &mut Evaluation, s: &[f64]) {
    let p = last.gradient.len();
    let Some(hessian) = &mut last.hessian else { return };
    let sum: Vec<f64> = hessian.iter().zip(s).map(|(h, s)| s - h).collect();
    let (mut factor, mut inverse) = (sum, vec![0.0; p * p]);
    if !dense::cholesky(&mut factor, p) {
        return;
    }
    dense::cholesky_inverse(&factor, p, &mut inverse);
    let product = |a: &[f64], b: &[f64]| -> Vec<f64> {
        (0..p * p).map(|i| (0..p).map(|k| a[i / p * p + k] * b[k * p + i % p]).sum()).collect()
    };
    let wide = product(&product(hessian, &inverse), hessian);
    hessian.iter_mut().zip(wide).for_each(|(h, w)| *h = -w);
}
