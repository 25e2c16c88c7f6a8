//! Quadrature of one grouping factor: identities, derivatives, brute force.

mod common;

use common::*;
use glimm_core::integration::Rule;
use glimm_core::objective::block::Block;
use glimm_core::objective::{Objective, Order, Quadrature};

const FAMILIES: [(&str, &str); 5] =
    [("binomial", "logit"), ("poisson", "log"), ("nbinom2", "log"), ("gamma", "log"), ("beta", "logit")];

fn with_rule(data: &glimm_core::design::Data, psi: &[f64], rule: Rule) -> Block {
    let mut block = Block::new(data);
    block.choose(psi, rule).unwrap();
    block
}

#[test]
fn one_node_is_laplace() {
    for (name, link) in FAMILIES {
        for shape in ONE_FACTOR {
            let data = problem(name, link, shape, 11);
            let psi = point(&data, 5);
            let laplace = evaluate(&mut Block::new(&data), &psi, Order::Gradient);
            let one = evaluate(&mut with_rule(&data, &psi, Rule::Gauss(1)), &psi, Order::Gradient);
            assert!(relative(&[laplace.value], &[one.value]) < 1e-13, "{name} {shape:?}");
            assert!(relative(&laplace.gradient, &one.gradient) < 1e-12, "{name} {shape:?}");
        }
    }
}

#[test]
fn gradients_of_every_rule_match_differences() {
    for (name, link) in FAMILIES {
        for shape in ONE_FACTOR {
            let data = problem(name, link, shape, 11);
            let psi = point(&data, 5);
            let rules = [Rule::Gauss(3), Rule::Gauss(4), Rule::Adaptive(1e-3)];
            for rule in rules.into_iter().filter(|r| shape != Shape::Three || *r != Rule::Adaptive(1e-3)) {
                let mut block = with_rule(&data, &psi, rule);
                check_gradient(&mut block, &psi, &format!("{name} {shape:?} {rule:?}"));
            }
        }
    }
}

/// Second derivatives at fixed nodes are those of the objective once the rule has converged.
#[test]
fn hessians_of_converged_rules_match_differences() {
    for (name, link) in FAMILIES {
        for shape in [Shape::Intercept, Shape::Slope, Shape::Diagonal, Shape::TwoTerms] {
            let data = problem(name, link, shape, 11);
            let psi = point(&data, 5);
            let mut block = with_rule(&data, &psi, Rule::Adaptive(1e-11));
            check_derivatives(&mut block, &psi, &format!("{name} {shape:?}"));
        }
    }
}

fn check_gradient(objective: &mut dyn Objective, psi: &[f64], label: &str) {
    let at = evaluate(objective, psi, Order::Gradient);
    let error = |step: f64| {
        let differences: Vec<f64> = (0..psi.len())
            .map(|j| {
                let mut value = |h: f64| {
                    let mut moved = psi.to_vec();
                    moved[j] += h;
                    vec![evaluate(objective, &moved, Order::Gradient).value]
                };
                richardson(&mut value, step)[0]
            })
            .collect();
        relative(&at.gradient, &differences)
    };
    let least = [0.005, 0.002].map(error).into_iter().fold(f64::INFINITY, f64::min);
    assert!(least < 1e-8, "{label}: {least:e}");
}
