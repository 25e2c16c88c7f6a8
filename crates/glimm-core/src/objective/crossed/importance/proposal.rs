//! The Gaussian from which the effects of a unit are drawn.
//!
//! The mode and the curvature there, which Laplace's approximation takes, make weights of heavy tails where responses are
//! discrete. The Gaussian nearest to the effects' distribution p in the sense of E_q[log q - log p] is as easily had:
//!
//! ```text
//! m = Lambda'Z'E[r]      C^-1 = I + Lambda'Z'E[W] Z Lambda      E over eta_i ~ N(x_i'beta + z_i'Lambda m, z_i'Lambda C Lambda'z_i)
//! ```
//!
//! (Opper and Archambeau 2009, Neural Comput. 21, 786-792). Its log density differs from the true one by what no quadratic
//! function can express, row by row, which keeps the variance of the weights small (as in Richard and Zhang 2007,
//! J. Econometrics 141, 1385-1411).

use std::sync::Arc;

use super::root::Root;
use crate::family::{Derivs, Want};
use crate::objective::Reject;
use crate::objective::crossed::Crossed;
use crate::objective::crossed::border::Border;
use crate::objective::crossed::cells::{Cells, Rows};
use crate::objective::geometry::{Effects, Geometry};
use crate::objective::laplace::{Patch, pair};
use crate::objective::sums::dot;

/// Nodes and weights of Gauss and Hermite for the standard normal density.
const NODES: [(f64, f64); 7] = [
    (-3.750_439_717_725_742, 5.482_688_559_722_18e-4),
    (-2.366_759_410_734_541, 3.075_712_396_758_65e-2),
    (-1.154_405_394_739_968, 0.240_123_178_605_012_7),
    (0.0, 0.457_142_857_142_857_14),
    (1.154_405_394_739_968, 0.240_123_178_605_012_7),
    (2.366_759_410_734_541, 3.075_712_396_758_65e-2),
    (3.750_439_717_725_742, 5.482_688_559_722_18e-4),
];
const MAX_STEPS: usize = 40;
/// Squared Newton decrement at which the search ends: what is left concerns the weights alone.
const CLOSE: f64 = 1e-8;

/// Mean and inverse covariance on the pattern, with the part of the linear predictors that is fixed.
pub struct Gaussian {
    mean: Vec<f64>,
    precision: Vec<f64>,
    fixed: Vec<Vec<f64>>,
}

pub struct Proposal {
    pub mean: Vec<f64>,
    pub root: Root,
    pub fixed: Vec<Vec<f64>>,
}

impl Proposal {
    pub fn new(border: &Arc<Border>, gaussian: Gaussian) -> Option<Proposal> {
        let root = Root::new(border, &gaussian.precision)?;
        Some(Proposal { mean: gaussian.mean, root, fixed: gaussian.fixed })
    }
}

impl Crossed {
    /// The nearest Gaussian at the last evaluated point `psi`; the one about the mode where the search for it fails.
    pub fn gaussian(&mut self, psi: &[f64]) -> Gaussian {
        let (lambda, modes, mut mean) = (self.lambda(psi), self.trial.clone(), self.trial.clone());
        let solver = self.solver.take().unwrap_or_else(|| self.plan.solver());
        let mut patch = self.patch(solver, &lambda, &mut mean);
        patch.set_fixed(psi);
        let at_modes = patch.bend();
        let nearest = patch.nearest(self.inverse.clone());
        let (solver, fixed) = (patch.geometry.solver, patch.fixed);
        self.solver = Some(solver);
        self.factored = false;
        match nearest {
            Ok(precision) => Gaussian { mean, precision, fixed },
            Err(_) => Gaussian { mean: modes, precision: at_modes, fixed },
        }
    }
}

/// E[r^k], and E[f^kl] for k <= l.
struct Smoothed {
    first: Vec<Vec<f64>>,
    second: Vec<Vec<f64>>,
}

