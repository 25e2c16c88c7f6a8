//! Truncated Taylor series in several variables: derivatives of a log density that is written once, as a formula.
//!
//! A jet in K variables holds its N Taylor coefficients up to some order in the layout of [`Derivs`]. Sums and products
//! of jets are those of the series; a function of one variable enters through its own derivatives. The numbers of a
//! lower order do not depend on whether higher ones are computed.
//! (Griewank and Walther 2008, Evaluating Derivatives, chapter 13.)

mod functions;

pub(super) use functions::softplus_derivatives;

use std::ops::{Add, Div, Mul, Neg, Sub};

use super::{Derivs, Rows, Want, component_count};

/// Coefficients and products of the largest jet: four variables to fourth order.
const MOST: usize = 70;
const MOST_PRODUCTS: usize = 495;
const FACTORIAL: [f64; 5] = [1.0, 1.0, 2.0, 6.0, 24.0];

/// Highest order of a jet of `n` coefficients in `k` variables.
pub(super) const fn order(k: usize, n: usize) -> usize {
    let (mut order, mut count) = (0, 1);
    while count < n {
        order += 1;
        count += component_count(k, order);
    }
    order
}

/// Exponents of each coefficient: by order, then the first variable's powers descending.
const fn exponents(k: usize, n: usize) -> [[u8; 4]; MOST] {
    let mut all = [[0; 4]; MOST];
    let mut c = 1;
    while c < n {
        let mut e = all[c - 1];
        // The successor: lower the last variable but one that can give, and put what follows right behind it.
        let mut i = k - 1;
        while i > 0 && e[i - 1] == 0 {
            i -= 1;
        }
        let tail = e[k - 1];
        if i == 0 {
            // all in the last variable: next order
            e = [0; 4];
            e[0] = tail + 1;
        } else {
            e[k - 1] = 0;
            e[i - 1] -= 1;
            e[i] = if i == k - 1 { tail + 1 } else { tail + 1 + e[i] };
        }
        all[c] = e;
        c += 1;
    }
    all
}

/// All (a, b, c) with coefficient c of a product the sum of coefficient a times coefficient b.
struct Products {
    count: usize,
    terms: [[u8; 3]; MOST_PRODUCTS],
}

const fn products(k: usize, n: usize) -> Products {
    let e = exponents(k, n);
    let (mut count, mut terms) = (0, [[0; 3]; MOST_PRODUCTS]);
    let mut c = 0;
    while c < n {
        let mut a = 0;
        while a <= c {
            let mut b = 0;
            while b <= c {
                let (mut i, mut same) = (0, true);
                while i < 4 {
                    same = same && e[a][i] + e[b][i] == e[c][i];
                    i += 1;
                }
                if same {
                    terms[count] = [a as u8, b as u8, c as u8];
                    count += 1;
                }
                b += 1;
            }
            a += 1;
        }
        c += 1;
    }
    Products { count, terms }
}

/// Derivative over Taylor coefficient.
const fn factorials(k: usize, n: usize) -> [f64; MOST] {
    let e = exponents(k, n);
    let (mut out, mut c) = ([1.0; MOST], 0);
    while c < n {
        let mut i = 0;
        while i < 4 {
            out[c] *= FACTORIAL[e[c][i] as usize];
            i += 1;
        }
        c += 1;
    }
    out
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Jet<const K: usize, const N: usize>([f64; N]);

impl<const K: usize, const N: usize> Jet<K, N> {
    pub(super) const ORDER: usize = order(K, N);
    const PRODUCTS: Products = products(K, N);
    const FACTORIALS: [f64; MOST] = factorials(K, N);

    pub(super) fn constant(value: f64) -> Self {
        let mut jet = [0.0; N];
        jet[0] = value;
        Jet(jet)
    }

    /// Variable `k` at `value`.
    pub(super) fn variable(k: usize, value: f64) -> Self {
        let mut jet = Self::constant(value);
        if Self::ORDER > 0 {
            jet.0[1 + k] = 1.0;
        }
        jet
    }

    pub(super) fn value(self) -> f64 {
        self.0[0]
    }

    /// With its value raised to `least` where it is below: what depends on it then saturates.
    pub(super) fn at_least(mut self, least: f64) -> Self {
        self.0[0] = self.0[0].max(least);
        self
    }

    /// Partial derivatives, in the layout of [`Derivs`].
    pub(super) fn derivatives(self) -> [f64; N] {
        let mut out = self.0;
        for (out, factorial) in out.iter_mut().zip(&Self::FACTORIALS) {
            *out *= factorial;
        }
        out
    }

    /// The jet of a function given by its partial derivatives.
    pub(super) fn from_derivatives(derivatives: [f64; N]) -> Self {
        let mut out = derivatives;
        for (out, factorial) in out.iter_mut().zip(&Self::FACTORIALS) {
            *out /= factorial;
        }
        Jet(out)
    }

    /// f(self) from f and its first four derivatives at the jet's value.
    pub(super) fn compose(self, f: [f64; 5]) -> Self {
        if Self::ORDER == 0 {
            return Self::constant(f[0]);
        }
        let mut step = self;
        step.0[0] = 0.0;
        let mut out = step * (f[Self::ORDER] / FACTORIAL[Self::ORDER]);
        for k in (1..Self::ORDER).rev() {
            out.0[0] = f[k] / FACTORIAL[k];
            out = out * step;
        }
        out.0[0] = f[0];
        out
    }
}

impl<const K: usize, const N: usize> Add for Jet<K, N> {
    type Output = Self;
    fn add(mut self, other: Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(a, b)| *a += b);
        self
    }
}

