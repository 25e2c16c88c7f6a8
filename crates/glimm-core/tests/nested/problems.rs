//! Nested data.

use glimm_core::design::{Column, Data, Predictor, Term};
use glimm_core::family::{self, Random};
use glimm_core::structure;
use rand::SeedableRng;

use crate::common::{Shape, normal, problem};

/// How effects are nested.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tree {
    One,
    Two,
    Slopes,
    /// Two terms share the factor at the top.
    Shared,
    Three,
    /// The groups at the bottom have effects in the second linear predictor.
    Second,
}

pub fn term(codes: &[u32], columns: Vec<Column>, predictor: usize) -> Term {
    let structure = structure::lookup("us", columns.len()).unwrap();
    let levels = *codes.iter().max().unwrap() as usize + 1;
    Term {
        codes: codes.to_vec(),
        levels,
        predictors: vec![predictor; columns.len()],
        columns,
        structure,
        prior: None,
        also: Vec::new(),
    }
}

/// A small problem with offsets and frequency weights: 7 groups, 3 in each, 2 in each of those.
pub fn nested(family: &str, tree: Tree, seed: u64) -> Data {
    let link = family::lookup(family, None).unwrap().link().name();
    let mut data = problem(family, &link, Shape::None, seed);
    let n = data.n() as u32;
    // No order: rows of a group lie apart.
    let mixed: Vec<u32> = (0..n).map(|i| (i * 29 + 11) % 42).collect();
    let (top, middle): (Vec<u32>, Vec<u32>) =
        (mixed.iter().map(|c| c / 6).collect(), mixed.iter().map(|c| c / 2).collect());
    let x = data.predictors[0].columns[1].clone();
    let slopes = || vec![Column::One, x.clone()];
    let one = || vec![Column::One];
    data.terms = match tree {
        Tree::One => vec![term(&top, slopes(), 0)],
        Tree::Two => vec![term(&middle, one(), 0), term(&top, one(), 0)],
        Tree::Slopes => vec![term(&top, slopes(), 0), term(&middle, slopes(), 0)],
        Tree::Shared => vec![term(&top, one(), 0), term(&middle, one(), 0), term(&top, vec![x], 0)],
        Tree::Three => vec![term(&top, one(), 0), term(&mixed, one(), 0), term(&middle, one(), 0)],
        Tree::Second => vec![term(&top, one(), 0), term(&middle, one(), 1)],
    };
    data
}

/// Binary responses: `responses` by child, by mother; coefficient 0 is the intercept.
pub fn binary(responses: &[Vec<Vec<f64>>]) -> Data {
    let (mut y, mut top, mut bottom, mut mother) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for (community, mothers) in responses.iter().enumerate() {
        for children in mothers {
            y.extend_from_slice(children);
            top.extend(vec![community as u32; children.len()]);
            bottom.extend(vec![mother; children.len()]);
            mother += 1;
        }
    }
    Data {
        family: family::lookup("binomial", None).unwrap(),
        y,
        size: None,
        freq: None,
        predictors: vec![Predictor::new(vec![Column::One], None)],
        terms: vec![term(&top, vec![Column::One], 0), term(&bottom, vec![Column::One], 0)],
        copies: None,
        constants: None,
    }
}

/// Children of mothers of communities, as in the Guatemalan study of immunisation (Rodriguez and Goldman 1995, J. R.
/// Stat. Soc. A 158, 73-89), with a standard deviation of `sd` at both levels.
pub fn guatemala(communities: usize, mothers: usize, sd: f64, seed: u64) -> Data {
    let mut rng = Random::seed_from_u64(seed);
    let bernoulli = family::lookup("binomial", None).unwrap();
    let mut responses = Vec::new();
    for _ in 0..communities {
        let v = sd * normal(&mut rng);
        let mother = |_| {
            let eta = 0.5 + v + sd * normal(&mut rng);
            (0..3).map(|_| bernoulli.draw(&mut rng, 1.0, &[eta])).collect()
        };
        responses.push((0..mothers).map(mother).collect());
    }
    binary(&responses)
}