impl Patch<'_, Cells<'_, Rows<'_>>> {
    /// H at the present effects.
    fn bend(&mut self) -> Vec<f64> {
        self.linear_predictors();
        self.row_derivatives(0..self.rows, Want { dims: self.random, order: 2, value: false });
        let mut s = vec![0.0; self.geometry.matrix_len()];
        self.curvature(&mut s);
        self.penalised(&s)
    }

    /// Moves `self.u` from the mode, where C is `c`, to the mean of the nearest Gaussian; returns its inverse covariance.
    fn nearest(&mut self, mut c: Vec<f64>) -> Result<Vec<f64>, Reject> {
        for _ in 0..MAX_STEPS {
            let smoothed = self.smoothed(&c);
            let (mut zr, mut s) = (vec![0.0; self.u.len()], vec![0.0; c.len()]);
            for k in 0..self.random {
                self.geometry.sum(k, &smoothed.first[k], &mut zr);
                for l in k..self.random {
                    self.geometry.sum_outer(k, l, &smoothed.second[pair(k, l, self.random)], &mut s);
                }
            }
            s.iter_mut().for_each(|x| *x = -*x);
            let h = self.penalised(&s);
            self.geometry.factorise(&h).ok_or(Reject::NotPositiveDefinite)?;
            let mut gradient = vec![0.0; zr.len()];
            self.geometry.apply_transpose(self.lambda, &zr, &mut gradient);
            gradient.iter_mut().zip(self.u.iter()).for_each(|(g, u)| *g -= u);
            let mut step = gradient.clone();
            self.geometry.solve(&mut step);
            self.u.iter_mut().zip(&step).for_each(|(u, s)| *u += s);
            self.geometry.inverse(&mut c);
            match dot(&gradient, &step) {
                left if left < CLOSE => return Ok(h),
                left if left.is_finite() => {}
                _ => break,
            }
        }
        Err(Reject::NoMode)
    }

    /// Means of the row derivatives where eta is Gaussian about its present value.
    fn smoothed(&mut self, c: &[f64]) -> Smoothed {
        let (n, random) = (self.rows, self.random);
        let pairs = random * (random + 1) / 2;
        let mut v = vec![vec![0.0; n]; pairs];
        self.posterior_variances(c, &mut v);
        let roots = square_roots(&v, random);
        self.linear_predictors();
        let centre = self.eta.clone();
        let mut smoothed = Smoothed { first: vec![vec![0.0; n]; random], second: vec![vec![0.0; n]; pairs] };
        for node in 0..NODES.len().pow(random as u32) {
            let digit = |l: usize| NODES[node / NODES.len().pow(l as u32) % NODES.len()];
            let weight = (0..random).map(|l| digit(l).1).product();
            for k in 0..random {
                self.eta[k].copy_from_slice(&centre[k]);
                for l in 0..=k {
                    add_scaled(digit(l).0, &roots[pair(l, k, random)], &mut self.eta[k]);
                }
            }
            self.row_derivatives(0..n, Want { dims: random, order: 2, value: false });
            smoothed.add(weight, &self.derivs, random);
        }
        smoothed
    }
}

impl Smoothed {
    fn add(&mut self, weight: f64, derivs: &Derivs, random: usize) {
        for k in 0..random {
            add_scaled(weight, derivs.get(&[k]), &mut self.first[k]);
            for l in k..random {
                add_scaled(weight, derivs.get(&[k, l]), &mut self.second[pair(k, l, random)]);
            }
        }
    }
}

fn add_scaled(a: f64, x: &[f64], out: &mut [f64]) {
    out.iter_mut().zip(x).for_each(|(o, x)| *o += a * x);
}

/// The Cholesky factor of every row's covariance, with zeros where that is singular; entry (k, l <= k) is the pair (l, k).
fn square_roots(v: &[Vec<f64>], random: usize) -> Vec<Vec<f64>> {
    let mut roots = v.to_vec();
    for i in 0..roots.first().map_or(0, Vec::len) {
        for k in 0..random {
            for l in 0..=k {
                let sum: f64 = (0..l).map(|j| roots[pair(j, k, random)][i] * roots[pair(j, l, random)][i]).sum();
                let left = roots[pair(l, k, random)][i] - sum;
                let pivot = roots[pair(l, l, random)][i];
                let divided = if pivot > 0.0 { left / pivot } else { 0.0 };
                roots[pair(l, k, random)][i] = if l == k { left.max(0.0).sqrt() } else { divided };
            }
        }
    }
    roots
}
