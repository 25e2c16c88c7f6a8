//! The integrand of one group by itself, and nodes for it whose error is measured.
//!
//! In standard coordinates x, u = mode + S x with S = R^-T and H = RR', the integrand is exp(-h(u)) / |R| and its curvature
//! at zero the identity. Its integral is taken one effect after the other, each by adaptive panels given the outer ones.

use std::sync::Arc;

use crate::family::{Derivs, Family, Rows, Want};
use crate::linalg::dense;
use crate::quadrature::{hermite, line};

/// Rows that are evaluated together, if a group has fewer.
const BATCH: usize = 512;
/// Contribution to the integral, relative to the tolerance, of nodes that are left out.
const NOTHING: f64 = 1e-4;
/// Nodes per effect of the rules of Gauss and Hermite that are tried.
const TRIED: [usize; 8] = [1, 3, 5, 7, 9, 11, 15, 21];
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

    /// Nodes by which the log-integral is known to `tolerance`: the fewest of Gauss and Hermite that reproduce what
    /// adaptive panels find, or else those of the panels.
    pub fn choose(&mut self, tolerance: f64) -> Chosen {
        let reference = self.panels(tolerance);
        let q = self.q();
        let at_mode = self.log_integrand(&vec![0.0; q])[0];
        for k in TRIED {
            let (x, log_weight) = product(k, q);
            if log_weight.len() * 2 > reference.log_weight.len() {
                break;
            }
            let found = log_sum(&self.log_integrand(&x), &log_weight) - at_mode;
            let error = (found - reference.log_value).abs() + reference.error;
            if error < tolerance {
                return Chosen { x, log_weight, log_value: found, error };
            }
        }
        reference
    }

    /// Nodes of adaptive panels.
    pub fn panels(&mut self, tolerance: f64) -> Chosen {
        let q = self.q();
        let at_mode = self.log_integrand(&vec![0.0; q])[0];
        let mut all = self.descend(q, &mut vec![0.0; q], tolerance);
        let total = all.log_value;
        let least = total + (NOTHING * tolerance).ln() - (all.nodes.len() as f64).ln();
        all.nodes.retain(|node| node.log_weight + node.log_value > least);
        Chosen {
            x: all.nodes.iter().flat_map(|node| node.x.iter().copied()).collect(),
            log_weight: all.nodes.iter().map(|node| node.log_weight).collect(),
            log_value: total - at_mode,
            error: all.error + NOTHING * tolerance,
        }
    }

    /// The integral over the first `free` coordinates given the others in `x`.
    fn descend(&mut self, free: usize, x: &mut Vec<f64>, tolerance: f64) -> Integral {
        let own = free - 1;
        let mut over_own = |places: &[f64]| -> Vec<(f64, Option<Integral>)> {
            if own == 0 {
                let points: Vec<f64> = places.iter().flat_map(|p| [&[*p], &x[1..]].concat()).collect();
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
                    x[own] = node.x;
                    all.nodes.push(Point { x: x.clone(), log_weight: node.log_weight, log_value: node.log_value });
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
    x: Vec<f64>,
    log_weight: f64,
    log_value: f64,
}

/// The product rule of Gauss and Hermite with `k` nodes for each of `q` coordinates.
pub fn product(k: usize, q: usize) -> (Vec<f64>, Vec<f64>) {
    let (one, weight) = hermite(k);
    let count = k.pow(q as u32);
    let digit = |i: usize, c: usize| i / k.pow(c as u32) % k;
    let x = (0..count).flat_map(|i| (0..q).map(move |c| (i, c))).map(|(i, c)| one[digit(i, c)]).collect();
    let log_weight = (0..count).map(|i| (0..q).map(|c| weight[digit(i, c)]).sum()).collect();
    (x, log_weight)
}

/// log sum_i exp(f_i + w_i).
fn log_sum(f: &[f64], w: &[f64]) -> f64 {
    let top = f.iter().zip(w).map(|(f, w)| f + w).fold(f64::NEG_INFINITY, f64::max);
    top + f.iter().zip(w).map(|(f, w)| (f + w - top).exp()).sum::<f64>().ln()
}
