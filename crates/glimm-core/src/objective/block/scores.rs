//! What each group adds to the derivatives: the sums of its lane, before they are summed.

use std::sync::Arc;

use super::lanes::Lanes;
use super::laplace::Sums;
use super::{Block, Job, tiles};
use crate::objective::{Evaluation, Order, Reject};

impl Block {
    /// Value, gradient and Hessian of each group's log-likelihood at `psi`, without the terms that depend on the
    /// responses alone; with the rows of the group. Groups stand in the order of [`Self::subset`]. Nodes are those
    /// chosen before.
    pub fn contributions(
        &mut self,
        psi: &[f64],
        order: Order,
        tolerance: f64,
    ) -> Result<Vec<(Vec<u32>, Evaluation)>, Reject> {
        let job = Job { each: true, ..self.job(psi, order, tolerance) };
        let mut trial = vec![Lanes::ZERO; self.trial.len()];
        let mut inverse = vec![Lanes::ZERO; self.inverse.len()];
        let parts = self.parts([&mut trial, &mut inverse, &mut []], &job)?;
        let chain = self.chain(psi);
        let mut found = Vec::with_capacity(self.groups());
        let tiles = parts.iter().flat_map(|part| &part.tiles);
        for (tile, sums) in self.tiles.iter().zip(tiles) {
            for lane in 0..tile.groups {
                let of_lane = |x: Lanes| if tile.wide { x.sum() } else { x.0[lane] };
                let over = |j: usize, of: &dyn Fn(&Sums) -> Lanes| of_lane(of(&sums[j]));
                let evaluation = self.derivatives(chain.as_ref(), sums.len(), order, &over);
                let places = self.places.places_of(&[tile.group + lane]).0;
                found.push((self.places.rows_at(&places), evaluation));
            }
        }
        let finite = found.iter().all(|(_, e)| e.is_finite());
        if finite { Ok(found) } else { Err(Reject::NoMode) }
    }

    /// The same rows, each a group of its own, where there are no random effects.
    pub fn by_rows(&self) -> Block {
        let groups: Vec<usize> = (0..self.groups()).collect();
        let places = self.places.places_of(&groups).0;
        let rows = self.places.rows_at(&places);
        let mut data = self.store.gather(&places, Vec::new(), 0, &self.shape);
        let code: Vec<u32> = (0..rows.len() as u32).collect();
        let mut layout = tiles::Layout::by_code(&code, rows.len());
        let mut block = Block::at(&mut data, std::mem::take(&mut layout), None);
        Arc::make_mut(&mut block.places).rename(&rows);
        block
    }
}
