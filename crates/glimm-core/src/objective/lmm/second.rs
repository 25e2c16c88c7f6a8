//! Exact second derivatives of the likelihood of a linear mixed model, one direction D of Lambda at a time.
//!
//! d is the derivative along D, with beta held fixed. The columns of U and R are those of
//! [`Profile`]: the contrast (-beta, 1), then columns of X with M_xx = I.
//!
//! ```text
//! dU = C (D'R - Lambda'S D U)             dR = -S (D U + Lambda dU)
//! dH = D'S Lambda + Lambda'S D            dC = -C dH C
//! dM = -(R'D U + U'D'R)
//! d(dL/dLambda) = (drho u' + rho du') / sigma^2 - S D C - S Lambda dC       (REML: + the like for X)
//! ```
//!
//! Letting beta follow adds dM_x0'dM_x0 / sigma^2, and log|M_xx| of REML adds tr(dM_xx dM_xx) / 2.

use super::effects::Linear;
use super::profile::{Profile, each, zeros};
use crate::objective::geometry::Factors;
use crate::objective::sums::dot;
use crate::suffstat::Moments;

/// Second derivatives in the directions, sigma held fixed.
pub struct Second {
    /// d(dL/dLambda) of every direction, beta held fixed.
    pub rows: Vec<Factors>,
    /// What the dependence of beta and of log|M_xx| on Lambda adds to the Hessian, row by row.
    pub extra: Vec<f64>,
    /// dr2 of every direction.
    pub r2: Vec<f64>,
    /// dbeta of every direction.
    pub beta: Vec<Vec<f64>>,
}

pub fn second(
    e: &mut dyn Linear,
    m: &Moments,
    lambda: &Factors,
    reml: bool,
    at: &Profile,
    directions: &[Factors],
) -> Second {
    let moments: Vec<Vec<f64>> = directions.iter().map(|d| moment_tangent(e, at, d, m.width)).collect();
    let rows = directions.iter().map(|d| gradient_tangent(e, m, lambda, reml, at, d)).collect();
    let (count, width) = (directions.len(), m.width);
    let mut extra = vec![0.0; count * count];
    for (i, di) in moments.iter().enumerate() {
        for (j, dj) in moments.iter().enumerate() {
            extra[i * count + j] = following(di, dj, width, at.sigma2(), reml);
        }
    }
    let first = |dm: &Vec<f64>| (1..width).map(|k| dm[k * width]).collect::<Vec<f64>>();
    Second {
        rows,
        extra,
        r2: moments.iter().map(|dm| dm[0]).collect(),
        beta: moments.iter().map(|dm| at.coefficients(first(dm))).collect(),
    }
}

/// dM between the columns of [`Profile`].
fn moment_tangent(e: &dyn Linear, at: &Profile, d: &Factors, width: usize) -> Vec<f64> {
    let len = e.vector_len();
    let mut du = vec![0.0; at.u.len()];
    each(&at.u, &mut du, len, |x, out| e.apply(d, x, out));
    let column = |x: &[f64], k: usize| x[k * len..(k + 1) * len].to_vec();
    let mut dm = vec![0.0; width * width];
    for k in 0..width {
        let r = column(&at.r, k);
        for l in 0..width {
            let inner = dot(&r, &du[l * len..(l + 1) * len]);
            dm[k * width + l] -= inner;
            dm[l * width + k] -= inner;
        }
    }
    dm
}

/// dM_x0'dM_x0 / sigma^2, and tr(dM_xx dM_xx) / 2 with REML.
fn following(di: &[f64], dj: &[f64], width: usize, sigma2: f64, reml: bool) -> f64 {
    let beta: f64 = (1..width).map(|k| di[k * width] * dj[k * width]).sum();
    let trace = |k: usize| dot(&di[k * width + 1..(k + 1) * width], &dj[k * width + 1..(k + 1) * width]);
    let determinant: f64 = if reml { (1..width).map(trace).sum() } else { 0.0 };
    beta / sigma2 + 0.5 * determinant
}

/// d(dL/dLambda), beta held fixed.
fn gradient_tangent(
    e: &mut dyn Linear,
    m: &Moments,
    lambda: &Factors,
    reml: bool,
    at: &Profile,
    d: &Factors,
) -> Factors {
    let mut out = zeros(lambda);
    let (len, columns) = (e.vector_len(), if reml { m.width } else { 1 });
    let (u, r) = (&at.u[..columns * len], &at.r[..columns * len]);
    let (du, dr) = solution_tangents(e, m, lambda, (u, r), d);
    for k in 0..columns {
        let (weight, column) = (at.weight(k, reml), k * len..(k + 1) * len);
        let scaled = |x: &[f64]| x.iter().map(|x| weight * x).collect::<Vec<f64>>();
        e.add_dyads(&scaled(&dr[column.clone()]), &u[column.clone()], &mut out);
        e.add_dyads(&scaled(&r[column.clone()]), &du[column], &mut out);
    }
    let (mut dh, mut dc) = (vec![0.0; m.zz.len()], vec![0.0; m.zz.len()]);
    e.add_inner(d, &m.zz, lambda, &mut dh);
    e.add_inner(lambda, &m.zz, d, &mut dh);
    e.inverse_tangent(&at.c, &dh, &mut dc);
    e.subtract_product(&m.zz, d, &at.c, &mut out);
    e.subtract_product(&m.zz, lambda, &dc, &mut out);
    out
}

/// dU and dR.
fn solution_tangents(
    e: &mut dyn Linear,
    m: &Moments,
    lambda: &Factors,
    (u, r): (&[f64], &[f64]),
    d: &Factors,
) -> (Vec<f64>, Vec<f64>) {
    let len = e.vector_len();
    let buffer = || vec![0.0; u.len()];
    let (mut b, mut sb, mut du, mut part) = (buffer(), buffer(), buffer(), buffer());
    each(u, &mut b, len, |x, out| e.apply(d, x, out));
    e.multiply(&m.zz, &b, &mut sb);
    each(r, &mut du, len, |x, out| e.apply_transpose(d, x, out));
    each(&sb, &mut part, len, |x, out| e.apply_transpose(lambda, x, out));
    du.iter_mut().zip(&part).for_each(|(u, p)| *u -= p);
    e.solve_all(&mut du);

    each(&du, &mut part, len, |x, out| e.apply(lambda, x, out));
    let mut dr = buffer();
    b.iter_mut().zip(&part).for_each(|(b, p)| *b = -(*b + p));
    e.multiply(&m.zz, &b, &mut dr);
    (du, dr)
}
