//! The mixture F(y) = E F(y | eta + root t), t ~ N(0, I), by the product trapezoidal rule, whose step follows how sharply
//! F(y | eta) turns in eta, and its quantiles by search.

use std::cell::RefCell;

use super::pieces::Pieces;
use super::rule::{self, Rule};
use super::support::Support;
use crate::family::Family;
use crate::special::normal_quantile;

/// Where the rule ends, in one direction and in several.
const REACH: [f64; 2] = [7.0, 6.2];
/// Step where F(y | eta) hardly turns, with error exp(-2 (pi / step)^2).
const STEP: [f64; 2] = [0.8, 0.85];
/// Finest step of one direction, and of two or more.
const FINEST: [f64; 2] = [0.04, 0.2];
/// Least probability that has a normal score.
const SMALLEST: f64 = 1e-300;
const MOST_STEPS: usize = 200;
/// Error of a quantile in units of the spread of the response.
const TOLERANCE: f64 = 1e-10;
/// Counts that are gone through one by one.
const FEW: f64 = 3.0;

pub(super) struct Mixture<'a> {
    family: &'a dyn Family,
    size: f64,
    support: Support,
    /// (weight, linear predictors), weights with sum one.
    nodes: Nodes,
    /// The line eta + root t on which F(y | eta) turns too sharply for the nodes.
    sharp: Option<[Vec<f64>; 2]>,
    /// F where it is known: the quantiles of a row share what their searches have seen.
    seen: RefCell<Vec<(f64, f64)>>,
}

type Nodes = Vec<(f64, Vec<f64>)>;

