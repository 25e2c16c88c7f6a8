//! Conway-Maxwell-Poisson counts by their mean (Huang 2017, Statistical Modelling 17): predictor 1 is log phi.
//!
//!   f(y) = lambda^y / (y!)^nu / Z(lambda, nu),   nu = 1 / phi,   lambda such that E Y = mean
//!
//! Poisson at phi = 1, geometric as phi grows without bound, and one of the two whole numbers around the mean as it goes to
//! 0. In between the variance is about mean phi where that is small against mean^2. All these are log-concave.
//!
//! The family is an exponential one in theta (ln lambda but for a multiple of nu) and nu, so that derivatives of ln Z
//! are moments (`compois_sums`). The equation mean(theta, nu) = exp(eta) is solved for theta by a number, then for the series
//! of theta in eta and log phi. Where mean and variance allow, ln Z has an expansion instead (`compois_series`).

use super::compois_series::{Series, serves};
use super::compois_sums::Sums;
use super::jets::{Density, Jet, run};
use super::poisson::check_count;
use super::{Derivs, Family, Parameter, Random, Rows, Scale, Want, sums};
use crate::link::Link;
use crate::special::{exp, ln};
use rand::RngExt;

pub(super) const LINKS: &[Link] = &[Link::Log];
pub(super) const PARAMETERS: &[Parameter] = &[Parameter {
    name: "phi",
    meaning: "dispersion: 1 / nu, where the variance is about mean phi",
    scale: Scale::Log,
    dispersion: true,
    precision: 0.0,
}];
/// Where the log mean saturates: fifth powers of the mean stay finite.
const MEANS: (f64, f64) = (-120.0, 120.0);
/// Least share of the mean that is the variance, about; above so many counts the series must serve.
const LEAST_SHARE: f64 = 0.01;
const LARGE: f64 = 1e9;
const LEAST_LARGE: f64 = 4.0;
/// Least log phi at all: powers of nu stay finite.
const LEAST: f64 = -50.0;
/// The logarithm of nothing.
const NOTHING: f64 = -690.0;

pub(super) struct Compois(pub(super) Link);

/// Eta and t within their limits: below that phi the counts next to the mean have no probability left.
fn limited(eta: f64, t: f64) -> (f64, f64) {
    let eta = eta.clamp(MEANS.0, MEANS.1);
    let mean = exp(eta);
    let least = if mean < LARGE { ln(LEAST_SHARE / (1.0 + mean)) } else { (ln(LEAST_LARGE) - eta).max(LEAST) };
    (eta, t.max(least))
}

impl Density<2> for Compois {
    fn log_density<const D: usize, const N: usize>(&self, y: f64, _size: f64, [eta, t]: [Jet<D, N>; 2]) -> Jet<D, N> {
        let at = limited(eta.value(), t.value());
        let (eta, t) = (eta.clamp(at.0, at.0), t.clamp(at.1, at.1));
        let nu = (-t).exp();
        if serves(exp(at.0), nu.value()) {
            return Series::new(eta, t).log_probability(y);
        }
        let sums = Sums::new(at.0, nu.value());
        let (value, x, w) = sums.log_probability(y);
        if Jet::<D, N>::ORDER == 0 {
            return Jet::constant(value);
        }
        let step = nu - nu.value();
        let [theta, log_sum] =
            if N == 3 || N == 6 { natural::<D, N, 6>(&sums, eta, step) } else { natural::<D, N, 15>(&sums, eta, step) };
        theta * x + step * w - log_sum + value
    }
}

