//! Gamma responses: predictor 1 is the log of the coefficient of variation, shape = 1 / cv^2.

use super::jets::{self, Density, Jet};
use super::powers::{pole, power};
use super::scaled::{self, Unit, scale};
use super::{Derivs, Family, Parameter, Random, Rows, Scale, Want};
use crate::link::{Link, continued};
use crate::special::{exp, expm1_near, gamma_inc, ln, log1pmx_near, select, stirling, vectorized};
use rand_distr::Distribution;
use std::f64::consts::PI;

pub(super) const LINKS: &[Link] = &[Link::Log, Link::Inverse, Link::Identity, Link::Power(0.5)];
pub(super) const PARAMETERS: &[Parameter] = &[Parameter {
    name: "cv",
    meaning: "coefficient of variation: standard deviation of the response divided by its mean",
    scale: Scale::Log,
    dispersion: true,
    precision: -0.5,
}];

/// Limit of -eta under the log link: products with the shape then stay finite.
const LOG_LIMIT: f64 = 360.0;
/// Of |t| of the links that are powers, for the same.
const SCALE_LIMIT: f64 = 150.0;
/// Under the inverse link ln eta continues as a parabola below this predictor: impossible ones
/// (eta <= 0) get a finite, steep and still concave log density.
const POLE: f64 = 1e-40;
const LN_POLE: f64 = -92.103_403_719_761_83;
/// Least predictor of a mean under the inverse link.
const SMALLEST: f64 = 1e-300;
/// Least squared coefficient of variation to start from, for responses that equal their means.
const LEAST_SQUARE: f64 = 1e-12;

pub(super) struct Gamma(pub(super) Link);

/// a ln a - a - lgamma(a) with a = exp(-2 t), and its derivatives in t.
#[inline(always)]
fn constant(t: f64) -> [f64; 5] {
    let a = scale(t);
    let [s0, s1, s2, s3, s4] = stirling(a);
    [
        0.5 * ln(a / (2.0 * PI)) - s0,
        2.0 * s1 - 1.0,
        -4.0 * (s1 + s2),
        8.0 * (s1 + 3.0 * s2 + s3),
        -16.0 * (s1 + 7.0 * s2 + 6.0 * s3 + s4),
    ]
}

struct Log;
struct Inverse;

impl Unit for Log {
    /// ln(y / mean) - y / mean + 1.
    #[inline(always)]
    fn unit(y: f64, eta: f64) -> [f64; 5] {
        let x = y * exp(select(-eta > LOG_LIMIT, LOG_LIMIT, -eta));
        let e = ln(y) - eta;
        let excess = select(e.abs() <= 0.5, expm1_near(e), x - 1.0);
        [e - excess, x - 1.0, -x, x, -x]
    }

    #[inline(always)]
    fn constant(t: f64) -> [f64; 5] {
        constant(t)
    }
}

impl Unit for Inverse {
    /// The same with 1 / mean = eta.
    #[inline(always)]
    fn unit(y: f64, eta: f64) -> [f64; 5] {
        let x = y * eta;
        let inside = eta > POLE;
        let i = 1.0 / select(inside, eta, POLE);
        let i2 = i * i;
        let d = eta / POLE - 1.0;
        let value = select((x - 1.06).abs() < 0.35, log1pmx_near(x - 1.0), ln(x) - (x - 1.0));
        [
            select(inside, value, ln(y) + LN_POLE + d - 0.5 * d * d - (x - 1.0)),
            select(inside, i, i * (1.0 - d)) - y,
            -i2,
            select(inside, 2.0 * i2 * i, 0.0),
            select(inside, -6.0 * i2 * i2, 0.0),
        ]
    }

    #[inline(always)]
    fn constant(t: f64) -> [f64; 5] {
        constant(t)
    }
}

/// Links with mean = eta^q.
struct Power(f64);

