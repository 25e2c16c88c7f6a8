//! Damped Newton and quasi-Newton ascent.
//!
//! The step solves (|H| + mu D^2) d = g, where |H| has the absolute eigenvalues of the diagonally
//! scaled negative Hessian (so that saddles repel). The damping mu keeps the step within a trust
//! radius, which the ratio of actual to predicted gain rules (Moré and Sorensen 1983, SIAM J. Sci.
//! Stat. Comput. 4, 553-572). Convergence is judged by the decrement g'H^-1 g: the squared
//! distance to the maximum in standard errors, twice the log-likelihood left. Unlike the gradient or
//! the change of parameters it does not depend on units.

use std::ops::Range;

use super::polar;
use crate::linalg::dense;
use crate::objective::{Evaluation, Objective, Order, Reject};

/// Eigenvalues below this fraction of the largest are raised to it.
const EIGENVALUE_FLOOR: f64 = 1e-9;
/// Steps whose gain is this fraction of the prediction are taken.
const ACCEPT: f64 = 1e-3;
/// Differences of log-likelihoods below this fraction of their size are rounding.
const ROUNDING: f64 = 1e-11;
/// Trust radius, in units of sqrt(curvature), at which no progress is possible.
const LEAST_RADIUS: f64 = 1e-10;
/// Ratios of actual to predicted gain below and above which the radius shrinks and grows.
const POOR: f64 = 0.25;
const GOOD: f64 = 0.75;
/// Expected fall of the decrement in one step, by which the accuracy of the modes is chosen.
const FALL: f64 = 1e-4;
/// The information is had anew at the points of the first steps, while the decrement is beyond this.
/// Later, as when a variance goes to zero, updates know more.
const FAR: f64 = 1.0;
const FIRST_STEPS: usize = 4;

/// Whether the next point is to bring its information.
pub(super) fn informs(iteration: usize, decrement: f64) -> bool {
    iteration < FIRST_STEPS && decrement > FAR
}

/// Loosest modes.
const LOOSEST: f64 = 1e-4;

/// Where second derivatives come from.
#[derive(Clone, Copy)]
pub enum Curvature {
    /// The exact Hessian at every point.
    Exact,
    /// The Hessian at the start if it is known, else the objective's own information, had anew while far from the top;
    /// corrected by BFGS updates.
    Updated,
}

#[derive(Clone)]
pub struct Settings {
    pub curvature: Curvature,
    /// Decrement at which to stop.
    pub tolerance: f64,
    /// Newton decrement to which the inner problems are solved at the top; further down they are
    /// solved as well as the gradient needs them, which is less.
    pub inner_tolerance: f64,
    pub max_iterations: usize,
    /// Largest change of each parameter in one step (infinite where there is no limit).
    pub reach: Vec<f64>,
    /// Size of each parameter beyond which it is on its way to infinity (infinite where none is).
    pub limits: Vec<f64>,
    /// Parameters that move along circles: rows of factors. With exact curvature only.
    pub rows: Vec<Range<usize>>,
}

impl Settings {
    /// The derivatives that are needed after so many iterations, at such a decrement.
    fn order(&self, iteration: usize, decrement: f64) -> Order {
        match self.curvature {
            Curvature::Exact => Order::Hessian,
            Curvature::Updated if informs(iteration, decrement) => Order::Information,
            Curvature::Updated => Order::Gradient,
        }
    }

    /// To which decrement the inner problems are solved.
    fn inner(&self, decrement: f64) -> f64 {
        let looser = (FALL * decrement / self.tolerance).sqrt().max(1.0);
        (self.inner_tolerance * looser).min(LOOSEST).max(self.inner_tolerance)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Converged,
    /// No step raises the objective further.
    NoProgress,
    IterationLimit,
    /// The likelihood still bends upwards where the climb ended.
    Saddle,
    /// The objective has no value at the start.
    BadStart,
    /// A parameter went beyond its limit: the objective rises for ever.
    Runaway,
    Interrupted,
}

pub struct Outcome {
    /// The maximum; after convergence one last Newton step beyond the last evaluated point.
    pub psi: Vec<f64>,
    pub value: f64,
    /// Negative Hessian last used.
    pub curvature: Vec<f64>,
    pub decrement: f64,
    /// The decrement one step earlier, and after convergence the point from which the last step was taken.
    pub before: f64,
    pub here: Option<Evaluation>,
    pub reason: Reason,
    pub iterations: usize,
    pub evaluations: usize,
}

impl Outcome {
    /// Before the first step.
    pub(super) fn at(start: &[f64]) -> Outcome {
        Outcome {
            psi: start.to_vec(),
            value: f64::NEG_INFINITY,
            curvature: Vec::new(),
            decrement: f64::INFINITY,
            before: f64::INFINITY,
            here: None,
            reason: Reason::BadStart,
            iterations: 0,
            evaluations: 0,
        }
    }

