//! Quantiles of many continuous responses whose predictors differ in eta and sd alone.
//!
//! In the log of a positive response, or the log odds of a proportion, a quantile is a smooth function of (eta, sd): a
//! polynomial in both on each of some rectangles, with as many terms as it turns out to need, held against the exact search
//! at rows of the rectangle. Rectangles where it fails are halved; few rows are left to the exact search.

use rayon::prelude::*;

use super::Line;
use super::chebyshev::{coefficients, needed, place, points, value};

/// Fewest rows that are worth a polynomial.
const FEW: usize = 256;
/// Points of the lines that tell how many terms are needed, few and many.
const PROBES: [usize; 2] = [9, 17];
const MOST_HALVES: usize = 40;
/// Rows of a rectangle that are held against the search.
const CHECKS: usize = 16;
/// Error in units of the spread, on the transformed scale; terms below a part of it are left out.
const GOOD: f64 = 2e-9;
const PART: f64 = 0.05;

type Rows = Vec<u32>;
type Found = Vec<(u32, f64)>;

struct Surface<'a> {
    line: &'a Line<'a>,
    eta: &'a [f64],
    sd: &'a [f64],
    p: f64,
}

/// Rows lie in ends[0] x ends[1].
type Ends = [[f64; 2]; 2];

/// Coefficients of T_i(eta) T_j(sd), by i.
struct Polynomial {
    ends: Ends,
    coefficients: Vec<Vec<f64>>,
}

/// The quantile p of each row; NaN where only the exact search can tell.
pub(super) fn quantiles(line: &Line<'_>, eta: &[f64], sd: &[f64], p: f64) -> Vec<f64> {
    let mut out = vec![f64::NAN; eta.len()];
    let surface = Surface { line, eta, sd, p };
    for (row, y) in surface.fill((0..eta.len() as u32).collect(), 0) {
        out[row as usize] = y;
    }
    out
}

impl Surface<'_> {
    fn fill(&self, rows: Rows, depth: usize) -> Found {
        if rows.len() < FEW || depth == MOST_HALVES {
            return Vec::new();
        }
        let ends = [self.ends(&rows, self.eta), self.ends(&rows, self.sd)];
        let halved = match self.polynomial(&rows, ends) {
            Ok(polynomial) => {
                let one = |&row: &u32| (row, self.back(polynomial.at(self.place(row))));
                return rows.par_iter().with_min_len(1024).map(one).collect();
            }
            Err(axis) => axis,
        };
        let values = [self.eta, self.sd][halved];
        let middle = 0.5 * (ends[halved][0] + ends[halved][1]);
        let (below, above): (Rows, Rows) = rows.into_iter().partition(|&row| values[row as usize] <= middle);
        let (mut found, more) = rayon::join(|| self.fill(below, depth + 1), || self.fill(above, depth + 1));
        found.extend(more);
        found
    }

    fn ends(&self, rows: &Rows, values: &[f64]) -> [f64; 2] {
        let values = rows.iter().map(|&row| values[row as usize]);
        values.fold([f64::MAX, f64::MIN], |[a, b], v| [a.min(v), b.max(v)])
    }

    fn place(&self, row: u32) -> [f64; 2] {
        [self.eta[row as usize], self.sd[row as usize]]
    }

    /// The quantile, transformed, and the unit of its error.
    fn solve(&self, [eta, sd]: [f64; 2]) -> [f64; 2] {
        let mixture = self.line.mixture(eta, sd);
        let y = mixture.quantiles(&[self.p])[0];
        let support = self.line.support;
        if support.low.is_infinite() {
            return [y, mixture.moments().1];
        }
        let x = if support.high.is_finite() { (y / (1.0 - y)).ln() } else { y.ln() };
        [x, 1.0]
    }

    fn back(&self, x: f64) -> f64 {
        let support = self.line.support;
        if support.low.is_infinite() {
            return x;
        }
        if support.high.is_finite() { 1.0 / (1.0 + (-x).exp()) } else { x.exp() }
    }

    /// A polynomial that holds at rows of the rectangle, or the axis to halve: 0 eta, 1 sd.
    fn polynomial(&self, rows: &Rows, ends: Ends) -> Result<Polynomial, usize> {
        let middle = ends.map(|[low, high]| 0.5 * (low + high));
        let unit = self.solve(middle)[1];
        let along_sd = self.terms(ends[1], unit, |sd| [middle[0], sd]).ok_or(1usize)?;
        let along_eta = self.terms(ends[0], unit, |eta| [eta, middle[1]]).ok_or(0usize)?;
        let columns = points(along_sd, ends[1]);
        let solved = |&eta: &f64| {
            let values: Vec<f64> = columns.iter().map(|&sd| self.solve([eta, sd])[0]).collect();
            coefficients(&values)
        };
        let solved: Vec<Vec<f64>> = points(along_eta, ends[0]).par_iter().map(solved).collect();
        let turned = (0..along_sd).map(|j| coefficients(&solved.iter().map(|row| row[j]).collect::<Vec<f64>>()));
        let turned: Vec<Vec<f64>> = turned.collect();
        let by_eta = (0..along_eta).map(|i| turned.iter().map(|column| column[i]).collect()).collect();
        let polynomial = Polynomial { ends, coefficients: by_eta };
        let holds = |&row: &u32| {
            let [x, unit] = self.solve(self.place(row));
            (polynomial.at(self.place(row)) - x).abs() <= GOOD * unit
        };
        if self.checked(rows, ends).par_iter().all(holds) {
            Ok(polynomial)
        } else {
            Err(usize::from(along_sd > along_eta))
        }
    }

    /// Terms that the quantile needs along a line; `None` where it needs too many.
    fn terms(&self, ends: [f64; 2], unit: f64, on: impl Fn(f64) -> [f64; 2] + Sync) -> Option<usize> {
        if ends[0] == ends[1] {
            return Some(1);
        }
        PROBES.iter().find_map(|&count| {
            let values = points(count, ends).par_iter().map(|&at| self.solve(on(at))[0]).collect::<Vec<f64>>();
            let all = values.iter().all(|v| v.is_finite());
            if all { needed(&coefficients(&values), PART * GOOD * unit) } else { None }
        })
    }

    /// Rows to check: those next to the corners, and some in between.
    fn checked(&self, rows: &Rows, ends: Ends) -> Rows {
        let corner = |sign: [f64; 2]| {
            let far = |row: &u32| {
                let at = self.place(*row);
                sign[0] * place(at[0], ends[0]) + sign[1] * place(at[1], ends[1])
            };
            rows.iter().copied().max_by(|a, b| far(a).total_cmp(&far(b)))
        };
        let corners = [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]].into_iter().filter_map(corner);
        let between = (0..CHECKS).map(|i| rows[(2 * i + 1) * rows.len() / (2 * CHECKS)]);
        corners.chain(between).collect()
    }
}

impl Polynomial {
    fn at(&self, [eta, sd]: [f64; 2]) -> f64 {
        let x = place(sd, self.ends[1]);
        let outer = place(eta, self.ends[0]);
        // Clenshaw's recurrence in eta over coefficients that are polynomials in sd.
        let (mut b, mut before) = (0.0, 0.0);
        for row in self.coefficients[1..].iter().rev() {
            (b, before) = (2.0 * outer * b + (value(row, x) - before), b);
        }
        outer * b + (value(&self.coefficients[0], x) - before)
    }
}
