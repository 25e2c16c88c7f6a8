//! Conway-Maxwell-Poisson counts by sums over counts, as an exponential family: the probability of k is in proportion to
//!
//!   exp(theta x - nu w),   x = k - mean,   w = ln k! - ln c! - (k - c) ln c,   c = max(mean, 1)
//!
//! so that theta = ln lambda - nu ln c. Taking off the line from ln k! leaves theta near 0 and x and w of moderate
//! size. Theta solves E x = 0. Sums run from about the mode outward; where they would be long, all but the first terms are
//! an integral by Gauss-Legendre panels, with the corrections of Euler and Maclaurin.

use super::tweedie_series::divergence;
use crate::special::{GAUSS_NODES, GAUSS_WEIGHTS, exp, ln, log1p, saturated_poisson};

/// Terms smaller than that at the mode by this many nats are left out; what is needed and a margin for theta to move.
const DROP: f64 = 46.0;
/// Standard deviation above which sums are integrals, and the terms before these.
const WIDE: f64 = 60.0;
const DIRECT: u32 = 64;
/// Weights of the four terms around the start of the integral, -(17 / 5760) times third and (1 / 24) times first
/// differences.
const CORRECTIONS: [f64; 4] = [17.0 / 5760.0, -1.0 / 24.0 - 51.0 / 5760.0, 1.0 / 24.0 + 51.0 / 5760.0, -17.0 / 5760.0];
/// Steps in units of standard deviations: where the cubic iteration for theta has converged, and where the range of the
/// sum is to follow.
const CONVERGED: f64 = 1e-5;
const MOVED: f64 = 0.2;
const MOST_STEPS: usize = 200;
/// No sum goes further beyond the mean, in standard deviations.
const REACH: f64 = 100.0;

/// Count less mean, w, and weight (1 unless part of an integral).
#[derive(Clone, Copy)]
struct Node {
    x: f64,
    w: f64,
    weight: f64,
}

/// w of counts.
#[derive(Clone, Copy)]
struct Line {
    c: f64,
    log_c: f64,
}

impl Line {
    fn new(eta: f64) -> Line {
        if eta > 0.0 { Line { c: exp(eta), log_c: eta } } else { Line { c: 1.0, log_c: 0.0 } }
    }

    fn w(self, k: f64) -> f64 {
        let relative = if k > 0.0 { divergence(k, self.c, self.log_c) } else { self.c };
        relative - saturated_poisson(k) + saturated_poisson(self.c)
    }
}

/// Sums at one theta, relative to that of the probabilities.
struct Moments {
    /// ln of the sum, relative to the term of the reference.
    log_sum: f64,
    x: f64,
    variance: f64,
    third: f64,
    w: f64,
}

pub(super) struct Sums {
    eta: f64,
    mean: f64,
    nu: f64,
    line: Line,
    theta: f64,
    /// A count near the mode, and its w; the first of the nodes.
    reference: (f64, f64),
    nodes: Vec<Node>,
    log_sum: f64,
    pub(super) variance: f64,
    /// Mean of w.
    center: f64,
}

/// Derivatives of ln Z and of the mean less that at theta, in theta and nu: by order, then by powers of nu.
pub(super) struct Cumulants {
    pub(super) powers: [f64; 15],
    pub(super) times_x: [f64; 15],
}

impl Sums {
    /// At eta = ln mean and nu.
    pub(super) fn new(eta: f64, nu: f64) -> Sums {
        let (mean, line) = (exp(eta), Line::new(eta));
        let nodes = Vec::with_capacity(128);
        let reference = (0.0, 0.0);
        let theta = start(eta, mean, nu);
        let mut sums = Sums { eta, mean, nu, line, theta, reference, nodes, log_sum: 0.0, variance: 0.0, center: 0.0 };
        sums.solve();
        sums
    }

    fn solve(&mut self) {
        // overdispersed counts have less than the lambda of Poisson ones
        let (mut low, mut high) = (f64::NEG_INFINITY, if self.nu < 0.9 { self.eta.min(0.0) } else { f64::INFINITY });
        let longest = 1.0 + self.nu / self.line.c;
        self.place();
        for _ in 0..MOST_STEPS {
            let m = self.moments();
            let (step, scale) = (halley(&m, longest), 1.0 + m.variance.sqrt());
            let mut next = self.theta + step;
            if step.abs() * scale <= CONVERGED {
                self.theta = next;
                break;
            }
            if m.x > 0.0 {
                high = self.theta;
            } else {
                low = self.theta;
            }
            if next <= low || next >= high {
                // there is always one finite end
                let other = if next <= low { low + longest } else { high - longest };
                next = if (high - low).is_finite() { 0.5 * (low + high) } else { other };
            }
            let moved = (next - self.theta).abs() * scale;
            self.theta = next;
            if moved > MOVED {
                self.place();
            }
        }
        let m = self.moments();
        (self.log_sum, self.variance, self.center) = (m.log_sum, m.variance, m.w);
    }

    fn exponent(&self, x: f64, w: f64) -> f64 {
        self.theta * (x - self.reference.0 + self.mean) - self.nu * (w - self.reference.1)
    }

    /// tau, the count at which the ratio of successive probabilities is 1.
    fn tau(&self) -> f64 {
        self.line.c * exp((self.theta / self.nu).min(40.0))
    }

    pub(super) fn mode(&self) -> f64 {
        self.tau().floor()
    }

