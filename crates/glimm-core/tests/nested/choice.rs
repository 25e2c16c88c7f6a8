//! Chosen nodes, and what is said of their errors, against brute force and other numbers of nodes.

use glimm_core::design::Column;
use glimm_core::integration::Rule;
use glimm_core::objective::nested::Nested;
use glimm_core::objective::{Order, Quadrature};
use glimm_core::optim::{Curvature, Reason, Settings, maximise};

use crate::common::{evaluate, point};
use crate::problems::{Tree, binary, guatemala, nested, term};

/// The log-likelihood of one community by the trapezoid rule over both levels; both integrands are analytic in a strip
/// so wide that the rule is exact to rounding.
fn brute_force(mothers: &[Vec<f64>], psi: &[f64]) -> f64 {
    let (most, step) = (10.0, 0.01);
    let grid: Vec<f64> = (0..=2 * (most / step) as i32).map(|i| -most + step * f64::from(i)).collect();
    let density = |x: f64| (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt() * step;
    let row = |y: f64, eta: f64| if y > 0.5 { 1.0 / (1.0 + (-eta).exp()) } else { 1.0 / (1.0 + eta.exp()) };
    let given = |v: f64| -> f64 {
        let mother = |children: &Vec<f64>| -> f64 {
            let at = |u: f64| children.iter().map(|y| row(*y, psi[0] + psi[1] * v + psi[2] * u)).product::<f64>();
            grid.iter().map(|&u| density(u) * at(u)).sum()
        };
        mothers.iter().map(mother).product()
    };
    grid.iter().map(|&v| density(v) * given(v)).sum::<f64>().ln()
}

#[test]
fn stated_errors_hold_for_hard_units() {
    let all = |y: f64| vec![vec![y; 3]; 4];
    let units = [
        ("all 0", all(0.0)),
        ("all 1", all(1.0)),
        ("mixed", vec![vec![0.0, 1.0, 1.0], vec![1.0, 1.0], vec![0.0; 4]]),
        ("halves", vec![vec![0.0; 3], vec![1.0; 3]]),
        ("single", vec![vec![1.0], vec![0.0], vec![0.0]]),
    ];
    for (name, unit) in &units {
        for psi in [[0.3, 1.0, 1.5], [-0.5, 5.0, 2.0], [0.2, 2.0, 8.0], [1.0, 10.0, 10.0]] {
            let truth = brute_force(unit, &psi);
            let mut objective = Nested::new(&binary(std::slice::from_ref(unit))).unwrap();
            for rule in [Rule::Adaptive(1e-3), Rule::Adaptive(1e-6), Rule::Reference(1e-4)] {
                let (Rule::Adaptive(tolerance) | Rule::Reference(tolerance)) = rule else { unreachable!() };
                let nodes = objective.choose(&psi, rule).unwrap();
                let found = evaluate(&mut objective, &psi, Order::Gradient).value;
                let error = (found - truth).abs();
                println!(
                    "{name} {psi:?} {rule:?}: {:?} nodes, error {error:.1e}, stated {:.1e}",
                    nodes.counts, nodes.error
                );
                assert!(error <= nodes.error, "{name} {psi:?}: {error:e}, stated {:e}", nodes.error);
                assert!(nodes.error <= tolerance, "{name} {psi:?}: stated {:e}", nodes.error);
            }
        }
    }
}

#[test]
fn stated_errors_hold_for_three_hard_levels() {
    let unit = [[vec![0.0, 0.0], vec![0.0]], [vec![1.0, 1.0], vec![0.0, 1.0]]];
    let region: Vec<Vec<f64>> = unit.iter().flatten().cloned().collect();
    for psi in [[0.2, 1.0, 1.5, 1.0], [0.5, 2.0, 3.0, 3.0]] {
        let (most, step) = (9.0, 0.1);
        let grid: Vec<f64> = (0..=2 * (most / step) as i32).map(|i| -most + step * f64::from(i)).collect();
        let density = |x: f64| (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt() * step;
        let row = |y: f64, eta: f64| if y > 0.5 { 1.0 / (1.0 + (-eta).exp()) } else { 1.0 / (1.0 + eta.exp()) };
        let mother = |children: &Vec<f64>, eta: f64| -> f64 {
            let at = |u: f64| children.iter().map(|y| row(*y, eta + psi[3] * u)).product::<f64>();
            grid.iter().map(|&u| density(u) * at(u)).sum()
        };
        let community = |mothers: &[Vec<f64>; 2], eta: f64| -> f64 {
            let at = |w: f64| mothers.iter().map(|m| mother(m, eta + psi[2] * w)).product::<f64>();
            grid.iter().map(|&w| density(w) * at(w)).sum()
        };
        let at = |v: f64| unit.iter().map(|c| community(c, psi[0] + psi[1] * v)).product::<f64>();
        let truth = grid.iter().map(|&v| density(v) * at(v)).sum::<f64>().ln();
        let mut data = binary(std::slice::from_ref(&region));
        let communities: Vec<u32> = data.terms[1].codes.iter().map(|mother| mother / 2).collect();
        data.terms.insert(1, term(&communities, vec![Column::One], 0));
        let mut objective = Nested::new(&data).unwrap();
        for tolerance in [1e-3, 1e-5] {
            let nodes = objective.choose(&psi, Rule::Adaptive(tolerance)).unwrap();
            let error = (evaluate(&mut objective, &psi, Order::Gradient).value - truth).abs();
            println!("{psi:?} {tolerance:e}: {:?} nodes, error {error:.1e}, stated {:.1e}", nodes.counts, nodes.error);
            assert!(error <= nodes.error, "{psi:?}: {error:e}, stated {:e}", nodes.error);
        }
    }
}

/// Values at other numbers of nodes are no further off than stated.
#[test]
fn stated_errors_hold_with_slopes_and_three_levels() {
    for (family, tree) in [("binomial", Tree::Slopes), ("poisson", Tree::Three), ("nbinom2", Tree::Shared)] {
        let data = nested(family, tree, 15);
        let psi: Vec<f64> = point(&data, 16);
        let mut objective = Nested::new(&data).unwrap();
        for tolerance in [1e-3, 1e-5] {
            let nodes = objective.choose(&psi, Rule::Adaptive(tolerance)).unwrap();
            let found = evaluate(&mut objective, &psi, Order::Gradient).value;
            objective.choose(&psi, Rule::Gauss(if tree == Tree::Slopes { 13 } else { 21 })).unwrap();
            let truth = evaluate(&mut objective, &psi, Order::Gradient).value;
            let (error, most) = ((found - truth).abs(), nodes.counts.iter().max().unwrap());
            println!(
                "{family} {tree:?} {tolerance:e}: at most {most} nodes, error {error:.1e}, stated {:.1e}",
                nodes.error
            );
            assert!(error <= nodes.error, "{family} {tree:?}: {error:e}, stated {:e}", nodes.error);
            assert!(nodes.error <= tolerance * nodes.counts.len() as f64, "{family} {tree:?}: {:e}", nodes.error);
        }
    }
}

#[test]
fn values_converge_as_nodes_grow() {
    for sd in [1.5, 2.5] {
        let (data, psi) = (guatemala(30, 8, sd, 9), [0.5, sd, sd]);
        let mut objective = Nested::new(&data).unwrap();
        let mut value = |k: usize| {
            objective.choose(&psi, Rule::Gauss(k)).unwrap();
            evaluate(&mut objective, &psi, Order::Gradient).value
        };
        let values: Vec<f64> = [3, 7, 15, 31].into_iter().map(&mut value).collect();
        let differences: Vec<f64> = values.windows(2).map(|v| (v[1] - v[0]).abs()).collect();
        println!("sd {sd}: {values:?}, differences {differences:?}");
        assert!(differences.windows(2).all(|d| d[1] < 0.1 * d[0]), "{differences:?}");
        let nodes = objective.choose(&psi, Rule::Adaptive(1e-4)).unwrap();
        let found = evaluate(&mut objective, &psi, Order::Gradient).value;
        let most = nodes.counts.iter().max().unwrap();
        println!("sd {sd}: adaptive {found}, stated error {:e}, at most {most} nodes", nodes.error);
        assert!((found - values[3]).abs() <= nodes.error + differences[2], "{found} {values:?}");
    }
}

#[test]
fn a_fit_moves_from_laplace_to_the_converged_answer() {
    let data = guatemala(60, 8, 1.5, 10);
    let mut objective = Nested::new(&data).unwrap();
    let mut start = vec![0.0, 1.0, 1.0];
    let mut found = Vec::new();
    for rule in [Rule::Gauss(1), Rule::Gauss(5), Rule::Adaptive(1e-5)] {
        objective.choose(&start, rule).unwrap();
        let settings = Settings {
            curvature: Curvature::Exact,
            tolerance: 1e-8,
            inner_tolerance: 1e-12,
            max_iterations: 50,
            reach: vec![2.0; 3],
            limits: vec![f64::INFINITY; 3],
            rows: Vec::new(),
        };
        let outcome = maximise(&mut objective, &start, settings, &mut |_, _, _| true);
        println!("{rule:?}: {:?} {} in {} steps, {:?}", outcome.psi, outcome.value, outcome.iterations, outcome.reason);
        assert_eq!(outcome.reason, Reason::Converged);
        start.clone_from(&outcome.psi);
        found.push(outcome.psi);
    }
    let apart = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
    let (laplace, five) = (apart(&found[0], &found[2]), apart(&found[1], &found[2]));
    assert!(five < 0.3 * laplace, "Laplace {laplace} and five nodes {five} from the converged answer");
    objective.choose(&found[2], Rule::Gauss(41)).unwrap();
    let gradient = evaluate(&mut objective, &found[2], Order::Gradient).gradient;
    assert!(gradient.iter().all(|g| g.abs() < 0.01), "{gradient:?}");
}
