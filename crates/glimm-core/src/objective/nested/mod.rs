//! Log-likelihood of nested grouping factors, by Laplace's approximation or by nodes of quadrature at every level.
//!
//! A *unit* is a group of the coarsest factor with all groups below it; its integral factorises,
//!
//! ```text
//! L_v = int phi(v) prod_c [ int phi(u_c) exp(sum_i f_i) du_c ] dv        v: effects at the top, c: groups below
//! ```
//!
//! and so on down the [`tree`]. Its random effects have a mode and a Hessian H, factorised from the bottom to the top
//! ([`arrow`]). Nodes stand around the mode on the scale of H, each group's given those above it, so that the cost is
//! that of one path times the number of groups ([`integral`]). Chunks of units are shared among threads; sums run in
//! a fixed order.

mod arrow;
mod chart;
mod choose;
mod chunk;
mod integral;
mod marginal;
mod points;
mod reference;
mod rows;
mod tree;

use std::sync::Arc;

use rayon::prelude::*;

use self::chunk::{Chunk, Job};
use super::chain::{self, Chain};
use super::laplace::Share;
use super::tangent;
use super::{Evaluation, Objective, Order, Posterior, Quadrature, Reject, Units};
use crate::control::Control;
use crate::design::{Data, Layout};
use crate::integration::{Nodes, Rule};
use crate::linalg::dense;

/// How much of an integral is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    Value,
    Gradient,
    Hessian,
}

pub struct Nested {
    /// Family, predictors and terms, without rows.
    shape: Data,
    layout: Layout,
    chunks: Vec<Chunk>,
    n: usize,
    log_constant: f64,
    last: Vec<f64>,
    passes: f64,
    control: Arc<Control>,
}

impl Nested {
    /// `None` where grouping factors are not nested, or where equal groups are kept once.
    pub fn new(data: &Data) -> Option<Nested> {
        let chain = tree::chain(&data.terms).filter(|_| data.copies.is_none())?;
        let chunks = chunk::split(data, &chain)?;
        Some(Nested {
            shape: data.gather(&[]),
            layout: data.layout(),
            chunks,
            n: data.n(),
            log_constant: data.log_constant(),
            last: Vec::new(),
            passes: 0.0,
            control: Arc::default(),
        })
    }

    /// A new problem of some of the units, numbered as [`Nodes`] lists them; their order does not matter.
    pub fn subset(&self, units: &[usize]) -> Nested {
        let (mut wanted, mut first) = (vec![false; self.units()], 0);
        units.iter().for_each(|&u| wanted[u] = true);
        let mut chunks = Vec::new();
        for chunk in &self.chunks {
            chunks.extend(chunk.subset(&wanted[first..first + chunk.units()]));
            first += chunk.units();
        }
        Nested {
            shape: self.shape.clone(),
            layout: self.layout.clone(),
            n: chunks.iter().map(Chunk::n).sum(),
            log_constant: chunks.iter().map(Chunk::log_constant).sum(),
            chunks,
            last: Vec::new(),
            passes: 0.0,
            control: self.control.clone(),
        }
    }

