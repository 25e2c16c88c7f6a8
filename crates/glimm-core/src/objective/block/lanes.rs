//! Eight numbers side by side, one for each of eight groups, and small matrices of them.
//!
//! What is written here for one group is done for eight at once: loops over lanes become vector
//! instructions. Matrices are q x q, row by row. Functions take q as an argument and are always inlined, so
//! that they unroll where q is known.

use std::ops::{Add, AddAssign, Mul, Neg, Sub};

use crate::special;

pub const LANES: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lanes(pub [f64; LANES]);

impl Lanes {
    pub const ZERO: Lanes = Lanes([0.0; LANES]);
    pub const ONE: Lanes = Lanes([1.0; LANES]);

    #[inline(always)]
    pub fn all(x: f64) -> Lanes {
        Lanes([x; LANES])
    }

    /// 1 / self.
    #[inline(always)]
    pub fn inverse(self) -> Lanes {
        let mut out = self;
        for l in 0..LANES {
            out.0[l] = 1.0 / self.0[l];
        }
        out
    }

    /// self b + c.
    #[inline(always)]
    pub fn fma(self, b: Lanes, c: Lanes) -> Lanes {
        let mut out = c;
        for l in 0..LANES {
            out.0[l] = self.0[l].mul_add(b.0[l], c.0[l]);
        }
        out
    }

    /// Sum over lanes, in a fixed order.
    #[inline(always)]
    pub fn sum(self) -> f64 {
        let [a, b, c, d, e, f, g, h] = self.0;
        ((a + e) + (b + f)) + ((c + g) + (d + h))
    }

    /// The largest lane, or NaN if there is one.
    #[inline(always)]
    pub fn largest(self) -> f64 {
        let mut most = f64::NEG_INFINITY;
        for l in 0..LANES {
            if self.0[l] > most || self.0[l].is_nan() {
                most = self.0[l];
            }
        }
        most
    }
}

/// An operator, lane by lane. Plain loops: what a closure or an iterator leaves uninlined would not be vector code.
macro_rules! by_lane {
    ($name:ident, $method:ident, $op:tt) => {
        impl $name for Lanes {
            type Output = Lanes;
            #[inline(always)]
            fn $method(self, other: Lanes) -> Lanes {
                let mut out = self;
                for l in 0..LANES {
                    out.0[l] = self.0[l] $op other.0[l];
                }
                out
            }
        }
    };
}

by_lane!(Add, add, +);
by_lane!(Sub, sub, -);
by_lane!(Mul, mul, *);

impl Mul<f64> for Lanes {
    type Output = Lanes;
    #[inline(always)]
    fn mul(self, x: f64) -> Lanes {
        self * Lanes::all(x)
    }
}

impl Neg for Lanes {
    type Output = Lanes;
    #[inline(always)]
    fn neg(self) -> Lanes {
        let mut out = self;
        for l in 0..LANES {
            out.0[l] = -self.0[l];
        }
        out
    }
}

impl AddAssign for Lanes {
    #[inline(always)]
    fn add_assign(&mut self, other: Lanes) {
        *self = *self + other;
    }
}

#[inline(always)]
pub fn dot(q: usize, a: &[Lanes], b: &[Lanes]) -> Lanes {
    // Slices of known length need no checks.
    let (a, b, mut sum) = (&a[..q], &b[..q], Lanes::ZERO);
    for c in 0..q {
        sum = a[c].fma(b[c], sum);
    }
    sum
}

/// out = A x, or A'x.
#[inline(always)]
pub fn matvec(q: usize, transposed: bool, a: &[Lanes], x: &[Lanes], out: &mut [Lanes]) {
    let (a, x, out) = (&a[..q * q], &x[..q], &mut out[..q]);
    for i in 0..q {
        let mut sum = Lanes::ZERO;
        for k in 0..q {
            sum = a[if transposed { k * q + i } else { i * q + k }].fma(x[k], sum);
        }
        out[i] = sum;
    }
}

