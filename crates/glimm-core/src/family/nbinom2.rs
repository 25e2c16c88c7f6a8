//! Negative binomial counts with variance mean + mean^2 / theta: predictor 1 is log theta.
//!
//! In the comments m = mean, n = y + theta, q = m / (m + theta), r = 1 - q, w = y / n, v = 1 - w.
//! The log density is  B + G + (its value for a Poisson count at its own mean), with
//!   B = y ln(m / y) - n L,  L = ln((m + theta) / n)      (minus half the deviance)
//!   G = -ln(1 + y / theta) / 2 + S(n) - S(theta)         (S Stirling's remainder)
//! and both vanish smoothly in the Poisson limit: nothing cancels for large theta.

use super::poisson::{self, check_count};
use super::rows::{Cache, Kernel, LANES, run1, run2};
use super::{Derivs, Family, Parameter, Random, Rows, Scale, Want};
use crate::link::Link;
use crate::special::{
    beta_inc, exp, expm1_near, ln, log1p_or_ln, log1pmx_near, logistic, saturated_poisson, select, stirling,
};
use rand_distr::Distribution;

pub(super) const LINKS: &[Link] = &[Link::Log];
pub(super) const PARAMETERS: &[Parameter] = &[Parameter {
    name: "theta",
    meaning: "size: the variance is mean + mean^2 / theta",
    scale: Scale::Log,
    dispersion: true,
    precision: 1.0,
}];

pub(super) struct Nbinom2(pub(super) Link);

/// Functions of a block, taken before its rows.
struct Stage {
    want: Want,
    /// exp(-|eta - t|)
    e: [f64; LANES],
    /// ln y and exp(eta), for the value only
    log_y: [f64; LANES],
    mean: [f64; LANES],
    /// S(n) and its derivatives
    s: [[f64; LANES]; 5],
}

impl Stage {
    fn new(want: Want) -> Stage {
        let none = [0.0; LANES];
        Stage { want, e: none, log_y: none, mean: none, s: [none; 5] }
    }

    #[inline(always)]
    fn update(&mut self, [y, eta, t]: &[[f64; LANES]; 3], theta: &[f64; LANES]) {
        for (e, (eta, t)) in self.e.iter_mut().zip(eta.iter().zip(t)) {
            *e = exp(-(eta - t).abs());
        }
        if self.want.value {
            for (log_y, y) in self.log_y.iter_mut().zip(y) {
                *log_y = ln(*y);
            }
            for (mean, eta) in self.mean.iter_mut().zip(eta) {
                *mean = exp(*eta);
            }
        }
        match self.want {
            Want { dims: 1, value: false, .. } => {}
            Want { dims: 1, .. } => self.remainders::<1>(y, theta),
            Want { order: 4, .. } => self.remainders::<5>(y, theta),
            _ => self.remainders::<4>(y, theta),
        }
    }

    /// The first `N` of S(n) and its derivatives.
    #[inline(always)]
    fn remainders<const N: usize>(&mut self, y: &[f64; LANES], theta: &[f64; LANES]) {
        for lane in 0..LANES {
            let s = stirling(y[lane] + theta[lane]);
            for (lanes, s) in self.s.iter_mut().zip(s).take(N) {
                lanes[lane] = s;
            }
        }
    }
}

/// What both kernels need of one row.
struct Parts {
    y: f64,
    eta: f64,
    t: f64,
    theta: f64,
    n: f64,
    q: f64,
    r: f64,
    /// exp(-|eta - t|): the smaller of m and theta over the larger
    e: f64,
    /// derivative with respect to eta
    slope: f64,
    log_y: f64,
    mean: f64,
}

