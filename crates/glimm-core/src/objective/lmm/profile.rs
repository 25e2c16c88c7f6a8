//! The likelihood of a linear mixed model y = X beta + Z Lambda u + e, u ~ N(0, sigma^2 I), e ~ N(0, sigma^2 I),
//! and its exact gradient in the relative factor Lambda, at a cost that does not depend on the rows:
//!
//! ```text
//! S = Z'Z      H = I + Lambda'S Lambda      C = H^-1
//! U = C Lambda'Z'[X y]                      R = Z'[X y] - S Lambda U
//! M = [X y]'[X y] - (Lambda'Z'[X y])'U      (= [X y]'V^-1[X y],  V = I + Z Lambda Lambda'Z')
//! beta = M_xx^-1 M_xy                       r2 = M_yy - M_yx beta
//! -2 L = log|H| + n log 2 pi sigma^2 + r2 / sigma^2              (REML: n - p for n, + log|M_xx|)
//! dL/dLambda = rho u' / sigma^2 - S Lambda C                     (REML: + R_x M_xx^-1 U_x')
//! ```
//!
//! where (u, rho) are (U, R) times the contrast (-beta, 1): u are the modes. (Bates, Maechler, Bolker and
//! Walker 2015, J. Stat. Softw. 67(1); Harville 1977, J. Am. Stat. Assoc. 72, 320-338, for REML.)

use super::effects::Linear;
use crate::linalg::dense;
use crate::objective::Reject;
use crate::objective::geometry::Factors;
use crate::objective::sums::dot;
use crate::suffstat::Moments;

/// Which parameters besides Lambda are given; the others are at their maximum.
#[derive(Clone, Copy, Default)]
pub struct Given<'a> {
    /// Coefficients of the columns of the moments.
    pub beta: Option<&'a [f64]>,
    pub log_sigma: Option<f64>,
}

/// The likelihood at a relative factor.
pub struct Profile {
    pub value: f64,
    pub log_sigma: f64,
    pub beta: Vec<f64>,
    /// M_xy - M_xx beta: zero where beta is at its maximum.
    pub score: Vec<f64>,
    /// M_xx and its Cholesky factor L.
    pub m_xx: Vec<f64>,
    pub r2: f64,
    /// Degrees of freedom of sigma: n, or n - p with REML.
    pub df: f64,
    /// dL/dLambda.
    pub lambda: Factors,
    /// C on the pattern.
    pub c: Vec<f64>,
    /// U and R times [(-beta, 1), L^-T]: first the contrast, then columns of X with M_xx = I.
    pub u: Vec<f64>,
    pub r: Vec<f64>,
    chol: Vec<f64>,
}

impl Profile {
    pub fn sigma2(&self) -> f64 {
        (2.0 * self.log_sigma).exp()
    }

    /// L^-T b: coefficients from those of the columns with M_xx = I.
    pub fn coefficients(&self, mut b: Vec<f64>) -> Vec<f64> {
        let p = b.len();
        for i in (0..p).rev() {
            let above: f64 = (i + 1..p).map(|k| self.chol[k * p + i] * b[k]).sum();
            b[i] = (b[i] - above) / self.chol[i * p + i];
        }
        b
    }

    /// How much each column of (U, R) counts in the likelihood: 1 / sigma^2 for the contrast, one with
    /// REML for the columns of X, else nothing.
    pub fn weight(&self, column: usize, reml: bool) -> f64 {
        if column == 0 { 1.0 / self.sigma2() } else { f64::from(u8::from(reml)) }
    }
}

/// The equations at the head of this file.
pub fn profile(
    e: &mut dyn Linear,
    m: &Moments,
    lambda: &Factors,
    reml: bool,
    given: Given<'_>,
) -> Result<Profile, Reject> {
    let (p, mut h) = (m.width - 1, vec![0.0; m.zz.len()]);
    e.add_inner(lambda, &m.zz, lambda, &mut h);
    e.add_precision(&mut h);
    let logdet = e.factorise(&h).ok_or(Reject::NotPositiveDefinite)?;

    let (lzw, u, r) = solve_moments(e, m, lambda);
    let mm = reduced_moments(m, &lzw, &u);
    let (m_xx, mut chol) = (leading(&mm, m.width), leading(&mm, m.width));
    if !dense::cholesky(&mut chol, p) {
        return Err(Reject::NotPositiveDefinite);
    }
    let beta = given.beta.map_or_else(|| solve_beta(&mm, &chol, p), <[f64]>::to_vec);
    let m_contrast = times(&mm, &contrast(&beta));
    let r2 = dot(&m_contrast, &contrast(&beta));
    if !(r2 > 0.0 && r2.is_finite()) {
        return Err(Reject::NotPositiveDefinite);
    }
    let df = if reml { m.n - p as f64 } else { m.n };
    let log_sigma = given.log_sigma.unwrap_or(0.5 * (r2 / df).ln());
    let logdet_x = if reml { dense::cholesky_logdet(&chol, p) } else { 0.0 };
    let log_variance = (2.0 * std::f64::consts::PI).ln() + 2.0 * log_sigma;
    let value = -0.5 * (logdet + logdet_x + df * log_variance + r2 * (-2.0 * log_sigma).exp());

    let basis = working_columns(&beta, &chol, p);
    let (u, r) = (combine(&u, &basis, m.width), combine(&r, &basis, m.width));
    let score = if given.beta.is_some() { m_contrast[..p].to_vec() } else { vec![0.0; p] };
    let (lambda_gradient, c) = (Vec::new(), Vec::new());
    let mut at = Profile { value, log_sigma, beta, score, m_xx, r2, df, lambda: lambda_gradient, c, u, r, chol };
    gradient(e, m, lambda, reml, &mut at);
    Ok(at)
}

