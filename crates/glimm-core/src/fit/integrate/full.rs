//! Every group by a rule of its own.

use super::super::refusals::perfect;
use super::super::{DECREMENT, INNER, INNER_LAST, MAX_ITERATIONS, Observer, PERFECT, Problem, inference};
use super::check::Check;
use super::{AFFORDABLE, COARSE, Integrated, LOOK, SANE_BIAS, SANE_ERROR, SLACK, rejected};
use crate::error::Error;
use crate::integration::{Certificate, Nodes, Rule};
use crate::objective::{Evaluation, Objective, Order, Reject};
use crate::optim::{Curvature, Outcome, Reason, Settings, maximise_from};

/// Nodes are chosen anew after this many steps at first, and so many times at most.
const STEPS: usize = 6;
const ROUNDS: usize = 20;
/// The round from which on nodes are kept: a maximum may jump with the nodes, and they with it, for ever. The certificate tells
/// what they are worth.
const PATIENCE: usize = 4;
/// Effects of a group up to which nodes are as good for second derivatives as for values.
const SURE: usize = 2;
/// Newton steps by differences, halvings of one, the decrements at which they end and after which the Hessian is had anew,
/// and the change of a parameter (standard units).
const POLISH: usize = 16;
const HALVINGS: usize = 6;
const ARRIVED: f64 = 1e-12;
const LONG: f64 = 1e-6;
const DIFFERENCE: f64 = 2e-3;
/// Change of a parameter (standard units) after which nodes are chosen anew.
const FAR: f64 = 0.01;
/// Squared distance to the maximum, in standard errors, at which nodes become exact.
const CLOSE: f64 = 1e-6;
/// The same, by the nodes at hand, at which new ones are chosen exactly at once.
const NEAR: f64 = 1e-4;
/// Loss of log-likelihood, by new nodes, that marks a step taken on the word of old ones.
const LOSS: f64 = 1e-6;

/// Parameters, all derivatives there, and the nodes of these.
type Place = (Vec<f64>, Evaluation, Nodes);

impl Problem {
    /// The maximum by `rule`, from Laplace's if that is near.
    pub(super) fn by_rule(
        &mut self,
        laplace: Result<(Outcome, Evaluation), Error>,
        rule: Rule,
        observe: Observer<'_>,
    ) -> Result<Integrated, Error> {
        let before = laplace.as_ref().map_or([0; 2], |(o, _)| [o.iterations, o.evaluations]);
        let near = match laplace {
            Err(error) if error == Error::Interrupted || error == perfect() => return Err(error),
            Ok((outcome, last)) => self.at_sane(outcome, &last, rule)?,
            Err(_) => None,
        };
        let runaway = near.is_none();
        let place = near.map_or_else(|| self.at_start(rule), Ok)?;
        let (mut outcome, last, nodes) = self.climb_nodes(place, rule, observe)?;
        outcome.iterations += before[0];
        outcome.evaluations += before[1];
        let mut certificate = self.certify_nodes(&outcome, &last, rule, &nodes)?;
        certificate.runaway = runaway;
        Ok(Integrated { outcome, last, certificate, flat: Vec::new() })
    }

    /// The first nodes, at the maximum of Laplace's approximation if that is near enough to the truth to climb on from.
    fn at_sane(&mut self, outcome: Outcome, last: &Evaluation, rule: Rule) -> Result<Option<Place>, Error> {
        let mut psi = outcome.psi;
        self.orient(&mut psi);
        let (here, nodes) = match self.at_new_nodes(&psi, coarse(rule)) {
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(_) => return Ok(None),
            Ok(found) => found,
        };
        let found = match rule {
            Rule::Gauss(_) => self.held_against_reference(&psi)?,
            _ => Some(Check::between(here.clone(), last)),
        };
        let near = |check: &Check| {
            let far = check.bias(&self.standard, last).0.iter().any(|b| b.abs() > SANE_BIAS || b.is_nan());
            check.value.is_finite() && !(far && check.value.abs() > SANE_ERROR)
        };
        Ok(found.as_ref().is_some_and(near).then_some((psi, here, nodes)))
    }

