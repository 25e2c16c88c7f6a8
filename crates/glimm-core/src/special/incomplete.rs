//! Regularised incomplete gamma and beta functions, both tails, by quadrature of the smaller one.
//!
//! In the variables log t and logit t the integrands are exp of a smooth concave function for all
//! parameters, so one rule serves everywhere: panels of growing width until nothing is left.

use super::elementary::{exp, expm1, expm1mx_near, ln, log1p, log1pmx};
use super::gamma::stirling;
use std::f64::consts::PI;

/// Nothing is left once the log integrand has dropped by this much.
const DROP: f64 = 42.0;
/// Nodes and weights of the 16-point Gauss-Legendre rule on (-1, 1), positive half.
const NODES: [(f64, f64); 8] = [
    (0.095_012_509_837_637_44, 0.189_450_610_455_068_5),
    (0.281_603_550_779_258_9, 0.182_603_415_044_923_6),
    (0.458_016_777_657_227_4, 0.169_156_519_395_002_54),
    (0.617_876_244_402_643_7, 0.149_595_988_816_576_73),
    (0.755_404_408_355_003, 0.124_628_971_255_533_87),
    (0.865_631_202_387_831_7, 0.095_158_511_682_492_78),
    (0.944_575_023_073_232_6, 0.062_253_523_938_647_894),
    (0.989_400_934_991_649_9, 0.027_152_459_411_754_095),
];

/// Integral over h in (0, inf) of exp(drop(h)), with `drop` concave, 0 at 0 and not rising there.
fn tail_integral(drop: impl Fn(f64) -> f64) -> f64 {
    let width = end(&drop);
    // The integrand bends on a scale of 1 (singularities at distance pi), or on that of its decay.
    let (mut left, mut step, mut sum) = (0.0, (width / 6.0).min(1.5), 0.0);
    while left < width {
        let right = (left + step).min(width);
        sum += panel(&drop, left, right);
        (left, step) = (right, step * 1.5);
    }
    sum
}

/// A point where `drop` has just fallen below -DROP, to 1 part in 10.
fn end(drop: &impl Fn(f64) -> f64) -> f64 {
    let mut high = 1.0;
    while drop(high) > -DROP {
        high *= 2.0;
    }
    while drop(0.5 * high) < -DROP {
        high *= 0.5;
    }
    let mut low = 0.5 * high;
    while high - low > 0.1 * high {
        let middle = 0.5 * (low + high);
        if drop(middle) < -DROP { high = middle } else { low = middle }
    }
    high
}

fn panel(drop: &impl Fn(f64) -> f64, left: f64, right: f64) -> f64 {
    let (center, half) = (0.5 * (left + right), 0.5 * (right - left));
    let pair = |x: f64| exp(drop(center - half * x)) + exp(drop(center + half * x));
    half * NODES.iter().map(|&(x, w)| w * pair(x)).sum::<f64>()
}

/// exp(h) - 1 - h.
fn expm1mx(h: f64) -> f64 {
    if h.abs() <= 0.5 { expm1mx_near(h) } else { expm1(h) - h }
}

/// (P(a, x), Q(a, x)): the lower and upper tail of a gamma variable of shape `a` > 0, each with a
/// relative error of about 1e-13 where it is the smaller one.
pub fn gamma_inc(a: f64, x: f64) -> (f64, f64) {
    if x <= 0.0 {
        return (0.0, 1.0);
    }
    if x == f64::INFINITY {
        return (1.0, 0.0);
    }
    let ratio = (x - a) / a;
    let deviance = if ratio.abs() < 0.4 { -log1pmx(ratio) } else { ratio - ln(x / a) };
    let scale = (a / (2.0 * PI)).sqrt() * exp(-a * deviance - stirling(a)[0]);
    let drop = |h: f64| (a - x).mul_add(h, -x * expm1mx(h));
    if x < a {
        let lower = (scale * tail_integral(|h| drop(-h))).min(1.0);
        (lower, 1.0 - lower)
    } else {
        let upper = (scale * tail_integral(drop)).min(1.0);
        (1.0 - upper, upper)
    }
}

/// (I_x(a, b), 1 - I_x(a, b)) with `y` = 1 - x given apart, so that both ends are sharp.
pub fn beta_inc(a: f64, b: f64, x: f64, y: f64) -> (f64, f64) {
    if x <= 0.0 {
        return (0.0, 1.0);
    }
    if y <= 0.0 {
        return (1.0, 0.0);
    }
    if a * y < b * x {
        let (upper, lower) = beta_inc(b, a, y, x);
        return (lower, upper);
    }
    let tail = tail_integral(|h| beta_drop(a, b, x, y, -h));
    let lower = (beta_scale(a, b, x, y) * tail).min(1.0);
    (lower, 1.0 - lower)
}

/// x^a y^b / B(a, b).
fn beta_scale(a: f64, b: f64, x: f64, y: f64) -> f64 {
    let n = a + b;
    // The deviance a ln(a / (n x)) + b ln(b / (n y)) with a / n = x + d and b / n = y - d.
    let d = (a * y - b * x) / n;
    let (u, v) = (d / x, -d / y);
    let deviance = if u.abs().max(v.abs()) < 0.25 {
        -n * u * v + a * log1pmx(u) + b * log1pmx(v)
    } else {
        a * log_share(u, a / (n * x)) + b * log_share(v, b / (n * y))
    };
    let remainder = stirling(n)[0] - stirling(a)[0] - stirling(b)[0];
    (a * (b / n) / (2.0 * PI)).sqrt() * exp(remainder - deviance)
}

/// ln(share), where share = 1 + u.
fn log_share(u: f64, share: f64) -> f64 {
    if u.abs() < 0.5 { log1p(u) } else { ln(share) }
}

/// Change of a ln t + b ln(1 - t) when logit t moves from logit x by h.
fn beta_drop(a: f64, b: f64, x: f64, y: f64, h: f64) -> f64 {
    let slope = a * y - b * x;
    // Roles swap so that x <= 1/2: then nothing cancels for small h.
    let (x, y, h, slope) = if x <= y { (x, y, h, slope) } else { (y, x, -h, -slope) };
    if h.abs() <= 0.5 {
        let growth = log1pmx(x * expm1(h)) + x * expm1mx(h);
        slope.mul_add(h, -(a + b) * growth)
    } else {
        // exp saturates beyond
        let log = if h > 700.0 { h + ln(x + y * exp(-h)) } else { log1p(x * expm1(h)) };
        slope.mul_add(h, -(a + b) * (log - x * h))
    }
}