impl Parts {
    #[inline(always)]
    fn new([y, eta, t]: [f64; 3], theta: f64, stage: &Stage, lane: usize) -> Parts {
        let e = stage.e[lane];
        let large = 1.0 / (1.0 + e);
        let small = e * large;
        let above = eta >= t;
        let (q, r) = (select(above, large, small), select(above, small, large));
        let slope = y.mul_add(r, -theta * q);
        let (log_y, mean) = (stage.log_y[lane], stage.mean[lane]);
        Parts { y, eta, t, theta, n: y + theta, q, r, e, slope, log_y, mean }
    }

    /// B, from the smaller of m / theta and theta / m so that its two parts do not cancel.
    #[inline(always)]
    fn deviance(&self) -> f64 {
        let e = self.eta - self.log_y;
        let gap = select(e.abs() <= 0.5, self.y * expm1_near(e), self.mean - self.y);
        let above = self.eta > self.t;
        let swap = above && self.y > 0.0;
        let (lead, other) = (select(swap, -self.theta, self.y), select(swap, self.y, self.theta));
        let x = select(swap, -self.e, 1.0) * (gap / self.n);
        let log = log1p_or_ln(x.abs() < 0.5, x, (1.0 + self.e) * (other / self.n));
        // without a success nothing can swap
        let rise = select(above && !swap, self.eta - self.t, 0.0);
        select(lead == 0.0, 0.0, lead * e) - self.n * (rise + log)
    }

    /// ln(1 + y / theta), sharp for large theta.
    #[inline(always)]
    fn log_excess(&self) -> f64 {
        let small = self.y < self.theta;
        let ratio = self.y / self.theta;
        log1p_or_ln(small, ratio, self.n) - select(small, 0.0, self.t)
    }

    /// The log density less its value for a Poisson count at its own mean.
    #[inline(always)]
    fn value(&self, s: f64, s_theta: f64) -> f64 {
        self.deviance() - 0.5 * self.log_excess() + (s - s_theta)
    }
}

/// Derivatives in eta; caches theta and S(theta).
struct Mean {
    cache: Cache<2>,
    stage: Stage,
}

impl Kernel<3, 5> for Mean {
    #[inline(always)]
    fn prepare(&mut self, block: &[[f64; LANES]; 3]) {
        self.cache.update(
            &block[2],
            #[inline(always)]
            |t| {
                let theta = exp(t);
                [theta, stirling(theta)[0]]
            },
        );
        self.stage.update(block, self.cache.term(0));
    }