    /// The objective has no value at the start.
    pub(super) fn rejected(start: &[f64], reject: Reject) -> Outcome {
        let reason = if reject == Reject::Interrupted { Reason::Interrupted } else { Reason::BadStart };
        Outcome { reason, evaluations: 1, ..Outcome::at(start) }
    }
}

/// The quadratic model at one point, in scaled eigen-coordinates.
pub(super) struct Model {
    scale: Vec<f64>,
    values: Vec<f64>,
    vectors: Vec<f64>,
    gradient: Vec<f64>,
}

impl Model {
    pub(super) fn new(h: &[f64], g: &[f64]) -> Option<Model> {
        let p = g.len();
        let largest = (0..p).map(|i| h[i * p + i].abs()).fold(0.0, f64::max);
        let scale: Vec<f64> =
            (0..p).map(|i| h[i * p + i].abs().max(1e-12 * largest).max(f64::MIN_POSITIVE).sqrt()).collect();
        let scaled: Vec<f64> = (0..p * p).map(|i| h[i] / (scale[i / p] * scale[i % p])).collect();
        let (mut values, vectors) = dense::eigen(&scaled, p)?;
        let top = values.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        values.iter_mut().for_each(|v| *v = v.abs().max(EIGENVALUE_FLOOR * top));
        let gradient = (0..p).map(|j| (0..p).map(|i| vectors[i * p + j] * g[i] / scale[i]).sum()).collect();
        Some(Model { scale, values, vectors, gradient })
    }

    pub(super) fn decrement(&self) -> f64 {
        self.gradient.iter().zip(&self.values).map(|(g, l)| g * g / l).sum()
    }

    /// Length of the step with damping `mu`, in the scaled metric.
    fn length(&self, mu: f64) -> f64 {
        self.gradient.iter().zip(&self.values).map(|(g, l)| (g / (l + mu)).powi(2)).sum::<f64>().sqrt()
    }

