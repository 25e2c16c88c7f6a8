//! Fits of so many rows that they start from samples and end without a last evaluation.

mod common;

use common::{normal, relative};
use glimm_core::design::{Column, Data, Predictor, Term};
use glimm_core::family::{self, Random};
use glimm_core::fit::{Options, Problem};
use glimm_core::integration::Integration;
use glimm_core::linalg::dense;
use glimm_core::objective::block::Block;
use glimm_core::objective::{Objective, Order};
use glimm_core::structure;
use rand::SeedableRng;

/// Rows of groups of ten with an intercept and a slope.
fn slopes(name: &str, groups: usize, seed: u64) -> Data {
    let family = family::lookup(name, None).unwrap();
    let mut rng = Random::seed_from_u64(seed);
    let effects: Vec<[f64; 2]> = (0..groups).map(|_| [0.6 * normal(&mut rng), 0.3 * normal(&mut rng)]).collect();
    let codes: Vec<u32> = (0..10 * groups as u32).map(|i| i * 7 % groups as u32).collect();
    let x: Vec<f64> = codes.iter().map(|_| normal(&mut rng)).collect();
    let eta = |(&g, x): (&u32, &f64)| 0.3 + 0.4 * x + effects[g as usize][0] + effects[g as usize][1] * x;
    let y = codes.iter().zip(&x).map(eta).map(|eta| family.draw(&mut rng, 1.0, &[eta])).collect();
    let columns = vec![Column::of(x.clone()), Column::One];
    Data {
        family,
        y,
        size: None,
        freq: None,
        predictors: vec![Predictor::new(vec![Column::One, Column::of(x)], None)],
        terms: vec![Term::new(codes, groups, columns, vec![0; 2], structure::lookup("us", 2).unwrap())],
        copies: None,
        constants: None,
    }
}

const PSI: [f64; 5] = [0.3, 0.4, 0.3, 0.05, 0.6];

#[test]
fn what_a_last_step_without_an_evaluation_says_is_so() {
    let options = Options { integration: Integration::Laplace, ..Options::default() };
    for name in ["binomial", "poisson"] {
        let mut problem = Problem::new(slopes(name, 30_000, 5), &options).unwrap();
        let fit = problem.fit(None, &mut |_, _, _, _| true).unwrap();
        assert!(fit.evaluations <= 3, "{name}: {} evaluations", fit.evaluations);
        let there = problem.evaluate_twice(&fit.psi).unwrap().unwrap();
        let gap = there.value - fit.loglik;
        assert!(gap.abs() < 1e-12 * there.value.abs(), "{name}: log-likelihood {gap:e}");
        let p = fit.psi.len();
        let information: Vec<f64> = there.hessian.unwrap().iter().map(|h| -h).collect();
        let step = dense::solve(&information, false, &there.gradient);
        let decrement: f64 = step.iter().zip(&there.gradient).map(|(s, g)| s * g).sum();
        assert!(decrement < 1e-13, "{name}: {decrement:e} is left");
        assert!(
            decrement < 10.0 * fit.verdict.loglik_left + 1e-16,
            "{name}: {:e} stated, {decrement:e}",
            fit.verdict.loglik_left
        );
        for j in 0..p {
            let axis: Vec<f64> = (0..p).map(|i| f64::from(u8::from(i == j))).collect();
            let variance = dense::solve(&information, false, &axis)[j];
            let error = (fit.verdict.covariance[j * p + j] / variance).sqrt() - 1.0;
            assert!(error.abs() < 1e-4, "{name}: standard error of parameter {j} off by {error:e}");
        }
    }
}

#[test]
fn modes_glide_along_their_tangents() {
    let mut block = Block::new(&slopes("poisson", 40, 4));
    let moved =
        |by: f64| PSI.iter().enumerate().map(|(j, x)| x + by * [1.0, -0.5, 0.3, 0.7, -0.4][j]).collect::<Vec<f64>>();
    let modes_after = |by: f64, block: &mut Block| {
        block.reset();
        block.evaluate(&PSI, Order::Hessian, 1e-22).unwrap();
        block.accept();
        assert!(block.glide(&moved(by)));
        block.posterior().modes.remove(0)
    };
    let errors = [1e-2, 1e-3].map(|by| {
        let glided = modes_after(by, &mut block);
        block.evaluate(&moved(by), Order::Gradient, 1e-22).unwrap();
        block.accept();
        relative(&glided, &block.posterior().modes[0])
    });
    assert!(errors[0] < 1e-3 && errors[1] < 0.02 * errors[0], "{errors:?}: not of second order");
    block.reset();
    assert!(!block.glide(&PSI), "there are no tangents");
}

#[test]
fn samples_are_of_rows_that_stay_where_they_are() {
    let mut block = Block::new(&slopes("binomial", 60, 5));
    let all = block.evaluate(&PSI, Order::Hessian, 1e-22).unwrap();
    let (chosen, mut same) = block.sample(60);
    assert_eq!(chosen.len(), 8);
    let found = same.evaluate(&PSI, Order::Hessian, 1e-22).unwrap();
    assert_eq!((all.value, &all.gradient, &all.hessian), (found.value, &found.gradient, &found.hessian));
    let (some, mut half) = block.sample(30);
    assert_eq!((some.len(), half.n()), (4, some.iter().map(|t| if *t == 7 { 40 } else { 80 }).sum()));
    let part = half.evaluate(&PSI, Order::Gradient, 1e-22).unwrap();
    half.accept();
    // Eight groups to a tile.
    let each = block.contributions(&PSI, Order::Gradient, 1e-22).unwrap();
    let own = || some.iter().flat_map(|&t| each.iter().skip(8 * t as usize).take(8)).map(|(_, e)| e);
    let value: f64 = own().map(|e| e.value).sum();
    assert!((part.value - value).abs() < 1e-11 * value.abs(), "{} {value}", part.value);
    for j in 0..PSI.len() {
        let slope: f64 = own().map(|e| e.gradient[j]).sum();
        assert!((part.gradient[j] - slope).abs() < 1e-10 * (1.0 + slope.abs()), "{j}: {} {slope}", part.gradient[j]);
    }
    // Modes found in a sample are the start of a search among all rows, and its end.
    block.adopt(&some, &half);
    let before = block.passes();
    block.evaluate(&PSI, Order::Gradient, 1e-22).unwrap();
    block.accept();
    let passes = block.passes() - before;
    let mut cold = Block::new(&slopes("binomial", 60, 5));
    cold.evaluate(&PSI, Order::Gradient, 1e-22).unwrap();
    cold.accept();
    assert!(passes < cold.passes(), "{passes} {}", cold.passes());
    assert!(relative(&block.posterior().modes[0], &cold.posterior().modes[0]) < 1e-10);
}
