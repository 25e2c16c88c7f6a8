//! The integrand of one group by itself, and nodes for it whose error is measured.
//!
//! In standard coordinates x, u = mode + S x with S = R^-T and H = RR', the integrand is exp(-h(u)) / |R| and its curvature
//! at zero the identity. Its integral is taken one effect after the other, each by adaptive panels given the outer ones;
//! where there are more than two, by draws from a multivariate t.

use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_distr::{ChiSquared, Distribution, StandardNormal};

use crate::family::{Derivs, Family, Random, Rows, Want};
use crate::linalg::dense;
use crate::quadrature::{hermite, line};
use crate::special::lgamma;

/// Rows times points that are evaluated together, if a group has fewer rows.
const BATCH: usize = 1024;
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

/// The rows of one group at given parameters, and its mode.
pub struct Cluster {
    family: Arc<dyn Family>,
    y: Vec<f64>,
    size: Option<Vec<f64>>,
    weight: Option<Vec<f64>>,
    /// X beta + offset of each predictor at the mode.
    fixed: Vec<Vec<f64>>,
    /// Z Lambda S by effect.
    effects: Vec<Effect>,
    mode: Vec<f64>,
    scale: Vec<f64>,
    derivs: Derivs,
    /// Every row as often as there are points.
    ys: Vec<f64>,
    sizes: Vec<f64>,
    eta: Vec<Vec<f64>>,
}

/// How one standard coordinate moves one predictor.
struct Effect {
    coordinate: usize,
    predictor: usize,
    column: Vec<f64>,
}

/// What a cluster is made of.
pub struct Parts {
    pub family: Arc<dyn Family>,
    pub y: Vec<f64>,
    pub size: Option<Vec<f64>>,
    pub weight: Option<Vec<f64>>,
    /// X beta + offset of each predictor.
    pub fixed: Vec<Vec<f64>>,
    /// Columns of Z with the predictor that each enters.
    pub z: Vec<(usize, Vec<f64>)>,
    pub lambda: Vec<f64>,
    pub mode: Vec<f64>,
    pub scale: Vec<f64>,
}

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

impl Cluster {
    pub fn new(parts: Parts) -> Cluster {
        let (rows, q) = (parts.y.len(), parts.mode.len());
        let mut lambda_scale = vec![0.0; q * q];
        dense::matmul(&parts.lambda, &parts.scale, q, &mut lambda_scale);
        let predictors = parts.fixed.len();
        let mut effects = Vec::new();
        for coordinate in 0..q {
            for predictor in 0..predictors {
                let mut column = vec![0.0; rows];
                for (c, (_, z)) in parts.z.iter().enumerate().filter(|(_, z)| z.0 == predictor) {
                    let times = lambda_scale[c * q + coordinate];
                    column.iter_mut().zip(z).for_each(|(x, z)| *x += times * z);
                }
                if column.iter().any(|x| *x != 0.0) {
                    effects.push(Effect { coordinate, predictor, column });
                }
            }
        }
        let mut b = vec![0.0; q];
        dense::matvec(&parts.lambda, &parts.mode, q, &mut b);
        let mut fixed = parts.fixed;
        for (b, (k, z)) in b.iter().zip(&parts.z) {
            fixed[*k].iter_mut().zip(z).for_each(|(e, z)| *e += b * z);
        }
        Cluster {
            y: parts.y,
            size: parts.size,
            weight: parts.weight,
            eta: vec![Vec::new(); predictors],
            fixed,
            family: parts.family,
            effects,
            mode: parts.mode,
            scale: parts.scale,
            derivs: Derivs::default(),
            ys: Vec::new(),
            sizes: Vec::new(),
        }
    }

    pub fn q(&self) -> usize {
        self.mode.len()
    }

    /// -h at some points, given in standard coordinates one after the other.
    pub fn log_integrand(&mut self, x: &[f64]) -> Vec<f64> {
        let together = self.q() * (BATCH / self.y.len().max(1)).max(1);
        let mut found = Vec::with_capacity(x.len() / self.q());
        x.chunks(together).for_each(|some| self.log_integrand_of_some(some, &mut found));
        found
    }

    /// Row after row, each at all points, so that loops over the points of a small group vectorise.
    fn log_integrand_of_some(&mut self, x: &[f64], found: &mut Vec<f64>) {
        let (q, n) = (self.q(), self.y.len());
        let count = x.len() / q;
        repeat(&self.y, count, &mut self.ys);
        self.size.iter().for_each(|size| repeat(size, count, &mut self.sizes));
        for (eta, fixed) in self.eta.iter_mut().zip(&self.fixed) {
            repeat(fixed, count, eta);
        }
        for effect in &self.effects {
            let along: Vec<f64> = x.iter().skip(effect.coordinate).step_by(q).copied().collect();
            add_products(&effect.column, &along, &mut self.eta[effect.predictor]);
        }
        let rows = Rows { y: &self.ys, size: self.size.as_ref().map(|_| self.sizes.as_slice()) };
        let eta: Vec<&[f64]> = self.eta.iter().map(Vec::as_slice).collect();
        let want = Want { dims: eta.len(), order: 0, value: true };
        self.derivs.reshape(want.dims, want.order, count * n);
        self.family.derivs(rows, &eta, want, &mut self.derivs);
        let sums = weighted_sums(&self.derivs.value()[..count * n], self.weight.as_deref(), count);
        found.extend(sums.into_iter().zip(x.chunks_exact(q)).map(|(f, x)| f - 0.5 * self.squared_length(x)));
    }