    /// What a reference adds to Laplace's approximation, if it has a value.
    fn held_against_reference(&self, psi: &[f64]) -> Result<Option<Check>, Error> {
        let Some(all) = self.engine.units() else { return Ok(None) };
        let sample = self.sample_for_check(all.units(), Rule::Reference(COARSE), AFFORDABLE);
        match self.check(all, psi, None, &sample) {
            Err(Reject::Interrupted) => Err(Error::Interrupted),
            found => Ok(found.ok()),
        }
    }

    /// The first nodes where no maximum is known.
    fn at_start(&mut self, rule: Rule) -> Result<Place, Error> {
        let mut psi = self.start();
        self.orient(&mut psi);
        let (here, nodes) = self.at_new_nodes(&psi, coarse(rule))?;
        Ok((psi, here, nodes))
    }

    /// Climbs from a place, choosing nodes anew until they and the maximum agree.
    fn climb_nodes(
        &mut self,
        (mut psi, mut here, mut nodes): Place,
        rule: Rule,
        observe: Observer<'_>,
    ) -> Result<(Outcome, Evaluation, Nodes), Error> {
        let mut now = coarse(rule);
        let mut count = [0; 2];
        let mut round = 0;
        loop {
            // Second derivatives are those at fixed nodes. Where steps by them do not arrive, gradients correct them.
            let (curvature, max_iterations) = match round {
                0 | 1 => (Curvature::Exact, STEPS),
                _ => (Curvature::Updated, MAX_ITERATIONS),
            };
            let settings = Settings { max_iterations, ..self.settings(curvature, DECREMENT, INNER) };
            let mut objective = self.objective();
            let mut observed = |i, v, d| observe("quadrature", i, v, d);
            let mut outcome = maximise_from(&mut objective, &psi, here.clone(), settings, &mut observed);
            if outcome.reason == Reason::Interrupted {
                return Err(Error::Interrupted);
            }
            count = [count[0] + outcome.iterations, count[1] + outcome.evaluations + 1];
            [outcome.iterations, outcome.evaluations] = count;
            self.orient(&mut outcome.psi);
            // A short way leaves the nodes as good as they were.
            if now == rule && (inference::decrement(&here) < CLOSE || round >= PATIENCE) {
                return self.settle_nodes(outcome, nodes, rule, observe);
            }
            let loss = LOSS.max(self.coarseness(now));
            if outcome.decrement < NEAR {
                now = rule;
            }
            let mut next = self.at_new_nodes(&outcome.psi, now);
            // What old nodes promised and new ones do not keep is taken back by halves.
            while !next.as_ref().is_ok_and(|n| n.0.value >= here.value - loss) {
                if next.as_ref().is_err_and(|e| *e == Error::Interrupted) {
                    return Err(Error::Interrupted);
                }
                outcome.psi.iter_mut().zip(&psi).for_each(|(x, y)| *x = 0.5 * (*x + y));
                if outcome.psi.iter().zip(&psi).all(|(x, y)| (x - y).abs() <= 1e-12 * (1.0 + y.abs())) {
                    break;
                }
                next = self.at_new_nodes(&outcome.psi, now);
            }
            (here, nodes) = next?;
            psi.clone_from(&outcome.psi);
            if self.spread(&psi).is_some_and(|spread| spread < PERFECT) {
                return Err(perfect());
            }
            let left = inference::decrement(&here);
            if matches!(rule, Rule::Gauss(_)) || (left < DECREMENT && now == rule) {
                return self.settle_nodes(outcome, nodes, rule, observe);
            }
            if round == ROUNDS {
                outcome.reason = Reason::IterationLimit;
                outcome.decrement = left;
                return Ok((outcome, here, nodes));
            }
            if left < CLOSE && now != rule {
                now = rule;
                (here, nodes) = self.at_new_nodes(&psi, now)?;
            }
            round += 1;
        }
    }

