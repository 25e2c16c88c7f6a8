//! Successive units with their rows: the work of one thread.
//!
//! With V = -2 dL/dH on the pattern, m = dL/du besides, and means over the nodes, the gradient is that of Laplace's
//! approximation ([`Patch::differentiate`]) with V for the inverse and m in the adjoint, and with the means of X'r and
//! of (Z'r) u' instead of those at the modes.

use std::sync::Arc;

use super::Detail;
use super::arrow::Arrow;
use super::chart::Chart;
use super::integral::{Changes, Integral};
use super::points::{Points, Shelf};
use super::rows::RowSums;
use super::tree::Tree;
use crate::control::Control;
use crate::design::{Data, Layout};
use crate::family::{Derivs, Want};
use crate::objective::crossed::{Cells, OfRow, Pattern, Rows, Solver};
use crate::objective::geometry::{Effects, Factors};
use crate::objective::laplace::{AtMode, Patch, Share};
use crate::objective::tangent::Direction;
use crate::objective::{Posterior, Reject};

/// Rows from which a chunk is full.
const CHUNK_ROWS: usize = 256;
/// Nodes per effect that second derivatives take at least: one node knows nothing of the spread of scores.
const HESSIAN_NODES: usize = 5;

/// What every chunk needs to know of an evaluation.
pub struct Job<'a> {
    pub psi: &'a [f64],
    pub layout: &'a Layout,
    pub lambda: &'a Factors,
    /// Along which second derivatives are wanted.
    pub directions: &'a [Direction],
    pub tolerance: f64,
    pub control: &'a Control,
}

pub struct Chunk {
    data: Data,
    pattern: Pattern,
    of_row: OfRow,
    pub tree: Arc<Tree>,
    pub chart: Chart,
    /// Each term's levels, as numbered by the caller.
    levels: Vec<Vec<u32>>,
    ones: Vec<f64>,
    /// Nodes of every group.
    pub points: Vec<Arc<Points>>,
    /// Accepted modes and those of the last evaluation.
    pub u: Vec<f64>,
    trial: Vec<f64>,
    /// C on the pattern at the last evaluation.
    inverse: Vec<f64>,
}

pub type Unit<'a> = Patch<'a, Cells<'a, Rows<'a>>>;

/// Chunks of rows, sorted so that groups are runs.
pub fn split(data: &Data, chain: &[Vec<usize>]) -> Option<Vec<Chunk>> {
    let path = |&row: &u32| chain.iter().map(move |f| data.terms[f[0]].codes[row as usize]).collect::<Vec<u32>>();
    let mut order: Vec<u32> = (0..data.n() as u32).collect();
    order.sort_by_cached_key(path);
    let top = &data.terms[chain[0][0]].codes;
    let (mut chunks, mut first) = (Vec::new(), 0);
    for end in 1..=order.len() {
        let last = end == order.len();
        if last || end - first >= CHUNK_ROWS && top[order[end] as usize] != top[order[end - 1] as usize] {
            chunks.push(Chunk::new(data, chain, &order[first..end])?);
            first = end;
        }
    }
    (!chunks.is_empty()).then_some(chunks)
}

impl Chunk {
    fn new(data: &Data, chain: &[Vec<usize>], rows: &[u32]) -> Option<Chunk> {
        let mut data = data.gather(rows);
        let mut levels = vec![Vec::new(); data.terms.len()];
        for (term, levels) in data.terms.iter_mut().zip(&mut levels) {
            for i in 0..rows.len() {
                let code = term.codes[i];
                if levels.last() != Some(&code) {
                    levels.push(code);
                }
                term.codes[i] = levels.len() as u32 - 1;
            }
            term.levels = levels.len();
        }
        let (pattern, of_row) = Pattern::new(&data.terms).ok()?;
        let tree = Arc::new(Tree::new(&data, chain, &pattern, &of_row));
        let mut chunk = Chunk {
            chart: Chart::new(&data, &data.layout(), chain),
            u: vec![0.0; pattern.effects()],
            trial: vec![0.0; pattern.effects()],
            inverse: vec![0.0; pattern.matrix_len()],
            ones: vec![1.0; data.n()],
            points: Vec::new(),
            data,
            pattern,
            of_row,
            tree,
            levels,
        };
        chunk.points = chunk.gauss(1);
        Some(chunk)
    }

    pub fn n(&self) -> usize {
        self.data.n()
    }

    pub fn log_constant(&self) -> f64 {
        self.data.log_constant()
    }