/// The nodes; and the direction, where there is but one and they are too far apart on it.
fn nodes(family: &dyn Family, eta: &[f64], root: &[f64], size: f64) -> (Nodes, Option<[Vec<f64>; 2]>) {
    let k = eta.len();
    let r = root.len() / k.max(1);
    let moving: Vec<usize> = (0..r).filter(|&j| (0..k).any(|l| root[l * r + j] != 0.0)).collect();
    let several = usize::from(moving.len() > 1);
    let direction = |j: usize| (0..k).map(|l| root[l * r + j]).collect::<Vec<f64>>();
    let (mut all, mut sharp) = (vec![(1.0, eta.to_vec())], None);
    for &j in &moving {
        let root = direction(j);
        let step = rule::step(family, size, |t| along(eta, &root, t), [FINEST[several], STEP[several]]);
        let line = rule::line(step, REACH[several]);
        let moved = |(w, eta): &(f64, Vec<f64>)| {
            line.iter().map(|(own, t)| (w * own, along(eta, &root, *t))).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(moved).collect();
        sharp = (several == 0 && step <= FINEST[0]).then(|| [eta.to_vec(), root]);
    }
    (all, sharp)
}

/// eta + root t
fn along(eta: &[f64], root: &[f64], t: f64) -> Vec<f64> {
    eta.iter().zip(root).map(|(eta, root)| eta + t * root).collect()
}

impl<'a> Mixture<'a> {
    /// `root`: predictors x directions.
    pub fn new(family: &'a dyn Family, eta: &[f64], root: &[f64], size: f64, support: Support) -> Mixture<'a> {
        let (nodes, sharp) = nodes(family, eta, root, size);
        Mixture { family, size, support, nodes, sharp, seen: RefCell::default() }
    }

    pub fn quantiles(&self, p: &[f64]) -> Vec<f64> {
        let (center, spread) = self.moments();
        p.iter().map(|&p| self.quantile(p, center, spread)).collect()
    }

    /// Mean and standard deviation of the response, in its own units: counts where there are trials.
    pub fn moments(&self) -> (f64, f64) {
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

    pub fn cdf(&self, y: f64) -> f64 {
        let s = &self.support;
        if y < s.low || (y == s.low && !s.low_in) {
            return 0.0;
        }
        if y >= s.high {
            return 1.0;
        }
        if let Some((_, f)) = self.seen.borrow().iter().find(|(at, _)| *at == y) {
            return *f;
        }
        let given = |eta: &[f64]| self.family.cdf(y, self.size, eta).0;
        let f = match &self.sharp {
            None => self.nodes.iter().map(|(w, eta)| w * given(eta)).sum(),
            Some([eta, root]) => {
                let pieces = Pieces::new([-REACH[0], REACH[0]], &|t| given(&along(eta, root, t)));
                pieces.sum(Rule::fitting(pieces.scale, 1.0), 0.0, 1.0)
            }
        };
        self.seen.borrow_mut().push((y, f));
        f
    }

    fn quantile(&self, p: f64, center: f64, spread: f64) -> f64 {
        let z = normal_quantile(p);
        if self.support.whole { self.count(p, z, center, spread) } else { self.amount(p, z, center, spread) }
    }

    /// Normal score of F(y), nearly straight in y.
    fn score(&self, y: f64) -> f64 {
        score(self.cdf(y))
    }

    /// The least whole y with F(y) >= p, sought from the normal approximation.
    fn count(&self, p: f64, z: f64, center: f64, spread: f64) -> f64 {
        let (bottom, top) = (self.support.low - 1.0, self.support.high);
        if bottom == -1.0 && top == 1.0 {
            // The mean of a single trial says all.
            return if 1.0 - center >= p { 0.0 } else { 1.0 };
        }
        if top - bottom <= FEW {
            return (0..top as i64).map(|y| y as f64).find(|&y| self.cdf(y) >= p).unwrap_or(top);
        }
        let mut at = z.mul_add(spread, center).floor().clamp(bottom + 1.0, top);
        // F(low) < p <= F(high), with the scores there.
        let (mut low, mut high) = ((bottom, None), (top, None));
        let mut step = (0.1 * spread).ceil().max(1.0);
        for turn in 0..MOST_STEPS {
            let f = self.cdf(at);
            let score = score(f) - z;
            if f >= p {
                high = (at, Some(score))
            } else {
                low = (at, Some(score))
            }
            if high.0 - low.0 <= 1.0 {
                break;
            }
            at = match (low, high) {
                ((l, Some(a)), (h, Some(b))) if turn % 3 != 2 && b > a => (l + (h - l) * (-a / (b - a))).ceil(),
                ((l, Some(_)), (_, None)) => l + step,
                ((_, None), (h, Some(_))) => h - step,
                ((l, _), (h, _)) => (0.5 * (l + h)).floor(),
            };
            at = at.clamp(low.0 + 1.0, high.0 - 1.0);
            step *= 2.0;
        }
        high.0
    }

    /// The y with F(y) = p, or the end of the support where it lies there; by false position, halved when one end stays
    /// (Dowell and Jarratt 1971, BIT 11, 168-174), in the log of a positive response.
    fn amount(&self, p: f64, z: f64, center: f64, spread: f64) -> f64 {
        let s = &self.support;
        if s.low.is_finite() && s.low_in && self.cdf(s.low) >= p {
            return s.low;
        }
        let positive = s.low == 0.0 && s.high.is_infinite() && center > 0.0;
        let (middle, width) = if positive {
            let v = (spread / center).powi(2).ln_1p();
            (center.ln() - 0.5 * v, v.sqrt())
        } else {
            (center, spread)
        };
        let y = |x: f64| if positive { x.exp() } else { x.clamp(s.low, s.high) };
        let off = |x: f64| self.score(y(x)) - z;
        let mut step = 0.25 * width;
        let first = z.mul_add(width, middle);
        let mut low = (first, off(first));
        let mut high = low;
        while low.1 > 0.0 && (positive || low.0 > s.low) && step.is_finite() {
            high = low;
            low = (low.0 - step, off(low.0 - step));
            step *= 2.0;
        }
        while high.1 < 0.0 && high.0 < s.high && step.is_finite() {
            low = high;
            high = (high.0 + step, off(high.0 + step));
            step *= 2.0;
        }
        for _ in 0..MOST_STEPS {
            if high.0 - low.0 <= TOLERANCE * width || high.1 <= 0.0 {
                break;
            }
            let at = (low.0 * high.1 - high.0 * low.1) / (high.1 - low.1);
            let at = if at > low.0 && at < high.0 { at } else { 0.5 * (low.0 + high.0) };
            let f = off(at);
            if f.abs() < TOLERANCE {
                return y(at);
            }
            if f < 0.0 {
                (low, high) = ((at, f), (high.0, 0.5 * high.1));
            } else {
                (high, low) = ((at, f), (low.0, 0.5 * low.1));
            }
        }
        y(high.0)
    }
}

/// The normal score of a probability, finite.
pub(super) fn score(f: f64) -> f64 {
    normal_quantile(f.clamp(SMALLEST, 1.0 - f64::EPSILON))
}
