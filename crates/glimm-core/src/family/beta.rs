//! Proportions between 0 and 1: predictor 1 is the log of the precision phi.
//!
//!   f(y) = Gamma(phi) / (Gamma(a) Gamma(b)) y^(a - 1) (1 - y)^(b - 1),  a = mu phi,  b = (1 - mu) phi,
//!
//! with variance mu (1 - mu) / (1 + phi) (Ferrari and Cribari-Neto 2004, Journal of Applied Statistics 31).
//! By Stirling's formula with remainder S, and K the divergence mu ln(mu / y) + (1 - mu) ln((1 - mu) / (1 - y)),
//!
//!   ln f = -phi K + (ln phi + ln mu + ln(1 - mu)) / 2 + S(phi) - S(a) - S(b) + constant,
//!
//! where nothing cancels for large phi. In the log odds theta of the mean, K' = mu (1 - mu) (theta - logit y).

use super::jets::{self, Density, Jet};
use super::{Derivs, Family, Parameter, Random, Rows, Scale, Want};
use crate::link::Link;
use crate::special::{HALF_LN_2PI, beta_inc, exp, ln, log1p, log1pmx, logistic, vectorized};
use rand_distr::Distribution;

pub(super) const LINKS: &[Link] = &[Link::Logit, Link::Probit, Link::Cloglog, Link::Loglog, Link::Cauchit];
pub(super) const PARAMETERS: &[Parameter] = &[Parameter {
    name: "phi",
    meaning: "precision: the variance is mean (1 - mean) / (1 + phi)",
    scale: Scale::Log,
    dispersion: true,
    precision: 1.0,
}];

/// ln phi saturates here: products with the divergence stay finite.
const LOG_LIMIT: f64 = 300.0;
/// Beyond this exp(eta) of the log-log links has made the smaller share 1e-300.
const LOGLOG_LIMIT: f64 = 6.5;
/// Of starting predictors.
const START_LIMIT: f64 = 30.0;

pub(super) struct Beta(pub(super) Link);

/// ln mu and ln(1 - mu) of a predictor.
fn log_means<const D: usize, const N: usize>(link: Link, eta: Jet<D, N>) -> [Jet<D, N>; 2] {
    let eta = match link {
        Link::Cloglog => eta.clamp(f64::NEG_INFINITY, LOGLOG_LIMIT),
        Link::Loglog => eta.clamp(-LOGLOG_LIMIT, f64::INFINITY),
        _ => eta,
    };
    let at = eta.value();
    let tails = vectorized(
        #[inline(always)]
        || link.log_tails(at),
    );
    tails.map(|tail| eta.compose(tail))
}

/// The divergence at log odds `theta` of the mean with its first four derivatives in them.
#[inline(always)]
fn divergence(y: f64, [log_mu, log_nu]: [f64; 2]) -> [f64; 5] {
    let (mu, nu) = (exp(log_mu), exp(log_nu));
    let (log_y, log_z) = (ln(y), log1p(-y));
    let gap = (log_mu - log_nu) - (log_y - log_z);
    let (w, lean) = (mu * nu, nu - mu);
    let difference = if mu < nu { mu - y } else { (1.0 - y) - nu };
    let (u, v) = (-difference / mu, difference / nu);
    let value = if u.abs().max(v.abs()) < 0.25 {
        -mu * log1pmx(u) - nu * log1pmx(v)
    } else {
        mu * (log_mu - log_y) + nu * (log_nu - log_z)
    };
    let (w1, w2, w3) = (w * lean, w * (1.0 - 6.0 * w), w * lean * (1.0 - 12.0 * w));
    [value, w * gap, w1 * gap + w, w2 * gap + 2.0 * w1, w3 * gap + 3.0 * w2]
}

/// The log density of a proportion, less [`constant`], from ln mu, ln(1 - mu) and ln phi.
pub(super) fn log_density<const D: usize, const N: usize>(
    y: f64,
    [log_mu, log_nu]: [Jet<D, N>; 2],
    log_phi: Jet<D, N>,
) -> Jet<D, N> {
    let t = log_phi.clamp(-LOG_LIMIT, LOG_LIMIT);
    let at = [log_mu.value(), log_nu.value()];
    let k = (log_mu - log_nu).compose(vectorized(
        #[inline(always)]
        || divergence(y, at),
    ));
    let remainder = t.stirling_exp() - (t + log_mu).stirling_exp() - (t + log_nu).stirling_exp();
    (t + log_mu + log_nu) * 0.5 + remainder - t.exp() * k
}

