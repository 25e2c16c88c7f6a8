//! Student's t around its centre: predictor 1 is the log of the scale sigma, predictor 2 that of the degrees of
//! freedom nu.
//!
//!   f(y) = Gamma((nu + 1) / 2) / (Gamma(nu / 2) sqrt(nu pi) sigma) (1 + z^2 / nu)^(-(nu + 1) / 2),  z = (y - mu) / sigma
//!
//! (Lange, Little and Taylor 1989, Journal of the American Statistical Association 84). The standard deviation is
//! sigma sqrt(nu / (nu - 2)) for nu > 2. Written so that the normal limit is reached without cancellation: with q = z^2 / nu,
//! x = nu / 2 and S Stirling's remainder,
//!
//!   ln f = x ln(1 + 1 / nu) - 1 / 2 + S(x + 1 / 2) - S(x) - ln sigma - ln(2 pi) / 2
//!          - z^2 / 2 (ln(1 + q) / q) - ln(1 + q) / 2.

use super::beta::draw_log_gamma;
use super::jets::{self, Density, Jet};
use super::{Derivs, Family, Parameter, Random, Rows, Scale, Want, weighted_mean};
use crate::link::Link;
use crate::special::{HALF_LN_2PI, beta_inc, digamma, exp, ln, log1pmx, normal_cdf, trigamma};
use rand_distr::{Distribution, StandardNormal};
use std::f64::consts::LN_2;

pub(super) const LINKS: &[Link] = &[Link::Identity, Link::Log];
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "sigma",
        meaning: "scale: the standard deviation is sigma sqrt(df / (df - 2)) for df above 2",
        scale: Scale::Log,
        dispersion: true,
        precision: -0.5,
    },
    Parameter {
        name: "df",
        meaning: "degrees of freedom: the smaller, the heavier the tails",
        scale: Scale::Log,
        dispersion: false,
        precision: 0.0,
    },
];

/// The mean of the log link, sigma and nu saturate here, so that fourth powers stay finite.
const LOG_MEAN_LIMIT: f64 = 60.0;
const SIGMA: (f64, f64) = (-60.0, 300.0);
const DF: (f64, f64) = (-20.0, 300.0);
/// Up to here ln(1 + q) / q is summed as a series of so many terms.
const NEAR: f64 = 0.1;
const TERMS: usize = 24;
/// From so many degrees of freedom on the distribution is normal.
const NORMAL: f64 = 1e15;
/// Start: least variance as a share of the mean square; range of degrees of freedom.
const LEAST_SHARE: f64 = 1e-12;
const START_DF: (f64, f64) = (1.5, 30.0);

pub(super) struct StudentT(pub(super) Link);

/// ln(1 + q) / q for 0 <= q <= NEAR with its first four derivatives.
fn log_ratio(q: f64) -> [f64; 5] {
    let mut f = [0.0f64; 5];
    for k in (0..TERMS).rev() {
        // Horner's rule for all derivatives at once
        for d in (1..5).rev() {
            f[d] = f[d].mul_add(q, d as f64 * f[d - 1]);
        }
        let sign = if k % 2 == 0 { 1.0 } else { -1.0 };
        f[0] = f[0].mul_add(q, sign / (k + 1) as f64);
    }
    f
}

/// x ln(1 + 1 / nu) - 1 / 2 with x = nu / 2, and its first four derivatives in u = ln nu.
fn excess(u: f64) -> [f64; 5] {
    let w = exp(-u);
    let c = w / (1.0 + w);
    let g = log1pmx(w) / w;
    let d1 = c + g;
    let d2 = c * c + g;
    let d3 = c + g + 2.0 * c * c * (c - 1.0);
    let d4 = c + g + c * (1.0 - c) * (4.0 * c - 6.0 * c * c - 1.0);
    [0.5 * g, 0.5 * d1, 0.5 * d2, 0.5 * d3, 0.5 * d4]
}

/// The log density of a residual, less the constant of the normal distribution.
fn log_density<const D: usize, const N: usize>(r: Jet<D, N>, t: Jet<D, N>, u: Jet<D, N>) -> Jet<D, N> {
    let (t, u) = (t.clamp(SIGMA.0, SIGMA.1), u.clamp(DF.0, DF.1));
    let half_less = u - LN_2;
    let constant = u.compose(excess(u.value())) + (u.softplus() - LN_2).stirling_exp() - half_less.stirling_exp() - t;
    let ratio = exp(-2.0 * t.value() - u.value()) * r.value() * r.value();
    if ratio <= NEAR {
        let square = r.square() * (t * -2.0).exp();
        let q = square * (-u).exp();
        let near = q.compose(log_ratio(q.value()));
        return constant - (square * near + q * near) * 0.5;
    }
    let size = if r.value() < 0.0 { -r } else { r };
    let log_q = (size.ln() - t) * 2.0 - u;
    constant - (u.exp() + 1.0) * log_q.softplus() * 0.5
}