    /// What the log-likelihood may change by with new nodes.
    fn coarseness(&self, rule: Rule) -> f64 {
        match rule {
            Rule::Adaptive(tolerance) => 2.0 * tolerance * self.weight,
            _ => 0.0,
        }
    }

    /// The end of the climb, as for Laplace's approximation. Nodes are chosen anew if that moved far.
    fn settle_nodes(
        &mut self,
        mut outcome: Outcome,
        mut nodes: Nodes,
        rule: Rule,
        observe: Observer<'_>,
    ) -> Result<(Outcome, Evaluation, Nodes), Error> {
        let before = outcome.psi.clone();
        let fixed = matches!(rule, Rule::Gauss(_));
        let mut last = match fixed || self.effects() <= SURE {
            true => self.settle(&mut outcome, observe)?,
            // Second derivatives by few nodes tell a flat ridge from a saddle no more.
            false => self.evaluate_top(&mut outcome.psi).ok_or_else(|| match self.control.stopped() {
                true => Error::Interrupted,
                false => rejected(Reject::NoMode),
            })?,
        };
        if outcome.psi.iter().zip(&before).any(|(x, y)| (x - y).abs() > FAR) {
            (last, nodes) = self.at_new_nodes(&outcome.psi, rule)?;
        }
        let rough = nodes.error > SLACK * self.negligible() * nodes.counts.len() as f64;
        if rough || fixed {
            last = self.polish(&mut outcome, last)?;
        }
        outcome.decrement = inference::decrement(&last);
        Ok((outcome, last, nodes))
    }

    /// Newton's method with the Hessian of a rule that may not have converged, by differences of its exact gradient:
    /// second derivatives at fixed nodes are then not those of the objective.
    fn polish(&mut self, outcome: &mut Outcome, mut last: Evaluation) -> Result<Evaluation, Error> {
        last.hessian = Some(self.hessian_by_differences(&outcome.psi)?);
        for _ in 0..POLISH {
            let left = inference::decrement(&last);
            if left < ARRIVED {
                break;
            }
            let Some(next) = self.step_up(outcome, &last)? else { break };
            last = Evaluation { hessian: last.hessian.take(), ..next };
            if left > LONG {
                last.hessian = Some(self.hessian_by_differences(&outcome.psi)?);
            }
        }
        Ok(last)
    }

    /// A Newton step, halved where the likelihood falls, as along a flat ridge; none where no part of it is any good.
    fn step_up(&mut self, outcome: &mut Outcome, last: &Evaluation) -> Result<Option<Evaluation>, Error> {
        let step = inference::step_from(&outcome.psi, last);
        let mut length = 1.0;
        for _ in 0..HALVINGS {
            let psi: Vec<f64> = outcome.psi.iter().zip(&step).map(|(x, d)| x + length * d).collect();
            let mut objective = self.objective();
            match objective.evaluate(&psi, Order::Gradient, INNER_LAST) {
                Ok(next) if next.value >= last.value - LOSS => {
                    objective.accept();
                    outcome.psi = psi;
                    return Ok(Some(next));
                }
                Err(Reject::Interrupted) => return Err(Error::Interrupted),
                _ => length *= 0.5,
            }
        }
        // Leaves the objective at the point that is reported.
        let mut objective = self.objective();
        objective.evaluate(&outcome.psi, Order::Gradient, INNER_LAST).map_err(rejected)?;
        objective.accept();
        Ok(None)
    }

