//! Tweedie responses, zero or positive, with variance phi mu^p and 1 < p < 2: predictor 1 is log phi, predictor 2 the log
//! odds of p between 1 and 2.
//!
//!   ln f = (y mu^(1 - p) / (1 - p) - mu^(2 - p) / (2 - p)) / phi + (a function of y, phi and p)
//!
//! (Jorgensen 1987, Journal of the Royal Statistical Society B 49). With P = p - 1, Q = 2 - p and e = ln(mu / y) it is taken
//! relative to mu = y: the first part becomes -y^Q / phi ((exp(-P e) - 1) / P + (exp(Q e) - 1) / Q), the second is
//! in `tweedie_series`, at ln lambda = Q ln y - ln phi - ln Q and ln gamma = ln(Q / P), which is minus predictor 2.
//! P(Y = 0) = exp(-mu^Q / (phi Q)).

use super::beta::draw_log_gamma;
use super::jets::{self, Density, Jet};
use super::tweedie_series::{divergence, log_sum};
use super::{Derivs, Family, Parameter, Random, Rows, Scale, Want, component_offset, poisson, weighted_mean};
use crate::link::Link;
use crate::special::{exp, gamma_inc, ln, logistic, normal_cdf, saturated_poisson, softplus};

pub(super) const LINKS: &[Link] = &[Link::Log];
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "phi",
        meaning: "dispersion: the variance is phi mean^power",
        scale: Scale::Log,
        dispersion: true,
        precision: -1.0,
    },
    Parameter {
        name: "power",
        meaning: "power of the mean in the variance, between 1 (as Poisson) and 2 (as gamma)",
        scale: Scale::Between(1.0, 2.0),
        dispersion: false,
        precision: 0.0,
    },
];

/// Predictors saturate here.
const MEAN_LIMIT: f64 = 150.0;
const PHI: (f64, f64) = (-100.0, 200.0);
const POWER_LIMIT: f64 = 30.0;
/// So do exponents.
const EXPONENT_LIMIT: f64 = 300.0;
/// Up to here (exp(z) - 1) / z and its relative are summed as series of so many terms.
const NEAR: f64 = 2.0;
const TERMS: usize = 30;
/// Counts beyond this no longer vary.
const CERTAIN: f64 = 1e12;
/// Terms of a distribution function on each side of the largest.
const MOST_TERMS: usize = 4000;

pub(super) struct Tweedie;

/// The sum of z^k / (k + n)! over k >= 0, |z| <= NEAR, with its first four derivatives.
fn exponential_tail(n: usize, z: f64) -> [f64; 5] {
    let mut f = [0.0f64; 5];
    let mut coefficient = 1.0 / (1..=TERMS + n).map(|k| k as f64).product::<f64>();
    for k in (0..=TERMS).rev() {
        for d in (1..5).rev() {
            f[d] = f[d].mul_add(z, d as f64 * f[d - 1]);
        }
        f[0] = f[0].mul_add(z, coefficient);
        coefficient *= (k + n) as f64;
    }
    f
}

/// exp(log_scale) (exp(c e) - 1) / c.
fn growth<const D: usize, const N: usize>(c: Jet<D, N>, e: Jet<D, N>, log_scale: Jet<D, N>) -> Jet<D, N> {
    let (z, scale) = (c * e, log_scale.exp());
    if z.value().abs() <= NEAR {
        return scale * e * z.compose(exponential_tail(1, z.value()));
    }
    ((z + log_scale).clamp(f64::NEG_INFINITY, EXPONENT_LIMIT).exp() - scale) / c
}

/// Predictors within their limits: eta, t and s.
fn limited(eta: [f64; 3]) -> [f64; 3] {
    [eta[0].clamp(-MEAN_LIMIT, MEAN_LIMIT), eta[1].clamp(PHI.0, PHI.1), eta[2].clamp(-POWER_LIMIT, POWER_LIMIT)]
}