/// dL/dLambda.
fn gradient(e: &mut dyn Linear, m: &Moments, lambda: &Factors, reml: bool, at: &mut Profile) {
    let len = e.vector_len();
    at.c = vec![0.0; m.zz.len()];
    e.inverse(&mut at.c);
    at.lambda = zeros(lambda);
    e.subtract_product(&m.zz, lambda, &at.c, &mut at.lambda);
    let columns = if reml { m.width } else { 1 };
    for k in 0..columns {
        let (weight, column) = (at.weight(k, reml), k * len..(k + 1) * len);
        let r: Vec<f64> = at.r[column.clone()].iter().map(|r| weight * r).collect();
        e.add_dyads(&r, &at.u[column], &mut at.lambda);
    }
}

/// Lambda'Z'[X y], U and R.
fn solve_moments(e: &mut dyn Linear, m: &Moments, lambda: &Factors) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let len = e.vector_len();
    let mut lzw = vec![0.0; m.zw.len()];
    each(&m.zw, &mut lzw, len, |x, out| e.apply_transpose(lambda, x, out));
    let mut u = lzw.clone();
    e.solve_all(&mut u);
    let r = residual(e, m, lambda, &u);
    (lzw, u, r)
}

/// Z'[X y] - S Lambda U.
fn residual(e: &dyn Linear, m: &Moments, lambda: &Factors, u: &[f64]) -> Vec<f64> {
    let mut minus_b = vec![0.0; u.len()];
    each(u, &mut minus_b, e.vector_len(), |x, out| e.apply(lambda, x, out));
    minus_b.iter_mut().for_each(|b| *b = -*b);
    let mut r = m.zw.clone();
    e.multiply(&m.zz, &minus_b, &mut r);
    r
}

/// Calls `op` for every vector of `x` and its place in `out`.
pub fn each(x: &[f64], out: &mut [f64], len: usize, mut op: impl FnMut(&[f64], &mut [f64])) {
    let len = len.max(1);
    x.chunks_exact(len).zip(out.chunks_exact_mut(len)).for_each(|(x, out)| op(x, out));
}

pub fn zeros(f: &Factors) -> Factors {
    f.iter().map(|f| vec![0.0; f.len()]).collect()
}

/// M, row by row.
fn reduced_moments(m: &Moments, lzw: &[f64], u: &[f64]) -> Vec<f64> {
    let (width, len) = (m.width, u.len() / m.width);
    let mut mm = m.ww.clone();
    for a in 0..width {
        for b in 0..=a {
            let taken = dot(&lzw[a * len..(a + 1) * len], &u[b * len..(b + 1) * len]);
            mm[a * width + b] -= taken;
            mm[b * width + a] = mm[a * width + b];
        }
    }
    mm
}

/// M_xx out of M.
fn leading(mm: &[f64], width: usize) -> Vec<f64> {
    let p = width - 1;
    (0..p * p).map(|i| mm[i / p * width + i % p]).collect()
}

fn solve_beta(mm: &[f64], chol: &[f64], p: usize) -> Vec<f64> {
    let mut beta: Vec<f64> = (0..p).map(|a| mm[a * (p + 1) + p]).collect();
    dense::cholesky_solve(chol, p, &mut beta);
    beta
}

fn contrast(beta: &[f64]) -> Vec<f64> {
    beta.iter().map(|b| -b).chain([1.0]).collect()
}

/// M v.
fn times(mm: &[f64], v: &[f64]) -> Vec<f64> {
    mm.chunks_exact(v.len()).map(|row| dot(row, v)).collect()
}

/// [(-beta, 1), L^-T], by columns.
fn working_columns(beta: &[f64], chol: &[f64], p: usize) -> Vec<Vec<f64>> {
    let mut columns = vec![contrast(beta)];
    for k in 0..p {
        // Column k of L^-T solves L'x = e_k.
        let mut x = vec![0.0; p + 1];
        for i in (0..=k).rev() {
            let above: f64 = (i + 1..=k).map(|j| chol[j * p + i] * x[j]).sum();
            x[i] = (f64::from(u8::from(i == k)) - above) / chol[i * p + i];
        }
        columns.push(x);
    }
    columns
}

/// The vectors of `x` combined by each of the columns.
fn combine(x: &[f64], columns: &[Vec<f64>], width: usize) -> Vec<f64> {
    let len = x.len() / width;
    let mut out = vec![0.0; columns.len() * len];
    for (column, out) in columns.iter().zip(out.chunks_exact_mut(len.max(1))) {
        for (x, v) in x.chunks_exact(len.max(1)).zip(column).filter(|(_, v)| **v != 0.0) {
            out.iter_mut().zip(x).for_each(|(o, x)| *o += v * x);
        }
    }
    out
}
