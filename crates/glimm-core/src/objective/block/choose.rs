//! The choice of nodes for every group.

use std::sync::Arc;

use rayon::prelude::*;

use super::Block;
use super::integrand::{Integrand, Parts};
use super::lanes::{LANES, Lanes};
use super::nodes::{Chosen, PANEL_EFFECTS, Product};
use super::quadrature::{Grid, NO_NODE};
use super::tiles::Tile;
use crate::integration::{Nodes, Rule};
use crate::linalg::dense;
use crate::objective::{Evaluation, Objective, Order, Quadrature, Reject, Units, proceed};

/// Rounding of a sum of log densities, relative to its size.
const ROUNDING: f64 = 16.0 * f64::EPSILON;
/// Nodes of the reference that are kept for the certificate at most.
const MOST_KEPT: usize = 1_000_000;
/// Newton decrement of the modes about which nodes are placed.
const MODES: f64 = 1e-10;

impl Quadrature for Block {
    fn choose(&mut self, psi: &[f64], rule: Rule) -> Result<Nodes, Reject> {
        let q = self.q();
        if q == 0 {
            return Ok(Nodes::default());
        }
        match rule {
            Rule::Gauss(k) => {
                let grid = shared_grid(k, q);
                let counts = vec![grid.log_weight.len(); self.groups()];
                let grid = Arc::new(grid);
                self.grids = self.tiles.iter().map(|_| grid.clone()).collect();
                Ok(Nodes { counts, error: f64::NAN })
            }
            Rule::Adaptive(tolerance) | Rule::Reference(tolerance) => {
                let cheaper = matches!(rule, Rule::Adaptive(_));
                self.forget_nodes();
                self.evaluate(psi, Order::Gradient, MODES)?;
                let (chosen, references): (Vec<Chosen>, Vec<Option<Chosen>>) =
                    self.choose_all(psi, tolerance, cheaper)?.into_iter().unzip();
                self.grids = self.grids_of(&chosen);
                let error = self.error_of(&chosen);
                let kept: usize = references.iter().flatten().map(|r| r.log_weight.len()).sum();
                if cheaper && q <= PANEL_EFFECTS && kept <= MOST_KEPT {
                    let own = references.into_iter().zip(&chosen);
                    self.reference = own.map(|(r, c)| r.unwrap_or_else(|| c.clone())).collect();
                }
                Ok(Nodes { counts: chosen.iter().map(|c| c.log_weight.len()).collect(), error })
            }
        }
    }
}

/// Nodes, and the reference if it has others.
type Pair = (Chosen, Option<Chosen>);

impl Units for Block {
    fn units(&self) -> usize {
        self.groups()
    }

    fn of_units(&self, units: &[usize]) -> Box<dyn Units> {
        Box::new(self.subset(units))
    }

    fn log_constant(&self) -> f64 {
        self.log_constant
    }

    fn laplace_value(&mut self, psi: &[f64]) -> f64 {
        let grids = std::mem::take(&mut self.grids);
        let found = self.evaluate(psi, Order::Gradient, MODES);
        self.grids = grids;
        found.map_or(f64::NAN, |e| e.value)
    }

    fn by_reference(&mut self, psi: &[f64]) -> Option<Result<(Evaluation, f64), Reject>> {
        let reference = Some(std::mem::take(&mut self.reference)).filter(|kept| !kept.is_empty())?;
        let mut grids = self.grids_of(&reference);
        let error = self.error_of(&reference);
        std::mem::swap(&mut self.grids, &mut grids);
        let found = self.evaluate(psi, Order::Gradient, MODES);
        std::mem::swap(&mut self.grids, &mut grids);
        Some(found.map(|found| (found, error)))
    }

    fn forget_nodes(&mut self) {
        self.grids = Vec::new();
        self.reference = Vec::new();
    }

    fn as_objective(&mut self) -> &mut dyn Objective {
        self
    }
}

impl Block {
    fn grids_of(&self, chosen: &[Chosen]) -> Vec<Arc<Grid>> {
        let of_tile = |t: &Tile| Arc::new(grid(&chosen[t.group..][..t.groups], self.q()));
        self.tiles.iter().map(of_tile).collect()
    }

