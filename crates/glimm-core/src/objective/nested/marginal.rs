//! Nodes from the distributions of the effects themselves, where Gauss and Hermite's normal one is too far from them.
//!
//! Given nodes for all other groups, the density of x of one group is a mixture over the nodes k of its parent with
//! weights P_k, M(x) = sum_k P_k f_k(x) / I_k. A rule that is good for M makes sum_k P_k (error of I_k) / I_k small,
//! which is what the group adds to the error of the unit's log-integral. The distribution is had by panels; Gauss's
//! rule for it needs far fewer nodes.

use std::ops::Range;
use std::sync::Arc;

use super::Detail;
use super::integral::Integral;
use super::points::{HALF_LN_TAU, Points};
use crate::linalg::dense;
use crate::quadrature::{self, Line};

/// Rounds in which the groups see each other's new nodes, and their number meanwhile.
const ROUNDS: usize = 2;
const MEANWHILE: usize = 21;
/// Probability of a node of a panel, relative to the tolerance, that does not matter.
const NEGLIGIBLE: f64 = 1e-4;

impl Integral<'_> {
    /// Nodes for all groups of a unit, from those given: Gauss's for as many as each of `counts`, then panels.
    pub fn marginals(
        &mut self,
        unit: &Range<usize>,
        start: &[Arc<Points>],
        counts: &[usize],
        tolerance: f64,
    ) -> Vec<Vec<Arc<Points>>> {
        let mut current = start.to_vec();
        for _ in 1..ROUNDS {
            current = self.round(unit, &current, &[MEANWHILE], tolerance).swap_remove(0);
        }
        self.round(unit, &current, counts, tolerance)
    }

    fn round(
        &mut self,
        unit: &Range<usize>,
        current: &[Arc<Points>],
        counts: &[usize],
        tolerance: f64,
    ) -> Vec<Vec<Arc<Points>>> {
        self.detail = Detail::Value;
        self.points[unit.clone()].clone_from_slice(current);
        self.of_unit(unit);
        let (reach, mut found) = (self.reach(unit), vec![Vec::with_capacity(unit.len()); counts.len() + 1]);
        // Parents keep their nodes until their children have theirs.
        for g in unit.clone().rev() {
            let above = self.tree.groups[g].parent.map_or(&[1.0][..], |p| &reach[p - unit.start]);
            let log = |(p, value): (&f64, &f64)| p.ln() - value;
            let log_weights: Vec<f64> = above.iter().zip(&self.visits[g - self.first].value).map(log).collect();
            let mut log_density = |x: &[f64]| self.log_density(g, &log_weights, x);
            let rules = rules(&mut log_density, counts, tolerance);
            self.points[g] = current[g - unit.start].clone();
            found.iter_mut().zip(rules).for_each(|(f, rule)| f.push(Arc::new(rule)));
        }
        found.iter_mut().for_each(|f| f.reverse());
        found
    }

    /// log M at some points; leaves the group without its nodes.
    fn log_density(&mut self, g: usize, log_weights: &[f64], x: &[f64]) -> Vec<f64> {
        self.points[g] = Arc::new(Points::new(x.to_vec(), vec![0.0; x.len()]));
        self.of_group(g);
        let visit = &self.visits[g - self.first];
        let term = |k: usize, i: usize| log_weights[k] + visit.value[k] + visit.weight[k * x.len() + i].ln();
        let over_parents = |i: usize| {
            let terms: Vec<f64> = (0..log_weights.len()).map(|k| term(k, i)).collect();
            let top = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            if top == f64::NEG_INFINITY { top } else { top + terms.iter().map(|t| (t - top).exp()).sum::<f64>().ln() }
        };
        (0..x.len()).map(over_parents).collect()
    }
}

/// Gauss's rules for a distribution, then its panels.
fn rules(log_density: &mut dyn FnMut(&[f64]) -> Vec<f64>, counts: &[usize], tolerance: f64) -> Vec<Points> {
    let mut integrand = |x: &[f64]| log_density(x).into_iter().map(|v| (v, ())).collect();
    let Line { nodes, log_value, .. } = quadrature::line(&mut integrand, tolerance);
    let (x, probability): (Vec<f64>, Vec<f64>) =
        nodes.iter().map(|n| (n.x, (n.log_weight + n.log_value - log_value).exp())).unzip();
    let gauss: Vec<(Vec<f64>, Vec<f64>)> = counts.iter().map(|&k| gauss(&x, &probability, k)).collect();
    let all: Vec<f64> = gauss.iter().flat_map(|(x, _)| x.iter().copied()).collect();
    let mut densities = log_density(&all).into_iter();
    let mut rules: Vec<Points> = gauss
        .into_iter()
        .map(|(x, weight)| {
            let log = |(w, density): (&f64, f64)| w.ln() - density + log_value - HALF_LN_TAU;
            let log_weight = weight.iter().zip(densities.by_ref()).map(log).collect();
            Points::new(x, log_weight)
        })
        .collect();
    let matter = nodes.iter().zip(&probability).filter(|(_, p)| **p > NEGLIGIBLE * tolerance);
    let (x, log_weight) = matter.map(|(n, _)| (n.x, n.log_weight - HALF_LN_TAU)).unzip();
    rules.push(Points::new(x, log_weight));
    rules
}

/// Nodes and weights of Gauss's rule with `k` nodes for a distribution on points: the recurrence of its orthogonal
/// polynomials by Stieltjes' procedure, then eigenvalues (Gautschi 2004, Orthogonal Polynomials, section 2.2.3).
fn gauss(x: &[f64], probability: &[f64], k: usize) -> (Vec<f64>, Vec<f64>) {
    let mean = |f: &dyn Fn(usize) -> f64| probability.iter().enumerate().map(|(i, p)| p * f(i)).sum::<f64>();
    let mut jacobi = vec![0.0; k * k];
    let norm = mean(&|_| 1.0).sqrt();
    let (mut before, mut now, mut off) = (vec![0.0; x.len()], vec![1.0 / norm; x.len()], 0.0);
    for n in 0..k {
        let center = mean(&|i| x[i] * now[i] * now[i]);
        jacobi[n * k + n] = center;
        let mut next: Vec<f64> = (0..x.len()).map(|i| (x[i] - center) * now[i] - off * before[i]).collect();
        off = mean(&|i| next[i] * next[i]).sqrt();
        next.iter_mut().for_each(|v| *v /= off);
        if n + 1 < k {
            (jacobi[n * k + n + 1], jacobi[(n + 1) * k + n]) = (off, off);
        }
        (before, now) = (now, next);
    }
    let (nodes, vectors) = dense::eigen(&jacobi, k).unwrap_or_default();
    let weights = (0..nodes.len()).map(|i| vectors[i] * vectors[i]).collect();
    (nodes, weights)
}
