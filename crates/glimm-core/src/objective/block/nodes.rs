//! Nodes for the integral of one group, whose error is measured.
//!
//! The integral is taken one effect after the other, each by adaptive panels given the outer ones; where there are more than
//! two, by draws from a multivariate t.

use rand::{RngExt, SeedableRng};
use rand_distr::{ChiSquared, Distribution, StandardNormal};

use super::integrand::Integrand;
use crate::family::Random;
use crate::quadrature::{Node, hermite, line};
use crate::special::lgamma;

/// Contribution to the integral, relative to the tolerance, of nodes that are left out.
const NOTHING: f64 = 0.05;
/// Nodes per effect of the rules of Gauss and Hermite that are tried. One node may find the integral and yet knows nothing
/// of the variance of the effects, on which second derivatives depend.
const TRIED: [usize; 9] = [3, 5, 7, 9, 11, 15, 21, 31, 41];
/// The part of the nodes that the error of one rule predicts from which on rules are tried.
const HOPE: f64 = 0.6;
/// Equally spaced nodes that are tried where Gauss and Hermite fail, if the reference has at least half as many again.
const SPACED: [usize; 5] = [31, 41, 55, 73, 97];
/// Effects whose integral is taken by panels at most.
pub const PANEL_EFFECTS: usize = 2;
/// Pairs of draws, and the degrees of freedom of their distribution.
const PAIRS: usize = 2000;
const DEGREES: f64 = 6.0;
/// Probability of a node of Gauss and Hermite, relative to the most probable one, below which it is left out.
const IMPROBABLE: f64 = 1e-30;
/// Nodes of a product rule beyond which it is not tried.
const MOST_TRIED: f64 = 2500.0;
/// Standard errors of the draws beyond which they contradict a rule.
const CONTRADICTION: f64 = 4.0;
/// Tolerance of an inner integral relative to that of the outer one.
const INNER: f64 = 0.1;

/// Nodes of one group.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// Standard coordinates, node by node, and log weights.
    pub x: Vec<f64>,
    pub log_weight: Vec<f64>,
    /// The log-integral of exp(h(mode) - h(u)) over x, and a bound on its error by these nodes.
    pub log_value: f64,
    pub error: f64,
    /// The standard error of it, where these are draws, or were checked by draws alone.
    pub se: f64,
    /// The size of what was summed.
    pub size: f64,
}

impl Integrand {
    /// The fewest nodes that reproduce the reference to `tolerance`, if there are fewer than its own.
    pub fn cheaper(&mut self, rules: &[Product], reference: &Chosen, tolerance: f64) -> Option<Chosen> {
        let exact = self.q() <= PANEL_EFFECTS;
        let mut previous: Option<Chosen> = None;
        let at_mode = self.at_mode();
        let mut soonest = 0.0;
        for rule in rules.iter().take_while(|rule| rule.log_weight.len() * 2 <= reference.log_weight.len()) {
            let count = rule.log_weight.len() as f64;
            if count < soonest {
                continue;
            }
            let log_value = log_sum(&self.log_integrand(&rule.x), &rule.log_weight) - at_mode;
            let chosen = |error: f64| Chosen {
                x: rule.x.clone(),
                log_weight: rule.log_weight.clone(),
                log_value,
                error,
                size: self.size(at_mode),
                se: 0.0,
            };
            let difference = (log_value - reference.log_value).abs();
            if exact && difference + reference.error < tolerance {
                return Some(chosen(difference + reference.error));
            }
            if exact && difference < 1.0 {
                // The error falls like a power of the nodes per effect.
                soonest = count * (HOPE * tolerance.ln() / difference.ln()).powi(self.q() as i32);
            }
            // Draws only contradict: successive rules tell the error.
            if let Some(before) = previous.filter(|_| !exact && difference < CONTRADICTION * reference.se) {
                let error = (log_value - before.log_value).abs();
                if error < tolerance {
                    return Some(Chosen { error, ..before });
                }
            }
            previous = Some(chosen(f64::NAN));
        }
        if self.q() == 1 { self.spaced(reference, tolerance, at_mode) } else { None }
    }

