//! Conway-Maxwell-Poisson counts by sums over counts, as an exponential family: the probability of k is in proportion to
//!
//!   exp(theta x - nu w),   x = k - mean,   w = ln k! - ln c! - (k - c) ln c,   c = max(mean, 1)
//!
//! so that theta = ln lambda - nu ln c. Taking off the line from ln k! leaves theta near 0 and x and w of moderate
//! size. Theta solves E x = 0. Sums run from about the mode outward; where they would be long, all but the first terms are
//! an integral by Gauss-Legendre panels, with the corrections of Euler and Maclaurin.

use super::tweedie_series::{divergence, saturation};
use crate::special::{GAUSS_NODES, GAUSS_WEIGHTS, HALF_LN_2PI, exp, ln, log1p, vectorized};

/// Terms smaller than that at the mode by this many nats are left out; what is needed and a margin for theta to move.
const DROP: f64 = 46.0;
/// Standard deviation above which sums are integrals, and the terms before these.
const WIDE: f64 = 30.0;
const DIRECT: u32 = 64;
/// Times the first, third and fifth central difference at the start of the integral: the rule of Euler and Maclaurin.
const DIFFERENCES: [f64; 3] = [1.0 / 24.0, -17.0 / 5760.0, 367.0 / 967_680.0];
/// The same as weights of the three terms before and after it; those before with the opposite sign, backwards.
const CORRECTIONS: [f64; 3] = [
    DIFFERENCES[0] - 3.0 * DIFFERENCES[1] + 10.0 * DIFFERENCES[2],
    DIFFERENCES[1] - 5.0 * DIFFERENCES[2],
    DIFFERENCES[2],
];
/// Steps in units of standard deviations: where the cubic iteration for theta has converged, and where the range of the
/// sum is to follow.
const CONVERGED: f64 = 1e-5;
const MOVED: f64 = 0.2;
const MOST_STEPS: usize = 200;
/// No sum goes further beyond the mean, in standard deviations.
const REACH: f64 = 100.0;

const LANES: usize = 8;

/// Some counts: each less the mean, its w, and its weight (1 unless part of an integral, 0 for none).
#[derive(Clone, Copy)]
struct Block {
    x: [f64; LANES],
    w: [f64; LANES],
    weight: [f64; LANES],
}

const EMPTY: Block = Block { x: [0.0; LANES], w: [0.0; LANES], weight: [0.0; LANES] };

/// w of counts.
#[derive(Clone, Copy)]
struct Line {
    c: f64,
    log_c: f64,
    /// What remains of ln c! after c ln c - c + ln(2 pi) / 2.
    own: f64,
}

impl Line {
    fn new(eta: f64) -> Line {
        let log_c = eta.max(0.0);
        let c = exp(log_c);
        Line { c, log_c, own: 0.5 * log_c + saturation(c) }
    }

    fn w(self, k: f64) -> f64 {
        if k == 0.0 {
            return self.c - self.own - HALF_LN_2PI;
        }
        let (divergence, log_k) = vectorized(
            #[inline(always)]
            || (divergence(k, self.c, self.log_c), ln(k)),
        );
        divergence + (0.5 * log_k + saturation(k) - self.own)
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
    /// A count near the mode, its w, and its weight; not among the others.
    reference: (f64, f64),
    weight: f64,
    blocks: Vec<Block>,
    log_sum: f64,
    pub(super) variance: f64,
    /// Mean of w.
    center: f64,
}

/// Derivatives in theta and nu of Z over its value and, in `times_x`, of that times E x: by order, then by powers of nu.
pub(super) struct Products<const M: usize> {
    pub(super) powers: [f64; M],
    pub(super) times_x: [f64; M],
}

impl Sums {
    /// At eta = ln mean and nu.
    pub(super) fn new(eta: f64, nu: f64) -> Sums {
        let (mean, line) = (exp(eta), Line::new(eta));
        let (blocks, reference) = (Vec::with_capacity(32), (0.0, 0.0));
        let theta = start(eta, mean, nu);
        let (weight, log_sum, variance, center) = (1.0, 0.0, 0.0, 0.0);
        let mut sums = Sums { eta, mean, nu, line, theta, reference, weight, blocks, log_sum, variance, center };
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

    #[inline(always)]
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
        self.blocks.clear();
        let spread = (self.mean / (self.nu + 1.0 / (1.0 + self.mean))).sqrt();
        // while theta is sought it may be far too large
        let last = self.mean + REACH * (1.0 + spread);
        self.weight = if spread > WIDE { 0.0 } else { 1.0 };
        if spread > WIDE {
            self.place_panels(spread, last);
        } else {
            self.place_counts(last, 1.0);
            self.place_counts(0.0, -1.0);
        }
    }

    /// Counts from the mode to the last one, upward or downward.
    fn place_counts(&mut self, last: f64, sign: f64) {
        let (mut k, mut w) = self.reference;
        let mut exponent = 0.0;
        while exponent > -DROP && sign * (last - k) > 0.0 {
            let mut block = EMPTY;
            let logs = vectorized(
                #[inline(always)]
                || self.log_ratios(k, sign),
            );
            for (lane, log) in logs.iter().enumerate() {
                k += sign;
                w = sign.mul_add(*log, w);
                block.x[lane] = k - self.mean;
                block.w[lane] = w;
                block.weight[lane] = if k < 0.0 { 0.0 } else { 1.0 };
            }
            exponent = self.exponent(k - self.mean, w);
            self.blocks.push(block);
        }
    }

