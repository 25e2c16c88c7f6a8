//! Loops over the rows of one tile of series. Every slot stands for one time, so that sums by time need no search.

use super::filter;
use super::steps::Steps;
use super::{Effects, Series};
use crate::objective::block::Job;
use crate::objective::block::lanes::{LANES, Lanes};
use crate::objective::block::modes::{Inner, Search};
use crate::objective::block::moments::dot_lanes;
use crate::objective::block::tiles::Tile;
use crate::objective::block::work::Work;
use crate::special::vectorized;

impl<'a> Series<'a> {
    pub fn new(work: Work<'a>, steps: &'a Steps, effects: &'a Effects, times: &'a [u32]) -> Series<'a> {
        Series { work, steps, effects, times, powers: Default::default(), moves: Vec::new() }
    }

    pub fn job(&self) -> &'a Job<'a> {
        self.work.job
    }

    /// Begins a tile.
    pub fn open(&mut self, tile: &'a Tile) {
        self.work.open(tile);
        let z = &self.effects.z[tile.places()];
        self.powers = [1, 2, 3].map(|power| z.iter().map(|z| z.powi(power)).collect());
        self.moves.resize(z.len(), 0.0);
    }

    /// The times of the tile's slots.
    #[inline(always)]
    pub fn slots(&self) -> &'a [u32] {
        let tile = self.work.tile;
        &self.times[tile.first / LANES..][..tile.slots]
    }

    /// out_t += sum over the rows of time t of z^power row.
    #[inline(always)]
    pub fn sum(&self, power: usize, row: &[f64], out: &mut [Lanes]) {
        let z = self.powers[power - 1].as_chunks::<LANES>().0;
        for ((&t, z), row) in self.slots().iter().zip(z).zip(row.as_chunks::<LANES>().0) {
            out[t as usize] = Lanes(*z).fma(Lanes(*row), out[t as usize]);
        }
    }

    /// row = z^power x_t.
    #[inline(always)]
    pub fn spread(&self, power: usize, x: &[Lanes], row: &mut [f64]) {
        let z = self.powers[power - 1].as_chunks::<LANES>().0;
        for ((&t, z), row) in self.slots().iter().zip(z).zip(row.as_chunks_mut::<LANES>().0) {
            *row = (Lanes(*z) * x[t as usize]).0;
        }
    }

    /// out += w_a.
    #[inline(always)]
    pub fn add_column(&self, a: usize, out: &mut [f64]) {
        for strip in self.work.strips() {
            let w = self.work.column(a, &strip);
            out[strip].iter_mut().zip(w).for_each(|(out, w)| *out += w);
        }
    }

    /// sum over rows of w_a row.
    #[inline(always)]
    pub fn dot_column(&self, a: usize, row: &[f64]) -> Lanes {
        let mut sum = Lanes::ZERO;
        for strip in self.work.strips() {
            sum += dot_lanes(self.work.column(a, &strip), &row[strip.clone()]);
        }
        sum
    }

    /// S = -Z'F''Z, by time.
    #[inline(always)]
    fn curvature(&mut self, bent: bool, s: &mut [Lanes]) {
        s.fill(Lanes::ZERO);
        let mut moves = std::mem::take(&mut self.moves);
        for (m, f) in moves.iter_mut().zip(self.work.derivs.get(&[0, 0])) {
            *m = if bent { f.min(0.0) } else { *f };
        }
        self.sum(2, &moves, s);
        s.iter_mut().for_each(|s| *s = -*s);
        self.moves = moves;
    }

    #[inline(always)]
    fn reach_rows(&self, b: &[Lanes]) -> Lanes {
        let mut reach = Lanes::ZERO;
        for (&t, z) in self.slots().iter().zip(self.powers[0].as_chunks::<LANES>().0) {
            for l in 0..LANES {
                let size = (z[l] * b[t as usize].0[l]).abs();
                // NaN wins.
                reach.0[l] = if size <= reach.0[l] { reach.0[l] } else { size };
            }
        }
        reach
    }

    #[inline(always)]
    fn move_rows(&mut self, b: &[Lanes]) {
        let mut moves = std::mem::take(&mut self.moves);
        self.spread(1, b, &mut moves);
        self.work.eta[0].iter_mut().zip(&moves).for_each(|(eta, m)| *eta += m);
        self.moves = moves;
    }

    #[inline(always)]
    fn polish_rows(&mut self, b: &[Lanes]) {
        self.move_rows(b);
        for chain in &self.work.chains {
            self.work.derivs.shift(chain, 0..self.moves.len(), &self.moves);
        }
    }
}

impl<'a> Inner<'a> for Series<'a> {
    #[inline(always)]
    fn work(&mut self) -> &mut Work<'a> {
        &mut self.work
    }

    #[inline(always)]
    fn effects(&self, q: usize, u: &[Lanes], b: &mut [Lanes]) {
        filter::run(&self.steps.at, &u[..q], b);
        b.iter_mut().zip(&self.steps.at).for_each(|(b, x)| *b = *b * x.c);
    }

    fn predict(&mut self, _q: usize, b: &[Lanes]) {
        vectorized(
            #[inline(always)]
            || {
                self.work.eta[0].copy_from_slice(&self.work.fixed[0]);
                self.move_rows(b);
            },
        )
    }

    fn reach(&self, _q: usize, b: &[Lanes]) -> Lanes {
        vectorized(
            #[inline(always)]
            || self.reach_rows(b),
        )
    }

    fn polish(&mut self, _q: usize, b: &[Lanes]) {
        vectorized(
            #[inline(always)]
            || self.polish_rows(b),
        )
    }

    #[inline(always)]
    fn factorise(&mut self, q: usize, bent: bool, room: &mut Search) -> [bool; LANES] {
        room.score.fill(Lanes::ZERO);
        self.sum(1, self.work.derivs.get(&[0]), &mut room.score);
        self.curvature(bent, &mut room.s[..q]);
        let (j, inverse) = room.h.split_at_mut(q);
        filter::factorise(&self.steps.at, &room.s[..q], j, &mut inverse[..q])
    }

    #[inline(always)]
    fn direct(&self, q: usize, u: &[Lanes], room: &mut Search) {
        let at = &self.steps.at;
        filter::pull(at, &room.score, &mut room.gradient);
        for t in 0..q {
            room.gradient[t] = room.gradient[t] * at[t].f - u[t];
        }
        room.direction.copy_from_slice(&room.gradient);
        let (j, inverse) = room.h.split_at(q);
        filter::solve(at, [j, &inverse[..q]], &mut room.direction, &mut room.room[..q]);
    }
}
