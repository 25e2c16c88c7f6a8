//! Families whose log density is a(t) A(eta) + K(t), with a = exp(-2 t) and t the log of the standard
//! deviation (gaussian) or of the coefficient of variation (gamma).

use super::rows::{Cache, Kernel, LANES, run1, run2};
use super::{Derivs, Rows, Want};
use crate::special::exp;

/// Limit of the log of a: products with the unit part then stay finite.
const LOG_SCALE_LIMIT: f64 = 300.0;

/// a = exp(-2 t), saturating.
#[inline(always)]
pub(super) fn scale(t: f64) -> f64 {
    exp((-2.0 * t).clamp(-LOG_SCALE_LIMIT, LOG_SCALE_LIMIT))
}

/// `unit` gives A and its derivatives in eta; `constant` K and its derivatives in t.
struct Scaled<A, K> {
    unit: A,
    constant: K,
    /// False when neither the value nor a derivative in t is wanted: `constant` is not called then.
    complete: bool,
    cache: Cache<6>,
}

impl<A, K> Scaled<A, K>
where
    A: Fn(f64, f64) -> [f64; 5],
    K: Fn(f64) -> [f64; 5],
{
    #[inline(always)]
    fn update(&mut self, t: &[f64; LANES]) {
        if !self.complete {
            return self.cache.update(
                t,
                #[inline(always)]
                |t| [scale(t), 0.0, 0.0, 0.0, 0.0, 0.0],
            );
        }
        self.cache.update(
            t,
            #[inline(always)]
            |t| {
                let [k0, k1, k2, k3, k4] = (self.constant)(t);
                [scale(t), k0, k1, k2, k3, k4]
            },
        );
    }
}

impl<A, K> Kernel<3, 5> for Scaled<A, K>
where
    A: Fn(f64, f64) -> [f64; 5],
    K: Fn(f64) -> [f64; 5],
{
    #[inline(always)]
    fn prepare(&mut self, block: &[[f64; LANES]; 3]) {
        self.update(&block[2]);
    }

    #[inline(always)]
    fn row(&self, lane: usize, [y, eta, _]: [f64; 3]) -> [f64; 5] {
        let k = self.cache.at(lane);
        let a = k[0];
        let [u0, u1, u2, u3, u4] = (self.unit)(y, eta);
        [a.mul_add(u0, k[1]), a * u1, a * u2, a * u3, a * u4]
    }
}

impl<A, K> Kernel<3, 15> for Scaled<A, K>
where
    A: Fn(f64, f64) -> [f64; 5],
    K: Fn(f64) -> [f64; 5],
{
    #[inline(always)]
    fn prepare(&mut self, block: &[[f64; LANES]; 3]) {
        self.update(&block[2]);
    }

    #[inline(always)]
    fn row(&self, lane: usize, [y, eta, _]: [f64; 3]) -> [f64; 15] {
        let k = self.cache.at(lane);
        let mut u = (self.unit)(y, eta);
        for u in &mut u {
            *u *= k[0];
        }
        [
            u[0] + k[1],
            u[1],
            (-2.0f64).mul_add(u[0], k[2]),
            u[2],
            -2.0 * u[1],
            4.0f64.mul_add(u[0], k[3]),
            u[3],
            -2.0 * u[2],
            4.0 * u[1],
            (-8.0f64).mul_add(u[0], k[4]),
            u[4],
            -2.0 * u[3],
            4.0 * u[2],
            -8.0 * u[1],
            16.0f64.mul_add(u[0], k[5]),
        ]
    }
}

/// Fills `out` for the first one or two predictors.
#[inline(always)]
pub(super) fn derivs<A, K>(unit: A, constant: K, rows: Rows<'_>, eta: &[&[f64]], want: Want, out: &mut Derivs)
where
    A: Fn(f64, f64) -> [f64; 5],
    K: Fn(f64) -> [f64; 5],
{
    let complete = want.value || want.dims == 2;
    let kernel = Scaled { unit, constant, complete, cache: Cache::new() };
    let input = [rows.y, eta[0], eta[1]];
    if want.dims == 1 { run1(kernel, input, want, out) } else { run2(kernel, input, want, out) }
}
