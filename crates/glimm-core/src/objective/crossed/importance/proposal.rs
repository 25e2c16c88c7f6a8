//! The Gaussian from which the effects of a unit are drawn.
//!
//! The mode and the curvature there, which Laplace's approximation takes, make weights of heavy tails where responses
//! are discrete. The Gaussian q nearest to the effects' distribution p in the sense of E_q[log q - log p] is as easily
//! had:
//!
//! ```text
//! m = Lambda'Z'E[r]      C^-1 = I + Lambda'Z'E[W] Z Lambda      E over eta_i ~ N(x_i'beta + z_i'Lambda m, v_i)
//! ```
//!
//! with v_i = z_i'Lambda C Lambda'z_i (Opper and Archambeau 2009, Neural Comput. 21, 786-792). Its log density differs
//! from the true one by what no quadratic function can express, row by row, which keeps the variance of the weights
//! small (as in Richard and Zhang 2007, J. Econometrics 141, 1385-1411).

use std::sync::Arc;

use super::root::Root;
use crate::family::{Want, component_count};
use crate::objective::Reject;
use crate::objective::chain::{self, Chain};
use crate::objective::crossed::Crossed;
use crate::objective::crossed::border::Border;
use crate::objective::crossed::{Cells, Rows};
use crate::objective::geometry::{Effects, Factors};
use crate::objective::laplace::{AtMode, Patch, pair};
use crate::objective::sums::dot;
use crate::objective::tangent;

/// Nodes and weights of Gauss and Hermite for the standard normal density: for one predictor with random effects, two,
/// and more.
const ONE: [(f64, f64); 7] = [
    (-3.750_439_717_725_742, 5.482_688_559_722_18e-4),
    (-2.366_759_410_734_541, 3.075_712_396_758_65e-2),
    (-1.154_405_394_739_968, 0.240_123_178_605_012_7),
    (0.0, 0.457_142_857_142_857_14),
    (1.154_405_394_739_968, 0.240_123_178_605_012_7),
    (2.366_759_410_734_541, 3.075_712_396_758_65e-2),
    (3.750_439_717_725_742, 5.482_688_559_722_18e-4),
];
const TWO: [(f64, f64); 5] = [
    (-2.856_970_013_872_806, 1.125_741_132_772_069e-2),
    (-1.355_626_179_974_266, 0.222_075_922_005_612_6),
    (0.0, 0.533_333_333_333_333_3),
    (1.355_626_179_974_266, 0.222_075_922_005_612_6),
    (2.856_970_013_872_806, 1.125_741_132_772_069e-2),
];
const MORE: [(f64, f64); 3] =
    [(-1.732_050_807_568_877_2, 1.0 / 6.0), (0.0, 2.0 / 3.0), (1.732_050_807_568_877_2, 1.0 / 6.0)];
const MAX_STEPS: usize = 60;
const USUAL_STEPS: f64 = 15.0;
/// Squared Newton decrement at which the search ends: the gradient is to be smooth in the parameters.
const CLOSE: f64 = 1e-18;

fn nodes(random: usize) -> &'static [(f64, f64)] {
    match random {
        ..=1 => &ONE,
        2 => &TWO,
        _ => &MORE,
    }
}

/// Row evaluations, about, that a proposal takes for every row.
pub fn evaluations(random: usize) -> f64 {
    USUAL_STEPS * nodes(random).len().pow(random as u32) as f64
}

/// A Gaussian N(m, C) with all that draws from it and their derivatives need.
pub struct Proposal {
    pub mean: Vec<f64>,
    /// Of H = C^-1.
    pub root: Root,
    /// S = Z'E[W]Z on the pattern.
    pub s: Vec<f64>,
    /// X beta + offset of each predictor.
    pub fixed: Vec<Vec<f64>>,
    /// dm, and -tr(C dH) / 2 with dH = dLambda'S Lambda + Lambda'S dLambda, by parameter.
    pub tangents: Vec<Vec<f64>>,
    pub traces: Vec<f64>,
}

impl Crossed {
    /// The nearest Gaussian at the last evaluated point `psi`; the one about the mode where the search for it fails.
    pub fn propose(&mut self, psi: &[f64], border: &Arc<Border>) -> Result<Proposal, Reject> {
        let (lambda, mut mean) = (chain::factors(&self.data, &self.layout, psi), self.trial.clone());
        let solver = self.solver.take().unwrap_or_else(|| self.plan.solver());
        let chain = Chain::new(&self.data, &self.layout, psi);
        let mut patch = self.patch(solver, &lambda, &mut mean);
        patch.set_fixed(psi);
        let mut at = AtMode::new(&patch.geometry, patch.random, patch.rows);
        at.c.copy_from_slice(&self.inverse);
        let h = patch.nearest(&mut at).or_else(|_| {
            patch.u.copy_from_slice(&self.trial);
            patch.about_mode(&mut at)
        });
        let tangents = tangent::directions(&self.data, &self.layout, &chain)
            .iter()
            .map(|d| patch.mode_tangent(&at, d).0)
            .collect();
        let mut product: Factors = lambda.iter().map(|l| vec![0.0; l.len()]).collect();
        patch.geometry.subtract_product(&at.s, &lambda, &at.c, &mut product);
        let traces = chain.gradient(&vec![0.0; self.layout.fixed()], &product);
        let (solver, fixed) = (patch.geometry.solver, patch.fixed);
        self.solver = Some(solver);
        self.factored = false;
        let root = Root::new(border, &h?).ok_or(Reject::NotPositiveDefinite)?;
        Ok(Proposal { mean, root, s: at.s, fixed, tangents, traces })
    }
}

