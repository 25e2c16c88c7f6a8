//! Distribution functions and draws of counts that are known by their probabilities alone.

use super::Random;
use crate::special::{GAUSS_NODES, GAUSS_WEIGHTS};
use rand::RngExt;

/// As many terms at each end of a sum are added one by one. What is left of it varies so slowly that it is an integral
/// to rounding, by the rule of Euler and Maclaurin (from half a step before the first term) with one correction.
const DIRECT: f64 = 1000.0;
/// Further terms no longer matter once they have fallen to this share of the sum.
const NEGLIGIBLE: f64 = 1e-18;
/// No sum goes further, and no draw.
const FAR: f64 = 1e30;
const LARGEST_DRAW: f64 = 1e18;
/// Steps of a search for a draw before it is left to the distribution function.
const SEARCH: u32 = 4000;

/// Sum of term(0), ..., term(last), where `last` may be infinite. The terms rise or fall at most once each, and once
/// negligible stay so.
pub(super) fn sum(term: impl Fn(f64) -> f64, last: f64) -> f64 {
    let (mut total, mut before, mut k) = (0.0, 0.0, 0.0);
    let all = last <= 4.0 * DIRECT;
    while k <= if all { last } else { DIRECT - 1.0 } {
        let next = term(k);
        total += next;
        if next < before && next <= NEGLIGIBLE * total {
            return total;
        }
        (before, k) = (next, k + 1.0);
    }
    if all { total } else { total + middle(&term, last, total) }
}

/// Sum of term(DIRECT), ..., term(last), given the sum before.
fn middle(term: &impl Fn(f64) -> f64, last: f64, known: f64) -> f64 {
    let end = if last < FAR { last - DIRECT + 0.5 } else { FAR };
    let mut left = DIRECT - 0.5;
    let mut total = (term(DIRECT) - term(DIRECT - 1.0)) / 24.0;
    let mut before = 0.0;
    while left < end {
        let right = (left + left.min(0.5 * (end - left + DIRECT))).min(end);
        let next = panel(term, left, right);
        total += next;
        if next < before && next <= NEGLIGIBLE * (known + total) {
            return total;
        }
        (before, left) = (next, right);
    }
    if last >= FAR {
        return total;
    }
    let tail: f64 = (0..DIRECT as u32).map(|k| term(last - f64::from(k))).sum();
    total - (term(end + 0.5) - term(end - 0.5)) / 24.0 + tail
}

fn panel(term: &impl Fn(f64) -> f64, left: f64, right: f64) -> f64 {
    let (center, half) = (0.5 * (left + right), 0.5 * (right - left));
    let pairs = GAUSS_NODES.iter().zip(&GAUSS_WEIGHTS);
    half * pairs.map(|(x, w)| w * (term(center - half * x) + term(center + half * x))).sum::<f64>()
}

/// (P(Y <= y), P(Y > y)) for counts from 0 to `last`, which may be infinite.
pub(super) fn tails(y: f64, last: f64, mean: f64, probability: impl Fn(f64) -> f64) -> (f64, f64) {
    let y = y.floor();
    if y < 0.0 {
        return (0.0, 1.0);
    }
    if y >= last {
        return (1.0, 0.0);
    }
    let lower = || sum(|k| probability(y - k), y).min(1.0);
    let upper = || sum(|k| probability(y + 1.0 + k), last - y - 1.0).min(1.0);
    if y < mean {
        let lower = lower();
        (lower, if lower < 0.5 { 1.0 - lower } else { upper() })
    } else {
        let upper = upper();
        (if upper < 0.5 { 1.0 - upper } else { lower() }, upper)
    }
}

/// A draw by inversion: from a count near the mode outwards, in both directions, or, where that takes too long, by
/// bisection of the distribution function.
pub(super) fn draw(
    rng: &mut Random,
    mode: f64,
    probability: impl Fn(f64) -> f64,
    cdf: impl Fn(f64) -> (f64, f64),
) -> f64 {
    let uniform: f64 = rng.random();
    let (mut left, mut up, mut down) = (uniform, mode.floor(), mode.floor());
    left -= probability(up);
    for _ in 0..SEARCH {
        if left <= 0.0 {
            return up;
        }
        up += 1.0;
        left -= probability(up);
        if left > 0.0 && down > 0.0 {
            down -= 1.0;
            left -= probability(down);
            if left <= 0.0 {
                return down;
            }
        }
    }
    // what is left is spread over the counts beyond those searched
    let above = cdf(up).1;
    quantile(if left <= above { left } else { 1.0 - (left - above) }, cdf)
}

/// The least count above which there is probability `upper` or less.
pub(super) fn quantile(upper: f64, cdf: impl Fn(f64) -> (f64, f64)) -> f64 {
    let (mut low, mut high) = (-1.0, 1.0);
    while cdf(high).1 > upper && high < LARGEST_DRAW {
        (low, high) = (high, 2.0 * high);
    }
    while high - low > 1.0 {
        let middle = (0.5 * (low + high)).floor();
        if middle == low || middle == high {
            break;
        }
        if cdf(middle).1 > upper { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_sums_are_those_of_geometric_and_inverse_square_series() {
        for q in [0.3f64, 0.99, 0.9999, 1.0 - 1e-8] {
            let found = sum(|k| (k * q.ln()).exp(), f64::INFINITY);
            assert!((found * -((q.ln()).exp_m1()) - 1.0).abs() < 1e-13, "{q} {found}");
            let partial = sum(|k| (k * q.ln()).exp(), 99_999.0);
            let exact = -(1e5 * q.ln()).exp_m1() / -(q.ln().exp_m1());
            assert!((partial / exact - 1.0).abs() < 1e-13, "{q}");
        }
        let upward = sum(|k| 1.0 / ((k + 1.0) * (k + 1.0)), f64::INFINITY);
        assert!((upward / (std::f64::consts::PI.powi(2) / 6.0) - 1.0).abs() < 1e-13, "{upward}");
        // the same from the other end
        let count = 1e6;
        let downward = sum(|k| 1.0 / ((count - k) * (count - k)), count - 1.0);
        let exact = upward - 1.0 / count + 0.5 / (count * count);
        assert!((downward - exact).abs() < 1e-13, "{downward}");
    }
}
