//! Small dense matrices, stored row by row in slices: the blocks of one group, and the curvature
//! of the outer problem.
//!
//! Functions take the size q as an argument and are always inlined: called through [`by_size`] they
//! are compiled for the small sizes that matter, with their loops unrolled.

use faer::linalg::solvers::Solve;

use super::clean::clean;

/// Calls `f(q)` with q known to the compiler when it is small.
#[inline(always)]
pub fn by_size<R>(q: usize, f: impl FnOnce(usize) -> R) -> R {
    match q {
        1 => f(1),
        2 => f(2),
        3 => f(3),
        _ => f(q),
    }
}

/// Overwrites the lower triangle of the q x q matrix `a` by its Cholesky factor; false when `a` is
/// not positive definite. The strict upper triangle is left as it was.
#[inline(always)]
pub fn cholesky(a: &mut [f64], q: usize) -> bool {
    for j in 0..q {
        let mut d = a[j * q + j];
        for k in 0..j {
            d -= a[j * q + k] * a[j * q + k];
        }
        if !(d > 0.0 && d.is_finite()) {
            return false;
        }
        let d = d.sqrt();
        a[j * q + j] = d;
        for i in j + 1..q {
            let mut s = a[i * q + j];
            for k in 0..j {
                s -= a[i * q + k] * a[j * q + k];
            }
            a[i * q + j] = s / d;
        }
    }
    true
}

/// Solves L L' x = b in place.
#[inline(always)]
pub fn cholesky_solve(l: &[f64], q: usize, x: &mut [f64]) {
    for i in 0..q {
        let mut s = x[i];
        for k in 0..i {
            s -= l[i * q + k] * x[k];
        }
        x[i] = s / l[i * q + i];
    }
    for i in (0..q).rev() {
        let mut s = x[i];
        for k in i + 1..q {
            s -= l[k * q + i] * x[k];
        }
        x[i] = s / l[i * q + i];
    }
}

/// Writes (L L')^-1, both triangles.
#[inline(always)]
pub fn cholesky_inverse(l: &[f64], q: usize, out: &mut [f64]) {
    out.fill(0.0);
    for j in 0..q {
        out[j * q + j] = 1.0;
        // Columns are rows here: the inverse is symmetric.
        cholesky_solve(l, q, &mut out[j * q..(j + 1) * q]);
    }
    for i in 0..q {
        for j in 0..i {
            let mean = 0.5 * (out[i * q + j] + out[j * q + i]);
            out[i * q + j] = mean;
            out[j * q + i] = mean;
        }
    }
}

/// log |L L'|.
#[inline(always)]
pub fn cholesky_logdet(l: &[f64], q: usize) -> f64 {
    let mut product = 1.0;
    let mut sum = 0.0;
    for i in 0..q {
        product *= l[i * q + i];
        // One logarithm for several pivots, as long as their product is far from overflow.
        if !(1e-100..1e100).contains(&product) || i + 1 == q {
            sum += product.ln();
            product = 1.0;
        }
    }
    2.0 * sum
}

/// out = A B.
#[inline(always)]
pub fn matmul(a: &[f64], b: &[f64], q: usize, out: &mut [f64]) {
    product(q, out, |i, k| a[i * q + k], |k, j| b[k * q + j]);
}

/// out = A B'.
#[inline(always)]
pub fn matmul_nt(a: &[f64], b: &[f64], q: usize, out: &mut [f64]) {
    product(q, out, |i, k| a[i * q + k], |k, j| b[j * q + k]);
}

/// out_ij = sum_k a(i, k) b(k, j). Plain loops: an iterator's sum is not always inlined.
#[inline(always)]
fn product(q: usize, out: &mut [f64], a: impl Fn(usize, usize) -> f64, b: impl Fn(usize, usize) -> f64) {
    for i in 0..q {
        for j in 0..q {
            let mut sum = 0.0;
            for k in 0..q {
                sum += a(i, k) * b(k, j);
            }
            out[i * q + j] = sum;
        }
    }
}

/// out = A x.
#[inline(always)]
pub fn matvec(a: &[f64], x: &[f64], q: usize, out: &mut [f64]) {
    for i in 0..q {
        let mut sum = 0.0;
        for k in 0..q {
            sum += a[i * q + k] * x[k];
        }
        out[i] = sum;
    }
}

/// out = A' x.
#[inline(always)]
pub fn matvec_t(a: &[f64], x: &[f64], q: usize, out: &mut [f64]) {
    for i in 0..q {
        let mut sum = 0.0;
        for k in 0..q {
            sum += a[k * q + i] * x[k];
        }
        out[i] = sum;
    }
}

