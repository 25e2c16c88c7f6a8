//! First and second derivatives of the row log densities in all linear predictors.

use rayon::prelude::*;

use crate::family::{Derivs, Family, Rows, Want};

const BLOCK: usize = 4096;

/// (rows x predictors, rows x predictors x predictors).
pub fn curvature(family: &dyn Family, y: &[f64], size: Option<&[f64]>, eta: &[&[f64]]) -> (Vec<f64>, Vec<f64>) {
    let (n, k) = (y.len(), eta.len());
    let want = Want { dims: k, order: 2, value: false };
    let starts: Vec<usize> = (0..n).step_by(BLOCK).collect();
    let block = |&from: &usize| {
        let rows = from..(from + BLOCK).min(n);
        let at: Vec<&[f64]> = eta.iter().map(|e| &e[rows.clone()]).collect();
        let mut out = Derivs::default();
        out.reshape(k, 2, rows.len());
        family.derivs(Rows { y: &y[rows.clone()], size: size.map(|s| &s[rows.clone()]) }, &at, want, &mut out);
        let (mut first, mut second) = (Vec::with_capacity(rows.len() * k), Vec::with_capacity(rows.len() * k * k));
        for i in 0..rows.len() {
            first.extend((0..k).map(|a| out.get(&[a])[i]));
            second.extend((0..k * k).map(|ab| out.get(&[(ab / k).min(ab % k), (ab / k).max(ab % k)])[i]));
        }
        (first, second)
    };
    let blocks: Vec<(Vec<f64>, Vec<f64>)> = starts.par_iter().map(block).collect();
    let (first, second): (Vec<_>, Vec<_>) = blocks.into_iter().unzip();
    (first.concat(), second.concat())
}
