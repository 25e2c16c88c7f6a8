//! H as a sparse matrix: supernodal Cholesky factor, selected inverse and its tangent.

use std::sync::Arc;

use super::pattern::Pattern;
use super::solver::Solver;
use crate::error::Error;
use crate::linalg::sparse::{Factor, SparseError, Symbolic};

/// One level in so many of the largest factor tells whether an analysis of all has any hope.
const SOME: usize = 4;

/// Column, row and number of a matrix.
type Entry = (u32, u32, u32);

/// Where the numbers of a matrix of blocks stand in the sparse H, with its symbolic analysis.
pub struct Analysis {
    /// For every number of a matrix, its place among the values of H; mirrored ones share theirs.
    place: Vec<usize>,
    values: usize,
    pub symbolic: Arc<Symbolic>,
}

impl Analysis {
    /// None where a factorisation would take more than `most` multiplications, about.
    pub fn within(pattern: &Pattern, most: f64) -> Result<Option<Analysis>, Error> {
        let mut entries = entries(pattern);
        entries.sort_unstable();
        if most.is_finite() && hopeless(pattern, &entries, most)? {
            return Ok(None);
        }
        let n = pattern.effects();
        let (columns, rows, place) = lower_triangle(n, &entries, pattern.matrix_len());
        let symbolic = Symbolic::within(n, &columns, &rows, most).map_err(failed)?;
        Ok(symbolic.map(|symbolic| Analysis { place, values: rows.len(), symbolic }))
    }
}

/// Every number in the lower triangle; the column belongs to the earlier effect.
fn entries(pattern: &Pattern) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::with_capacity(pattern.matrix_len());
    for pair in &pattern.pairs {
        for cell in 0..pair.cells {
            let (g, h) = pattern.levels(pair, cell);
            for c in 0..pair.size.0 {
                for d in 0..pair.size.1 {
                    let column = pattern.term(pair.s).start + g * pair.size.0 + c;
                    let row = pattern.term(pair.t).start + h * pair.size.1 + d;
                    let place = pair.first + (cell * pair.size.0 + c) * pair.size.1 + d;
                    entries.push((column.min(row) as u32, column.max(row) as u32, place as u32));
                }
            }
        }
    }
    entries
}

fn failed(error: SparseError) -> Error {
    Error::Degenerate { why: format!("sparse factorisation: {error}") }
}

/// Columns and rows of sorted entries, and where each number of a matrix stands among them.
fn lower_triangle(n: usize, entries: &[Entry], matrix_len: usize) -> (Vec<usize>, Vec<usize>, Vec<usize>) {
    let (mut columns, mut rows) = (vec![0; n + 1], Vec::with_capacity(entries.len()));
    let (mut place, mut last) = (vec![0; matrix_len], None);
    for &(column, row, at) in entries {
        if last != Some((column, row)) {
            columns[column as usize + 1] += 1;
            rows.push(row as usize);
            last = Some((column, row));
        }
        place[at as usize] = rows.len() - 1;
    }
    (0..n).for_each(|c| columns[c + 1] += columns[c]);
    (columns, rows, place)
}

/// Whether already some levels of the largest factor with all of the others would take more than `most`: the matrix of
/// some of the effects takes no more than that of all.
fn hopeless(pattern: &Pattern, entries: &[Entry], most: f64) -> Result<bool, Error> {
    let left_out = |effect: usize| {
        pattern.groupings[0].terms.iter().any(|&t| {
            let own = pattern.term(t);
            own.contains(&effect) && !((effect - own.start) / pattern.sizes[t]).is_multiple_of(SOME)
        })
    };
    let mut n = 0;
    let mut count = || {
        n += 1;
        n - 1
    };
    let number: Vec<Option<u32>> = (0..pattern.effects()).map(|i| (!left_out(i)).then(&mut count)).collect();
    let among = |&(column, row, at): &Entry| Some((number[column as usize]?, number[row as usize]?, at));
    let few: Vec<Entry> = entries.iter().filter_map(among).collect();
    let (columns, rows, _) = lower_triangle(n as usize, &few, pattern.matrix_len());
    // Orders are approximate, so that fewer effects may seem to take a little more.
    Ok(Symbolic::multiplications(n as usize, &columns, &rows).map_err(failed)? > 2.0 * most)
}

pub struct Sparse {
    analysis: Arc<Analysis>,
    factor: Factor,
    values: Vec<f64>,
    out: Vec<f64>,
}

impl Sparse {
    pub fn new(analysis: Arc<Analysis>) -> Sparse {
        let values = vec![0.0; analysis.values];
        Sparse { factor: Factor::new(analysis.symbolic.clone()), out: values.clone(), values, analysis }
    }

    /// Copies a matrix's lower half into the values of H; the two halves of a block are equal.
    fn gather(&mut self, m: &[f64]) {
        for (v, &p) in m.iter().zip(&self.analysis.place) {
            self.values[p] = *v;
        }
    }

    fn scatter(&self, out: &mut [f64]) {
        for (o, &p) in out.iter_mut().zip(&self.analysis.place) {
            *o = self.out[p];
        }
    }
}

impl Solver for Sparse {
    fn factorise(&mut self, h: &[f64]) -> Option<f64> {
        self.gather(h);
        self.factor.refactor(&self.values).ok()?;
        Some(self.factor.logdet())
    }

    fn solve(&mut self, x: &mut [f64]) {
        self.factor.solve_in_place(x);
    }

    fn solve_all(&mut self, x: &mut [f64], _n: usize) {
        self.factor.solve_in_place(x);
    }

    fn inverse(&mut self, out: &mut [f64]) {
        self.factor.selected_inverse(&mut self.out);
        self.scatter(out);
    }

    fn inverse_tangent(&mut self, dh: &[f64], out: &mut [f64]) {
        self.gather(dh);
        self.factor.selected_inverse_tangent(&self.values, &mut self.out);
        self.scatter(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::design::{Column, Term};
    use crate::structure;

    /// Two factors of 1,200 and 900 levels: the second level follows the first up to `spread`.
    fn pattern(spread: u64) -> Pattern {
        let scattered = |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let first: Vec<u32> = (0..24_000).map(|i| i % 1_200).collect();
        let near = |(i, &g): (usize, &u32)| (u64::from(g) * 3 / 4 + scattered(i as u64) % spread) % 900;
        let second: Vec<u32> = first.iter().enumerate().map(|pair| near(pair) as u32).collect();
        let one = || structure::lookup("us", 1).unwrap();
        let term = |codes, levels| Term::new(codes, levels, vec![Column::One], vec![0], one());
        Pattern::new(&[term(first, 1_200), term(second, 900)]).unwrap().0
    }

    #[test]
    fn analyses_end_early_only_where_they_would_end_late() {
        let flops = |spread| Analysis::within(&pattern(spread), f64::INFINITY).unwrap().unwrap().symbolic.flops();
        let (near, far) = (flops(8), flops(900));
        assert!(50.0 * near < far, "{near:e} {far:e}");
        assert!(Analysis::within(&pattern(8), 4.0 * near).unwrap().is_some());
        let (wide, most) = (pattern(900), 1e-3 * far);
        let mut entries = entries(&wide);
        entries.sort_unstable();
        assert!(hopeless(&wide, &entries, most).unwrap() && !hopeless(&wide, &entries, far).unwrap());
        assert!(Analysis::within(&wide, most).unwrap().is_none());
    }
}
