//! Rows and their levels: which columns meet in which cell.

use super::pattern::{OfRow, Pair, Sight};
use crate::design::{Column, Data};

/// Rows and the cell of each, by pair of factors.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    pub data: &'a Data,
    pub of_row: &'a OfRow,
}

/// Two memberships of the terms of a pair: their columns, and the cell of each row.
pub struct Couple<'a> {
    left: &'a [Column],
    right: &'a [Column],
    pub cells: &'a [u32],
}

impl<'a> Rows<'a> {
    /// Each term with its columns in predictor k: (term, codes, effects per level, (position, column)).
    pub fn terms(&self, k: usize) -> impl Iterator<Item = (usize, &'a [u32], usize, (usize, &'a Column))> + use<'a> {
        self.data.terms.iter().enumerate().flat_map(move |(t, term)| {
            term.memberships().flat_map(move |(codes, columns)| {
                let columns = columns.iter().enumerate().filter(move |(c, _)| term.predictors[*c] == k);
                columns.map(move |column| (t, codes, term.effects(), column))
            })
        })
    }

    /// The cell of each row, by the first membership of both terms.
    pub fn cell_of(&self, pair: &Pair) -> &'a [u32] {
        let count = 1 + self.data.terms[pair.t].also.len();
        pair.meeting.map_or(&self.data.terms[pair.s].codes, |m| self.of_row.meeting(m, (0, 0), count))
    }

    /// The memberships that meet, other than two different ones of one term.
    pub fn couples(&self, pair: &Pair) -> Vec<Couple<'a>> {
        let (s, t) = (&self.data.terms[pair.s], &self.data.terms[pair.t]);
        let Some(m) = pair.meeting else {
            let own = s.memberships().zip(t.memberships());
            return own.map(|((cells, left), (_, right))| Couple { left, right, cells }).collect();
        };
        let mut found = Vec::new();
        for (a, (_, left)) in s.memberships().enumerate() {
            for (b, (_, right)) in t.memberships().enumerate() {
                let (at, count) = if pair.swapped { ((b, a), s) } else { ((a, b), t) };
                found.push(Couple { left, right, cells: self.of_row.meeting(m, at, 1 + count.also.len()) });
            }
        }
        found
    }

    /// Calls `op` with each pair of columns whose predictors are `wanted` and the first of its numbers in a matrix.
    pub fn columns(
        &self,
        pair: &Pair,
        couple: &Couple<'a>,
        wanted: impl Fn(usize, usize) -> bool,
        mut op: impl FnMut([&'a Column; 2], usize),
    ) {
        let (s, t) = (&self.data.terms[pair.s], &self.data.terms[pair.t]);
        for (c, zc) in couple.left.iter().enumerate() {
            for (d, zd) in couple.right.iter().enumerate() {
                if wanted(s.predictors[c], t.predictors[d]) {
                    op([zc, zd], pair.first + c * pair.size.1 + d);
                }
            }
        }
    }

    /// Calls `op` with the columns of two different memberships a < b of the term of a pair, of effects whose
    /// predictors are (k, l) in `times` orders, and with both places where a row's product may stand.
    fn crosswise(
        &self,
        pair: &Pair,
        (k, l): (usize, usize),
        mut op: impl FnMut([&'a Column; 2], &'a Sight, [usize; 2], f64),
    ) {
        let term = &self.data.terms[pair.s];
        let columns: Vec<&'a [Column]> = term.memberships().map(|m| m.1).collect();
        let couples = (0..columns.len()).flat_map(|a| (a + 1..columns.len()).map(move |b| (a, b)));
        for ((a, b), sight) in couples.zip(self.of_row.own(pair.s)) {
            for (c, zc) in columns[a].iter().enumerate() {
                for (d, zd) in columns[b].iter().enumerate() {
                    let predictors = (term.predictors[c], term.predictors[d]);
                    let times = u8::from(predictors == (k, l)) + u8::from(predictors == (l, k));
                    if times > 0 {
                        let place = |c: usize, d: usize| pair.first + c * pair.size.1 + d;
                        op([zc, zd], sight, [place(c, d), place(d, c)], f64::from(times));
                    }
                }
            }
        }
    }

    /// out += what different memberships of a term add to Z'diag(row) Z.
    pub fn sum_crosswise(&self, pair: &Pair, levels: usize, kl: (usize, usize), row: &[f64], out: &mut [f64]) {
        let stride = pair.size.0 * pair.size.1;
        self.crosswise(pair, kl, |[x, z], sight, places, _| {
            for (i, (&cell, &turned)) in sight.cells.iter().zip(&sight.turned).enumerate() {
                let product = row[i] * x.at(i) * z.at(i);
                out[places[usize::from(turned)] + cell as usize * stride] += product;
                if (cell as usize) < levels {
                    // Both memberships are in one level.
                    out[places[1] + cell as usize * stride] += product;
                }
            }
        });
    }

    /// out += what different memberships of a term add to z'M z.
    pub fn quadratic_crosswise(&self, pair: &Pair, kl: (usize, usize), m: &[f64], out: &mut [f64]) {
        let stride = pair.size.0 * pair.size.1;
        self.crosswise(pair, kl, |[x, z], sight, places, times| {
            for (i, (&cell, &turned)) in sight.cells.iter().zip(&sight.turned).enumerate() {
                out[i] += times * x.at(i) * z.at(i) * m[places[usize::from(turned)] + cell as usize * stride];
            }
        });
    }
}
