//! Standard units: the optimiser works with centred and scaled columns, and results are mapped back.
//!
//! Newton's method does not care about units but its arithmetic does: a year column without centring
//! costs half of the digits of X'WX. The map back is linear, psi = J psi_standard + shift.

use std::sync::Arc;

use super::rescale::{Rescaled, Scaling, independent_columns};
use crate::design::{Column, Data, Layout, Term};
use crate::linalg::dense;
use crate::precision::Precision;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aliased {
    /// The column is constant and an earlier one is too, or it is all zero.
    Constant,
    /// The column is a linear combination of earlier ones.
    Collinear,
}

pub struct Standard {
    /// Columns of each predictor that are kept, and (predictor, column) of those dropped with the reason.
    pub kept: Vec<Vec<usize>>,
    pub dropped: Vec<([usize; 2], Aliased)>,
    /// J (row by row) and the shift.
    jacobian: Vec<f64>,
    shift: Vec<f64>,
    y_center: f64,
    y_scale: f64,
    /// Of a family made of several what each row's response is divided by besides; empty: one.
    row_scale: Vec<f64>,
    /// Range of each kept column of predictor 0 in standard units.
    pub ranges: Vec<f64>,
    /// Position of the intercept among the kept columns of predictor 1.
    pub dispersion_intercept: Option<usize>,
    /// Per term the lower-triangular M with b_user = M b_standard, row by row.
    pub effect_maps: Vec<Vec<f64>>,
}

/// The columns of one predictor that are kept, in standard units.
struct Kept {
    scalings: Vec<Scaling>,
    /// The kept column that takes up shifts.
    intercept: Option<usize>,
}