    /// Equally spaced nodes from tail to tail that reproduce the reference. For integrands that are analytic in a strip
    /// about the line their error falls exponentially (Trefethen and Weideman 2014, SIAM Review 56, theorem 5.1), also where a
    /// hill is skewed.
    fn spaced(&mut self, reference: &Chosen, tolerance: f64, at_mode: f64) -> Option<Chosen> {
        let ends = |(low, high): (f64, f64), x: &f64| (low.min(*x), high.max(*x));
        let (low, high) = reference.x.iter().fold((f64::INFINITY, f64::NEG_INFINITY), ends);
        let few = |count: &&usize| 3 * **count <= 2 * reference.x.len();
        let mut soonest = 0.0;
        SPACED.iter().take_while(few).find_map(|&count| {
            if (count as f64) < soonest {
                return None;
            }
            let step = (high - low) / (count - 1) as f64;
            let x: Vec<f64> = (0..count).map(|i| low + step * i as f64).collect();
            let log_weight = vec![step.ln(); count];
            let log_value = log_sum(&self.log_integrand(&x), &log_weight) - at_mode;
            let difference = (log_value - reference.log_value).abs();
            let error = difference + reference.error;
            if difference < 1.0 {
                soonest = HOPE * count as f64 * tolerance.ln() / difference.ln();
            }
            (error < tolerance).then(|| Chosen { x, log_weight, log_value, error, size: self.size(at_mode), se: 0.0 })
        })
    }

    /// The rule that others are measured by.
    pub fn reference(&mut self, tolerance: f64, seed: u64) -> Chosen {
        if self.q() <= PANEL_EFFECTS { self.panels(tolerance) } else { self.draws(seed) }
    }

    fn at_mode(&mut self) -> f64 {
        self.log_integrand(&vec![0.0; self.q()])[0]
    }

    /// Antithetic draws as nodes; the error is two standard errors.
    fn draws(&mut self, seed: u64) -> Chosen {
        let (q, mut random) = (self.q(), Random::seed_from_u64(seed));
        let chi = ChiSquared::new(DEGREES).expect("positive degrees of freedom");
        let (mut x, mut log_weight) = (Vec::new(), Vec::new());
        let constant = lgamma(0.5 * (DEGREES + q as f64))
            - lgamma(0.5 * DEGREES)
            - 0.5 * q as f64 * (DEGREES * std::f64::consts::PI).ln();
        for _ in 0..PAIRS {
            let stretch = (DEGREES / random.sample::<f64, _>(chi)).sqrt();
            let draw: Vec<f64> =
                (0..q).map(|_| stretch * Distribution::<f64>::sample(&StandardNormal, &mut random)).collect();
            let square: f64 = draw.iter().map(|z| z * z).sum();
            let density = constant - 0.5 * (DEGREES + q as f64) * (square / DEGREES).ln_1p();
            x.extend(draw.iter().copied().chain(draw.iter().map(|z| -z)));
            log_weight.extend([-density - (2.0 * PAIRS as f64).ln(); 2]);
        }
        let (f, at_mode) = (self.log_integrand(&x), self.at_mode());
        let total = log_sum(&f, &log_weight);
        let relative: Vec<f64> = f.iter().zip(&log_weight).map(|(f, w)| (f + w - total).exp()).collect();
        let mean = 1.0 / PAIRS as f64;
        let variance: f64 = relative.chunks_exact(2).map(|pair| (pair[0] + pair[1] - mean).powi(2)).sum();
        Chosen { x, log_weight, log_value: total - at_mode, error: 0.0, se: variance.sqrt(), size: self.size(at_mode) }
    }

    /// Nodes of adaptive panels.
    fn panels(&mut self, tolerance: f64) -> Chosen {
        let (q, at_mode) = (self.q(), self.at_mode());
        let mut all = self.descend(q, &mut vec![0.0; q], tolerance);
        let total = all.log_value;
        let least = total + (NOTHING * tolerance).ln() - (all.nodes.len() as f64).ln();
        all.nodes.retain(|node| node.log_weight + node.log_value > least);
        Chosen {
            x: all.nodes.iter().flat_map(|node| self.turned_back(&node.x[..q]).into_iter().take(q)).collect(),
            log_weight: all.nodes.iter().map(|node| node.log_weight).collect(),
            log_value: total - at_mode,
            error: all.error + NOTHING * tolerance,
            size: self.size(at_mode),
            se: 0.0,
        }
    }

