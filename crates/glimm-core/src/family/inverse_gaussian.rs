//! Inverse Gaussian responses with variance phi mu^3: predictor 1 is log phi.
//!
//!   f(y) = (2 pi phi y^3)^(-1/2) exp(-(y - mu)^2 / (2 phi mu^2 y))
//!
//! (Giner and Smyth 2016, The R Journal 8, whose forms of the tails and of draws are used here). In x = 1 / mu the
//! exponent is -y (x - 1 / y)^2 / (2 phi).

use super::jets::{self, Density, Jet};
use super::powers::{pole, power};
use super::{Derivs, Family, Parameter, Random, Rows, Scale, Want};
use crate::link::Link;
use crate::special::{HALF_LN_2PI, exp, ln, mills, normal_cdf, normal_pdf};
use rand_distr::{Distribution, StandardNormal};

pub(super) const LINKS: &[Link] = &[Link::InverseSquare, Link::Inverse, Link::Log, Link::Identity, Link::Power(0.5)];
pub(super) const PARAMETERS: &[Parameter] = &[Parameter {
    name: "phi",
    meaning: "dispersion: the variance is phi mean^3",
    scale: Scale::Log,
    dispersion: true,
    precision: -1.0,
}];

/// ln phi and the predictor of the log link saturate here.
const PHI_LIMIT: f64 = 200.0;
const MEAN_LIMIT: f64 = 100.0;
/// Of 1 / y.
const LARGEST: f64 = 1e200;
const LEAST_SQUARE: f64 = 1e-12;

pub(super) struct InverseGaussian(pub(super) Link);

/// 1 / mu of a predictor.
fn inverse_mean<const D: usize, const N: usize>(link: Link, eta: Jet<D, N>) -> Jet<D, N> {
    match (link, link.exponent()) {
        (Link::Inverse, _) => eta,
        (_, Some(q)) => power(eta, -q),
        _ => (-eta).clamp(-MEAN_LIMIT, MEAN_LIMIT).exp(),
    }
}

impl Density<2> for InverseGaussian {
    fn log_density<const D: usize, const N: usize>(&self, y: f64, _size: f64, [eta, t]: [Jet<D, N>; 2]) -> Jet<D, N> {
        let t = t.clamp(-PHI_LIMIT, PHI_LIMIT);
        let gap = inverse_mean(self.0, eta) * y - 1.0;
        (t + gap.square() * (1.0 / y).min(LARGEST) * (-t).exp()) * -0.5
    }
}

impl Family for InverseGaussian {
    fn price(&self) -> f64 {
        5.0
    }

    fn name(&self) -> &'static str {
        "inverse_gaussian"
    }

    fn link(&self) -> Link {
        self.0
    }

    fn parameters(&self) -> &'static [Parameter] {
        PARAMETERS
    }

    fn derivs(&self, rows: Rows<'_>, eta: &[&[f64]], want: Want, out: &mut Derivs) {
        jets::run(self, rows, eta, want, out);
    }

    fn log_constant(&self, y: f64, _size: f64) -> f64 {
        -1.5 * ln(y) - HALF_LN_2PI
    }

    fn mean(&self, eta: &[f64]) -> f64 {
        match self.0.exponent() {
            Some(q) => self.0.inverse(eta[0].max(pole(q))),
            None => self.0.inverse(eta[0]),
        }
    }

    fn variance(&self, eta: &[f64], _size: f64) -> f64 {
        exp(3.0f64.mul_add(ln(self.mean(eta)), eta[1]))
    }

    /// With M the Mills ratio and z the two arguments of the normal distribution function in this family's own,
    /// its second term exp(2 / (phi mu)) P(Z > z2) is pdf(z1) M(z2).
    fn cdf(&self, y: f64, _size: f64, eta: &[f64]) -> (f64, f64) {
        if y <= 0.0 {
            return (0.0, 1.0);
        }
        let ratio = y / self.mean(eta);
        let root = exp(-0.5 * (eta[1] + ln(y)));
        let (z1, z2) = (root * (ratio - 1.0), root * (ratio + 1.0));
        if z1 < 0.0 {
            let lower = (normal_cdf(z1) + normal_pdf(z1) * mills(z2)).min(1.0);
            (lower, 1.0 - lower)
        } else {
            let upper = (normal_pdf(z1) * (mills(z1) - mills(z2))).max(0.0);
            (1.0 - upper, upper)
        }
    }

    fn draw(&self, rng: &mut Random, _size: f64, eta: &[f64]) -> f64 {
        let mean = self.mean(eta);
        let z: f64 = StandardNormal.sample(rng);
        let k = 0.5 * z * z * exp(eta[1] + ln(mean));
        // the smaller root of Michael, Schucany and Haas (1976), over the mean
        let root = 1.0 / (1.0 + k + (k * (k + 2.0)).sqrt());
        let uniform: f64 = rand_distr::StandardUniform.sample(rng);
        let y = if uniform * (1.0 + root) <= 1.0 { mean * root } else { mean / root };
        y.clamp(f64::MIN_POSITIVE, f64::MAX)
    }

    fn check(&self, y: f64, _size: f64) -> Result<(), &'static str> {
        let message = "an inverse_gaussian response must be a finite number above 0";
        if y.is_finite() && y > 0.0 { Ok(()) } else { Err(message) }
    }

    fn start(&self, y: f64, _size: f64) -> f64 {
        self.0.link(y)
    }

    fn start_parameters(&self, y: &[f64], mean: &[f64], freq: &[f64]) -> Vec<f64> {
        // (y - mu)^2 / (mu^2 y) has mean phi
        let unit = y.iter().zip(mean).map(|(y, m)| (y / m - 1.0) * (y / m - 1.0) / y);
        let level = super::weighted_mean(freq, mean.iter().copied());
        vec![ln(super::weighted_mean(freq, unit).max(LEAST_SQUARE / level)).clamp(-29.0, 29.0)]
    }
}
