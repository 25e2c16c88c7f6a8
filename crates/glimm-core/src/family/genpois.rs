//! Generalized Poisson counts of Consul and Jain (1973, Technometrics 15) by their mean: predictor 1 is log phi, and
//! the variance is mean phi.
//!
//!   f(y) = theta (theta + lambda y)^(y - 1) exp(-theta - lambda y) / y!,
//!   theta = c mean,  lambda = 1 - c,  c = 1 / sqrt(phi)
//!
//! With z = c (mean / y - 1), that is theta + lambda y = y (1 + z), the log density less its value for a Poisson count
//! at its own mean is  ln(theta / y) - ln(1 + z) + y (ln(1 + z) - z),  and -theta for y = 0.
//!
//! Below phi = 1 lambda is negative, and the support ends before y = theta / |lambda| = mean / (1 - sqrt(phi)): larger
//! counts are impossible, and the probabilities, mean and variance are no longer exactly those stated, although
//! the error is tiny unless the mean is small (Consul and Famoye 2006, Lagrangian Probability Distributions, 9.1). The
//! density is that formula, without a further constant; the distribution function and draws are in proportion to
//! it. Impossible counts get a finite log density, by a parabola that is steep and concave in 1 + z.

use super::jets::{Density, Jet, run};
use super::poisson::check_count;
use super::{Derivs, Family, Parameter, Random, Rows, Scale, Want, sums};
use crate::link::Link;
use crate::special::{exp, expm1, ln, saturated_poisson};
use rand::RngExt;
use rand_distr::{Distribution, InverseGaussian};

pub(super) const LINKS: &[Link] = &[Link::Log];
pub(super) const PARAMETERS: &[Parameter] = &[Parameter {
    name: "phi",
    meaning: "dispersion: the variance is mean phi",
    scale: Scale::Log,
    dispersion: true,
    precision: -1.0,
}];
/// Below this 1 + z its logarithm continues as a parabola.
const POLE: f64 = 1e-8;
/// Least log phi: powers of c over the pole stay finite.
const LEAST: f64 = -60.0;
/// Largest log mean: theta and its sum with lambda y stay finite.
const MOST: f64 = 660.0;
/// Up to this mean the probabilities of underdispersed counts may sum to something else than 1.
const COMPLETE: f64 = 400.0;
/// Above this mean counts are drawn as continuous variables.
const LARGE: f64 = 1e15;
/// Starting values stay so far from impossible responses.
const MARGIN: f64 = 1.05;

pub(super) struct GenPois(pub(super) Link);

/// ln(1 + z), continued.
fn log_one_plus<const D: usize, const N: usize>(z: Jet<D, N>) -> Jet<D, N> {
    if z.value() > POLE - 1.0 {
        return if z.value() < 1.0 { z.log1p() } else { (z + 1.0).ln() };
    }
    let d = (z + 1.0) * (1.0 / POLE) - 1.0;
    d - d.square() * 0.5 + ln(POLE)
}

impl Density<2> for GenPois {
    fn log_density<const D: usize, const N: usize>(&self, y: f64, _size: f64, [eta, t]: [Jet<D, N>; 2]) -> Jet<D, N> {
        let (eta, t) = (-(-eta).at_least(-MOST), t.at_least(LEAST));
        let log_theta = eta - t * 0.5;
        if y == 0.0 {
            return -log_theta.exp();
        }
        let log_y = ln(y);
        let e = eta - log_y;
        let z =
            if e.value() < 1.0 { (t * -0.5).exp() * e.expm1() } else { (log_theta - log_y).exp() - (t * -0.5).exp() };
        let excess = if z.value().abs() < 0.3 { z.log1pmx() } else { log_one_plus(z) - z };
        log_theta - log_y - log_one_plus(z) + excess * y
    }
}

impl GenPois {
    fn probability(&self, y: f64, eta: &[f64]) -> f64 {
        let at: [Jet<1, 1>; 2] = [Jet::constant(eta[0]), Jet::constant(eta[1])];
        exp(self.log_density(y, 1.0, at).value() + saturated_poisson(y))
    }

