//! A prior density on coefficients and covariances, added to the log-likelihood.
//!
//! Coefficients b of the user's columns get the log density of a normal or Student t distribution around zero,
//! which keeps them finite under separation (Gelman, Jakulin, Pittau and Su 2008, Ann. Appl. Stat. 2, 1360-1383);
//! covariances get a log|Lambda|, which keeps them off the boundary and vanishes nowhere else faster than the
//! likelihood grows (Chung, Rabe-Hesketh, Dorie, Gelman and Liu 2013, Psychometrika 78, 685-709, with a = 1).

use std::sync::Arc;

use super::{Evaluation, Objective, Order, Posterior, Reject};
use crate::control::Control;
use crate::special::{ln, log1p};

/// What is asked for, in the user's units.
#[derive(Clone, Debug, PartialEq)]
pub struct Penalty {
    /// Scale of each coefficient by predictor and column; infinite for none.
    pub scales: Vec<Vec<f64>>,
    /// Degrees of freedom of the Student t distribution; infinite for the normal one.
    pub df: f64,
    /// a: the power of the determinant of each factor; zero for none.
    pub power: f64,
}

/// A coefficient of the user as a function of the parameters: map' psi + shift.
pub struct Coefficient {
    pub map: Vec<f64>,
    pub shift: f64,
    pub scale: f64,
}

/// A parameter that is not climbed: `ratio` times another one, or held at `value`.
#[derive(Clone, Copy, Debug)]
pub struct Tied {
    pub parameter: usize,
    pub to: Option<usize>,
    pub ratio: f64,
    pub value: f64,
}

/// The same in terms of the parameters that are climbed.
#[derive(Default)]
pub struct Prior {
    pub tied: Vec<Tied>,
    pub coefficients: Vec<Coefficient>,
    pub df: f64,
    /// Parameters on the diagonals of the factors, and a.
    pub diagonals: Vec<usize>,
    pub power: f64,
}

impl Prior {
    /// The log density of b = x scale, less its constant, and its first two derivatives in x.
    fn density(&self, x: f64) -> [f64; 3] {
        if self.df.is_infinite() {
            return [-0.5 * x * x, -x, -1.0];
        }
        let (m, s) = (self.df + 1.0, self.df + x * x);
        [-0.5 * m * log1p(x * x / self.df), -m * x / s, -m * (self.df - x * x) / (s * s)]
    }

    /// The penalty at `psi`, which may hold the coefficients alone.
    pub fn value(&self, psi: &[f64]) -> f64 {
        let coefficients = self.coefficients.iter().map(|c| self.density(c.at(psi))[0]).sum::<f64>();
        let diagonals = self.diagonals.iter().filter_map(|&j| psi.get(j)).map(|t| ln(t.abs())).sum::<f64>();
        if self.power == 0.0 { coefficients } else { coefficients + self.power * diagonals }
    }

    pub fn add_to(&self, psi: &[f64], e: &mut Evaluation) {
        let p = psi.len();
        e.value += self.value(psi);
        for c in &self.coefficients {
            let [_, d1, d2] = self.density(c.at(psi));
            for i in 0..p {
                e.gradient[i] += d1 * c.map[i] / c.scale;
                if let Some(h) = &mut e.hessian {
                    (0..p).for_each(|j| h[i * p + j] += d2 * c.map[i] * c.map[j] / (c.scale * c.scale));
                }
            }
        }
        for &j in self.diagonals.iter().filter(|&&j| j < p && self.power != 0.0) {
            e.gradient[j] += self.power / psi[j];
            if let Some(h) = &mut e.hessian {
                h[j * p + j] -= self.power / (psi[j] * psi[j]);
            }
        }
    }
}

// Parameters psi = A phi + c of which some are tied to others. Their places in derivatives hold nothing but a unit
// curvature, so that no step moves them.
impl Prior {
    /// A phi + c.
    pub fn tie(&self, psi: &mut [f64]) {
        let known = psi.len();
        for t in self.tied.iter().filter(|t| t.parameter < known) {
            psi[t.parameter] = t.to.map_or(t.value, |j| t.ratio * psi[j]);
        }
    }

    /// A'g, and the rest zero.
    pub fn pull(&self, g: &mut [f64]) {
        for t in &self.tied {
            let own = std::mem::take(&mut g[t.parameter]);
            if let Some(j) = t.to {
                g[j] += t.ratio * own;
            }
        }
    }

    /// A'HA, and the rest zero.
    pub fn pull_both(&self, p: usize, h: &mut [f64]) {
        h.chunks_exact_mut(p).for_each(|row| self.pull(row));
        for c in 0..p {
            let mut column: Vec<f64> = (0..p).map(|r| h[r * p + c]).collect();
            self.pull(&mut column);
            (0..p).for_each(|r| h[r * p + c] = column[r]);
        }
    }

    /// A curvature for parameters that do not move.
    fn bend(&self, p: usize, h: &mut [f64], curvature: f64) {
        self.tied.iter().for_each(|t| h[t.parameter * p + t.parameter] = curvature);
    }

    /// Derivatives in phi.
    fn reduce(&self, e: &mut Evaluation) {
        let p = e.gradient.len();
        if self.tied.iter().any(|t| t.parameter >= p) {
            return;
        }
        self.pull(&mut e.gradient);
        if let Some(h) = &mut e.hessian {
            self.pull_both(p, h);
            self.bend(p, h, -1.0);
        }
    }
}

impl Coefficient {
    /// In units of its scale.
    fn at(&self, psi: &[f64]) -> f64 {
        (self.shift + self.map.iter().zip(psi).map(|(m, x)| m * x).sum::<f64>()) / self.scale
    }
}

/// An objective with a prior, or without.
pub struct Penalised<'a> {
    pub objective: &'a mut dyn Objective,
    pub prior: Option<&'a Prior>,
}

impl Objective for Penalised<'_> {
    fn evaluate(&mut self, psi: &[f64], order: Order, tolerance: f64) -> Result<Evaluation, Reject> {
        let Some(prior) = self.prior else {
            let e = self.objective.evaluate(psi, order, tolerance)?;
            return if e.is_finite() { Ok(e) } else { Err(Reject::NoMode) };
        };
        let mut psi = psi.to_vec();
        prior.tie(&mut psi);
        let mut e = self.objective.evaluate(&psi, order, tolerance)?;
        prior.add_to(&psi, &mut e);
        prior.reduce(&mut e);
        if e.is_finite() { Ok(e) } else { Err(Reject::NoMode) }
    }

    fn accept(&mut self) {
        self.objective.accept();
    }

    /// The prior's part is small where the data say anything.
    fn information(&mut self) -> Option<Vec<f64>> {
        let mut information = self.objective.information()?;
        if let Some(prior) = self.prior.filter(|prior| !prior.tied.is_empty()) {
            let p = information.len().isqrt();
            prior.pull_both(p, &mut information);
            prior.bend(p, &mut information, 1.0);
        }
        Some(information)
    }

    fn reset(&mut self) {
        self.objective.reset();
    }

    fn set_control(&mut self, control: &Arc<Control>) {
        self.objective.set_control(control);
    }

    fn passes(&self) -> f64 {
        self.objective.passes()
    }

    fn posterior(&self) -> Posterior {
        self.objective.posterior()
    }
}
