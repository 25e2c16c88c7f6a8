//! Expectation propagation against exact integrals, closed forms and published numbers.

mod common;

use std::sync::Arc;

use common::{Shape, point, problem, relative, richardson, salamanders};
use glimm_core::control::Control;
use glimm_core::design::Data;
use glimm_core::fit::{Fitted, Options, Problem};
use glimm_core::integration::{Integration, Rule};
use glimm_core::objective::block::Block;
use glimm_core::objective::crossed::importance::Importance;
use glimm_core::objective::crossed::propagation::Propagation;
use glimm_core::objective::crossed::{Crossed, Engine};
use glimm_core::objective::{Evaluation, Objective, Order, Quadrature};

/// Modes, as the square of their Newton decrement.
const TIGHT: f64 = 1e-20;

fn ep(data: &Data) -> Propagation {
    Propagation::new(data, &Arc::new(Control::default())).unwrap()
}

fn value(data: &Data, psi: &[f64]) -> (Evaluation, f64) {
    let mut ep = ep(data);
    let found = ep.evaluate(psi, Order::Gradient, TIGHT).unwrap();
    (found, ep.left().remainder.value())
}

#[test]
fn the_gradient_is_that_of_the_value() {
    for (name, link) in [("poisson", "log"), ("binomial", "logit"), ("binomial", "probit"), ("nbinom2", "log")] {
        for shape in [Shape::Intercept, Shape::Crossed, Shape::CrossedSlopes, Shape::Nested] {
            let data = problem(name, link, shape, 6);
            let psi = point(&data, 7);
            let mut ep = ep(&data);
            let found = ep.evaluate(&psi, Order::Gradient, TIGHT).unwrap();
            for j in 0..psi.len() {
                let mut along = |h: f64| {
                    let mut moved = psi.clone();
                    moved[j] += h;
                    vec![ep.evaluate(&moved, Order::Gradient, TIGHT).unwrap().value]
                };
                // Where the first steps are too long for the function's higher derivatives, shorter ones must agree.
                let mut off = |h: f64| {
                    let slope = richardson(&mut along, h)[0];
                    (found.gradient[j] - slope).abs() / slope.abs().max(1.0)
                };
                let off = [0.005, 0.002, 0.001].map(&mut off).into_iter().fold(f64::INFINITY, f64::min);
                assert!(off < 1e-8, "{name} {link} {shape:?}, parameter {j}: off by {off:e}");
            }
        }
    }
}

/// The sites of gaussian rows are the rows.
#[test]
fn gaussian_responses_leave_nothing_out() {
    let data = problem("gaussian", "identity", Shape::CrossedSlopes, 8);
    let psi = point(&data, 9);
    let laplace = Crossed::new(&data, Engine::Dense).unwrap().evaluate(&psi, Order::Gradient, TIGHT).unwrap();
    let (found, left) = value(&data, &psi);
    assert!((found.value - laplace.value).abs() < 1e-9 && left.abs() < 1e-9, "{} {left:e}", found.value);
    assert!(relative(&found.gradient, &laplace.gradient) < 1e-8);
}

/// A level with a single row is integrated exactly: there is nothing that its row could disagree with.
#[test]
fn single_rows_are_exact() {
    let mut data = problem("binomial", "logit", Shape::Intercept, 3);
    let n = data.n();
    data.terms[0].codes = (0..n as u32).collect();
    data.terms[0].levels = n;
    let psi = point(&data, 4);
    let mut block = Block::new(&data);
    block.choose(&psi, Rule::Reference(1e-10)).unwrap();
    let exact = block.evaluate(&psi, Order::Gradient, TIGHT).unwrap();
    let (found, left) = value(&data, &psi);
    assert!((found.value - exact.value).abs() < 1e-8 && left.abs() < 1e-10, "{} {}", found.value, exact.value);
    assert!(relative(&found.gradient, &exact.gradient) < 1e-7);
}

/// The remainder is what is left out, to a twentieth.
#[test]
fn the_remainder_tells_the_error() {
    for (name, sd) in [("binomial", 0.5), ("binomial", 1.0), ("binomial", 2.0), ("poisson", 0.5), ("poisson", 1.5)] {
        let data = problem(name, if name == "poisson" { "log" } else { "logit" }, Shape::Intercept, 11);
        let mut psi = point(&data, 12);
        *psi.last_mut().unwrap() = sd;
        let mut block = Block::new(&data);
        block.choose(&psi, Rule::Reference(1e-10)).unwrap();
        let exact = block.evaluate(&psi, Order::Gradient, TIGHT).unwrap().value;
        let laplace = Block::new(&data).evaluate(&psi, Order::Gradient, TIGHT).unwrap().value;
        let (found, left) = value(&data, &psi);
        let (before, after) = ((exact - found.value).abs(), (exact - found.value - left).abs());
        assert!(after < 0.05 * before, "{name} {sd}: {before:e}, with the remainder {after:e}");
        assert!(after < 0.02 * (exact - laplace).abs(), "{name} {sd}: {after:e}, Laplace {:e}", exact - laplace);
    }
}