    /// Runs `work` on all chunks, on the threads of the current pool, and counts the rows.
    fn each<T: Send>(
        &mut self,
        psi: &[f64],
        order: Order,
        tolerance: f64,
        work: impl Fn(&mut Chunk, &Job<'_>) -> Result<(T, usize), Reject> + Sync,
    ) -> Result<Vec<T>, Reject> {
        let lambda = chain::factors(&self.shape, &self.layout, psi);
        let chain = Chain::new(&self.shape, &self.layout, psi);
        let directions = match order {
            Order::Hessian => tangent::directions(&self.shape, &self.layout, &chain),
            _ => Vec::new(),
        };
        let (layout, control) = (&self.layout, self.control.as_ref());
        let job = Job { psi, layout, lambda: &lambda, directions: &directions, tolerance, control };
        let run = |chunk: &mut Chunk| {
            super::proceed(control)?;
            let (part, evaluated) = work(chunk, &job)?;
            control.advance(evaluated);
            Ok((part, evaluated))
        };
        let parts: Vec<(T, usize)> = self.chunks.par_iter_mut().map(run).collect::<Result<_, Reject>>()?;
        self.passes += parts.iter().map(|p| p.1).sum::<usize>() as f64 / self.n as f64;
        Ok(parts.into_iter().map(|p| p.0).collect())
    }

    fn assemble(&self, psi: &[f64], parts: &[Vec<Share>]) -> Evaluation {
        let chain = Chain::new(&self.shape, &self.layout, psi);
        let sizes: Vec<usize> = self.shape.terms.iter().map(|t| t.effects()).collect();
        let mut sums: Vec<Share> = parts[0].iter().map(|_| Share::new(self.layout.fixed(), &sizes)).collect();
        for shares in parts {
            for (sum, share) in sums.iter_mut().zip(shares) {
                sum.value += share.value;
                plus(&mut sum.beta, &share.beta);
                sum.lambda.iter_mut().zip(&share.lambda).for_each(|(s, p)| plus(s, p));
            }
        }
        let rows: Vec<Vec<f64>> = sums[1..].iter().map(|s| chain.gradient(&s.beta, &s.lambda)).collect();
        Evaluation {
            value: sums[0].value + self.log_constant,
            gradient: chain.gradient(&sums[0].beta, &sums[0].lambda),
            hessian: (!rows.is_empty()).then(|| chain.hessian(rows, &sums[0].lambda)),
        }
    }
}

fn plus(x: &mut [f64], y: &[f64]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

impl Objective for Nested {
    fn evaluate(&mut self, psi: &[f64], order: Order, tolerance: f64) -> Result<Evaluation, Reject> {
        self.last = psi.to_vec();
        let parts = self.each(psi, order, tolerance, Chunk::evaluate)?;
        let evaluation = self.assemble(psi, &parts);
        if evaluation.is_finite() { Ok(evaluation) } else { Err(Reject::NoMode) }
    }

    fn accept(&mut self) {
        self.chunks.iter_mut().for_each(Chunk::accept);
    }

    fn information(&mut self) -> Option<Vec<f64>> {
        None
    }

    fn reset(&mut self) {
        self.chunks.iter_mut().for_each(Chunk::reset);
    }

    fn set_control(&mut self, control: &Arc<Control>) {
        self.control = control.clone();
    }

    fn passes(&self) -> f64 {
        self.passes
    }

    fn posterior(&self) -> Posterior {
        let lambda = chain::factors(&self.shape, &self.layout, &self.last);
        // Levels without rows keep their prior.
        let prior = |(t, f): (usize, &Vec<f64>)| {
            let (q, mut square) = (self.shape.terms[t].effects(), vec![0.0; f.len()]);
            dense::matmul_nt(f, f, q, &mut square);
            square.repeat(self.shape.terms[t].levels)
        };
        let mut posterior = Posterior {
            modes: self.shape.terms.iter().map(|t| vec![0.0; t.levels * t.effects()]).collect(),
            covariances: lambda.iter().enumerate().map(prior).collect(),
        };
        self.chunks.iter().for_each(|c| c.write_posterior(&lambda, &mut posterior));
        posterior
    }
}

impl Quadrature for Nested {
    fn choose(&mut self, psi: &[f64], rule: Rule) -> Result<Nodes, Reject> {
        let parts = self.each(psi, Order::Gradient, choose::MODES, |chunk, job| chunk.choose(job, rule))?;
        let mut nodes = Nodes::default();
        for part in parts {
            nodes.counts.extend(part.counts);
            nodes.error += part.error;
        }
        Ok(nodes)
    }
}

impl Units for Nested {
    fn units(&self) -> usize {
        self.chunks.iter().map(Chunk::units).sum()
    }

    fn of_units(&self, units: &[usize]) -> Box<dyn Units> {
        Box::new(self.subset(units))
    }

    fn log_constant(&self) -> f64 {
        self.log_constant
    }

    fn laplace_value(&mut self, psi: &[f64]) -> f64 {
        let nodes: Vec<_> = self.chunks.iter_mut().map(Chunk::forget_nodes).collect();
        let found = self.evaluate(psi, Order::Gradient, choose::MODES);
        self.chunks.iter_mut().zip(nodes).for_each(|(chunk, points)| chunk.points = points);
        found.map_or(f64::NAN, |e| e.value)
    }

    fn forget_nodes(&mut self) {
        self.chunks.iter_mut().for_each(|chunk| {
            chunk.forget_nodes();
        });
    }

    fn as_objective(&mut self) -> &mut dyn Objective {
        self
    }
}