impl Power {
    /// ln(y / mean) - y / mean + 1.
    fn unit<const D: usize, const N: usize>(&self, y: f64, eta: Jet<D, N>) -> Jet<D, N> {
        let q = self.0;
        let log = |x: f64| {
            let i = 1.0 / x;
            [-q * ln(x), -q * i, q * i * i, -2.0 * q * i * i * i, 6.0 * q * i * i * i * i]
        };
        // whatever grows without bounds at 0 continues as a parabola
        let log_inverse = if q > 0.0 { power(eta, -q).ln() } else { eta.compose(continued(eta.value(), pole(q), log)) };
        let e = log_inverse + ln(y);
        let x = exp(e.value().min(LOG_LIMIT));
        let excess = if e.value().abs() <= 0.5 { expm1_near(e.value()) } else { x - 1.0 };
        e.compose([e.value() - excess, 1.0 - x, -x, -x, -x])
    }
}

impl Density<2> for Power {
    fn log_density<const D: usize, const N: usize>(&self, y: f64, _size: f64, [eta, t]: [Jet<D, N>; 2]) -> Jet<D, N> {
        let a = (t.clamp(-SCALE_LIMIT, SCALE_LIMIT) * -2.0).exp();
        let at = t.value();
        let k = vectorized(
            #[inline(always)]
            || constant(at),
        );
        a * self.unit(y, eta) + t.compose(k)
    }
}

impl Family for Gamma {
    fn name(&self) -> &'static str {
        "gamma"
    }

    fn link(&self) -> Link {
        self.0
    }

    fn parameters(&self) -> &'static [Parameter] {
        PARAMETERS
    }

    fn derivs(&self, rows: Rows<'_>, eta: &[&[f64]], want: Want, out: &mut Derivs) {
        match (self.0, self.0.exponent()) {
            (Link::Inverse, _) => scaled::derivs::<Inverse>(rows, eta, want, out),
            (_, Some(q)) => jets::run(&Power(q), rows, eta, want, out),
            _ => scaled::derivs::<Log>(rows, eta, want, out),
        }
    }

    fn log_constant(&self, y: f64, _size: f64) -> f64 {
        -ln(y)
    }

    fn concordance(&self) -> Option<f64> {
        (self.0 == Link::Log).then_some(1.0)
    }

    fn mean(&self, eta: &[f64]) -> f64 {
        match (self.0, self.0.exponent()) {
            (Link::Inverse, _) => 1.0 / eta[0].max(SMALLEST),
            (link, Some(q)) => link.inverse(eta[0].max(pole(q))),
            (link, None) => link.inverse(eta[0]),
        }
    }

    fn variance(&self, eta: &[f64], _size: f64) -> f64 {
        let sd = self.mean(eta) * exp(eta[1]);
        sd * sd
    }

    fn cdf(&self, y: f64, _size: f64, eta: &[f64]) -> (f64, f64) {
        let a = scale(eta[1]);
        gamma_inc(a, a * (y / self.mean(eta)))
    }

    fn draw(&self, rng: &mut Random, _size: f64, eta: &[f64]) -> f64 {
        let a = scale(eta[1]);
        let unit = rand_distr::Gamma::new(a, 1.0 / a).map_or(1.0, |gamma| gamma.sample(rng));
        // Small shapes underflow to zero, which is not a gamma response; nor is infinity.
        (unit * self.mean(eta)).clamp(f64::MIN_POSITIVE, f64::MAX)
    }

    fn check(&self, y: f64, _size: f64) -> Result<(), &'static str> {
        if y.is_finite() && y > 0.0 { Ok(()) } else { Err("a gamma response must be a finite number above 0") }
    }

    fn start(&self, y: f64, _size: f64) -> f64 {
        self.0.link(y)
    }

    fn start_parameters(&self, y: &[f64], mean: &[f64], freq: &[f64]) -> Vec<f64> {
        let relative = y.iter().zip(mean).map(|(y, m)| (y / m - 1.0) * (y / m - 1.0));
        vec![0.5 * ln(super::weighted_mean(freq, relative).max(LEAST_SQUARE))]
    }
}
