//! Regularised incomplete gamma and beta functions, both tails, by quadrature of the smaller one.
//!
//! In the variables log t and logit t the integrands are exp of a smooth concave function for all
//! parameters, so one rule serves everywhere: panels of growing width until nothing is left.

use super::elementary::{exp, expm1, expm1mx_near, ln, log1p, log1pmx, select};
use super::gamma::stirling;
use super::vectorized;
use std::f64::consts::PI;

/// Nothing is left once the log integrand has dropped by this much.
const DROP: f64 = 42.0;
/// Longest tail, that of a shape parameter near the smallest double.
const LONGEST: f64 = 1e300;
/// Positive nodes of the 16-point Gauss-Legendre rule on (-1, 1), and their weights.
pub(crate) const NODES: [f64; 8] = [
    0.095_012_509_837_637_44,
    0.281_603_550_779_258_9,
    0.458_016_777_657_227_4,
    0.617_876_244_402_643_7,
    0.755_404_408_355_003,
    0.865_631_202_387_831_7,
    0.944_575_023_073_232_6,
    0.989_400_934_991_649_9,
];
pub(crate) const WEIGHTS: [f64; 8] = [
    0.189_450_610_455_068_5,
    0.182_603_415_044_923_6,
    0.169_156_519_395_002_54,
    0.149_595_988_816_576_73,
    0.124_628_971_255_533_87,
    0.095_158_511_682_492_78,
    0.062_253_523_938_647_894,
    0.027_152_459_411_754_095,
];

/// The log of an integrand, concave, less its value where the tail begins.
trait Exponent {
    /// At distance `h` >= 0 into the tail; 0 at 0 and falling.
    fn at(&self, h: f64) -> f64;
}

/// Integral of exp(exponent) over h in (0, inf).
fn tail_integral(exponent: &impl Exponent) -> f64 {
    vectorized(
        #[inline(always)]
        || {
            let width = end(exponent);
            // The integrand bends on a scale of 1 (its singularities are pi away), or of its decay.
            let (mut left, mut step, mut sum) = (0.0, (width / 6.0).min(1.5), 0.0);
            while left < width {
                let right = (left + step).min(width);
                sum += panel(exponent, left, right);
                (left, step) = (right, step * 1.5);
            }
            sum
        },
    )
}

/// A point where the exponent has just fallen below -DROP, to 1 part in 10.
#[inline(always)]
fn end(exponent: &impl Exponent) -> f64 {
    let mut high = 1.0;
    while exponent.at(high) > -DROP && high < LONGEST {
        high *= 2.0;
    }
    while exponent.at(0.5 * high) < -DROP {
        high *= 0.5;
    }
    let mut low = 0.5 * high;
    while high - low > 0.1 * high {
        let middle = 0.5 * (low + high);
        if exponent.at(middle) < -DROP { high = middle } else { low = middle }
    }
    high
}

#[inline(always)]
fn panel(exponent: &impl Exponent, left: f64, right: f64) -> f64 {
    let (center, half) = (0.5 * (left + right), 0.5 * (right - left));
    let mut values = [0.0; 8];
    for (value, x) in values.iter_mut().zip(&NODES) {
        *value = exp(exponent.at(center - half * x)) + exp(exponent.at(center + half * x));
    }
    half * values.iter().zip(&WEIGHTS).map(|(value, weight)| value * weight).sum::<f64>()
}

/// a ln t - t along ln t, down from x (`sign` = -1) or up from it (1).
struct GammaTail {
    a: f64,
    x: f64,
    sign: f64,
}

impl Exponent for GammaTail {
    #[inline(always)]
    fn at(&self, h: f64) -> f64 {
        let h = self.sign * h;
        let excess = select(h.abs() <= 0.5, expm1mx_near(h), expm1(h) - h);
        (self.a - self.x).mul_add(h, -self.x * excess)
    }
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
    let sign = if x < a { -1.0 } else { 1.0 };
    let tail = (scale * tail_integral(&GammaTail { a, x, sign })).min(1.0);
    if x < a { (tail, 1.0 - tail) } else { (1.0 - tail, tail) }
}

/// a ln t + b ln(1 - t) along logit t, down from x = 1 - y.
struct BetaTail {
    /// a + b
    n: f64,
    /// The smaller of x and y: then nothing cancels for small steps.
    share: f64,
    /// 1 where that is x, -1 where it is y
    sign: f64,
    /// a y - b x, with this sign
    slope: f64,
}

impl BetaTail {
    fn new(a: f64, b: f64, x: f64, y: f64) -> BetaTail {
        let sign = if x <= y { 1.0 } else { -1.0 };
        BetaTail { n: a + b, share: x.min(y), sign, slope: sign * (a * y - b * x) }
    }
}

impl Exponent for BetaTail {
    #[inline(always)]
    fn at(&self, h: f64) -> f64 {
        let h = -self.sign * h;
        let e = self.share * expm1(h);
        let near = log1pmx(e) + self.share * expm1mx_near(h);
        // exp saturates far up
        let far = select(h < 700.0, log1p(e), h + ln(self.share)) - self.share * h;
        self.slope.mul_add(h, -self.n * select(h.abs() <= 0.5, near, far))
    }
}

/// (I_x(a, b), 1 - I_x(a, b)) with `y` = 1 - x given apart, so that both ends are sharp; relative
/// errors as for [`gamma_inc`].
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
    let tail = tail_integral(&BetaTail::new(a, b, x, y));
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