impl Density<3> for StudentT {
    fn log_density<const D: usize, const N: usize>(
        &self,
        y: f64,
        _size: f64,
        [eta, t, u]: [Jet<D, N>; 3],
    ) -> Jet<D, N> {
        let mean = match self.0 {
            Link::Log => eta.clamp(f64::NEG_INFINITY, LOG_MEAN_LIMIT).exp(),
            _ => eta,
        };
        log_density(-mean + y, t, u)
    }
}

/// The x with trigamma(x) = value.
fn inverse_trigamma(value: f64) -> f64 {
    let (mut low, mut high) = (1e-3f64, 1e3f64);
    for _ in 0..60 {
        let middle = (low * high).sqrt();
        if trigamma(middle) > value { low = middle } else { high = middle }
    }
    low
}

impl Family for StudentT {
    fn price(&self) -> f64 {
        8.0
    }

    fn name(&self) -> &'static str {
        "student_t"
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

    fn log_constant(&self, _y: f64, _size: f64) -> f64 {
        -HALF_LN_2PI
    }

    /// The centre of symmetry, which is the mean where there is one (nu > 1).
    fn mean(&self, eta: &[f64]) -> f64 {
        self.0.inverse(eta[0])
    }

    /// Infinite for nu <= 2.
    fn variance(&self, eta: &[f64], _size: f64) -> f64 {
        let nu = exp(eta[2]);
        if nu > 2.0 { exp(2.0 * eta[1]) / (1.0 - 2.0 / nu) } else { f64::INFINITY }
    }

    fn cdf(&self, y: f64, _size: f64, eta: &[f64]) -> (f64, f64) {
        let z = ((y - self.mean(eta)) * exp(-eta[1])).clamp(-1e150, 1e150);
        let nu = exp(eta[2].clamp(DF.0, DF.1));
        let tail = if nu > NORMAL {
            normal_cdf(-z.abs())
        } else {
            let q = z * z / nu;
            0.5 * beta_inc(0.5 * nu, 0.5, 1.0 / (1.0 + q), q / (1.0 + q)).0
        };
        if z < 0.0 { (tail, 1.0 - tail) } else { (1.0 - tail, tail) }
    }

    fn draw(&self, rng: &mut Random, _size: f64, eta: &[f64]) -> f64 {
        let u = eta[2].clamp(DF.0, DF.1);
        let log_spread = draw_log_gamma(rng, 0.5 * exp(u)) - (u - LN_2);
        let z: f64 = StandardNormal.sample(rng);
        let y = exp((-0.5f64).mul_add(log_spread, eta[1])).mul_add(z, self.mean(eta));
        y.clamp(-f64::MAX, f64::MAX)
    }

    fn check(&self, y: f64, _size: f64) -> Result<(), &'static str> {
        if y.is_finite() { Ok(()) } else { Err("a student_t response must be a finite number") }
    }

    fn start(&self, y: f64, _size: f64) -> f64 {
        match self.0 {
            // A log of a response at or below zero does not exist; any small mean serves.
            Link::Log => ln(y.max(0.1)),
            _ => y,
        }
    }

    /// By the mean and variance of ln |y - mean|, which exist for all degrees of freedom:
    /// (digamma(1/2) - digamma(nu/2) + ln nu) / 2 + ln sigma, and (trigamma(1/2) + trigamma(nu/2)) / 4.
    fn start_parameters(&self, y: &[f64], mean: &[f64], freq: &[f64]) -> Vec<f64> {
        let square = weighted_mean(freq, y.iter().map(|y| y * y));
        let least = LEAST_SHARE * square;
        let log_size = |(y, m): (&f64, &f64)| 0.5 * ln(((y - m) * (y - m)).max(least));
        let center = weighted_mean(freq, y.iter().zip(mean).map(log_size));
        let spread = weighted_mean(freq, y.iter().zip(mean).map(|at| (log_size(at) - center).powi(2)));
        let nu = 2.0 * inverse_trigamma(4.0 * spread - trigamma(0.5));
        let nu = nu.clamp(START_DF.0, START_DF.1);
        let sigma = center - 0.5 * (digamma(0.5) - digamma(0.5 * nu) + ln(nu));
        vec![if square > 0.0 { sigma } else { 0.0 }, ln(nu)]
    }
}
