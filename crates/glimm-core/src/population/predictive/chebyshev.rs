//! Interpolation at Chebyshev points.

use std::f64::consts::PI;

/// The i-th of n points on [-1, 1].
fn point(i: usize, n: usize) -> f64 {
    -((i as f64 + 0.5) * PI / n as f64).cos()
}

/// n points of an interval; its middle is that of n = 1.
pub(super) fn points(n: usize, [low, high]: [f64; 2]) -> Vec<f64> {
    (0..n).map(|i| 0.5 * (high - low) * point(i, n) + 0.5 * (low + high)).collect()
}

/// Where x lies in an interval, on [-1, 1].
pub(super) fn place(x: f64, [low, high]: [f64; 2]) -> f64 {
    if high > low { (x - low - (high - x)) / (high - low) } else { 0.0 }
}

/// Coefficients of the polynomial through values at [`points`].
pub(super) fn coefficients(values: &[f64]) -> Vec<f64> {
    let n = values.len();
    let mut sums = vec![0.0; n];
    for (i, v) in values.iter().enumerate() {
        let x = point(i, n);
        let (mut before, mut now) = (x, 1.0);
        for sum in &mut sums {
            *sum += v * now;
            (before, now) = (now, 2.0 * x * now - before);
        }
    }
    sums.iter().enumerate().map(|(j, sum)| sum * if j == 0 { 1.0 } else { 2.0 } / n as f64).collect()
}

/// Number of leading coefficients that matter; `None` where the last ones still do.
pub(super) fn needed(coefficients: &[f64], tolerance: f64) -> Option<usize> {
    let small = |c: &f64| c.abs() <= tolerance;
    let count = coefficients.len() - coefficients.iter().rev().take_while(|c| small(c)).count();
    (count + 2 <= coefficients.len()).then_some(count.max(1))
}

/// The polynomial at x in [-1, 1], by Clenshaw's recurrence. (Fused products would be calls here, and slow.)
#[inline]
pub(super) fn value(coefficients: &[f64], x: f64) -> f64 {
    let (mut b, mut before) = (0.0, 0.0);
    for c in coefficients[1..].iter().rev() {
        (b, before) = (2.0 * x * b + (c - before), b);
    }
    x * b + (coefficients[0] - before)
}
