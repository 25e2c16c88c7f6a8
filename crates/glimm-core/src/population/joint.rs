//! Expectations over a joint normal distribution of several linear predictors.
//!
//! The product trapezoidal rule on t, predictors = eta + root t; the step is halved until the result settles. Its
//! error falls like exp(-c / step), so that each halving squares it and the last change bounds it with room.

use rayon::prelude::*;

use crate::family::Family;
use crate::special::normal_pdf;

/// Change, relative to the result, at which halving ends.
const TOLERANCE: f64 = 1e-9;
const REACH: f64 = 8.5;
/// The top of exp(s t) times the normal density lies s away: as far as that windows follow it.
const SHIFT: f64 = 25.0;
const FIRST: f64 = 0.8;
const MOST_POINTS: usize = 1 << 18;
/// Step of five-point differences of the integrand.
const H: f64 = 2e-3;

/// Of what function of a family's predictors.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Expectation {
    Mean,
    SquaredMean,
    /// With one trial.
    Variance,
}

/// The expectations of some rows.
pub struct Joint {
    pub value: Vec<f64>,
    /// Rows x predictors.
    pub d_eta: Vec<f64>,
    /// Rows x predictors x directions.
    pub d_root: Vec<f64>,
    /// Stated error.
    pub error: Vec<f64>,
}

/// E f(eta + root t), t ~ N(0, I), of each row, with derivatives (zero without `slopes`). `eta`: rows x predictors; `root`: rows x predictors x directions.
pub fn joint(
    family: &dyn Family,
    what: Expectation,
    eta: &[f64],
    root: &[f64],
    [k, r]: [usize; 2],
    slopes: bool,
) -> Joint {
    let f = |eta: &[f64]| match what {
        Expectation::Mean => family.mean(eta),
        Expectation::SquaredMean => family.mean(eta).powi(2),
        Expectation::Variance => family.variance(eta, 1.0),
    };
    let n = eta.len() / k.max(1);
    let row = |i: usize| one(&f, &eta[i * k..(i + 1) * k], &root[i * k * r..(i + 1) * k * r], r, slopes);
    let rows: Vec<Vec<f64>> = (0..n).into_par_iter().with_min_len(64).map(row).collect();
    let all = |from: usize, to: usize| rows.iter().flat_map(|row| row[from..to].iter().copied()).collect();
    Joint { value: all(0, 1), error: all(1, 2), d_eta: all(2, 2 + k), d_root: all(2 + k, 2 + k + k * r) }
}

/// (value, error, derivatives in eta, in root).
fn one(f: &dyn Fn(&[f64]) -> f64, eta: &[f64], root: &[f64], r: usize, with_slopes: bool) -> Vec<f64> {
    let k = eta.len();
    let moving: Vec<usize> = (0..r).filter(|&j| (0..k).any(|l| root[l * r + j] != 0.0)).collect();
    let reach: Vec<f64> = moving.iter().map(|&j| REACH + size(root, r, j).min(SHIFT)).collect();
    let mut step = FIRST;
    let mut value = f64::NAN;
    let mut error = f64::INFINITY;
    loop {
        let finer = sum(&reach, step, &mut |t| vec![f(&at(eta, root, r, &moving, t))])[0];
        error = if value.is_nan() { error } else { (finer - value).abs() };
        value = finer;
        let next: f64 = reach.iter().map(|w| 4.0 * w / step + 1.0).product();
        if error <= TOLERANCE * value.abs() || next > MOST_POINTS as f64 || moving.is_empty() {
            break;
        }
        step *= 0.5;
    }
    let mut out = vec![0.0; 2 + k + k * r];
    (out[0], out[1]) = (value, if moving.is_empty() { 0.0 } else { error });
    if !with_slopes {
        return out;
    }
    let slopes = sum(&reach, step, &mut |t| derivatives(f, &at(eta, root, r, &moving, t), t));
    for l in 0..k {
        let from = l * (1 + moving.len());
        out[2 + l] = slopes[from];
        for (place, &j) in moving.iter().enumerate() {
            out[2 + k + l * r + j] = slopes[from + 1 + place];
        }
    }
    out
}

fn size(root: &[f64], r: usize, j: usize) -> f64 {
    root.iter().skip(j).step_by(r).fold(0.0, |most: f64, v| most.max(v.abs()))
}

fn at(eta: &[f64], root: &[f64], r: usize, moving: &[usize], t: &[f64]) -> Vec<f64> {
    let shift = |l: usize| moving.iter().zip(t).map(|(&j, t)| root[l * r + j] * t).sum::<f64>();
    eta.iter().enumerate().map(|(l, e)| e + shift(l)).collect()
}

/// For each predictor the derivative of f, then its products with t.
fn derivatives(f: &dyn Fn(&[f64]) -> f64, eta: &[f64], t: &[f64]) -> Vec<f64> {
    let mut x = eta.to_vec();
    let mut out = Vec::with_capacity(eta.len() * (1 + t.len()));
    for l in 0..eta.len() {
        let mut near = |h: f64| {
            x[l] = eta[l] + h;
            let value = f(&x);
            x[l] = eta[l];
            value
        };
        let slope = (8.0 * (near(H) - near(-H)) - (near(2.0 * H) - near(-2.0 * H))) / (12.0 * H);
        out.push(slope);
        out.extend(t.iter().map(|t| slope * t));
    }
    out
}

/// The product rule with windows -reach..reach.
fn sum(reach: &[f64], step: f64, f: &mut dyn FnMut(&[f64]) -> Vec<f64>) -> Vec<f64> {
    let counts: Vec<i64> = reach.iter().map(|w| (w / step) as i64).collect();
    let mut place: Vec<i64> = counts.iter().map(|c| -c).collect();
    let mut total: Vec<f64> = Vec::new();
    loop {
        let t: Vec<f64> = place.iter().map(|&p| p as f64 * step).collect();
        let weight: f64 = t.iter().map(|&t| step * normal_pdf(t)).product();
        let values = f(&t);
        total.resize(values.len(), 0.0);
        total.iter_mut().zip(&values).for_each(|(s, v)| *s = weight.mul_add(*v, *s));
        let Some(j) = (0..place.len()).find(|&j| place[j] < counts[j]) else { return total };
        place[j] += 1;
        (0..j).for_each(|l| place[l] = -counts[l]);
    }
}
