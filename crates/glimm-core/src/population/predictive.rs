//! Quantiles of a new response when the linear predictors themselves are uncertain: those of the mixture
//!
//!   F(y) = E F(y | eta + root t),   t ~ N(0, I),
//!
//! by the product trapezoidal rule, whose step follows how sharply F(y | eta) turns in eta.

use rayon::prelude::*;

use crate::family::Family;
use crate::special::normal_pdf;

const REACH: f64 = 6.5;
const STEP: f64 = 0.5;
/// Finest step of one direction, and of two or more.
const FINEST: [f64; 2] = [0.02, 0.2];
const MOST_STEPS: usize = 200;
/// Error of a quantile in units of the spread of the response.
const TOLERANCE: f64 = 1e-8;
/// Difference that gives the slope of a mean.
const H: f64 = 1e-4;

/// Where responses lie.
struct Support {
    whole: bool,
    low: f64,
    high: f64,
    low_in: bool,
}

struct Mixture<'a> {
    family: &'a dyn Family,
    size: f64,
    support: Support,
    /// (weight, linear predictors), weights with sum one.
    nodes: Vec<(f64, Vec<f64>)>,
}

/// The quantiles `p` of each row, rows x quantiles. `eta`: rows x predictors; `root`: rows x predictors x directions.
/// Of whole responses the least y with F(y) >= p.
pub fn quantiles(
    family: &dyn Family,
    eta: &[f64],
    root: &[f64],
    [k, r]: [usize; 2],
    size: Option<&[f64]>,
    p: &[f64],
) -> Vec<f64> {
    let n = eta.len() / k.max(1);
    let row = |i: usize| {
        let size = size.map_or(1.0, |s| s[i]);
        let (eta, root) = (&eta[i * k..(i + 1) * k], &root[i * k * r..(i + 1) * k * r]);
        let support = Support::of(family, size);
        let mixture = Mixture { family, size, support, nodes: nodes(family, eta, root, r, size) };
        let (center, spread) = mixture.moments();
        let one = move |&p: &f64| {
            if mixture.support.whole { mixture.count(p, center) } else { mixture.amount(p, center, spread) }
        };
        p.iter().map(one).collect::<Vec<f64>>()
    };
    (0..n).into_par_iter().with_min_len(16).flat_map_iter(row).collect()
}

impl Support {
    fn of(family: &dyn Family, size: f64) -> Support {
        let ok = |y: f64| family.check(y, size.max(2.0)).is_ok();
        let whole = !ok(0.5) && ok(1.0);
        let low = if ok(-1.0) { f64::NEG_INFINITY } else { 0.0 };
        let high = match (whole, ok(1e9)) {
            (_, true) => f64::INFINITY,
            (true, false) => size,
            (false, false) => 1.0,
        };
        Support { whole, low, high, low_in: ok(low.max(-1.0)) }
    }
}

fn nodes(family: &dyn Family, eta: &[f64], root: &[f64], r: usize, size: f64) -> Vec<(f64, Vec<f64>)> {
    let k = eta.len();
    let moving: Vec<usize> = (0..r).filter(|&j| (0..k).any(|l| root[l * r + j] != 0.0)).collect();
    let spread = family.variance(eta, size).sqrt();
    let finest = FINEST[usize::from(moving.len() > 1)];
    let step = |j: usize| {
        let along = |h: f64| (0..k).map(|l| eta[l] + h * root[l * r + j]).collect::<Vec<f64>>();
        let slope = ((family.mean(&along(H)) - family.mean(&along(-H))) / (2.0 * H)).abs();
        let width = 0.5 * spread / slope;
        if width.is_finite() { width.clamp(finest, STEP) } else { STEP }
    };
    let mut all = vec![(1.0, eta.to_vec())];
    for &j in &moving {
        let step = step(j);
        let count = (REACH / step) as i64;
        let line: Vec<f64> = (-count..=count).map(|i| i as f64 * step).collect();
        let total: f64 = line.iter().map(|&t| normal_pdf(t)).sum();
        let moved = |(w, eta): &(f64, Vec<f64>), t: f64| {
            let at = (0..k).map(|l| eta[l] + t * root[l * r + j]).collect();
            (w * normal_pdf(t) / total, at)
        };
        all = all.iter().flat_map(|node| line.iter().map(|&t| moved(node, t)).collect::<Vec<_>>()).collect();
    }
    all
}

