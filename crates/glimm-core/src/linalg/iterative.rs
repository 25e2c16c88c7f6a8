//! Conjugate gradients for several right-hand sides at once, and from their coefficients estimates of
//! the log-determinant (stochastic Lanczos quadrature).
//!
//! Vectors are interleaved: number i of column m of `columns` stands at `i * columns + m`. Sums run in
//! a fixed order: equal input gives equal bits.

use super::dense;
use super::spd::dot;
use crate::special::vectorized;

/// A symmetric positive definite matrix S with a preconditioner P = L L' of the same kind.
pub trait Operator {
    /// Order of the matrix.
    fn order(&self) -> usize;
    /// out = S x.
    fn apply(&self, x: &[f64], columns: usize, out: &mut [f64]);
    /// x = P^-1 x.
    fn precondition(&self, x: &mut [f64], columns: usize);
    /// x = L x.
    fn unscale(&self, x: &mut [f64], columns: usize);
}

/// Steps and multipliers of each iteration, one per column: the Lanczos matrix in other letters.
#[derive(Default)]
pub struct Coefficients {
    pub alpha: Vec<Vec<f64>>,
    pub beta: Vec<Vec<f64>>,
}

/// Solves S x = b from the x given, until every column's residual, measured by P^-1, is below
/// `tolerance` of its right-hand side; `None` when that takes more than `limit` iterations.
pub fn conjugate_gradients(
    s: &impl Operator,
    b: &[f64],
    x: &mut [f64],
    columns: usize,
    tolerance: f64,
    limit: usize,
) -> Option<Coefficients> {
    let mut found = Coefficients::default();
    let (mut r, mut sp) = (b.to_vec(), vec![0.0; b.len()]);
    if x.iter().any(|x| *x != 0.0) {
        s.apply(x, columns, &mut sp);
        r.iter_mut().zip(&sp).for_each(|(r, sx)| *r -= sx);
    }
    let mut z = b.to_vec();
    s.precondition(&mut z, columns);
    let enough: Vec<f64> = dots(b, &z, columns).iter().map(|bb| tolerance * tolerance * bb).collect();
    z.copy_from_slice(&r);
    s.precondition(&mut z, columns);
    let mut rz = dots(&r, &z, columns);
    let mut p = z.clone();
    for _ in 0..=limit {
        if rz.iter().zip(&enough).all(|(rz, enough)| rz <= enough) {
            return Some(found);
        }
        s.apply(&p, columns, &mut sp);
        let psp = dots(&p, &sp, columns);
        // A column that is solved exactly has no direction left.
        let alpha: Vec<f64> = rz.iter().zip(&psp).map(|(rz, psp)| if *psp > 0.0 { rz / psp } else { 0.0 }).collect();
        step(&alpha, 1.0, &p, x);
        step(&alpha, -1.0, &sp, &mut r);
        z.copy_from_slice(&r);
        s.precondition(&mut z, columns);
        let next = dots(&r, &z, columns);
        let beta: Vec<f64> = next.iter().zip(&rz).map(|(n, o)| if *o > 0.0 { n / o } else { 0.0 }).collect();
        turn(&beta, &z, &mut p);
        rz = next;
        found.alpha.push(alpha);
        found.beta.push(beta);
    }
    None
}

/// v'f(M)v for every column v of `probes`, M = L^-1 S L^-T and f(x) = log x - (x - 1). Their sum over a basis is
/// log|P^-1 S|, if P is S in some blocks and zero elsewhere: trace M is then the order of S. So is their
/// expectation for random signs, where the second part of f takes the first-order noise out. The
/// coefficients of conjugate gradients give the quadrature (Ubaru, Chen and Saad 2017, SIAM J. Matrix
/// Anal. Appl. 38, 1075-1099).
pub fn log_determinants(
    s: &impl Operator,
    probes: &[f64],
    columns: usize,
    tolerance: f64,
    limit: usize,
) -> Option<Vec<f64>> {
    let lengths = dots(probes, probes, columns);
    let mut b = probes.to_vec();
    s.unscale(&mut b, columns);
    let mut x = vec![0.0; b.len()];
    let found = conjugate_gradients(s, &b, &mut x, columns, tolerance, limit)?;
    (0..columns).map(|m| Some(lengths[m] * quadrature(&found, m)?)).collect()
}

/// e_1'f(T)e_1 with the Lanczos matrix T of one column.
fn quadrature(found: &Coefficients, m: usize) -> Option<f64> {
    let n = (0..found.alpha.len()).take_while(|&j| found.alpha[j][m] > 0.0).count();
    if n == 0 {
        return Some(0.0);
    }
    let mut t = vec![0.0; n * n];
    for j in 0..n {
        let before = if j > 0 { found.beta[j - 1][m] / found.alpha[j - 1][m] } else { 0.0 };
        t[j * n + j] = 1.0 / found.alpha[j][m] + before;
        if j + 1 < n {
            let off = found.beta[j][m].sqrt() / found.alpha[j][m];
            t[j * n + j + 1] = off;
            t[(j + 1) * n + j] = off;
        }
    }
    let (values, vectors) = dense::eigen(&t, n)?;
    Some(values.iter().zip(&vectors).map(|(v, first)| first * first * (v.ln() - (v - 1.0))).sum())
}

/// Calls `f(columns)` with the number of columns known to the compiler when it is usual.
#[inline(always)]
pub fn by_columns<R>(columns: usize, mut f: impl FnMut(usize) -> R) -> R {
    vectorized(
        #[inline(always)]
        || match columns {
            1 => f(1),
            16 => f(16),
            _ => f(columns),
        },
    )
}

/// Dot products of the columns.
fn dots(a: &[f64], b: &[f64], columns: usize) -> Vec<f64> {
    let mut sums = vec![0.0; columns];
    by_columns(
        columns,
        #[inline(always)]
        |columns| {
            if columns == 1 {
                sums[0] = dot(a, b);
                return;
            }
            let sums = &mut sums[..columns];
            for (a, b) in a.chunks_exact(columns).zip(b.chunks_exact(columns)) {
                for m in 0..columns {
                    sums[m] += a[m] * b[m];
                }
            }
        },
    );
    sums
}

/// x += times alpha d, column by column.
fn step(alpha: &[f64], times: f64, d: &[f64], x: &mut [f64]) {
    by_columns(
        alpha.len(),
        #[inline(always)]
        |columns| {
            let alpha = &alpha[..columns];
            for (x, d) in x.chunks_exact_mut(columns).zip(d.chunks_exact(columns)) {
                for m in 0..columns {
                    x[m] += times * alpha[m] * d[m];
                }
            }
        },
    );
}

/// p = z + beta p, column by column.
fn turn(beta: &[f64], z: &[f64], p: &mut [f64]) {
    by_columns(
        beta.len(),
        #[inline(always)]
        |columns| {
            let beta = &beta[..columns];
            for (p, z) in p.chunks_exact_mut(columns).zip(z.chunks_exact(columns)) {
                for m in 0..columns {
                    p[m] = z[m] + beta[m] * p[m];
                }
            }
        },
    );
}
