//! Gaussian responses: predictor 1 is the log of the standard deviation.

use super::jets::{self, Density, Jet};
use super::powers::{pole, power};
use super::scaled::{self, Unit};
use super::{Derivs, Family, Parameter, Random, Rows, Scale, Want};
use crate::link::Link;
use crate::special::{exp, ln, normal_cdf, select};
use rand_distr::{Distribution, StandardNormal};
use std::f64::consts::PI;

pub(super) const LINKS: &[Link] = &[Link::Identity, Link::Log, Link::Inverse, Link::Power(0.5)];
pub(super) const PARAMETERS: &[Parameter] = &[Parameter {
    name: "sigma",
    meaning: "standard deviation of the response around its mean",
    scale: Scale::Log,
    dispersion: true,
    precision: -0.5,
}];

/// Beyond these the mean of the log and inverse links saturates, so that squares stay finite.
const LOG_MEAN_LIMIT: f64 = 150.0;
const INVERSE_LIMIT: f64 = 1e-25;
/// Of |ln sigma| of the links that are powers, for the same.
const SCALE_LIMIT: f64 = 150.0;
/// Least variance to start from, as a share of the mean square, for responses that equal their means.
const LEAST_SHARE: f64 = 1e-12;

pub(super) struct Gaussian(pub(super) Link);

/// -(y - mean)^2 / 2 and its derivatives, from the derivatives of the mean.
#[inline(always)]
fn unit(y: f64, m: [f64; 5]) -> [f64; 5] {
    let r = y - m[0];
    [
        -0.5 * r * r,
        r * m[1],
        r.mul_add(m[2], -m[1] * m[1]),
        r.mul_add(m[3], -3.0 * m[1] * m[2]),
        r.mul_add(m[4], -4.0 * m[1] * m[3]) - 3.0 * m[2] * m[2],
    ]
}

/// A linear predictor of the inverse link, kept away from the pole.
#[inline(always)]
fn off_pole(eta: f64) -> f64 {
    select(eta.abs() < INVERSE_LIMIT, INVERSE_LIMIT.copysign(eta), eta)
}

#[inline(always)]
fn constant(t: f64) -> [f64; 5] {
    [-t, -1.0, 0.0, 0.0, 0.0]
}

struct Identity;
struct Log;
struct Inverse;

impl Unit for Identity {
    #[inline(always)]
    fn unit(y: f64, eta: f64) -> [f64; 5] {
        unit(y, [eta, 1.0, 0.0, 0.0, 0.0])
    }

    #[inline(always)]
    fn constant(t: f64) -> [f64; 5] {
        constant(t)
    }
}

impl Unit for Log {
    #[inline(always)]
    fn unit(y: f64, eta: f64) -> [f64; 5] {
        unit(y, [exp(select(eta > LOG_MEAN_LIMIT, LOG_MEAN_LIMIT, eta)); 5])
    }

    #[inline(always)]
    fn constant(t: f64) -> [f64; 5] {
        constant(t)
    }
}

impl Unit for Inverse {
    #[inline(always)]
    fn unit(y: f64, eta: f64) -> [f64; 5] {
        unit(y, Link::Inverse.inverse_derivatives(off_pole(eta)))
    }

    #[inline(always)]
    fn constant(t: f64) -> [f64; 5] {
        constant(t)
    }
}

/// Links with mean = eta^q.
struct Power(f64);

impl Density<2> for Power {
    fn log_density<const D: usize, const N: usize>(&self, y: f64, _size: f64, [eta, t]: [Jet<D, N>; 2]) -> Jet<D, N> {
        let residual = -power(eta, self.0) + y;
        residual.square() * (t.clamp(-SCALE_LIMIT, SCALE_LIMIT) * -2.0).exp() * -0.5 - t
    }
}

impl Family for Gaussian {
    fn name(&self) -> &'static str {
        "gaussian"
    }

    fn link(&self) -> Link {
        self.0
    }

    fn parameters(&self) -> &'static [Parameter] {
        PARAMETERS
    }

    fn derivs(&self, rows: Rows<'_>, eta: &[&[f64]], want: Want, out: &mut Derivs) {
        match self.0 {
            Link::Log => scaled::derivs::<Log>(rows, eta, want, out),
            Link::Inverse => scaled::derivs::<Inverse>(rows, eta, want, out),
            Link::Power(p) => jets::run(&Power(1.0 / p), rows, eta, want, out),
            _ => scaled::derivs::<Identity>(rows, eta, want, out),
        }
    }

    fn log_constant(&self, _y: f64, _size: f64) -> f64 {
        -0.5 * (2.0 * PI).ln()
    }

    fn concordance(&self) -> Option<f64> {
        (self.0 == Link::Identity).then_some(0.0)
    }

    fn mean(&self, eta: &[f64]) -> f64 {
        match self.0 {
            Link::Inverse => self.0.inverse(off_pole(eta[0])),
            Link::Power(p) => self.0.inverse(eta[0].max(pole(1.0 / p))),
            link => link.inverse(eta[0]),
        }
    }

    fn variance(&self, eta: &[f64], _size: f64) -> f64 {
        exp(2.0 * eta[1])
    }

    fn cdf(&self, y: f64, _size: f64, eta: &[f64]) -> (f64, f64) {
        let z = (y - self.mean(eta)) * exp(-eta[1]);
        (normal_cdf(z), normal_cdf(-z))
    }

    fn draw(&self, rng: &mut Random, _size: f64, eta: &[f64]) -> f64 {
        let z: f64 = StandardNormal.sample(rng);
        exp(eta[1]).mul_add(z, self.mean(eta))
    }

    fn check(&self, y: f64, _size: f64) -> Result<(), &'static str> {
        if y.is_finite() { Ok(()) } else { Err("a gaussian response must be a finite number") }
    }

    fn start(&self, y: f64, _size: f64) -> f64 {
        match self.0 {
            Link::Identity => y,
            // A log of a response at or below zero does not exist; any small mean serves.
            Link::Log => ln(y.max(0.1)),
            Link::Power(_) => self.0.link(y.max(0.1)),
            link => link.link(if y.abs() < 0.1 { 0.1f64.copysign(y) } else { y }),
        }
    }

    fn start_parameters(&self, y: &[f64], mean: &[f64], freq: &[f64]) -> Vec<f64> {
        let variance = super::weighted_mean(freq, y.iter().zip(mean).map(|(y, m)| (y - m) * (y - m)));
        let square = super::weighted_mean(freq, y.iter().map(|y| y * y));
        vec![if square > 0.0 { 0.5 * ln(variance.max(LEAST_SHARE * square)) } else { 0.0 }]
    }

    fn affine(&self) -> bool {
        self.0 == Link::Identity
    }
}