impl Mixture<'_> {
    /// Mean and standard deviation of the response, in its own units: counts where there are trials.
    fn moments(&self) -> (f64, f64) {
        let (mut mean, mut square, mut within) = (0.0, 0.0, 0.0);
        for (w, eta) in &self.nodes {
            let m = self.family.mean(eta);
            mean += w * m;
            square += w * m * m;
            within += w * self.family.variance(eta, self.size);
        }
        let unit = if self.support.whole && self.support.high.is_finite() { self.size } else { 1.0 };
        let spread = (within + (square - mean * mean).max(0.0)).sqrt();
        let spread = if spread.is_finite() { spread } else { 1.0 };
        (unit * mean, (unit * spread).max(f64::MIN_POSITIVE))
    }

    fn cdf(&self, y: f64) -> f64 {
        let s = &self.support;
        if y < s.low || (y == s.low && !s.low_in) {
            return 0.0;
        }
        if y >= s.high {
            return 1.0;
        }
        self.nodes.iter().map(|(w, eta)| w * self.family.cdf(y, self.size, eta).0).sum()
    }

    /// The least whole y with F(y) >= p.
    fn count(&self, p: f64, center: f64) -> f64 {
        let enough = |y: f64| self.cdf(y) >= p;
        let mut high = center.max(0.0).floor().min(self.support.high);
        let mut step = 1.0;
        while !enough(high) && high < self.support.high && step < 1e15 {
            high = (high + step).min(self.support.high);
            step *= 2.0;
        }
        let mut low = -1.0;
        let mut back = 1.0;
        while high - back > low {
            if !enough(high - back) {
                low = high - back;
                break;
            }
            high -= back;
            back *= 2.0;
        }
        while high - low > 1.0 {
            let middle = (0.5 * (low + high)).floor();
            if enough(middle) { high = middle } else { low = middle }
        }
        high
    }

    /// The y with F(y) = p, or the end of the support where it lies there; false position, halved when one end stays
    /// (Dowell and Jarratt 1971, BIT 11, 168-174).
    fn amount(&self, p: f64, center: f64, spread: f64) -> f64 {
        let off = |y: f64| self.cdf(y) - p;
        let (mut low, mut high) = (center, center);
        let mut step = spread;
        let (mut f_low, mut f_high) = (off(low), off(high));
        while f_low > 0.0 && low > self.support.low && step.is_finite() {
            low = (low - step).max(self.support.low);
            f_low = off(low);
            step *= 2.0;
        }
        step = spread;
        while f_high < 0.0 && high < self.support.high && step.is_finite() {
            high = (high + step).min(self.support.high);
            f_high = off(high);
            step *= 2.0;
        }
        if f_low >= 0.0 {
            return low;
        }
        for _ in 0..MOST_STEPS {
            if high - low <= TOLERANCE * spread || f_high == 0.0 {
                break;
            }
            let middle = ((low * f_high - high * f_low) / (f_high - f_low)).clamp(low, high);
            let middle = if middle == low || middle == high { 0.5 * (low + high) } else { middle };
            let f = off(middle);
            if f < 0.0 {
                (low, f_low, f_high) = (middle, f, 0.5 * f_high);
            } else {
                (high, f_high, f_low) = (middle, f, 0.5 * f_low);
            }
            if f.abs() < 1e-11 {
                return middle;
            }
        }
        high
    }
}