/// Independent of all Gaussians: draws, whose standard error is stated.
#[test]
fn salamanders_agree_with_draws() {
    let (data, psi) = (salamanders(), [1.0, 0.3, -1.9, 1.0, 1.17, 1.1]);
    let mut draws = Importance::new(&Crossed::new(&data, Engine::Dense).unwrap(), &psi).unwrap();
    draws.set_draws(40_000);
    let exact = draws.evaluate(&psi, Order::Gradient, TIGHT).unwrap();
    let (found, left) = value(&data, &psi);
    let (off, se) = (found.value + left - exact.value, draws.noise().value_se);
    assert!(off.abs() < 3.0 * se + 0.1 * left.abs(), "{} + {left}, {} +- {se}", found.value, exact.value);
}

fn fit(data: &Data, integration: Integration) -> Fitted {
    let options = Options { integration, ..Options::default() };
    Problem::new(data.clone(), &options).unwrap().fit(None, &mut |_, _, _, _| true).unwrap()
}

/// Reference: -207.60, variances 1.38 and 1.24, by importance sampling.
#[test]
fn salamanders_keep_their_variances() {
    let found = fit(&salamanders(), Integration::Propagation);
    assert!(found.verdict.converged && found.certificate.method == "propagation, corrected");
    assert!((found.loglik + 207.597).abs() < found.certificate.loglik_error + 0.009, "{}", found.loglik);
    let variances = [found.psi[4].powi(2), found.psi[5].powi(2)];
    assert!((variances[0] - 1.381).abs() < 0.005 && (variances[1] - 1.236).abs() < 0.005, "{variances:?}");
    assert!(found.certificate.bias.iter().all(|b| b.abs() < 0.005));
    assert!(found.certificate.loglik_error < 0.01 && found.certificate.laplace_error < -1.4);
}

#[test]
fn a_variance_of_zero_is_no_effect() {
    let psi = [1.0, 0.3, -1.9, 1.0, 1.1, 0.0];
    let alone = Data { terms: salamanders().terms[..1].to_vec(), ..salamanders() };
    let ((a, _), (b, _)) = (value(&salamanders(), &psi), value(&alone, &psi[..5]));
    assert!((a.value - b.value).abs() < 1e-8 && relative(&a.gradient[..5], &b.gradient) < 1e-8);
    assert!(a.gradient[5].abs() < 1e-10);
}

#[test]
fn a_weight_of_two_is_a_row_twice_to_second_order() {
    let (data, psi) = (salamanders(), [1.0, 0.3, -1.9, 1.0, 1.1, 1.0]);
    let rows: Vec<u32> = (0..360).flat_map(|i| [i, i]).collect();
    let twice = data.gather(&rows);
    let weighted = Data { freq: Some(vec![2.0; 360]), ..data };
    let ((a, left_a), (b, left_b)) = (value(&twice, &psi), value(&weighted, &psi));
    // Two rows have two sites; one row of weight two has one, which is nearer to the truth.
    assert!(left_b.abs() < left_a.abs());
    assert!((a.value + left_a - b.value - left_b).abs() < 0.3 * left_a.abs(), "{left_a} {left_b}");
}

#[test]
fn threads_change_no_bit() {
    let psi = [1.0, 0.3, -1.9, 1.0, 1.1, 1.0];
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| ep(&salamanders()).evaluate(&psi, Order::Hessian, TIGHT).unwrap())
    };
    let (a, b) = (run(1), run(3));
    assert_eq!((a.value, a.gradient, a.hessian), (b.value, b.gradient, b.hessian));
}

/// Effects in two predictors have no site with one precision.
#[test]
fn what_it_does_not_know_is_refused_by_name() {
    let mut data = problem("nbinom2", "log", Shape::Crossed, 5);
    data.terms[0].predictors[0] = 1;
    let options = Options { integration: Integration::Propagation, ..Options::default() };
    let found = Problem::new(data, &options).and_then(|mut p| p.fit(None, &mut |_, _, _, _| true).map(|_| ()));
    assert!(found.unwrap_err().to_string().contains("expectation propagation"));
}
