//! A smooth function of the standard deviation, solved for at few points.

use super::chebyshev::{coefficients, needed, place, points, value};

/// Points of a segment.
const POINTS: usize = 12;
/// Where a segment is held against the solution, on [-1, 1].
const LOOKS: [f64; 3] = [-1.0, 0.13, 1.0];
/// Error, in units of 1 + |value|, up to which a segment is not halved.
const GOOD: f64 = 1e-8;
/// Error up to which a segment serves where halving no longer helps.
const FAIR: f64 = 1e-5;
/// Terms that are left out.
const SMALL: f64 = 1e-11;
const MOST_HALVES: usize = 7;
/// The error that is reckoned with is this multiple of the worst that was seen, and never less than `LEAST`.
const CAUTION: f64 = 30.0;
const LEAST: f64 = 1e-7;

struct Segment {
    /// Of hypot(sd, bend).
    ends: [f64; 2],
    coefficients: Vec<f64>,
    /// What the curve may be off; infinite where it is not known.
    error: f64,
}

pub(super) struct Curve {
    segments: Vec<Segment>,
    bend: f64,
}

impl Curve {
    /// Of `solve(sd, guess)` between two ends, nearly straight in hypot(sd, bend).
    pub fn new(ends: [f64; 2], bend: f64, solve: &impl Fn(f64, Option<f64>) -> f64) -> Curve {
        let mut segments = Vec::new();
        let by_width = |w: f64, guess| solve(((w - bend) * (w + bend)).max(0.0).sqrt(), guess);
        extend(&mut segments, ends.map(|sd| sd.hypot(bend)), &by_width, None, 0);
        Curve { segments, bend }
    }

    /// The function and what it may be off.
    #[inline]
    pub fn at(&self, sd: f64) -> (f64, f64) {
        let w = sd.hypot(self.bend);
        let last = self.segments.len() - 1;
        let segment = &self.segments[self.segments[..last].partition_point(|s| s.ends[1] < w)];
        (value(&segment.coefficients, place(w, segment.ends)), segment.error)
    }
}

/// Adds the segments between two ends, lowest first.
fn extend(
    segments: &mut Vec<Segment>,
    ends: [f64; 2],
    solve: &impl Fn(f64, Option<f64>) -> f64,
    guess: Option<f64>,
    depth: usize,
) {
    let count = if ends[1] > ends[0] { POINTS } else { 1 };
    let mut guess = guess;
    let mut values = Vec::with_capacity(count);
    for w in points(count, ends) {
        let found = solve(w, guess);
        guess = Some(found).filter(|g| g.is_finite());
        values.push(found);
    }
    if values.iter().all(|v| *v == values[0]) && !values[0].is_nan() {
        segments.push(Segment { ends, coefficients: vec![values[0]], error: LEAST });
        return;
    }
    let mut coefficients = coefficients(&values);
    let terms = needed(&coefficients, SMALL).unwrap_or(count);
    coefficients.truncate(terms);
    let off = |&x: &f64| {
        let w = 0.5 * ((1.0 - x) * ends[0] + (1.0 + x) * ends[1]);
        let table = value(&coefficients, x);
        (table - solve(w, Some(table).filter(|g| g.is_finite()))).abs() / (1.0 + table.abs())
    };
    let seen = LOOKS.iter().map(off).fold(0.0, |a: f64, b| if b.is_nan() { f64::INFINITY } else { a.max(b) });
    if seen <= GOOD || depth == MOST_HALVES {
        let size = values.iter().fold(1.0, |a: f64, v| a.max(1.0 + v.abs()));
        let error = if seen <= FAIR { size * (CAUTION * seen).max(LEAST) } else { f64::INFINITY };
        segments.push(Segment { ends, coefficients, error });
        return;
    }
    let middle = 0.5 * (ends[0] + ends[1]);
    let first = values.first().copied().filter(|g| g.is_finite());
    extend(segments, [ends[0], middle], solve, first, depth + 1);
    extend(segments, [middle, ends[1]], solve, guess, depth + 1);
}
