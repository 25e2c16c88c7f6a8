//! From derivatives in the entries of each Lambda to derivatives in the structures' parameters.

use std::ops::Range;

use super::geometry::Factors;
use crate::design::{Data, Layout, Term};

pub struct Chain<'a> {
    data: &'a Data,
    layout: &'a Layout,
    psi: &'a [f64],
    /// d Lambda / d theta_j of each term.
    derivatives: Vec<Vec<Vec<f64>>>,
}

/// Lambda of every term at `psi`.
pub fn factors(data: &Data, layout: &Layout, psi: &[f64]) -> Factors {
    let of_term = |(term, theta): (&Term, &Range<usize>)| {
        let mut f = vec![0.0; term.effects() * term.effects()];
        term.structure.factor(&psi[theta.clone()], &mut f);
        f
    };
    data.terms.iter().zip(&layout.theta).map(of_term).collect()
}

impl<'a> Chain<'a> {
    pub fn new(data: &'a Data, layout: &'a Layout, psi: &'a [f64]) -> Chain<'a> {
        let of_term = |(term, theta): (&Term, &Range<usize>)| {
            let size = term.effects();
            let one = |j| {
                let mut d = vec![0.0; size * size];
                term.structure.derivative(&psi[theta.clone()], j, &mut d);
                d
            };
            (0..theta.len()).map(one).collect()
        };
        let derivatives = data.terms.iter().zip(&layout.theta).map(of_term).collect();
        Chain { data, layout, psi, derivatives }
    }

    /// d Lambda of term `t` for its parameter `j`.
    pub fn derivative(&self, t: usize, j: usize) -> &[f64] {
        &self.derivatives[t][j]
    }

    /// (beta, theta): theta_j gets <dL/dLambda, dLambda/dtheta_j>.
    pub fn gradient(&self, beta: &[f64], lambda: &[Vec<f64>]) -> Vec<f64> {
        let thetas = lambda.iter().zip(&self.derivatives).flat_map(|(l, d)| d.iter().map(|d| inner(l, d)));
        beta.iter().copied().chain(thetas).collect()
    }

    /// Rows of the Hessian, plus what the curvature of Lambda(theta) adds, made exactly symmetric.
    pub fn hessian(&self, mut rows: Vec<Vec<f64>>, lambda: &[Vec<f64>]) -> Vec<f64> {
        for (t, (term, theta)) in self.data.terms.iter().zip(&self.layout.theta).enumerate() {
            let mut second = vec![0.0; term.effects() * term.effects()];
            for i in 0..theta.len() {
                for j in 0..theta.len() {
                    if term.structure.second_derivative(&self.psi[theta.clone()], i, j, &mut second) {
                        rows[theta.start + i][theta.start + j] += inner(&lambda[t], &second);
                    }
                }
            }
        }
        let p = rows.len();
        (0..p * p).map(|i| 0.5 * (rows[i / p][i % p] + rows[i % p][i / p])).collect()
    }
}

fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}
