//! Log-normal responses: predictor 0 is the log of their mean mu, predictor 1 that of their standard deviation, both on
//! the scale of the response.
//!
//! ln y is normal with variance v = ln(1 + sd^2 / mu^2) and mean ln mu - v / 2. With e = ln(y / mu)
//!
//!   ln f = -ln v / 2 - e^2 / (2 v) - e / 2 - v / 8 - ln y - ln(2 pi) / 2.

use super::jets::{self, Density, Jet};
use super::{Derivs, Family, Parameter, Random, Rows, Scale, Want};
use crate::link::Link;
use crate::special::{HALF_LN_2PI, exp, ln, normal_cdf, softplus};
use rand_distr::{Distribution, StandardNormal};

pub(super) const LINKS: &[Link] = &[Link::Log];
pub(super) const PARAMETERS: &[Parameter] = &[Parameter {
    name: "sd",
    meaning: "standard deviation of the response",
    scale: Scale::Log,
    dispersion: true,
    precision: -0.5,
}];

/// Least log of sd^2 / mu^2: quotients stay finite.
const LEAST_LOG: f64 = -100.0;
/// Least variance to start from, as a share of the mean square, for responses that equal their means.
const LEAST_SHARE: f64 = 1e-12;

pub(super) struct Lognormal;

/// Variance and mean of ln(y / mu).
fn moments(eta: &[f64]) -> (f64, f64) {
    let variance = softplus((2.0 * (eta[1] - eta[0])).max(LEAST_LOG));
    (variance, -0.5 * variance)
}

impl Density<2> for Lognormal {
    fn log_density<const D: usize, const N: usize>(&self, y: f64, _size: f64, [eta, t]: [Jet<D, N>; 2]) -> Jet<D, N> {
        let v = ((t - eta) * 2.0).clamp(LEAST_LOG, f64::INFINITY).softplus();
        let e = -eta + ln(y);
        (v.ln() + e) * -0.5 - v * 0.125 - e.square() * v.recip() * 0.5
    }
}

impl Family for Lognormal {
    fn name(&self) -> &'static str {
        "lognormal"
    }

    fn link(&self) -> Link {
        Link::Log
    }

    fn parameters(&self) -> &'static [Parameter] {
        PARAMETERS
    }

    fn derivs(&self, rows: Rows<'_>, eta: &[&[f64]], want: Want, out: &mut Derivs) {
        jets::run(self, rows, eta, want, out);
    }

    fn log_constant(&self, y: f64, _size: f64) -> f64 {
        -ln(y) - HALF_LN_2PI
    }

    fn mean(&self, eta: &[f64]) -> f64 {
        exp(eta[0])
    }

    fn variance(&self, eta: &[f64], _size: f64) -> f64 {
        exp(2.0 * eta[1])
    }

    fn cdf(&self, y: f64, _size: f64, eta: &[f64]) -> (f64, f64) {
        let (variance, center) = moments(eta);
        let z = (ln(y) - eta[0] - center) / variance.sqrt();
        (normal_cdf(z), normal_cdf(-z))
    }

    fn draw(&self, rng: &mut Random, _size: f64, eta: &[f64]) -> f64 {
        let (variance, center) = moments(eta);
        let z: f64 = StandardNormal.sample(rng);
        exp(variance.sqrt().mul_add(z, eta[0] + center))
    }

    fn check(&self, y: f64, _size: f64) -> Result<(), &'static str> {
        if y.is_finite() && y > 0.0 { Ok(()) } else { Err("a lognormal response must be a finite number above 0") }
    }

    fn start(&self, y: f64, _size: f64) -> f64 {
        ln(y)
    }

    fn start_parameters(&self, y: &[f64], mean: &[f64], freq: &[f64]) -> Vec<f64> {
        let variance = super::weighted_mean(freq, y.iter().zip(mean).map(|(y, m)| (y - m) * (y - m)));
        let square = super::weighted_mean(freq, y.iter().map(|y| y * y));
        vec![0.5 * ln(variance.max(LEAST_SHARE * square))]
    }
}
