//! Quadrature over nested groups: against Laplace's approximation of the other engine, differences, and brute force.

mod common;

use common::*;
use glimm_core::design::{Column, Data, Term};
use glimm_core::integration::Rule;
use glimm_core::objective::crossed::{Crossed, Engine};
use glimm_core::objective::nested::Nested;
use glimm_core::objective::{Objective, Order, Quadrature};
use glimm_core::structure;

/// Two exact paths to one number.
const EXACT: f64 = 1e-12;
const EXACT_GRADIENT: f64 = 1e-10;
/// Richardson differences of tight modes.
const DIFFERENCES: f64 = 1e-8;
/// Louis' matrix is that of the integral itself, not of the rule.
const CONVERGED: f64 = 1e-6;

/// How effects are nested.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Tree {
    One,
    Two,
    Slopes,
    /// Two terms share the factor at the top.
    Shared,
    Three,
    /// The groups at the bottom have effects in the second linear predictor.
    Second,
}

fn term(codes: &[u32], columns: Vec<Column>, predictor: usize) -> Term {
    let structure = structure::lookup("us", columns.len()).unwrap();
    let levels = *codes.iter().max().unwrap() as usize + 1;
    Term { codes: codes.to_vec(), levels, predictors: vec![predictor; columns.len()], columns, structure }
}

/// A small problem with offsets and frequency weights: 7 groups, 3 in each, 2 in each of those.
fn nested(family: &str, tree: Tree, seed: u64) -> Data {
    let link = glimm_core::family::lookup(family, None).unwrap().link().name();
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

/// The gradient at `psi` against differences of the value.
fn gradient_error(objective: &mut Nested, psi: &[f64]) -> f64 {
    let gradient = evaluate(objective, psi, Order::Gradient).gradient;
    let difference = |step: f64, objective: &mut Nested| {
        let along = |j: usize, objective: &mut Nested| {
            let mut value = |h: f64| {
                let mut moved = psi.to_vec();
                moved[j] += h;
                vec![evaluate(objective, &moved, Order::Gradient).value]
            };
            richardson(&mut value, step)[0]
        };
        let differences: Vec<f64> = (0..psi.len()).map(|j| along(j, objective)).collect();
        relative(&gradient, &differences)
    };
    difference(0.005, objective).min(difference(0.002, objective))
}

#[test]
fn one_node_is_the_laplace_approximation() {
    for family in ["binomial", "poisson", "nbinom2"] {
        for tree in [Tree::One, Tree::Two, Tree::Slopes, Tree::Shared, Tree::Three, Tree::Second] {
            if tree == Tree::Second && family != "nbinom2" {
                continue;
            }
            let (data, label) = (nested(family, tree, 3), format!("{family} {tree:?}"));
            let psi = point(&data, 4);
            let mut one = Nested::new(&data).unwrap();
            let a = evaluate(&mut one, &psi, Order::Hessian);
            let b = evaluate(&mut Crossed::new(&data, Engine::Dense).unwrap(), &psi, Order::Hessian);
            assert!((a.value - b.value).abs() < EXACT * b.value.abs(), "{label}: {} {}", a.value, b.value);
            assert!(relative(&a.gradient, &b.gradient) < EXACT_GRADIENT, "{label}: {:?} {:?}", a.gradient, b.gradient);
            assert!(relative(&a.hessian.unwrap(), &b.hessian.unwrap()) < EXACT_GRADIENT, "{label}");
        }
    }
}

#[test]
fn gradients_are_those_of_the_rule() {
    for family in ["binomial", "poisson", "nbinom2"] {
        for tree in [Tree::One, Tree::Two, Tree::Slopes, Tree::Shared, Tree::Three, Tree::Second] {
            if tree == Tree::Second && family != "nbinom2" {
                continue;
            }
            let data = nested(family, tree, 5);
            let psi = point(&data, 6);
            let mut objective = Nested::new(&data).unwrap();
            for k in [1, 3, 5] {
                objective.choose(&psi, Rule::Gauss(k)).unwrap();
                let error = gradient_error(&mut objective, &psi);
                assert!(error < DIFFERENCES, "{family} {tree:?} {k}: {error:e}");
            }
        }
    }
}

#[test]
fn second_derivatives_are_those_of_the_integral() {
    for (family, tree, k) in [
        ("binomial", Tree::Two, 15),
        ("poisson", Tree::Two, 15),
        ("nbinom2", Tree::Three, 13),
        ("nbinom2", Tree::Second, 15),
        ("poisson", Tree::Shared, 13),
    ] {
        let data = nested(family, tree, 7);
        let psi = point(&data, 8);
        let mut objective = Nested::new(&data).unwrap();
        objective.choose(&psi, Rule::Gauss(k)).unwrap();
        let hessian = evaluate(&mut objective, &psi, Order::Hessian).hessian.unwrap();
        let mut differences = Vec::new();
        for j in 0..psi.len() {
            let mut gradient = |h: f64| {
                let mut moved = psi.clone();
                moved[j] += h;
                evaluate(&mut objective, &moved, Order::Gradient).gradient
            };
            differences.extend(richardson(&mut gradient, 0.005));
        }
        let error = relative(&hessian, &differences);
        println!("{family} {tree:?}: second derivatives off by {error:e}");
        assert!(error < CONVERGED, "{family} {tree:?}: {error:e}");
    }
}

#[test]
fn crossed_factors_are_refused() {
    assert!(Nested::new(&problem("poisson", "log", Shape::Crossed, 1)).is_none());
    assert!(Nested::new(&problem("poisson", "log", Shape::None, 1)).is_none());
    assert!(Nested::new(&problem("poisson", "log", Shape::Nested, 1)).is_some());
}
