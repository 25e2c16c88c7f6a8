//! Importance sampling against closed forms, brute force and published numbers.

mod common;

use std::sync::Arc;

use common::{Shape, normal, point, problem, richardson, salamanders};
use glimm_core::control::Control;
use glimm_core::design::{Column, Data, Predictor, Term};
use glimm_core::error::Error;
use glimm_core::family::{self, Random};
use glimm_core::fit::{Fitted, Options, Problem};
use glimm_core::integration::Integration;
use glimm_core::objective::crossed::importance::Importance;
use glimm_core::objective::crossed::{Crossed, Engine};
use glimm_core::objective::penalty::Penalty;
use glimm_core::objective::{Evaluation, Objective, Order, Reject};
use glimm_core::structure;
use rand::{RngExt, SeedableRng};

/// Stated errors are standard errors: differences beyond four times as much are not chance.
const CHANCE: f64 = 4.0;
/// Modes, as the square of their Newton decrement.
const TIGHT: f64 = 1e-20;
/// Rounding of a log-likelihood.
const ROUNDING: f64 = 1e-9;
/// Draws per unit of a comparison with brute force, and the error that they may have.
const DRAWS: usize = 1 << 16;
const PRECISE: f64 = 3e-3;

fn one(codes: Vec<u32>, columns: Vec<Column>, predictors: Vec<usize>) -> Term {
    let levels = codes.iter().max().map_or(0, |c| *c as usize + 1);
    let structure = structure::lookup("us", columns.len()).unwrap();
    Term { codes, levels, columns, predictors, structure, prior: None, also: Vec::new() }
}

fn sampler(data: &Data, psi: &[f64], draws: usize) -> Importance {
    let mut sampler = Importance::new(&Crossed::new(data, Engine::Dense).unwrap(), psi).unwrap();
    sampler.set_draws(draws);
    sampler
}

fn bernoulli(y: f64, eta: f64) -> f64 {
    y * eta - eta.max(0.0) - (-eta.abs()).exp().ln_1p()
}

/// Nodes of the trapezoid rule for integrals over a standard normal density, with log weights.
fn trapezoid() -> Vec<(f64, f64)> {
    let step = 0.35;
    let log_weight = |u: f64| -0.5 * u * u + (step / std::f64::consts::TAU.sqrt()).ln();
    (-22..=22).map(|k| f64::from(k) * step).map(|u| (u, log_weight(u))).collect()
}

fn log_sum(terms: impl Iterator<Item = f64>) -> f64 {
    let terms: Vec<f64> = terms.collect();
    let top = terms.iter().fold(f64::NEG_INFINITY, |m, t| m.max(*t));
    top + terms.iter().map(|t| (t - top).exp()).sum::<f64>().ln()
}

/// Two rows in each cell of three levels by two.
fn tiny(seed: u64) -> Data {
    let mut rng = Random::seed_from_u64(seed);
    let cells: Vec<(u32, u32)> = (0..12).map(|i| (i / 4, i / 2 % 2)).collect();
    let x: Vec<f64> = cells.iter().map(|_| normal(&mut rng)).collect();
    Data {
        family: family::lookup("binomial", None).unwrap(),
        y: cells.iter().map(|_| f64::from(rng.random_range(0..2))).collect(),
        size: None,
        freq: None,
        predictors: vec![Predictor::new(vec![Column::One, Column::of(x)], None)],
        terms: vec![
            one(cells.iter().map(|c| c.0).collect(), vec![Column::One], vec![0]),
            one(cells.iter().map(|c| c.1).collect(), vec![Column::One], vec![0]),
        ],
        copies: None,
        constants: None,
    }
}