    /// ln (k / c) for the counts that are stepped over from k on; those below 1 do not matter.
    #[inline(always)]
    fn log_ratios(&self, k: f64, sign: f64) -> [f64; LANES] {
        let (c, first) = (self.line.c, if sign > 0.0 { k + 1.0 } else { k });
        let mut logs = [0.0; LANES];
        for (lane, log) in logs.iter_mut().enumerate() {
            *log = log1p(((first + sign * lane as f64).max(1.0) - c) / c);
        }
        logs
    }

    fn place_panels(&mut self, spread: f64, last: f64) {
        let mut nodes = Vec::new();
        for k in 0..DIRECT + 3 {
            let weight = if k < DIRECT {
                1.0 - CORRECTIONS.get((DIRECT - 1 - k) as usize).copied().unwrap_or(0.0)
            } else {
                CORRECTIONS[(k - DIRECT) as usize]
            };
            nodes.push((f64::from(k), weight));
        }
        let mode = self.tau();
        let mut left = f64::from(DIRECT) - 0.5;
        loop {
            let right = left + left.min(2.0 * spread);
            let (center, half) = (0.5 * (left + right), 0.5 * (right - left));
            for (x, weight) in GAUSS_NODES.iter().zip(&GAUSS_WEIGHTS) {
                nodes.push((center - half * x, half * weight));
                nodes.push((center + half * x, half * weight));
            }
            let over = right > mode && self.exponent(right - self.mean, self.line.w(right)) < -DROP;
            if over || right > last {
                break;
            }
            left = right;
        }
        for chunk in nodes.chunks(LANES) {
            let mut block = EMPTY;
            for (lane, &(k, weight)) in chunk.iter().enumerate() {
                (block.x[lane], block.w[lane], block.weight[lane]) = (k - self.mean, self.line.w(k), weight);
            }
            self.blocks.push(block);
        }
    }

    /// Sums of weight x^i over the blocks for i = 0..3, and of w.
    #[inline(always)]
    fn add(&self) -> [f64; 5] {
        let mut sums = [[0.0; LANES]; 5];
        for block in &self.blocks {
            for lane in 0..LANES {
                let x = block.x[lane];
                let p = block.weight[lane] * exp(self.exponent(x, block.w[lane]));
                let px = p * x;
                sums[0][lane] += p;
                sums[1][lane] += px;
                sums[2][lane] += px * x;
                sums[3][lane] += px * x * x;
                sums[4][lane] += p * block.w[lane];
            }
        }
        sums.map(|lanes| lanes.iter().sum())
    }

    fn moments(&self) -> Moments {
        let [rest, sums @ ..] = vectorized(
            #[inline(always)]
            || self.add(),
        );
        let (x, w) = (self.reference.0 - self.mean, self.reference.1);
        let own = [x, x * x, x * x * x, w];
        let total = self.weight + rest;
        let [x, xx, xxx, w]: [f64; 4] = std::array::from_fn(|i| (sums[i] + self.weight * own[i]) / total);
        let variance = xx - x * x;
        let third = xxx - 3.0 * x * xx + 2.0 * x * x * x;
        // probabilities near 1 keep their complement
        Moments { log_sum: log1p(rest + (self.weight - 1.0)), x, variance, third, w }
    }

    /// Moments up to `order` + 1, with those of w where `both`.
    pub(super) fn products<const M: usize>(&self, order: usize, both: bool) -> Products<M> {
        let powers = if both { order + 1 } else { 1 };
        let mut own = EMPTY;
        (own.x[0], own.w[0]) = (self.reference.0 - self.mean, self.reference.1);
        own.weight[0] = self.weight;
        let mut all = [[[0.0; LANES]; 5]; 6];
        vectorized(
            #[inline(always)]
            || {
                self.multiply(&own, order + 2, powers, &mut all);
                self.blocks.iter().for_each(|block| self.multiply(block, order + 2, powers, &mut all));
            },
        );
        let all = all.map(|row| row.map(|lanes| lanes.iter().sum::<f64>()));
        let mut out = Products { powers: [0.0; M], times_x: [0.0; M] };
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

    /// Adds the products of powers of x and -w of a block.
    #[inline(always)]
    fn multiply(&self, block: &Block, rows: usize, powers: usize, all: &mut [[[f64; LANES]; 5]; 6]) {
        let (mut p, mut w) = ([0.0; LANES], [0.0; LANES]);
        for lane in 0..LANES {
            w[lane] = self.center - block.w[lane];
            p[lane] = block.weight[lane] * exp(self.exponent(block.x[lane], block.w[lane]) - self.log_sum);
        }
        for row in &mut all[..rows] {
            let mut q = p;
            for cell in &mut row[..powers] {
                for lane in 0..LANES {
                    cell[lane] += q[lane];
                    q[lane] *= w[lane];
                }
            }
            for lane in 0..LANES {
                p[lane] *= block.x[lane];
            }
        }
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
