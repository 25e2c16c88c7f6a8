//! A bounded function of one variable as polynomials between knots.

use super::chebyshev::{coefficients, needed, place, points, value};

/// Points of a piece.
const POINTS: usize = 16;
const MOST_HALVES: usize = 40;
/// Terms that are left out.
const TOLERANCE: f64 = 1e-13;

struct Piece {
    ends: [f64; 2],
    coefficients: Vec<f64>,
}

pub(super) struct Pieces(Vec<Piece>);

impl Pieces {
    pub fn new(ends: [f64; 2], f: &impl Fn(f64) -> f64) -> Pieces {
        let mut pieces = Vec::new();
        extend(&mut pieces, ends, f, 0);
        Pieces(pieces)
    }

    /// The sum of weight f(center + scale t) over points t that ascend; beyond the ends f is as at them.
    pub fn sum(&self, line: &[(f64, f64)], center: f64, scale: f64) -> f64 {
        let last = self.0.len() - 1;
        let start = line.first().map_or(center, |(_, t)| scale.mul_add(*t, center));
        let mut at = self.0[..last].partition_point(|piece| piece.ends[1] < start);
        let mut total = 0.0;
        for (weight, t) in line {
            let x = scale.mul_add(*t, center);
            while at < last && self.0[at].ends[1] < x {
                at += 1;
            }
            let piece = &self.0[at];
            total += weight * value(&piece.coefficients, place(x, piece.ends).clamp(-1.0, 1.0));
        }
        total
    }
}

fn extend(pieces: &mut Vec<Piece>, ends: [f64; 2], f: &impl Fn(f64) -> f64, depth: usize) {
    let values: Vec<f64> = points(POINTS, ends).into_iter().map(f).collect();
    let mut found = coefficients(&values);
    match needed(&found, TOLERANCE) {
        None if depth < MOST_HALVES => {
            let middle = 0.5 * (ends[0] + ends[1]);
            extend(pieces, [ends[0], middle], f, depth + 1);
            extend(pieces, [middle, ends[1]], f, depth + 1);
        }
        terms => {
            found.truncate(terms.unwrap_or(POINTS));
            pieces.push(Piece { ends, coefficients: found });
        }
    }
}