    /// u'u at u = mode + S x.
    fn squared_length(&self, x: &[f64]) -> f64 {
        let q = self.q();
        (0..q)
            .map(|c| {
                let u: f64 = self.mode[c] + (0..q).map(|d| self.scale[c * q + d] * x[d]).sum::<f64>();
                u * u
            })
            .sum()
    }

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
                size: at_mode.abs(),
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
            (error < tolerance).then(|| Chosen { x, log_weight, log_value, error, size: at_mode.abs(), se: 0.0 })
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
        Chosen { x, log_weight, log_value: total - at_mode, error: 0.0, se: variance.sqrt(), size: at_mode.abs() }
    }

    /// Nodes of adaptive panels.
    fn panels(&mut self, tolerance: f64) -> Chosen {
        let (q, at_mode) = (self.q(), self.at_mode());
        let mut all = self.descend(q, &mut vec![0.0; q], tolerance);
        let total = all.log_value;
        let least = total + (NOTHING * tolerance).ln() - (all.nodes.len() as f64).ln();
        all.nodes.retain(|node| node.log_weight + node.log_value > least);
        Chosen {
            x: all.nodes.iter().flat_map(|node| node.x[..q].iter().copied()).collect(),
            log_weight: all.nodes.iter().map(|node| node.log_weight).collect(),
            log_value: total - at_mode,
            error: all.error + NOTHING * tolerance,
            size: at_mode.abs(),
            se: 0.0,
        }
    }

    /// The integral over the first `free` coordinates given the others in `x`.
    fn descend(&mut self, free: usize, x: &mut Vec<f64>, tolerance: f64) -> Integral {
        let own = free - 1;
        let mut over_own = |places: &[f64]| -> Vec<(f64, Option<Box<Integral>>)> {
            if own == 0 {
                let q = x.len();
                let mut points = x.repeat(places.len());
                places.iter().enumerate().for_each(|(i, p)| points[i * q] = *p);
                return self.log_integrand(&points).into_iter().map(|v| (v, None)).collect();
            }
            let inner = |p: &f64| {
                x[own] = *p;
                let inner = self.descend(own, x, INNER * tolerance);
                (inner.log_value, Some(Box::new(inner)))
            };
            places.iter().map(inner).collect()
        };
        let found = line(&mut over_own, tolerance);
        let mut all = Integral { nodes: Vec::new(), log_value: found.log_value, error: found.error };
        let mut inner_error = 0.0_f64;
        for node in found.nodes {
            match node.kept {
                None => {
                    let mut place = [0.0; PANEL_EFFECTS];
                    place[..x.len()].copy_from_slice(x);
                    place[own] = node.x;
                    all.nodes.push(Point { x: place, log_weight: node.log_weight, log_value: node.log_value });
                }
                Some(inner) => {
                    let relative = node.log_weight + inner.log_value - all.log_value;
                    inner_error += relative.exp() * inner.error;
                    all.nodes.extend(inner.nodes.into_iter().map(|mut point| {
                        point.log_weight += node.log_weight;
                        point
                    }));
                }
            }
        }
        all.error += inner_error;
        all
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

/// Every value so many times.
fn repeat(values: &[f64], count: usize, into: &mut Vec<f64>) {
    into.resize(values.len() * count, 0.0);
    into.chunks_exact_mut(count).zip(values).for_each(|(all, v)| all.fill(*v));
}

/// Adds z_i x_j where row i stands at point j.
fn add_products(z: &[f64], x: &[f64], to: &mut [f64]) {
    if let [x] = x {
        return to.iter_mut().zip(z).for_each(|(t, z)| *t += x * z);
    }
    for (to, z) in to.chunks_exact_mut(x.len()).zip(z) {
        to.iter_mut().zip(x).for_each(|(t, x)| *t += x * z);
    }
}

/// Sums over the rows at every point. Rows of weight zero add nothing even where their density is not finite.
fn weighted_sums(f: &[f64], weight: Option<&[f64]>, count: usize) -> Vec<f64> {
    let mut sums = vec![0.0; count];
    for (i, f) in f.chunks_exact(count).enumerate() {
        let w = weight.map_or(1.0, |w| w[i]);
        if w != 0.0 {
            sums.iter_mut().zip(f).for_each(|(s, f)| *s += w * f);
        }
    }
    sums
}

/// log sum_i exp(f_i + w_i).
fn log_sum(f: &[f64], w: &[f64]) -> f64 {
    let top = f.iter().zip(w).map(|(f, w)| f + w).fold(f64::NEG_INFINITY, f64::max);
    top + f.iter().zip(w).map(|(f, w)| (f + w - top).exp()).sum::<f64>().ln()
}
