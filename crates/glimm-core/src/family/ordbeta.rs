//! Ordered beta: proportions between 0 and 1 that may be 0 or 1.
//!
//! With L the logistic function, eta predictor 0 and cuts c0 < c1,
//!
//!   P(Y = 0) = 1 - L(eta - c0),  P(Y = 1) = L(eta - c1),
//!
//! and between them, with the probability left, Y is beta with mean L(eta) and precision phi (Kubinec 2022, Political
//! Analysis 31). Predictor 1 is ln phi, predictor 2 is c0, predictor 3 is ln(c1 - c0).

use super::beta;
use super::jets::{self, Density, Jet};
use super::{Derivs, Family, Parameter, Random, Rows, Scale, Want, weighted_mean};
use crate::link::Link;
use crate::special::{exp, expm1, ln, logistic};
use rand_distr::{Distribution, StandardUniform};

pub(super) const LINKS: &[Link] = &[Link::Logit];
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "phi",
        meaning: "precision of the responses between 0 and 1: their variance is mean (1 - mean) / (1 + phi)",
        scale: Scale::Log,
        dispersion: true,
        precision: 1.0,
    },
    Parameter {
        name: "lower_cut",
        meaning: "predictor at which a response of 0 has probability 1/2",
        scale: Scale::Identity,
        dispersion: false,
        precision: 0.0,
    },
    Parameter {
        name: "cut_distance",
        meaning: "from the lower cut to the predictor at which a response of 1 has probability 1/2",
        scale: Scale::Log,
        dispersion: false,
        precision: 0.0,
    },
];

/// The log of the distance of the cuts saturates here.
const DISTANCE_LIMIT: f64 = 50.0;
const START_LIMIT: f64 = 0.001;

pub(super) struct Ordbeta;

impl Density<4> for Ordbeta {
    fn log_density<const D: usize, const N: usize>(&self, y: f64, _size: f64, eta: [Jet<D, N>; 4]) -> Jet<D, N> {
        let [eta, t, cut, log_distance] = eta;
        let log_distance = log_distance.clamp(f64::NEG_INFINITY, DISTANCE_LIMIT);
        let above = eta - cut;
        if y == 0.0 {
            return -above.softplus();
        }
        let beyond = above - log_distance.exp();
        if y == 1.0 {
            return -(-beyond).softplus();
        }
        // L(a) - L(a - d) = L(a) L(d - a) (1 - exp(-d))
        let [log_width, _] = Link::Cloglog.log_tails(log_distance.value());
        let between = log_distance.compose(log_width) - (-above).softplus() - beyond.softplus();
        between + beta::log_density(y, [-(-eta).softplus(), -eta.softplus()], t)
    }
}

/// P(Y = 0), P(0 < Y < 1), P(Y = 1).
fn shares(eta: &[f64]) -> [f64; 3] {
    let above = eta[0] - eta[2];
    let distance = exp(eta[3].min(DISTANCE_LIMIT));
    let ((more, zero), (one, less)) = (logistic(above), logistic(above - distance));
    [zero, more * less * -expm1(-distance), one]
}

impl Family for Ordbeta {
    fn price(&self) -> f64 {
        10.0
    }

    fn name(&self) -> &'static str {
        "ordbeta"
    }

    fn link(&self) -> Link {
        Link::Logit
    }

    fn parameters(&self) -> &'static [Parameter] {
        PARAMETERS
    }

    fn derivs(&self, rows: Rows<'_>, eta: &[&[f64]], want: Want, out: &mut Derivs) {
        jets::run(self, rows, eta, want, out);
    }

    fn log_constant(&self, y: f64, _size: f64) -> f64 {
        if y > 0.0 && y < 1.0 { beta::constant(y) } else { 0.0 }
    }

    /// Of the response, with its zeros and ones.
    fn mean(&self, eta: &[f64]) -> f64 {
        let [_, between, one] = shares(eta);
        between.mul_add(logistic(eta[0]).0, one)
    }

    /// Between the three parts and within the middle one.
    fn variance(&self, eta: &[f64], _size: f64) -> f64 {
        let [zero, between, one] = shares(eta);
        let (mu, nu) = logistic(eta[0]);
        let within = between * mu * nu * logistic(-eta[1]).0;
        within + zero * between * mu * mu + one * between * nu * nu + zero * one
    }

    fn cdf(&self, y: f64, _size: f64, eta: &[f64]) -> (f64, f64) {
        let [zero, between, one] = shares(eta);
        if y < 0.0 {
            return (0.0, 1.0);
        }
        if y >= 1.0 {
            return (1.0, 0.0);
        }
        let (lower, upper) = if y > 0.0 { beta::cdf(y, logistic(eta[0]), eta[1]) } else { (0.0, 1.0) };
        (between.mul_add(lower, zero).min(1.0), between.mul_add(upper, one).min(1.0))
    }

    fn draw(&self, rng: &mut Random, _size: f64, eta: &[f64]) -> f64 {
        let [zero, between, _] = shares(eta);
        let uniform: f64 = StandardUniform.sample(rng);
        if uniform < zero {
            0.0
        } else if uniform < zero + between {
            beta::draw(rng, logistic(eta[0]), eta[1])
        } else {
            1.0
        }
    }

    fn check(&self, y: f64, _size: f64) -> Result<(), &'static str> {
        if (0.0..=1.0).contains(&y) { Ok(()) } else { Err("an ordbeta response must be between 0 and 1") }
    }

    fn start(&self, y: f64, _size: f64) -> f64 {
        Link::Logit.link(y.clamp(START_LIMIT, 1.0 - START_LIMIT))
    }

    /// Phi by moments of the responses between 0 and 1; cuts by the shares of zeros and ones, at a predictor of 0.
    fn start_parameters(&self, y: &[f64], mean: &[f64], freq: &[f64]) -> Vec<f64> {
        let inside = |y: f64| f64::from(y > 0.0 && y < 1.0);
        let square = weighted_mean(freq, y.iter().zip(mean).map(|(y, m)| inside(*y) * (y - m) * (y - m)));
        let spread = weighted_mean(freq, y.iter().zip(mean).map(|(y, m)| inside(*y) * m * (1.0 - m)));
        let phi = ln((spread / square.max(f64::MIN_POSITIVE) - 1.0).max(f64::MIN_POSITIVE)).clamp(-3.0, 12.0);
        let share = |end: f64| weighted_mean(freq, y.iter().map(|y| f64::from(*y == end))).clamp(0.01, 0.9);
        let (lower, upper) = (Link::Logit.link(share(0.0)), -Link::Logit.link(share(1.0)));
        vec![phi, lower, ln((upper - lower).max(0.1))]
    }
}
