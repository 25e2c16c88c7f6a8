//! A bounded function of one variable as polynomials between knots.

use super::chebyshev::{coefficients, needed, place, points, value};
use super::rule::Rule;

/// Points of a piece.
const POINTS: usize = 16;
const MOST_HALVES: usize = 40;
/// Terms that are left out.
const TOLERANCE: f64 = 1e-13;
/// What may be rounding, and what halving at least makes of terms that are not.
const NOISE: f64 = 1e-9;
const SHRINKS: f64 = 0.1;

/// Error at the ends of a piece.
const AT_ENDS: f64 = 1e-11;

struct Piece {
    ends: [f64; 2],
    coefficients: Vec<f64>,
}

pub(super) struct Pieces {
    pieces: Vec<Piece>,
    /// Below the first and above the second place the function is constant.
    turning: [f64; 2],
    /// Length of the shortest piece: the scale on which the function turns.
    pub scale: f64,
}

impl Pieces {
    pub fn new(ends: [f64; 2], f: &impl Fn(f64) -> f64) -> Pieces {
        let mut pieces = Vec::new();
        extend(&mut pieces, ends, f, f64::INFINITY, 0);
        let turns = |piece: &&Piece| piece.coefficients.len() > 1;
        let first = pieces.iter().find(turns).map_or(ends[1], |piece| piece.ends[0]);
        let last = pieces.iter().rev().find(turns).map_or(ends[1], |piece| piece.ends[1]);
        let scale = pieces.iter().map(|piece| piece.ends[1] - piece.ends[0]).fold(f64::INFINITY, f64::min);
        Pieces { pieces, turning: [first, last], scale }
    }

    /// The sum of weight f(center + sd t) over the points of a rule; beyond the ends f is as at them.
    pub fn sum(&self, rule: &Rule, center: f64, sd: f64) -> f64 {
        let last = self.pieces.len() - 1;
        let bound = |x: f64| rule.line.partition_point(|(_, t)| sd * t + center < x);
        let [from, to] = self.turning.map(bound);
        let mut total = rule.before[from] * self.pieces[0].coefficients[0];
        total += (rule.before[rule.line.len()] - rule.before[to]) * self.pieces[last].coefficients[0];
        let mut at = 0;
        for (weight, t) in &rule.line[from..to] {
            let x = sd * t + center;
            while at < last && self.pieces[at].ends[1] < x {
                at += 1;
            }
            let piece = &self.pieces[at];
            total += weight * value(&piece.coefficients, place(x, piece.ends));
        }
        total
    }
}

/// Adds the pieces between two ends, lowest first; `before` is the size of the last terms on twice the length.
fn extend(pieces: &mut Vec<Piece>, ends: [f64; 2], f: &impl Fn(f64) -> f64, before: f64, depth: usize) {
    let values: Vec<f64> = points(POINTS, ends).into_iter().map(f).collect();
    let mut found = coefficients(&values);
    let last = found[POINTS - 1].abs().max(found[POINTS - 2].abs());
    // Terms that halving does not make smaller are rounding of f.
    let rounding = last <= NOISE && last > SHRINKS * before;
    // A turn between the last point and an end shows at the end.
    let off = |(end, x): (f64, f64)| (value(&found, x) - f(end)).abs() > AT_ENDS + 10.0 * last;
    let whole = || ![(ends[0], -1.0), (ends[1], 1.0)].into_iter().any(off);
    if depth < MOST_HALVES && !((rounding || last <= TOLERANCE) && whole()) {
        let middle = 0.5 * (ends[0] + ends[1]);
        extend(pieces, [ends[0], middle], f, last, depth + 1);
        extend(pieces, [middle, ends[1]], f, last, depth + 1);
        return;
    }
    let terms = needed(&found, TOLERANCE).unwrap_or(POINTS);
    found.truncate(terms);
    pieces.push(Piece { ends, coefficients: found });
}
