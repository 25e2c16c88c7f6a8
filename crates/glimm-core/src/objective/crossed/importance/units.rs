//! Random effects that share no row with others, each with a problem of its own.

use std::sync::Arc;

use super::proposal::Proposal;
use crate::control::Control;
use crate::design::{Data, Term};
use crate::error::Error;
use crate::objective::crossed::border::Border;
use crate::objective::crossed::{Crossed, Engine};
use crate::objective::{Objective, Order, Reject};

/// Factorisations of a proposal, and multiplications for every effect of a draw.
const PASSES: f64 = 10.0;
const PER_EFFECT: f64 = 20.0;

pub struct Unit {
    pub crossed: Crossed,
    border: Arc<Border>,
}

impl Unit {
    fn new(data: &Data, control: &Arc<Control>) -> Result<Unit, Error> {
        let mut crossed = Crossed::new(data, Engine::Dense)?;
        crossed.set_control(control);
        Ok(Unit { border: Arc::new(Border::new(&crossed.pattern)), crossed })
    }

    /// The distribution to draw from at `psi`.
    pub fn propose(&mut self, psi: &[f64], tolerance: f64) -> Result<Proposal, Reject> {
        self.crossed.evaluate(psi, Order::Gradient, tolerance)?;
        self.crossed.propose(psi, &self.border)
    }

    /// Multiplications, about, of finding the proposal and of each draw from it with its derivatives.
    pub fn multiplications(&self) -> [f64; 2] {
        let (n, q) = (self.border.rest_len as f64, self.border.q as f64);
        let (effects, p) = (self.crossed.pattern.effects() as f64, self.crossed.layout.total as f64);
        let met: Vec<f64> = (0..self.border.levels).map(|g| self.border.entries(g).len() as f64).collect();
        let proposal = n * n * n + q * met.iter().map(|m| m * m).sum::<f64>();
        let solutions = n * n + 2.0 * q * met.iter().sum::<f64>();
        [PASSES * proposal, 2.0 * solutions + effects * (PER_EFFECT + p) + p * p]
    }

    pub fn random_predictors(&self) -> usize {
        self.crossed.data.random_predictors()
    }

    pub fn log_constant(&self) -> f64 {
        self.crossed.log_constant
    }

    pub fn accept(&mut self) {
        self.crossed.accept();
    }

    pub fn reset(&mut self) {
        self.crossed.reset();
    }
}

/// The units, in the order of their first rows.
pub fn split(data: &Data, control: &Arc<Control>) -> Result<Vec<Unit>, Error> {
    components(&data.terms, data.n()).iter().map(|rows| Unit::new(&alone(data, rows), control)).collect()
}

/// The rows of each connected component of the graph whose edges join levels that share a row.
fn components(terms: &[Term], n: usize) -> Vec<Vec<u32>> {
    let first: Vec<usize> = terms.iter().scan(0, |at, t| Some(std::mem::replace(at, *at + t.levels))).collect();
    let node = |t: usize, i: usize| first[t] + terms[t].codes[i] as usize;
    let mut parent: Vec<usize> = (0..terms.iter().map(|t| t.levels).sum()).collect();
    for i in 0..n {
        for t in 1..terms.len() {
            let (a, b) = (root(&mut parent, node(0, i)), root(&mut parent, node(t, i)));
            parent[a.max(b)] = a.min(b);
        }
    }
    let (mut label, mut found) = (vec![usize::MAX; parent.len()], Vec::<Vec<u32>>::new());
    for i in 0..n {
        let top = if terms.is_empty() { break } else { root(&mut parent, node(0, i)) };
        if label[top] == usize::MAX {
            label[top] = found.len();
            found.push(Vec::new());
        }
        found[label[top]].push(i as u32);
    }
    found
}

/// The top of a tree, with paths halved on the way.
fn root(parent: &mut [usize], mut a: usize) -> usize {
    while parent[a] != a {
        parent[a] = parent[parent[a]];
        a = parent[a];
    }
    a
}

/// Some rows with the levels that occur in them, numbered anew.
fn alone(data: &Data, rows: &[u32]) -> Data {
    let mut unit = data.gather(rows);
    for term in &mut unit.terms {
        let mut known = term.codes.clone();
        known.sort_unstable();
        known.dedup();
        term.codes.iter_mut().for_each(|c| *c = known.partition_point(|k| k < c) as u32);
        term.levels = known.len();
    }
    unit
}