    /// The least damping that keeps the step within `radius`.
    fn damping(&self, radius: f64) -> f64 {
        if self.length(0.0) <= radius {
            return 0.0;
        }
        let (mut low, mut high) = (0.0, self.gradient.iter().map(|g| g * g).sum::<f64>().sqrt() / radius);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if self.length(middle) > radius {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
    }

    /// The step within `radius` that changes no parameter by more than its `reach`, and its damping.
    pub(super) fn step_within(&self, mut radius: f64, reach: &[f64]) -> (Vec<f64>, f64) {
        loop {
            let mu = self.damping(radius);
            let step = self.step(mu);
            let excess = step.iter().zip(reach).map(|(s, r)| s.abs() / r).fold(0.0, f64::max);
            if excess <= 1.0 {
                return (step, mu);
            }
            radius = 0.9 * self.length(mu) / excess.min(10.0);
        }
    }

    fn step(&self, mu: f64) -> Vec<f64> {
        let p = self.scale.len();
        let along: Vec<f64> = self.gradient.iter().zip(&self.values).map(|(g, l)| g / (l + mu)).collect();
        (0..p).map(|i| (0..p).map(|j| self.vectors[i * p + j] * along[j]).sum::<f64>() / self.scale[i]).collect()
    }

    fn predicted_gain(&self, mu: f64) -> f64 {
        let gain = |(g, l): (&f64, &f64)| g * g / (l + mu) * (1.0 - 0.5 * l / (l + mu));
        self.gradient.iter().zip(&self.values).map(gain).sum()
    }
}

/// Climbs from `start`. Every trial point is evaluated once, with all derivatives that will be needed.
/// `observe` sees (iteration, value, decrement) and may end the climb by returning false.
pub fn maximise(
    objective: &mut dyn Objective,
    start: &[f64],
    settings: Settings,
    observe: &mut dyn FnMut(usize, f64, f64) -> bool,
) -> Outcome {
    match objective.evaluate(start, settings.order(0, f64::INFINITY), settings.inner(f64::INFINITY)) {
        Ok(here) => {
            objective.accept();
            let outcome = maximise_from(objective, start, here, settings, observe);
            Outcome { evaluations: outcome.evaluations + 1, ..outcome }
        }
        Err(reject) => Outcome::rejected(start, reject),
    }
}

/// The same where all that is needed at `start` is known and accepted.
pub fn maximise_from(
    objective: &mut dyn Objective,
    start: &[f64],
    mut here: Evaluation,
    settings: Settings,
    observe: &mut dyn FnMut(usize, f64, f64) -> bool,
) -> Outcome {
    let exact = matches!(settings.curvature, Curvature::Exact);
    let mut outcome = Outcome::at(start);
    outcome.curvature = match &here.hessian {
        Some(_) => negative(&here),
        None => objective.information().unwrap_or_else(|| identity(start.len())),
    };
    let rows: &[Range<usize>] = if exact { &settings.rows } else { &[] };
    let mut radius = f64::INFINITY;
    loop {
        outcome.value = here.value;
        let mut curvature = outcome.curvature.clone();
        polar::bend(&mut curvature, &here.gradient, &outcome.psi, rows);
        let Some(model) = Model::new(&curvature, &here.gradient) else {
            outcome.reason = Reason::NoProgress;
            return outcome;
        };
        (outcome.before, outcome.decrement) = (outcome.decrement, model.decrement());
        if !observe(outcome.iterations, here.value, outcome.decrement) {
            outcome.reason = Reason::Interrupted;
            return outcome;
        }
        if outcome.decrement < settings.tolerance {
            if exact || outcome.iterations > 0 {
                outcome.psi = polar::moved(&outcome.psi, &model.step(0.0), rows);
            }
            outcome.reason = Reason::Converged;
            outcome.here = Some(here);
            return outcome;
        }
        if outcome.psi.iter().zip(&settings.limits).any(|(x, limit)| x.abs() > *limit) {
            outcome.reason = Reason::Runaway;
            return outcome;
        }
        if outcome.iterations == settings.max_iterations {
            outcome.reason = Reason::IterationLimit;
            return outcome;
        }
        let (step, next) = loop {
            let (step, mu) = model.step_within(radius, &settings.reach);
            let length = model.length(mu);
            let psi = polar::moved(&outcome.psi, &step, rows);
            outcome.evaluations += 1;
            match objective.evaluate(
                &psi,
                settings.order(outcome.iterations, outcome.decrement),
                settings.inner(outcome.decrement),
            ) {
                Err(Reject::Interrupted) => {
                    outcome.reason = Reason::Interrupted;
                    return outcome;
                }
                Err(_) => {}
                Ok(next) => {
                    let (gain, predicted) = (next.value - here.value, model.predicted_gain(mu));
                    let noise = ROUNDING * here.value.abs();
                    let negligible = gain.abs() < noise && predicted < 100.0 * noise;
                    let ratio = gain / predicted;
                    if ratio > ACCEPT || negligible {
                        if ratio > GOOD {
                            radius = radius.max(2.5 * length);
                        } else if ratio < POOR && !negligible {
                            radius = 0.5 * length;
                        }
                        break (step, next);
                    }
                }
            }
            radius = POOR * length;
            if radius < LEAST_RADIUS {
                outcome.reason = Reason::NoProgress;
                return outcome;
            }
        };
        objective.accept();
        outcome.psi = polar::moved(&outcome.psi, &step, rows);
        if next.hessian.is_some() {
            outcome.curvature = negative(&next);
        } else {
            outcome.curvature = objective.information().unwrap_or(outcome.curvature);
            // What the step has shown holds also where the information knows nothing, as at zero variances.
            bfgs(&mut outcome.curvature, &step, &here.gradient, &next.gradient);
        }
        here = next;
        outcome.iterations += 1;
    }
}

pub(super) fn add(x: &mut [f64], d: &[f64]) {
    x.iter_mut().zip(d).for_each(|(x, d)| *x += d);
}

fn negative(e: &Evaluation) -> Vec<f64> {
    e.hessian.iter().flatten().map(|h| -h).collect()
}

fn identity(p: usize) -> Vec<f64> {
    (0..p * p).map(|i| f64::from(u8::from(i / p == i % p))).collect()
}

/// The BFGS update of a negative Hessian after the step `d` from gradient `g` to `g_next`.
pub(super) fn bfgs(h: &mut [f64], d: &[f64], g: &[f64], g_next: &[f64]) {
    let p = d.len();
    let y: Vec<f64> = g.iter().zip(g_next).map(|(a, b)| a - b).collect();
    let hd: Vec<f64> = (0..p).map(|i| (0..p).map(|j| h[i * p + j] * d[j]).sum()).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (dy, dhd) = (dot(d, &y), dot(d, &hd));
    // A step that saw no positive curvature says nothing about it.
    if dy <= 1e-8 * (dot(d, d) * dot(&y, &y)).sqrt() || dhd <= 0.0 {
        return;
    }
    for i in 0..p {
        for j in 0..p {
            h[i * p + j] += y[i] * y[j] / dy - hd[i] * hd[j] / dhd;
        }
    }
}