impl<const K: usize, const N: usize> Sub for Jet<K, N> {
    type Output = Self;
    fn sub(mut self, other: Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(a, b)| *a -= b);
        self
    }
}

impl<const K: usize, const N: usize> Mul for Jet<K, N> {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let mut out = [0.0; N];
        let products = &Self::PRODUCTS;
        for &[a, b, c] in &products.terms[..products.count] {
            out[c as usize] += self.0[a as usize] * other.0[b as usize];
        }
        Jet(out)
    }
}

impl<const K: usize, const N: usize> Div for Jet<K, N> {
    type Output = Self;
    #[allow(clippy::suspicious_arithmetic_impl)] // the reciprocal is a series of its own
    fn div(self, other: Self) -> Self {
        self * other.recip()
    }
}

impl<const K: usize, const N: usize> Neg for Jet<K, N> {
    type Output = Self;
    fn neg(self) -> Self {
        self * -1.0
    }
}

impl<const K: usize, const N: usize> Add<f64> for Jet<K, N> {
    type Output = Self;
    fn add(mut self, x: f64) -> Self {
        self.0[0] += x;
        self
    }
}

impl<const K: usize, const N: usize> Sub<f64> for Jet<K, N> {
    type Output = Self;
    fn sub(mut self, x: f64) -> Self {
        self.0[0] -= x;
        self
    }
}

impl<const K: usize, const N: usize> Mul<f64> for Jet<K, N> {
    type Output = Self;
    fn mul(mut self, x: f64) -> Self {
        self.0.iter_mut().for_each(|a| *a *= x);
        self
    }
}

/// A loop over rows that is written for jets of any size.
pub(super) trait Loop {
    fn rows<const D: usize, const N: usize>(&mut self);
}

/// Runs a loop with jets in the first `want.dims` of up to three variables. Their order is 2 or 4.
pub(super) fn dispatch(want: Want, rows: &mut impl Loop) {
    match (want.dims, want.order) {
        (1, ..=2) => rows.rows::<1, 3>(),
        (1, _) => rows.rows::<1, 5>(),
        (2, ..=2) => rows.rows::<2, 6>(),
        (2, _) => rows.rows::<2, 15>(),
        (_, ..=2) => rows.rows::<3, 10>(),
        _ => rows.rows::<3, 35>(),
    }
}

/// The order of jets that hold what is wanted.
pub(super) fn whole(want: Want) -> Want {
    Want { order: if want.order <= 2 { 2 } else { 4 }, ..want }
}

/// A log density of one row, less its constant, as a formula in its K predictors.
pub(super) trait Density<const K: usize>: Sync {
    fn log_density<const D: usize, const N: usize>(&self, y: f64, size: f64, eta: [Jet<D, N>; K]) -> Jet<D, N>;
}

/// Derivatives of all rows with respect to the first `want.dims` predictors.
pub(super) fn run<const K: usize>(
    density: &impl Density<K>,
    rows: Rows<'_>,
    eta: &[&[f64]],
    want: Want,
    out: &mut Derivs,
) {
    match (want.dims, want.order) {
        (1, ..=2) => fill::<K, 1, 3>(density, rows, eta, out),
        (1, _) => fill::<K, 1, 5>(density, rows, eta, out),
        (2, ..=2) => fill::<K, 2, 6>(density, rows, eta, out),
        (2, _) => fill::<K, 2, 15>(density, rows, eta, out),
        (3, ..=2) => fill::<K, 3, 10>(density, rows, eta, out),
        (3, _) => fill::<K, 3, 35>(density, rows, eta, out),
        (_, ..=2) => fill::<K, 4, 15>(density, rows, eta, out),
        _ => fill::<K, 4, 70>(density, rows, eta, out),
    }
}

