//! The part of the Tweedie density that does not depend on the mean, as a function of two variables.
//!
//! A Tweedie variable is a sum of J gamma variables of shape gamma, J a Poisson count. At mu = y, with lambda the mean of J
//! and d(j) = j ln(j / lambda) - j + lambda, its density over y is the sum over j >= 1 of
//!
//!   exp(-(1 + gamma) d(j) - S(j) - S(j gamma)) sqrt(gamma) / (2 pi),
//!
//! S being Stirling's remainder: the series of Dunn and Smyth (2005, Statistics and Computing 15) about its largest terms,
//! where nothing large cancels. The exponent is concave in j, so the terms are summed from about the largest one outward.
//! Once they vary slowly in j the sum equals the integral, by Poisson's summation formula up to the factor
//! exp(-2 pi^2 lambda / (1 + gamma)); the trapezoidal rule in w = (j - lambda) sqrt((1 + gamma) / lambda) then takes few
//! terms, however large lambda is (compare Dunn and Smyth 2008, Statistics and Computing 18).

use super::jets::Jet;
use crate::special::{exp, ln, log1p, log1pmx, stirling, vectorized};
use std::f64::consts::PI;

const LN_2PI: f64 = 1.837_877_066_409_345_5;
/// Terms smaller than the largest by this much are left out.
const DROP: f64 = 40.0;
/// The integral needs a ratio of mean and squared width of the sum above exp of this, so that no weight is left at 0, and
/// this many nats of precision.
const LOG_RATIO: f64 = 4.6;
const PRECISION: f64 = 30.0;
/// Step and reach of the trapezoidal rule in w.
const STEP: f64 = 0.7;
const FIRST: i32 = -13;
const LAST: i32 = 16;

/// d(j) for a Poisson count with mean `rate` = exp(log_rate).
#[inline(always)]
pub(super) fn divergence(j: f64, rate: f64, log_rate: f64) -> f64 {
    let x = (j - rate) / rate;
    if x.abs() < 0.4 { rate * ((1.0 + x) * log1pmx(x) + x * x) } else { j * (ln(j) - log_rate) - (j - rate) }
}

/// S(j).
pub(super) fn saturation(j: f64) -> f64 {
    vectorized(
        #[inline(always)]
        || stirling(j)[0],
    )
}

/// Whether the sum with these ln lambda and ln gamma is an integral.
fn is_smooth(log_rate: f64, log_shape: f64) -> bool {
    let log_share = -ln(1.0 + exp(log_shape));
    let width = exp((log_rate + log_share).min(600.0));
    log_rate - log_share > LOG_RATIO && 2.0 * PI * PI * width > PRECISION + 4.0 * (LN_2PI + log_rate)
}

/// The log of the sum and its derivatives in ln lambda and ln gamma: as many as there is room for.
pub(super) fn log_sum<const M: usize>(log_rate: f64, log_shape: f64) -> [f64; M] {
    let (l, g) = (Jet::<2, M>::variable(0, log_rate), Jet::<2, M>::variable(1, log_shape));
    let sum = if is_smooth(log_rate, log_shape) { integral(l, g) } else { series(l, g) };
    (sum + g * 0.5 - LN_2PI).derivatives()
}

fn series<const M: usize>(l: Jet<2, M>, g: Jet<2, M>) -> Jet<2, M> {
    let (log_rate, rate, ratio) = (l.value(), exp(l.value()), g.exp() + 1.0);
    let term = |j: f64| {
        let d = l.compose([divergence(j, rate, log_rate), rate - j, rate, rate, rate]);
        -(ratio * d) - (g + ln(j)).stirling_exp() - saturation(j)
    };
    let first = rate.round().max(1.0);
    // relative to it as a function, not a number: its derivatives are large where those of the sum need not be
    let base = term(first);
    let mut sum = Jet::constant(1.0);
    let mut add = |j: f64| {
        let c = term(j) - base;
        sum = sum + c.exp();
        c.value() > -DROP
    };
    let mut j = first + 1.0;
    while add(j) {
        j += 1.0;
    }
    j = first - 1.0;
    while j >= 1.0 && add(j) {
        j -= 1.0;
    }
    sum.ln() + base
}

fn integral<const M: usize>(l: Jet<2, M>, g: Jet<2, M>) -> Jet<2, M> {
    // ln sqrt(lambda / (1 + gamma)) and ln sqrt(1 / (lambda (1 + gamma)))
    let log_share = -g.softplus();
    let (log_width, log_unit) = ((l + log_share) * 0.5, (log_share - l) * 0.5);
    let mut sum = Jet::constant(0.0);
    for k in FIRST..=LAST {
        let w = STEP * f64::from(k);
        let (bend, log_j) = if k == 0 {
            (Jet::constant(0.5), l)
        } else {
            let log_x = log_unit + ln(w.abs());
            let x = exp(log_x.value()).copysign(w);
            (log_x.compose(bend(x)), l + log_x.compose(log_one_plus(x)))
        };
        sum = sum + (bend * (-w * w) - log_j.stirling_exp() - (log_j + g).stirling_exp()).exp();
    }
    sum.ln() + log_width + ln(STEP)
}

/// ((1 + x) ln(1 + x) - x) / x^2 and its first four derivatives in ln |x|.
fn bend(x: f64) -> [f64; 5] {
    let (m, c) = (log1p(x) / x, 1.0 / (1.0 + x));
    let v = c * (1.0 - c);
    let b0 = 1.0 + (1.0 + x) * (log1pmx(x) / (x * x));
    let b1 = m - 2.0 * b0;
    let b2 = c - m - 2.0 * b1;
    let b3 = m - c - v - 2.0 * b2;
    let b4 = v * (1.0 - 2.0 * c) + v + c - m - 2.0 * b3;
    [b0, b1, b2, b3, b4]
}

/// ln(1 + x) and its first four derivatives in ln |x|.
fn log_one_plus(x: f64) -> [f64; 5] {
    let u = x / (1.0 + x);
    let w = u * (1.0 - u);
    [log1p(x), u, w, w * (1.0 - 2.0 * u), w * (1.0 - 6.0 * w)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where both serve; rounding takes (lambda (1 + gamma))^2 of the sum's fourth derivatives.
    #[test]
    fn the_integral_is_the_series() {
        for (l, g) in [(5.0, 0.3), (6.5, -2.0), (5.5, 0.8)] {
            assert!(is_smooth(l, g));
            let (l, g) = (Jet::<2, 15>::variable(0, l), Jet::<2, 15>::variable(1, g));
            let (sum, integral) = (series(l, g).derivatives(), integral(l, g).derivatives());
            for c in 0..15 {
                assert!((sum[c] - integral[c]).abs() < 1e-8, "{c} {} {}", sum[c], integral[c]);
            }
            assert!((sum[0] - integral[0]).abs() < 1e-12);
        }
    }
}