/// The log-likelihood of `tiny` by summing over a grid of the two effects of the second factor, and for each over one
/// of every effect of the first.
fn brute_crossed(data: &Data, psi: &[f64]) -> f64 {
    let nodes = trapezoid();
    let fixed: Vec<f64> = (0..12).map(|i| psi[0] + psi[1] * data.predictors[0].columns[1].at(i)).collect();
    let given = |v: [f64; 2]| -> f64 {
        let level = |g: usize| {
            let rows = |u: f64| {
                (4 * g..4 * g + 4)
                    .map(|i| {
                        let eta = fixed[i] + psi[2] * u + psi[3] * v[i / 2 % 2];
                        bernoulli(data.y[i], eta)
                    })
                    .sum::<f64>()
            };
            log_sum(nodes.iter().map(|(u, w)| w + rows(*u)))
        };
        (0..3).map(level).sum()
    };
    log_sum(nodes.iter().flat_map(|a| nodes.iter().map(move |b| (a, b))).map(|(a, b)| a.1 + b.1 + given([a.0, b.0])))
}

/// The log-likelihood of one factor with two effects per level, b = Lambda u, by a grid for each level.
fn brute_pairs(data: &Data, lambda: [f64; 3], row: &dyn Fn(usize, [f64; 2]) -> f64) -> f64 {
    let (nodes, term) = (trapezoid(), &data.terms[0]);
    let level = |g: usize| {
        let rows: Vec<usize> = (0..data.n()).filter(|i| term.codes[*i] as usize == g).collect();
        let at =
            |u: f64, v: f64| rows.iter().map(|i| row(*i, [lambda[0] * u, lambda[1] * u + lambda[2] * v])).sum::<f64>();
        log_sum(nodes.iter().flat_map(|a| nodes.iter().map(move |b| (a, b))).map(|(a, b)| a.1 + b.1 + at(a.0, b.0)))
    };
    (0..term.levels).map(level).sum()
}

/// Value and gradient agree with the exact ones within what chance explains.
fn check_exact(data: &Data, psi: &[f64], exact: &dyn Fn(&[f64]) -> f64, label: &str) {
    let mut sampler = sampler(data, psi, DRAWS);
    let found = sampler.evaluate(psi, Order::Hessian, TIGHT).unwrap();
    let (noise, p) = (sampler.noise(), psi.len());
    assert!(noise.value_se < PRECISE, "{label}: {}", noise.value_se);
    let off = found.value - exact(psi);
    assert!(off.abs() < CHANCE * noise.value_se + ROUNDING, "{label}: off by {off:e}, {:e} stated", noise.value_se);
    for j in 0..p {
        let mut along = |h: f64| {
            let mut moved = psi.to_vec();
            moved[j] += h;
            vec![exact(&moved)]
        };
        let (slope, se) = (richardson(&mut along, 0.02)[0], noise.score[j * p + j].sqrt());
        let off = found.gradient[j] - slope;
        assert!(off.abs() < CHANCE * se + 1e-6, "{label}, parameter {j}: off by {off:e}, {se:e} stated");
    }
    check_information(&found, psi, exact, label);
}

/// Differences of the gradient against those of the value; their error by chance is small with so many draws.
fn check_information(found: &Evaluation, psi: &[f64], exact: &dyn Fn(&[f64]) -> f64, label: &str) {
    let (p, h, hessian) = (psi.len(), 0.01, found.hessian.as_ref().unwrap());
    let size = hessian.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
    for k in 0..p * p {
        let at = |a: f64, b: f64| {
            let mut moved = psi.to_vec();
            moved[k / p] += a;
            moved[k % p] += b;
            exact(&moved)
        };
        let second = (at(h, h) - at(h, -h) - at(-h, h) + at(-h, -h)) / (4.0 * h * h);
        assert!((hessian[k] - second).abs() < 0.03 * size, "{label}, {k}: {} for {second}", hessian[k]);
    }
}

#[test]
fn crossed_effects_agree_with_brute_force() {
    for (seed, psi) in [(1, [0.3, -0.5, 1.2, 0.9]), (2, [-0.8, 0.4, 2.0, 1.5]), (3, [0.1, 0.2, 0.3, 2.5])] {
        let data = tiny(seed);
        assert_eq!(sampler(&data, &psi, 16).units(), 1);
        check_exact(&data, &psi, &|psi| brute_crossed(&data, psi), &format!("seed {seed}"));
    }
}

