//! Means that are powers of their predictors: eta^q, for the links identity, inverse, 1/mu^2, sqrt and power(p).

use super::jets::Jet;
use crate::link::{continued, power_derivatives};
use crate::special::exp;

/// ln of a power where it is cut off, at a predictor near 0 or far from it: fourth derivatives and squares stay finite.
const LN_SMALL: f64 = -46.0;
const LN_LARGE: f64 = 100.0;

/// The least predictor of a mean. Below, functions of the mean continue as parabolas, so that impossible predictors have
/// finite log densities.
pub(super) fn pole(q: f64) -> f64 {
    exp(LN_SMALL / q.abs().max(1.0))
}

/// eta^q, q not 0.
pub(super) fn power<const D: usize, const N: usize>(eta: Jet<D, N>, q: f64) -> Jet<D, N> {
    let eta = eta.clamp(f64::NEG_INFINITY, exp(LN_LARGE / q.max(1e-3)));
    eta.compose(continued(eta.value(), pole(q), |x| power_derivatives(x, q)))
}
