//! Quantile residuals: where each response falls in its distribution, at given linear predictors.
//!
//!   F(y-) < u < F(y), uniformly drawn where the distribution has an atom at y      z = Phi^-1(u)
//!
//! (Dunn and Smyth 1996, J. Comput. Graph. Stat. 5, 236-244.) Uniform under the model, exactly.

use rand::{RngExt, SeedableRng};
use rayon::prelude::*;

use crate::family::{Family, Random};
use crate::special::normal_quantile;

/// Rows that share a stream of the generator.
const BLOCK: usize = 4096;
/// Keeps these streams apart from those of simulated responses of the same seed.
const SALT: u64 = 0x2545_F491_4F6C_DD1D;
/// The smallest residual: both tails have normal scores.
const SMALLEST: f64 = 1e-300;

/// (u, z) of each row. For ordered classes eta and then all thresholds.
pub fn quantile(
    family: &dyn Family,
    y: &[f64],
    size: Option<&[f64]>,
    eta: &[&[f64]],
    seed: u64,
    replicate: u64,
) -> (Vec<f64>, Vec<f64>) {
    let block = |b: usize| {
        let mut rng = Random::seed_from_u64(seed ^ SALT);
        rng.set_stream((replicate << 40) | b as u64);
        let mut at = vec![0.0; eta.len()];
        let rows = b * BLOCK..y.len().min((b + 1) * BLOCK);
        let one = |i: usize| {
            at.iter_mut().zip(eta).for_each(|(a, e)| *a = e[i]);
            row(family, y[i], size.map_or(1.0, |s| s[i]), &at, rng.random())
        };
        rows.map(one).collect::<Vec<(f64, f64)>>()
    };
    (0..y.len().div_ceil(BLOCK)).into_par_iter().flat_map_iter(block).unzip()
}

fn row(family: &dyn Family, y: f64, size: f64, eta: &[f64], draw: f64) -> (f64, f64) {
    let own = eta.last().and_then(|&code| family.member(code)).unwrap_or(family);
    let whole = own.check(0.5, 2.0).is_err() && own.check(1.0, 2.0).is_ok();
    let before = if whole { y - 1.0 } else { y.next_down() };
    let ((low, above), (high, beyond)) = (family.cdf(before, size, eta), family.cdf(y, size, eta));
    let lower = draw.mul_add(high - low, low);
    let upper = (1.0 - draw).mul_add(above - beyond, beyond);
    if lower.is_nan() || upper.is_nan() {
        return (f64::NAN, f64::NAN);
    }
    if lower < upper {
        let lower = lower.max(SMALLEST);
        (lower, normal_quantile(lower))
    } else {
        let upper = upper.max(SMALLEST);
        ((1.0 - upper).min(1.0 - 0.5 * f64::EPSILON), -normal_quantile(upper))
    }
}