/// Derivatives 1 to 4 in eta.
fn mean_derivatives(y: f64, eta: [f64; 3]) -> [f64; 4] {
    let [eta, t, s] = limited(eta);
    let (p, q) = logistic(s);
    let power = |exponent: f64| exp(exponent.min(EXPONENT_LIMIT));
    let up = if y > 0.0 { power(ln(y) - t - p * eta) } else { 0.0 };
    let down = power(q * eta - t);
    [up - down, -p * up - q * down, p * p * up - q * q * down, -p * p * p * up - q * q * q * down]
}

impl Density<3> for Tweedie {
    fn log_density<const D: usize, const N: usize>(&self, y: f64, _size: f64, eta: [Jet<D, N>; 3]) -> Jet<D, N> {
        let at = limited(eta.map(Jet::value));
        let [eta, t, s] = std::array::from_fn(|k| eta[k].clamp(at[k], at[k]));
        let p = s.compose(Link::Logit.inverse_derivatives(at[2]));
        let q = (-s).compose(Link::Logit.inverse_derivatives(-at[2]));
        let log_q = -s.softplus();
        if y == 0.0 {
            return -(q * eta - t - log_q).clamp(f64::NEG_INFINITY, EXPONENT_LIMIT).exp();
        }
        let (log_y, e) = (ln(y), eta - ln(y));
        let log_scale = (q * log_y - t).clamp(f64::NEG_INFINITY, EXPONENT_LIMIT);
        let deviance = if e.value().abs() <= NEAR {
            let tail = |z: Jet<D, N>| z.compose(exponential_tail(2, z.value()));
            log_scale.exp() * e.square() * (p * tail(-(p * e)) + q * tail(q * e))
        } else {
            growth(q, e, log_scale) - growth(-p, e, log_scale)
        };
        sum_over_counts(q * log_y - t - log_q, -s) - deviance
    }
}

/// The series at these ln lambda and ln gamma, which do not depend on predictor 0.
fn sum_over_counts<const D: usize, const N: usize>(l: Jet<D, N>, g: Jet<D, N>) -> Jet<D, N> {
    let (at, shape) = (l.value(), g.value());
    match (D, N) {
        (1, _) => Jet::constant(log_sum::<1>(at, shape)[0]),
        (2, 6) | (3, 10) => Jet::compose2([l, g], &log_sum::<6>(at, shape)),
        _ => Jet::compose2([l, g], &log_sum::<15>(at, shape)),
    }
}

/// ln lambda, gamma and the log of the scale of the gamma variables.
fn compound(eta: &[f64]) -> (f64, f64, f64) {
    let [eta, t, s] = limited([eta[0], eta[1], eta[2]]);
    let (p, q) = logistic(s);
    (q * eta - t + softplus(s), exp(-s), t - softplus(-s) + p * eta)
}

/// The tail of a positive y: terms of the compound sum from the largest one, at about `peak`, outward.
fn tail_sum(peak: f64, log_rate: f64, shape: f64, x: f64, upper: bool) -> f64 {
    let rate = exp(log_rate);
    let width = (peak / (1.0 + shape)).sqrt();
    let smooth = peak * (1.0 + shape) > 100.0 && width > 2.5;
    let stride = if smooth { (width / 2.5).floor() } else { 1.0 }.max((peak.sqrt() / 200.0).floor());
    let term = |j: f64| {
        let (below, above) = gamma_inc(j * shape, x);
        stride * exp(saturated_poisson(j) - divergence(j, rate, log_rate)) * if upper { above } else { below }
    };
    let first = peak.round().max(1.0);
    let mut sum = term(first);
    for sign in [1.0, -1.0] {
        for k in 1..MOST_TERMS {
            let j = first + sign * stride * k as f64;
            let next = if j > 0.5 { term(j) } else { 0.0 };
            sum += next;
            if next <= 1e-17 * sum {
                break;
            }
        }
    }
    sum
}

impl Family for Tweedie {
    fn price(&self) -> f64 {
        60.0
    }

