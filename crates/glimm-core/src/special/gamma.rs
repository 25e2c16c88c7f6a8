//! The gamma function and its logarithmic derivatives, by Stirling's remainder.

use super::elementary::{ln, polynomial, select};
use std::f64::consts::PI;
use std::sync::LazyLock;

/// ln(2 pi) / 2.
pub(crate) const HALF_LN_2PI: f64 = 0.918_938_533_204_672_7;
/// Below this, arguments move up by as many steps of the recurrence.
const STEPS: usize = 11;
/// B_2k / (2k (2k - 1)): the remainder is their sum over x^(2k - 1).
const SERIES: [f64; 11] = [
    0.083_333_333_333_333_33,
    -0.002_777_777_777_777_778,
    0.000_793_650_793_650_793_7,
    -0.000_595_238_095_238_095_2,
    0.000_841_750_841_750_841_7,
    -0.001_917_526_917_526_917_5,
    0.006_410_256_410_256_41,
    -0.029_550_653_594_771_24,
    0.179_644_372_368_830_57,
    -1.392_432_216_905_901_1,
    13.402_864_044_168_392,
];

/// Coefficients of x^k S^(k)(x) in the series of [`SERIES`].
const fn series_derivative(k: usize) -> [f64; 11] {
    let mut c = SERIES;
    let mut term = 0;
    while term < 11 {
        let mut j = 0;
        while j < k {
            c[term] *= -((2 * term + 1 + j) as f64);
            j += 1;
        }
        term += 1;
    }
    c
}
const SERIES_DERIVATIVES: [[f64; 11]; 5] =
    [SERIES, series_derivative(1), series_derivative(2), series_derivative(3), series_derivative(4)];

/// Stirling's remainder S(x) = lgamma(x) - (x - 1/2) ln x + x - ln(2 pi) / 2 for x > 0, and
/// x^k times its k-th derivative for k = 1..4: these stay bounded at both ends, except S itself,
/// which grows like ln(1/x) / 2 at 0. Absolute error 1e-15, in
/// the fourth derivative 1e-14.
#[inline(always)]
pub fn stirling(x: f64) -> [f64; 5] {
    let steps = STEPS as f64;
    let small = x < steps;
    let far = asymptotic(select(small, x + steps, x));
    // Clamped so that the unused lanes of a vector stay finite.
    let near = step_down(select(small, x, steps), &far);
    let mut s = far;
    for k in 0..5 {
        s[k] = select(small, near[k], far[k]);
    }
    s
}

#[inline(always)]
fn asymptotic(x: f64) -> [f64; 5] {
    let inv = 1.0 / x;
    let z = inv * inv;
    let mut s = [0.0; 5];
    for k in 0..5 {
        s[k] = inv * polynomial(&SERIES_DERIVATIVES[k], z);
    }
    s
}

/// The remainder at x from that at x + STEPS, by the recurrence of the (poly)gamma functions.
#[inline(always)]
fn step_down(x: f64, far: &[f64; 5]) -> [f64; 5] {
    let steps = STEPS as f64;
    let rho = x / (x + steps);
    let log_ratio = ln((x + steps) / x);
    let ([p1, p2, p3, p4], log_product) = power_sums(x);
    let (rho2, rho3) = (rho * rho, rho * rho * rho);
    let rho4 = rho2 * rho2;
    [
        far[0] + (x + 0.5).mul_add(log_ratio, -steps) - log_product,
        rho.mul_add(far[1], x * log_ratio) - 0.5 * (1.0 + rho) - p1,
        rho2.mul_add(far[2], x * (rho - 1.0)) + 0.5 * (1.0 + rho2) + p2,
        rho3.mul_add(far[3], x * (1.0 - rho2)) - (1.0 + rho3) - 2.0 * p3,
        rho4.mul_add(far[4], -2.0 * x * (1.0 - rho3)) + 3.0 * (1.0 + rho4) + 6.0 * p4,
    ]
}

/// Sums over 0 < j < STEPS of the powers 1 to 4 of x / (x + j), and of ln((x + j) / (x + STEPS)).
#[inline(always)]
fn power_sums(x: f64) -> ([f64; 4], f64) {
    let mut sums = [0.0; 4];
    let mut product = 1.0;
    for j in (1..STEPS).step_by(2) {
        let (a, b) = (x + j as f64, x + (j + 1) as f64);
        // one division for two terms
        let both = a * b;
        let scaled = x / both;
        product *= both;
        for ratio in [scaled * b, scaled * a] {
            let square = ratio * ratio;
            sums[0] += ratio;
            sums[1] += square;
            sums[2] = square.mul_add(ratio, sums[2]);
            sums[3] = square.mul_add(square, sums[3]);
        }
    }
    let top = x + STEPS as f64;
    let top2 = top * top;
    let top5 = top2 * top2 * top;
    (sums, ln(product / (top5 * top5)))
}

/// Log density of a Poisson count at its own mean: y ln y - y - ln y!.
pub fn saturated_poisson(y: f64) -> f64 {
    /// Most counts are small, and there are many of them.
    static SMALL: LazyLock<[f64; 256]> = LazyLock::new(|| std::array::from_fn(|y| saturated(y as f64)));
    match SMALL.get(y as usize) {
        Some(known) if y == y.trunc() => *known,
        _ => saturated(y),
    }
}

fn saturated(y: f64) -> f64 {
    if y > 0.0 { -0.5 * ln(2.0 * PI * y) - stirling(y)[0] } else { 0.0 }
}

/// ln of the gamma function, x > 0.
pub fn lgamma(x: f64) -> f64 {
    // Near its zeros at 1 and 2 the remainder would lose relative accuracy.
    if x < STEPS as f64 { libm::lgamma(x) } else { (x - 0.5).mul_add(ln(x), -x) + (HALF_LN_2PI + stirling(x)[0]) }
}

/// Derivative of [`lgamma`].
pub fn digamma(x: f64) -> f64 {
    ln(x) + (stirling(x)[1] - 0.5) / x
}

/// Second derivative of [`lgamma`].
pub fn trigamma(x: f64) -> f64 {
    (1.0 + (0.5 + stirling(x)[2]) / x) / x
}

/// Third derivative of [`lgamma`].
pub fn polygamma2(x: f64) -> f64 {
    -(1.0 + (1.0 - stirling(x)[3]) / x) / (x * x)
}

/// Fourth derivative of [`lgamma`].
pub fn polygamma3(x: f64) -> f64 {
    (2.0 + (3.0 + stirling(x)[4]) / x) / (x * x * x)
}