/// Theta and ln Z less their values, given the step of nu.
fn natural<const D: usize, const N: usize, const M: usize>(
    sums: &Sums,
    eta: Jet<D, N>,
    step: Jet<D, N>,
) -> [Jet<D, N>; 2] {
    let moments = sums.products::<M>(Jet::<2, M>::ORDER, D > 1);
    let powers = Jet::<2, M>::from_derivatives(moments.powers);
    let mut mean = (Jet::from_derivatives(moments.times_x) * powers.recip()).derivatives();
    // what is left of the equation at theta is rounding
    mean[0] = 0.0;
    let wanted = eta.exp();
    let wanted = wanted - wanted.value();
    let mut theta = Jet::constant(0.0);
    // each step adds an order to the series
    for _ in 0..4 {
        theta = theta + (wanted - Jet::compose2([theta, step], &mean)) * (1.0 / mean[1]);
    }
    let mut log_sum = powers.ln().derivatives();
    log_sum[0] = 0.0;
    [theta, Jet::compose2([theta, step], &log_sum)]
}

/// One distribution, ready for many counts.
enum Counts {
    Series(Series<1, 3>),
    Sums(Sums),
}

impl Counts {
    fn new(eta: &[f64]) -> Counts {
        let (eta, t) = limited(eta[0], eta[1]);
        let nu = exp(-t);
        if serves(exp(eta), nu) {
            Counts::Series(Series::new(Jet::variable(0, eta), Jet::constant(t)))
        } else {
            Counts::Sums(Sums::new(eta, nu))
        }
    }

    fn probability(&self, y: f64) -> f64 {
        if y < 0.0 {
            return 0.0;
        }
        let log = match self {
            Counts::Series(series) => series.log_probability(y).value(),
            Counts::Sums(sums) => sums.log_probability(y).0,
        };
        // so that sums over counts come to an end
        if log > NOTHING { exp(log) } else { 0.0 }
    }

    fn mode(&self) -> f64 {
        match self {
            Counts::Series(series) => exp(series.log_tau.value()).floor(),
            Counts::Sums(sums) => sums.mode(),
        }
    }
}

impl Family for Compois {
    fn price(&self) -> f64 {
        100.0
    }

    fn name(&self) -> &'static str {
        "compois"
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

    fn log_constant(&self, _y: f64, _size: f64) -> f64 {
        0.0
    }

    fn mean(&self, eta: &[f64]) -> f64 {
        self.0.inverse(eta[0])
    }

    fn variance(&self, eta: &[f64], _size: f64) -> f64 {
        match Counts::new(eta) {
            Counts::Sums(sums) => sums.variance,
            // mean / variance is the derivative of ln lambda = nu ln tau
            Counts::Series(series) => {
                let (eta, t) = limited(eta[0], eta[1]);
                exp(eta + t) / series.log_tau.derivatives()[1]
            }
        }
    }

    fn cdf(&self, y: f64, _size: f64, eta: &[f64]) -> (f64, f64) {
        let counts = Counts::new(eta);
        sums::tails(y, f64::INFINITY, self.mean(eta), |y| counts.probability(y))
    }

    /// By rejection from a hat over all log-concave probabilities with this mode (Devroye 1987, Computing 39).
    fn draw(&self, rng: &mut Random, _size: f64, eta: &[f64]) -> f64 {
        let counts = Counts::new(eta);
        let mode = counts.mode();
        let top = counts.probability(mode);
        let flat = 1.0 + 0.5 * top;
        loop {
            let [u, v, s]: [f64; 3] = rng.random();
            let distance = if u <= flat / (1.0 + flat) { v * flat / top } else { (flat - ln(1.0 - v)) / top };
            let step = distance.round().copysign(s - 0.5);
            let accept: f64 = rng.random();
            if accept * exp(flat - top * distance).min(1.0) * top <= counts.probability(mode + step) {
                return mode + step + 0.0;
            }
        }
    }

    fn check(&self, y: f64, _size: f64) -> Result<(), &'static str> {
        check_count(y, "a compois response must be a whole number, 0 or more")
    }

    fn start(&self, y: f64, _size: f64) -> f64 {
        ln(y + 0.5)
    }

    fn start_parameters(&self, y: &[f64], mean: &[f64], freq: &[f64]) -> Vec<f64> {
        let square = super::weighted_mean(freq, y.iter().zip(mean).map(|(y, m)| (y - m) * (y - m)));
        vec![ln(square / super::weighted_mean(freq, mean.iter().copied())).clamp(-3.0, 3.0)]
    }
}
