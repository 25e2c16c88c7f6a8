//! Beta-binomial responses: successes out of n trials whose probability is itself a beta variable with
//! a = mean phi, b = (1 - mean) phi. Predictor 1 is log phi; the variance is that of a binomial times
//! (phi + n) / (phi + 1).
//!
//!   f(y) = C(n, y) B(a + y, b + n - y) / B(a, b)
//!
//! With m = y / n the observed proportion and p = (y + a) / (n + phi), which lies between it and the mean, the log
//! density less its value for a binomial count at its own mean is  A + G  for successes plus the same for failures, with
//!
//!   A = y ln(p / m) + a ln(p / mean)                          (minus a deviance, never positive)
//!   G = -ln((y + a) / a) / 2 + S(y + a) - S(a)                (S Stirling's remainder)
//!
//! less G for the total, n and phi in place of y and a. All of G vanishes smoothly as phi grows, where A becomes the
//! binomial deviance. (Skellam 1948, JRSS B 10; the parameters are those of Ferrari and Cribari-Neto 2004.)

use super::binomial::{Binomial, check_successes};
use super::jets::{Density, Jet, run};
use super::sums::tails;
use super::{Derivs, Family, Parameter, Random, Rows, Scale, Want};
use crate::link::Link;
use crate::special::{exp, ln};
use rand::RngExt;
use rand_distr::{Distribution, Gamma};

pub(super) const LINKS: &[Link] = &[Link::Logit, Link::Probit, Link::Cloglog];
pub(super) const PARAMETERS: &[Parameter] = &[Parameter {
    name: "phi",
    meaning: "precision: the probability is a beta variable with a = mean phi and b = (1 - mean) phi",
    scale: Scale::Log,
    dispersion: true,
    precision: 0.0,
}];
/// ln(1 - mean) = -exp(eta) of the complementary log-log link goes no further: its fourth power is still finite.
const CLOGLOG_LIMIT: f64 = 120.0;
/// Logs of ratios below this come from the ratios.
const NEAR: f64 = 0.35;
/// Below this precision the probability is 0 or 1.
const LEAST_PRECISION: f64 = 1e-14;
/// To start from: numbers of trials are not known there.
const START: f64 = 1.0;

pub(super) struct BetaBinomial(pub(super) Link);

/// What the two sides share.
struct Total<const D: usize, const N: usize> {
    n: f64,
    log_n: f64,
    t: Jet<D, N>,
    /// ln(n + phi)
    log: Jet<D, N>,
    /// shares of n and of phi in n + phi
    data: Jet<D, N>,
    prior: Jet<D, N>,
}

impl<const D: usize, const N: usize> Total<D, N> {
    fn new(n: f64, t: Jet<D, N>) -> Self {
        let log_n = ln(n);
        let gap = t - log_n;
        Total { n, log_n, t, log: t + (-gap).softplus(), data: (-gap).logistic(), prior: gap.logistic() }
    }

    /// One side: `y` successes, say, where the log of their mean proportion is `log_mean`.
    fn side(&self, y: f64, log_mean: Jet<D, N>) -> Jet<D, N> {
        let log_a = log_mean + self.t;
        let a = log_a.exp();
        if y == 0.0 {
            return self.none(a, log_mean);
        }
        let log_y = ln(y);
        let log_sum = (log_a - log_y).softplus() + log_y;
        let log_p = log_sum - self.log;
        let log_share = ln(y / self.n);
        let gap = -log_mean + log_share;
        let near = |log: Jet<D, N>| log.value().abs() < NEAR;
        let deviance = match (near(log_p - log_mean), near(log_p - log_share)) {
            // the linear terms of the two logs cancel
            (true, true) => a * excess(self.data, gap).log1pmx() + excess(self.prior, -gap).log1pmx() * y,
            (true, false) => {
                let x = excess(self.data, gap);
                let log_rest = x.log1pmx();
                a * log_rest + self.linear(y, log_mean) + (log_rest + x - gap) * y
            }
            (false, true) => {
                let log = excess(self.prior, -gap).log1p();
                a * (log + gap) + log * y
            }
            (false, false) => a * (log_p - log_mean) + (log_p - log_share) * y,
        };
        deviance + remainder(log_a, log_y, log_sum)
    }
}

impl<const D: usize, const N: usize> Total<D, N> {
    /// a (p / mean - 1).
    fn linear(&self, y: f64, log_mean: Jet<D, N>) -> Jet<D, N> {
        self.prior * (-log_mean.exp() * self.n + y)
    }

