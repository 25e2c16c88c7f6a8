//! Toeplitz and m-dependent: one correlation for each lag up to some number, zero beyond.

use super::{Cluster, Moments, Room, Weighted, Working};

pub struct Lagged {
    pub lags: usize,
}

impl Working for Lagged {
    fn parameters(&self) -> usize {
        self.lags
    }

    fn whiten(&self, alpha: &[f64], cluster: Cluster<'_>, rows: &mut [f64], width: usize, room: &mut Room) -> bool {
        let entry = |i: usize, j: usize| {
            let lag = cluster.place[i].abs_diff(cluster.place[j]) as usize;
            alpha.get(lag.wrapping_sub(1)).copied().unwrap_or(0.0)
        };
        room.whiten(cluster.n, Some(cluster.place), entry, rows, width)
    }

    fn moments(&self, _: &[f64], cluster: Cluster<'_>, given: Weighted<'_>, into: &mut Moments) {
        for i in 0..cluster.n {
            for j in (0..i).rev() {
                let lag = cluster.place[i].abs_diff(cluster.place[j]) as usize;
                if lag > self.lags {
                    break;
                }
                given.pair(i, j, lag - 1, into);
            }
        }
    }
}
