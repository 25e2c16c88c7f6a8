//! Families whose log density is a(t) A(eta) + K(t), with a = exp(-2 t) and t the log of the standard
//! deviation (gaussian) or of the coefficient of variation (gamma).

use super::rows::{Cache, Kernel, LANES, run1, run2};
use super::{Derivs, Rows, Want};
use crate::special::exp;
use std::marker::PhantomData;

/// Limit of the log of a: products with the unit part then stay finite.
const LOG_SCALE_LIMIT: f64 = 300.0;

/// a = exp(-2 t), saturating.
#[inline(always)]
pub(super) fn scale(t: f64) -> f64 {
    exp((-2.0 * t).clamp(-LOG_SCALE_LIMIT, LOG_SCALE_LIMIT))
}

/// The two parts of such a family with a link.
pub(super) trait Unit {
    /// A(eta) of one response and its first four derivatives.
    fn unit(y: f64, eta: f64) -> [f64; 5];

    /// K(t) and its first four derivatives.
    fn constant(t: f64) -> [f64; 5];
}

struct Scaled<U> {
    unit: PhantomData<U>,
    /// False when neither the value nor a derivative in t is wanted: K is not computed then.
    complete: bool,
    cache: Cache<6>,
}

impl<U: Unit> Scaled<U> {
    #[inline(always)]
    fn update(&mut self, t: &[f64; LANES]) {
        let complete = self.complete;
        self.cache.update(
            t,
            #[inline(always)]
            |t| {
                let [k0, k1, k2, k3, k4] = if complete { U::constant(t) } else { [0.0; 5] };
                [scale(t), k0, k1, k2, k3, k4]
            },
        );
    }
}

impl<U: Unit> Kernel<3, 5> for Scaled<U> {
    #[inline(always)]
    fn prepare(&mut self, block: &[[f64; LANES]; 3]) {
        self.update(&block[2]);
    }

    #[inline(always)]
    fn row(&self, lane: usize, [y, eta, _]: [f64; 3]) -> [f64; 5] {
        let [a, k, ..] = self.cache.at(lane);
        let [u0, u1, u2, u3, u4] = U::unit(y, eta);
        [a.mul_add(u0, k), a * u1, a * u2, a * u3, a * u4]
    }
}

impl<U: Unit> Kernel<3, 15> for Scaled<U> {
    #[inline(always)]
    fn prepare(&mut self, block: &[[f64; LANES]; 3]) {
        self.update(&block[2]);
    }

    #[inline(always)]
    fn row(&self, lane: usize, [y, eta, _]: [f64; 3]) -> [f64; 15] {
        let [a, k0, k1, k2, k3, k4] = self.cache.at(lane);
        let [u0, u1, u2, u3, u4] = U::unit(y, eta);
        let (a1, a2, a3, a4) = (-2.0 * a, 4.0 * a, -8.0 * a, 16.0 * a);
        #[rustfmt::skip]
        let row = [
            a.mul_add(u0, k0),
            a * u1, a1.mul_add(u0, k1),
            a * u2, a1 * u1, a2.mul_add(u0, k2),
            a * u3, a1 * u2, a2 * u1, a3.mul_add(u0, k3),
            a * u4, a1 * u3, a2 * u2, a3 * u1, a4.mul_add(u0, k4),
        ];
        row
    }
}

/// Fills `out` for the first one or two predictors.
#[inline(always)]
pub(super) fn derivs<U: Unit>(rows: Rows<'_>, eta: &[&[f64]], want: Want, out: &mut Derivs) {
    let complete = want.value || want.dims == 2;
    let kernel = Scaled::<U> { unit: PhantomData, complete, cache: Cache::new() };
    let input = [rows.y, eta[0], eta[1]];
    if want.dims == 1 { run1(kernel, input, want, out) } else { run2(kernel, input, want, out) }
}