#[test]
fn correlated_slopes_agree_with_brute_force() {
    let mut rng = Random::seed_from_u64(4);
    let x: Vec<f64> = (0..30).map(|_| normal(&mut rng)).collect();
    let columns = vec![Column::One, Column::of(x.clone())];
    let data = Data {
        y: (0..30).map(|_| f64::from(rng.random_range(0..2))).collect(),
        predictors: vec![Predictor::new(columns.clone(), None)],
        terms: vec![one((0..30).map(|i| i / 5).collect(), columns, vec![0, 0])],
        ..tiny(1)
    };
    let exact = |psi: &[f64]| {
        let row = |i: usize, b: [f64; 2]| bernoulli(data.y[i], psi[0] + b[0] + (psi[1] + b[1]) * x[i]);
        brute_pairs(&data, [psi[2], psi[3], psi[4]], &row)
    };
    let psi = [0.2, 0.5, 1.3, -0.6, 0.8];
    assert_eq!(sampler(&data, &psi, 16).units(), 6);
    check_exact(&data, &psi, &exact, "slopes");
}

/// Effects on the mean and on the log standard deviation of a gaussian response.
#[test]
fn effects_on_two_predictors_agree_with_brute_force() {
    let mut rng = Random::seed_from_u64(5);
    let data = Data {
        family: family::lookup("gaussian", None).unwrap(),
        y: (0..30).map(|_| 1.5 * normal(&mut rng)).collect(),
        predictors: vec![Predictor::new(vec![Column::One], None), Predictor::new(vec![Column::One], None)],
        terms: vec![one((0..30).map(|i| i / 5).collect(), vec![Column::One, Column::One], vec![0, 1])],
        ..tiny(1)
    };
    let exact = |psi: &[f64]| {
        let row = |i: usize, b: [f64; 2]| {
            let (mean, log_sd) = (psi[0] + b[0], psi[1] + b[1]);
            let z = (data.y[i] - mean) / log_sd.exp();
            -0.5 * z * z - log_sd - 0.5 * std::f64::consts::TAU.ln()
        };
        brute_pairs(&data, [psi[2], psi[3], psi[4]], &row)
    };
    check_exact(&data, &[0.1, 0.3, 0.7, 0.2, 0.4], &exact, "mean and dispersion");
}

#[test]
fn the_gradient_is_that_of_the_value_for_every_shape() {
    for (name, link, shape) in [
        ("poisson", "log", Shape::CrossedSlopes),
        ("binomial", "logit", Shape::Nested),
        ("nbinom2", "log", Shape::Crossed),
        ("beta", "logit", Shape::TwoTerms),
    ] {
        let data = problem(name, link, shape, 6);
        let psi = point(&data, 7);
        let (mut sampler, p) = (sampler(&data, &psi, 1 << 13), psi.len());
        let found = sampler.evaluate(&psi, Order::Gradient, TIGHT).unwrap();
        let score = sampler.noise().score.clone();
        for j in 0..p {
            let mut along = |h: f64| {
                let mut moved = psi.clone();
                moved[j] += h;
                vec![sampler.evaluate(&moved, Order::Gradient, TIGHT).unwrap().value]
            };
            let (slope, se) = (richardson(&mut along, 0.01)[0], score[j * p + j].sqrt());
            let off = (found.gradient[j] - slope).abs();
            assert!(off < CHANCE * se + 1e-6, "{name} {shape:?}, parameter {j}: off by {off:e}, {se:e} stated");
        }
    }
}

/// Where Laplace's approximation is exact so is every single draw.
#[test]
fn gaussian_responses_leave_nothing_to_chance() {
    let data = problem("gaussian", "identity", Shape::CrossedSlopes, 8);
    let psi = point(&data, 9);
    let laplace = Crossed::new(&data, Engine::Dense).unwrap().evaluate(&psi, Order::Gradient, TIGHT).unwrap();
    let mut sampler = sampler(&data, &psi, 64);
    let found = sampler.evaluate(&psi, Order::Gradient, TIGHT).unwrap();
    assert!((found.value - laplace.value).abs() < ROUNDING, "{} {}", found.value, laplace.value);
    assert!(sampler.noise().value_se < 1e-6);
    // Chance acts on the residual variance alone, whose derivative is quadratic in the effects.
    let (p, dispersion) = (psi.len(), data.layout().beta[1].start);
    for j in (0..p).filter(|j| *j != dispersion) {
        assert!((found.gradient[j] - laplace.gradient[j]).abs() < 1e-7, "{j}");
        assert!(sampler.noise().score[j * p + j].abs() < 1e-10, "{j}");
    }
    assert!((sampler.noise().effective - 64.0).abs() < 1e-6);
}