fn fill<const K: usize, const D: usize, const N: usize>(
    density: &impl Density<K>,
    rows: Rows<'_>,
    eta: &[&[f64]],
    out: &mut Derivs,
) {
    out.reshape(D, order(D, N), rows.y.len());
    let columns = out.columns::<N>();
    for (i, &y) in rows.y.iter().enumerate() {
        let at = std::array::from_fn(|k| {
            let value = eta[k][i];
            if k < D { Jet::variable(k, value) } else { Jet::constant(value) }
        });
        let found = density.log_density::<D, N>(y, rows.size(i), at).derivatives();
        for c in 0..N {
            columns[c][i] = found[c];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::component_offset;
    use crate::special::{self, stirling};

    /// Every coefficient of a product, against the closed form of exp(x + 2 y + 3 z - w).
    #[test]
    fn products_and_compositions_of_four_variables() {
        let at = [0.3, -0.2, 0.1, 0.5];
        let [x, y, z, w]: [Jet<4, 70>; 4] = std::array::from_fn(|k| Jet::variable(k, at[k]));
        let split = x.exp() * y.exp().square() * z.exp() * (z * 2.0 - w).exp();
        let found = split.derivatives();
        let value = (at[0] + 2.0 * at[1] + 3.0 * at[2] - at[3]).exp();
        let slopes = [1.0, 2.0, 3.0, -1.0];
        for a in 0..4 {
            for b in a..4 {
                for c in b..4 {
                    for d in c..4 {
                        let expected = value * slopes[a] * slopes[b] * slopes[c] * slopes[d];
                        let got = found[component_offset(4, &[a, b, c, d])];
                        assert!((got - expected).abs() < 1e-12 * expected.abs(), "{a}{b}{c}{d}: {got} {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn functions_agree_with_their_inverses() {
        let x = Jet::<2, 15>::variable(0, 0.7) * Jet::variable(1, 1.9);
        let close = |a: Jet<2, 15>, b: Jet<2, 15>| {
            a.0.iter().zip(b.0).for_each(|(a, b)| assert!((a - b).abs() < 1e-13 * b.abs().max(1.0), "{a} {b}"));
        };
        close(x.ln().exp(), x);
        close(x.recip().recip(), x);
        close(x.powf(0.3).powf(1.0 / 0.3), x);
        close((x.softplus().exp() - 1.0).ln(), x);
        close((-x).log1mexp().exp(), -(-x).exp() + 1.0);
        let lgamma = |x: Jet<2, 15>| (x - 0.5) * x.ln() - x + x.stirling();
        close(lgamma(x + 1.0) - lgamma(x), x.ln());
        close(x.stirling(), x.ln().stirling_exp());
        let small = x.ln() - 18.5;
        let [s0, s1, s2, s3, s4] = stirling(special::exp(small.value()));
        let direct = [s0, s1, s1 + s2, s1 + 3.0 * s2 + s3, s1 + 7.0 * s2 + 6.0 * s3 + s4];
        close(small.stirling_exp(), small.compose(direct));
        close((x * 1e9).clamp(-1.0, 1.3), (x - x.value()) * 1e9 + 1.3);
        let (a, b) = (x + 0.2, x.ln());
        let f = Jet::<2, 15>::variable(0, a.value()).ln() * Jet::<2, 15>::variable(1, b.value()).exp();
        close(Jet::compose2([a, b], &f.derivatives()), a.ln() * b.exp());
        close(Jet::from_derivatives(x.derivatives()), x);
        close(x.expm1() + 1.0, x.exp());
        close(x.logistic(), (-(-x).softplus()).exp());
        close(x.log1pmx() + x, (x + 1.0).ln());
        close(x.log1p(), (x + 1.0).ln());
        // x y^2 at x, y = (x, x^2)
        let (u, v) = (x.value(), x.value() * x.value());
        let f = [u * v * v, v * v, 2.0 * u * v, 0.0, 2.0 * v, 2.0 * u, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        close(Jet::compose2([x, x.square()], &f), x.square().square() * x);
    }
}
