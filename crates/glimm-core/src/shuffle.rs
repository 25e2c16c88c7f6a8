//! Samples without replacement, the same every time: they choose routes, never results.

use rand::SeedableRng;
use rand::seq::index;

use crate::family::Random;

/// `k` of `0..n`, in increasing order.
pub fn sample(n: usize, k: usize) -> Vec<u32> {
    let mut chosen = index::sample(&mut Random::seed_from_u64(0), n, k).into_vec();
    chosen.sort_unstable();
    chosen.into_iter().map(|i| i as u32).collect()
}
