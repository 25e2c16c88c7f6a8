//! Negative binomial counts with variance mean + mean^2 / theta: predictor 1 is log theta.
//!
//! In the comments m = mean, n = y + theta, q = m / (m + theta), r = 1 - q, w = y / n, v = 1 - w.
//! The log density is  B + G + (its value for a Poisson count at its own mean), with
//!   B = y ln(m / y) - n L,  L = ln((m + theta) / n)      (minus half the deviance)
//!   G = -ln(1 + y / theta) / 2 + S(n) - S(theta)         (S Stirling's remainder)
//! and both vanish smoothly in the Poisson limit: nothing cancels for large theta.

use super::poisson::{check_count, draw};
use super::rows::{Cache, Kernel, LANES, run1, run2};
use super::{Derivs, Dispersion, Family, Random, Rows, Want};
use crate::link::Link;
use crate::special::{
    beta_inc, exp, expm1_near, ln, log1p, log1pmx_near, logistic, saturated_poisson, stirling,
};
use rand_distr::Distribution;

pub(super) const LINKS: &[Link] = &[Link::Log];
pub(super) const DISPERSION: Dispersion =
    Dispersion { name: "theta", meaning: "size: the variance is mean + mean^2 / theta" };

pub(super) struct Nbinom2(pub(super) Link);

/// What both kernels need of one row.
struct Parts {
    y: f64,
    eta: f64,
    t: f64,
    theta: f64,
    n: f64,
    q: f64,
    r: f64,
    /// 1 + exp(-|eta - t|), so that m + theta = larger of m and theta times this
    one_plus: f64,
    /// derivative with respect to eta
    slope: f64,
}

impl Parts {
    #[inline(always)]
    fn new([y, eta, t]: [f64; 3], theta: f64) -> Parts {
        let d = eta - t;
        let e = exp(-d.abs());
        let large = 1.0 / (1.0 + e);
        let small = e * large;
        let (q, r) = if d >= 0.0 { (large, small) } else { (small, large) };
        let slope = y.mul_add(r, -theta * q);
        Parts { y, eta, t, theta, n: y + theta, q, r, one_plus: 1.0 + e, slope }
    }

    /// L by logarithms, for use where it is not small.
    #[inline(always)]
    fn log_ratio_far(&self) -> f64 {
        let top = if self.eta > self.t { self.eta } else { self.t };
        top + ln(self.one_plus / self.n)
    }

    /// B, as the sum of the Poisson deviance part and the rest would cancel for neither limit.
    #[inline(always)]
    fn deviance(&self) -> f64 {
        let e = self.eta - ln(self.y);
        let near = e.abs() <= 0.5;
        let gap = if near { self.y * expm1_near(e) } else { exp(self.eta) - self.y };
        let x = gap / self.n;
        let l = if x.abs() < 0.5 { log1p(x) } else { self.log_ratio_far() };
        self.y.mul_add(e, -self.n * l)
    }

    /// ln(1 + y / theta), sharp for large theta.
    #[inline(always)]
    fn log_excess(&self) -> f64 {
        if self.y < self.theta { log1p(self.y / self.theta) } else { ln(self.n) - self.t }
    }
}

/// Derivatives in eta; caches theta and S(theta).
struct Mean(Cache<2>);

impl Kernel<3, 5> for Mean {
    #[inline(always)]
    fn prepare(&mut self, block: &[[f64; LANES]; 3]) {
        self.0.update(&block[2], #[inline(always)] |t| {
            let theta = exp(t);
            [theta, stirling(theta)[0]]
        });
    }

    #[inline(always)]
    fn row(&self, lane: usize, input: [f64; 3]) -> [f64; 5] {
        let parts = Parts::new(input, self.0.terms[0][lane]);
        let remainder = stirling(parts.n)[0] - self.0.terms[1][lane];
        let value = parts.deviance() - 0.5 * parts.log_excess() + remainder;
        let [d2, d3, d4] = mean_derivatives(&parts);
        [value, parts.slope, d2, d3, d4]
    }
}

/// Second to fourth derivative in eta.
#[inline(always)]
fn mean_derivatives(parts: &Parts) -> [f64; 3] {
    let g = parts.q * parts.r;
    let skew = parts.r - parts.q;
    let d2 = -parts.n * g;
    [d2, d2 * skew, d2 * skew.mul_add(skew, -2.0 * g)]
}

/// Derivatives in eta and t; caches theta and S(theta) with its derivatives.
struct Both(Cache<6>);

impl Kernel<3, 15> for Both {
    #[inline(always)]
    fn prepare(&mut self, block: &[[f64; LANES]; 3]) {
        self.0.update(&block[2], #[inline(always)] |t| {
            let theta = exp(t);
            let [s0, s1, s2, s3, s4] = stirling(theta);
            [theta, s0, s1, s2, s3, s4]
        });
    }

    #[inline(always)]
    fn row(&self, lane: usize, input: [f64; 3]) -> [f64; 15] {
        let k: [f64; 6] = std::array::from_fn(|k| self.0.terms[k][lane]);
        let parts = Parts::new(input, k[0]);
        let s = stirling(parts.n);
        let value = parts.deviance() - 0.5 * parts.log_excess() + (s[0] - k[1]);
        let [d00, d000, d0000] = mean_derivatives(&parts);
        let [d01, d001, d011, d0001, d0011, d0111] = mixed_derivatives(&parts);
        let h = deviance_derivatives(&parts);
        let g = remainder_derivatives(&parts, &s, &k);
        [
            value,
            parts.slope,
            h[0] + g[0],
            d00,
            d01,
            h[1] + g[1],
            d000,
            d001,
            d011,
            h[2] + g[2],
            d0000,
            d0001,
            d0011,
            d0111,
            h[3] + g[3],
        ]
    }
}