#[test]
fn a_weight_of_two_is_a_row_twice() {
    let data = salamanders();
    let psi = [1.0, 0.3, -1.9, 1.0, 1.1, 1.0];
    let rows: Vec<u32> = (0..360).flat_map(|i| [i, i]).collect();
    let twice = data.gather(&rows);
    let weighted = Data { freq: Some(vec![2.0; 360]), ..data };
    let value = |data: &Data| sampler(data, &psi, 256).evaluate(&psi, Order::Gradient, TIGHT).unwrap();
    let (a, b) = (value(&twice), value(&weighted));
    assert!((a.value - b.value).abs() < ROUNDING && common::relative(&a.gradient, &b.gradient) < 1e-8);
}

/// A term whose effects do not vary joins nothing, and its parameter stays.
#[test]
fn a_variance_of_zero_is_no_effect() {
    let psi = [1.0, 0.3, -1.9, 1.0, 1.1, 0.0];
    let mut with = sampler(&salamanders(), &psi, 256);
    let alone = Data { terms: salamanders().terms[..1].to_vec(), ..salamanders() };
    let mut without = sampler(&alone, &psi[..5], 256);
    assert_eq!((with.units(), without.units()), (60, 60));
    let a = with.evaluate(&psi, Order::Hessian, TIGHT).unwrap();
    let b = without.evaluate(&psi[..5], Order::Hessian, TIGHT).unwrap();
    assert!((a.value - b.value).abs() < ROUNDING && common::relative(&a.gradient[..5], &b.gradient) < 1e-10);
    assert_eq!(a.gradient[5], 0.0);
    assert!(with.free(4) && !with.free(5));
}

#[test]
fn threads_change_no_bit() {
    let psi = [1.0, 0.3, -1.9, 1.0, 1.1, 1.0];
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| sampler(&salamanders(), &psi, 5000).evaluate(&psi, Order::Hessian, TIGHT).unwrap())
    };
    let (a, b) = (run(1), run(3));
    assert_eq!((a.value, a.gradient, a.hessian), (b.value, b.gradient, b.hessian));
}

fn fit(data: &Data, integration: Integration) -> Fitted {
    let options = Options { integration, laplace: true, ..Options::default() };
    Problem::new(data.clone(), &options).unwrap().fit(None, &mut |_, _, _, _| true).unwrap()
}

/// Reference: Laplace to six places; 40 000 antithetic draws from the mode's Gaussian, standard error .007.
#[test]
fn salamanders_lose_no_variance() {
    let laplace = fit(&salamanders(), Integration::Laplace);
    assert!((laplace.loglik + 209.276_587).abs() < 1e-5);
    let seen = &laplace.certificate;
    assert_eq!((seen.method, seen.units, seen.checked), ("laplace", 6, 6));
    assert!(seen.laplace_error < -1.4 && seen.loglik_error > 1.4 && seen.bias[4] < -0.1 && seen.bias[5] < -0.1);
    for integration in [Integration::Auto, Integration::Importance(20_000)] {
        let fit = fit(&salamanders(), integration);
        let found = &fit.certificate;
        assert!(fit.verdict.converged);
        assert_eq!((found.method, found.units), ("importance", 6));
        assert!(found.loglik_error < 0.01 && found.bias_se.iter().all(|se| *se < 0.05));
        assert!(found.bias.iter().all(|b| b.abs() < 1e-3));
        assert!((fit.loglik + 207.602).abs() < CHANCE * 0.007 + found.loglik_error, "{}", fit.loglik);
        for (j, known) in [1.018, 0.321, -1.940, 0.996].into_iter().enumerate() {
            assert!((fit.psi[j] - known).abs() < 0.02, "{j}: {}", fit.psi[j]);
        }
        for (j, known) in [(4, 1.382), (5, 1.236)] {
            assert!((fit.psi[j].powi(2) - known).abs() < 0.05, "{j}: {}", fit.psi[j].powi(2));
        }
    }
}