/// out += A x, or A'x.
#[inline(always)]
pub fn add_matvec(q: usize, transposed: bool, a: &[Lanes], x: &[Lanes], out: &mut [Lanes]) {
    let (a, x, out) = (&a[..q * q], &x[..q], &mut out[..q]);
    for i in 0..q {
        for k in 0..q {
            out[i] = a[if transposed { k * q + i } else { i * q + k }].fma(x[k], out[i]);
        }
    }
}

/// out = A B, where either may be transposed.
#[inline(always)]
pub fn product(q: usize, (a, at): (&[Lanes], bool), (b, bt): (&[Lanes], bool), out: &mut [Lanes]) {
    let (a, b, out) = (&a[..q * q], &b[..q * q], &mut out[..q * q]);
    for i in 0..q {
        for j in 0..q {
            let mut sum = Lanes::ZERO;
            for k in 0..q {
                let (x, y) = (a[if at { k * q + i } else { i * q + k }], b[if bt { j * q + k } else { k * q + j }]);
                sum = x.fma(y, sum);
            }
            out[i * q + j] = sum;
        }
    }
}

/// out = L B, or L'B, where L is lower-triangular and B may be transposed.
#[inline(always)]
pub fn lower_times(q: usize, (l, lt): (&[Lanes], bool), (b, bt): (&[Lanes], bool), out: &mut [Lanes]) {
    let (l, b, out) = (&l[..q * q], &b[..q * q], &mut out[..q * q]);
    for i in 0..q {
        let (first, end) = if lt { (i, q) } else { (0, i + 1) };
        for j in 0..q {
            let mut sum = Lanes::ZERO;
            for k in first..end {
                let (x, y) = (l[if lt { k * q + i } else { i * q + k }], b[if bt { j * q + k } else { k * q + j }]);
                sum = x.fma(y, sum);
            }
            out[i * q + j] = sum;
        }
    }
}

/// The lower triangle of L'B, where L is lower-triangular and L'B symmetric.
#[inline(always)]
pub fn symmetric_lower_times(q: usize, l: &[Lanes], b: &[Lanes], out: &mut [Lanes]) {
    let (l, b, out) = (&l[..q * q], &b[..q * q], &mut out[..q * q]);
    for i in 0..q {
        for j in 0..=i {
            let mut sum = Lanes::ZERO;
            for k in i..q {
                sum = l[k * q + i].fma(b[k * q + j], sum);
            }
            out[i * q + j] = sum;
        }
    }
}

/// out = A L', where L is lower-triangular.
#[inline(always)]
pub fn times_upper(q: usize, a: &[Lanes], l: &[Lanes], out: &mut [Lanes]) {
    let (a, l, out) = (&a[..q * q], &l[..q * q], &mut out[..q * q]);
    for i in 0..q {
        for j in 0..q {
            let mut sum = Lanes::ZERO;
            for k in 0..=j {
                sum = a[i * q + k].fma(l[j * q + k], sum);
            }
            out[i * q + j] = sum;
        }
    }
}

/// out = D B, where all but the diagonal of D is zero.
#[inline(always)]
pub fn diagonal_times(q: usize, d: &[Lanes], b: &[Lanes], out: &mut [Lanes]) {
    let (d, b, out) = (&d[..q * q], &b[..q * q], &mut out[..q * q]);
    for i in 0..q {
        for j in 0..q {
            out[i * q + j] = d[i * q + i] * b[i * q + j];
        }
    }
}

/// out += times x y'.
#[inline(always)]
pub fn add_dyad(q: usize, times: f64, x: &[Lanes], y: &[Lanes], out: &mut [Lanes]) {
    let (x, y, out) = (&x[..q], &y[..q], &mut out[..q * q]);
    for c in 0..q {
        for d in 0..q {
            out[c * q + d] = (x[c] * times).fma(y[d], out[c * q + d]);
        }
    }
}