/// 01, 001, 011, 0001, 0011, 0111.
#[inline(always)]
fn mixed_derivatives(parts: &Parts) -> [f64; 6] {
    let Parts { y, n, q, r, slope, .. } = *parts;
    let (g, skew) = (q * r, r - q);
    let lean = (-2.0 * q).mul_add(n, y);
    let d01 = slope * q;
    let d0011 = (n * q).mul_add(skew, -slope * (-3.0f64).mul_add(q, r));
    [
        d01,
        g * lean,
        -d01 * skew,
        g * skew.mul_add(lean, -2.0 * n * g),
        g * d0011,
        -d01 * (2.0f64).mul_add(g, -skew * skew),
    ]
}

/// Derivatives 1 to 4 of B in t. The first is H = theta (ln(1 + x) - x) with x = slope / theta... where
/// 1 + x = n / (m + theta); then H' = H + P with P = slope^2 / n, and P' = P (1 + w - 2 r).
#[inline(always)]
fn deviance_derivatives(parts: &Parts) -> [f64; 4] {
    let Parts { y, theta, n, q, r, slope, .. } = *parts;
    let x = slope / theta;
    let near = theta * log1pmx_near(x);
    let far = -theta * parts.log_ratio_far() - slope;
    let h = if x.abs() <= 0.25 { near } else { far };
    let p = slope * (slope / n);
    let (w, v) = (y / n, theta / n);
    let c = (-2.0f64).mul_add(r, 1.0 + w);
    let p1 = p * c;
    let p2 = p * (c * c - v * w - 2.0 * r * q);
    [h, h + p, h + p + p1, h + p + p1 + p2]
}

/// Derivatives 1 to 4 of G in t.
#[inline(always)]
fn remainder_derivatives(parts: &Parts, s: &[f64; 5], k: &[f64; 6]) -> [f64; 4] {
    let (w, v) = (parts.y / parts.n, parts.theta / parts.n);
    let (vw, gap) = (v * w, v - w);
    let v2 = v * v;
    let d1 = v * s[1] - k[2];
    let d2 = v2 * s[2] - k[3];
    let d3 = v2 * v * s[3] - k[4];
    let d4 = v2 * v2 * s[4] - k[5];
    [
        0.5 * w + d1,
        -0.5 * vw + (d1 + d2),
        0.5 * vw * gap + (d1 + 3.0 * d2 + d3),
        0.5 * vw * (2.0 * vw - gap * gap) + (d1 + 7.0 * d2 + 6.0 * d3 + d4),
    ]
}

impl Family for Nbinom2 {
    fn name(&self) -> &'static str {
        "nbinom2"
    }

    fn link(&self) -> Link {
        self.0
    }

    fn dispersion(&self) -> Option<Dispersion> {
        Some(DISPERSION)
    }

    fn derivs(&self, rows: Rows<'_>, eta: &[&[f64]], want: Want, out: &mut Derivs) {
        let input = [rows.y, eta[0], eta[1]];
        if want.dims == 1 {
            run1(Mean(Cache::new()), input, want, out)
        } else {
            run2(Both(Cache::new()), input, want, out)
        }
    }

    fn log_constant(&self, y: f64, _size: f64) -> f64 {
        saturated_poisson(y)
    }

    fn concordance(&self) -> Option<f64> {
        Some(1.0)
    }

    fn mean(&self, eta: &[f64]) -> f64 {
        self.0.inverse(eta[0])
    }

    fn variance(&self, eta: &[f64], _size: f64) -> f64 {
        let mean = self.mean(eta);
        mean + mean * exp(eta[0] - eta[1])
    }

    fn cdf(&self, y: f64, _size: f64, eta: &[f64]) -> (f64, f64) {
        if y < 0.0 {
            return (0.0, 1.0);
        }
        let (q, r) = logistic(eta[0] - eta[1]);
        beta_inc(exp(eta[1]), y.floor() + 1.0, r, q)
    }

    fn draw(&self, rng: &mut Random, _size: f64, eta: &[f64]) -> f64 {
        let theta = exp(eta[1]);
        let unit = rand_distr::Gamma::new(theta, 1.0 / theta).map_or(1.0, |gamma| gamma.sample(rng));
        draw(rng, unit * self.mean(eta))
    }

    fn check(&self, y: f64, _size: f64) -> Result<(), &'static str> {
        check_count(y, "an nbinom2 response must be a whole number, 0 or more")
    }

    fn start(&self, y: f64, _size: f64) -> f64 {
        ln(y + 0.5)
    }

    /// By moments, within what counts can tell apart.
    fn start_dispersion(&self, y: &[f64], mean: &[f64], freq: &[f64]) -> f64 {
        let excess = y.iter().zip(mean).map(|(y, m)| (y - m) * (y - m) - m);
        let square = super::weighted_mean(freq, mean.iter().map(|m| m * m));
        let excess = super::weighted_mean(freq, excess);
        if excess > 0.0 { ln(square / excess).clamp(-3.0, 7.0) } else { 3.0 }
    }
}