    /// What is stated of the sum of all log-integrals.
    fn error_of(&self, chosen: &[Chosen]) -> f64 {
        let bound = |(g, c): (usize, &Chosen)| self.copies_of(g) * (c.error + ROUNDING * c.size);
        let variance = |(g, c): (usize, &Chosen)| (self.copies_of(g) * c.se).powi(2);
        let bounds: f64 = chosen.iter().enumerate().map(bound).sum();
        bounds + 2.0 * chosen.iter().enumerate().map(variance).sum::<f64>().sqrt()
    }

    /// Nodes of every group: those of the reference, or cheaper ones that reproduce it, and then the reference too.
    fn choose_all(&self, psi: &[f64], tolerance: f64, cheaper: bool) -> Result<Vec<Pair>, Reject> {
        let lambda = self.lambda(psi);
        let rules = Product::tried(self.q());
        let one = |g: usize| {
            proceed(&self.control)?;
            let mut integrand = self.integrand(g, psi, &lambda);
            let seed = g as u64;
            let reference = integrand.reference(tolerance, seed);
            let fewer = if cheaper { integrand.cheaper(&rules, &reference, tolerance) } else { None };
            let (chosen, reference) = match fewer {
                Some(fewer) => (fewer, Some(reference)),
                None => (reference, None),
            };
            if chosen.log_value.is_finite() { Ok((chosen, reference)) } else { Err(Reject::NoMode) }
        };
        (0..self.groups()).into_par_iter().map(one).collect()
    }

    /// The integrand of one group at the modes of the last evaluation.
    fn integrand(&self, group: usize, psi: &[f64], lambda: &[f64]) -> Integrand {
        let q = self.q();
        let (places, _) = self.places.places_of(&[group]);
        let tile = self.tiles.partition_point(|t| t.group <= group) - 1;
        let lane = group - self.tiles[tile].group;
        let inverse: Vec<f64> = (0..q * q).map(|i| self.inverse[tile * q * q + i].0[lane]).collect();
        let (y, size, weight) = self.store.responses(&places);
        let z = |&a: &usize| (self.store.predictor[a], self.store.column_at(a, &places));
        Integrand::new(Parts {
            family: self.store.family.clone(),
            y,
            size,
            weight,
            fixed: (0..self.store.spans.len()).map(|k| self.store.fixed_at(k, psi, &places)).collect(),
            z: self.store.z.iter().map(z).collect(),
            lambda: lambda.to_vec(),
            mode: (0..q).map(|c| self.trial[tile * q + c].0[lane]).collect(),
            scale: upper_root(&inverse, q),
        })
    }
}

/// The upper triangle S with S S' = C.
fn upper_root(c: &[f64], q: usize) -> Vec<f64> {
    // The lower root of C with rows and columns in reverse order.
    let mut reversed: Vec<f64> = (0..q * q).rev().map(|i| c[i]).collect();
    dense::cholesky(&mut reversed, q);
    (0..q * q).rev().map(|i| if i / q >= i % q { reversed[i] } else { 0.0 }).collect()
}

/// The product rule, the same in all lanes.
fn shared_grid(k: usize, q: usize) -> Grid {
    let Product { x, log_weight } = Product::new(k, q);
    let all = |v: &[f64]| v.iter().map(|v| Lanes([*v; LANES])).collect();
    let constant = 0.5 * q as f64 * std::f64::consts::TAU.ln();
    Grid { x: all(&x), log_weight: all(&log_weight.iter().map(|w| w - constant).collect::<Vec<f64>>()) }
}

/// The nodes of a tile's groups side by side; empty lanes repeat the first group's.
fn grid(chosen: &[Chosen], q: usize) -> Grid {
    let count = chosen.iter().map(|c| c.log_weight.len()).max().unwrap_or(0);
    let constant = 0.5 * q as f64 * std::f64::consts::TAU.ln();
    let mut grid = Grid { x: vec![Lanes::ZERO; count * q], log_weight: vec![Lanes([NO_NODE; LANES]); count] };
    for lane in 0..LANES {
        let own = chosen.get(lane).unwrap_or(&chosen[0]);
        for (k, w) in own.log_weight.iter().enumerate() {
            grid.log_weight[k].0[lane] = w - constant;
            (0..q).for_each(|c| grid.x[k * q + c].0[lane] = own.x[k * q + c]);
        }
    }
    grid
}
