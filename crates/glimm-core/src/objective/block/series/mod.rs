//! Groups that are series in time: their effects are a Markov chain, and every row belongs to one time. The precision of
//! such effects is tridiagonal, so that all algebra takes one or two passes over the times ([`filter`]).

mod filter;
mod laplace;
mod rows;
mod steps;
mod tangent;

use self::laplace::Point;
pub use self::steps::Steps;
use super::lanes::Lanes;
use super::laplace::{Sums, lane_copies};
use super::modes::{Inner, Search};
use super::parts::{Part, Slots};
use super::tiles;
use super::work::Work;
use super::{Block, Job};
use crate::design::{Column, Data, Term};
use crate::objective::Reject;
use crate::special::vectorized;

/// Effects of a group up to which small dense blocks, and products of nodes, are as good.
const FEW: usize = 4;

/// How rows belong to the effects of their series.
pub struct Effects {
    /// The column of each row's effect, by place; zero where a place repeats another's row.
    pub z: Vec<f64>,
    /// Effects per group.
    pub q: usize,
}

/// A direction in parameter space: a coefficient with its columns, or a parameter of the chain.
pub enum Direction {
    Columns(Vec<usize>),
    Chain(usize),
}

/// The groups of a tile.
pub struct Series<'a> {
    work: Work<'a>,
    steps: &'a Steps,
    effects: &'a Effects,
    times: &'a [u32],
    /// z, z^2 and z^3 over the places of the tile.
    powers: [Vec<f64>; 3],
    /// Changes of eta, and room for the like.
    moves: Vec<f64>,
}

/// The time of every row and its column there, where groups are series.
pub fn times(data: &Data) -> Option<(Vec<u32>, Vec<f64>)> {
    let [term] = &data.terms[..] else { return None };
    let start = term.structure.start(1.0);
    let apart = term.tied() || term.effects() <= FEW || term.predictors.iter().any(|&k| k != 0);
    if apart || term.structure.steps(&start, 0, 0).is_none() {
        return None;
    }
    let (mut time, mut z) = (vec![0; data.n()], vec![0.0; data.n()]);
    for (t, column) in term.columns.iter().enumerate() {
        for i in (0..z.len()).filter(|&i| column.at(i) != 0.0) {
            if z[i] != 0.0 {
                return None;
            }
            (time[i], z[i]) = (t as u32, column.at(i));
        }
    }
    Some((time, z))
}

impl Effects {
    /// Takes the columns of the effects out of `data`.
    pub fn take(data: &mut Data, z: &[f64], places: &tiles::Layout) -> Effects {
        let term = &mut data.terms[0];
        term.columns.iter_mut().for_each(|c| *c = Column::One);
        let at = |(&i, repeats): (&u32, &bool)| if *repeats { 0.0 } else { z[i as usize] };
        Effects { z: places.row.iter().zip(&places.repeats).map(at).collect(), q: term.effects() }
    }

    /// The columns of the effects at some places.
    pub fn columns(&self, places: &[usize], layout: &tiles::Layout) -> Vec<Column> {
        let mut columns = vec![vec![0.0; places.len()]; self.q];
        for (i, &place) in places.iter().enumerate() {
            columns[layout.times[place / super::LANES] as usize][i] = self.z[place];
        }
        columns.into_iter().map(Column::of).collect()
    }
}

impl Block {
    /// The steps of the chain at `psi`, where groups are series.
    pub(super) fn steps(&self, psi: &[f64], curved: bool) -> Option<Steps> {
        self.series.as_ref()?;
        let Term { structure, .. } = &self.shape.terms[0];
        Steps::new(structure.as_ref(), &psi[self.layout.theta[0].clone()], curved)
    }

    /// What moves with each parameter.
    fn series_directions(&self) -> Vec<Direction> {
        let of = |p: usize| {
            let own = |a: &usize| self.store.coefficient[*a] == Some(p);
            Direction::Columns((0..self.store.columns.len()).filter(own).collect())
        };
        let theta = self.layout.theta[0].clone();
        (0..theta.start).map(of).chain((0..theta.len()).map(Direction::Chain)).collect()
    }

    /// All that one chunk of tiles contributes: gradients and rows of the Hessian in the parameters themselves.
    pub(super) fn series_part(&self, slots: Slots<'_>, job: &Job<'_>, steps: &Steps) -> Result<Part, Reject> {
        vectorized(
            #[inline(always)]
            || self.series_part_rows(slots, job, steps),
        )
    }

    #[inline(always)]
    fn series_part_rows(&self, slots: Slots<'_>, job: &Job<'_>, steps: &Steps) -> Result<Part, Reject> {
        let Some(effects) = &self.series else { return Err(Reject::NoMode) };
        let (q, p, tiles) = (effects.q, self.layout.total, &self.tiles[slots.tiles.clone()]);
        let (directions, rows) = (self.series_directions(), job.hessian_rows(p));
        let mut series = Series::new(Work::new(&self.store, job, &tiles[0]), steps, effects, &self.places.times);
        let (mut search, mut point) = (Search::of_chain(q), Point::new(q, self.store.spans.len(), p));
        let (mut sums, mut kept) = (vec![Sums::new(p, 0); 1 + rows], Vec::new());
        for (t, tile) in tiles.iter().enumerate() {
            let u = &mut slots.u[t * q..(t + 1) * q];
            series.open(tile);
            series.find_modes(q, u, job.near, &mut search)?;
            series.differentiate(u, &directions, &mut point)?;
            let copies = lane_copies(tile.groups, |lane| self.copies_of(tile.group + lane));
            sums.iter_mut().zip(&point.sums).for_each(|(sum, own)| sum.add(0, copies, own));
            if !slots.du.is_empty() {
                let du = slots.du[t * q * p..(t + 1) * q * p].chunks_exact_mut(q);
                du.enumerate().for_each(|(j, du)| du.copy_from_slice(point.mode_tangent(j)));
            }
            point.keep(steps, &mut slots.inverse[t * 2 * q..(t + 1) * 2 * q]);
            if job.each {
                kept.push(std::mem::replace(&mut sums, vec![Sums::new(p, 0); 1 + rows]));
            }
        }
        Ok(Part { sums, tiles: kept, evaluated: series.work.evaluated })
    }

    /// Modes b and their covariance, from u, and from V and r / d as [`Point::keep`] left them:
    /// cov(s_t, s_v) = V_v r_t / d_t ... r_(v+1) / d_(v+1).
    pub(super) fn series_posterior(&self, steps: &Steps, t: usize, lane: usize, b: &mut [f64], covariance: &mut [f64]) {
        let (q, mut s) = (b.len(), 0.0);
        let kept = &self.inverse[t * 2 * q..(t + 1) * 2 * q];
        for i in 0..q {
            s = steps.at[i].r * s + steps.at[i].f * self.u[t * q + i].0[lane];
            b[i] = steps.at[i].c * s;
            let mut shared = kept[i].0[lane] * steps.at[i].c;
            for j in i..q {
                shared *= if j > i { kept[q + j].0[lane] } else { 1.0 };
                covariance[i * q + j] = shared * steps.at[j].c;
                covariance[j * q + i] = covariance[i * q + j];
            }
        }
    }
}

impl Point {
    /// V and r / d, from which all covariances follow.
    fn keep(&self, steps: &Steps, out: &mut [Lanes]) {
        let (v, carried) = out.split_at_mut(steps.at.len());
        v.copy_from_slice(&self.v);
        for (t, x) in steps.at.iter().enumerate() {
            carried[t] = self.inverse[t] * x.r;
        }
    }
}
