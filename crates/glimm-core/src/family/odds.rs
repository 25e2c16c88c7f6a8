//! Yes/no responses with the logit link at many levels of their log odds.
//!
//! With odds o_i = exp(eta_i) and t = exp(s), every row that is moved by s has a factor that is linear in t or in 1/t:
//!
//! ```text
//! sum_i log f(y_i; eta_i + s) = -log prod_{y=0} (1 + o_i t) prod_{y=1} (1 + 1 / (o_i t))
//! ```
//!
//! so that a level costs two multiplications a row and one logarithm, not an exponential and a logarithm a row.

use crate::special::{exp, ln, vectorized};

/// Levels that are looked at together.
const LEVELS: usize = 16;
/// Largest logarithm of a product.
const LARGEST: f64 = 700.0;

/// Adds the sums for every shift to `out` and returns how many numbers were rounded; `None` where even a single factor
/// could overflow.
pub(super) fn add_products(y: &[f64], eta: &[f64], shifts: &[f64], out: &mut [f64]) -> Option<f64> {
    let largest = |v: &[f64]| v.iter().fold(0.0f64, |m, v| if v.abs() <= m { m } else { v.abs() });
    // ln(1 + exp(x)) < x + ln 2 for x > 0
    let one = largest(eta) + largest(shifts) + std::f64::consts::LN_2;
    if one.is_nan() || one > LARGEST {
        return None;
    }
    let rows = (LARGEST / one) as usize;
    let mut odds = vec![0.0; y.len()];
    vectorized(
        #[inline(always)]
        || {
            for i in 0..y.len() {
                odds[i] = exp(if y[i] == 0.0 { eta[i] } else { -eta[i] });
            }
            for (shifts, out) in shifts.chunks(LEVELS).zip(out.chunks_mut(LEVELS)) {
                let mut s = [0.0; LEVELS];
                s[..shifts.len()].copy_from_slice(shifts);
                let sums = block(y, &odds, rows, &s);
                out.iter_mut().zip(sums).for_each(|(o, s)| *o -= s);
            }
        },
    );
    Some(y.len() as f64)
}

/// Logarithms of the products at some levels, with so many rows under one logarithm.
#[inline(always)]
fn block(y: &[f64], odds: &[f64], rows: usize, shifts: &[f64; LEVELS]) -> [f64; LEVELS] {
    let mut t = [[0.0; LEVELS]; 2];
    for l in 0..LEVELS {
        t[0][l] = exp(shifts[l]);
        t[1][l] = exp(-shifts[l]);
    }
    let mut sums = [0.0; LEVELS];
    for (y, odds) in y.chunks(rows).zip(odds.chunks(rows)) {
        let mut product = [1.0; LEVELS];
        for i in 0..y.len() {
            let t = &t[usize::from(y[i] != 0.0)];
            for l in 0..LEVELS {
                product[l] *= odds[i].mul_add(t[l], 1.0);
            }
        }
        for l in 0..LEVELS {
            sums[l] += ln(product[l]);
        }
    }
    sums
}