    #[inline(always)]
    fn row(&self, lane: usize, input: [f64; 3]) -> [f64; 5] {
        let [theta, s_theta] = self.cache.at(lane);
        let parts = Parts::new(input, theta, &self.stage, lane);
        let [d2, d3, d4] = mean_derivatives(&parts);
        [parts.value(self.stage.s[0][lane], s_theta), parts.slope, d2, d3, d4]
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
struct Both {
    cache: Cache<6>,
    stage: Stage,
}

impl Kernel<3, 15> for Both {
    #[inline(always)]
    fn prepare(&mut self, block: &[[f64; LANES]; 3]) {
        self.cache.update(
            &block[2],
            #[inline(always)]
            |t| {
                let theta = exp(t);
                let [s0, s1, s2, s3, s4] = stirling(theta);
                [theta, s0, s1, s2, s3, s4]
            },
        );
        self.stage.update(block, self.cache.term(0));
    }

    #[inline(always)]
    fn row(&self, lane: usize, input: [f64; 3]) -> [f64; 15] {
        let k = self.cache.at(lane);
        let parts = Parts::new(input, k[0], &self.stage, lane);
        let mut s = [0.0; 5];
        for (s, lanes) in s.iter_mut().zip(&self.stage.s) {
            *s = lanes[lane];
        }
        let [f00, f000, f0000] = mean_derivatives(&parts);
        let [f01, f001, f011, f0001, f0011, f0111] = mixed_derivatives(&parts);
        let [b1, b2, b3, b4] = deviance_derivatives(&parts);
        let [g1, g2, g3, g4] = remainder_derivatives(&parts, &s, &k);
        let (f1, f11, f111, f1111) = (b1 + g1, b2 + g2, b3 + g3, b4 + g4);
        let value = parts.value(s[0], k[1]);
        #[rustfmt::skip]
        let row = [
            value,
            parts.slope, f1,
            f00, f01, f11,
            f000, f001, f011, f111,
            f0000, f0001, f0011, f0111, f1111,
        ];
        row
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

/// Derivatives 1 to 4 of B in t. The first is H = theta (ln(1 + x) - x) with x = slope / theta, that is
/// 1 + x = n / (m + theta); further H' = H + P with P = slope^2 / n, and P' = P (1 + w - 2 r).
#[inline(always)]
fn deviance_derivatives(parts: &Parts) -> [f64; 4] {
    let Parts { y, theta, n, q, r, slope, .. } = *parts;
    let x = slope / theta;
    let near = theta * log1pmx_near(x);
    let top = select(parts.eta > parts.t, parts.eta, parts.t);
    let log_ratio = top + ln((1.0 + parts.e) / n);
    let far = -theta * log_ratio - slope;
    let h = select(x.abs() <= 0.25, near, far);
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

/// Derivatives in log mean and log theta, both in columns.
pub(super) fn derivs2(y: &[f64], log_mean: &[f64], log_theta: &[f64], want: Want, out: &mut Derivs) {
    let want = Want { dims: 2, ..want };
    run2(Both { cache: Cache::new(), stage: Stage::new(want) }, [y, log_mean, log_theta], want, out)
}

/// P(Y <= y) and P(Y > y).
pub(super) fn cdf(y: f64, log_mean: f64, log_theta: f64) -> (f64, f64) {
    if y < 0.0 {
        return (0.0, 1.0);
    }
    let (q, r) = logistic(log_mean - log_theta);
    beta_inc(exp(log_theta), y.floor() + 1.0, r, q)
}

pub(super) fn draw(rng: &mut Random, mean: f64, log_theta: f64) -> f64 {
    let theta = exp(log_theta);
    let unit = rand_distr::Gamma::new(theta, 1.0 / theta).map_or(1.0, |gamma| gamma.sample(rng));
    poisson::draw(rng, (unit * mean).min(f64::MAX))
}

impl Family for Nbinom2 {
    fn price(&self) -> f64 {
        2.0
    }

    fn name(&self) -> &'static str {
        "nbinom2"
    }

    fn link(&self) -> Link {
        self.0
    }

    fn parameters(&self) -> &'static [Parameter] {
        PARAMETERS
    }

    fn derivs(&self, rows: Rows<'_>, eta: &[&[f64]], want: Want, out: &mut Derivs) {
        let input = [rows.y, eta[0], eta[1]];
        if want.dims == 1 {
            run1(Mean { cache: Cache::new(), stage: Stage::new(want) }, input, want, out)
        } else {
            derivs2(rows.y, eta[0], eta[1], want, out)
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
        cdf(y, eta[0], eta[1])
    }

    fn draw(&self, rng: &mut Random, _size: f64, eta: &[f64]) -> f64 {
        draw(rng, self.mean(eta), eta[1])
    }

    fn check(&self, y: f64, _size: f64) -> Result<(), &'static str> {
        check_count(y, "an nbinom2 response must be a whole number, 0 or more")
    }

    fn start(&self, y: f64, _size: f64) -> f64 {
        ln(y + 0.5)
    }

    /// By moments, within what counts can tell apart.
    fn start_parameters(&self, y: &[f64], mean: &[f64], freq: &[f64]) -> Vec<f64> {
        let excess = y.iter().zip(mean).map(|(y, m)| (y - m) * (y - m) - m);
        let square = super::weighted_mean(freq, mean.iter().map(|m| m * m));
        let excess = super::weighted_mean(freq, excess);
        vec![if excess > 0.0 { ln(square / excess).clamp(-3.0, 7.0) } else { 3.0 }]
    }
}
