//! The same problem with some of its groups, whose rows stay where they are.

use super::tiles::Tile;
use super::{Block, Ground};
use crate::shuffle;

impl Block {
    /// Some tiles with about so many groups: their numbers, and the problem that they make. Its effects start at zero.
    pub fn sample(&self, groups: usize) -> (Vec<u32>, Block) {
        let count = self.tiles.len();
        let some = (count * groups).div_ceil(self.groups().max(1)).min(count);
        let chosen = shuffle::sample(count, some);
        let tiles: Vec<Tile> = chosen.iter().map(|&t| self.tiles[t as usize].clone()).collect();
        let ground = Ground {
            shape: self.shape.clone(),
            layout: self.layout.clone(),
            places: self.places.clone(),
            store: self.store.clone(),
            series: self.series.clone(),
            levels: self.levels,
            copies: self.copies.clone(),
        };
        let rows = tiles.iter().map(|t| t.rows).sum::<usize>();
        let constant = self.log_constant * (rows as f64 / self.rows as f64);
        let mut sample = Block::of_tiles(ground, tiles, constant);
        sample.control = self.control.clone();
        (chosen, sample)
    }

    /// Takes the modes over that were found for some of the tiles.
    pub fn adopt(&mut self, chosen: &[u32], sample: &Block) {
        let q = self.q();
        for (&t, u) in chosen.iter().zip(sample.u.chunks_exact(q.max(1))) {
            self.u[t as usize * q..][..q].copy_from_slice(u);
        }
    }

    /// Moves to `psi`, near the last place accepted, without an evaluation: the modes by their tangents. What is left of
    /// that evaluation are the covariances. False where no tangents are kept.
    pub fn glide(&mut self, psi: &[f64]) -> bool {
        let known = self.grids.is_empty() && self.predict_modes(psi);
        if known {
            self.u.copy_from_slice(&self.trial);
            self.tangents = None;
            self.last = psi.to_vec();
        }
        known
    }
}