    /// The largest possible count.
    fn last(&self, eta: &[f64]) -> f64 {
        if eta[1] >= 0.0 {
            return f64::INFINITY;
        }
        let top = self.mean(eta) / -expm1(0.5 * eta[1]);
        // the end itself is impossible
        (top.ceil() - 1.0).max(0.0)
    }
}

impl Family for GenPois {
    fn price(&self) -> f64 {
        8.0
    }

    fn name(&self) -> &'static str {
        "genpois"
    }

    fn link(&self) -> Link {
        self.0
    }

    fn parameters(&self) -> &'static [Parameter] {
        PARAMETERS
    }

    fn derivs(&self, rows: Rows<'_>, eta: &[&[f64]], want: Want, out: &mut Derivs) {
        run(self, rows, eta, want, out);
    }

    fn log_constant(&self, y: f64, _size: f64) -> f64 {
        saturated_poisson(y)
    }

    fn mean(&self, eta: &[f64]) -> f64 {
        self.0.inverse(eta[0])
    }

    fn variance(&self, eta: &[f64], _size: f64) -> f64 {
        self.mean(eta) * exp(eta[1])
    }

    fn cdf(&self, y: f64, _size: f64, eta: &[f64]) -> (f64, f64) {
        let (last, mean, y) = (self.last(eta), self.mean(eta), y.floor());
        if last == f64::INFINITY || mean > COMPLETE || y < 0.0 || y >= last {
            return sums::tails(y, last, mean, |y| self.probability(y, eta));
        }
        let lower = sums::sum(|k| self.probability(y - k, eta), y);
        let upper = sums::sum(|k| self.probability(y + 1.0 + k, eta), last - y - 1.0);
        match lower + upper {
            // all but equal to their mean
            0.0 => {
                if y < mean.floor() {
                    (0.0, 1.0)
                } else {
                    (1.0, 0.0)
                }
            }
            total => (lower / total, upper / total),
        }
    }

    fn draw(&self, rng: &mut Random, _size: f64, eta: &[f64]) -> f64 {
        let (mean, last) = (self.mean(eta), self.last(eta));
        if mean > LARGE {
            return large_draw(rng, mean, exp(eta[0] - eta[1]));
        }
        if last < f64::INFINITY && mean <= COMPLETE {
            return sums::quantile(rng.random(), |y| self.cdf(y, 1.0, eta));
        }
        let near = mean / exp(eta[1]).max(1.0);
        sums::draw(rng, near, |y| self.probability(y, eta), |y| self.cdf(y, 1.0, eta))
    }

    fn check(&self, y: f64, _size: f64) -> Result<(), &'static str> {
        check_count(y, "a genpois response must be a whole number, 0 or more")
    }

    fn start(&self, y: f64, _size: f64) -> f64 {
        ln(y + 0.5)
    }

    /// By moments, but not so underdispersed that one of the responses were impossible.
    fn start_parameters(&self, y: &[f64], mean: &[f64], freq: &[f64]) -> Vec<f64> {
        let square = super::weighted_mean(freq, y.iter().zip(mean).map(|(y, m)| (y - m) * (y - m)));
        let ratio = square / super::weighted_mean(freq, mean.iter().copied());
        let least = y.iter().zip(mean).map(|(y, m)| 1.0 - m / y).fold(0.0, f64::max);
        vec![ln(ratio.max((MARGIN * least).powi(2))).clamp(-3.0, 5.0)]
    }
}

/// Large counts are inverse Gaussian variables, here of unit mean and this shape.
fn large_draw(rng: &mut Random, mean: f64, shape: f64) -> f64 {
    let unit = InverseGaussian::new(1.0, shape).map_or(1.0, |unit| unit.sample(rng));
    let draw = (unit * mean).floor();
    if draw >= 0.0 && draw.is_finite() { draw } else { mean.floor() }
}