    /// The units that are wanted, if any.
    pub fn subset(&self, wanted: &[bool]) -> Option<Chunk> {
        let units = self.tree.units.iter().zip(wanted).filter(|(_, wanted)| **wanted);
        let rows: Vec<u32> =
            units.flat_map(|(u, _)| self.tree.groups[u.start].rows.clone()).map(|row| row as u32).collect();
        if rows.is_empty() { None } else { Chunk::new(&self.data, &self.tree.chain, &rows) }
    }

    pub fn units(&self) -> usize {
        self.tree.units.len()
    }

    /// Gauss-Hermite nodes for every group, `k` per effect; equal ones are kept once.
    pub fn gauss(&self, k: usize) -> Vec<Arc<Points>> {
        let mut shelf = Shelf::default();
        self.tree.groups.iter().map(|g| shelf.gauss(k, g.own)).collect()
    }

    /// Back to one node for every group; returns those there were.
    pub fn forget_nodes(&mut self) -> Vec<Arc<Points>> {
        let one = self.gauss(1);
        std::mem::replace(&mut self.points, one)
    }

    /// All rows with their effects, at the modes.
    pub fn at_modes<'a>(&'a self, u: &'a mut [f64], job: &'a Job<'_>) -> Result<Unit<'a>, Reject> {
        let buffers = || vec![vec![0.0; self.data.n()]; self.data.predictors.len()];
        let rows = Rows { data: &self.data, of_row: &self.of_row };
        let solver = Box::new(Arrow::new(self.tree.clone()));
        let mut patch = Patch {
            data: &self.data,
            layout: job.layout,
            first: 0,
            rows: self.data.n(),
            geometry: Cells { pattern: &self.pattern, solver, rows },
            random: self.data.random_predictors(),
            lambda: job.lambda,
            u,
            ones: &self.ones,
            fixed: buffers(),
            eta: buffers(),
            derivs: Derivs::default(),
            evaluated: 0,
        };
        patch.set_fixed(job.psi);
        patch.find_modes(job.tolerance, false, job.control)?;
        Ok(patch)
    }

    /// The value with its gradient, then one row of second derivatives for each direction.
    pub fn evaluate(&mut self, job: &Job<'_>) -> Result<(Vec<Share>, usize), Reject> {
        let mut u = self.u.clone();
        let mut patch = self.at_modes(&mut u, job)?;
        let laplace = self.points.iter().all(|p| p.len() == 1);
        let (shares, inverse) = if laplace { by_modes(&mut patch, job)? } else { self.by_nodes(&mut patch, job)? };
        let evaluated = patch.evaluated;
        (self.trial, self.inverse) = (u, inverse);
        Ok((shares, evaluated))
    }

    /// The row derivatives at the modes, H with its factor, and log|H|.
    pub fn factorise(&self, patch: &mut Unit<'_>) -> Result<(AtMode, Arrow, f64), Reject> {
        patch.linear_predictors();
        patch.row_derivatives(0..patch.rows, Want { dims: patch.eta.len(), order: 3, value: true });
        let mut at = AtMode::new(&patch.geometry, patch.random, patch.rows);
        patch.at_modes(&mut at)?;
        let mut arrow = Arrow::new(self.tree.clone());
        let logdet = arrow.factorise(&patch.penalised(&at.s)).ok_or(Reject::NotPositiveDefinite)?;
        Ok((at, arrow, logdet))
    }

    fn by_nodes(&self, patch: &mut Unit<'_>, job: &Job<'_>) -> Result<(Vec<Share>, Vec<f64>), Reject> {
        let (mut at, arrow, logdet) = self.factorise(patch)?;
        let inverse = at.c.clone();
        let groups = self.tree.groups.last().map_or(0, |g| g.block().end);
        let mut found = Sums {
            value: -0.5 * logdet,
            first: vec![0.0; self.chart.len],
            second: Vec::new(),
            changes: Changes { modes: patch.slope(&at.zr).iter().map(|s| -s).collect(), blocks: vec![0.0; groups] },
        };
        patch.evaluated += self.integrate(patch, &arrow, job, &mut found);
        arrow.scatter(&arrow.derivative_in_h(&found.changes.blocks), &mut at.c);
        at.pull = found.changes.modes;
        let mut share = patch.differentiate(&mut at);
        share.value = found.value + patch.mode_correction(&at);
        self.replace_scores(patch, &at, &self.chart.share(&found.first), &mut share);
        let mut shares = vec![share];
        shares.extend(job.directions.iter().map(|d| self.chart.share(&self.chart.along(&found.second, d))));
        Ok((shares, inverse))
    }

