//! Draws from a fitted model. Every block of rows has its own stream of the generator, so that draws
//! depend on the seed and the row alone.

use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use crate::family::{Family, Random};
use crate::linalg::dense;
use crate::precision::Precision;

/// Rows or levels that share a stream.
const BLOCK: usize = 4096;

fn stream(seed: u64, kind: u64, block: usize) -> Random {
    let mut rng = Random::seed_from_u64(seed);
    rng.set_stream((kind << 40) | block as u64);
    rng
}

/// One response per row at the given linear predictors; `replicate` numbers independent repetitions.
pub fn responses(family: &dyn Family, eta: &[&[f64]], size: Option<&[f64]>, seed: u64, replicate: u64) -> Vec<f64> {
    let n = eta[0].len();
    let block = |b: usize| {
        let mut rng = stream(seed, 2 * replicate, b);
        let mut at = vec![0.0; eta.len()];
        let rows = b * BLOCK..n.min((b + 1) * BLOCK);
        let one = |i: usize| {
            at.iter_mut().zip(eta).for_each(|(a, e)| *a = e[i]);
            family.draw(&mut rng, size.map_or(1.0, |s| s[i]), &at)
        };
        rows.map(one).collect::<Vec<f64>>()
    };
    (0..n.div_ceil(BLOCK)).into_par_iter().flat_map_iter(block).collect()
}

/// b = Lambda u for every level of term `term`, u ~ N(0, P^-1) with P = I where there is no prior: levels x q, row by
/// row.
pub fn effects(
    lambda: &[f64],
    q: usize,
    levels: usize,
    prior: Option<&Precision>,
    [term, seed, replicate]: [u64; 3],
) -> Vec<f64> {
    let (mut b, mut u) = (vec![0.0; levels * q], vec![0.0; levels * q]);
    for (block, u) in u.chunks_mut(BLOCK * q).enumerate() {
        let mut rng = stream(seed, 2 * replicate + 1, ((term as usize) << 24) + block);
        u.iter_mut().for_each(|u| *u = StandardNormal.sample(&mut rng));
    }
    if let Some(prior) = prior {
        prior.colour(&mut u, q);
    }
    b.chunks_exact_mut(q).zip(u.chunks_exact(q)).for_each(|(b, u)| dense::matvec(lambda, u, q, b));
    b
}
