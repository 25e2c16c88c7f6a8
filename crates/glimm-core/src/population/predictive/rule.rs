//! The trapezoidal rule for E f(t), t ~ N(0, 1), and the step that a distribution function asks of it.

use std::ops::RangeInclusive;
use std::sync::LazyLock;

use crate::family::Family;
use crate::special::normal_pdf;

/// Where along a direction the sharpness of F(y | eta) is looked at.
const LOOKS: RangeInclusive<i32> = -14..=14;
const APART: f64 = 0.25;
/// Difference that gives the slope of a mean.
const H: f64 = 1e-4;

/// How many spreads of the response its mean moves by per unit of t, at t.
pub(super) fn turn(family: &dyn Family, size: f64, along: impl Fn(f64) -> Vec<f64>, t: f64) -> f64 {
    let slope = (family.mean(&along(t + H)) - family.mean(&along(t - H))) / (2.0 * H);
    let turn = slope.abs() / family.variance(&along(t), size).sqrt();
    if turn.is_finite() { turn } else { 1.0 }
}

/// Widest step of the rules, how often it is halved, and where they end.
const STEP: f64 = 0.8;
const HALVES: i32 = 12;
const REACH: f64 = 7.0;
/// Step in units of the scale on which a function turns.
const FINE: f64 = 0.25;

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| (0..=HALVES).map(|j| Rule::new(STEP * 0.5f64.powi(j))).collect());

/// The step, between `finest` and `widest`. Where F(y | eta) is normal with the mean moving by `turn` spreads per unit of t,
/// the error of a step stays the same when it shrinks by sqrt(1 + turn^2).
pub(super) fn step(family: &dyn Family, size: f64, along: impl Fn(f64) -> Vec<f64>, [finest, widest]: [f64; 2]) -> f64 {
    let sharpest = LOOKS.map(|i| turn(family, size, &along, f64::from(i) * APART)).fold(0.0, f64::max);
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
    step: f64,
    pub line: Vec<(f64, f64)>,
    /// Of the points before each, and of all.
    pub before: Vec<f64>,
}

impl Rule {
    /// The widest whose steps, times `sd`, are short on a scale.
    pub fn fitting(scale: f64, sd: f64) -> &'static Rule {
        RULES.iter().find(|rule| rule.step * sd <= FINE * scale).unwrap_or(&RULES[HALVES as usize])
    }

    fn new(step: f64) -> Rule {
        let line = line(step, REACH);
        let mut total = 0.0;
        let mut before = vec![0.0];
        before.extend(line.iter().map(|(weight, _)| {
            total += weight;
            total
        }));
        Rule { step, line, before }
    }
}