    /// Central differences with one step of Richardson's extrapolation.
    fn hessian_by_differences(&mut self, psi: &[f64]) -> Result<Vec<f64>, Error> {
        let p = psi.len();
        let mut objective = self.objective();
        let mut central = |j: usize, h: f64| -> Result<Vec<f64>, Error> {
            let mut at = |h: f64| {
                let mut moved = psi.to_vec();
                moved[j] += h;
                objective.evaluate(&moved, Order::Gradient, INNER_LAST).map(|e| e.gradient).map_err(rejected)
            };
            let (up, down) = (at(h)?, at(-h)?);
            Ok(up.iter().zip(&down).map(|(a, b)| (a - b) / (2.0 * h)).collect())
        };
        let mut hessian = vec![0.0; p * p];
        for j in 0..p {
            let (wide, narrow) = (central(j, DIFFERENCE)?, central(j, 0.5 * DIFFERENCE)?);
            for i in 0..p {
                let d = (4.0 * narrow[i] - wide[i]) / 3.0;
                hessian[i * p + j] += 0.5 * d;
                hessian[j * p + i] += 0.5 * d;
            }
        }
        Ok(hessian)
    }

    /// New nodes at `psi`, and all derivatives by them.
    fn at_new_nodes(&mut self, psi: &[f64], rule: Rule) -> Result<(Evaluation, Nodes), Error> {
        let nodes = self.engine.units_mut().map_or(Ok(Nodes::default()), |u| u.choose(psi, rule)).map_err(rejected)?;
        let mut objective = self.objective();
        let evaluation = objective.evaluate(psi, Order::Hessian, INNER_LAST).map_err(rejected)?;
        objective.accept();
        Ok((evaluation, nodes))
    }

    /// What a reference that is had for the purpose adds.
    fn check_nodes(&self, psi: &[f64], last: &Evaluation, rule: Rule) -> Result<Check, Reject> {
        let all = self.engine.units().ok_or(Reject::NoMode)?;
        let work = if matches!(rule, Rule::Gauss(_)) { LOOK } else { f64::INFINITY };
        let sample = self.sample_for_check(all.units(), Rule::Reference(SLACK * self.negligible()), work);
        match sample.weight {
            1.0 => self.check_all(all, psi, last, &sample),
            _ => self.check(all, psi, Some(rule), &sample),
        }
    }

    fn certify_nodes(
        &mut self,
        outcome: &Outcome,
        last: &Evaluation,
        rule: Rule,
        nodes: &Nodes,
    ) -> Result<Certificate, Error> {
        let Some(all) = self.engine.units_mut() else { return Ok(Certificate::default()) };
        let units = all.units();
        let mut certificate =
            Certificate { method: "quadrature", units, nodes: spread(&nodes.counts), ..Default::default() };
        let found = match all.by_reference(&outcome.psi) {
            Some(better) => better.map(|better| self.check_known(better, &outcome.psi, last, units)),
            None => self.check_nodes(&outcome.psi, last, rule),
        };
        match found {
            Ok(check) => check.report(&self.standard, last, &mut certificate),
            Err(Reject::Interrupted) => return Err(Error::Interrupted),
            Err(_) => certificate.loglik_error = f64::NAN,
        }
        let prior = self.prior.as_ref().map_or(0.0, |p| p.value(&outcome.psi));
        let laplace = self.engine.units_mut().map_or(f64::NAN, |u| u.laplace_value(&outcome.psi));
        certificate.laplace_error = laplace - (last.value - prior + certificate.laplace_error);
        Ok(certificate)
    }
}

/// The rule far from the end of a climb.
fn coarse(rule: Rule) -> Rule {
    match rule {
        Rule::Adaptive(tolerance) => Rule::Adaptive(tolerance.max(COARSE)),
        rule => rule,
    }
}

/// Least, median and largest.
pub(super) fn spread(counts: &[usize]) -> [usize; 3] {
    let mut sorted = counts.to_vec();
    sorted.sort_unstable();
    let at = |i: usize| sorted.get(i).copied().unwrap_or(0);
    [at(0), at(sorted.len() / 2), at(sorted.len().saturating_sub(1))]
}