    fn name(&self) -> &'static str {
        "tweedie"
    }

    fn link(&self) -> Link {
        Link::Log
    }

    fn parameters(&self) -> &'static [Parameter] {
        PARAMETERS
    }

    fn derivs(&self, rows: Rows<'_>, eta: &[&[f64]], want: Want, out: &mut Derivs) {
        if want.dims == 1 {
            out.reshape(1, 4, rows.y.len());
        } else {
            jets::run(self, rows, eta, want, out);
        }
        let highest = if want.dims == 1 || want.order > 2 { 4 } else { 2 };
        for (i, &y) in rows.y.iter().enumerate() {
            let at = std::array::from_fn(|k| eta[k][i]);
            if want.dims == 1 && want.value {
                out.component_mut(0)[i] = self.log_density::<1, 1>(y, 1.0, at.map(Jet::constant)).value();
            }
            // these have a closed form: nothing else is needed to find a mode
            for (order, d) in mean_derivatives(y, at).into_iter().enumerate().take(highest) {
                let c = component_offset(want.dims, &[0; 4][..=order]);
                out.component_mut(c)[i] = d;
            }
        }
    }

    fn log_constant(&self, y: f64, _size: f64) -> f64 {
        if y > 0.0 { -ln(y) } else { 0.0 }
    }

    /// With f'' = -P u - Q v and f''' = P^2 u - Q^2 v for u, v >= 0 and P, Q in (0, 1).
    fn concordance(&self) -> Option<f64> {
        Some(1.0)
    }

    fn mean(&self, eta: &[f64]) -> f64 {
        exp(eta[0])
    }

    fn variance(&self, eta: &[f64], _size: f64) -> f64 {
        exp((1.0 + logistic(eta[2]).0).mul_add(eta[0], eta[1]))
    }

    fn cdf(&self, y: f64, _size: f64, eta: &[f64]) -> (f64, f64) {
        if y < 0.0 {
            return (0.0, 1.0);
        }
        let (log_rate, shape, log_scale) = compound(eta);
        let rate = exp(log_rate);
        let zero = exp(-rate);
        if y == 0.0 {
            return (zero, -crate::special::expm1(-rate));
        }
        let x = exp(ln(y) - log_scale);
        if rate > CERTAIN {
            let z = (x - rate * shape) / (rate * shape * (1.0 + shape)).sqrt();
            return if rate * shape > CERTAIN { (normal_cdf(z), normal_cdf(-z)) } else { gamma_inc(rate * shape, x) };
        }
        let upper = ln(y) > eta[0];
        // given y the number of terms is about (lambda at mu = y)
        let (_, q) = logistic(eta[2].clamp(-POWER_LIMIT, POWER_LIMIT));
        let peak = exp((log_rate + q * (ln(y) - eta[0])).min(ln(CERTAIN)));
        let tail = tail_sum(peak, log_rate, shape, x, upper).min(1.0);
        if upper { (1.0 - tail, tail) } else { ((zero + tail).min(1.0), (1.0 - zero - tail).max(0.0)) }
    }

    fn draw(&self, rng: &mut Random, _size: f64, eta: &[f64]) -> f64 {
        let (log_rate, shape, log_scale) = compound(eta);
        let count = poisson::draw(rng, exp(log_rate));
        if count == 0.0 {
            return 0.0;
        }
        exp(draw_log_gamma(rng, count * shape) + log_scale)
    }

    fn check(&self, y: f64, _size: f64) -> Result<(), &'static str> {
        if y.is_finite() && y >= 0.0 { Ok(()) } else { Err("a tweedie response must be a finite number, 0 or more") }
    }

    fn start(&self, y: f64, _size: f64) -> f64 {
        ln(y + 0.1)
    }

    /// Phi by moments at power 1.5.
    fn start_parameters(&self, y: &[f64], mean: &[f64], freq: &[f64]) -> Vec<f64> {
        let square = weighted_mean(freq, y.iter().zip(mean).map(|(y, m)| (y - m) * (y - m)));
        let unit = weighted_mean(freq, mean.iter().map(|m| m * m.sqrt()));
        vec![ln((square / unit).max(1e-9)), 0.0]
    }
}