/// out += times A, or A'.
#[inline(always)]
pub fn add(q: usize, times: f64, (a, at): (&[Lanes], bool), out: &mut [Lanes]) {
    let (a, out) = (&a[..q * q], &mut out[..q * q]);
    for i in 0..q {
        for j in 0..q {
            out[i * q + j] += a[if at { j * q + i } else { i * q + j }] * times;
        }
    }
}

/// Overwrites the lower triangle by its Cholesky factor, with reciprocals on the diagonal. Lanes that
/// are not positive definite come out false and hold numbers without meaning.
#[inline(always)]
pub fn cholesky(q: usize, a: &mut [Lanes]) -> [bool; LANES] {
    let a = &mut a[..q * q];
    let mut good = [true; LANES];
    for j in 0..q {
        let mut d = a[j * q + j];
        for k in 0..j {
            d = (-a[j * q + k]).fma(a[j * q + k], d);
        }
        let mut inverse = d;
        for l in 0..LANES {
            good[l] &= d.0[l] > 0.0 && d.0[l] < f64::INFINITY;
            inverse.0[l] = 1.0 / d.0[l].sqrt();
        }
        a[j * q + j] = inverse;
        for i in j + 1..q {
            let mut s = a[i * q + j];
            for k in 0..j {
                s = (-a[i * q + k]).fma(a[j * q + k], s);
            }
            a[i * q + j] = s * inverse;
        }
    }
    good
}

/// log|A| of a matrix factorised by [`cholesky`].
#[inline(always)]
pub fn logdet(q: usize, l: &[Lanes]) -> Lanes {
    let (l, mut sum) = (&l[..q * q], Lanes::ZERO);
    for j in 0..q {
        for k in 0..LANES {
            sum.0[k] += special::ln(l[j * q + j].0[k]);
        }
    }
    sum * -2.0
}

/// Solves L L'x = b in place.
#[inline(always)]
pub fn cholesky_solve(q: usize, l: &[Lanes], x: &mut [Lanes]) {
    let (l, x) = (&l[..q * q], &mut x[..q]);
    for i in 0..q {
        let mut s = x[i];
        for k in 0..i {
            s = (-l[i * q + k]).fma(x[k], s);
        }
        x[i] = s * l[i * q + i];
    }
    for i in (0..q).rev() {
        let mut s = x[i];
        for k in i + 1..q {
            s = (-l[k * q + i]).fma(x[k], s);
        }
        x[i] = s * l[i * q + i];
    }
}

/// Writes L'^-1, an upper triangle.
#[inline(always)]
pub fn inverse_transposed(q: usize, l: &[Lanes], out: &mut [Lanes]) {
    let (l, out) = (&l[..q * q], &mut out[..q * q]);
    for j in 0..q {
        for i in (0..q).rev() {
            let mut s = if i == j { Lanes::ONE } else { Lanes::ZERO };
            for k in i + 1..q {
                s = (-l[k * q + i]).fma(out[k * q + j], s);
            }
            out[i * q + j] = s * l[i * q + i];
        }
    }
}

/// Writes (L L')^-1, both triangles.
#[inline(always)]
pub fn cholesky_inverse(q: usize, l: &[Lanes], out: &mut [Lanes]) {
    let (l, out) = (&l[..q * q], &mut out[..q * q]);
    for j in 0..q {
        // Above the diagonal of column j, the solution of L x = e_j is zero, and that of L'x is known by symmetry.
        let x = &mut out[j * q..(j + 1) * q];
        for i in j..q {
            let mut s = if i == j { Lanes::ONE } else { Lanes::ZERO };
            for k in j..i {
                s = (-l[i * q + k]).fma(x[k], s);
            }
            x[i] = s * l[i * q + i];
        }
        for i in (j..q).rev() {
            let mut s = x[i];
            for k in i + 1..q {
                s = (-l[k * q + i]).fma(x[k], s);
            }
            x[i] = s * l[i * q + i];
        }
    }
    for i in 0..q {
        for j in 0..i {
            out[i * q + j] = out[j * q + i];
        }
    }
}