    /// The nodes of the sums at theta.
    fn place(&mut self) {
        let mode = self.mode().min(self.mean + 1.0).floor();
        self.reference = (mode, self.line.w(mode));
        self.nodes.clear();
        let spread = (self.mean / (self.nu + 1.0 / (1.0 + self.mean))).sqrt();
        // while theta is sought it may be far too large
        let last = self.mean + REACH * (1.0 + spread);
        if spread > WIDE { self.place_panels(spread, last) } else { self.place_counts(last) }
    }

    fn place_counts(&mut self, last: f64) {
        let (c, mode) = (self.line.c, self.reference.0);
        self.nodes.push(Node { x: mode - self.mean, w: self.reference.1, weight: 1.0 });
        for up in [true, false] {
            let (mut k, mut w) = self.reference;
            let mut exponent = 0.0;
            while exponent > -DROP && if up { k < last } else { k > 0.0 } {
                let ratio = (if up { k + 1.0 - c } else { k - c }) / c;
                let log = if ratio.abs() < 0.5 { log1p(ratio) } else { ln(ratio + 1.0) };
                (k, w) = if up { (k + 1.0, w + log) } else { (k - 1.0, w - log) };
                exponent = self.exponent(k - self.mean, w);
                self.nodes.push(Node { x: k - self.mean, w, weight: 1.0 });
            }
        }
    }

    fn place_panels(&mut self, spread: f64, last: f64) {
        for k in 0..=DIRECT + 1 {
            let correction = if k + 2 >= DIRECT { CORRECTIONS[(k + 2 - DIRECT) as usize] } else { 0.0 };
            let weight = correction + if k < DIRECT { 1.0 } else { 0.0 };
            self.push(f64::from(k), weight);
        }
        let mode = self.tau();
        let mut left = f64::from(DIRECT) - 0.5;
        loop {
            let right = left + left.min(2.0 * spread);
            let (center, half) = (0.5 * (left + right), 0.5 * (right - left));
            for (x, weight) in GAUSS_NODES.iter().zip(&GAUSS_WEIGHTS) {
                self.push(center - half * x, half * weight);
                self.push(center + half * x, half * weight);
            }
            let over = right > mode && self.exponent(right - self.mean, self.line.w(right)) < -DROP;
            if over || right > last {
                break;
            }
            left = right;
        }
    }

    fn push(&mut self, k: f64, weight: f64) {
        self.nodes.push(Node { x: k - self.mean, w: self.line.w(k), weight });
    }

    fn moments(&self) -> Moments {
        let mut sums = [0.0; 4];
        // without the reference, whose term is 1: probabilities near 1 keep their complement
        let mut rest = 0.0;
        for (i, node) in self.nodes.iter().enumerate() {
            let p = node.weight * exp(self.exponent(node.x, node.w));
            let px = p * node.x;
            rest += if i == 0 { p - 1.0 } else { p };
            sums[0] += px;
            sums[1] += px * node.x;
            sums[2] += px * node.x * node.x;
            sums[3] += p * node.w;
        }
        let total = 1.0 + rest;
        let [x, xx, xxx, w] = sums.map(|s| s / total);
        let variance = xx - x * x;
        let third = xxx - 3.0 * x * xx + 2.0 * x * x * x;
        Moments { log_sum: log1p(rest), x, variance, third, w }
    }

    /// Moments up to `order` + 1, with those of w where `both`.
    pub(super) fn cumulants(&self, order: usize, both: bool) -> Cumulants {
        let mut all = [[0.0; 5]; 6];
        for node in &self.nodes {
            let w = self.center - node.w;
            let mut p = node.weight * exp(self.exponent(node.x, node.w) - self.log_sum);
            for row in &mut all[..order + 2] {
                let mut q = p;
                for cell in &mut row[..if both { order + 1 } else { 1 }] {
                    *cell += q;
                    q *= w;
                }
                p *= node.x;
            }
        }
        let mut out = Cumulants { powers: [0.0; 15], times_x: [0.0; 15] };
        let mut c = 0;
        for order in 0..=order {
            for j in 0..=order {
                out.powers[c] = all[order - j][j];
                out.times_x[c] = all[order - j + 1][j];
                c += 1;
            }
        }
        out
    }

    /// The log probability of a count, and its x and -w less the mean of that.
    pub(super) fn log_probability(&self, y: f64) -> (f64, f64, f64) {
        let (x, w) = (y - self.mean, self.line.w(y));
        let exponent = self.theta * (y - self.reference.0) - self.nu * (w - self.reference.1);
        (exponent - self.log_sum, x, self.center - w)
    }
}

/// Halley's step to x = 0.
fn halley(m: &Moments, longest: f64) -> f64 {
    if m.variance < 1e-280 {
        return longest.copysign(-m.x);
    }
    let newton = -m.x / m.variance;
    let bend = (0.5 * m.third / m.variance * newton).clamp(-0.5, 1e3);
    (newton / (1.0 + bend)).clamp(-longest, longest)
}

/// Theta, exactly for Poisson and for geometric counts (nu = 0), nearly for large means and for means near 0.
fn start(eta: f64, mean: f64, nu: f64) -> f64 {
    if nu > 1.0 && mean >= 1.0 {
        return nu * log1p(0.5 * (nu - 1.0) / (nu * mean));
    }
    let line = if eta > 0.0 { nu * eta } else { 0.0 };
    if nu > 1.0 {
        let odds = -log1p(-mean.min(0.9));
        return eta + odds * (1.0 - 1.0 / nu);
    }
    // from 1 for the geometric to 2 for the wide normal one
    let share = 1.0 + nu * mean / (1.0 + nu * mean);
    nu * eta - (1.0 - nu) * log1p(1.0 / (mean * share)) - line
}
