//! The Cauchy link: panels of Gauss and Legendre about as wide as their distance from the poles at -i and i.

use super::Average;
use crate::link::Link;
use crate::special::{GAUSS_NODES, GAUSS_WEIGHTS, normal_pdf};

/// Standard deviations to either side.
const REACH: f64 = 8.9;
/// From here on the derivative in sd is taken from t F' in place of sd F''.
const LARGE: f64 = 1.0;

pub(super) fn average(eta: f64, sd: f64) -> Average {
    if eta > 0.0 {
        return average(-eta, sd).mirrored();
    }
    let (mut x, end) = (REACH.mul_add(-sd, eta), REACH.mul_add(sd, eta));
    let mut sums = [0.0; 3];
    while x < end {
        let grown = if x < 0.0 { -0.75 * x } else { 1.5 * x };
        let width = grown.max(1.5).min(2.0 * sd).min(end - x);
        panel(x, width, eta, sd, &mut sums);
        x += width.max(f64::EPSILON * x.abs());
    }
    Average::of(sums)
}

fn panel(from: f64, width: f64, eta: f64, sd: f64, sums: &mut [f64; 3]) {
    let (half, center) = (0.5 * width, from + 0.5 * width);
    for (node, weight) in GAUSS_NODES.iter().zip(&GAUSS_WEIGHTS) {
        for x in [center - half * node, center + half * node] {
            let t = (x - eta) / sd;
            let mass = weight * half / sd * normal_pdf(t);
            let [f, d1, d2, ..] = Link::Cauchit.inverse_derivatives(x);
            let third = if sd < LARGE { sd * d2 } else { t * d1 };
            *sums = [mass.mul_add(f, sums[0]), mass.mul_add(d1, sums[1]), mass.mul_add(third, sums[2])];
        }
    }
}
