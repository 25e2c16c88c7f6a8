//! Where the columns of rows and the entries of the factors stand among the derivatives.
//!
//! Derivatives are taken in the coefficients, then in all entries of every Lambda, term by term, row by row.

use crate::design::{Data, Layout};
use crate::objective::geometry::Factors;
use crate::objective::laplace::Share;
use crate::objective::tangent::Direction;

/// The entry of a Lambda that takes effect `from` of the path to `to`.
pub struct Entry {
    pub to: usize,
    pub from: usize,
    pub index: usize,
}

/// A term of the second derivatives: f''ab times the effects named.
pub struct Bend {
    pub target: usize,
    pub columns: [usize; 2],
    pub times: [Option<usize>; 2],
}

pub struct Chart {
    /// Effects of a whole path as (term, column of the term).
    pub path: Vec<(usize, usize)>,
    /// The coefficient of each column of fixed effects, predictor by predictor.
    pub coefficients: Vec<usize>,
    /// The first column of each predictor among them.
    first_of: Vec<usize>,
    pub entries: Vec<Entry>,
    pub bends: Vec<Bend>,
    pub fixed: usize,
    pub len: usize,
    sizes: Vec<usize>,
}

/// Place of (i, j) with j <= i in a lower triangle.
pub fn triangle(i: usize, j: usize) -> usize {
    i * (i + 1) / 2 + j
}

impl Chart {
    pub fn new(data: &Data, layout: &Layout, chain: &[Vec<usize>]) -> Chart {
        let sizes: Vec<usize> = data.terms.iter().map(|t| t.effects()).collect();
        let path: Vec<(usize, usize)> =
            chain.iter().flatten().flat_map(|&t| (0..sizes[t]).map(move |c| (t, c))).collect();
        let (fixed, mut entries) = (layout.fixed(), Vec::new());
        let first = |t: usize| fixed + sizes[..t].iter().map(|q| q * q).sum::<usize>();
        for (to, &(t, c)) in path.iter().enumerate() {
            for (from, &(s, d)) in path.iter().enumerate().filter(|(_, (s, _))| *s == t) {
                entries.push(Entry { to, from, index: first(s) + c * sizes[t] + d });
            }
        }
        let coefficients = layout.beta.iter().flat_map(|r| r.clone()).collect();
        let first_of = (0..layout.beta.len()).map(|k| layout.beta[..k].iter().map(|r| r.len()).sum()).collect();
        let len = first(sizes.len());
        let mut chart = Chart { path, coefficients, first_of, entries, bends: Vec::new(), fixed, len, sizes };
        chart.bends = chart.all_bends();
        chart
    }

    fn all_bends(&self) -> Vec<Bend> {
        let first = self.coefficients.len();
        let fixed = self.coefficients.iter().enumerate().map(|(a, &index)| (a, index, None));
        let random = self.entries.iter().map(|e| (first + e.to, e.index, Some(e.from)));
        let moved: Vec<(usize, usize, Option<usize>)> = fixed.chain(random).collect();
        let mut bends = Vec::new();
        for &(a, i, one) in &moved {
            for &(b, j, two) in moved.iter().filter(|(_, j, _)| *j <= i) {
                bends.push(Bend { target: triangle(i, j), columns: [a, b], times: [one, two] });
            }
        }
        bends
    }

    /// The derivatives as those of coefficients and factors.
    pub fn share(&self, derivatives: &[f64]) -> Share {
        let mut share = Share::new(self.fixed, &self.sizes);
        share.beta.copy_from_slice(&derivatives[..self.fixed]);
        let mut at = self.fixed;
        for lambda in &mut share.lambda {
            let end = at + lambda.len();
            lambda.copy_from_slice(&derivatives[at..end]);
            at = end;
        }
        share
    }

    /// Second derivatives, given by their lower triangle, along a direction.
    pub fn along(&self, second: &[f64], direction: &Direction) -> Vec<f64> {
        let d = match direction {
            Direction::Factor(lambda) => self.flat(lambda),
            Direction::Beta(places) => {
                let mut d = vec![0.0; self.len];
                places.iter().for_each(|&(k, j)| d[self.coefficients[self.first_of[k] + j]] = 1.0);
                d
            }
        };
        let at = |i: usize, j: usize| second[triangle(i.max(j), i.min(j))];
        (0..self.len).map(|i| (0..self.len).map(|j| at(i, j) * d[j]).sum()).collect()
    }

    /// Factors as derivatives stand, after zeros for the coefficients.
    pub fn flat(&self, factors: &Factors) -> Vec<f64> {
        std::iter::repeat_n(&0.0, self.fixed).chain(factors.iter().flatten()).copied().collect()
    }
}
