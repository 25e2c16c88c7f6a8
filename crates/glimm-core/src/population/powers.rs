//! Links that are powers of a positive mean.

use crate::link::Link;
use crate::special::normal_pdf;

/// Fewest standard deviations between eta and 0: beyond, eta + sd t < 0 has probability 1e-12 and no weight.
const SAFE: f64 = 7.0;
const REACH: f64 = 8.9;
const STEP: f64 = 0.2;

/// Mean and derivatives; NaN where the predictor leaves the link's domain with a probability that matters.
pub(super) fn average(link: Link, eta: f64, sd: f64) -> [f64; 3] {
    let v = sd * sd;
    match link.exponent() {
        Some(1.0) => return [eta, 1.0, 0.0],
        Some(2.0) => return [eta.mul_add(eta, v), 2.0 * eta, 2.0 * sd],
        _ => (),
    }
    if eta <= SAFE * sd {
        return [f64::NAN; 3];
    }
    // Towards 0 the integrand has a pole; the weight there is nothing.
    let from = (-REACH).max(-0.95 * eta / sd);
    let mut sums = [0.0; 3];
    for k in 0..=((REACH - from) / STEP) as usize {
        let t = (k as f64).mul_add(STEP, from);
        let weight = STEP * normal_pdf(t);
        let [f, d1, d2, ..] = link.inverse_derivatives(sd.mul_add(t, eta));
        sums = [weight.mul_add(f, sums[0]), weight.mul_add(d1, sums[1]), weight.mul_add(sd * d2, sums[2])];
    }
    sums
}