    /// a ln(p / mean) without a success, where p / mean is the share of the prior.
    fn none(&self, a: Jet<D, N>, log_mean: Jet<D, N>) -> Jet<D, N> {
        if self.data.value() < NEAR {
            a * (-self.data).log1pmx() + self.linear(0.0, log_mean)
        } else {
            a * -(-self.t + self.log_n).softplus()
        }
    }
}

/// share (exp(gap) - 1), which is small.
fn excess<const D: usize, const N: usize>(share: Jet<D, N>, gap: Jet<D, N>) -> Jet<D, N> {
    if gap.value() < 1.0 { share * gap.expm1() } else { (share.ln() + gap).exp() - share }
}

/// -ln((y + a) / a) / 2 + S(y + a) - S(a).
fn remainder<const D: usize, const N: usize>(log_a: Jet<D, N>, log_y: f64, log_sum: Jet<D, N>) -> Jet<D, N> {
    (-log_a + log_y).softplus() * -0.5 + log_sum.exp().stirling() - log_a.exp().stirling()
}

impl Density<2> for BetaBinomial {
    fn log_density<const D: usize, const N: usize>(&self, y: f64, n: f64, [eta, t]: [Jet<D, N>; 2]) -> Jet<D, N> {
        let at = if self.0 == Link::Cloglog { eta.value().min(CLOGLOG_LIMIT) } else { eta.value() };
        let [log_mean, log_rest] = self.0.log_tails(at);
        let (log_mean, log_rest) = (eta.compose(log_mean), eta.compose(log_rest));
        // a single trial knows nothing of phi
        if n == 1.0 {
            return log_mean * y + log_rest * (1.0 - y);
        }
        let total = Total::new(n, t);
        let sides = total.side(y, log_mean) + total.side(n - y, log_rest);
        sides - remainder(t, total.log_n, total.log)
    }
}

impl BetaBinomial {
    fn probability(&self, y: f64, size: f64, eta: &[f64]) -> f64 {
        let at: [Jet<1, 1>; 2] = [Jet::constant(eta[0]), Jet::constant(eta[1])];
        exp(self.log_density(y, size, at).value() + self.log_constant(y, size))
    }
}

/// Log of a gamma variable of this shape, however small.
fn log_gamma_draw(rng: &mut Random, shape: f64) -> f64 {
    let above = Gamma::new(shape + 1.0, 1.0).map_or(1.0, |gamma| gamma.sample(rng));
    let uniform: f64 = 1.0 - rng.random::<f64>();
    ln(above) + ln(uniform) / shape
}

impl Family for BetaBinomial {
    fn price(&self) -> f64 {
        8.0
    }

    fn name(&self) -> &'static str {
        "betabinomial"
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

    fn log_constant(&self, y: f64, size: f64) -> f64 {
        Binomial(self.0).log_constant(y, size)
    }

    fn mean(&self, eta: &[f64]) -> f64 {
        self.0.inverse(eta[0])
    }

    fn variance(&self, eta: &[f64], size: f64) -> f64 {
        let inflation = 1.0 + (size - 1.0) / (1.0 + exp(eta[1]));
        Binomial(self.0).variance(eta, size) * inflation
    }

    fn cdf(&self, y: f64, size: f64, eta: &[f64]) -> (f64, f64) {
        tails(y, size, size * self.mean(eta), |y| self.probability(y, size, eta))
    }

    fn draw(&self, rng: &mut Random, size: f64, eta: &[f64]) -> f64 {
        let (p, q) = (self.mean(eta), self.0.complement(eta[0]));
        let (a, b) = (p * exp(eta[1]), q * exp(eta[1]));
        let log_odds = if a.min(b) > 1e200 {
            return Binomial(self.0).draw(rng, size, eta);
        } else if a + b < LEAST_PRECISION || a.min(b) < 1e-290 {
            return if rng.random::<f64>() < p { size } else { 0.0 };
        } else {
            log_gamma_draw(rng, a) - log_gamma_draw(rng, b)
        };
        Binomial(Link::Logit).draw(rng, size, &[log_odds])
    }

    fn check(&self, y: f64, size: f64) -> Result<(), &'static str> {
        check_successes(
            y,
            size,
            "a betabinomial response must be a whole number of successes, 0 or more",
            "a betabinomial response must not exceed the number of trials",
        )
    }

    fn start(&self, y: f64, size: f64) -> f64 {
        Binomial(self.0).start(y, size)
    }

    fn start_parameters(&self, _y: &[f64], _mean: &[f64], _freq: &[f64]) -> Vec<f64> {
        vec![START]
    }
}