#[test]
fn a_linear_model_keeps_its_exact_fit() {
    let data = problem("gaussian", "identity", Shape::Crossed, 10);
    let (laplace, auto) = (fit(&data, Integration::Laplace), fit(&data, Integration::Auto));
    assert_eq!(laplace.psi, auto.psi);
    assert_eq!(auto.certificate.method, "closed form");
    assert_eq!(auto.certificate.loglik_error, 0.0);
}

/// Sixteen draws cannot be believed.
#[test]
fn too_few_draws_leave_the_fit_as_it_was() {
    let (laplace, few) = (fit(&salamanders(), Integration::Laplace), fit(&salamanders(), Integration::Importance(2)));
    assert_eq!(laplace.psi, few.psi);
    assert!(few.certificate.loglik_error.is_nan() && few.certificate.effective_size.is_some());
}

/// The second factor explains less than nothing: its responses are the same in every level.
#[test]
fn a_variance_of_zero_stays_zero() {
    let mut data = salamanders();
    data.y = (0..360).map(|i| f64::from(u8::from((i % 6 < 3) != data.terms[0].codes[i].is_multiple_of(3)))).collect();
    data.terms[1].codes = (0..360).map(|i| i as u32 % 6).collect();
    data.terms[1].levels = 6;
    data.terms[1].codes.rotate_right(1);
    let fit = fit(&data, Integration::Auto);
    assert!(fit.verdict.converged && fit.psi[4] == 0.0 && fit.psi[5] > 0.1, "{:?}", fit.psi);
    let found = &fit.certificate;
    assert!(found.loglik_error < 0.01 && found.bias[4].abs() < 1e-12 && found.bias_se[4] < 1e-12, "{found:?}");
    assert!((0..36).all(|k| fit.verdict.covariance[k].is_finite()));
}

#[test]
fn a_penalty_stays_part_of_what_is_climbed() {
    let penalty = Penalty { scales: vec![vec![0.5; 4]], df: f64::INFINITY, power: 0.0 };
    let options = Options { penalty: Some(penalty), ..Options::default() };
    let mut problem = Problem::new(salamanders(), &options).unwrap();
    let fit = problem.fit(None, &mut |_, _, _, _| true).unwrap();
    assert!(fit.verdict.converged && fit.certificate.method == "importance");
    assert!(fit.psi[2] > -1.7 && fit.psi[0] < 1.0, "{:?}", fit.psi);
}

#[test]
fn quadrature_is_refused() {
    for integration in [Integration::Gauss(7), Integration::Exact] {
        let options = Options { integration, ..Options::default() };
        let mut problem = Problem::new(salamanders(), &options).unwrap();
        let refused = problem.fit(None, &mut |_, _, _, _| true).err();
        assert!(matches!(refused, Some(Error::Degenerate { .. })));
    }
}

#[test]
fn a_stopped_evaluation_has_no_value_and_harms_no_later_one() {
    let (psi, control) = ([1.0, 0.3, -1.9, 1.0, 1.1, 1.0], Arc::new(Control::default()));
    let mut sampler = sampler(&salamanders(), &psi, 64);
    let before = sampler.evaluate(&psi, Order::Gradient, TIGHT).unwrap();
    sampler.set_control(&control);
    control.stop();
    assert_eq!(sampler.evaluate(&psi, Order::Gradient, TIGHT).unwrap_err(), Reject::Interrupted);
    sampler.set_control(&Arc::default());
    sampler.reset();
    let after = sampler.evaluate(&psi, Order::Gradient, TIGHT).unwrap();
    assert_eq!((before.value, before.gradient), (after.value, after.gradient));
}

#[test]
fn a_correction_can_be_stopped() {
    let mut problem = Problem::new(salamanders(), &Options::default()).unwrap();
    let stopped = problem.fit(None, &mut |stage, iteration, _, _| stage != "importance" || iteration == 0);
    assert_eq!(stopped.err(), Some(Error::Interrupted));
}
