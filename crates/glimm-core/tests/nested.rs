//! Quadrature over nested groups: against Laplace's approximation of the other engine, differences, and brute force.

mod common;

use common::*;
use glimm_core::design::{Column, Data, Predictor, Term};
use glimm_core::family::{self, Random};
use glimm_core::integration::Rule;
use glimm_core::objective::crossed::{Crossed, Engine};
use glimm_core::objective::nested::Nested;
use glimm_core::objective::{Objective, Order, Quadrature};
use glimm_core::optim::{Curvature, Settings, maximise};
use glimm_core::structure;
use rand::SeedableRng;

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
            let again = one.laplace_value(&psi).unwrap();
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

/// Binary responses: `responses` by child, by mother; coefficient 0 is the intercept.
fn binary(responses: &[Vec<Vec<f64>>]) -> Data {
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

/// Children of mothers of communities, as in the Guatemalan study of immunisation (Rodriguez and Goldman 1995, J. R.
/// Stat. Soc. A 158, 73-89), with a standard deviation of `sd` at both levels.
fn guatemala(communities: usize, mothers: usize, sd: f64, seed: u64) -> Data {
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
        assert_eq!(outcome.reason, glimm_core::optim::Reason::Converged);
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

#[test]
fn timing() {
    use glimm_core::objective::Objective;
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let data = guatemala(161, 15, 1.5, 12);
            let psi = [0.5, 1.5, 1.5];
            let run = |label: &str, objective: &mut dyn Objective| {
                for order in [Order::Gradient, Order::Hessian] {
                    objective.reset();
                    objective.evaluate(&psi, order, 1e-8).unwrap();
                    objective.accept();
                    let began = std::time::Instant::now();
                    for _ in 0..3 {
                        objective.evaluate(&psi, order, 1e-8).unwrap();
                    }
                    println!("{threads} {label} {order:?}: {:?}", began.elapsed() / 3);
                }
            };
            run("crossed", &mut Crossed::new(&data, Engine::Auto).unwrap());
            run("sparse", &mut Crossed::new(&data, Engine::Sparse).unwrap());
            let mut nested = Nested::new(&data).unwrap();
            run("nested laplace", &mut nested);
            for rule in [
                Rule::Gauss(3),
                Rule::Gauss(5),
                Rule::Gauss(7),
                Rule::Gauss(9),
                Rule::Gauss(15),
                Rule::Adaptive(1e-3),
                Rule::Adaptive(1e-4),
                Rule::Adaptive(1e-6),
            ] {
                let began = std::time::Instant::now();
                let mut nodes = nested.choose(&psi, rule).unwrap();
                nodes.counts.sort_unstable();
                println!(
                    "{threads} choose {rule:?}: {:?}, error {:e}, counts {:?} {:?} {:?}",
                    began.elapsed(),
                    nodes.error,
                    nodes.counts[0],
                    nodes.counts[80],
                    nodes.counts[160]
                );
                run(&format!("{rule:?}"), &mut nested);
            }
        });
    }
}

#[test]
fn profile() {
    use glimm_core::objective::Objective;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        let data = guatemala(161, 15, 1.5, 12);
        let psi = [0.5, 1.5, 1.5];
        let mut nested = Nested::new(&data).unwrap();
        nested.choose(&psi, Rule::Gauss(9)).unwrap();
        let began = std::time::Instant::now();
        for _ in 0..100 {
            nested.evaluate(&psi, Order::Gradient, 1e-8).unwrap();
            nested.accept();
        }
        println!("gradient {:?}", began.elapsed() / 100);
    });
}
