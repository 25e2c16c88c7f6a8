//! Skew-normal responses by their mean and standard deviation: predictor 1 is the log of the standard deviation sd,
//! predictor 2 the shape alpha (0: normal).
//!
//!   f(y) = 2 / omega phi(z) Phi(alpha z),  z = (y - xi) / omega
//!
//! (Azzalini 1985, Scandinavian Journal of Statistics 12), with delta = alpha / sqrt(1 + alpha^2),
//! omega = sd / sqrt(1 - 2 delta^2 / pi) and xi = mu - omega delta sqrt(2 / pi). Hence
//!
//!   z = (y - mu) / sd sqrt((1 + b alpha^2) / (1 + alpha^2)) + sqrt(2 / pi) delta,  b = 1 - 2 / pi.

use super::jets::{self, Density, Jet};
use super::{Derivs, Family, Parameter, Random, Rows, Scale, Want, weighted_mean};
use crate::link::Link;
use crate::special::{HALF_LN_2PI, exp, ln, log_normal_cdf, log_normal_cdf_derivatives};
use rand_distr::{Distribution, StandardNormal};
use std::f64::consts::{FRAC_2_PI, LN_2, PI};

pub(super) const LINKS: &[Link] = &[Link::Identity];
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "sd",
        meaning: "standard deviation of the response around its mean",
        scale: Scale::Log,
        dispersion: true,
        precision: -0.5,
    },
    Parameter {
        name: "shape",
        meaning: "skewness: 0 is normal, above 0 the upper tail is longer, below 0 the lower one",
        scale: Scale::Identity,
        dispersion: false,
        precision: 0.0,
    },
];

const B: f64 = 1.0 - FRAC_2_PI;
/// ln sd saturates here.
const SD: (f64, f64) = (-60.0, 300.0);
/// Least variance to start from, as a share of the mean square, for responses that equal their means.
const LEAST_SHARE: f64 = 1e-12;
/// Skewness has a bound of 0.995; the start stays inside, and off 0, where the likelihood has a saddle.
const START_SKEW: (f64, f64) = (0.01, 0.9);
/// Nothing is left of a tail once the log density has dropped by this much.
const DROP: f64 = 42.0;

pub(super) struct Skewnormal;

impl Density<3> for Skewnormal {
    fn log_density<const D: usize, const N: usize>(
        &self,
        y: f64,
        _size: f64,
        [eta, t, alpha]: [Jet<D, N>; 3],
    ) -> Jet<D, N> {
        let t = t.clamp(SD.0, SD.1);
        let square = alpha.square();
        let (wide, narrow) = (square + 1.0, square * B + 1.0);
        // omega / sd
        let log_ratio = (wide.ln() - narrow.ln()) * 0.5;
        let z = (-eta + y) * (-t - log_ratio).exp() + alpha * wide.powf(-0.5) * FRAC_2_PI.sqrt();
        (alpha * z).log_normal_cdf() - z.square() * 0.5 - t - log_ratio
    }
}

/// xi, omega and delta.
fn standard(eta: &[f64]) -> (f64, f64, f64) {
    let delta = eta[2] / eta[2].mul_add(eta[2], 1.0).sqrt();
    let omega = exp(eta[1]) / (1.0 - FRAC_2_PI * delta * delta).sqrt();
    (eta[0] - omega * delta * FRAC_2_PI.sqrt(), omega, delta)
}

/// P(Z > z) for shape alpha, above the mode or near it: Gauss-Legendre panels, short where the log density bends.
fn upper_tail(z: f64, alpha: f64) -> f64 {
    let log_density = |u: f64| LN_2 - HALF_LN_2PI - 0.5 * u * u + log_normal_cdf(alpha * u);
    let panel = |left: f64, width: f64| {
        let at = |x: f64| exp(log_density(0.5f64.mul_add(width * x, left + 0.5 * width)));
        let pairs = NODES.iter().zip(WEIGHTS).map(|(x, w)| w * (at(*x) + at(-x)));
        0.5 * width * pairs.sum::<f64>()
    };
    let (mut left, mut sum, mut highest) = (z, 0.0, f64::NEG_INFINITY);
    for _ in 0..MOST_PANELS {
        let slope = alpha * log_normal_cdf_derivatives(alpha * left)[1] - left;
        let bend = (1.0 / (1.0 + alpha.abs())).max(0.4 * left.abs()).min(1.0);
        let width = bend.min(4.0 / slope.abs());
        sum += panel(left, width);
        left += width;
        let here = log_density(left);
        highest = highest.max(here);
        if here < highest - DROP || here < -LOWEST {
            break;
        }
    }
    sum.min(1.0)
}

