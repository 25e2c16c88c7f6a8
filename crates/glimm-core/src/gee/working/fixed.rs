//! A given correlation matrix of all positions.

use super::{Cluster, Moments, Room, Weighted, Working};

pub struct Fixed {
    pub matrix: Vec<f64>,
    pub places: usize,
}

impl Working for Fixed {
    fn whiten(&self, _: &[f64], cluster: Cluster<'_>, rows: &mut [f64], width: usize, room: &mut Room) -> bool {
        let entry =
            |i: usize, j: usize| self.matrix[cluster.place[i] as usize * self.places + cluster.place[j] as usize];
        room.whiten(cluster.n, Some(cluster.place), entry, rows, width)
    }

    fn moments(&self, _: &[f64], _: Cluster<'_>, _: Weighted<'_>, _: &mut Moments) {}
}