    /// The integral over the first `free` turned coordinates given the others in `x`.
    fn descend(&mut self, free: usize, x: &mut [f64], tolerance: f64) -> Integral {
        let own = free - 1;
        if own == 0 {
            return self.innermost(x, tolerance);
        }
        let mut over_own = |places: &[f64]| -> Vec<(f64, Integral)> {
            let inner = |p: &f64| {
                x[own] = *p;
                let inner = self.descend(own, x, INNER * tolerance);
                (inner.log_value, inner)
            };
            places.iter().map(inner).collect()
        };
        let found = line(&mut over_own, tolerance);
        let mut all = Integral { nodes: Vec::new(), log_value: found.log_value, error: found.error };
        for node in found.nodes {
            let (relative, inner) = (node.log_weight + node.log_value - all.log_value, node.kept);
            all.error += relative.exp() * inner.error;
            let weighted = |point: Point| Point { log_weight: point.log_weight + node.log_weight, ..point };
            all.nodes.extend(inner.nodes.into_iter().map(weighted));
        }
        all
    }

    /// The integral over the first coordinate given the others in `x`.
    fn innermost(&mut self, x: &[f64], tolerance: f64) -> Integral {
        let q = x.len();
        let mut over_own = |places: &[f64]| -> Vec<(f64, ())> {
            let mut points = x.repeat(places.len());
            points.iter_mut().step_by(q).zip(places).for_each(|(x, p)| *x = *p);
            self.log_integrand_turned(&points).into_iter().map(|v| (v, ())).collect()
        };
        let found = line(&mut over_own, tolerance);
        let mut place = [0.0; PANEL_EFFECTS];
        place[..q].copy_from_slice(x);
        let point = |node: Node<()>| {
            place[0] = node.x;
            Point { x: place, log_weight: node.log_weight, log_value: node.log_value }
        };
        Integral { nodes: found.nodes.into_iter().map(point).collect(), log_value: found.log_value, error: found.error }
    }
}

/// An integral over some of the coordinates, with its nodes.
struct Integral {
    nodes: Vec<Point>,
    log_value: f64,
    error: f64,
}

struct Point {
    x: [f64; PANEL_EFFECTS],
    log_weight: f64,
    log_value: f64,
}

/// A product rule of Gauss and Hermite, without improbable nodes.
pub struct Product {
    pub x: Vec<f64>,
    pub log_weight: Vec<f64>,
}

impl Product {
    /// `k` nodes for each of `q` coordinates.
    pub fn new(k: usize, q: usize) -> Product {
        let (one, weight) = hermite(k);
        let probability = |i: usize| weight[i] - 0.5 * one[i] * one[i];
        let least = if q > 1 { q as f64 * probability(k / 2) + IMPROBABLE.ln() } else { f64::NEG_INFINITY };
        let mut product = Product { x: Vec::new(), log_weight: Vec::new() };
        for i in 0..k.pow(q as u32) {
            let digits: Vec<usize> = (0..q).map(|c| i / k.pow(c as u32) % k).collect();
            if digits.iter().map(|&d| probability(d)).sum::<f64>() > least {
                product.x.extend(digits.iter().map(|&d| one[d]));
                product.log_weight.push(digits.iter().map(|&d| weight[d]).sum());
            }
        }
        product
    }

    /// Those that are tried, cheapest first.
    pub fn tried(q: usize) -> Vec<Product> {
        let few = |k: &usize| (*k as f64).powi(q as i32) <= MOST_TRIED;
        TRIED.into_iter().filter(few).map(|k| Product::new(k, q)).collect()
    }
}

/// log sum_i exp(f_i + w_i).
fn log_sum(f: &[f64], w: &[f64]) -> f64 {
    let top = f.iter().zip(w).map(|(f, w)| f + w).fold(f64::NEG_INFINITY, f64::max);
    top + f.iter().zip(w).map(|(f, w)| (f + w - top).exp()).sum::<f64>().ln()
}