/// Log densities below this are not in the range of doubles.
const LOWEST: f64 = 800.0;
const MOST_PANELS: usize = 2000;
/// Positive nodes of the 12-point Gauss-Legendre rule on (-1, 1), and their weights.
const NODES: [f64; 6] = [
    0.125_233_408_511_468_92,
    0.367_831_498_998_180_2,
    0.587_317_954_286_617_4,
    0.769_902_674_194_304_7,
    0.904_117_256_370_474_9,
    0.981_560_634_246_719_3,
];
const WEIGHTS: [f64; 6] = [
    0.249_147_045_813_402_8,
    0.233_492_536_538_354_8,
    0.203_167_426_723_065_9,
    0.160_078_328_543_346_2,
    0.106_939_325_995_318_43,
    0.047_175_336_386_511_83,
];

impl Family for Skewnormal {
    fn price(&self) -> f64 {
        10.0
    }

    fn name(&self) -> &'static str {
        "skewnormal"
    }

    fn link(&self) -> Link {
        Link::Identity
    }

    fn parameters(&self) -> &'static [Parameter] {
        PARAMETERS
    }

    fn derivs(&self, rows: Rows<'_>, eta: &[&[f64]], want: Want, out: &mut Derivs) {
        jets::run(self, rows, eta, want, out);
    }

    fn log_constant(&self, _y: f64, _size: f64) -> f64 {
        LN_2 - HALF_LN_2PI
    }

    fn mean(&self, eta: &[f64]) -> f64 {
        eta[0]
    }

    fn variance(&self, eta: &[f64], _size: f64) -> f64 {
        exp(2.0 * eta[1])
    }

    fn cdf(&self, y: f64, _size: f64, eta: &[f64]) -> (f64, f64) {
        let (xi, omega, delta) = standard(eta);
        let z = ((y - xi) / omega).clamp(-1e10, 1e10);
        // the mirror image of shape alpha has shape -alpha
        if z > delta * FRAC_2_PI.sqrt() {
            let upper = upper_tail(z, eta[2]);
            (1.0 - upper, upper)
        } else {
            let lower = upper_tail(-z, -eta[2]);
            (lower, 1.0 - lower)
        }
    }

    fn draw(&self, rng: &mut Random, _size: f64, eta: &[f64]) -> f64 {
        let (xi, omega, delta) = standard(eta);
        let common: f64 = StandardNormal.sample(rng);
        let own: f64 = StandardNormal.sample(rng);
        let z = delta * common.abs() + own / eta[2].mul_add(eta[2], 1.0).sqrt();
        omega.mul_add(z, xi)
    }

    fn check(&self, y: f64, _size: f64) -> Result<(), &'static str> {
        if y.is_finite() { Ok(()) } else { Err("a skewnormal response must be a finite number") }
    }

    fn start(&self, y: f64, _size: f64) -> f64 {
        y
    }

    /// By the variance and the skewness of the residuals.
    fn start_parameters(&self, y: &[f64], mean: &[f64], freq: &[f64]) -> Vec<f64> {
        let moment = |k: i32| weighted_mean(freq, y.iter().zip(mean).map(|(y, m)| (y - m).powi(k)));
        let square = weighted_mean(freq, y.iter().map(|y| y * y));
        let variance = moment(2).max(LEAST_SHARE * square);
        if variance == 0.0 {
            return vec![0.0, 0.0];
        }
        let skew = moment(3) / (variance * variance.sqrt());
        let size = skew.abs().clamp(START_SKEW.0, START_SKEW.1).powf(2.0 / 3.0);
        let delta2 = 0.5 * PI * size / (size + (2.0 - 0.5 * PI).powf(2.0 / 3.0));
        vec![0.5 * ln(variance), (delta2 / (1.0 - delta2)).sqrt().copysign(skew)]
    }
}
