//! Quadrature over nested groups: against Laplace's approximation of the other engine, differences, and brute force.

#[path = "../common.rs"]
mod common;

mod choice;
mod problems;

use common::*;
use glimm_core::design::Data;
use glimm_core::integration::Rule;
use glimm_core::objective::crossed::{Crossed, Engine};
use glimm_core::objective::nested::Nested;
use glimm_core::objective::{Objective, Order, Quadrature, Units};
use problems::{Tree, guatemala, nested};

/// Two exact paths to one number.
const EXACT: f64 = 1e-12;
const EXACT_GRADIENT: f64 = 1e-10;
/// Richardson differences of tight modes.
const DIFFERENCES: f64 = 1e-8;
/// Louis' matrix is that of the integral itself, not of the rule.
const CONVERGED: f64 = 1e-6;

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
            one.choose(&psi, Rule::Gauss(3)).unwrap();
            let again = one.laplace_value(&psi);
            assert!((again - a.value).abs() < EXACT * a.value.abs(), "{label}: {again} {}", a.value);
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

#[test]
fn the_order_of_rows_the_names_of_levels_and_threads_do_not_matter() {
    let data = nested("nbinom2", Tree::Three, 21);
    let psi = point(&data, 22);
    let value = |data: &Data, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut objective = Nested::new(data).unwrap();
            objective.choose(&psi, Rule::Gauss(5)).unwrap();
            let e = evaluate(&mut objective, &psi, Order::Hessian);
            [vec![e.value], e.gradient, e.hessian.unwrap()].concat()
        })
    };
    let found = value(&data, 1);
    assert_eq!(found, value(&data, 3));
    let backwards: Vec<u32> = (0..data.n() as u32).rev().collect();
    let mut other = data.gather(&backwards);
    other.terms.iter_mut().for_each(|t| t.codes.iter_mut().for_each(|c| *c = t.levels as u32 - 1 - *c));
    assert!(relative(&found, &value(&other, 2)) < EXACT);
}

#[test]
fn a_weight_of_two_is_a_row_twice() {
    let mut data = nested("poisson", Tree::Slopes, 23);
    let psi = point(&data, 24);
    let twice: Vec<u32> = (0..data.n() as u32).flat_map(|i| vec![i; data.freq_at(i as usize) as usize]).collect();
    let mut repeated = data.gather(&twice);
    repeated.freq = None;
    data.constants = None;
    let value = |data: &Data| {
        let mut objective = Nested::new(data).unwrap();
        objective.choose(&psi, Rule::Gauss(5)).unwrap();
        let e = evaluate(&mut objective, &psi, Order::Gradient);
        [vec![e.value], e.gradient].concat()
    };
    assert!(relative(&value(&data), &value(&repeated)) < EXACT_GRADIENT);
}

#[test]
fn parts_add_up_to_the_whole() {
    let data = guatemala(40, 5, 1.0, 25);
    let psi = [0.2, 1.0, 0.8];
    let value = |objective: &mut Nested| {
        objective.choose(&psi, Rule::Gauss(5)).unwrap();
        let e = evaluate(objective, &psi, Order::Gradient);
        [vec![e.value], e.gradient].concat()
    };
    let mut whole = Nested::new(&data).unwrap();
    let (mut even, mut odd) = ((0..40).step_by(2).collect::<Vec<_>>(), (1..40).step_by(2).collect::<Vec<_>>());
    even.reverse();
    odd.rotate_left(3);
    let parts = [value(&mut whole.subset(&even)), value(&mut whole.subset(&odd))];
    let sum: Vec<f64> = parts[0].iter().zip(&parts[1]).map(|(a, b)| a + b).collect();
    assert!(relative(&value(&mut whole), &sum) < EXACT);
}

#[test]
fn modes_and_their_covariances_are_those_of_the_other_engine() {
    let mut data = nested("poisson", Tree::Shared, 26);
    // A level without rows.
    data.terms[1].levels += 1;
    let psi = point(&data, 27);
    let posterior = |objective: &mut dyn Objective| {
        objective.evaluate(&psi, Order::Gradient, 1e-20).unwrap();
        objective.accept();
        objective.posterior()
    };
    let mut nested = Nested::new(&data).unwrap();
    nested.choose(&psi, Rule::Gauss(3)).unwrap();
    let (a, b) = (posterior(&mut nested), posterior(&mut Crossed::new(&data, Engine::Dense).unwrap()));
    for (a, b) in a.covariances.iter().chain(&a.modes).zip(b.covariances.iter().chain(&b.modes)) {
        assert!(relative(a, b) < EXACT_GRADIENT, "{a:?} {b:?}");
    }
}