impl Patch<'_, Cells<'_, Rows<'_>>> {
    /// Moves `self.u` from the mode, where C is known, to the mean of the nearest Gaussian; returns its H.
    fn nearest(&mut self, at: &mut AtMode) -> Result<Vec<f64>, Reject> {
        for _ in 0..MAX_STEPS {
            self.smooth(&at.c);
            let h = self.bend(at)?;
            let mut gradient = vec![0.0; self.u.len()];
            self.geometry.apply_transpose(self.lambda, &at.zr, &mut gradient);
            gradient.iter_mut().zip(self.u.iter()).for_each(|(g, u)| *g -= u);
            let mut step = gradient.clone();
            self.geometry.solve(&mut step);
            self.u.iter_mut().zip(&step).for_each(|(u, s)| *u += s);
            match dot(&gradient, &step) {
                left if left < CLOSE => return Ok(h),
                left if left.is_finite() => {}
                _ => break,
            }
        }
        Err(Reject::NoMode)
    }

    /// The same where `self.u` is and stays the mode.
    fn about_mode(&mut self, at: &mut AtMode) -> Result<Vec<f64>, Reject> {
        self.linear_predictors();
        self.row_derivatives(0..self.rows, Want { dims: self.eta.len(), order: 2, value: false });
        self.bend(at)
    }

    /// Z'r, S and C from the row derivatives; returns H.
    fn bend(&mut self, at: &mut AtMode) -> Result<Vec<f64>, Reject> {
        at.zr.fill(0.0);
        at.s.fill(0.0);
        self.score(&mut at.zr);
        self.curvature(&mut at.s);
        let h = self.penalised(&at.s);
        self.geometry.factorise(&h).ok_or(Reject::NotPositiveDefinite)?;
        self.geometry.inverse(&mut at.c);
        Ok(h)
    }

    /// Makes the row derivatives their means where eta is Gaussian about its present value.
    fn smooth(&mut self, c: &[f64]) {
        let (n, random, want) = (self.rows, self.random, Want { dims: self.eta.len(), order: 2, value: false });
        let mut v = vec![vec![0.0; n]; random * (random + 1) / 2];
        self.posterior_variances(c, &mut v);
        let roots = square_roots(v, random);
        self.linear_predictors();
        let centre = self.eta.clone();
        let components = 1..1 + component_count(want.dims, 1) + component_count(want.dims, 2);
        let mut means = vec![vec![0.0; n]; components.end];
        let nodes = nodes(random);
        for node in 0..nodes.len().pow(random as u32) {
            let digit = |l: usize| nodes[node / nodes.len().pow(l as u32) % nodes.len()];
            for k in 0..random {
                self.eta[k].copy_from_slice(&centre[k]);
                (0..=k).for_each(|l| add_scaled(digit(l).0, &roots[pair(l, k, random)], &mut self.eta[k]));
            }
            self.row_derivatives(0..n, want);
            let weight = (0..random).map(|l| digit(l).1).product();
            components.clone().for_each(|c| add_scaled(weight, self.derivs.component(c), &mut means[c]));
        }
        components.for_each(|c| self.derivs.component_mut(c).copy_from_slice(&means[c]));
    }
}

fn add_scaled(a: f64, x: &[f64], out: &mut [f64]) {
    out.iter_mut().zip(x).for_each(|(o, x)| *o += a * x);
}

/// The Cholesky factor of every row's covariance, with zeros where that is singular; entry (k, l) is the pair (l, k).
fn square_roots(mut v: Vec<Vec<f64>>, random: usize) -> Vec<Vec<f64>> {
    for i in 0..v.first().map_or(0, Vec::len) {
        for k in 0..random {
            for l in 0..=k {
                let sum: f64 = (0..l).map(|j| v[pair(j, k, random)][i] * v[pair(j, l, random)][i]).sum();
                let (left, pivot) = (v[pair(l, k, random)][i] - sum, v[pair(l, l, random)][i]);
                let divided = if pivot > 0.0 { left / pivot } else { 0.0 };
                v[pair(l, k, random)][i] = if l == k { left.max(0.0).sqrt() } else { divided };
            }
        }
    }
    v
}
