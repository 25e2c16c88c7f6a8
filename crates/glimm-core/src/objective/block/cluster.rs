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

/// Rows that are evaluated together, if a group has fewer.
const BATCH: usize = 512;
/// Contribution to the integral, relative to the tolerance, of nodes that are left out.
const NOTHING: f64 = 0.05;
/// Nodes per effect of the rules of Gauss and Hermite that are tried. One node may find the integral and yet knows nothing
/// of the variance of the effects, on which second derivatives depend.
const TRIED: [usize; 9] = [3, 5, 7, 9, 11, 15, 21, 31, 41];
/// Effects whose integral is taken by panels at most.
const PANEL_EFFECTS: usize = 2;
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
    /// Copies of the rows, so that several points are evaluated at once.
    y: Vec<f64>,
    size: Option<Vec<f64>>,
    weight: Option<Vec<f64>>,
    /// X beta + offset of each predictor, repeated as the rows are.
    fixed: Vec<Vec<f64>>,
    /// Z Lambda S by effect, and the same for a single copy.
    effects: Vec<Effect>,
    rows: usize,
    copies: usize,
    mode: Vec<f64>,
    scale: Vec<f64>,
    derivs: Derivs,
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
        let copies = (BATCH / rows.max(1)).max(1);
        let repeat = |v: &[f64]| v.repeat(copies);
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
            y: repeat(&parts.y),
            size: parts.size.as_deref().map(repeat),
            weight: parts.weight.as_deref().map(repeat),
            eta: vec![Vec::new(); predictors],
            fixed,
            family: parts.family,
            effects,
            rows,
            copies,
            mode: parts.mode,
            scale: parts.scale,
            derivs: Derivs::default(),
        }
    }

    pub fn q(&self) -> usize {
        self.mode.len()
    }

    /// -h at some points, given in standard coordinates one after the other.
    pub fn log_integrand(&mut self, x: &[f64]) -> Vec<f64> {
        let q = self.q();
        x.chunks(q * self.copies).flat_map(|some| self.log_integrand_of_some(some)).collect()
    }

    fn log_integrand_of_some(&mut self, x: &[f64]) -> Vec<f64> {
        let (q, n) = (self.q(), self.rows);
        let count = x.len() / q;
        for (eta, fixed) in self.eta.iter_mut().zip(&self.fixed) {
            eta.clear();
            (0..count).for_each(|_| eta.extend_from_slice(fixed));
        }
        for effect in &self.effects {
            let eta = self.eta[effect.predictor].chunks_exact_mut(n);
            for (eta, x) in eta.zip(x.chunks_exact(q)) {
                let times = x[effect.coordinate];
                eta.iter_mut().zip(&effect.column).for_each(|(e, z)| *e += times * z);
            }
        }
        let all = count * n;
        let rows = Rows { y: &self.y[..all], size: self.size.as_ref().map(|s| &s[..all]) };
        let eta: Vec<&[f64]> = self.eta.iter().map(Vec::as_slice).collect();
        let want = Want { dims: eta.len(), order: 1, value: true };
        self.derivs.reshape(want.dims, want.order, all);
        self.family.derivs(rows, &eta, want, &mut self.derivs);
        if let Some(weight) = &self.weight {
            self.derivs.weigh(&weight[..all], want);
        }
        let sums = self.derivs.value()[..all].chunks_exact(n).map(|f| f.iter().sum::<f64>());
        sums.zip(x.chunks_exact(q)).map(|(f, x)| f - 0.5 * self.squared_length(x)).collect()
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

    /// Nodes by which the log-integral is known to `tolerance`: the fewest of Gauss and Hermite that reproduce the
    /// reference, or else those of the reference.
    pub fn choose(&mut self, rules: &[Product], tolerance: f64, seed: u64) -> Chosen {
        let reference = self.reference(tolerance, seed);
        let exact = self.q() <= PANEL_EFFECTS;
        let mut previous: Option<Chosen> = None;
        let at_mode = self.at_mode();
        for rule in rules.iter().take_while(|rule| rule.log_weight.len() * 2 <= reference.log_weight.len()) {
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
                return chosen(difference + reference.error);
            }
            // Draws only contradict: successive rules tell the error.
            if let Some(before) = previous.filter(|_| !exact && difference < CONTRADICTION * reference.se) {
                let error = (log_value - before.log_value).abs();
                if error < tolerance {
                    return Chosen { error, ..before };
                }
            }
            previous = Some(chosen(f64::NAN));
        }
        reference
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
        let mut over_own = |places: &[f64]| -> Vec<(f64, Option<Integral>)> {
            if own == 0 {
                let q = x.len();
                let mut points = x.repeat(places.len());
                places.iter().enumerate().for_each(|(i, p)| points[i * q] = *p);
                return self.log_integrand(&points).into_iter().map(|v| (v, None)).collect();
            }
            let inner = |p: &f64| {
                x[own] = *p;
                let inner = self.descend(own, x, INNER * tolerance);
                (inner.log_value, Some(inner))
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

/// log sum_i exp(f_i + w_i).
fn log_sum(f: &[f64], w: &[f64]) -> f64 {
    let top = f.iter().zip(w).map(|(f, w)| f + w).fold(f64::NEG_INFINITY, f64::max);
    top + f.iter().zip(w).map(|(f, w)| (f + w - top).exp()).sum::<f64>().ln()
}