/// The part of the log density that depends on the proportion alone.
pub(super) fn constant(y: f64) -> f64 {
    -ln(y) - log1p(-y) - HALF_LN_2PI
}

/// (P(Y <= y), P(Y > y)) of a proportion with mean mu = 1 - nu.
pub(super) fn cdf(y: f64, (mu, nu): (f64, f64), log_phi: f64) -> (f64, f64) {
    let phi = exp(log_phi.clamp(-LOG_LIMIT, LOG_LIMIT));
    let share = |p: f64| (p * phi).max(f64::MIN_POSITIVE);
    beta_inc(share(mu), share(nu), y, 1.0 - y)
}

/// ln of a gamma variable of this shape, which itself may be too small for a double.
pub(super) fn draw_log_gamma(rng: &mut Random, shape: f64) -> f64 {
    let larger = rand_distr::Gamma::new(shape + 1.0, 1.0).map_or(1.0, |gamma| gamma.sample(rng));
    let uniform: f64 = rand_distr::Open01.sample(rng);
    ln(larger) + ln(uniform) / shape
}

/// A proportion with mean mu = 1 - nu, inside (0, 1) even where the nearest double is not.
pub(super) fn draw(rng: &mut Random, (mu, nu): (f64, f64), log_phi: f64) -> f64 {
    let phi = exp(log_phi.clamp(-LOG_LIMIT, LOG_LIMIT));
    let mut log_gamma = |p: f64| draw_log_gamma(rng, (p * phi).max(f64::MIN_POSITIVE)).max(-f64::MAX / 4.0);
    let log_odds = log_gamma(mu) - log_gamma(nu);
    logistic(log_odds).0.clamp(f64::MIN_POSITIVE, 1.0 - 0.5 * f64::EPSILON)
}

struct Formula(Link);

impl Density<2> for Formula {
    fn log_density<const D: usize, const N: usize>(&self, y: f64, _size: f64, [eta, t]: [Jet<D, N>; 2]) -> Jet<D, N> {
        log_density(y, log_means(self.0, eta), t)
    }
}

impl Beta {
    fn means(&self, eta: f64) -> (f64, f64) {
        (self.0.inverse(eta), self.0.complement(eta))
    }
}

impl Family for Beta {
    fn price(&self) -> f64 {
        8.0
    }

    fn name(&self) -> &'static str {
        "beta"
    }

    fn link(&self) -> Link {
        self.0
    }

    fn parameters(&self) -> &'static [Parameter] {
        PARAMETERS
    }

    fn derivs(&self, rows: Rows<'_>, eta: &[&[f64]], want: Want, out: &mut Derivs) {
        jets::run(&Formula(self.0), rows, eta, want, out);
    }

    fn log_constant(&self, y: f64, _size: f64) -> f64 {
        constant(y)
    }

    fn mean(&self, eta: &[f64]) -> f64 {
        self.0.inverse(eta[0])
    }

    fn variance(&self, eta: &[f64], _size: f64) -> f64 {
        let (mu, nu) = self.means(eta[0]);
        mu * nu * logistic(-eta[1]).0
    }

    fn cdf(&self, y: f64, _size: f64, eta: &[f64]) -> (f64, f64) {
        cdf(y, self.means(eta[0]), eta[1])
    }

    fn draw(&self, rng: &mut Random, _size: f64, eta: &[f64]) -> f64 {
        draw(rng, self.means(eta[0]), eta[1])
    }

    fn check(&self, y: f64, _size: f64) -> Result<(), &'static str> {
        if y > 0.0 && y < 1.0 { Ok(()) } else { Err("a beta response must be above 0 and below 1") }
    }

    fn start(&self, y: f64, _size: f64) -> f64 {
        self.0.link(y).clamp(-START_LIMIT, START_LIMIT)
    }

    /// By moments, within what proportions can tell apart.
    fn start_parameters(&self, y: &[f64], mean: &[f64], freq: &[f64]) -> Vec<f64> {
        let square = super::weighted_mean(freq, y.iter().zip(mean).map(|(y, m)| (y - m) * (y - m)));
        let spread = super::weighted_mean(freq, mean.iter().map(|m| m * (1.0 - m)));
        vec![ln((spread / square - 1.0).max(f64::MIN_POSITIVE)).clamp(-3.0, 12.0)]
    }
}