impl Standard {
    /// Standardises `data` in place; columns that add nothing are removed. Effects of terms `as_they_are`
    /// have the units of the response alone.
    pub fn new(data: &mut Data, as_they_are: &[bool]) -> Standard {
        let row_scale = standardise_rows(data);
        let (mut kept, mut dropped, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        let mut done = Rescaled::default();
        for k in 0..data.predictors.len() {
            // Thresholds of ordered classes are told apart by the responses and stay as they are.
            if data.family.ordered() && k > 0 {
                let count = data.predictors[k].columns.len();
                kept.push((0..count).collect());
                parts.push(Kept { scalings: vec![Scaling::none(); count], intercept: None });
                continue;
            }
            let (columns, part) = standardise_columns(data, k, &mut done, &mut dropped);
            kept.push(columns);
            parts.push(part);
        }
        let (y_center, y_scale) = standardise_response(data, parts[0].intercept.is_some());
        if data.family.affine() && parts[1].intercept.is_none() {
            let (n, shift) = (data.n(), y_scale.ln());
            let offset = data.predictors[1].offset.get_or_insert_with(|| vec![0.0; n]);
            offset.iter_mut().for_each(|o| *o -= shift);
        }
        let given: Vec<_> = data.terms.iter().map(|t| t.prior.clone()).collect();
        let effect_maps: Vec<Vec<f64>> = data
            .terms
            .iter_mut()
            .zip(as_they_are)
            .map(|(t, keep)| standardise_effects(t, y_scale, *keep, &mut done))
            .collect();
        let layout = data.layout();
        let units = data.terms.iter().zip(&given).map(|(t, given)| prior_unit(t, given.as_deref()));
        let factor_maps: Vec<Vec<f64>> = effect_maps.iter().zip(units).map(|(m, c)| scaled(m, c)).collect();
        let (jacobian, shift) = linear_map(data, &layout, &parts, (y_center, y_scale), &factor_maps);
        let ranges = parts[0].scalings.iter().map(|s| s.range / s.scale.abs()).collect();
        let dispersion_intercept = parts.get(1).and_then(|p| p.intercept);
        Standard {
            kept,
            dropped,
            jacobian,
            shift,
            y_center,
            y_scale,
            row_scale,
            ranges,
            dispersion_intercept,
            effect_maps,
        }
    }

    /// Responses `y` of all rows in standard units.
    pub fn responses(&self, y: &[f64], out: &mut [f64]) {
        if self.row_scale.is_empty() && self.y_center == 0.0 && self.y_scale == 1.0 {
            return out.copy_from_slice(y);
        }
        let by_row = |i: usize| self.row_scale.get(i).copied().unwrap_or(1.0);
        out.iter_mut().zip(y).enumerate().for_each(|(i, (out, y))| {
            *out = (y - self.y_center) / self.y_scale / by_row(i);
        });
    }

    /// What the log-likelihood loses by the change of units of the response.
    pub fn log_scale(&self, data: &Data) -> f64 {
        let of_rows = self.row_scale.iter().enumerate();
        let of_rows: f64 = of_rows.map(|(i, s)| data.freq_at(i) * data.copies_at(i) * s.ln()).sum();
        data.weight() * self.y_scale.ln() + of_rows
    }

    /// User's units of parameter `j` in one standard unit.
    pub fn unit(&self, j: usize) -> f64 {
        self.jacobian[j * self.shift.len() + j].abs()
    }

    pub fn to_user(&self, psi: &[f64]) -> Vec<f64> {
        let p = psi.len();
        (0..p).map(|i| self.shift[i] + (0..p).map(|j| self.jacobian[i * p + j] * psi[j]).sum::<f64>()).collect()
    }

    /// The user's parameter `j` as a function of the standard ones: a row of J and a shift.
    pub fn row(&self, j: usize) -> (Vec<f64>, f64) {
        let p = self.shift.len();
        (self.jacobian[j * p..(j + 1) * p].to_vec(), self.shift[j])
    }

    /// A gradient in standard parameters from one in the user's: J'g.
    pub fn pull(&self, g: &[f64]) -> Vec<f64> {
        let p = g.len();
        (0..p).map(|j| (0..p).map(|i| self.jacobian[i * p + j] * g[i]).sum()).collect()
    }

    /// Second derivatives likewise: J'H J.
    pub fn pull_both(&self, h: &[f64]) -> Vec<f64> {
        let p = self.shift.len();
        let rows: Vec<f64> = h.chunks_exact(p).flat_map(|row| self.pull(row)).collect();
        let column = |j: usize| self.pull(&(0..p).map(|i| rows[i * p + j]).collect::<Vec<f64>>());
        (0..p).flat_map(column).collect()
    }

    /// J d.
    pub fn direction_to_user(&self, d: &[f64]) -> Vec<f64> {
        let p = d.len();
        (0..p).map(|i| (0..p).map(|j| self.jacobian[i * p + j] * d[j]).sum()).collect()
    }

    /// J V J'.
    pub fn covariance_to_user(&self, v: &[f64]) -> Vec<f64> {
        let p = self.shift.len();
        let j = &self.jacobian;
        let jv: Vec<f64> = (0..p * p).map(|i| (0..p).map(|k| j[i / p * p + k] * v[k * p + i % p]).sum()).collect();
        (0..p * p).map(|i| (0..p).map(|k| jv[i / p * p + k] * j[i % p * p + k]).sum()).collect()
    }

    /// The standard parameters of the user's: J^-1 (psi - shift).
    pub fn to_standard(&self, psi: &[f64]) -> Vec<f64> {
        let moved: Vec<f64> = psi.iter().zip(&self.shift).map(|(psi, shift)| psi - shift).collect();
        dense::solve(&self.jacobian, false, &moved)
    }

    /// A gradient in the user's parameters from one in standard parameters: J^-T g.
    pub fn gradient_to_user(&self, g: &[f64]) -> Vec<f64> {
        dense::solve(&self.jacobian, true, g)
    }

    /// Second derivatives likewise: J^-T H J^-1.
    pub fn hessian_to_user(&self, h: &[f64]) -> Vec<f64> {
        let p = self.shift.len();
        let rows: Vec<f64> = h.chunks_exact(p).flat_map(|row| self.gradient_to_user(row)).collect();
        let column = |j: usize| self.gradient_to_user(&(0..p).map(|i| rows[i * p + j]).collect::<Vec<f64>>());
        (0..p).flat_map(column).collect()
    }
}

/// Standardises the columns of predictor `k` and removes those that add nothing.
fn standardise_columns(
    data: &mut Data,
    k: usize,
    done: &mut Rescaled,
    dropped: &mut Vec<([usize; 2], Aliased)>,
) -> (Vec<usize>, Kept) {
    let columns = std::mem::take(&mut data.predictors[k].columns);
    let intercept = columns.iter().position(|c| constant(c).is_some_and(|v| v != 0.0));
    let (mut kept, mut scalings, mut candidates) = (Vec::new(), Vec::new(), Vec::new());
    for (j, mut column) in columns.into_iter().enumerate() {
        let scaling = if Some(j) == intercept {
            let value = constant(&column).unwrap_or(1.0);
            column = Column::One;
            Scaling { center: 0.0, scale: value, range: value.abs() }
        } else {
            done.rescale(&mut column, intercept.is_some())
        };
        candidates.push((j, column, scaling));
    }
    let independent = independent_columns(&candidates.iter().map(|c| (&c.1, &c.2)).collect::<Vec<_>>(), data.n());
    for ((j, column, scaling), keep) in candidates.into_iter().zip(independent) {
        if keep {
            kept.push(j);
            scalings.push(scaling);
            data.predictors[k].columns.push(column);
        } else {
            let flat = scaling.range == 0.0 || matches!(column, Column::One);
            dropped.push(([k, j], if flat { Aliased::Constant } else { Aliased::Collinear }));
        }
    }
    let intercept = intercept.and_then(|j| kept.iter().position(|&k| k == j));
    (kept, Kept { scalings, intercept })
}

/// The common value of a constant column.
fn constant(column: &Column) -> Option<f64> {
    match column {
        Column::One => Some(1.0),
        Column::Values(v) => v.iter().all(|x| *x == v[0]).then(|| v[0]),
    }
}

/// Of a family made of several, rows of one that allows it are divided by the spread of its responses: coefficients
/// stay what they are, as their columns are divided too.
fn standardise_rows(data: &mut Data) -> Vec<f64> {
    let mut scales = Vec::new();
    if data.family.member(0.0).is_some() {
        scales.resize(data.n(), 1.0);
        for (_, rows) in data.families().into_iter().filter(|(family, _)| family.affine()) {
            let scale = spread(&data.y, &rows);
            rows.into_iter().for_each(|i| scales[i] = scale);
        }
    }
    if scales.iter().all(|s| *s == 1.0) {
        return Vec::new();
    }
    let divide = |v: &mut [f64]| v.iter_mut().zip(&scales).for_each(|(v, s)| *v /= s);
    let divide_column = |column: &mut Column| {
        let mut values: Vec<f64> = (0..scales.len()).map(|i| column.at(i)).collect();
        divide(&mut values);
        *column = Column::of(values);
    };
    divide(&mut data.y);
    data.predictors[0].columns.iter_mut().for_each(divide_column);
    data.predictors[0].offset.iter_mut().for_each(|o| divide(o));
    for term in &mut data.terms {
        let also = term.also.iter_mut().map(|m| &mut m.columns);
        for columns in std::iter::once(&mut term.columns).chain(also) {
            columns.iter_mut().zip(&term.predictors).filter(|(_, k)| **k == 0).for_each(|(c, _)| divide_column(c));
        }
    }
    let offset = data.predictors[1].offset.get_or_insert_with(|| vec![0.0; scales.len()]);
    offset.iter_mut().zip(&scales).for_each(|(o, s)| *o -= s.ln());
    scales
}

/// Root mean square deviation of some values from their mean; one where they do not vary.
fn spread(y: &[f64], rows: &[usize]) -> f64 {
    let (first, n) = (y[rows[0]], rows.len() as f64);
    let center = first + rows.iter().map(|&i| y[i] - first).sum::<f64>() / n;
    let largest = rows.iter().fold(0.0_f64, |m, &i| m.max((y[i] - center).abs()));
    if largest == 0.0 {
        return 1.0;
    }
    largest * (rows.iter().map(|&i| ((y[i] - center) / largest).powi(2)).sum::<f64>() / n).sqrt()
}

/// Families that allow it are fitted to (y - center) / scale.
fn standardise_response(data: &mut Data, has_intercept: bool) -> (f64, f64) {
    if !data.family.affine() {
        return (0.0, 1.0);
    }
    let n = data.n() as f64;
    let center = if has_intercept { data.y[0] + data.y.iter().map(|y| y - data.y[0]).sum::<f64>() / n } else { 0.0 };
    let largest = data.y.iter().fold(0.0_f64, |m, y| m.max((y - center).abs()));
    let scale = largest * (data.y.iter().map(|y| ((y - center) / largest).powi(2)).sum::<f64>() / n).sqrt();
    data.y.iter_mut().for_each(|y| *y = (*y - center) / scale);
    if let Some(offset) = &mut data.predictors[0].offset {
        offset.iter_mut().for_each(|o| *o /= scale);
    }
    (center, scale)
}

/// Scales the columns of a term to unit mean square; centres them where the structure allows a later
/// effect, an intercept of the same predictor, to take up the shift. Returns M with b_user = M b_standard.
/// Rows of several levels keep their weights. A known relation gets variances near one.
fn standardise_effects(term: &mut Term, y_scale: f64, keep: bool, done: &mut Rescaled) -> Vec<f64> {
    if let Some(prior) = &term.prior {
        let unit = prior.unit();
        term.prior = (unit != 1.0).then(|| Arc::new(prior.scaled(unit))).or_else(|| term.prior.clone());
    }
    let q = term.effects();
    let mut m = vec![0.0; q * q];
    for j in 0..q {
        let y_scale = if term.predictors[j] == 0 { y_scale } else { 1.0 };
        let later_one = |&i: &usize| matches!(term.columns[i], Column::One) && term.predictors[i] == term.predictors[j];
        let takes_up = (j + 1..q).find(later_one).filter(|_| term.structure.mixes() && !keep);
        let column = &mut term.columns[j];
        let scaling = match column {
            Column::Values(_) if term.structure.own_units() && !keep && term.also.is_empty() => {
                done.rescale(column, takes_up.is_some())
            }
            _ => Scaling { center: 0.0, scale: 1.0, range: 0.0 },
        };
        m[j * q + j] = y_scale / scaling.scale;
        if let Some(i) = takes_up {
            m[i * q + j] = -y_scale * scaling.center / scaling.scale;
        }
    }
    m
}

/// Lambda for the precision given, where it is one for that in standard units.
fn prior_unit(term: &Term, given: Option<&Precision>) -> f64 {
    match (&term.prior, given) {
        (Some(now), Some(before)) => (before.scale() / now.scale()).sqrt(),
        _ => 1.0,
    }
}

fn scaled(m: &[f64], c: f64) -> Vec<f64> {
    m.iter().map(|m| c * m).collect()
}

fn linear_map(
    data: &Data,
    layout: &Layout,
    parts: &[Kept],
    (y_center, y_scale): (f64, f64),
    factor_maps: &[Vec<f64>],
) -> (Vec<f64>, Vec<f64>) {
    let p = layout.total;
    let (mut jacobian, mut shift) = (vec![0.0; p * p], vec![0.0; p]);
    for (k, (part, range)) in parts.iter().zip(&layout.beta).enumerate() {
        // Only the mean has the response's units.
        let unit = if k == 0 { y_scale } else { 1.0 };
        for (j, s) in range.clone().zip(&part.scalings) {
            jacobian[j * p + j] = unit / s.scale;
            if let Some(i) = part.intercept.map(|i| range.start + i).filter(|&i| i != j) {
                jacobian[i * p + j] = -unit * s.center / s.scale / part.scalings[i - range.start].scale;
            }
        }
        let moved = [y_center, y_scale.ln()].get(k).copied().filter(|_| data.family.affine());
        if let (Some(i), Some(moved)) = (part.intercept, moved) {
            shift[range.start + i] = moved / part.scalings[i].scale;
        }
    }
    for ((term, range), m) in data.terms.iter().zip(&layout.theta).zip(factor_maps) {
        for j in 0..range.len() {
            let mut unit = vec![0.0; range.len()];
            unit[j] = 1.0;
            term.structure.transform(&mut unit, m);
            range.clone().zip(unit).for_each(|(i, u)| jacobian[i * p + range.start + j] = u);
        }
    }
    (jacobian, shift)
}
