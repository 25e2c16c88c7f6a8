//! Truncated Taylor series of a block of rows side by side, so that their loops vectorise.
//!
//! The numbers of one series are lanes of rows, one for each Taylor coefficient, in the layout of `Derivs`. What `jets`
//! does for one row with shapes known to the compiler is done here for many rows with shapes known at run time.

use crate::family::{component_count, component_offset};

const FACTORIAL: [f64; 5] = [1.0, 1.0, 2.0, 6.0, 24.0];

/// What a series has: its highest order, and how products come about.
pub(super) struct Shape {
    pub(super) order: usize,
    pub(super) count: usize,
    /// Derivative over Taylor coefficient.
    pub(super) factorials: Vec<f64>,
    /// Where the powers of each variable alone stand.
    powers: Vec<[usize; 5]>,
    /// Coefficients up to each order.
    counts: Vec<usize>,
    /// Pairs of coefficients whose products add up to each one; the last has the constant of the second factor.
    pairs: Vec<Vec<[usize; 2]>>,
}

impl Shape {
    pub(super) fn new(dims: usize, order: usize) -> Shape {
        let all: Vec<Vec<usize>> = (0..=order).flat_map(|o| exponents(dims, o)).collect();
        let place = |e: &[usize]| {
            let index: Vec<usize> = e.iter().enumerate().flat_map(|(k, n)| std::iter::repeat_n(k, *n)).collect();
            component_offset(dims, &index)
        };
        let upto = |top: usize| (0..=top).map(|o| component_count(dims, o)).sum();
        let (count, counts) = (upto(order), (0..=order).map(upto).collect());
        let (mut pairs, mut factorials) = (vec![Vec::new(); count], vec![1.0; count]);
        for whole in &all {
            factorials[place(whole)] = whole.iter().map(|&n| FACTORIAL[n]).product();
            for part in all.iter().filter(|part| part.iter().zip(whole).all(|(p, w)| p <= w)) {
                let other: Vec<usize> = whole.iter().zip(part).map(|(w, p)| w - p).collect();
                pairs[place(whole)].push([place(part), place(&other)]);
            }
        }
        let power = |k: usize, n: usize| component_offset(dims, &vec![k; n.min(order)]);
        let powers = (0..dims).map(|k| std::array::from_fn(|n| power(k, n))).collect();
        Shape { order, count, factorials, powers, counts, pairs }
    }

    /// out = a b.
    #[inline(always)]
    pub(super) fn multiply<const L: usize>(&self, a: &[[f64; L]], b: &[[f64; L]], out: &mut [[f64; L]]) {
        for (out, pairs) in out.iter_mut().zip(&self.pairs) {
            let mut sum = [0.0; L];
            for &[i, j] in pairs {
                let (a, b) = (&a[i], &b[j]);
                for lane in 0..L {
                    sum[lane] = a[lane].mul_add(b[lane], sum[lane]);
                }
            }
            *out = sum;
        }
    }

    /// out = f(a) from f and its derivatives at the values of a.
    #[inline(always)]
    pub(super) fn compose<const L: usize>(&self, a: &[[f64; L]], f: &[[f64; L]; 5], out: &mut [[f64; L]]) {
        out[1..].fill([0.0; L]);
        out[0] = scaled(&f[self.order], 1.0 / FACTORIAL[self.order]);
        for k in (0..self.order).rev() {
            // The k factors still to come have no constant: what is beyond order - k leaves no trace.
            // From the last coefficient down: each needs lower ones of the sum so far only.
            for c in (1..self.counts[self.order - k]).rev() {
                let mut sum = [0.0; L];
                // The step a - a[0] has no constant.
                for &[i, j] in &self.pairs[c][..self.pairs[c].len() - 1] {
                    let (s, a) = (&out[i], &a[j]);
                    for lane in 0..L {
                        sum[lane] = s[lane].mul_add(a[lane], sum[lane]);
                    }
                }
                out[c] = sum;
            }
            out[0] = scaled(&f[k], 1.0 / FACTORIAL[k]);
        }
    }

    /// A series in variable `k` alone as one in all.
    #[inline(always)]
    pub(super) fn embed<const L: usize>(&self, k: usize, a: &[[f64; L]], out: &mut [[f64; L]]) {
        out.fill([0.0; L]);
        for (power, a) in a.iter().enumerate() {
            out[self.powers[k][power]] = *a;
        }
    }
}

#[inline(always)]
fn scaled<const L: usize>(a: &[f64; L], by: f64) -> [f64; L] {
    a.map(|x| x * by)
}

/// Exponents of all products of `order` out of `dims` variables.
fn exponents(dims: usize, order: usize) -> Vec<Vec<usize>> {
    if dims == 0 {
        return if order == 0 { vec![Vec::new()] } else { Vec::new() };
    }
    let with =
        |first: usize| exponents(dims - 1, order - first).into_iter().map(move |rest| [vec![first], rest].concat());
    (0..=order).flat_map(with).collect()
}
