//! Exchangeable within subclusters, and, less, between those of a cluster.

use super::exchangeable::{products, whiten_block};
use super::{Cluster, Moments, Room, Weighted, Working};

pub struct Nested;

/// Runs of rows of one subcluster.
fn runs(cluster: Cluster<'_>) -> impl Iterator<Item = std::ops::Range<usize>> {
    let mut start = 0;
    cluster.sub.chunk_by(|a, b| a == b).map(move |run| {
        start += run.len();
        start - run.len()..start
    })
}

impl Working for Nested {
    fn parameters(&self) -> usize {
        2
    }

    /// Blocks first, each by its closed form. Of what is left, I + b v v' with v constant in a block, the inverse root is
    /// I - (1 - 1 / sqrt(1 + b v'v)) v v' / v'v.
    fn whiten(&self, alpha: &[f64], cluster: Cluster<'_>, rows: &mut [f64], width: usize, room: &mut Room) -> bool {
        let (same, between) = (alpha[0], alpha[1]);
        let mut v = vec![0.0; cluster.n];
        let mut square = 0.0;
        for run in runs(cluster) {
            let n = run.len() as f64;
            let whole = 1.0 + (n - 1.0) * same - n * between;
            let block = &mut rows[run.start * width..run.end * width];
            if !whiten_block(1.0 - same, whole, block, width, &mut room.sums) {
                return false;
            }
            v[run].fill(1.0 / whole.sqrt());
            square += n / whole;
        }
        let rest = 1.0 + between * square;
        if rest <= 0.0 {
            return false;
        }
        let k = (1.0 - 1.0 / rest.sqrt()) / square;
        for column in 0..width {
            let sum: f64 = rows[column..].iter().step_by(width).zip(&v).map(|(r, v)| r * v).sum();
            rows[column..].iter_mut().step_by(width).zip(&v).for_each(|(r, v)| *r -= k * sum * v);
        }
        true
    }

    fn moments(&self, _: &[f64], cluster: Cluster<'_>, given: Weighted<'_>, into: &mut Moments) {
        let (mut inside, mut pairs) = (0.0, 0.0);
        for run in runs(cluster) {
            inside += products(&given.residual[run.clone()]);
            pairs += products(&given.root[run]);
        }
        let w = given.weight;
        into.add(0, w * inside, w * pairs);
        into.add(1, w * (products(given.residual) - inside), w * (products(given.root) - pairs));
    }
}
