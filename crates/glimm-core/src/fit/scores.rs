//! Each independent unit's own part of the log-likelihood: exact gradients and Hessians in the user's parameters.
//!
//! A unit is a set of rows that shares no random effect with any other: a group of the common or of the coarsest
//! factor, a connected component of crossed factors, a row of a model without random effects.

use rayon::prelude::*;

use super::path::{Engine, in_lanes};
use super::{Path, Problem};
use crate::design::{Data, Term};
use crate::error::Error;
use crate::integration::Rule;
use crate::objective::block::Block;
use crate::objective::crossed::{self, Crossed};
use crate::objective::nested::Nested;
use crate::objective::{Evaluation, Objective, Order, Quadrature, Reject};

/// Newton decrement of the modes.
const INNER: f64 = 1e-20;
/// Error of a unit's log-integral where the fit itself used a sample of the units.
const SAMPLED: f64 = 1e-5;

/// Scores of all units, in the order of their first rows.
pub struct Scores {
    /// Units x parameters.
    pub gradients: Vec<f64>,
    /// Units x parameters x parameters, if asked for.
    pub hessians: Option<Vec<f64>>,
    /// The unit of every row.
    pub unit: Vec<u32>,
}

type Contribution = (Vec<u32>, Evaluation);

impl Problem {
    /// The scores at the user's parameters, and Hessians if asked for, with the integral the fit has; those of linear
    /// mixed models by the unrestricted likelihood.
    pub fn scores(&mut self, psi: &[f64], hessian: bool) -> Result<Scores, Error> {
        if self.compressed.is_some() {
            return Err(refused("rows that were merged have no scores of their own; fit with compress=False"));
        }
        let standard = self.standard_parameters(psi)?;
        let order = if hessian { Order::Hessian } else { Order::Gradient };
        let mut found = self.contributions(&standard, order)?;
        found.sort_by_key(|(rows, _)| rows.iter().min().copied());
        Ok(self.in_user_units(&found))
    }

    fn contributions(&mut self, psi: &[f64], order: Order) -> Result<Vec<Contribution>, Error> {
        if let (Engine::Block(block), Path::Glm) = (&self.engine, self.path) {
            return block.by_rows().contributions(psi, order, INNER).map_err(rejected);
        }
        if let Engine::Block(_) = &self.engine {
            self.place_nodes(psi)?;
            let sampled = self.samples();
            let Engine::Block(block) = &mut self.engine else { return Ok(Vec::new()) };
            if sampled {
                block.choose(psi, Rule::Adaptive(SAMPLED)).map_err(rejected)?;
            }
            return block.contributions(psi, order, INNER).map_err(rejected);
        }
        if self.data.terms.iter().any(Term::tied) {
            return Err(refused("levels of a term hang together, by a known relation or by rows with several of them"));
        }
        if matches!(self.engine, Engine::Restricted(_)) {
            return Err(refused("restricted likelihoods of this family are no sums over units; fit with reml=False"));
        }
        if in_lanes(&self.data) {
            let block = Block::new(&self.data);
            let mut block = if self.data.terms.is_empty() { block.by_rows() } else { block };
            return block.contributions(psi, order, INNER).map_err(rejected);
        }
        let rule = self.nested_rule()?;
        let components = components(&self.data.terms, self.data.n());
        if components.len() < 2 {
            return Err(refused("its factors connect all rows, which makes one unit only; scores need several"));
        }
        let run = |rows: Vec<u32>| -> Result<Contribution, Error> {
            let evaluation = component(&self.data, &rows, psi, order, rule)?;
            Ok((rows, evaluation))
        };
        components.into_par_iter().map(run).collect()
    }

    /// The rule of the nodes of nested factors, if the fit has nodes.
    fn nested_rule(&mut self) -> Result<Option<Rule>, Error> {
        if self.path == Path::Lmm {
            return Ok(None);
        }
        let Some(nested) = self.nested()? else { return Ok(None) };
        let crossed = std::mem::replace(&mut self.engine, Engine::Nested(Box::new(nested)));
        let rule = self.rule();
        self.engine = crossed;
        Ok(rule)
    }

