//! The trapezoidal rule for E f(t), t ~ N(0, 1), and the step that a distribution function asks of it.

use crate::family::Family;
use crate::special::normal_pdf;

/// Where along a direction the sharpness of F(y | eta) is looked at.
const LOOKS: [f64; 3] = [-3.0, 0.0, 3.0];
/// Difference that gives the slope of a mean.
const H: f64 = 1e-4;

/// How many spreads of the response its mean moves by per unit of t, at t.
pub(super) fn turn(family: &dyn Family, size: f64, along: impl Fn(f64) -> Vec<f64>, t: f64) -> f64 {
    let slope = (family.mean(&along(t + H)) - family.mean(&along(t - H))) / (2.0 * H);
    let turn = slope.abs() / family.variance(&along(t), size).sqrt();
    if turn.is_finite() { turn } else { 1.0 }
}

/// The step, between `finest` and `widest`. Where F(y | eta) is normal with the mean moving by `turn` spreads per unit of t,
/// the error of a step stays the same when it shrinks by sqrt(1 + turn^2).
pub(super) fn step(
    family: &dyn Family,
    size: f64,
    along: impl Fn(f64) -> Vec<f64>,
    [finest, widest]: [f64; 2],
) -> f64 {
    let sharpest = LOOKS.iter().map(|&t| turn(family, size, &along, t)).fold(0.0, f64::max);
    (widest / 1.0f64.hypot(sharpest)).clamp(finest, widest)
}

/// (weight, t) up to `reach` on both sides, weights with sum one.
pub(super) fn line(step: f64, reach: f64) -> Vec<(f64, f64)> {
    let count = (reach / step) as i64;
    let points: Vec<f64> = (-count..=count).map(|i| i as f64 * step).collect();
    let total: f64 = points.iter().map(|&t| normal_pdf(t)).sum();
    points.iter().map(|&t| (normal_pdf(t) / total, t)).collect()
}

/// A rule with the weight up to each point.
pub(super) struct Rule {
    pub step: f64,
    pub line: Vec<(f64, f64)>,
    /// Of the points before each, and of all.
    pub before: Vec<f64>,
}

impl Rule {
    pub fn new(step: f64, reach: f64) -> Rule {
        let line = line(step, reach);
        let mut total = 0.0;
        let mut before = vec![0.0];
        before.extend(line.iter().map(|(weight, _)| {
            total += weight;
            total
        }));
        Rule { step, line, before }
    }
}