/// Eigenvalues (ascending) and eigenvectors (columns, stored row by row) of a symmetric matrix.
pub fn eigen(a: &[f64], n: usize) -> Option<(Vec<f64>, Vec<f64>)> {
    // faer has no decomposition of nothing.
    if n == 0 {
        return Some((Vec::new(), Vec::new()));
    }
    if a.iter().any(|v| !v.is_finite()) {
        return None;
    }
    let m = faer::Mat::from_fn(n, n, |i, j| 0.5 * (a[i * n + j] + a[j * n + i]));
    let e = clean(|| m.self_adjoint_eigen(faer::Side::Lower)).ok()?;
    let values = (0..n).map(|i| e.S()[i]).collect();
    let vectors = (0..n * n).map(|k| e.U()[(k / n, k % n)]).collect();
    Some((values, vectors))
}

/// The solution of A x = b for a square matrix, row by row or, if `transposed`, column by column.
pub fn solve(a: &[f64], transposed: bool, b: &[f64]) -> Vec<f64> {
    let n = b.len();
    let at = |i: usize, j: usize| if transposed { a[j * n + i] } else { a[i * n + j] };
    let b = faer::Mat::from_fn(n, 1, |i, _| b[i]);
    let x = clean(|| faer::Mat::from_fn(n, n, at).full_piv_lu().solve(&b));
    (0..n).map(|i| x[(i, 0)]).collect()
}

/// Singular values of a q x q matrix, largest first; `None` when they cannot be found.
pub fn singular_values(a: &[f64], q: usize) -> Option<Vec<f64>> {
    clean(|| faer::Mat::from_fn(q, q, |i, j| a[i * q + j]).singular_values()).ok()
}

/// For every q x q block M of `m`: out += L'M R when `INNER`, else out += L M R'.
#[inline(always)]
pub fn each_sandwich<const INNER: bool>(q: usize, l: &[f64], m: &[f64], r: &[f64], out: &mut [f64]) {
    let n = (q * q).max(1);
    let (l, r) = (&l[..q * q], &r[..q * q]);
    let mut small = [0.0; 16];
    let mut large = Vec::new();
    let mr = scratch(q * q, &mut small, &mut large);
    for (m, out) in m.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
        if INNER {
            matmul(m, r, q, mr);
        } else {
            matmul_nt(m, r, q, mr);
        }
        for i in 0..q {
            for j in 0..q {
                let mut sum = 0.0;
                for k in 0..q {
                    sum += if INNER { l[k * q + i] } else { l[i * q + k] } * mr[k * q + j];
                }
                out[i * q + j] += sum;
            }
        }
    }
}

/// Room for `n` numbers, on the stack when they are few.
#[inline(always)]
pub fn scratch<'a>(n: usize, small: &'a mut [f64; 16], large: &'a mut Vec<f64>) -> &'a mut [f64] {
    if n <= small.len() {
        return &mut small[..n];
    }
    large.resize(n, 0.0);
    large
}

/// out -= sum over blocks of S L C.
#[inline(always)]
pub fn subtract_products(q: usize, s: &[f64], l: &[f64], c: &[f64], out: &mut [f64]) {
    let n = (q * q).max(1);
    let (mut small, mut large) = ([0.0; 16], Vec::new());
    let lc = scratch(q * q, &mut small, &mut large);
    let out = &mut out[..q * q];
    for (s, c) in s.chunks_exact(n).zip(c.chunks_exact(n)) {
        matmul(l, c, q, lc);
        for i in 0..q {
            for j in 0..q {
                let mut sum = 0.0;
                for k in 0..q {
                    sum += s[i * q + k] * lc[k * q + j];
                }
                out[i * q + j] -= sum;
            }
        }
    }
}

/// out = -C D C for every pair of blocks.
#[inline(always)]
pub fn minus_sandwiches(q: usize, c: &[f64], d: &[f64], out: &mut [f64]) {
    let n = (q * q).max(1);
    let (mut small, mut large) = ([0.0; 16], Vec::new());
    let cd = scratch(q * q, &mut small, &mut large);
    for ((c, d), out) in c.chunks_exact(n).zip(d.chunks_exact(n)).zip(out.chunks_exact_mut(n)) {
        matmul(c, d, q, cd);
        matmul(cd, c, q, out);
        for x in out {
            *x = -*x;
        }
    }
}