    fn in_user_units(&self, found: &[Contribution]) -> Scores {
        let p = self.layout.total;
        // J^-T, by columns.
        let unit = |j: usize| (0..p).map(|i| f64::from(u8::from(i == j))).collect::<Vec<f64>>();
        let columns: Vec<Vec<f64>> = (0..p).map(|j| self.standard.gradient_to_user(&unit(j))).collect();
        let map = |g: &[f64]| (0..p).map(|i| (0..p).map(|j| columns[j][i] * g[j]).sum()).collect::<Vec<f64>>();
        let twice = |h: &Vec<f64>| {
            let half: Vec<Vec<f64>> = h.chunks_exact(p).map(map).collect();
            let across: Vec<Vec<f64>> = (0..p).map(|j| map(&half.iter().map(|r| r[j]).collect::<Vec<f64>>())).collect();
            across.concat()
        };
        let mut unit = vec![0; found.iter().map(|f| f.0.len()).sum()];
        for (k, (rows, _)) in found.iter().enumerate() {
            rows.iter().for_each(|&i| unit[i as usize] = k as u32);
        }
        let hessians: Option<Vec<Vec<f64>>> = found.iter().map(|(_, e)| e.hessian.as_ref().map(twice)).collect();
        Scores {
            gradients: found.iter().flat_map(|(_, e)| map(&e.gradient)).collect(),
            hessians: hessians.map(|h| h.concat()),
            unit,
        }
    }
}

fn refused(why: &str) -> Error {
    Error::Degenerate { why: format!("the model has no scores of independent units: {why}") }
}

fn rejected(reject: Reject) -> Error {
    match reject {
        Reject::Interrupted => Error::Interrupted,
        _ => Error::Degenerate { why: "the likelihood of some unit has no value at the estimates".into() },
    }
}

/// The log-likelihood of one component's rows.
fn component(data: &Data, rows: &[u32], psi: &[f64], order: Order, rule: Option<Rule>) -> Result<Evaluation, Error> {
    let mut part = data.gather(rows);
    part.terms.iter_mut().for_each(renumber);
    if let Some(mut nested) = Nested::new(&part) {
        if let Some(rule) = rule {
            nested.choose(psi, rule).map_err(rejected)?;
        }
        return nested.evaluate(psi, order, INNER).map_err(rejected);
    }
    Crossed::new(&part, crossed::Engine::Dense)?.evaluate(psi, order, INNER).map_err(rejected)
}

/// Levels with rows alone, numbered anew.
fn renumber(term: &mut Term) {
    let mut number = vec![u32::MAX; term.levels];
    let mut next = 0;
    for code in &mut term.codes {
        let known = &mut number[*code as usize];
        if *known == u32::MAX {
            *known = next;
            next += 1;
        }
        *code = *known;
    }
    term.levels = next as usize;
}

/// Rows that levels connect, component by component.
fn components(terms: &[Term], n: usize) -> Vec<Vec<u32>> {
    let first: Vec<usize> = terms
        .iter()
        .scan(0, |at, t| {
            *at += t.levels;
            Some(*at - t.levels)
        })
        .collect();
    let mut parent: Vec<usize> = (0..terms.iter().map(|t| t.levels).sum()).collect();
    for (term, &start) in terms.iter().zip(&first).skip(1) {
        for (a, b) in terms[0].codes.iter().zip(&term.codes) {
            let (a, b) = (root(&mut parent, *a as usize), root(&mut parent, start + *b as usize));
            parent[a.max(b)] = a.min(b);
        }
    }
    let mut found: Vec<Vec<u32>> = vec![Vec::new(); terms[0].levels];
    (0..n).for_each(|i| found[root(&mut parent, terms[0].codes[i] as usize)].push(i as u32));
    found.retain(|rows| !rows.is_empty());
    found
}

fn root(parent: &mut [usize], mut x: usize) -> usize {
    while parent[x] != x {
        parent[x] = parent[parent[x]];
        x = parent[x];
    }
    x
}
