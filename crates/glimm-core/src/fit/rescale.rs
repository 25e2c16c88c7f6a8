//! Columns in standard units: centred, of unit mean square, and which of them add something.

use std::sync::Arc;

use crate::design::Column;
use crate::linalg::sums;

/// Squared length, relative to the column's own, below which what a column adds to the earlier ones is rounding.
const COLLINEAR: f64 = 1e-11;

/// One column's place in the fit.
#[derive(Clone)]
pub struct Scaling {
    pub center: f64,
    pub scale: f64,
    pub range: f64,
}

impl Scaling {
    /// A column as it is.
    pub fn none() -> Scaling {
        Scaling { center: 0.0, scale: 1.0, range: 1.0 }
    }
}

/// Centres (if there is an intercept to take it up) and scales a column to unit mean square.
fn rescale(column: &mut Column, center: bool) -> Scaling {
    let Column::Values(v) = column else {
        return Scaling { center: 0.0, scale: 1.0, range: if center { 0.0 } else { 1.0 } };
    };
    let (n, (low, high)) = (v.len() as f64, sums::ends(v));
    let range = if center { high - low } else { high.max(0.0) - low.min(0.0) };
    let center = if center && range > 0.0 { low + sums::of(v, |x| x - low) / n } else { 0.0 };
    let largest = (high - center).max(center - low);
    if range == 0.0 || largest == 0.0 {
        return Scaling { center: 0.0, scale: 1.0, range };
    }
    let scale = largest * (sums::of(v, |x| ((x - center) / largest).powi(2)) / n).sqrt();
    match Arc::get_mut(v) {
        Some(v) => v.iter_mut().for_each(|x| *x = (*x - center) / scale),
        None => *v = Arc::new(v.iter().map(|x| (x - center) / scale).collect()),
    }
    Scaling { center, scale, range }
}

/// What became of columns that have several places, by where they were in memory. Only columns as they were given are
/// looked for, all of which were there from the start: none of them can take the place of another that is gone.
#[derive(Default)]
pub struct Rescaled(Vec<(*const Vec<f64>, bool, Column, Scaling)>);

impl Rescaled {
    /// [`rescale`], once for all places of a column.
    pub fn rescale(&mut self, column: &mut Column, center: bool) -> Scaling {
        let Column::Values(v) = &*column else { return rescale(column, center) };
        let (place, again) = (Arc::as_ptr(v), Arc::strong_count(v) > 1);
        if let Some(known) = self.0.iter().find(|known| (known.0, known.1) == (place, center)) {
            *column = known.2.clone();
            return known.3.clone();
        }
        let scaling = rescale(column, center);
        if again {
            self.0.push((place, center, column.clone(), scaling.clone()));
        }
        scaling
    }
}

/// Which columns are not linear combinations of earlier ones: Cholesky of X'X without pivoting.
pub fn independent_columns(columns: &[(&Column, &Scaling)], n: usize) -> Vec<bool> {
    let p = columns.len();
    let mut gram = vec![0.0; p * p];
    for i in 0..p {
        for j in 0..=i {
            gram[i * p + j] = product(columns[i], columns[j], n);
        }
    }
    let mut keep = vec![false; p];
    for i in 0..p {
        let own = gram[i * p + i];
        for j in (0..i).filter(|&j| keep[j]) {
            let below: f64 = (0..j).filter(|&k| keep[k]).map(|k| gram[i * p + k] * gram[j * p + k]).sum();
            gram[i * p + j] = (gram[i * p + j] - below) / gram[j * p + j];
        }
        let left = own - (0..i).filter(|&j| keep[j]).map(|j| gram[i * p + j].powi(2)).sum::<f64>();
        keep[i] = own > 0.0 && left > COLLINEAR * own;
        gram[i * p + i] = left.max(0.0).sqrt();
    }
    keep
}

/// x'z of columns that went through [`rescale`]: centred ones add up to nothing.
fn product((x, own): (&Column, &Scaling), (z, other): (&Column, &Scaling), n: usize) -> f64 {
    match (x, z) {
        (Column::One, Column::One) => n as f64,
        (Column::Values(x), Column::Values(z)) => crate::objective::dot(x, z),
        (Column::Values(_), _) if own.center != 0.0 => 0.0,
        (_, Column::Values(_)) if other.center != 0.0 => 0.0,
        (Column::Values(v), _) | (_, Column::Values(v)) => sums::total(v),
    }
}
