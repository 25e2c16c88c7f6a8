//! An evaluation chunk by chunk, and its sums.

use std::ops::Range;

use rayon::prelude::*;

use super::lanes::Lanes;
use super::laplace::{Point, Sums, lane_copies};
use super::modes::{Inner, Search};
use super::quadrature::Mean;
use super::work::Work;
use super::{Block, Job, PARALLEL_ROWS};
use crate::linalg::dense::by_size;
use crate::objective::chain::Chain;
use crate::objective::{Evaluation, Order, Reject, proceed};
use crate::special::vectorized;

/// One chunk's part of an evaluation: the objective and one row per direction.
pub struct Part {
    pub sums: Vec<Sums>,
    /// The sums of each tile instead, if they are kept.
    pub tiles: Vec<Vec<Sums>>,
    pub evaluated: usize,
}

/// What picks a number of the j-th sums and adds it up over groups.
pub type Over<'a> = dyn Fn(usize, &dyn Fn(&Sums) -> Lanes) -> f64 + 'a;

/// A chunk's share of the arrays that evaluations write to.
pub struct Slots<'a> {
    pub tiles: &'a Range<usize>,
    pub u: &'a mut [Lanes],
    pub inverse: &'a mut [Lanes],
    pub du: &'a mut [Lanes],
}

impl Block {
    /// All that one chunk of tiles contributes.
    fn part(&self, slots: Slots<'_>, job: &Job<'_>) -> Result<Part, Reject> {
        if let Some(steps) = &job.steps {
            return self.series_part(slots, job, steps);
        }
        vectorized(
            #[inline(always)]
            || {
                by_size(
                    self.q(),
                    #[inline(always)]
                    |q| self.part_of_size(q, slots, job),
                )
            },
        )
    }

    #[inline(always)]
    fn part_of_size(&self, q: usize, slots: Slots<'_>, job: &Job<'_>) -> Result<Part, Reject> {
        let (p, tiles) = (self.store.columns.len(), &self.tiles[slots.tiles.clone()]);
        let mut work = Work::new(&self.store, job, &tiles[0]);
        let (mut search, mut point) = (Search::new(q), Point::new(p, q));
        let rows = job.hessian_rows(self.layout.total);
        let (mut sums, mut kept) = (vec![Sums::new(p, q); 1 + rows], Vec::new());
        let width = if slots.du.is_empty() { 0 } else { q * self.layout.total };
        // By value: a reference would hide q from the compiler, in all that follows.
        let mut mean = job.nodes.then(move || Mean::new(p, q, if rows > 0 { job.directions.len() } else { 0 }));
        for (t, tile) in tiles.iter().enumerate() {
            let u = &mut slots.u[t * q..(t + 1) * q];
            work.open(tile);
            work.find_modes(q, u, job.near, &mut search)?;
            let copies = lane_copies(tile.groups, |lane| self.copies_of(tile.group + lane));
            let du = &mut slots.du[t * width..(t + 1) * width];
            match &mut mean {
                None => work.contribute(q, u, copies, &mut point, &mut sums, du)?,
                Some(mean) => {
                    let grid = &self.grids[slots.tiles.start + t];
                    work.contribute_by_nodes(q, u, copies, grid, &mut point, mean, &mut sums, du)?;
                }
            }
            slots.inverse[t * q * q..(t + 1) * q * q].copy_from_slice(&point.c);
            if job.each {
                kept.push(std::mem::replace(&mut sums, vec![Sums::new(p, q); 1 + rows]));
            }
        }
        Ok(Part { sums, tiles: kept, evaluated: work.evaluated })
    }

    /// Runs all chunks, on the threads of the current pool.
    pub(super) fn parts(&self, arrays: [&mut [Lanes]; 3], job: &Job<'_>) -> Result<Vec<Part>, Reject> {
        let q = self.q();
        let width = if arrays[2].is_empty() { 0 } else { q * self.layout.total };
        let [mut u_rest, mut inverse_rest, mut du_rest] = arrays;
        let mut work = Vec::with_capacity(self.chunks.len());
        for tiles in &self.chunks {
            let u = u_rest.split_off_mut(..tiles.len() * q).expect("one per tile");
            let inverse = inverse_rest.split_off_mut(..tiles.len() * self.kept()).expect("one per tile");
            let du = du_rest.split_off_mut(..tiles.len() * width).expect("one per tile");
            work.push(Slots { tiles, u, inverse, du });
        }
        let run = |slots: Slots<'_>| {
            proceed(&self.control)?;
            let part = self.part(slots, job)?;
            self.control.advance(part.evaluated);
            Ok(part)
        };
        if self.n() < PARALLEL_ROWS {
            return work.into_iter().map(run).collect();
        }
        work.into_par_iter().map(run).collect()
    }

    /// Sums the parts, in the order of the chunks, into the parameters' own derivatives.
    pub(super) fn assemble(&self, psi: &[f64], parts: &[Part], order: Order) -> Evaluation {
        let over = |j: usize, of: &dyn Fn(&Sums) -> Lanes| parts.iter().map(|p| of(&p.sums[j]).sum()).sum::<f64>();
        let chain = self.chain(psi);
        let mut evaluation = self.derivatives(chain.as_ref(), parts[0].sums.len(), order, &over);
        evaluation.value += self.log_constant;
        evaluation
    }

    /// From Lambda to the parameters; sums over series are in the parameters themselves.
    pub(super) fn chain<'a>(&'a self, psi: &'a [f64]) -> Option<Chain<'a>> {
        self.series.is_none().then(|| Chain::new(&self.shape, &self.layout, psi))
    }

    /// The parameters' derivatives from sums over groups: `over(j, of)` adds up what `of` picks from the j-th sums.
    pub(super) fn derivatives(
        &self,
        chain: Option<&Chain<'_>>,
        count: usize,
        order: Order,
        over: &Over<'_>,
    ) -> Evaluation {
        let Some(chain) = chain else {
            let row = |j: usize| (0..self.layout.total).map(move |i| over(j, &|s| s.columns[i]));
            let hessian = (order == Order::Hessian).then(|| (1..count).flat_map(row).collect());
            return Evaluation { value: over(0, &|s| s.value), gradient: row(0).collect(), hessian };
        };
        let beta = |j: usize| {
            let mut beta = vec![0.0; self.layout.fixed()];
            for (a, p) in self.store.coefficient.iter().enumerate() {
                p.iter().for_each(|p| beta[*p] += over(j, &|s| s.columns[a]));
            }
            beta
        };
        let lambda = |j: usize| {
            let full: Vec<f64> = (0..self.q() * self.q()).map(|i| over(j, &|s| s.lambda[i])).collect();
            self.blocks(&full)
        };
        let hessian = (order == Order::Hessian).then(|| {
            let rows = (1..count).map(|j| chain.gradient(&beta(j), &lambda(j))).collect();
            chain.hessian(rows, &lambda(0))
        });
        Evaluation { value: over(0, &|s| s.value), gradient: chain.gradient(&beta(0), &lambda(0)), hessian }
    }

    /// The diagonal blocks, term by term, of a q x q matrix.
    fn blocks(&self, full: &[f64]) -> Vec<Vec<f64>> {
        let (q, mut first) = (self.q(), 0);
        let mut blocks = Vec::new();
        for term in &self.shape.terms {
            let size = term.effects();
            blocks.push((0..size * size).map(|i| full[(first + i / size) * q + first + i % size]).collect());
            first += size;
        }
        blocks
    }
}
