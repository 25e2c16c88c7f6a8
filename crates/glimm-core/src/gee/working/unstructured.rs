//! A correlation for every pair of positions.

use super::{Cluster, Moments, Room, Weighted, Working};

pub struct Unstructured {
    pub places: usize,
}

/// Where the pair (i, j), j < i, stands: (1,0), (2,0), (2,1), (3,0) ...
pub(super) fn at(i: u32, j: u32) -> usize {
    let (i, j) = (i.max(j) as usize, i.min(j) as usize);
    i * (i - 1) / 2 + j
}

impl Working for Unstructured {
    fn parameters(&self) -> usize {
        self.places * (self.places - 1) / 2
    }

    fn whiten(&self, alpha: &[f64], cluster: Cluster<'_>, rows: &mut [f64], width: usize, room: &mut Room) -> bool {
        let entry = |i: usize, j: usize| alpha[at(cluster.place[i], cluster.place[j])];
        room.whiten(cluster.n, Some(cluster.place), entry, rows, width)
    }

    fn moments(&self, _: &[f64], cluster: Cluster<'_>, given: Weighted<'_>, into: &mut Moments) {
        for i in 0..cluster.n {
            for j in 0..i {
                given.pair(i, j, at(cluster.place[i], cluster.place[j]), into);
            }
        }
    }
}