    /// What integrals of all units depend on; `detail` and the nodes may change later.
    pub fn integral<'a>(&'a self, patch: &'a Unit<'_>, arrow: &'a Arrow, lambda: &'a [f64]) -> Integral<'a> {
        Integral {
            tree: &self.tree,
            arrow,
            chart: &self.chart,
            points: self.points.clone(),
            modes: patch.u,
            lambda,
            rows: RowSums::new(&self.data, &patch.fixed, &self.chart.path),
            detail: Detail::Value,
            visits: Vec::new(),
            first: 0,
            room: Vec::new(),
        }
    }

    /// Sums the integrals of all units; returns the number of rows seen.
    fn integrate(&self, patch: &Unit<'_>, arrow: &Arrow, job: &Job<'_>, found: &mut Sums) -> usize {
        let lambda = self.chart.flat(job.lambda);
        let mut integral = self.integral(patch, arrow, &lambda);
        let hessian = !job.directions.is_empty();
        let enough = hessian.then(|| self.gauss(HESSIAN_NODES));
        for unit in &self.tree.units {
            let few = |g: usize| self.points[g].len() < HESSIAN_NODES.pow(self.tree.groups[g].own as u32);
            let twice = hessian && unit.clone().any(few);
            integral.detail = if hessian && !twice { Detail::Hessian } else { Detail::Gradient };
            let (value, first, mut second) = integral.of_unit(unit);
            integral.add_changes(unit, &mut found.changes);
            if let Some(enough) = enough.as_ref().filter(|_| twice) {
                integral.detail = Detail::Hessian;
                unit.clone().filter(|&g| few(g)).for_each(|g| integral.points[g] = enough[g].clone());
                second = integral.of_unit(unit).2;
            }
            found.value += value;
            found.second.resize(second.len(), 0.0);
            super::plus(&mut found.first, &first);
            super::plus(&mut found.second, &second);
        }
        integral.rows.evaluated
    }

    /// Takes the scores at the modes out of the gradient and puts those at the nodes in.
    fn replace_scores(&self, patch: &Unit<'_>, at: &AtMode, nodes: &Share, share: &mut Share) {
        let mut modes = Share::new(self.chart.fixed, &patch.geometry.sizes());
        for k in 0..patch.eta.len() {
            patch.project(k, patch.derivs.get(&[k]), &mut modes.beta);
        }
        patch.geometry.add_dyads(&at.zr, patch.u, &mut modes.lambda);
        let change = |out: &mut [f64], new: &[f64], old: &[f64]| {
            out.iter_mut().zip(new.iter().zip(old)).for_each(|(o, (new, old))| *o += new - old);
        };
        change(&mut share.beta, &nodes.beta, &modes.beta);
        for (t, out) in share.lambda.iter_mut().enumerate() {
            change(out, &nodes.lambda[t], &modes.lambda[t]);
        }
    }

    pub fn accept(&mut self) {
        self.u.copy_from_slice(&self.trial);
    }

    pub fn reset(&mut self) {
        self.u.fill(0.0);
        self.trial.fill(0.0);
    }

    /// Writes modes and covariances at the caller's levels.
    pub fn write_posterior(&self, lambda: &Factors, out: &mut Posterior) {
        let rows = ();
        let cells = Cells { pattern: &self.pattern, solver: Box::new(Arrow::new(self.tree.clone())), rows };
        let (mut b, mut covariance) = (vec![0.0; self.u.len()], vec![0.0; self.inverse.len()]);
        cells.apply(lambda, &self.u, &mut b);
        cells.add_outer(lambda, &self.inverse, lambda, &mut covariance);
        for (t, levels) in self.levels.iter().enumerate() {
            let q = self.pattern.sizes[t];
            let (b, covariance) = (&b[self.pattern.term(t)], &covariance[self.pattern.pair(t, t).range()]);
            for (local, &level) in levels.iter().enumerate() {
                let level = level as usize;
                out.modes[t][level * q..(level + 1) * q].copy_from_slice(&b[local * q..(local + 1) * q]);
                let (from, to) = (local * q * q, level * q * q);
                out.covariances[t][to..to + q * q].copy_from_slice(&covariance[from..from + q * q]);
            }
        }
    }
}

/// Sums over the units of a chunk.
struct Sums {
    value: f64,
    first: Vec<f64>,
    second: Vec<f64>,
    changes: Changes,
}

/// Laplace's approximation.
fn by_modes(patch: &mut Unit<'_>, job: &Job<'_>) -> Result<(Vec<Share>, Vec<f64>), Reject> {
    let (share, at) = patch.gradient(if job.directions.is_empty() { 3 } else { 4 })?;
    let mut shares = vec![share];
    for direction in job.directions {
        shares.push(patch.hessian_row(&at, direction).0);
    }
    Ok((shares, at.c))
}
